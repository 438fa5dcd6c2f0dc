"""`milepost contract preview`: what an amendment would bill, before anybody signs it."""

import collections
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import typer
from msgspec.structs import replace

from milepost.cli.files import ContractFile, Faults, as_json_line, read_contract, read_event_file
from milepost.cli.preview_signatures import sign, version_in_force
from milepost.codec.event_files import Line
from milepost.codec.json_forms import output_to_json
from milepost.contract import parse_wire
from milepost.core import reasons
from milepost.core.events import ClockTick, EngagementEvent, InvoiceAcknowledgement, dated
from milepost.core.money import format_minor
from milepost.core.outputs import AuditEntry, DeadLetter, InvoiceLine, MilestoneStatus
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from milepost.core.rules import usage
from milepost.core.terms import AMENDMENT, SIGNOFF_NAME
from milepost.join.simulation import Raised, fold_lines, simulate

__all__ = ["preview"]

OLD = typer.Argument(..., metavar="OLD", help="The contract as it was opened; its amendments are in EVENTS.")
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
    opening, proposed = before.opening("preview"), after.opening("preview")
    versions = [json.loads(one.contract or "{}")["version"] for one in (opening, proposed)]
    happened = [line.event for line in file.lines if not isinstance(line.event, InvoiceAcknowledgement)]
    now = max((dated(event) for event in happened), default=opening.occurred_at)
    amended = replace(
        proposed,
        event_id="preview",
        engagement_id=opening.engagement_id,
        change="AMENDED",
        occurred_at=max(now, opening.occurred_at),
    )
    last = Line(0, "engagements", {}, amended)
    staged = Staged(Empty())
    lines = [line for line in file.lines if _version_of(line) != versions[1]]  # it may have been sent already
    earlier = list(simulate(opening, lines, staged))
    in_force = version_in_force(staged, opening.engagement_id)
    raised = [*fold_lines(staged, [last])]
    raised += sign(staged, opening.engagement_id, versions[1], amended.occurred_at, raised)
    refused = list(_refusals(raised))
    if as_json:
        for one in raised:
            sys.stdout.write(as_json_line(one.topic, output_to_json(one.output)) + "\n")
    else:
        typer.echo(_text(earlier, raised), nl=False)
        run = _next_run(after, amended.occurred_at)
        without = Staged(Empty())
        collections.deque(simulate(opening, lines, without), maxlen=0)
        typer.echo(_hours(list(fold_lines(without, [run])), list(fold_lines(staged, [run]))), nl=False)
    for sentence in _doubts(versions[0], versions[1], in_force):
        typer.echo(sentence, err=True)
    for sentence in refused:
        typer.echo(sentence, err=True)
    if refused:
        raise typer.Exit(1)


def _version_of(line: Line) -> int | None:
    """The version of the contract that a line amends to; None for any other line."""
    event = line.event
    if not isinstance(event, EngagementEvent) or event.change != "AMENDED":
        return None
    parsed = parse_wire(event.contract or "").contract
    return None if parsed is None else parsed.version


def _refusals(raised: list[Raised]) -> Iterator[str]:
    """Why the amendment, or a signature of it, had no effect."""
    for one in raised:
        if isinstance(one.output, DeadLetter):
            yield f"{one.output.reason}: {one.output.message}"
        elif isinstance(one.output, AuditEntry) and one.output.what == "REFUSED" and one.output.reason:
            yield f"{one.output.reason}: {reasons.sentence(one.output.reason)}"


def _doubts(old: int, new: int, in_force: int) -> list[str]:
    """What makes the preview another one than the author may think; all are versions."""
    found = []
    if old > 1:
        found.append(
            f"OLD is version {old}: what the versions before it billed is not known here. Give the contract as it was "
            "opened, and its amendments in EVENTS"
        )
    if old <= in_force < new - 1:
        found.append(f"version {in_force} is in force after EVENTS: version {new} waits until {new - 1} is signed")
    return found


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


def _next_run(contract: ContractFile, now: int) -> Line:
    """The tick of the next run of hours: the first of the next local month."""
    assert contract.parsed.contract is not None
    zone = contract.parsed.contract.timezone
    return Line(0, "clock-ticks", {}, ClockTick(usage.month_end(usage.month_of(now, zone), zone)))


def _hours(without: list[Raised], amended: list[Raised]) -> str:
    """What the next run bills of each month otherwise than without the amendment."""
    sums, words = [_by_month(raised) for raised in (without, amended)], []
    for month, currency, exponent in sorted({*sums[0], *sums[1]}):
        old, new = (format_minor(one.get((month, currency, exponent), 0), exponent) for one in sums)
        if old != new:
            words.append(f"  {month}: {old} -> {new} {currency}")
    return "\n".join(["", "What the next run of hours bills", *words]) + "\n" if words else ""


def _by_month(raised: list[Raised]) -> Counter[tuple[str, str, int]]:
    found: Counter[tuple[str, str, int]] = Counter()
    for one in raised:
        line = one.output
        if isinstance(line, InvoiceLine) and line.kind == "TIME_AND_MATERIALS":
            found[line.occurrence_id or "", line.currency, line.currency_exponent] += line.gross_minor
    return found


def _latest(raised: list[Raised]) -> Stakes:
    return {
        (one.output.milestone_id, one.output.occurrence_id): one.output
        for one in raised
        if isinstance(one.output, MilestoneStatus) and one.output.milestone_id not in (SIGNOFF_NAME, AMENDMENT)
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
