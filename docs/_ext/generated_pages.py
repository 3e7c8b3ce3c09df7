"""Writes the reference pages that come from the code, and the figures of the results pages from their tables.

It also shortens types on the API page, and marks where long names may wrap in narrow windows.

The pages are command line, Python API, recipes and metrics. Each lands in `docs/reference/` (not in git) before Sphinx
reads its sources, so it is never older than the code.
"""

import inspect
import re
import runpy
import typing
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy.typing
import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

import spikeloom
from spikeloom import recipe
from spikeloom.cli.app import app as command_line
from spikeloom.metrics.panel import METRICS
from spikeloom.models.common.base import Model

PAGES = Path(__file__).parents[1] / "reference"
PACKAGES = {
    "Simulated data": "spikeloom.simulate",
    "Observation models": "spikeloom.observation",
    "Diffusion": "spikeloom.diffusion",
    "Metrics": "spikeloom.metrics",
    "Figures": "spikeloom.plot",
    "Training": "spikeloom.training",
}
"""Sub-packages whose public names have a section on the API page, by its heading."""

MODEL_METHODS = {
    "Methods of every model": (
        "spikeloom.models.common.base.Model",
        ("fit", "sample", "stream", "live", "encode", "save"),
    ),
    "Methods of models with codes": (
        "spikeloom.models.common.coded.Coded",
        ("traverse", "directions", "reconstruct"),
    ),
}
"""Base classes of models and those of their methods that a user calls, by the heading of their section."""

ARRAY_LIKE = stringify_annotation(numpy.typing.ArrayLike, "smart")
"""Type of anything that NumPy converts to an array, as autodoc writes it."""

LONG_TYPES = (
    (re.compile(re.escape(ARRAY_LIKE)), "ArrayLike"),
    (re.compile(r"~typing\.Annotated\[(.*?), FieldInfo\(.*?\]\)\]"), r"\1"),
    (re.compile(r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[[^\]]*\]\]"), "~numpy.ndarray"),
    (re.compile(r"^(.*Literal\[.*~.*)$"), lambda hint: re.sub(r"~(?:\w+\.)*", "", hint[1])),
)
"""Types that autodoc writes in full, and what the page shows instead."""

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

EXAMPLE = re.compile(r"([A-Z][^:.]*): (spikeloom .*?)(?:\. (?=[A-Z])|$)")
"""An example of a command with its title."""

LONGEST_LINE = 90
"""Number of characters of a line of an example."""

ABOUT = re.compile(r'^about = .*\n|^note = """(?:.|\n)*?"""\n', re.M)
"""What a recipe is for and its note, in TOML. The page shows both as text."""

PERCENT = re.compile(r"(?<=\d)\s%")
"""Space between a number and its percent sign."""

RESULTS = re.compile(r"\bdocs/results/([a-z0-9-]+)\.md")
"""Path of a page of results in the note of a recipe. The page of recipes links to it."""

CODE_OR_OPTION = re.compile(rf"`[^`]*`|(?<![\w-]){OPTION.pattern}")
"""Text in backquotes, or an option outside of them."""


def command_line_page() -> str:
    """Every command with its options, as `--help` shows them."""
    parts = [
        "# Command line\n",
        'Every command takes `--help`. If the column "default" is empty, the option is off or has no value.\n\n'
        "A command ends with exit code 0 if it succeeds. It ends with exit code 2 if there is a mistake in the input. "
        "Then it prints one message and writes nothing. It ends with exit code 130 after Ctrl-C, and keeps its "
        "finished work.\n",
    ]
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
        if default is True:
            default = parameter.opts[0]
        shown = "required" if parameter.required else "" if default is None or default is False else f"`{default}`"
        meaning = _cell(_options_as_code(getattr(parameter, "help", "") or ""))
        lines.append(f"| {name} | {meaning} | {shown} |")
    for title, example in EXAMPLE.findall(command.epilog or ""):
        heading = "" if title == "Example" else f"\n{title}:\n"
        lines.append(f"{heading}\n```\n{_in_lines(example)}\n```\n")
    return "\n".join(lines)


def _in_lines(command: str) -> str:
    """Return a command of the shell that is continued before an option where a line would be too long."""
    lines = [""]
    for part in re.split(r" (?=--)", command):
        if lines[-1] and len(lines[-1]) + len(part) > LONGEST_LINE:
            lines.append("   ")
        lines[-1] += f" {part}" if lines[-1] else part
    return " \\\n".join(lines)


def _options_as_code(text: str) -> str:
    return CODE_OR_OPTION.sub(lambda part: part[0] if part[0].startswith("`") else f"`{part[0]}`", text)


def recipes_page() -> str:
    """Every recipe: what it is for, its note, and its settings in full."""
    lines = [
        "# Recipes\n",
        "A recipe names a model and its settings. `spikeloom recipes NAME` prints one recipe as it is shown here. "
        "[Choose a recipe and a budget](../guides/choose-a-recipe.md) compares the recipes.\n",
    ]
    lines += ["| recipe | for |", "|---|---|"]
    expected = {name: recipe.read_recipe(name) for name in recipe.recipes()}
    lines += [f"| [`{name}`](#{name}) | {_cell(one.about)} |" for name, one in expected.items()]
    for name, one in expected.items():
        note = RESULTS.sub(
            lambda page: f"[{page[1].replace('-', ' ')}](../results/{page[1]}.md)", inspect.cleandoc(one.note or "")
        )
        lines += [f"\n## {name}\n", one.about + "\n", note + "\n"]
        settings = ABOUT.sub("", one.dumps()).strip()
        lines += ["```toml", settings, "```"]
    return "\n".join(lines)


def metrics_page() -> str:
    """The panel: every metric with its unit, ideal value, meaning and definition."""
    lines = ["# Metrics\n"]
    lines.append(
        "[`spikeloom evaluate`](../guides/evaluate-samples.md) computes these metrics. Most of them compare "
        "generated (fake) trials with real trials. *Ideal* is the value of a perfect model. "
        "[Methods, section 5.3](methods.md#panel) gives the settings that several metrics share.\n\n"
        "Abbreviations: r is a correlation coefficient, RMSE a root mean square error, PSTH the mean rate over time "
        "(peristimulus time histogram), ISI an interval between spikes, CV a coefficient of variation, KL a "
        "Kullback-Leibler divergence, MMD a maximum mean discrepancy, and RBF a classifier with a Gaussian kernel.\n"
    )
    for group in dict.fromkeys(metric.group for metric in METRICS):
        lines += [f"## {group.capitalize()}\n", "| metric | title | unit | ideal | meaning |"]
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
    """The names of `import spikeloom as sl`, then the models, then the names of its sub-packages."""
    front = {name: getattr(spikeloom, name) for name in dir(spikeloom) if not name.startswith("_")}
    models = [name for name, value in front.items() if _is_model(value)]
    lines = ["# Python API\n", "```python", "import spikeloom as sl", "```\n", "## spikeloom\n"]
    for name, value in front.items():
        if name not in models:
            lines += _auto(f"spikeloom.{name}", value)
    lines.append(
        "## Models\n\n`sl.fit` trains the model of a [recipe](recipes.md). These classes have every setting. "
        "The [explanations](../explain/index.md) show how the models work.\n"
    )
    for name in models:
        explanation = name.replace("LDNS", "-ldns").lower().lstrip("-")
        lines += [f"[{name}](../explain/{explanation}.md) explains this model.\n"]
        lines += _auto(f"spikeloom.{name}", front[name], members=())
    for heading, (path, members) in MODEL_METHODS.items():
        lines += [f"### {heading}\n", *_auto(path, resolve_name(path), members=members)]
    for heading, package in PACKAGES.items():
        module = resolve_name(package)
        lines += [f"## {heading}: `{package}`\n", (inspect.getdoc(module) or "") + "\n"]
        for name in module.__all__:
            lines += _auto(f"{package}.{name}", getattr(module, name))
    return "\n".join(lines)


def _is_model(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Model)


def _auto(path: str, value: Any, *, members: tuple[str, ...] | None = None) -> list[str]:
    """Return the directive of a class or function, with these methods, or all; nothing for modules and constants."""
    if inspect.ismodule(value) or not callable(value):
        return []
    kind = "autoclass" if inspect.isclass(value) else "autofunction"
    if inspect.isclass(value) and issubclass(value, BaseException):
        kind = "autoexception"
    options = ["   :exclude-members: __init__"] if kind == "autoclass" else []
    if members is not None:
        options = [f"   :members: {', '.join(members)}"] if members else ["   :no-members:"]
    return ["```{eval-rst}", f".. {kind}:: {path}", *options, "```\n"]


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


def shorten_types(app: Sphinx, *_: Any) -> None:
    """Shorten the types of arguments before autodoc writes them beside their descriptions."""
    for hints in app.env.current_document.autodoc_annotations.values():
        for name, hint in hints.items():
            for long, short in LONG_TYPES:
                hint = long.sub(short, hint)
            hints[name] = hint


def leave_out_any_arguments(*event: Any) -> tuple[str, str | None] | None:
    """Leave out the arguments of a class that has no constructor."""
    signature, returned = event[-2:]
    return ("", returned) if signature == "(*args, **kwargs)" else None


def keep_on_one_line(_: Sphinx, document: nodes.document) -> None:
    """Turn `->` into an arrow outside of code, and let no line wrap between a number and its percent sign."""
    for text in list(document.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.literal | nodes.literal_block | nodes.math | nodes.math_block | nodes.raw):
            joined = PERCENT.sub("\N{NO-BREAK SPACE}%", text.replace("->", "→"))
            if joined != text:
                text.parent.replace(text, nodes.Text(joined))


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
    app.connect("object-description-transform", shorten_types, priority=100)
    app.connect("autodoc-process-signature", leave_out_any_arguments)
    app.connect("doctree-read", keep_on_one_line)
    app.connect("html-page-context", mark_wraps)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
