"""Plain English in names, docstrings, messages and pages, read off our own source with `ast`.

The rules are those of `docs/develop/writing.md`. `python -m tests.test_language` prints all violations.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "spikeloom"
FILES = sorted(SOURCE.rglob("*.py"))
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
        *(ROOT / "docs").rglob("*.md"),
        *SOURCE.rglob("*.toml"),
    ]
)
"""Text that a user reads as it stands: pages, and the recipes with their notes."""

ABOUT_WORDS = {"writing.md", "glossary.md"}
"""Pages that quote what must not be written."""

BANNED_NAMES = {"told", "asked", "given", "heard", "known", "own", "found", "place", "some", "whole", "thing", "many"}
"""Local names that are no nouns: write what is in them."""

VAGUE_NAMES = {"one", "mine", "theirs", "here", "there", "words", "more", "before"}
"""Further names that are banned in the package: write the noun of what the variable holds."""

FRAGMENT = re.compile(
    r"^(Of|What|How|Whether|Whose|Whoever|For|From|In|On|At|By|To|With|Within|Without|As|Among|Between|Under|Over|After"
    r"|Before|Beside)\b"
)
"""First words of docstrings that continue the name instead of saying something."""

BANNED_WORDS = re.compile(
    r"\b(so many|as many as|goes? on where|(is|are|was|were|be|been) (told|heard)|(is|are|was|were|be|been) asked"
    r"|speaks?|half trained|where there (is|are|was|were)|None: not|0 for none)\b",
    re.I,
)
"""Words of no plain message, docstring or page."""

CLAUSE_FIRST = re.compile(r"(?:^|[.:;]\s+)(?:What|Whatever|Whoever|Whose)\b[^.?]*(?:\.|$)")
"""A sentence that begins with a clause in place of its subject, as in "What is left is dropped."; questions may."""

NO_REMEDY = re.compile(r"^(Correct|Check|Repair|Convert|Change|Fix|Mend)( it| them| this| that)?\.$")
"""The third part of an error that says nothing: leave it out."""

MESSAGES = {"SpikeloomError", "ShapeError", "DataError", "ConditionError", "SettingError", "FileError", "TrainingError"}
MESSAGES |= {"CorruptFileError", "Option", "Argument", "echo", "warn"}
"""Calls whose words a user reads."""

IMPERATIVE = re.compile(r"^[A-Z][a-z]+(?: |,|\.|$)")
NO_VERBS = {
    "The", "A", "An", "Its", "Their", "Each", "Every", "All", "One", "Two", "Three", "True", "Number", "Numbers",
    "Name", "Names", "Value", "Values", "Sum", "Share", "Mean", "Rate", "Rates", "Trials", "Bins", "Neurons", "Axis",
    "Same", "This", "That", "These", "Those", "Text", "Words", "Path", "Paths", "Weights", "Counts", "Latents", "Codes",
    "Both",
}  # fmt: skip
"""First words of a docstring that begin a noun phrase, not a command."""


def violations(path: Path) -> Iterator[tuple[int, str]]:
    """Line and reason of everything in a file that the rules forbid."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from of_docstring(node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in BANNED_NAMES | VAGUE_NAMES:
            yield node.lineno, f"the name {node.id!r} says nothing: write the noun"
        if isinstance(node, ast.arg) and node.arg in BANNED_NAMES | VAGUE_NAMES:
            yield node.lineno, f"the parameter {node.arg!r} says nothing: write the noun"
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in MESSAGES:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield from ((node.lineno, f"a message {fault}") for fault in faults(inner.value))
            if len(node.args) == 3 and isinstance(do := node.args[2], ast.Constant) and NO_REMEDY.match(str(do.value)):
                yield node.lineno, f"a remedy that says nothing: {do.value!r}"
            for keyword in node.keywords:
                if keyword.arg == "help" and FRAGMENT.match(ast.unparse(keyword.value).lstrip("f\"'(")):
                    yield node.lineno, f"a help text is a fragment: {ast.unparse(keyword.value)[:40]}"
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef) and isinstance(body, list):
            for statement in body[1:]:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    text = statement.value.value
                    if isinstance(text, str) and FRAGMENT.match(text):
                        yield statement.lineno, f"a fragment: {text[:40]!r}"
                    if isinstance(text, str):
                        yield from ((statement.lineno, f"a description {fault}") for fault in faults(text))


def of_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    """Line and reason of what the rules forbid in a docstring."""
    text = ast.get_docstring(node)
    if not text:
        return
    line = node.body[0].lineno
    first = re.split(r"(?<=[.:;])\s|\n\n", text, maxsplit=1)[0]
    if FRAGMENT.match(first):
        yield line, f"a docstring that continues its name: {first[:50]!r}"
    yield from ((line, f"a docstring {fault}") for fault in faults(text))
    for entry in re.findall(r"^\s+\w+: (.*)$", text, re.M):
        if re.match(r"(Of|What|How|Whose|Whoever) ", entry):
            yield line, f"an argument's description is a fragment: {entry[:50]!r}"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node) and not says(first):
        yield line, f"the first sentence of {node.name} has no verb: {first[:60]!r}"


def faults(text: str) -> Iterator[str]:
    """What is wrong with the words of a text, whatever kind of text it is."""
    if match := BANNED_WORDS.search(text):
        yield f"says {match.group()!r}"
    if match := CLAUSE_FIRST.search(text):
        yield f"has a clause as its subject: {match.group()[:50]!r}"


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is read like an attribute, so that its docstring may name a thing."""
    return any("property" in ast.unparse(mark) for mark in node.decorator_list)


def says(sentence: str) -> bool:
    """Return whether a sentence begins with a command or holds a verb."""
    words = re.findall(r"[A-Za-z']+", re.sub(r"`[^`]*`", "", sentence))
    if not words:
        return True
    if (
        IMPERATIVE.match(sentence)
        and words[0] not in NO_VERBS
        and (words[0].endswith("ss") or not words[0].endswith("s"))
    ):
        return True
    return bool(re.search(r"\b(is|are|was|has|have|does|do|can|may|must|will)\b", sentence))


def violations_of_page(path: Path) -> Iterator[tuple[int, str]]:
    """Line and reason of every banned word of a page."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := BANNED_WORDS.search(line):
            yield number, f"a page says {match.group()!r}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_language_is_plain(path):
    wrong = [f"{path.name}:{line}: {reason}" for line, reason in violations(path)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES if path.name not in ABOUT_WORDS],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_pages_are_plain(path):
    wrong = [f"{path.name}:{line}: {reason}" for line, reason in violations_of_page(path)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    told = 1\n",
        "def f(asked):\n    pass\n",
        "for one in range(3):\n    pass\n",
        "def f(mine):\n    pass\n",
        "words = ', '.join(names)\n",
        "def f(more, before):\n    pass\n",
        'def f():\n    """Of the draw."""\n',
        'def f():\n    """The number of bins."""\n',
        'A = 1\nB = 2\n"""Of simulating and refitting."""\n',
        'raise DataError("There must be so many trials.", "", "")\n',
        'class A:\n    """Settings.\n\n    Args:\n        seed: Of the draw.\n    """\n',
        'def f():\n    """Clip latents to this many sd; None: not."""\n',
        'class A:\n    """Settings of size 0 for none."""\n',
        'def f():\n    """Return directions. As many as there are components."""\n',
        'def f():\n    """Cut pieces. What is shorter than a piece is left out."""\n',
        'A = 1\n"""What comes back is a fragment."""\n',
        'def f():\n    """Return codes, where there are any."""\n',
        'raise DataError("There are no counts.", "The series was asked for.", "")\n',
        'raise SettingError("A change must be key=value.", "It was foo.", "Correct it.")\n',
        'raise SettingError("A change must be key=value.", "It was foo.", "Check them.")\n',
        'warnings.warn("The model was told the direction.", UserWarning, stacklevel=2)\n',
        'typer.Option(help="Of the draw.")\n',
    ],
)
def test_each_rule_bites(source, tmp_path):
    path = tmp_path / "source.py"
    path.write_text(source)
    assert list(violations(path))


def test_plain_sentences_pass(tmp_path):
    path = tmp_path / "source.py"
    path.write_text(
        'def f(seed):\n    """Return the number of bins.\n\n    Args:\n        seed: Random seed.\n    """\n'
    )
    assert not list(violations(path))


def test_a_banned_phrase_on_a_page_is_seen(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("# Sampling\n\nThe model is told the direction.\n")
    assert [line for line, _ in violations_of_page(path)] == [3]


def test_questions_and_remedies_that_say_something_pass(tmp_path):
    path = tmp_path / "source.py"
    path.write_text(
        'raise DataError("These rates are in Hz.", "What is the bin width?", "Divide them by the bin width.")\n'
    )
    assert not list(violations(path))


if __name__ == "__main__":
    for path in FILES:
        for line, reason in violations(path):
            sys.stdout.write(f"{path.relative_to(ROOT)}:{line}: {reason}\n")
    for path in PAGES:
        for line, reason in violations_of_page(path):
            if path.name not in ABOUT_WORDS:
                sys.stdout.write(f"{path.relative_to(ROOT)}:{line}: {reason}\n")
