"""`milepost config show|check`: which settings a process would run with, secrets masked."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import typer

from milepost import settings

__all__ = ["app"]

app = typer.Typer(help="Show and check the settings a process would run with.", no_args_is_help=True)

# Addresses that nobody else reaches.
_HERE = {"127.0.0.1", "localhost", "::1"}
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

    Exit status 0: the settings are usable; 1: a MILEPOST_* variable that nothing reads, or settings that do not go
    together; 2: unusable settings.
    """
    chosen = _load()
    unknown, gaps = settings.unknown_variables(), _gaps(chosen)
    if as_json:
        typer.echo(json.dumps({"unknown": unknown, "gaps": gaps}, indent=2))
    else:
        for name, near in unknown.items():
            typer.echo(f"{name}: no setting reads it" + (f"; did you mean {near}?" if near else "; unset it"), err=True)
        for name, why in gaps.items():
            typer.echo(f"{name}: {why}", err=True)
        if not unknown and not gaps:
            typer.echo("The settings are usable.")
    if unknown or gaps:
        raise typer.Exit(1)


def _gaps(chosen: settings.Settings) -> dict[str, str]:
    """What is usable by itself and does not go together, by the variable to change."""
    found: dict[str, str] = {}
    for name in ("anchor_key_file", "outbound_ca_file", "smtp_ca_file"):
        path = getattr(chosen, name)
        if path and not Path(path).is_file():
            found[f"{settings.PREFIX}{name.upper()}"] = f"{path!r} is not a file"
    has_links = bool(chosen.link_secret.get_secret_value())
    if chosen.smtp_host and not has_links:
        found |= {"MILEPOST_LINK_SECRET": "is empty, so e-mails that ask for a signature would have no link to sign by"}
    if chosen.gateway_host not in _HERE and urlsplit(chosen.public_url).hostname in _HERE and has_links:
        found["MILEPOST_PUBLIC_URL"] = (
            f"{chosen.public_url} is this machine, but MILEPOST_GATEWAY_HOST {chosen.gateway_host} serves others: "
            "links would open nowhere"
        )
    registry = urlsplit(chosen.schema_registry_url)
    admitted = {host.strip() for host in chosen.outbound_admitted_hosts.split(",")}
    if registry.scheme == "http" and not admitted & {registry.netloc, registry.hostname}:
        found["MILEPOST_OUTBOUND_ADMITTED_HOSTS"] = (
            f"does not name {registry.netloc}, so MILEPOST_SCHEMA_REGISTRY_URL, which is without TLS, is not called"
        )
    return found
