"""`milepost simulate`: what a contract and a file of events bill, without a broker."""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import typer

from milepost.cli.files import Faults, as_json_line, read_contract, read_event_file
from milepost.codec.json_forms import event_to_json, output_to_json
from milepost.core.events import ClockTick
from milepost.core.outputs import DeadLetter
from milepost.join.simulation import Raised
from milepost.join.simulation import simulate as fold

__all__ = ["simulate"]

CONTRACT = typer.Argument(..., metavar="CONTRACT", help="The contract, YAML or JSON; opened at its effective_from.")
EVENTS = typer.Argument(..., metavar="EVENTS", help='JSON Lines: {"topic": ..., "value": {...}}, of any input topic.')
JSON = typer.Option(False, "--json", help="Print JSON lines; the default unless --table is given.")
TABLE = typer.Option(False, "--table", help="Print tables of lines, retention and open milestones instead.")


def simulate(contract: Path = CONTRACT, events: Path = EVENTS, as_json: bool = JSON, table: bool = TABLE) -> None:
    """Fold the events in their order and print every output as {"topic": ..., "value": ...}, one a line.

    Exit status 1: the contract is refused, or an event became a dead letter; 2: a file cannot be read or parsed.
    """
    if as_json and table:
        raise typer.BadParameter("--json and --table exclude each other; give one of them")
    faults = Faults()
    document, file = read_contract(contract, faults), read_event_file(events, faults)
    if faults.status:
        raise typer.Exit(faults.status)
    raised = fold(document.opening("simulate"), file.lines)
    dead = _print_tables(list(raised)) if table else _print_lines(raised)
    for reason, count in sorted(dead.items()):
        became = "event became a dead letter" if count == 1 else "events became dead letters"
        typer.echo(f"{count} {became}: {reason}", err=True)
    if dead:
        raise typer.Exit(1)


def _print_lines(raised: Iterable[Raised]) -> Counter[str]:
    dead: Counter[str] = Counter()
    write = sys.stdout.write
    for one in raised:
        value = output_to_json(one.output)
        if isinstance(one.output, DeadLetter):
            dead[one.output.reason] += 1
            origin = one.output.origin
            value["event"] = event_to_json(origin.event) if origin else (one.line.value if one.line else None)
        write(as_json_line(one.topic, value) + "\n")
    sys.stdout.flush()
    return dead


def _print_tables(raised: list[Raised]) -> Counter[str]:
    from milepost.demo import tables

    tables.print_tables(tables.from_outputs((_named(one), one.output) for one in raised), sys.stdout)
    return Counter(one.output.reason for one in raised if isinstance(one.output, DeadLetter))


def _named(raised: Raised) -> str | None:
    """The event that an output is of: source/event_id; a tick has neither."""
    origin = raised.output.origin if isinstance(raised.output, DeadLetter) else None
    event = origin.event if origin else (raised.line.event if raised.line else None)
    return None if event is None or isinstance(event, ClockTick) else f"{event.source}/{event.event_id}"
