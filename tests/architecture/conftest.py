"""The repository as its own rules see it: which files there are, and their syntax trees."""

import ast
import os
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Made by tools, never written by hand.
GENERATED = {".git", ".venv", ".make", "var", "build", "dist", "libs", "__pycache__", "target", "node_modules"}


@cache
def files() -> tuple[Path, ...]:
    """Every file of the repository that a person wrote, relative to its root."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in GENERATED and not name.endswith("_cache") and name not in {".hypothesis", ".idea", ".vscode"}
        ]
        found += [Path(folder, name).relative_to(ROOT) for name in names if name != ".git"]
    return tuple(sorted(found))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def written() -> tuple[Path, ...]:
    """Every file that a person wrote."""
    assert len(files()) > 30
    return files()


@pytest.fixture(scope="session")
def modules() -> dict[Path, ast.Module]:
    """Every Python file with its syntax tree."""
    found = {path: tree(path) for path in files() if path.suffix == ".py"}
    assert len(found) > 20
    return found


@pytest.fixture(scope="session")
def product(modules: dict[Path, ast.Module]) -> dict[Path, ast.Module]:
    """The Python files that are shipped: no tests, no benchmarks."""
    found = {path: module for path, module in modules.items() if path.parts[0] in {"src", "consumers", "producers"}}
    assert len(found) > 15
    return found
