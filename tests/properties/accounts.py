"""What the fold's outputs add up to, event by event, and where the oracle differs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from milepost.core.contract import Contract
from milepost.core.events import EngagementEvent, Event
from milepost.core.fold import Received, fold
from milepost.core.outputs import InvoiceLine, MilestoneStatus, Output, RetentionEvent
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from milepost.sim.oracle import Oracle, fees
from milepost.sim.oracle_facts import Key
from tests.properties.strategies import received

__all__ = ["Account", "difference", "fees", "played", "played_as", "shrunk"]


@dataclass
class Account:
    """Totals over lines and retention events, and the last status of each milestone."""

    gross: dict[Key, int] = field(default_factory=dict)
    hours: dict[str, int] = field(default_factory=dict)
    payable: int = 0
    retained: int = 0
    held: int = 0
    released: int = 0
    lines: list[InvoiceLine] = field(default_factory=list)
    status: dict[Key, MilestoneStatus] = field(default_factory=dict)
    signed: frozenset[str] = frozenset()  # the milestones whose submissions count

    def add(self, outputs: Iterable[Output]) -> None:
        """Add what one event raised."""
        for output in outputs:
            if isinstance(output, InvoiceLine):
                assert output.gross_minor == output.retained_minor + output.payable_minor, output
                self.lines.append(output)
                self.payable += output.payable_minor
                self.retained += output.retained_minor
                if output.milestone_id is not None:
                    key = (output.milestone_id, output.occurrence_id)
                    self.gross[key] = self.gross.get(key, 0) + output.gross_minor
                elif output.kind != "RETENTION_RELEASE":
                    month = output.occurrence_id or ""
                    self.hours[month] = self.hours.get(month, 0) + output.gross_minor
            elif isinstance(output, RetentionEvent):
                assert output.amount_minor > 0, output
                self.held += output.amount_minor if output.kind == "HELD" else -output.amount_minor
                self.released += output.amount_minor if output.kind == "RELEASED" else 0
                assert output.balance_minor == self.held, output
            elif isinstance(output, MilestoneStatus):
                self.status[(output.milestone_id, output.occurrence_id)] = output

    def billed(self) -> dict[Key, int]:
        """Gross by milestone and occurrence, without those at zero."""
        return {key: gross for key, gross in self.gross.items() if gross}

    def worked(self) -> dict[str, int]:
        """Gross of time and materials by month, without those at zero."""
        return {month: gross for month, gross in self.hours.items() if gross}

    def accepted(self) -> dict[Key, int]:
        """Since when each occurrence is accepted as far as it is, by its last status."""
        return {
            key: status.accepted_at
            for key, status in self.status.items()
            if not key[0].startswith("@") and status.accepted_at is not None
        }

    def submissions(self) -> dict[Key, int]:
        """How many submissions each occurrence with signers has had, by its last status."""
        return {
            key: status.submission for key, status in self.status.items() if status.submission and key[0] in self.signed
        }


def worked(oracle: Oracle) -> dict[str, int]:
    """Gross of time and materials by month, in the oracle's opinion."""
    found: dict[str, int] = {}
    for key, gross in oracle.hours.items():
        found[key.month] = found.get(key.month, 0) + gross
    return {month: gross for month, gross in found.items() if gross}


def accepted(oracle: Oracle) -> dict[Key, int]:
    """Since when what is accepted of each occurrence is accepted, in the oracle's opinion."""
    return {
        key: found.levels[-1].at
        for key, found in oracle.accepted.items()
        if found.percent and not key[0].startswith("@")
    }


def submissions(oracle: Oracle, signed: frozenset[str]) -> dict[Key, int]:
    """How many submissions each occurrence of these milestones has had, in the oracle's opinion."""
    found = {key: len(entry.submissions) for key, entry in oracle.accepted.items() if key[0] in signed}
    return {key: number for key, number in found.items() if number}


def versions(contract: Contract, events: Iterable[Event]) -> list[Contract]:
    """Every version of the contract that the events bring."""
    return [contract, *(e.terms for e in events if isinstance(e, EngagementEvent) and e.terms is not None)]


def played(events: Sequence[Event]) -> tuple[Account, list[list[Output]]]:
    """The account after all events, and what each of them raised."""
    return played_as(received(list(events)))


def played_as(records: Sequence[Received]) -> tuple[Account, list[list[Output]]]:
    """The same for events that are received already."""
    staged, account = Staged(Empty()), Account()
    raised = []
    for record in records:
        raised.append(fold(staged, record))
        account.add(raised[-1])
    return account, raised


def difference(contract: Contract, events: Sequence[Event], *, every: bool = True) -> str | None:
    """The first event after which fold and oracle differ, as a sentence; None if they agree.

    With `every` they are compared after each event, else at the end only.
    """
    told = [milestone for version in versions(contract, events) for milestone in version.milestones]
    signed = frozenset(m.id for m in told) - {m.id for m in told if not m.approval}
    oracle, account, staged = Oracle(contract), Account(signed=signed), Staged(Empty())
    for place, record in enumerate(received(list(events))):
        account.add(fold(staged, record))
        oracle.take(record.event)
        if not every and place < len(events) - 1:
            continue
        expected = {key: gross for key, gross in oracle.gross.items() if gross}
        found: list[tuple[str, object, object]] = [
            ("gross by milestone", account.billed(), expected),
            ("hours by month", account.worked(), worked(oracle)),
            ("payable", account.payable, oracle.payable),
            ("held", account.held, oracle.held),
            ("released", account.released, oracle.released),
            ("accepted since", account.accepted(), accepted(oracle)),
            ("submissions", account.submissions(), submissions(oracle, signed)),
        ]
        for what, fold_says, oracle_says in found:
            if fold_says != oracle_says:
                return f"after event {place}: {what}: the fold says {fold_says}, the oracle {oracle_says}"
    return None


def shrunk(contract: Contract, events: Sequence[Event]) -> list[Event]:
    """Events without those that the difference between fold and oracle does not need."""
    kept, smaller = list(events), True
    while smaller:
        smaller = False
        for place in reversed(range(len(kept))):
            fewer = kept[:place] + kept[place + 1 :]
            if difference(contract, fewer) is not None:
                kept, smaller = fewer, True
    return kept
