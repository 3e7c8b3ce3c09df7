"""Rules of the source, checked with `ast`: imports, docstrings, parameters, and calls that could run code."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_language import BANNED_NAMES

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "spikeloom"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(), str(path)) for path in FILES}

FLOORS = [
    {"errors", "text", "shapes", "seeds", "files", "html", "cluster", "processes"},
    {"settings", "objects", "clock", "angles"},
    {"trials", "observation", "nn"},
    {"diffusion", "training", "metrics", "data", "simulate", "losses"},
    {"models"},
    {"recipe", "recipes", "evaluation", "report", "tuning", "searches", "demo", "studio", "live", "distributed"},
    {"cli", "__main__"},
]
"""Parts of the package from the ground up, as docs/develop/architecture.md draws them.

`live` uses trained models and loads runs, and only the command line uses it.
"""

NEVERS = [
    ("models", "data"),
    ("metrics", "models"),
    ("metrics", "nn"),
    ("evaluation", "models"),
    ("evaluation", "nn"),
    ("report", "models"),
    ("report", "nn"),
    ("report", "evaluation"),
    ("nn", "diffusion"),
    ("data", "nn"),
]
MODEL_CORE = "common"
"""Folder of what all models share; every file of models/ is a paper and imports no other paper."""

NO_TORCH = {"angles", "clock", "html", "objects", "metrics", "data", "evaluation", "report", "trials", "errors"}
NO_TORCH |= {"seeds", "shapes", "text"}
SINGULAR_AND_PLURAL = {"s", "es"}
ALIKE_ON_PURPOSE = [
    {"centred", "centres"},  # deviations from a mean; where windows lie
    {"sampler", "samples"},  # of the diffusion; values of a behaviour series
    {"stages", "states"},  # of training; of a recurrence
]


def module(path: Path) -> str:
    """Dotted name of a source file."""
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path): path for path in FILES}


def imports(path: Path, *, when_imported: bool = False) -> Iterator[tuple[int, str]]:
    """Line and name of a file's imports, in functions too unless `when_imported`; not those only for type checkers."""
    hidden = (ast.FunctionDef, ast.AsyncFunctionDef) if when_imported else ()
    unseen = {
        id(inner)
        for node in ast.walk(TREES[path])
        if isinstance(node, hidden) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(TREES[path]):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, (inner if inner in MODULES or alias.name == "__version__" else str(node.module))


def floor(name: str) -> int:
    """Floor of a top-level part of the package, from 1; the package itself stands on top of all."""
    return next((number for number, parts in enumerate(FLOORS, 1) if name in parts), 0)


def part(name: str) -> str:
    """`nn` of `spikeloom.nn.ssm`."""
    return name.split(".")[1] if "." in name else ""


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef, ast.ClassDef | None]]:
    """Every function with the class it is a method of, if any."""
    for path, tree in TREES.items():
        owner = {id(item): node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node, owner.get(id(node))


CLASSES = {node.name: node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def overrides(method: str, owner: ast.ClassDef | None) -> bool:
    """Return whether a parent class has the method and so determines its parameters and docstring."""
    bases = [CLASSES.get(ast.unparse(base).split(".")[-1].split("[")[0]) for base in (owner.bases if owner else [])]
    return any(
        any(isinstance(item, ast.FunctionDef) and item.name == method for item in base.body) or overrides(method, base)
        for base in bases
        if base is not None and base is not owner
    )


def overridden(method: str, owner: ast.ClassDef | None) -> bool:
    """Return whether a subclass replaces the method."""
    return owner is not None and any(
        isinstance(item, ast.FunctionDef) and item.name == method
        for child in CLASSES.values()
        if owner.name in [ast.unparse(base).split(".")[-1].split("[")[0] for base in child.bases]
        for item in child.body
    )


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Names of all parameters."""
    spec = node.args
    every = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
    return [argument.arg for argument in every if argument is not None]


def test_imports_point_down():
    wrong = []
    for path in FILES:
        here = part(module(path))
        for line, name in imports(path):
            if name.split(".")[0] != "spikeloom" or not here or name == "spikeloom.__version__":
                continue
            there = part(name)
            assert floor(here), f"{here} stands on no floor: add it to FLOORS"
            if not there or not floor(there) or floor(there) > floor(here):
                wrong.append(f"{path.name}:{line} ({here}) imports {name}")
            if (here, there) in NEVERS:
                wrong.append(f"{path.name}:{line}: {here} never imports {there}")
            other = name.removeprefix("spikeloom.models.").split(".")[0]
            if here == there == "models" and other not in (MODEL_CORE, path.stem) and path.stem != "__init__":
                wrong.append(f"{path.name}:{line}: models never import each other")
    assert not wrong, "\n".join(wrong)


def room(name: str) -> str:
    """`nn` of `spikeloom.nn.ssm`; `models/common` is a room of its own, below the papers."""
    parts = name.split(".")[1:]
    return "/".join(parts[:2]) if parts[:2] == ["models", "common"] else parts[0] if parts else ""


def module_edges() -> dict[str, set[str]]:
    """Module -> modules of ours that it imports, in functions too."""
    return {name: {other for _, other in imports(path) if other in MODULES} for name, path in MODULES.items()}


def room_edges() -> dict[str, set[str]]:
    """Room -> other rooms that it imports from, in functions too; the package itself is no room."""
    edges: dict[str, set[str]] = {room(name): set() for name in MODULES if room(name)}
    for name, others in module_edges().items():
        if room(name):
            edges[room(name)] |= {room(other) for other in others} - {room(name), ""}
    return edges


def in_circle(edges: dict[str, set[str]]) -> set[str]:
    """Nodes that lie on a circle of imports, or between two."""
    for inverse in (False, True):
        while edges:
            aims = {other for others in edges.values() for other in others}
            free = {name for name, others in edges.items() if not others or (inverse and name not in aims)}
            if not free:
                break
            edges = {name: others - free for name, others in edges.items() if name not in free}
    return set(edges)


def test_no_import_cycles():
    """Imports inside functions count, too."""
    assert not in_circle(module_edges())


def test_rooms_import_each_other_in_one_direction():
    assert not in_circle(room_edges())


def test_the_circle_test_bites():
    assert in_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"b", "c"}
    assert in_circle({"a": {"b"}, "b": {"c"}, "c": set()}) == set()


def test_numpy_floors_leave_torch_alone():
    wrong = [
        f"{path.name}:{line}"
        for path in FILES
        if part(module(path)) in NO_TORCH
        for line, name in imports(path)
        if name.split(".")[0] == "torch"
    ]
    assert not wrong, wrong


def test_package_files_define_nothing():
    root = SOURCE / "__init__.py"  # hands names on lazily, which takes a __getattr__
    allowed = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign)
    wrong = [
        f"{path.parent.name}/__init__.py:{node.lineno}"
        for path in FILES
        if path.name == "__init__.py" and path != root
        for node in TREES[path].body
        if not isinstance(node, allowed) or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) != "__all__")
    ]
    assert not wrong, wrong


def test_public_names_have_docstrings():
    missing = [
        module(path)
        for path, tree in TREES.items()
        if path.name not in ("__init__.py", "__main__.py") and not ast.get_docstring(tree)
    ]
    nested = {id(inner) for _, node, _ in functions() for inner in ast.walk(node) if inner is not node}
    for path, node, owner in functions():
        private = node.name.startswith("_") or (owner is not None and owner.name.startswith("_"))
        if not private and id(node) not in nested and not ast.get_docstring(node) and not overrides(node.name, owner):
            missing.append(f"{path.name}:{node.lineno} {node.name}")
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
                missing.append(f"{path.name}:{node.lineno} {node.name}")
    assert not missing, "\n".join(missing)


def test_every_parameter_is_read():
    unread = []
    for path, node, owner in functions():
        marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
        if (
            "abstractmethod" in marks
            or "overload" in marks
            or overrides(node.name, owner)
            or overridden(node.name, owner)
        ):
            continue
        body = [inner for statement in node.body for inner in ast.walk(statement)]
        read = {inner.id for inner in body if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Store)}
        skip = {"self", "cls"} if owner else set()
        dunder = re.fullmatch(r"__(exit|get|getattr|dir|setattr)__", node.name)  # signatures that Python dictates
        unread += [
            f"{path.name}:{node.lineno} {node.name}({name})"
            for name in parameters(node)
            if name not in read | skip and not name.startswith("_") and not dunder
        ]
    assert not unread, "\n".join(unread)


def test_nothing_can_unpickle():
    wrong = []
    for path, tree in TREES.items():
        wrong += [f"{path.name}:{line} imports {name}" for line, name in imports(path) if name.split(".")[0] in DOORS]
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            call, words = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if call == "torch.load" and words.get("weights_only") != "True":
                wrong.append(f"{path.name}:{node.lineno} torch.load without weights_only=True")
            if words.get("allow_pickle", "False") != "False" or call in ("eval", "exec", "torch.save"):
                wrong.append(f"{path.name}:{node.lineno} {call}")
    assert not wrong, "\n".join(wrong)


DOORS = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}


RAY = {"ray", "ray.tune", "ray.tune.schedulers"}
"""Doors of Ray that it promises to keep; other software froze when private ones moved."""


def test_ray_is_used_by_its_public_doors_only():
    wrong = []
    for path, tree in TREES.items():
        wrong += [f"{path.name}:{line} {name}" for line, name in imports(path) if part_of_ray(name) and name not in RAY]
        if any(part_of_ray(name) for _, name in imports(path)):
            wrong += [
                f"{path.name}:{node.lineno} {ast.unparse(node)}"
                for node in ast.walk(tree)
                if (isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"))
                or (isinstance(node, ast.keyword) and (node.arg or "").startswith("_"))
            ]
    assert not wrong, wrong


def part_of_ray(name: str) -> bool:
    """Return whether a module belongs to Ray."""
    return name.split(".")[0] == "ray"


def test_only_the_command_line_prints():
    wrong = [
        f"{path.name}:{node.lineno}"
        for path, tree in TREES.items()
        if part(module(path)) != "cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert not wrong, wrong


def test_no_self_type():
    wrong = [path.name for path in FILES if re.search(r"import .*\bSelf\b", path.read_text())]
    assert not wrong, f"name the class in quotation marks: with shapes checked, beartype refuses Self: {wrong}"


def test_long_files_are_named():
    """A file past 400 lines usually has two reasons to change. That is a warning to its reader, not a fault."""
    long = {path.name: lines for path in FILES if (lines := path.read_text().count("\n")) > 400}
    if long:
        warnings.warn(f"files of more than 400 lines: {long}", stacklevel=1)


def packed(node: ast.AST) -> bool:
    """Return whether a node assigns several values in one statement although one after the other would do.

    A swap, where a later value reads an earlier target, needs one statement.
    """
    if not (
        isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
    ):
        return False
    targets = node.targets[0].elts
    values = node.value.elts
    read = [{ast.unparse(part) for later in values[i + 1 :] for part in ast.walk(later)} for i in range(len(values))]
    swapped = any(ast.unparse(target) in after for target, after in zip(targets, read, strict=False))
    return not swapped and all(isinstance(target, ast.Name | ast.Attribute) for target in targets)


def test_a_statement_assigns_one_value():
    wrong = [
        f"{path.name}:{node.lineno}: {ast.unparse(node)}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if packed(node)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_test_of_packed_statements_bites():
    assert packed(ast.parse("a, b = f(), g()").body[0])
    assert not packed(ast.parse("a, b = b, a").body[0])


def test_no_two_parameters_one_letter_apart():
    names = sorted(
        {name for _, node, _ in functions() for name in parameters(node) if len(name) > 5}
    )  # short words are too close by nature
    alike = [
        (first, second)
        for first, second in itertools.combinations(names, 2)
        if one_apart(first, second)
        and {first, second} not in ALIKE_ON_PURPOSE
        and second.removeprefix(first) not in SINGULAR_AND_PLURAL
    ]
    assert not alike, f"rename one of each pair: {alike}"


def one_apart(first: str, second: str) -> bool:
    """Return whether two words differ by one letter that is added, left out or changed."""
    short, long = sorted((first, second), key=len)
    if len(long) - len(short) > 1:
        return False
    same = next((k for k, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]), len(short))
    return short[same + (len(short) == len(long)) :] == long[same + 1 :]


def test_help_is_quick_and_leaves_torch_alone():
    code = (
        "import sys, time, resource\nfrom spikeloom.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "use = resource.getrusage(resource.RUSAGE_SELF)\n"
        "heavy = {'torch', 'numpy', 'scipy', 'h5py', 'optuna', 'ray'} & set(sys.modules)\n"
        "print('REPORT', use.ru_utime + use.ru_stime, *sorted(heavy))"
    )
    seconds = []
    for _ in range(3):  # CPU seconds, the best of three: the machine may be busy with other tests
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        cost, *heavy = out.rsplit("REPORT", 1)[1].split()
        assert not heavy
        assert "evaluate" in out
        seconds.append(float(cost))
    assert min(seconds) < 0.3


def test_one_version_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def tracked(*suffixes: str) -> list[str]:
    """Return the names of the tracked files with one of these suffixes, or of all."""
    if not (ROOT / ".git").exists():
        pytest.skip("the tracked files are only known in a git checkout")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\n") if name.endswith(suffixes or "") and (ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str], names: list[str]) -> list[str]:
    """Return each line of these files that a pattern matches, after its file and number."""
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in names
        for number, line in enumerate((ROOT / name).read_text().split("\n"), 1)
        if pattern.search(line)
    ]


def test_no_paths_of_one_machine():
    homes = re.compile("/" + r"(?:work|root|Users|home/\w+)" + "/")
    binary = (".png", ".h5", ".npz", ".safetensors")
    assert not lines_with(homes, [name for name in tracked() if not name.endswith(binary)])


def test_one_word_has_one_meaning():
    """Words of several meanings stay out of names and prose; docs/develop/writing.md lists the words to write."""
    about = {"docs/develop/writing.md", "docs/reference/glossary.md", "tests/test_house.py", "tests/test_language.py"}
    names = [name for name in tracked(".py", ".md", ".toml", ".js", ".css") if name not in about | {"CHANGELOG.md"}]
    several = re.compile(
        r"trivial|(?<![A-Za-z])(asked|told|heard|(?<!ast\.)walk(s|ed|ing)?(?!_packages)|watch(ed|ing|es)?)(?![A-Za-z])",
        re.I,
    )
    renamed = re.compile(r"[\"-]watch\b|`--watch`|watch_every|\.watch=")  # old names; messages answer with the new ones
    wrong = [line for line in lines_with(several, names) if not renamed.search(line)]
    assert not wrong, "\n".join(wrong)


def test_local_names_are_nouns():
    wrong = []
    for name in tracked(".py"):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            word = node.arg if isinstance(node, ast.arg) else getattr(node, "id", "")
            if word in BANNED_NAMES and not isinstance(getattr(node, "ctx", None), ast.Load):
                wrong.append(f"{name}:{node.lineno}: {word}")
    assert not wrong, "\n".join(wrong)


def test_any_is_rare():
    """`Any` switches the checks of types off: a settings tree is dict[str, object], an object of a library Foreign."""
    lines = lines_with(re.compile(r"\bAny\b"), [name for name in tracked(".py") if name.startswith("src/")])
    assert len(lines) < 40, "\n".join(lines)
