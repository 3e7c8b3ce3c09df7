"""Plain English in names, docstrings and messages, read off our own source with `ast`.

The rules are those of `docs/develop/writing.md`. Files that were written before the rules hold are listed in
`language_exceptions.json` with the number of violations each still has; more than these fail. After cleaning a file,
`python -m tests.test_language --write` takes it off the list, and `python -m tests.test_language` prints what is left.
"""

import ast
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "spikeloom"
FILES = sorted(SOURCE.rglob("*.py"))
EXCEPTIONS = Path(__file__).with_name("language_exceptions.json")

BANNED_NAMES = {"told", "asked", "given", "heard", "known", "own", "found", "place", "some", "whole", "thing", "many"}
"""Local names that are no nouns: write what is in them."""

FRAGMENT = re.compile(
    r"^(Of|What|How|Whether|Whose|Whoever|For|From|In|On|At|By|To|With|Within|Without|As|Among|Between|Under|Over|After"
    r"|Before|Beside)\b"
)
"""First words of docstrings that continue the name instead of saying something."""

BANNED_WORDS = re.compile(
    r"\b(so many|as many as|goes on where|is told|are told|was told|were told|speaks?|be heard|was heard"
    r"|half trained)\b",
    re.I,
)
"""Words of no plain message or docstring."""

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
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in BANNED_NAMES:
            yield node.lineno, f"the name {node.id!r} says nothing: write the noun"
        if isinstance(node, ast.arg) and node.arg in BANNED_NAMES:
            yield node.lineno, f"the parameter {node.arg!r} says nothing: write the noun"
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in MESSAGES:
            for word in [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)]:
                if isinstance(word, str) and (match := BANNED_WORDS.search(word)):
                    yield node.lineno, f"a message says {match.group()!r}"
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef) and isinstance(body, list):
            for statement in body[1:]:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    text = statement.value.value
                    if isinstance(text, str) and FRAGMENT.match(text):
                        yield statement.lineno, f"a fragment: {text[:40]!r}"


def of_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    """Line and reason of what the rules forbid in a docstring."""
    text = ast.get_docstring(node)
    if not text:
        return
    line = node.body[0].lineno
    first = re.split(r"(?<=[.:;])\s|\n\n", text, maxsplit=1)[0]
    if FRAGMENT.match(first):
        yield line, f"a docstring that continues its name: {first[:50]!r}"
    if match := BANNED_WORDS.search(text):
        yield line, f"a docstring says {match.group()!r}"
    for entry in re.findall(r"^\s+\w+: (.*)$", text, re.M):
        if re.match(r"(Of|What|How|Whose|Whoever) ", entry):
            yield line, f"an argument's description is a fragment: {entry[:50]!r}"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node) and not says(first):
        yield line, f"the first sentence of {node.name} has no verb: {first[:60]!r}"


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is read like an attribute, so that its docstring may name a thing."""
    return any("property" in ast.unparse(mark) for mark in node.decorator_list)


def says(sentence: str) -> bool:
    """Return whether a sentence begins with a command or holds a verb."""
    words = re.findall(r"[A-Za-z']+", re.sub(r"`[^`]*`", "", sentence))
    if not words:
        return True
    if IMPERATIVE.match(sentence) and words[0] not in NO_VERBS and not words[0].endswith("s"):
        return True
    return bool(re.search(r"\b(is|are|was|has|have|does|do|can|may|must|will)\b", sentence))


def counted() -> dict[str, int]:
    """Return the number of violations of each file that has any."""
    numbers = {path.relative_to(SOURCE).as_posix(): len(list(violations(path))) for path in FILES}
    return {name: number for name, number in numbers.items() if number}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_language_is_plain(path):
    allowed = json.loads(EXCEPTIONS.read_text()).get(path.relative_to(SOURCE).as_posix(), 0)
    wrong = [f"{path.name}:{line}: {reason}" for line, reason in violations(path)]
    assert len(wrong) <= allowed, "\n".join(wrong)


def test_the_list_of_exceptions_is_short():
    better = sorted(set(json.loads(EXCEPTIONS.read_text())) - set(counted()))
    if better:
        warnings.warn(f"clean now: {better}. Run `python -m tests.test_language --write`.", stacklevel=1)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    told = 1\n",
        "def f(asked):\n    pass\n",
        'def f():\n    """Of the draw."""\n',
        'def f():\n    """The number of bins."""\n',
        'A = 1\nB = 2\n"""Of simulating and refitting."""\n',
        'raise DataError("There must be so many trials.", "", "")\n',
        'class A:\n    """Settings.\n\n    Args:\n        seed: Of the draw.\n    """\n',
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


if __name__ == "__main__":
    if "--write" in sys.argv:
        EXCEPTIONS.write_text(json.dumps(counted(), indent=1, sort_keys=True) + "\n")
    else:
        for path in FILES:
            for line, reason in violations(path):
                sys.stdout.write(f"{path.relative_to(SOURCE)}:{line}: {reason}\n")
