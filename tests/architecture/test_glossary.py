"""Names in the code and in the schemas use the words of docs/GLOSSARY.md, and none that it rules out."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Word(NamedTuple):
    instead: str
    excepted: str | None


def ruled_out() -> dict[str, Word]:
    """Each word that is not used here, with the one that is and the package that is excepted."""
    words = {}
    for line in (ROOT / "docs/GLOSSARY.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and cells[0] not in {"word", "---"}:
            for word, package in re.findall(r"(\w+)(?: \(except in (\w+)/\))?", cells[2]):
                words[word] = Word(cells[0], package or None)
    return words


def split(name: str) -> set[str]:
    """The words of a name, snake or camel, plural and singular: `ProjectIds` gives project, id, ids, ..."""
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return words | {word.removesuffix("s") for word in words}


def defined(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Names that a module defines; a library's names, which it only uses, are the library's affair."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def schema_names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("name"), str):
            yield schema["name"]
        for value in schema.values():
            yield from schema_names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from schema_names(value)


def test_the_glossary_rules_words_out() -> None:
    assert {"subscription", "project", "dlq"} <= ruled_out().keys()
    assert ruled_out()["project"].instead == "engagement"


def test_code_keeps_to_the_glossary(product: dict[Path, ast.Module]) -> None:
    words = ruled_out()
    names = [(path, line, name) for path, module in product.items() for line, name in defined(module)]
    names += [(path, 0, path.stem) for path in product]
    assert len(names) > 500
    wrong = [
        f"{path}:{line} {name}: say {words[word].instead}"
        for path, line, name in names
        for word in split(name) & words.keys()
        if words[word].excepted not in path.parts
    ]
    assert wrong == []


def test_schemas_keep_to_the_glossary() -> None:
    words = ruled_out()
    schemas = sorted((ROOT / "schemas").glob("*.avsc"))
    names = [(path, name) for path in schemas for name in schema_names(json.loads(path.read_text(encoding="utf-8")))]
    assert len(names) > 100
    assert [f"{path.name} {name}" for path, name in names if split(name) & words.keys()] == []


@pytest.mark.parametrize("name", ["project_id", "ProjectIds", "DLQ_TOPIC", "on_subscription", "moved_to_dlq"])
def test_a_wrong_word_is_noticed(name: str) -> None:
    assert split(name) & ruled_out().keys()
