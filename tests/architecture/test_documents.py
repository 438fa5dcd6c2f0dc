"""What the documents tell people to type exists, and what they point at is there."""

import json
import os
import re
import shlex
import subprocess
import sys
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


def blocks(path: Path) -> list[str]:
    """The text of every `sh` block."""
    return re.findall(r"^```sh\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> list[Command]:
    """Every line of every `sh` block, without its comment."""
    return [
        Command(f"{path.relative_to(ROOT)}: {line.strip()}", tuple(words))
        for path in DOCUMENTS
        for block in blocks(path)
        for line in block.replace("\\\n", " ").splitlines()
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
        assert {word.split("=")[0] for word in words if "=" in word} <= {"KAFKA", "SERVE", "ARGS", "PYTHON"}
    elif program in {"milepost", ".venv/bin/milepost"}:
        milepost(words)
    else:
        assert program in {"git", "cd", "docker", "curl"} or (ROOT / program).is_file(), f"unknown program {program}"


def alone(command: Command) -> bool:
    """Whether a command is finished by itself, without a broker, a container or a build."""
    if command.words[:2] == (".venv/bin/milepost", "explain") and "--contract" not in command.words:
        return False  # it asks the ledger: tests/operations/test_page.py
    return command.words[0] == ".venv/bin/milepost" and command.words[1] in {
        "contract",
        "simulate",
        "config",
        "explain",
    }


@pytest.mark.parametrize("command", [each for each in commands() if alone(each)], ids=lambda command: command.where)
def test_what_needs_no_broker_runs_as_it_stands(command: Command) -> None:
    program = Path(sys.executable).with_name("milepost")
    run = subprocess.run([program, *command.words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout


def test_the_walk_through_bills_on_a_broker(embedded_broker: str, tmp_path: Path) -> None:
    """The README's commands on a broker, in their order; what stays running is ended at last."""
    block = next(block for block in blocks(ROOT / "README.md") if "topics apply" in block)
    first, *lines = [shlex.split(line) for line in block.splitlines()]
    assert first == ["make", "kafka"]  # here the embedded broker takes its place
    environment = os.environ | {
        "MILEPOST_BOOTSTRAP_SERVERS": embedded_broker,
        "MILEPOST_DATABASE_URL": f"sqlite:///{tmp_path}/milepost.db",
    }
    running, printed = [], ""
    try:
        for program, *words in lines:
            assert program == ".venv/bin/milepost"
            command = [str(Path(sys.executable).with_name("milepost")), *words]
            if words[0] == "run":
                with (tmp_path / "run.log").open("w") as log:
                    running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
                continue
            # In a terminal it stays until Ctrl-C; here until the lines have come.
            command += ["--until-idle", "15"] if words[0] == "tail" else []
            run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)
            assert run.returncode == 0, run.stderr + (tmp_path / "run.log").read_text()
            printed = run.stdout
        assert [process.poll() for process in running] == [None], (tmp_path / "run.log").read_text()
    finally:
        for process in running:
            process.terminate()
            process.wait(30)
    printed_lines = [json.loads(line) for line in printed.splitlines()]
    assert {line["topic"] for line in printed_lines} == {"invoice-lines"}
    assert len(printed_lines) >= 3


def test_the_readme_shows_what_the_demo_prints() -> None:
    shown = re.findall(r"^```text\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.split() for block in shown for line in block.splitlines()]
    assert len(lines) >= 5
    program = Path(sys.executable).with_name("milepost")
    wide = os.environ | {"COLUMNS": "140"}
    run = subprocess.run([program, "demo"], cwd=ROOT, env=wide, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    printed = [line.split() for line in run.stdout.splitlines()]
    assert [line for line in lines if line not in printed] == []


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
