"""`milepost evidence check`: whether every uploaded file is still there and still what its name says."""

import asyncio
import json
from collections.abc import Iterator
from typing import NamedTuple

import typer
from rich.console import Console
from rich.progress import Progress

from milepost import settings
from milepost.cli.database import reading_engine
from milepost.sql.engine import Engine
from milepost.sql.evidence import Reference, referenced, uses
from milepost.store.evidence.checking import Looked, look
from milepost.store.evidence.opening import open_store
from milepost.store.evidence.port import EvidenceStore, StoreError

__all__ = ["app"]

app = typer.Typer(help="The files that events refer to.", no_args_is_help=True)

JSON = typer.Option(False, "--json", help="Print JSON instead of text.")


class Fault(NamedTuple):
    """One file that is not as it should be: DAMAGED or MISSING, and whoever needs it."""

    sha256: str
    fault: str
    detail: str


@app.callback()
def group() -> None:
    """The files that events refer to."""


@app.command()
def check(as_json: bool = JSON) -> None:
    """Read and hash every uploaded file, and look for those that uploads, lines and requests name.

    Exit status 1: a file is missing, or its bytes no longer have its hash; 2: the store or the database cannot be read.
    """
    try:
        store = open_store(settings.load())
        with reading_engine() as engine:
            looked, faults = asyncio.run(_check(store, engine))
    except (settings.SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    size_bytes = sum(one.size_bytes for one in looked)
    if as_json:
        found = {"files": len(looked), "size_bytes": size_bytes, "faults": [fault._asdict() for fault in faults]}
        typer.echo(json.dumps(found))
    else:
        for fault in faults:
            typer.echo(f"{fault.fault:<8} {fault.sha256}  {fault.detail}")
        typer.echo(f"{len(looked)} files, {size_bytes} bytes, {len(faults)} faults")
    if faults:
        raise typer.Exit(1)


async def _check(store: EvidenceStore, engine: Engine) -> tuple[list[Looked], list[Fault]]:
    console = Console(stderr=True)
    looked: list[Looked] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading", total=None)
        async for one in look(store):
            looked.append(one)
            bar.advance(task)
    there = {one.sha256 for one in looked}
    faults = [
        Fault(one.sha256, "DAMAGED", f"its {one.size_bytes} bytes have the hash {one.found}; upload the original again")
        for one in looked
        if not one.sound
    ]
    missing: dict[str, list[str]] = {}
    for reference in _expected(engine):
        # Asked again: it may have come while the others were read.
        if reference.sha256 not in there and await store.size_bytes(reference.sha256) is None:
            missing.setdefault(reference.sha256, []).append(reference.row)
    for sha256, rows in sorted(missing.items()):
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        faults.append(Fault(sha256, "MISSING", f"named by {', '.join(rows[:3])}{more}; upload it again"))
    return looked, faults


def _expected(engine: Engine) -> Iterator[Reference]:
    for use in uses(engine):
        yield Reference(use.sha256, f"an upload for {use.engagement_id}")
    yield from referenced(engine)
