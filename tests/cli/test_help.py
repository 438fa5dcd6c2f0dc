"""Every command says what it is for."""

from collections.abc import Iterator

import pytest
from typer._click import Command
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from milepost.cli import app


def _commands(command: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from _commands(child, (*path, name))


@pytest.mark.parametrize("path", list(_commands(get_command(app))), ids=" ".join)
def test_help_is_printed(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*path, "--help"])
    assert (done.exit_code, done.stdout[:6]) == (0, "Usage:"), done.output
