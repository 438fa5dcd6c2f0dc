"""`milepost schemas check|register`: our schemas against their released versions and against a schema registry."""

import asyncio
import json
from typing import Any

import typer

from milepost import settings
from milepost.codec.compatibility import unreadable
from milepost.codec.registry import AwayError, RegistryError, installed, schemas_dir
from milepost.outbound.schema_registry import SchemaRegistry, UnregisteredError, schemas_of

__all__ = ["app"]

app = typer.Typer(help="Compare schemas with their released versions, and register them.", no_args_is_help=True)

JSON = typer.Option(False, "--json", help="Print one JSON object.")


@app.command()
def check(as_json: bool = JSON) -> None:
    """Look that every version can read what every other version wrote, and that the registry knows all of them.

    Exit status 1: something is incompatible, or not registered; 2: the registry, where one is named, is away.
    """
    try:
        chosen = settings.load()
        faults = _incompatible()
        registry = schemas_of(chosen)
        ids = {} if registry is None or faults else _ask(registry)
    except (settings.SettingsError, RegistryError, AwayError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except UnregisteredError as error:
        faults, ids = [str(error)], {}
    count = len(installed().all())
    if as_json:
        typer.echo(json.dumps({"schemas": count, "faults": faults, "ids": ids}, indent=2))
    else:
        for fault in faults:
            typer.echo(fault)
        where = f", {len(ids)} registered" if ids else ""
        typer.echo(f"{count} schemas, {len(faults)} faults{where}")
    if faults:
        raise typer.Exit(1)


@app.command()
def register(as_json: bool = JSON) -> None:
    """Register every version of every schema under TOPIC-value, the oldest first; doing it again changes nothing.

    Exit status 1: the registry refuses one; 2: it is away, or MILEPOST_SCHEMA_REGISTRY_URL is not set.
    """
    try:
        registry = schemas_of(settings.load())
        if registry is None:
            raise typer.BadParameter("set MILEPOST_SCHEMA_REGISTRY_URL to the registry's address")
        found = asyncio.run(registry.register())
    except (settings.SettingsError, AwayError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except UnregisteredError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    ids = _by_name(registry, found)
    for name, number in ids.items():
        if not as_json:
            typer.echo(f"{number:>8}  {name}")
    if as_json:
        typer.echo(json.dumps(ids, indent=2))


def _ask(registry: SchemaRegistry) -> dict[str, int]:
    return _by_name(registry, asyncio.run(registry.load()))


def _by_name(registry: SchemaRegistry, found: dict[tuple[str, int], int]) -> dict[str, int]:
    return {f"{registry.subject(record)} {version}": number for (record, version), number in sorted(found.items())}


def _incompatible() -> list[str]:
    """Every pair of versions of a record in both directions, and the working copy against the newest release."""
    faults = []
    versions: dict[str, list[tuple[str, Any]]] = {}
    for schema in installed().all():
        name = f"{schema.record}-{schema.version}"
        versions.setdefault(schema.record, []).append((name, schema.definition))
    for record, known in versions.items():
        newest = installed().current(record)
        working = json.loads((schemas_dir() / f"{record}.avsc").read_text(encoding="utf-8"))
        if working != newest.definition:
            faults.append(f"{record}.avsc is not {record}-{newest.version}: release it under the next version and id")
            known = [*known, (f"{record}.avsc", working)]
        for writer_name, writer in known:
            for reader_name, reader in known:
                faults += [f"{reader_name} reads {writer_name}: {why}" for why in unreadable(writer, reader)]
    return faults
