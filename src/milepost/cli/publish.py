"""`milepost publish`: events from files onto their topics, after every file was read and found good."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from milepost import settings
from milepost.cli.files import Faults, read_contract, read_event_file
from milepost.cli.registry import adopted
from milepost.codec.event_files import Fault
from milepost.contract import parse
from milepost.core.checks import check
from milepost.core.events import EngagementEvent, Event, InvoiceAcknowledgement

if TYPE_CHECKING:
    from milepost.kafka.publishing import Place, Publisher

__all__ = ["publish"]

FILES = typer.Argument(
    None, metavar="FILE...", help="Events as JSON Lines; contracts (.yaml, .yml, .json) open their engagement."
)
CONTRACTS = typer.Option([], "--contract", metavar="FILE", help="A contract whose engagement is opened; repeatable.")
SKIP = typer.Option(False, "--skip-errors", help="Publish what is right of files that have errors.")
SERVERS = typer.Option(None, "--bootstrap-servers", help="Brokers; default: MILEPOST_BOOTSTRAP_SERVERS.")
JSON = typer.Option(False, "--json", help="Print one JSON object.")

SOURCE = "cli"
CONTRACT_SUFFIXES = (".yaml", ".yml", ".json")
_CARRIERS = ("OPENED", "AMENDED")

Sendable = tuple[str, Event | InvoiceAcknowledgement]


def publish(
    files: list[Path] | None = FILES,
    contracts: list[Path] = CONTRACTS,
    skip_errors: bool = SKIP,
    bootstrap_servers: str | None = SERVERS,
    as_json: bool = JSON,
) -> None:
    """Check every file whole, then send contracts and events, and wait until all of it is acknowledged.

    Nothing is published when a file has an error, unless --skip-errors. Exit status 1: a contract is refused, or the
    brokers do not take the events; 2: a file cannot be read or parsed, or the schema registry, where one is named, is
    away.
    """
    if not files and not contracts:
        raise typer.BadParameter("no file is given; expected events (.jsonl) or contracts (.yaml)")
    faults = Faults()
    sendable, skipped = _read(files or [], contracts, faults)
    if faults.status and not (skip_errors and sendable):
        typer.echo("Nothing is published.", err=True)
        _print_json(as_json, {}, faults, skipped)
        raise typer.Exit(faults.status)
    from milepost.kafka.publishing import Publisher, PublishError

    try:
        chosen = settings.load(bootstrap_servers=bootstrap_servers)
        adopted(chosen)
        publisher = Publisher(chosen)
        counts = publisher.counts(_send(publisher, sendable))
    except settings.SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except PublishError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    _print_json(as_json, counts, faults, skipped)
    if not as_json:
        for topic, count in counts.items():
            typer.echo(f"{topic}: {count} {'record' if count == 1 else 'records'}")
    if skipped:
        typer.echo(f"{skipped} skipped because of errors.", err=True)


def _read(files: list[Path], contracts: list[Path], faults: Faults) -> tuple[list[Sendable], int]:
    """What can be sent, in the order of the files, contracts given as options first; and how much cannot."""
    sendable: list[Sendable] = []
    skipped = 0
    for path in [*contracts, *files]:
        if path in contracts or path.suffix.lower() in CONTRACT_SUFFIXES:
            document = read_contract(path, faults)
            if document.parsed.contract is None:
                skipped += 1
            else:
                sendable.append(("engagements", document.opening(SOURCE)))
            continue
        file = read_event_file(path, faults)
        skipped += len({fault.line for fault in file.faults})
        for line in file.lines:
            # Values that can mean nothing would only become dead letters.
            found = list(_faults(file.name, line.number, line.event))
            for fault in found:
                faults.add(fault)
            if found:
                skipped += 1
            else:
                sendable.append((line.topic, line.event))
    return sendable, skipped


def _faults(name: str, number: int, event: Event | InvoiceAcknowledgement) -> Iterator[Fault]:
    message = check(event)
    if message is not None:
        path, _, rest = message.partition(": ")
        yield Fault(name, number, path, rest)
    elif isinstance(event, EngagementEvent) and event.change in _CARRIERS:
        if event.contract is None:
            yield Fault(name, number, "contract", f"null; {event.change} expects the whole document")
            return
        parsed = parse(event.contract)
        for finding in parsed.errors:
            yield Fault(
                name, number, ".".join(filter(None, ("contract", finding.path))), _told(finding.message, finding.fix)
            )
        if parsed.contract is not None and parsed.contract.engagement != event.engagement_id:
            named = parsed.contract.engagement
            yield Fault(
                name, number, "contract.engagement", f'"{named}"; expected the engagement_id "{event.engagement_id}"'
            )


def _told(message: str, fix: str) -> str:
    return f"{message}; {fix}" if fix else message


def _send(publisher: "Publisher", sendable: list[Sendable]) -> "list[Place]":
    from rich.console import Console
    from rich.progress import track

    publisher.prepare(dict.fromkeys(topic for topic, _ in sendable))
    console = Console(stderr=True)
    quiet = not sys.stderr.isatty()
    for topic, event in track(sendable, "Publishing", console=console, disable=quiet, transient=True):
        publisher.send(topic, event)
    return publisher.flush()


def _print_json(as_json: bool, counts: dict[str, int], faults: Faults, skipped: int) -> None:
    if as_json:
        typer.echo(json.dumps({"published": counts, "skipped": skipped, "findings": faults.entries}, indent=2))
