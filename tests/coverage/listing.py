"""Which test shows which sentence of the specification: `PAGE.txt`, read and written out as docs/COVERAGE.md.

An entry is the sentence's name at the margin (page, section, number), the sentence, and a line beginning with `>` for
each test that shows it: a scenario's name, or `path/test_module.py::test_name`.
"""

import ast
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["Sentence", "as_markdown", "exists", "sentences"]

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "core" / "scenarios"
_PAGES = {"contract": "The contract language", "events": "Topics and records", "rules": "How money is decided"}


class Sentence(NamedTuple):
    """A sentence that states behaviour, and the tests that show it."""

    name: str
    text: str
    shown_by: tuple[str, ...]


def sentences() -> list[Sentence]:
    """All of them, in the order of the pages."""
    found: list[Sentence] = []
    for line in (line for page in _PAGES for line in _page(page)):
        if not line.startswith(" "):
            found.append(Sentence(line, "", ()))
        elif line.startswith("  > "):
            found[-1] = found[-1]._replace(shown_by=(*found[-1].shown_by, line.removeprefix("  > ")))
        else:
            found[-1] = found[-1]._replace(text=line.strip())
    return found


def exists(test: str) -> bool:
    """Whether there is such a scenario or test function."""
    path, _, name = test.partition("::")
    if not name:
        return (SCENARIOS / f"{test}.txt").is_file()
    return name in _functions(ROOT / path)


def _page(name: str) -> list[str]:
    return Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8").splitlines()


@lru_cache
def _functions(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def as_markdown(found: list[Sentence]) -> str:
    """The page: a table a document, a row a sentence."""
    lines = [
        "# Which test shows which sentence",
        "",
        "Generated from `tests/coverage/*.txt` by `make golden`; a test holds the two together and sees that every",
        "test named here exists. A name without a path is a scenario in `tests/core/scenarios`.",
    ]
    page = ""
    for sentence in found:
        if sentence.name.split()[0] != page:
            page = sentence.name.split()[0]
            lines += ["", f"## {_PAGES[page]}", "", "| | sentence | shown by |", "|---|---|---|"]
        number = sentence.name.partition(" ")[2]
        tests = "<br>".join(f"`{test}`" for test in sentence.shown_by)
        lines.append(f"| {number} | {sentence.text.replace('|', chr(92) + '|')} | {tests} |")
    return "\n".join(lines) + "\n"
