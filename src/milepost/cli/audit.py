"""`milepost audit`: an engagement's audit trail, read from the ledger, and whether its hash chain is sound."""

import json

import typer

from milepost.audit import chain
from milepost.cli.database import reading_ledger
from milepost.codec.json_forms import output_to_json
from milepost.core.outputs import AuditEntry

__all__ = ["app"]

app = typer.Typer(help="What every event did, as the ledger has it.", no_args_is_help=True)

ENGAGEMENT = typer.Argument(..., metavar="ENGAGEMENT", help="The engagement's id.")
JSON = typer.Option(False, "--json", help="Print JSON instead of text.")


@app.command()
def show(engagement: str = ENGAGEMENT, as_json: bool = JSON) -> None:
    """Print the entries in order, one a line. Exit status 1: the ledger has none of this engagement."""
    for entry in _entries(engagement):
        value = output_to_json(entry)
        if as_json:
            typer.echo(json.dumps(value, ensure_ascii=False))
            continue
        subject = entry.line_id or entry.event_id or ""
        typer.echo(f"{entry.sequence:>6}  {value['occurred_at']}  {entry.what:<20} {entry.reason or '':<20} {subject}")


@app.command()
def verify(engagement: str = ENGAGEMENT, as_json: bool = JSON) -> None:
    """Recompute the hash chain. Exit status 1: an entry was changed, removed, added or moved, or there is none.

    Compare `head` with one that you kept elsewhere: a chain cannot show that its newest entries were cut off.
    """
    report = chain.verify(engagement, _entries(engagement))
    if as_json:
        found = {"engagement_id": engagement, "entries": report.entries, "head": report.head, "faults": report.faults}
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        for fault in report.faults:
            typer.echo(fault)
        typer.echo(f"{engagement}: {report.entries} entries, {len(report.faults)} faults, head {report.head}")
    if report.faults:
        raise typer.Exit(1)


def _entries(engagement: str) -> list[AuditEntry]:
    with reading_ledger() as ledger:
        entries = ledger.audit(engagement)
    if not entries:
        typer.echo(f"the ledger has no audit entry of engagement {engagement!r}", err=True)
        raise typer.Exit(1)
    return entries
