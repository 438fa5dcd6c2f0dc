"""The core sees no clock, no chance, no I/O and no float; what it imports is the standard library and msgspec."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The standard library's doors to the outside, and its float arithmetic.
DOORS = {
    "asyncio", "builtins", "concurrent", "ctypes", "fileinput", "glob", "http", "importlib", "io", "logging", "math",
    "multiprocessing", "os", "pathlib", "pickle", "platform", "random", "secrets", "select", "shutil", "signal",
    "socket", "sqlite3", "ssl", "statistics", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request",
    "warnings",
}  # fmt: skip
CALLS = {"open", "print", "input", "float", "eval", "exec", "hash", "id"}
METHODS = {"now", "today", "utcnow", "uuid1", "uuid4"}


def imports(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.lineno, node.module or ""


def impurities(module: ast.Module) -> list[tuple[int, str]]:
    """What a module of the core may not do, each with its line."""
    found = []
    for line, name in imports(module):
        top = name.split(".")[0]
        inside = name == "milepost.core" or name.startswith("milepost.core.")
        if not (inside or top == "msgspec" or (top in sys.stdlib_module_names and not {top, name} & DOORS)):
            found.append((line, f"imports {name}"))
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append((node.lineno, f"the float {node.value}"))
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS | METHODS:
                found.append((node.lineno, f"calls {node.func.id}()"))
            elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                found.append((node.lineno, f"calls .{node.func.attr}()"))
        elif isinstance(node, ast.Name) and node.id == "float":
            found.append((node.lineno, "names float"))
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global):
            found.append((node.lineno, f"has {type(node).__name__}"))
    return found


def test_the_core_is_pure(product: dict[Path, ast.Module]) -> None:
    core = {path: module for path, module in product.items() if path.is_relative_to("src/milepost/core")}
    assert len(core) >= 5
    assert [f"{path}:{line} {what}" for path, module in core.items() for line, what in impurities(module)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from random import random",
        "import fastavro",
        "import milepost.settings",
        "from milepost import codec",
        "rate = 0.1",
        "moment = datetime.now(UTC)",
        "number = float(text)",
        "key = hash(name)",
        "async def fold(): ...",
    ],
)
def test_impurity_is_noticed(source: str) -> None:
    assert impurities(ast.parse(source))


def test_what_the_core_needs_is_allowed() -> None:
    source = "from decimal import Decimal\nimport msgspec\nfrom milepost.core.money import rounded\nhalf = total // 2\n"
    assert impurities(ast.parse(source)) == []
