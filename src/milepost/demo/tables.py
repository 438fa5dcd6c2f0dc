"""What was billed, what is withheld and what is still open, as tables for people."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, NamedTuple, TextIO

from milepost.audit.signers import asked_now
from milepost.core.money import format_minor
from milepost.core.outputs import (
    ApprovalRequest,
    AuditEntry,
    DeadLetter,
    InvoiceLine,
    MilestoneStatus,
    Output,
    RetentionEvent,
)
from milepost.core.reasons import sentence
from milepost.sql.reading import LedgerReading, RetentionBalance, is_open

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Picture", "from_ledger", "from_outputs", "open_milestones", "print_tables", "still_to_sign"]

# Without a terminal there is no width to ask for; wide enough that nothing wraps but what is long.
WIDTH = 130


class Unbilled(NamedTuple):
    """An event that changed nothing, that somebody should look at, or that could not be taken; and why, in words."""

    event: str
    what: str
    reason: str
    words: str


@dataclass(frozen=True)
class Picture:
    """Where engagements stand: lines in the order in which they were raised, balances, latest statuses, requests.

    `unbilled`: events that an open milestone does not tell of, where every event's outcome is at hand.
    """

    lines: Sequence[InvoiceLine]
    balances: Sequence[RetentionBalance]
    statuses: Sequence[MilestoneStatus]
    requests: Sequence[ApprovalRequest]
    unbilled: Sequence[Unbilled] = ()


def from_ledger(ledger: LedgerReading, engagements: Iterable[str]) -> Picture:
    """The picture of the engagements as the ledger has it; raises `UnavailableError` while the database is away."""
    names = list(engagements)
    return Picture(
        [line for name in names for line in ledger.lines(name)],
        [balance for name in names for balance in ledger.retention_balances(name)],
        [status for name in names for status in ledger.statuses(name)],
        [request for name in names for request in ledger.requests(name)],
    )


def from_outputs(raised: Iterable[tuple[str | None, Output]]) -> Picture:
    """The picture that a fold's outputs give, in the order in which they were raised, each with its event's name."""
    unbilled: list[Unbilled] = []
    lines: list[InvoiceLine] = []
    requests: list[ApprovalRequest] = []
    statuses: dict[tuple[str, str, str | None], MilestoneStatus] = {}
    sums: dict[tuple[str, str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for event, output in raised:
        match output:
            case DeadLetter():
                unbilled.append(Unbilled(event or "-", "dead letter", output.reason, output.message))
            case AuditEntry() if output.what in ("REFUSED", "FLAGGED") and output.reason is not None:
                unbilled.append(Unbilled(event or "-", output.what.lower(), output.reason, sentence(output.reason)))
            case InvoiceLine():
                lines.append(output)
            case ApprovalRequest():
                requests.append(output)
            case MilestoneStatus():
                statuses[output.engagement_id, output.milestone_id, output.occurrence_id] = output
            case RetentionEvent():
                group = (output.engagement_id, output.currency, output.currency_exponent)
                sums[group][output.kind] += output.amount_minor
            case _:
                pass
    balances = [
        RetentionBalance(*group, kinds["HELD"], kinds["REDUCED"], kinds["RELEASED"]) for group, kinds in sums.items()
    ]
    return Picture(lines, balances, list(statuses.values()), requests, unbilled)


def open_milestones(picture: Picture) -> list[MilestoneStatus]:
    """Those that may still bill. A sign-off in effect and a milestone without a fee stay accepted, and miss nothing."""
    return [
        status
        for status in picture.statuses
        if is_open(status) and (status.missing or status.parked or status.at_stake_minor)
    ]


def still_to_sign(status: MilestoneStatus, requests: Iterable[ApprovalRequest]) -> list[str]:
    """Who may sign what is open now, an escalation's role included: "role (people)", in the order of the steps."""
    return [f"{request.role} ({' or '.join(request.people)})" for request in asked_now(status, requests)]


def print_tables(picture: Picture, stream: TextIO) -> None:
    """Print the tables: invoice lines with totals, retention, what open milestones miss, which events did not bill."""
    from rich.console import Console

    shown = [_lines(picture), *([_retention(picture)] if picture.balances else []), _open(picture)]
    shown += [_unbilled(picture)] if picture.unbilled else []
    if stream.isatty():
        Console(file=stream, highlight=False).print(*shown)
        return
    text = StringIO()
    Console(file=text, width=WIDTH, highlight=False).print(*shown)
    stream.writelines(line.rstrip() + "\n" for line in text.getvalue().splitlines())
    stream.flush()


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        name, right = column.removeprefix(">"), column.startswith(">")
        table.add_column(name, justify="right" if right else "left", no_wrap=right)
    return table


def _lines(picture: Picture) -> "Table":
    table = _table("Invoice lines", "engagement", "milestone", "kind", ">to", ">gross", ">retained", ">payable", "")
    totals: dict[tuple[str, str, int], list[int]] = {}
    for line in picture.lines:
        totals.setdefault((line.engagement_id, line.currency, line.currency_exponent), [0, 0, 0])
    for group, sums in totals.items():
        for line in picture.lines:
            if (line.engagement_id, line.currency, line.currency_exponent) == group:
                amounts = (line.gross_minor, line.retained_minor, line.payable_minor)
                sums[:] = [total + amount for total, amount in zip(sums, amounts, strict=True)]
                completion = f"{line.completion} %" if line.milestone_id else ""
                shown = [_money(amount, line.currency_exponent) for amount in amounts]
                name = _named(line.milestone_id or "-", line.occurrence_id)
                what = (line.engagement_id, name, line.kind.lower().replace("_", " "))
                table.add_row(*what, completion, *shown, line.currency)
        engagement, currency, exponent = group
        table.add_row(
            engagement, "[bold]total", "", "", *(f"[bold]{_money(total, exponent)}" for total in sums), currency
        )
        table.add_section()
    return table


def _retention(picture: Picture) -> "Table":
    table = _table("Retention", "engagement", ">held", ">reduced", ">released", ">balance", "")
    for one in picture.balances:
        amounts = (one.held_minor, one.reduced_minor, one.released_minor, one.balance_minor)
        shown = [_money(amount, one.currency_exponent) for amount in amounts]
        table.add_row(one.engagement_id, *shown, one.currency)
    return table


def _open(picture: Picture) -> "Table":
    table = _table("Open milestones", "engagement", "milestone", "state", ">at stake", "missing", "to be signed by")
    for status in open_milestones(picture):
        worth = _money(status.at_stake_minor, status.currency_exponent or 0)
        details = [missing.detail for missing in status.missing] + [_waits(event) for event in status.parked]
        signers = still_to_sign(status, picture.requests)
        state = status.state.lower()
        name = _named(status.milestone_id, status.occurrence_id)
        row = (status.engagement_id, name, state, f"{worth} {status.currency or ''}".strip())
        table.add_row(*row, "\n".join(details), "\n".join(signers))
    return table


def _waits(parked: str) -> str:
    """A status names what waits as "REASON source/event_id"."""
    reason, _, event = parked.partition(" ")
    said = sentence(reason)
    return f"{event} waits: {said}" if said else f"{parked} waits"


def _unbilled(picture: Picture) -> "Table":
    table = _table("Events that did not bill", "event", "became", "reason", "in words")
    for one in picture.unbilled:
        table.add_row(*one)
    return table


def _named(milestone: str, occurrence: str | None) -> str:
    return f"{milestone} {occurrence}" if occurrence else milestone


def _money(minor: int, exponent: int) -> str:
    whole, dot, fraction = format_minor(minor, exponent).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}{dot}{fraction}"
