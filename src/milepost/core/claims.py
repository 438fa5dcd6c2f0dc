"""What a walk over the facts finds: claims put up for signing, and the accepted percentage as it changed over time."""

from decimal import Decimal
from typing import NamedTuple

from milepost.core import ids, money
from milepost.core.contract import Milestone, Policy
from milepost.core.facts import Report
from milepost.core.pricing import NO_BASIS, Basis
from milepost.core.rules.approvals import Ballot

__all__ = [
    "CORRECTED",
    "REJECTED",
    "SUPERSEDED",
    "TIMED_OUT",
    "Assessment",
    "Regime",
    "Submission",
    "content_hash",
    "percent_text",
    "reached",
]

SUPERSEDED, REJECTED, CORRECTED, TIMED_OUT = "SUPERSEDED", "REJECTED", "CORRECTED", "TIMED_OUT"

_NOTHING = Decimal(0)


def reached(milestone: Milestone, completion: Decimal) -> Decimal:
    """What can bill of a completion: the highest tier reached, or with `partial: any` the percentage itself."""
    if milestone.partial_any:
        return completion
    return max((tier for tier in map(money.percent, milestone.tiers) if tier <= completion), default=_NOTHING)


def content_hash(
    milestone: Milestone,
    occurrence: str | None,
    level: Decimal,
    report: Report | None,
    attributes: dict[str, str],
    values: list[list[str | int | None]],
) -> str:
    """What a signature is for, hashed (events.md, "submission_hash")."""
    return ids.digest(
        {
            "attributes": attributes,
            "completion": percent_text(level),
            "criteria": milestone.criteria,
            "evidence": sorted(e.sha256 for e in report.evidence) if report else [],
            "milestone": milestone.id,
            "occurrence": occurrence,
            "values": values,
        }
    )


def percent_text(level: Decimal) -> str:
    """A percentage as a canonical decimal."""
    return money.canonical(str(level))


class Regime(NamedTuple):
    """From `since` on a milestone is this and is signed so; or it is `over`, since an amendment dropped it."""

    since: int
    milestone: Milestone
    policy: Policy
    over: bool = False


class Submission:
    """A claim put up for signing: open from `opened_at` until it ends."""

    __slots__ = (
        "accepted_at",
        "ballot",
        "basis",
        "ceiling",
        "content",
        "criteria",
        "end",
        "ended_at",
        "gross",
        "level",
        "number",
        "opened_at",
        "report",
    )

    def __init__(self, number: int, opened_at: int, level: Decimal, report: Report | None, ballot: Ballot) -> None:
        self.number = number
        self.opened_at = opened_at
        self.level = level  # the completion claimed: the tier reached, or the percentage
        self.basis = NO_BASIS  # what its amount is computed from beside the level
        self.gross = 0  # to date in minor units, if this submission is accepted
        self.report = report
        self.ballot = ballot
        self.content: str = ""  # its hash
        self.criteria: str | None = None  # what signers are shown: those in force when it opened
        self.end: str | None = None
        self.ended_at: int | None = None
        self.accepted_at: int | None = None
        self.ceiling: Decimal | None = None  # what was accepted of it when it lapsed

    @property
    def alive(self) -> bool:
        """Neither ended nor accepted."""
        return self.end is None and self.accepted_at is None

    def close(self, end: str, at: int) -> None:
        """End it: SUPERSEDED, REJECTED, TIMED_OUT or CORRECTED."""
        self.end, self.ended_at = end, at


class Assessment:
    """What follows from the facts: submissions, and the accepted percentage as it changed over time."""

    __slots__ = (
        "accepted",
        "basis",
        "governed_at",
        "governing",
        "gross",
        "level",
        "outcomes",
        "submissions",
        "unpriced",
        "whole",
        "worth",
    )

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.accepted: list[tuple[int, Decimal]] = []
        self.worth: list[tuple[int, int]] = []  # (since, amount to date), as `accepted`
        self.level = _NOTHING
        self.basis = NO_BASIS  # what the accepted amount is computed from beside the level
        self.gross = 0  # entitled to date, in minor units
        self.whole = 0  # to date, if all that can be claimed as things stand were accepted
        self.unpriced = False  # the last report has no price, or there is no value to compute one from
        self.governing: Submission | None = None  # whose acceptance the level comes from
        self.governed_at: int | None = None  # the latest acceptance: whose terms the amount follows
        self.outcomes: dict[int, str] = {}  # place of a decision -> what became of it

    @property
    def current(self) -> Submission | None:
        """The submission that is open now, or None."""
        return self.submissions[-1] if self.submissions and self.submissions[-1].alive else None

    @property
    def claimed(self) -> int:
        """The amount to date if what is put up for signing is accepted: all that is known while there is no price."""
        return max(self.gross, self.current.gross if self.current else 0)

    @property
    def accepted_at(self) -> int | None:
        """Since when the level is what it is; None before the first acceptance."""
        return self.accepted[-1][0] if self.accepted else None

    def accept(self, at: int, level: Decimal, basis: Basis, gross: int) -> None:
        """From `at` on, `level` percent is accepted, worth `gross` to date by `basis`."""
        self.level, self.basis, self.gross = level, basis, gross
        if self.accepted and self.accepted[-1][0] == at:
            self.accepted.pop()
            self.worth.pop()
        self.accepted.append((at, level))
        self.worth.append((at, gross))
