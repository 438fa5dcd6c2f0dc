"""What is withheld is kept by parts: an event costs the same, however many lines there were, and the sums agree."""

from collections.abc import Iterable

from milepost.core.engagement import Engagement
from milepost.core.events import ClockTick, EngagementEvent, Event, MilestoneEvent
from milepost.core.facts import Place
from milepost.core.fold import Received, fold
from milepost.core.holds import hold
from milepost.core.outputs import Output, RetentionEvent
from milepost.core.parts import Staged
from milepost.core.settlement import NAMED, pay_out
from tests.core.scenario import BASE, contract_of, instant

ZONE = "Europe/Berlin"
CONTRACT = {
    **BASE,
    "retention": {
        "rate": "10",
        "release": [{"share": "50", "when": {"date": "2026-03-01"}}, {"share": "50", "when": "signoff"}],
    },
    "milestones": [
        {"id": "visit", "repeats": "per_occurrence", "fee": {"fixed": "100.00"}, "requires": ["completed"]}
        | {"approval": "none"}
    ],
}


class Counted:
    """A store that says how many parts were asked for."""

    def __init__(self) -> None:
        self.parts: dict[bytes, bytes] = {}
        self.asked = 0

    def get(self, key: bytes) -> bytes | None:
        """The bytes under `key`, or None."""
        self.asked += 1
        return self.parts.get(key)

    def keys(self, start: bytes, stop: bytes) -> Iterable[bytes]:
        """The keys with start <= key < stop, ascending."""
        return sorted(key for key in self.parts if start <= key < stop)

    def fold(self, event: Event) -> list[Output]:
        """Fold one event as a batch of its own."""
        staged = Staged(self)
        outputs = fold(staged, Received(event, "test", None, None, 0))
        for key, part in staged.changes():
            if part is None:
                self.parts.pop(key, None)
            else:
                self.parts[key] = part
        return outputs


def report(occurrence: int, completion: str = "100", day: str = "2026-02-01") -> MilestoneEvent:
    kind = "REPORTED" if completion == "100" else "CORRECTED"
    at = instant(day, ZONE)
    return MilestoneEvent(f"e{occurrence}", "test", "eng", "visit", kind, at, str(occurrence), completion)  # type: ignore[arg-type]


def opened() -> Counted:
    store = Counted()
    terms = contract_of(CONTRACT)
    store.fold(EngagementEvent("o", "test", "eng", "OPENED", instant("2026-01-01", ZONE), "{}", terms=terms))
    return store


def retained(outputs: list[Output]) -> list[RetentionEvent]:
    return [output for output in outputs if isinstance(output, RetentionEvent)]


def test_one_more_line_costs_the_same() -> None:
    store = opened()
    costs = []
    for number in range(400):
        before = store.asked
        store.fold(report(number))
        costs.append(store.asked - before)
    assert costs[-1] == costs[10]
    account = store.parts[b"eng/account"]
    assert len(account) < 1_000


def test_a_credit_among_many_holds_costs_the_same() -> None:
    costs = []
    for lines in (20, 400):
        store = opened()
        for number in range(lines):
            store.fold(report(number))
        before = store.asked
        events = retained(store.fold(report(7, "0", "2026-02-02")))
        costs.append(store.asked - before)
        assert [(event.kind, event.amount_minor) for event in events] == [("REDUCED", 1000)]
    assert costs[0] == costs[1]


def test_the_retention_statement_follows_from_its_events() -> None:
    store, balance, named = opened(), 0, []
    events: list[Event] = [report(number) for number in range(30)]
    events += [report(3, "0", "2026-02-02"), ClockTick(instant("2026-03-01", ZONE)), report(31)]
    events += [
        report(4, "0", "2026-03-02"),
        EngagementEvent("s", "test", "eng", "SIGNED_OFF", instant("2026-03-03", ZONE)),
    ]
    held: list[str] = []
    for event in events:
        for output in retained(store.fold(event)):
            balance += output.amount_minor if output.kind == "HELD" else -output.amount_minor
            assert output.balance_minor == balance >= 0
            held += [output.retention_event_id] if output.kind == "HELD" else []
            named += output.releases
    assert balance == 0
    assert set(named) <= set(held)
    assert not [key for key in store.parts if key.startswith(b"eng/hold/")]


def test_a_release_names_no_more_than_fits_into_a_record() -> None:
    received = Received(ClockTick(instant("2026-03-01", ZONE)), "test", None, None, 0)
    engagement = Engagement(Staged(opened()), "eng", received)
    for number in range(NAMED + 100):
        hold(engagement, Place("visit", str(number)), f"hold {number}", 1000, number)
        engagement.account.held_minor += 1000
    pay_out(engagement, "r1", (NAMED + 50) * 1000, engagement.at, engagement.at)
    (released,) = retained(engagement.outputs)
    assert (released.amount_minor, released.balance_minor) == ((NAMED + 50) * 1000, 50_000)
    assert released.releases == tuple(f"hold {number}" for number in range(NAMED))
    assert engagement.account.open_minor == 50_000
