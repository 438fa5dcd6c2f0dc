"""`milepost contract preview`: what an amendment would bill, before anybody signs it."""

import json
import sys
from pathlib import Path

import typer
from msgspec.structs import replace

from milepost.cli.files import Faults, as_json_line, read_contract, read_event_file
from milepost.codec.event_files import Line
from milepost.codec.json_forms import output_to_json
from milepost.core.events import EngagementEvent, InvoiceAcknowledgement, dated
from milepost.core.money import format_minor
from milepost.core.outputs import DeadLetter, InvoiceLine, MilestoneStatus
from milepost.join.simulation import Raised, simulate

__all__ = ["preview"]

OLD = typer.Argument(..., metavar="OLD", help="The contract in force.")
NEW = typer.Argument(..., metavar="NEW", help="The next version, with its amendment block.")
EVENTS = typer.Argument(..., metavar="EVENTS", help="What has happened, as for `simulate`.")
JSON = typer.Option(False, "--json", help="Print what the amendment raises as JSON lines.")

Stakes = dict[tuple[str, str | None], MilestoneStatus]


def preview(old: Path = OLD, new: Path = NEW, events: Path = EVENTS, as_json: bool = JSON) -> None:
    """Fold the events under OLD, put NEW in force as if it were signed, and print the lines that this raises.

    Exit status 1: a contract is refused, or the amendment is; 2: a file cannot be read or parsed.
    """
    faults = Faults()
    before, after, file = read_contract(old, faults), read_contract(new, faults), read_event_file(events, faults)
    if faults.status:
        raise typer.Exit(faults.status)
    opening = _unsigned(before.opening("preview"))
    happened = [line.event for line in file.lines if not isinstance(line.event, InvoiceAcknowledgement)]
    now = max((dated(event) for event in happened), default=opening.occurred_at)
    amended = replace(
        after.opening("preview"),
        event_id="preview",
        engagement_id=opening.engagement_id,
        change="AMENDED",
        occurred_at=max(now, opening.occurred_at),
    )
    last = Line(0, "engagements", {}, amended)
    raised = list(simulate(opening, [*file.lines, last]))
    first = next((place for place, one in enumerate(raised) if one.line is last), len(raised))
    refused = [one.output for one in raised[first:] if isinstance(one.output, DeadLetter)]
    if as_json:
        for one in raised[first:]:
            sys.stdout.write(as_json_line(one.topic, output_to_json(one.output)) + "\n")
    else:
        typer.echo(_text(raised[:first], raised[first:]), nl=False)
    for letter in refused:
        typer.echo(f"{letter.reason}: {letter.message}", err=True)
    if refused:
        raise typer.Exit(1)


def _unsigned(opening: EngagementEvent) -> EngagementEvent:
    """The opening of the same contract, whose amendments nobody has to sign."""
    assert opening.contract is not None
    document = json.loads(opening.contract)
    document.pop("amendments", None)
    return replace(opening, contract=json.dumps(document), terms=None)


def _text(before: list[Raised], after: list[Raised]) -> str:
    lines = [one.output for one in after if isinstance(one.output, InvoiceLine)]
    said = ["Lines that the amendment raises at once" if lines else "The amendment raises no line by itself"]
    for line in lines:
        name = " ".join(part for part in (line.milestone_id, line.occurrence_id) if part) or line.description
        amounts = [format_minor(minor, line.currency_exponent) for minor in (line.gross_minor, line.payable_minor)]
        said.append(f"  {name}: {line.kind} gross {amounts[0]} {line.currency}, payable {amounts[1]} {line.currency}")
    old, new = _latest(before), {**_latest(before), **_latest(after)}
    changes = [_change(name, old.get(name), status) for name, status in new.items()]
    changes = [change for change in changes if change]
    if changes:
        said += ["", "What is still to be billed", *changes]
    return "\n".join(said) + "\n"


def _latest(raised: list[Raised]) -> Stakes:
    return {
        (one.output.milestone_id, one.output.occurrence_id): one.output
        for one in raised
        if isinstance(one.output, MilestoneStatus) and not one.output.milestone_id.startswith("@")
    }


def _change(name: tuple[str, str | None], old: MilestoneStatus | None, new: MilestoneStatus) -> str:
    shown = " ".join(part for part in name if part)
    exponent, currency = new.currency_exponent or 0, new.currency or ""
    stake = f"{format_minor(new.at_stake_minor, exponent)} {currency}"
    if old is None or not old.currency:
        return f"  {shown}: new, {stake}"
    if new.state == "CANCELLED" != old.state:
        return f"  {shown}: cancelled, {format_minor(old.at_stake_minor, exponent)} {currency} less"
    if old.at_stake_minor == new.at_stake_minor:
        return ""
    return f"  {shown}: {format_minor(old.at_stake_minor, exponent)} -> {stake}"
