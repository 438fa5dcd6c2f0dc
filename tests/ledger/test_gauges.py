"""What the database says at a glance: money, what blocks it, approvals, dead letters, what the ERP refused."""

from collections import Counter

import msgspec
import pytest

from milepost.codec.wire import Record
from milepost.core.events import InvoiceAcknowledgement
from milepost.core.outputs import MilestoneStatus, Missing
from milepost.ledger.rows import rows_of
from milepost.ledger.watching import count, show
from milepost.observe import metrics
from milepost.operations.acknowledged import compare_erp
from milepost.operations.reconcile import Reconciliation
from milepost.sql import actions
from milepost.sql.engine import Engine
from milepost.sql.gauges import ERP_GRACE_DAYS, Blocked, glance
from milepost.sql.reading import LedgerReading
from tests.ledger import made
from tests.ledger.test_storing import event_record, keep


def missing(gate: str, detail: str, since: int | None) -> Missing:
    return Missing(gate=gate, detail=detail, since=since)


LATER = made.NOON + 1_000
DAY_US = 86_400_000_000


def value(metric: object, **labels: str) -> float | None:
    for family in metric.collect():  # type: ignore[attr-defined]
        for sample in family.samples:
            if sample.labels == labels and not sample.name.endswith("_created"):
                found: float = sample.value
                return found
    return None


def test_money_is_summed_by_currency_and_kind(engine: Engine) -> None:
    first = made.line(gross_minor=1000, retained_minor=100, payable_minor=900)
    yen = made.line(
        milestone="y", currency="JPY", currency_exponent=0, gross_minor=7, retained_minor=0, payable_minor=7
    )
    taken = made.line(milestone="t", kind="CLAWBACK", gross_minor=-400, retained_minor=-40, payable_minor=-360)
    paid = made.line(milestone="r", kind="RETENTION_RELEASE", gross_minor=0, retained_minor=-60, payable_minor=60)
    keep(engine, made.in_order([first, yen, taken, paid]))
    found = glance(engine, LATER)
    assert found.money == {
        ("EUR", 2, "billed"): 600,
        ("EUR", 2, "retained"): 0,
        ("EUR", 2, "payable"): 600,
        ("EUR", 2, "clawed_back"): 400,
        ("EUR", 2, "released"): 60,
        ("JPY", 0, "billed"): 7,
        ("JPY", 0, "retained"): 0,
        ("JPY", 0, "payable"): 7,
    }
    show(found)
    assert value(metrics.MONEY, currency="EUR", kind="clawed_back") == 4.0
    assert value(metrics.MONEY, currency="JPY", kind="billed") == 7.0


def test_money_is_blocked_by_each_kind_of_gate_since_the_oldest(engine: Engine) -> None:
    def status(milestone: str, *gates: Missing, minor: int = 500) -> MilestoneStatus:
        return made.status(milestone=milestone, missing=gates, at_stake_minor=minor, state="PENDING")

    keep(
        engine,
        made.in_order(
            [
                status("a", missing("kpi:uptime", "", 30), missing("approval:client_ap", "", 20)),
                status("b", missing("kpi:other|regulator:FDA", "", 10)),
                status("c", missing("completed", "", None), minor=250),
                status("d", missing("kpi:free", "", 1), minor=0),
            ]
        ),
    )
    found = glance(engine, LATER)
    assert found.blocked == [
        Blocked("approval", "EUR", 2, 500, 20),
        Blocked("completed", "EUR", 2, 250, None),
        Blocked("kpi", "EUR", 2, 1000, 10),
    ]
    show(found)
    assert value(metrics.BLOCKED, currency="EUR", gate="kpi") == 10.0
    assert value(metrics.BLOCKED_SINCE, gate="kpi") == 10 / 1_000_000
    assert value(metrics.BLOCKED_SINCE, gate="completed") is None
    show(found._replace(blocked=[]))
    assert value(metrics.BLOCKED, currency="EUR", gate="kpi") is None


@pytest.mark.parametrize(("due_at", "overdue"), [(made.NOON, 1), (LATER + 1, 0), (None, 0)])
def test_an_approval_is_open_and_then_overdue(due_at: int | None, overdue: int, engine: Engine) -> None:
    asked = made.request(milestone="a", role="client_ap", submission=2, due_at=due_at)
    gates = (missing("approval:client_ap", "has not signed", made.NOON),)
    waits = made.status(milestone="a", missing=gates, submission=2, state="SUBMITTED")
    signed = made.status(milestone="b", missing=(), submission=1, state="BILLED")
    keep(engine, made.in_order([asked, waits, signed]))
    found = glance(engine, LATER)
    assert (found.approvals_open, found.approvals_overdue) == (1, overdue)


def test_dead_letters_are_open_until_somebody_settles_them(engine: Engine) -> None:
    keep(engine, [made.dead_letter(0)])
    found = glance(engine, LATER)
    assert (found.dead, found.dead_since) == ({"UNDECODABLE": 1}, 1_780_000_000_123_000)
    [letter] = LedgerReading(engine).dead_letters()
    assert letter.dead_letter_id is not None
    actions.record(engine, LATER, "olga", "REPLAY_FAILED", letter.dead_letter_id, None)
    assert glance(engine, LATER).dead == {"UNDECODABLE": 1}
    actions.record(engine, LATER, "olga", "DISCARDED", letter.dead_letter_id, "a test")
    found = glance(engine, LATER)
    assert (found.dead, found.dead_since) == ({}, None)


def said(number: int, line_id: str, status: str, at: int, document: str | None = None) -> Record:
    answer = InvoiceAcknowledgement(f"a{number}", "erp", "erp-rollout", line_id, status, at, document)  # type: ignore[arg-type]
    return event_record(answer, number)


def test_ledger_and_erp_differ_as_reconcile_says(engine: Engine) -> None:
    """Three lines: one is refused until the ERP takes it, of two the ERP says nothing; and it knows one of its own."""
    refused, silent, recent = (made.line(milestone=name) for name in ("a", "b", "c"))
    recent = msgspec.structs.replace(recent, accepted_at=made.NOON + ERP_GRACE_DAYS * DAY_US)
    keep(engine, made.in_order([refused, silent, recent]))
    now = silent.accepted_at + ERP_GRACE_DAYS * DAY_US + 1

    def differences() -> dict[str, int]:
        found = Reconciliation()
        compare_erp(engine, now, ERP_GRACE_DAYS * DAY_US, found)
        gauges = glance(engine, now)
        show(gauges)
        shown = {kind: value(metrics.DIFFERENCES, difference=kind) for kind in gauges.differences}
        assert shown == gauges.differences
        assert {kind: count for kind, count in gauges.differences.items() if count} == Counter(
            one.kind for one in found.differences if one.kind in gauges.differences
        )
        return gauges.differences

    assert differences() == {"rejected": 0, "unanswered": 0, "unknown": 0, "twice": 0}  # no ERP is connected
    keep(engine, [said(0, refused.line_id, "REJECTED", made.NOON), said(1, refused.line_id, "REJECTED", LATER)])
    assert differences() == {"rejected": 1, "unanswered": 1, "unknown": 0, "twice": 0}
    keep(engine, [said(2, "nobody's", "REJECTED", LATER)], {"invoice-acknowledgements": 2})
    assert differences() == {"rejected": 1, "unanswered": 1, "unknown": 1, "twice": 0}
    keep(engine, [said(3, refused.line_id, "ACCEPTED", LATER)], {"invoice-acknowledgements": 3})
    assert differences() == {"rejected": 0, "unanswered": 1, "unknown": 1, "twice": 0}
    documents = [said(place, refused.line_id, "ACCEPTED", LATER + 1, f"RE-{place}") for place in (4, 5)]
    keep(engine, documents, {"invoice-acknowledgements": 4})
    assert differences() == {"rejected": 0, "unanswered": 1, "unknown": 1, "twice": 1}


def test_outcomes_and_delays_are_counted() -> None:
    before = value(metrics.OUTCOMES, outcome="refused", reason="DUPLICATE") or 0.0
    entries = [
        made.audit(sequence=1, what="REFUSED", reason="DUPLICATE"),
        made.audit(sequence=2, what="LINE", reason="MILESTONE", occurred_at=1_000_000, recorded_at=3_000_000),
    ]
    batch = [record._replace(timestamp=5_000) for record in made.in_order(entries)]
    told = rows_of(batch).told
    assert told.outcomes == {("REFUSED", "DUPLICATE"): 1}
    assert told.delays == [(4_000_000, 2_000_000)]
    count(told)
    assert value(metrics.OUTCOMES, outcome="refused", reason="DUPLICATE") == before + 1
