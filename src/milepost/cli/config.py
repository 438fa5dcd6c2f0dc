"""`milepost config show|check`: which settings a process would run with, secrets masked."""

import json

import typer

from milepost import settings
from milepost.cli.gaps import gaps, unknown_secrets

__all__ = ["app"]

app = typer.Typer(help="Show and check the settings a process would run with.", no_args_is_help=True)

JSON = typer.Option(False, "--json", help="Print one JSON object.")


def _load() -> settings.Settings:
    try:
        return settings.load()
    except settings.SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@app.command()
def show(as_json: bool = JSON) -> None:
    """Print every setting with the value that would be used; secrets are masked."""
    values = settings.shown(_load())
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        typer.echo(f"# {settings.Settings.model_fields[name].description}")
        typer.echo(f"{settings.PREFIX}{name.upper()}={value}")


@app.command()
def check(as_json: bool = JSON) -> None:
    """Say before the start what is missing or contradictory.

    Exit status 0: the settings are usable; 1: a MILEPOST_* variable or a file of MILEPOST_SECRETS_DIR that nothing
    reads, or settings that do not go together; 2: unusable settings.
    """
    chosen = _load()
    unknown, found = settings.unknown_variables() | unknown_secrets(), gaps(chosen)
    if as_json:
        typer.echo(json.dumps({"unknown": unknown, "gaps": found}, indent=2))
    else:
        for name, near in unknown.items():
            typer.echo(
                f"{name}: no setting reads it" + (f"; did you mean {near}?" if near else "; remove it"), err=True
            )
        for name, why in found.items():
            typer.echo(f"{name}: {why}", err=True)
        if not unknown and not found:
            typer.echo("The settings are usable.")
    if unknown or found:
        raise typer.Exit(1)
