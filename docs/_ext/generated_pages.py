"""Writes the reference pages that come from the code, and the figures of the results pages from their tables.

It also marks where long names may wrap in narrow windows.

The pages are command line, Python API, recipes and metrics. Each lands in `docs/reference/` (not in git) before Sphinx
reads its sources, so it is never older than the code.
"""

import inspect
import re
import runpy
import typing
from pathlib import Path
from typing import Any

import typer
from sphinx.application import Sphinx

import spikeloom
from spikeloom import recipe
from spikeloom.cli.app import app as command_line
from spikeloom.metrics.panel import METRICS

PAGES = Path(__file__).parents[1] / "reference"
PACKAGES = {
    "Simulated data": "spikeloom.simulate",
    "Observation models": "spikeloom.observation",
    "Diffusion": "spikeloom.diffusion",
    "Metrics": "spikeloom.metrics",
    "Figures": "spikeloom.plot",
}
"""Sub-packages whose public names have a section on the API page, by its heading."""

INLINE_CODE = re.compile(r'(?<=<span class="pre">)[^<]+(?=</span>)')
"""A word of inline code in the HTML of a page."""

WRAP = re.compile(r"(?<=[/=(,:|])(?=[\w&])|(?<=[\w)\]])(?=\[)|(?<=\w\.)(?=\w)(?!(?:py|md|h5|toml|html|csv|json)\b)")
"""Places where a long name may wrap: after punctuation and before a bracket, but not before the ending of a file."""

WRAP_IN_TABLE = re.compile(rf"{WRAP.pattern}|(?<=[^\W_]_)(?=[^\W_])")
"""Places in a name where it may wrap in a table, whose columns can be narrow: the same, and after an underscore."""

IN_TABLE = '<wbr class="in-table">'

LONGEST_WHOLE = 24
"""Number of characters up to which a name stays on one line outside of tables."""

OPTION = re.compile(r"--[a-z-]+")
"""An option of the command line, which stays on one line."""

CODE_OR_OPTION = re.compile(rf"`[^`]*`|(?<![\w-]){OPTION.pattern}")
"""Text in backquotes, or an option outside of them."""


def command_line_page() -> str:
    """Every command with its options, as `--help` shows them."""
    parts = [
        "# Command line\n",
        "Every command takes `--help`. Exit codes: 0 on success, 2 for a mistake in the input ",
    ]
    parts[1] += "(one message, nothing is written), 130 after Ctrl-C (what was done so far is kept).\n"
    for path, command in _commands(typer.main.get_command(command_line), ()):
        parts.append(_command_section(path, command))
    return "\n".join(parts)


def _commands(command: Any, path: tuple[str, ...]) -> typing.Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name in sorted(children):
        yield from _commands(children[name], (*path, name))


def _command_section(path: tuple[str, ...], command: Any) -> str:
    lines = [f"## {' '.join(path)}\n", f"{_options_as_code(inspect.cleandoc(command.help or ''))}\n"]
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    if arguments or options:
        lines += ["| argument or option | meaning | default |", "|---|---|---|"]
    for parameter in (*arguments, *options):
        if getattr(parameter, "hidden", False) or "--help" in parameter.opts:
            continue
        isolated = ", ".join(f"`{word}`" for word in (*parameter.opts, *parameter.secondary_opts))
        name = f"`{parameter.name.upper()}`" if parameter in arguments else isolated
        default = parameter.default if isinstance(parameter.default, str | int | float | Path) else None
        shown = "required" if parameter.required else "" if default in (None, False) else f"`{default}`"
        meaning = _cell(_options_as_code(getattr(parameter, "help", "") or ""))
        lines.append(f"| {name} | {meaning} | {shown} |")
    if command.epilog:
        lines.append("\n```\n" + command.epilog.removeprefix("Example: ") + "\n```\n")
    return "\n".join(lines)


def _options_as_code(text: str) -> str:
    return CODE_OR_OPTION.sub(lambda part: part[0] if part[0].startswith("`") else f"`{part[0]}`", text)


def recipes_page() -> str:
    """Every recipe: what it is for, its note, and its settings in full."""
    lines = [
        "# Recipes\n",
        "A recipe names a model and its settings. `spikeloom recipes NAME` prints this page's text for one ",
    ]
    lines[1] += "of them; see [choose a recipe and a budget](../guides/choose-a-recipe.md).\n"
    lines += ["| recipe | for |", "|---|---|"]
    expected = {name: recipe.read_recipe(name) for name in recipe.recipes()}
    lines += [f"| [`{name}`](#{name}) | {_cell(one.about)} |" for name, one in expected.items()]
    for name, one in expected.items():
        lines += [f"\n## {name}\n", one.about + "\n", inspect.cleandoc(one.note or "") + "\n"]
        lines += ["```toml", one.dumps().rstrip(), "```"]
    return "\n".join(lines)


def metrics_page() -> str:
    """The panel: every metric with its unit, ideal value, meaning and definition."""
    lines = ["# Metrics\n"]
    lines.append(
        "The panel that [`spikeloom evaluate`](../guides/evaluate-samples.md) computes. Definitions follow "
        "[methods, section 5.3](methods.md#panel).\n"
    )
    for group in dict.fromkeys(metric.group for metric in METRICS):
        lines += [f"## {group.capitalize()}\n", "| metric | title | unit | ideal | what a bad value means |"]
        lines.append("|---|---|---|---|---|")
        for metric in METRICS:
            if metric.group == group:
                row = (
                    f"[`{metric.name}`](#{_anchor(metric.name)})",
                    metric.title,
                    metric.unit or "–",
                    f"{metric.ideal:g}",
                )
                lines.append(f"| {' | '.join(map(_cell, row))} | {_cell(metric.why)} |")
        for metric in METRICS:
            if metric.group == group:
                lines += [f"\n({_anchor(metric.name)})=", f"### `{metric.name}`\n", "```{eval-rst}"]
                lines += [inspect.getdoc(metric.measure) or metric.why, "```"]
    return "\n".join(lines)


def _anchor(name: str) -> str:
    return f"metric-{name.replace('_', '-')}"


def api_page() -> str:
    """The names of `import spikeloom as sl`, then those of its sub-packages."""
    front = [name for name in dir(spikeloom) if not name.startswith("_")]
    lines = ["# Python API\n", "```python", "import spikeloom as sl", "```\n", "## spikeloom\n"]
    for name in front:
        lines += _auto(f"spikeloom.{name}", getattr(spikeloom, name))
    for heading, package in PACKAGES.items():
        module = _optional(package)
        if module is None:
            continue
        lines += [f"## {heading}: `{package}`\n", (inspect.getdoc(module) or "").split("\n\n")[0] + "\n"]
        for name in getattr(module, "__all__", ()):
            lines += _auto(f"{package}.{name}", getattr(module, name))
    return "\n".join(lines)


def _optional(package: str) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        return None


def _auto(path: str, value: Any) -> list[str]:
    if inspect.ismodule(value):
        return []
    kind = "autoclass" if inspect.isclass(value) else "autofunction" if callable(value) else "autodata"
    if inspect.isclass(value) and issubclass(value, BaseException):
        kind = "autoexception"
    more = ["   :exclude-members: __init__"] if kind == "autoclass" else []
    return ["```{eval-rst}", f".. {kind}:: {path}", *more, "```\n"]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write_pages(_: Sphinx) -> None:
    """Write the pages; one whose content has not changed keeps its time, so that Sphinx need not read it again."""
    pages = {
        "command-line": command_line_page,
        "api": api_page,
        "recipes": recipes_page,
        "metrics": metrics_page,
    }
    for name, make in pages.items():
        path, text = PAGES / f"{name}.md", make() + "\n"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def write_figures(_: Sphinx) -> None:
    """Draw the opening figures of the results pages from their tables, so that both agree."""
    runpy.run_path(str(PAGES.parent / "results" / "figures.py"))["write"]()


def mark_wraps(_: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Let names in inline code wrap after punctuation, so that a narrow column does not break them within a word."""
    del page, template, doctree
    if "body" in context:
        context["body"] = INLINE_CODE.sub(_with_wraps, context["body"])


def _with_wraps(word: re.Match[str]) -> str:
    name = word[0]
    if len(name) <= LONGEST_WHOLE:
        marked = f'<span class="whole">{WRAP_IN_TABLE.sub(IN_TABLE, name)}</span>'
    else:
        marked = WRAP_IN_TABLE.sub(lambda wrap: "<wbr>" if WRAP.match(name, wrap.start()) else IN_TABLE, name)
    return OPTION.sub(r'<span class="option">\g<0></span>', marked)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("builder-inited", write_figures)
    app.connect("html-page-context", mark_wraps)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
