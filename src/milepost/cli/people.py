"""`milepost notices people`: the directory of e-mail addresses. Everywhere else people are opaque ids."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from milepost.cli.database import migrated_database, now_us, reading_engine
from milepost.core.calendar import instant_text
from milepost.settings import is_address
from milepost.sql import people as stored
from milepost.sql.people import Person

__all__ = ["app"]

app = typer.Typer(help="The addresses of people, by the ids that contracts name them with.", no_args_is_help=True)

_COLUMNS = ["person", "address", "name"]

PersonId = Annotated[str, typer.Argument(metavar="PERSON", help="The id that contracts use.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def add(
    person: PersonId,
    address: Annotated[str, typer.Argument(metavar="ADDRESS")],
    name: Annotated[str | None, typer.Option(help="The name on the envelope.")] = None,
) -> None:
    """Add a person, or change the address; what the person is owed is tried at once."""
    if not is_address(address):
        raise typer.BadParameter(f"{address!r} is no e-mail address; write ana@example.org")
    with migrated_database() as engine:
        stored.keep_people(engine, [Person(person, address, name, now := now_us())], now)
    typer.echo(f"{person} is at {address}.")


@app.command("import")
def take(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV: person,address,name in the first line.")],
) -> None:
    """Add people from a file, or change their addresses: all of them, or none where a line is wrong (exit status 2)."""
    now = now_us()
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            found, problems = _read(lines, now)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        typer.echo(f"{file} cannot be read: {error}", err=True)
        raise typer.Exit(2) from None
    if problems:
        typer.echo("\n".join(f"{file}: {problem}" for problem in problems), err=True)
        raise typer.Exit(2)
    with migrated_database() as engine:
        stored.keep_people(engine, found.values(), now)
    typer.echo(f"{len(found)} people are in the directory.")


def _read(lines: Iterator[str], now: int) -> tuple[dict[str, Person], list[str]]:
    rows = csv.reader(lines)
    header = [cell.strip() for cell in next(rows, [])]
    if header not in (_COLUMNS, _COLUMNS[:2]):
        return {}, [f"line 1: found {','.join(header)!r}; the first line is person,address,name or person,address"]
    found: dict[str, Person] = {}
    problems = []
    for row in rows:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        person, address, *name = [*cells, ""]
        if len(cells) != len(header) or not person:
            problems.append(f"line {rows.line_num}: found {len(cells)} cells; expected {','.join(header)}")
        elif not is_address(address):
            problems.append(f"line {rows.line_num}: {address!r} is no e-mail address; write ana@example.org")
        elif person in found:
            problems.append(f"line {rows.line_num}: {person!r} stands there twice; leave one of them out")
        else:
            found[person] = Person(person, address, name[0] or None, now)
    return found, problems


@app.command("list")
def every(as_json: AsJson = False) -> None:
    """Print everybody in the directory."""
    with reading_engine() as engine:
        found = stored.people(engine)
    if as_json:
        rows = [
            {
                "person": one.person_id,
                "address": one.address,
                "name": one.name,
                "changed_at": instant_text(one.changed_at),
            }
            for one in found
        ]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for one in found:
        typer.echo(f"{one.person_id}  {one.address}  {one.name or ''}".rstrip())


@app.command()
def remove(person: PersonId) -> None:
    """Forget a person's address and name. Exit status 1: the directory has none."""
    with migrated_database() as engine:
        known = stored.remove_person(engine, person)
    if not known:
        typer.echo(f"{person!r} is not in the directory; `milepost notices people list` shows who is", err=True)
        raise typer.Exit(1)
    typer.echo(f"{person} is forgotten.")
