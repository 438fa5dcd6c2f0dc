"""What the documents tell people to type exists, and what they point at is there."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import typer

from milepost import settings
from milepost.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])


class Command(NamedTuple):
    where: str
    words: tuple[str, ...]


def commands() -> list[Command]:
    """Every line of every `sh` block, without its comment."""
    return [
        Command(f"{path.relative_to(ROOT)}: {line.strip()}", tuple(words))
        for path in DOCUMENTS
        for block in re.finditer(r"^```sh\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for line in block[1].replace("\\\n", " ").splitlines()
        if (words := shlex.split(line, comments=True))
    ]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def milepost(words: list[str]) -> None:
    """The words name a command of the command line, and options that it has."""
    command = typer.main.get_command(app)
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        assert words, "a group, not a command"
        name = words.pop(0)
        assert name in command.commands, f"milepost has no command {name!r}"
        command = command.commands[name]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in options | {"--help"}]
    assert unknown == []


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.where)
def test_what_people_are_told_to_type_exists(command: Command) -> None:
    words = list(command.words)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        variable = words.pop(0).split("=")[0]
        assert variable == "CI" or settings.unknown_variables({variable: ""}) == {}
    program = words.pop(0)
    if program == "make":
        assert {word for word in words if "=" not in word} <= targets()
        assert {word.split("=")[0] for word in words if "=" in word} <= {"KAFKA", "ARGS", "PYTHON"}
    elif program in {"milepost", ".venv/bin/milepost"}:
        milepost(words)
    else:
        assert program in {"git", "cd", "docker"} or (ROOT / program).is_file(), f"unknown program {program}"


def test_the_readme_has_commands() -> None:
    assert len([command for command in commands() if command.where.startswith("README.md")]) >= 8


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\[[^\]]+\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    inside = [link.split("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in inside if not (path.parent / link).exists()] == []


def test_decisions_say_what_would_change_them() -> None:
    decisions = sorted((ROOT / "docs/adr").glob("*.md"))
    assert len(decisions) >= 5
    assert [path.name[:4] for path in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. ")
        assert "## What would change it" in text, path.name
        assert len(text.splitlines()) <= 55, f"{path.name} is longer than a page"


def test_make_alone_lists_every_command() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert explained == phony == targets()
    assert ".DEFAULT_GOAL := help" in makefile


def normal(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_file_holds_every_dependency_with_its_hash() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    wanted += [name for extra in project["project"]["optional-dependencies"].values() for name in extra]
    locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==\S+(.*)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    names = {normal(re.split(r"[\[<>=; ]", requirement)[0]) for requirement in wanted}
    assert len(names) > 20
    assert sorted(names - {normal(name) for name in locked}) == []
    assert all(rest.endswith("\\") for rest in locked.values()), "a version without a hash"
