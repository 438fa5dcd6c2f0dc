"""`milepost reconcile`: topics against ledger against the ERP, differences first; or everything folded again."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from milepost import settings
from milepost.cli.database import reading_ledger
from milepost.cli.registry import adopted
from milepost.codec.topics import PARTITIONS
from milepost.core.money import format_minor
from milepost.kafka.scanning import Scan, ScanError
from milepost.operations import reconcile as reconciling
from milepost.operations.acknowledged import compare_erp
from milepost.operations.reconcile import Reconciliation
from milepost.operations.refold import Refold, places_of
from milepost.sql.gauges import ERP_GRACE_DAYS

__all__ = ["progress", "reconcile"]

REBUILD = typer.Option(False, "--rebuild", help="Fold every input again and compare the outputs byte for byte.")
GRACE = typer.Option(ERP_GRACE_DAYS, "--grace-days", min=0, help="So long the ERP may say nothing about a line.")
SERVERS = typer.Option(None, "--bootstrap-servers", help="Brokers; default: MILEPOST_BOOTSTRAP_SERVERS.")
JSON = typer.Option(False, "--json", help="Print one JSON object instead of text.")

_DAY = 86_400_000_000
# Of one run: a broken topic would otherwise fill the screen. JSON has all.
SHOWN = 100


def reconcile(
    rebuild: bool = REBUILD,
    grace_days: int = GRACE,
    bootstrap_servers: str | None = SERVERS,
    as_json: bool = JSON,
) -> None:
    """Compare what was billed with what the ledger holds and what the ERP acknowledged.

    With --rebuild: fold all inputs from offset 0 with this release, and compare with what was stated then; run it
    before a new release is deployed. Exit status 1: something differs; 2: broker, database or schema registry cannot be
    read.
    """
    try:
        chosen = settings.load(bootstrap_servers=bootstrap_servers)
        found = _rebuild(chosen) if rebuild else _compare(chosen, grace_days * _DAY)
    except (settings.SettingsError, ScanError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    differences = found["differences"]
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        for one in differences[:SHOWN]:
            typer.echo("  ".join(str(value) for value in one.values() if value not in ("", -1)))
        if len(differences) > SHOWN:
            typer.echo(f"... and {len(differences) - SHOWN} more; --json has all")
        for line in found["said"]:
            typer.echo(line)
    if differences:
        raise typer.Exit(1)


def _compare(chosen: settings.Settings, grace: int) -> dict[str, Any]:
    found, schemas = Reconciliation(), adopted(chosen)
    with reading_ledger() as ledger, progress("comparing") as (start, step):
        with Scan(chosen, reconciling.places(), step, schemas=schemas) as scan:
            start(scan.records)
            reconciling.compare_ledger(scan, ledger.engine, chosen.topic_prefix, found)
        compare_erp(ledger.engine, int(time.time() * 1_000_000), grace, found)
    return {
        "differences": [one._asdict() for one in found.differences],
        "records": dict(found.records),
        "acknowledgements": found.acknowledgements,
        "sums": [
            {
                "engagement_id": engagement,
                "currency": currency,
                "raised_minor": sums.raised_minor,
                "stored_minor": sums.stored_minor,
                "accepted_minor": sums.accepted_minor,
            }
            for (engagement, currency, _), sums in sorted(found.sums.items())
        ],
        "said": _said(found),
    }


def _said(found: Reconciliation) -> list[str]:
    said = []
    for (engagement, currency, exponent), sums in sorted(found.sums.items()):
        raised, stored, accepted = (
            f"{format_minor(minor, exponent):>16}"
            for minor in (sums.raised_minor, sums.stored_minor, sums.accepted_minor)
        )
        said.append(f"{engagement:<24} {currency}  raised {raised}  in the ledger {stored}  accepted {accepted}")
    if not found.acknowledgements:
        said.append("no ERP has acknowledged anything on invoice-acknowledgements")
    records = ", ".join(f"{count} {topic}" for topic, count in found.records.items()) or "nothing"
    said.append(f"{len(found.differences)} differences; compared {records}, {found.acknowledgements} acknowledgements")
    return said


def _rebuild(chosen: settings.Settings) -> dict[str, Any]:
    differences: list[dict[str, Any]] = []
    transactions = events = outputs = 0
    schemas = adopted(chosen)
    with progress("folding again") as (start, step):
        for number in range(PARTITIONS):
            with Scan(chosen, places_of(number), step, schemas=schemas) as scan:
                start(scan.records)
                refold = Refold(scan, number)
                differences.extend(one._asdict() for one in refold.run())
            transactions += refold.transactions
            events += refold.events
            outputs += refold.outputs
    said = f"{len(differences)} differences; {events} events in {transactions} transactions, {outputs} outputs compared"
    return {
        "differences": differences,
        "transactions": transactions,
        "events": events,
        "outputs": outputs,
        "said": [said],
    }


@contextmanager
def progress(what: str) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Two functions: add so many to come, so many are done; a bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield (lambda count: None), (lambda count: None)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=0)
        coming = 0

        def start(count: int) -> None:
            nonlocal coming
            coming += count
            bar.update(task, total=coming)

        yield start, lambda count: bar.advance(task, count)
