"""What is known of an engagement, by part: each part is one record of the changelog.

An event touches the parts that it concerns and no other, so that it costs the same however long the engagement has
lived. Parts are compact arrays; a new field goes to the end and has a default, so that older state still decodes.
"""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from milepost.core.events import Event, Evidence, Period
from milepost.core.ids import GENESIS, escape, identify

__all__ = [
    "Account",
    "Decision",
    "Filing",
    "FilingDecision",
    "Hold",
    "KpiFacts",
    "KpiValue",
    "LineFacts",
    "Occurrence",
    "Owed",
    "ParkedEvent",
    "Parking",
    "Place",
    "Report",
    "Timer",
    "Waiting",
    "account_key",
    "buckets_key",
    "clock_key",
    "confirmation_key",
    "contract_key",
    "due_key",
    "due_place",
    "filing_key",
    "filings_of",
    "hold_key",
    "kpi_key",
    "line_key",
    "lines_of",
    "occurrence_key",
    "occurrences_of",
    "parked_key",
    "parking_key",
    "proposal_key",
    "void_key",
]


class Place(NamedTuple):
    """A milestone's occurrence: what is assessed, billed and reported on by itself; None where it does not repeat."""

    milestone: str
    occurrence: str | None = None

    def identify(self, what: str, engagement: str, effect: str, revision: int) -> str:
        """The id of a line, retention event or request of this occurrence (`ids.identify`)."""
        return identify(what, engagement, self.milestone, self.occurrence or "", effect, revision)


class Report(msgspec.Struct, frozen=True, array_like=True):
    """A report in force from `at` until its successor; `completion` canonical, in percent."""

    at: int
    kind: str
    completion: str
    cause: str  # source/event_id
    reported_by: str | None = None
    evidence: tuple[Evidence, ...] = ()
    attributes: dict[str, str] = {}


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """A signature, a rejection or a signature taken back; it may name a submission by number or by hash."""

    at: int
    role: str
    approver: str
    decision: str
    cause: str
    submission: int | None = None
    submission_hash: str | None = None
    certified: str | None = None
    evidence: tuple[Evidence, ...] = ()


class Timer(msgspec.Struct, array_like=True):
    """What ticks did to one request: resolved when it was raised, so that nothing that comes later moves it."""

    asked: int  # the last tick when it was raised
    fired: list[tuple[int, int]] = []  # of each stage that timed out: (deadline, the tick that fired it)
    reminded: int = 0  # reminders that are over


class Owed(msgspec.Struct, frozen=True, array_like=True):
    """A dispute was upheld: the credit that is to be raised, at once or when the engagement is resumed."""

    dispute: str
    line_id: str
    effect: str  # of the disputed line
    at: int
    amount_minor: int
    cause: str


class Occurrence(msgspec.Struct, array_like=True):
    """One occurrence of a milestone: its facts, what is billed of it, and what was said about it last."""

    reports: list[Report] = []
    decisions: list[Decision] = []
    accepted: list[tuple[int, str]] = []  # (since, percent) ascending: dependants and the sign-off read it
    lines: int = 0  # raised so far: the revision of the last one
    billed_minor: int = 0
    billed_completion: str = "0"
    billed_at: int | None = None
    subject_minor: int = 0  # the part of billed_minor that retention was computed from
    charge_revision: int = 0  # of the last line that was no credit: what a credit corrects
    state: str = "PENDING"
    flags: list[str] = []
    requests: dict[str, str] = {}  # "submission.step" -> "KIND hash role" as said last
    request_counts: dict[str, int] = {}  # "submission.step.KIND" -> how often
    status_digest: bytes = b""
    dates: dict[str, int] = {}  # a date gate's day -> the tick at which it passed
    lower: list[Report] = []  # refused as LOWER_COMPLETION: sent again after a correction, they stay refused
    billed_period: tuple[int, int] | None = None  # (end, start) of the value that a success fee was billed by
    holds: list[int] = []  # the numbers of what its lines withheld; of those paid out some may still be here
    timers: dict[str, Timer] = {}  # "submission.step hash" of what was asked with a deadline or reminders
    due: int | None = None  # the earliest of their instants that is in the index of what is due
    billed_acceptance: int | None = None  # when what was billed last had been accepted
    taken: list[tuple[int, int]] = []  # disputes upheld: when, and how much; the entitlement stays lower by it
    clawed_minor: int = 0  # taken by clawbacks
    owed: list[Owed] = []
    disputed_minor: int = 0  # in disputes that are open
    dispute_lines: dict[str, int] = {}  # dispute id -> credits raised
    superseded: list[Report] = []  # refused as such; a termination may leave out what superseded them


class KpiValue(msgspec.Struct, frozen=True, array_like=True):
    """One revision of a measured value."""

    at: int
    source: str
    value: str
    revision: int
    final: bool
    cause: str
    unit: str | None = None
    start: Period = None
    end: Period = None
    evidence: tuple[Evidence, ...] = ()


class KpiFacts(msgspec.Struct, array_like=True):
    """The values of one KPI that belong to a bucket, in the order of arrival."""

    values: list[KpiValue] = []


class FilingDecision(msgspec.Struct, frozen=True, array_like=True):
    """What a regulator decided on a filing; `milestone` is whom the sender means, if it says so."""

    at: int
    regulator: str
    decision: str
    cause: str
    confirmation_id: str | None = None
    sequence: int | None = None
    milestone: str | None = None
    evidence: tuple[Evidence, ...] = ()


class Filing(msgspec.Struct, array_like=True):
    """Every decision on a filing, in the order of arrival, but those that arrived superseded."""

    decisions: list[FilingDecision] = []


class Hold(msgspec.Struct, array_like=True):
    """Money withheld by one line and not paid out yet; it names the open holds before and after it, 0 for none."""

    retention_event_id: str
    amount_minor: int
    accepted_at: int  # the line's
    previous: int = 0
    next: int = 0


class LineFacts(msgspec.Struct, array_like=True):
    """What a dispute must know of a line that was raised; a line of no milestone has the empty one."""

    milestone: str
    occurrence: str | None
    effect: str
    revision: int
    gross_minor: int
    accepted_at: int
    credited_minor: int = 0  # by later lines, whatever raised them
    subject_minor: int = 0  # the part that is subject to retention, less what credits took of it

    @property
    def uncredited_minor(self) -> int:
        """What is left of the charge; negative for a credit."""
        return self.gross_minor - self.credited_minor


class Account(msgspec.Struct, array_like=True):
    """An engagement's terms in force, balances and chain; it exists from the first event on, opened or not."""

    version: int = 0  # of the contract in force; 0: not opened yet
    opened_at: int = 0
    signed_off_at: int | None = None  # the claim; it takes effect at `signoff_at`
    signoff_at: int | None = None
    terminated_at: int | None = None
    suspended: bool = False
    gross_minor: int = 0  # of all lines
    payable_minor: int = 0  # of all lines
    subject_minor: int = 0  # gross of the lines subject to retention, to date
    held_minor: int = 0  # withheld to date; ignores releases
    released_minor: int = 0
    releases: dict[str, int] = {}  # rule id -> lines raised
    signoff_digest: bytes = b""
    sequence: int = 0
    head: str = GENESIS
    parked: int = 0  # events in `Parking`
    suspension_changed_at: int | None = None  # the time of the last SUSPENDED or RESUMED that acted
    signoff_submission: int = 0  # the number of the claim that governs, or of the last one
    signoff_causes: tuple[str, ...] = ()  # the claim and its signatures, in `caused_by`'s form
    first_version: int = 0  # that the engagement was opened with: those up to `version` are signed
    known_version: int = 0  # the highest that was sent; one above `version` waits for its signatures
    holds: int = 0  # raised so far: the number of the last one
    first_hold: int = 0  # of the open ones; 0: none is open
    last_hold: int = 0
    open_minor: int = 0  # the sum of the open ones
    moments: dict[str, tuple[int, int]] = {}  # rule id -> (its moment, held to date on lines accepted by then)
    disputes_open: int = 0  # releases wait for them
    original_value_minor: int | None = None  # the contract's value as opened
    pauses: list[tuple[int, int]] = []  # while it was suspended: (since, until), ascending; deadlines stood still
    subject_by: dict[int, int] = {}  # version -> the part of `subject_minor` accepted in its time
    excess_minor: int = 0  # the part of `released_minor` that a lower rate gave back
    signoff_waits: tuple[str, ...] = ()  # decisions on the sign-off that wait for a submission still to come
    amended_at: int | None = None  # when the last of the amendments in force was signed
    caught_up_version: int = 0  # up to which versions that govern everything have given back what they leave over
    void: int = 0  # documents that were in force and are not any more
    suspended_tick: int = 0  # the last tick before the suspension that lasts


class ParkedEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event that came too early, with where it came from."""

    event: Event
    topic: str
    partition: int | None
    offset: int | None
    recorded_at: int


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """What the index of parked events says of one: what it is for, how it is shown, its content's hash."""

    milestone: str
    name: str
    digest: bytes
    line: str | None = None  # the line that a dispute names
    occurrence: str | None = None

    @property
    def place(self) -> Place:
        """Whose status shows it."""
        return Place(self.milestone, self.occurrence)


class Parking(msgspec.Struct, array_like=True):
    """The index of an engagement's parked events, in the order of arrival; `bytes` is their size encoded."""

    waiting: list[Waiting] = []
    bytes: int = 0


def account_key(engagement: str) -> bytes:
    """Where an engagement's `Account` is."""
    return f"{engagement}/account".encode()


def contract_key(engagement: str, version: int) -> bytes:
    """Where a version of the contract is."""
    return f"{engagement}/contract/{version}".encode()


def proposal_key(engagement: str, version: int, number: int) -> bytes:
    """Where the document of one claim of a version is, numbered from 1: which of them is signed may change."""
    return f"{engagement}/proposal/{version}/{number}".encode()


def void_key(engagement: str, number: int) -> bytes:
    """Where a document is that was in force and is not any more, numbered from 1."""
    return f"{engagement}/void/{number}".encode()


def kpi_key(engagement: str, kpi: str, bucket: str) -> bytes:
    """Where those values of a KPI are that belong to a bucket (`rules.kpis.bucket`)."""
    return f"{engagement}/kpi/{escape(kpi)}/{bucket}".encode()


def buckets_key(engagement: str, kpi: str) -> bytes:
    """Where the names of a KPI's buckets are: a store is never asked for a range of an engagement's keys for it."""
    return f"{engagement}/kpi/{escape(kpi)}".encode()


def hold_key(engagement: str, number: int) -> bytes:
    """Where it is kept what a line withheld, as long as it is not paid out."""
    return f"{engagement}/hold/{number}".encode()


def line_key(engagement: str, line: str) -> bytes:
    """Where it is kept what a line was."""
    return f"{engagement}/line/{escape(line)}".encode()


def lines_of(engagement: str) -> tuple[bytes, bytes]:
    """The range of keys (start, stop) in which an engagement's lines are."""
    return f"{engagement}/line/".encode(), f"{engagement}/line0".encode()  # "0" comes after "/"


def filing_key(engagement: str, filing: str) -> bytes:
    """Where the decisions on a filing are."""
    return f"{engagement}/filing/{escape(filing)}".encode()


def filings_of(engagement: str) -> tuple[bytes, bytes]:
    """The range of keys (start, stop) in which an engagement's filings are."""
    return f"{engagement}/filing/".encode(), f"{engagement}/filing0".encode()  # "0" comes after "/"


def confirmation_key(engagement: str, confirmation: str) -> bytes:
    """Where it is kept which filing a confirmation id pays for."""
    return f"{engagement}/confirmation/{escape(confirmation)}".encode()


@lru_cache(maxsize=1 << 16)
def occurrence_key(engagement: str, place: Place) -> bytes:
    """Where an occurrence of a milestone is; a milestone that does not repeat has the empty one."""
    return f"{engagement}/milestone/{escape(place.milestone)}/{escape(place.occurrence or '')}".encode()


def occurrences_of(engagement: str, milestone: str) -> tuple[bytes, bytes]:
    """The range of keys (start, stop) in which the occurrences of a milestone are."""
    start = f"{engagement}/milestone/{escape(milestone)}/"
    return start.encode(), start[:-1].encode() + b"0"  # "0" comes after "/"


def parking_key(engagement: str) -> bytes:
    """Where the index of an engagement's parked events is."""
    return f"{engagement}/parked".encode()


def parked_key(engagement: str, place: int) -> bytes:
    """Where the parked event at that place of the index is."""
    return f"{engagement}/parked/{place}".encode()


def due_key(instant: int, engagement: str, place: Place) -> bytes:
    """An entry of the partition's index of what is due, ordered by time: a tick costs only what is due."""
    parts = (engagement, escape(place.milestone), escape(place.occurrence or ""))
    return f"@due/{max(instant, 0):020d}/{'/'.join(parts)}".encode()


def due_place(key: bytes) -> tuple[str, Place]:
    """The engagement and the occurrence that a key of the index names."""
    _, _, engagement, milestone, occurrence = key.decode().split("/")
    return engagement, Place(unquote(milestone), unquote(occurrence) or None)


def clock_key() -> bytes:
    """Where a partition's last tick is."""
    return b"@clock"
