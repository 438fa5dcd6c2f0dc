"""House rules that no linter knows. None has a list of exceptions."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

Modules = dict[Path, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef

MODULE_LINES = 400
FUNCTION_LINES = 70
PROCESS_LINES = 40
README_LINES = 120
VAGUE = {"util", "utils", "common", "helper", "helpers", "misc", "shared", "stuff", "base_utils"}
UNITS = {"ms", "us", "ns", "bps", "minor", "seconds"}
# Spelt apart, so that this file obeys what it checks.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "HA" + "CK")) + r")\b")
TOOTHLESS = re.compile(r"\|\|\s*(true|:)\s*(?:$|[;&|)\"'])", re.MULTILINE)
SHELL = {".sh", ".yml", ".yaml", ".toml"}


def functions(module: ast.Module) -> Iterator[Function]:
    for node in ast.walk(module):
        if isinstance(node, Function):
            yield node


def public(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_modules_are_short(root: Path, modules: Modules) -> None:
    lengths = {path: len((root / path).read_text().splitlines()) for path in modules}
    assert {str(path): lines for path, lines in lengths.items() if lines >= MODULE_LINES} == {}


def test_functions_are_short(modules: Modules) -> None:
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, module in modules.items()
        for node in functions(module)
    }
    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines >= FUNCTION_LINES} == {}


def test_processes_only_wire_and_start(root: Path, modules: Modules) -> None:
    processes = [path for path in modules if path.parts[0] in {"consumers", "producers"}]
    assert len(processes) >= 2
    assert [str(path) for path in processes if len((root / path).read_text().splitlines()) > PROCESS_LINES] == []


def test_readme_is_short(root: Path) -> None:
    assert 30 < len((root / "README.md").read_text().splitlines()) <= README_LINES


def test_no_module_has_a_vague_name(written: tuple[Path, ...]) -> None:
    names = {path: {*path.parts[:-1], path.stem} for path in written}
    assert [str(path) for path, parts in names.items() if parts & VAGUE] == []


def test_nothing_is_left_unfinished(root: Path, written: tuple[Path, ...]) -> None:
    looked, found = 0, []
    for path in written:
        if path.name in {"requirements.lock", "LICENSE"} or path.suffix in {".avro", ".bin", ".png"}:
            continue
        looked += 1
        for number, line in enumerate((root / path).read_text(encoding="utf-8").splitlines(), 1):
            if UNFINISHED.search(line):
                found.append(f"{path}:{number}: {line.strip()}")
    assert looked > 50
    assert found == []


def test_no_command_hides_its_failure(root: Path, written: tuple[Path, ...]) -> None:
    scripts = [path for path in written if path.suffix in SHELL or path.name == "Makefile" or path.parts[0] == ".ci"]
    assert {Path("Makefile"), Path(".ci/run"), Path("docker-compose.yml")} <= set(scripts)
    assert TOOTHLESS.search("x || " + "true")
    found = [str(path) for path in scripts if TOOTHLESS.search((root / path).read_text())]
    assert found == []
    assert not re.search(r"^\t-", (root / "Makefile").read_text(), re.MULTILINE), (
        "make ignores the failure of such a line"
    )


def test_public_names_say_what_they_are(product: Modules) -> None:
    silent = [
        f"{path}:{node.lineno} {node.name}"
        for path, module in product.items()
        for node in public(module.body)
        if not ast.get_docstring(node)
    ]
    silent += [str(path) for path, module in product.items() if not ast.get_docstring(module)]
    assert silent == []


def named(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Names of values that a module gives: parameters, fields, variables, constants."""
    for node in ast.walk(module):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def test_units_stand_last(product: Modules) -> None:
    looked, found = 0, []
    for path, module in product.items():
        for line, name in named(module):
            words = name.lower().strip("_").split("_")
            looked += bool(set(words) & UNITS)
            # MS_PER_SECOND is a rate between two units, not a value in one of them.
            if "per" not in words and any(first in UNITS for first, _ in pairwise(words)):
                found.append(f"{path}:{line} {name}")
    assert looked > 10
    assert found == []


def every_test(modules: Modules) -> Iterator[tuple[Path, Function]]:
    for path, module in modules.items():
        if path.parts[0] == "tests":
            for node in functions(module):
                if node.name.startswith("test_"):
                    yield path, node


def judges(node: Function, known: dict[str, list[Function]], seen: set[str]) -> bool:
    """Whether a test asserts: itself, by expecting an error, or through a function or method of the suite's own."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert):
            return True
        if isinstance(inner, ast.Call):
            called = ast.unparse(inner.func).rsplit(".", 1)[-1]
            if called in {"raises", "warns", "golden"}:
                return True
            if called not in seen and any(judges(each, known, seen | {called}) for each in known.get(called, ())):
                return True
    return False


def test_every_test_judges(modules: Modules) -> None:
    known: dict[str, list[Function]] = {}
    for path, module in modules.items():
        for node in functions(module) if path.parts[0] == "tests" else ():
            known.setdefault(node.name, []).append(node)
    looked, silent = 0, []
    for path, node in every_test(modules):
        looked += 1
        if not judges(node, known, {node.name}):
            silent.append(f"{path}:{node.lineno} {node.name}")
    assert looked > 100
    assert silent == []


def test_no_test_is_skipped_or_mocked(modules: Modules) -> None:
    """A test is left out by its marker alone, where `make test` counts it; nothing under test is replaced."""
    banned = {"skip", "skipif", "importorskip", "SkipTest", "skipTest"}
    looked, found = 0, []
    for path, module in modules.items():
        if path.parts[0] != "tests":
            continue
        looked += 1
        for node in ast.walk(module):
            if isinstance(node, ast.Attribute) and node.attr in banned:
                found.append(f"{path}:{node.lineno} {node.attr}")
            if isinstance(node, ast.Import | ast.ImportFrom) and re.search(r"\bmock\b", ast.unparse(node)):
                found.append(f"{path}:{node.lineno} {ast.unparse(node)}")
    assert looked > 5
    assert found == []


def test_broad_excepts_are_at_process_boundaries(product: Modules) -> None:
    """`except Exception` may stand where a process or a partition's task ends, and must raise or report there."""
    boundaries = {"cli", "join", "ledger", "notices", "gateway", "clock", "backfill", "console", "demo", "kafka"}
    looked, found = 0, []
    for path, module in product.items():
        for node in ast.walk(module):
            if not isinstance(node, ast.ExceptHandler):
                continue
            looked += 1
            broad = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
            if broad and not (path.parts[0] in {"consumers", "producers"} or boundaries & set(path.parts)):
                found.append(f"{path}:{node.lineno}")
    assert looked > 3
    assert found == []
