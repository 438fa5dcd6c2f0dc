"""What is known of hours, by part: an entry, a local month, and what of them is not billed yet.

An entry touches its own part and the tally of its month, however many there are; a run touches the months that
changed. Quantities are exact ratios, written "numerator/denominator" in the unit of the rate.
"""

import msgspec

from milepost.core.engagement import Engagement
from milepost.core.events import Evidence
from milepost.core.facts import Owed
from milepost.core.ids import escape

__all__ = [
    "MAX_CAUSES",
    "TIME",
    "Counted",
    "Entry",
    "Hours",
    "Month",
    "Revision",
    "Tally",
    "entries_of",
    "entry_key",
    "hours_key",
    "month_key",
    "months_of",
    "tallied",
]

TIME = "@time"  # the name under which runs are due and the months' statuses are said
MAX_CAUSES = 100  # a line names so many of the entries that it bills; ten thousand would fit in no record


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """What of an entry is in a tally: the month, the rate's meter and price, the quantity."""

    month: str
    meter: str
    price: str
    quantity: str


class Revision(msgspec.Struct, frozen=True, array_like=True):
    """What one revision of an entry says."""

    revision: int
    at: int
    meter: str
    quantity: str | None
    elapsed: int | None
    milestone: str | None


class Entry(msgspec.Struct, array_like=True):
    """Work done, by its highest revision; `said` has the content's hash of every revision that came."""

    revision: int = 0
    at: int = 0  # when it started
    meter: str = ""
    quantity: str | None = None  # as sent; wins over the elapsed time
    elapsed: int | None = None  # microseconds
    milestone: str | None = None  # part of a fixed fee: never billed by the hour
    said: dict[int, bytes] = {}
    counted: Counted | None = None
    lower: list[Revision] = []  # started before all above them: in force where a termination leaves those out

    def enter(self, revision: Revision) -> bool:
        """Put a revision that was not said yet in its place; whether it is the one in force."""
        if revision.revision < self.revision:
            above = [self.at, *(one.at for one in self.lower if one.revision > revision.revision)]
            if revision.at < min(above):
                self._keep([*self.lower, revision], revision)
            return False
        self._keep([*self.lower, *([self._now()] if self.revision else [])], revision)
        self._set(revision)
        return True

    def leave_out(self, until: int) -> bool:
        """Forget what started later, as if it had never come; whether there was any."""
        changed = False
        while self.revision and self.at > until:
            del self.said[self.revision]
            self._set(self.lower.pop() if self.lower else Revision(0, 0, "", None, None, None))
            changed = True
        return changed

    def _keep(self, lower: list[Revision], added: Revision) -> None:
        kept = [one for one in lower if one.revision >= added.revision or one.at < added.at]
        self.lower = sorted(kept, key=lambda one: one.revision)

    def _now(self) -> Revision:
        return Revision(self.revision, self.at, self.meter, self.quantity, self.elapsed, self.milestone)

    def _set(self, one: Revision) -> None:
        self.revision, self.at, self.meter = one.revision, one.at, one.meter
        self.quantity, self.elapsed, self.milestone = one.quantity, one.elapsed, one.milestone


class Tally(msgspec.Struct, array_like=True):
    """The hours of one month at one rate and price, and what is billed of them."""

    meter: str
    price: str  # as the contract spells it
    unit: str = "HUR"
    quantity: str = "0"
    billed_quantity: str = "0"
    billed_minor: int = 0
    subject_minor: int = 0  # the part of billed_minor that retention was computed from
    lines: int = 0
    charge_revision: int = 0  # of the last line that was no credit
    over_minor: int = 0  # above the limit, as recorded last
    taken: list[tuple[int, int]] = []  # disputes upheld: when, and how much
    causes: list[str] = []  # of what changed since the last line: the first MAX_CAUSES in their order
    changes: int = 0  # since the last line
    evidence: list[Evidence] = []  # of what changed since the last line: the first MAX_CAUSES in their order


class Month(msgspec.Struct, array_like=True):
    """One local month of hours."""

    tallies: list[Tally] = []
    status_digest: bytes = b""
    disputed_minor: int = 0
    disputes: dict[str, int] = {}  # dispute id -> credits raised
    owed: list[Owed] = []


class Hours(msgspec.Struct, array_like=True):
    """What the next run has to look at."""

    opened_tick: int | None = None  # the partition's clock when the contract was opened
    changed: list[str] = []  # months that changed since they were billed, ascending
    totals: dict[str, int] = {}  # month -> billed to date with it, where there is a limit
    due_at: int | None = None
    waiting: bool = False  # a run waits until the engagement is resumed


def entry_key(engagement: str, usage: str) -> bytes:
    """Where an entry is."""
    return f"{engagement}/usage/{escape(usage)}".encode()


def entries_of(engagement: str) -> tuple[bytes, bytes]:
    """The range of keys (start, stop) in which all entries are."""
    return f"{engagement}/usage/".encode(), f"{engagement}/usage0".encode()  # "0" comes after "/"


def month_key(engagement: str, month: str) -> bytes:
    """Where a month's tallies are."""
    return f"{engagement}/hours/{month}".encode()


def months_of(engagement: str) -> tuple[bytes, bytes]:
    """The range of keys (start, stop) in which all months are."""
    return f"{engagement}/hours/".encode(), f"{engagement}/hours0".encode()


def hours_key(engagement: str) -> bytes:
    """Where it is kept what the next run has to look at."""
    return f"{engagement}/hours".encode()


def tallied(engagement: Engagement, month: str) -> Month:
    """The tallies of a month; none until they are saved."""
    return engagement.staged.load(month_key(engagement.name, month), Month) or Month()
