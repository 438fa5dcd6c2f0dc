"""Rows and offsets in one transaction; an offset moves only from where its owner believes it to be."""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from milepost.codec import records
from milepost.codec.wire import Record
from milepost.core.events import EngagementEvent, InvoiceAcknowledgement
from milepost.ledger.rows import TABLES, UnreadableError, rows_of
from milepost.sql import queries, tables, writing
from milepost.sql.engine import Engine
from milepost.sql.reading import LedgerReading
from milepost.sql.writing import ContradictionError, Move, TakenOverError, next_offsets, store
from tests.ledger import made

LINES = "invoice-lines"


def keep(engine: Engine, batch: Sequence[Record], expected: dict[str, int] | None = None) -> None:
    """Store records of partition 0 as the ledger does; `expected` by topic, default: nothing stored yet."""
    rows = rows_of(batch)
    ends = {record.topic: record.offset + 1 for record in batch}
    moves = [
        Move(topic, 0, (expected or {}).get(topic), end, rows.txseqs.get((topic, 0))) for topic, end in ends.items()
    ]
    store(engine, rows.added, rows.statuses, moves)


def everything() -> list[Any]:
    first, second = made.line(), made.line(milestone="build", occurrence_id="2026-05", evidence=(), attributes={})
    return [
        first,
        second,
        made.retention(first),
        made.request(),
        made.status(),
        made.status(milestone="build", state="BILLED", missing=(), at_stake_minor=0, planned_on=None),
        made.audit(sequence=1),
        made.audit(sequence=2, event_id=None, reason="DUPLICATE", line_id=first.line_id),
    ]


def dump(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    return {table.name: queries.rows(engine, table) for table in TABLES.values()}


def test_what_is_read_is_what_the_records_said(engine: Engine) -> None:
    outputs = everything()
    keep(engine, [*made.in_order(outputs, txseq=7), made.dead_letter(0)])
    reading = LedgerReading(engine)
    assert reading.lines("erp-rollout") == outputs[:2]
    assert reading.retention_events() == [outputs[2]]
    assert reading.requests("erp-rollout") == [outputs[3]]
    assert reading.statuses() == outputs[4:6]
    assert reading.audit("erp-rollout") == outputs[6:]
    assert reading.lines("another") == []
    assert reading.engagements() == ["erp-rollout"]
    [letter] = reading.dead_letters("erp-rollout")
    assert (letter.reason, letter.message) == ("UNDECODABLE", "a string is not UTF-8")
    assert (letter.original_topic, letter.original_partition, letter.original_offset) == ("kpi-events", 2, 41)
    assert (letter.size_bytes, letter.recorded_at) == (8, 1_780_000_000_123_000)
    assert queries.sink_positions(engine)[LINES, 0] == (2, 7)
    assert next_offsets(engine)["dead-letters", 0] == 1


def test_balances_and_totals_are_exact(engine: Engine) -> None:
    huge = 2**62
    line, other = (
        made.line(gross_minor=huge, retained_minor=0, payable_minor=huge),
        made.line(milestone="b", currency="JPY"),
    )
    events = [
        made.retention(line, amount=huge),
        made.retention(line, "REDUCED", 5, retention_event_id="r2"),
        made.retention(line, "RELEASED", 7, retention_event_id="r3", release_id="r1", releases=("x", "y")),
        made.retention(other, retention_event_id="r4"),
    ]
    keep(engine, made.in_order([line, other, *events]))
    reading = LedgerReading(engine)
    eur, jpy = reading.retention_balances("erp-rollout")
    assert (eur.held_minor, eur.reduced_minor, eur.released_minor, eur.balance_minor) == (huge, 5, 7, huge - 12)
    assert (jpy.currency, jpy.balance_minor) == ("JPY", 100_000)
    assert [(total.currency, total.lines, total.gross_minor) for total in reading.totals()] == [
        ("EUR", 1, huge),
        ("JPY", 1, 1_000_000),
    ]
    assert reading.retention_balances("another") == []


def test_the_newest_status_is_the_row_and_a_tombstone_deletes_it(engine: Engine) -> None:
    keep(engine, made.in_order([made.status(), made.status(state="SUBMITTED"), made.status(milestone="build")]))
    assert [status.state for status in LedgerReading(engine).statuses()] == ["SUBMITTED", "PENDING"]
    later = [
        made.record(made.status(state="BILLED"), 3),
        made.record(made.status(milestone="build"), 4)._replace(value=None),
    ]
    keep(engine, later, {"milestone-status": 3})
    assert [(status.milestone_id, status.state) for status in LedgerReading(engine).statuses()] == [
        ("assessment", "BILLED")
    ]


def test_an_open_milestone_is_one_that_may_still_bill(engine: Engine) -> None:
    statuses = [
        made.status(milestone="a"),
        made.status(milestone="b", state="BILLED", missing=(), at_stake_minor=0),
        made.status(milestone="c", state="BILLED", missing=(), at_stake_minor=400),
        made.status(milestone="d", state="CANCELLED"),
    ]
    keep(engine, made.in_order(statuses))
    assert [status.milestone_id for status in LedgerReading(engine).open_milestones("erp-rollout")] == ["a", "c"]


def test_replaying_the_topics_changes_nothing(engine: Engine) -> None:
    batch = [*made.in_order(everything()), made.dead_letter(0)]
    keep(engine, batch)
    before = dump(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM sink_offsets"))
    keep(engine, batch)
    assert dump(engine) == before
    assert sum(map(len, before.values())) == len(batch)


def test_a_batch_that_is_half_new_adds_the_new_half(engine: Engine) -> None:
    lines = [made.line(milestone=f"m{number}") for number in range(6)]
    keep(engine, made.in_order(lines[:4]))
    keep(engine, made.in_order([*lines, lines[5]]), {LINES: 4})
    assert LedgerReading(engine).lines() == lines


@pytest.mark.parametrize("together", [True, False])
def test_an_id_that_comes_with_other_bytes_stops_the_sink(engine: Engine, together: bool) -> None:
    first, forged = made.line(), msgspec.structs.replace(made.line(), payable_minor=900_001)
    batch = made.in_order([first, made.line(milestone="build"), forged])
    if not together:
        keep(engine, batch[:2])
    with pytest.raises(ContradictionError, match=f"invoice_lines: line_id {first.line_id} is stored already"):
        keep(engine, batch if together else batch[2:], None if together else {LINES: 2})
    assert LedgerReading(engine).lines() == ([] if together else [first, made.line(milestone="build")])
    assert next_offsets(engine) == ({} if together else {(LINES, 0): 2})


def test_an_audit_entry_is_compared_by_engagement_and_sequence(engine: Engine) -> None:
    keep(engine, made.in_order([made.audit("a", 1), made.audit("b", 1), made.audit("a", 2)]))
    with pytest.raises(ContradictionError, match=r"engagement_id a, sequence 2"):
        keep(engine, [made.record(made.audit("a", 2, what="CHANGED"), 3)], {"audit-trail": 3})


@pytest.mark.parametrize("expected", [None, 1, 3])
def test_an_offset_that_somebody_moved_refuses_the_whole_batch(engine: Engine, expected: int | None) -> None:
    keep(engine, made.in_order([made.line(), made.line(milestone="build")]))
    late = [made.record(made.line(milestone="late"), 2), made.record(made.audit(), 0)]
    with pytest.raises(TakenOverError, match=r"invoice-lines\[0\].*another sink"):
        keep(engine, late, {LINES: expected} if expected is not None else {})
    assert len(LedgerReading(engine).lines()) == 2
    assert LedgerReading(engine).audit() == []
    assert next_offsets(engine) == {(LINES, 0): 2}


def zombie(engine: Engine) -> None:
    """B takes the partition over from A and goes further; then A, which was frozen, stores what it had in hand."""
    old, new = (
        made.in_order([made.status(state=state) for state in ("PENDING", "SUBMITTED", "BILLED")]),
        {"milestone-status": 2},
    )
    keep(engine, old[:2])
    keep(engine, old[2:], new)
    keep(engine, old[:2])


def test_a_zombie_is_refused(engine: Engine) -> None:
    with pytest.raises(TakenOverError):
        zombie(engine)
    assert [status.state for status in LedgerReading(engine).statuses()] == ["BILLED"]
    assert next_offsets(engine) == {("milestone-status", 0): 3}


def test_without_the_comparison_a_zombie_takes_status_and_offset_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: what the test above would see if the offset moved from anywhere."""
    careless = text(
        "INSERT INTO sink_offsets (topic, partition, next_offset) VALUES (:topic, :partition, :following) "
        "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset"
    )
    monkeypatch.setattr(writing, "_FIRST", careless)
    monkeypatch.setattr(writing, "_NEXT", careless)
    zombie(engine)
    assert [status.state for status in LedgerReading(engine).statuses()] == ["SUBMITTED"]
    assert next_offsets(engine) == {("milestone-status", 0): 2}


def test_text_that_postgresql_cannot_hold_does_not_stop_the_sink(engine: Engine) -> None:
    odd = made.line(
        description="a\x00b \\u0000", attributes={"k\x00": "v\x00 \\u0000"}, customer_id="'); DROP TABLE x;--"
    )
    keep(
        engine,
        [*made.in_order([odd, made.status(milestone="m\x00")]), made.dead_letter(0, key=b"\x00\xff", value=None)],
    )
    mark = "\x00" if engine.dialect.name == "sqlite" else "\ufffd"
    [line] = LedgerReading(engine).lines()
    assert line.description == f"a{mark}b \\u0000"
    assert line.attributes == {f"k{mark}": f"v{mark} \\u0000"}
    assert line.customer_id == odd.customer_id
    assert [status.milestone_id for status in LedgerReading(engine).statuses()] == [f"m{mark}"]
    assert LedgerReading(engine).dead_letters()[0].engagement_key == f"{mark}\\xff"


def test_extreme_values_come_back_as_they_were(engine: Engine) -> None:
    line = made.line(
        gross_minor=-(2**63),
        retained_minor=2**63 - 1,
        accepted_at=2**62,
        unit_price="0." + "3" * 500,
        description="x" * 70_000,
    )
    keep(engine, made.in_order([line, made.request(due_at=-1, people=())]))
    assert LedgerReading(engine).lines() == [line]
    assert LedgerReading(engine).requests()[0].due_at == -1


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (made.record(made.line(), 5)._replace(value=b"{}"), "expected magic byte 0"),
        (made.record(made.line(), 5)._replace(value=None), "no value"),
        (made.record(made.line(), 5)._replace(value=made.record(made.line(), 5).value[:-1]), "cannot be read"),  # type: ignore[index]
        (made.record(made.status(), 5)._replace(value=None, key=b"only-engagement"), "engagement/milestone/occurrence"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(record: Record, found: str) -> None:
    with pytest.raises(UnreadableError, match=found) as caught:
        rows_of([record])
    assert f"{record.topic}[0] offset 5" in str(caught.value)


def test_a_dead_letter_without_headers_is_kept_all_the_same() -> None:
    bare = rows_of([made.dead_letter(3)._replace(headers=())])
    [row] = bare.added[tables.dead_letters]
    assert row[:5] == ("dead-letters", 0, 3, "UNKNOWN", "")


def event_record(event: Any, offset: int, key: bytes | None = None) -> Record:
    own = records.key_of(event) if key is None else key
    return Record(records.topic_of(event), 0, offset, 1_780_000_000_000, own, records.encode_event(event))


def test_contracts_are_those_that_the_join_took(engine: Engine) -> None:
    def sent(offset: int, change: Any, version: int, name: str) -> Record:
        document = json.dumps({"version": version, "engagement": "erp-rollout", "name": name})
        return event_record(EngagementEvent(f"e{offset}", "crm", "erp-rollout", change, made.NOON, document), offset)

    def entry(sequence: int, what: str, offset: int, reason: str | None = None) -> Any:
        place = {"input_topic": "engagements", "input_partition": 0, "input_offset": offset}
        return made.audit(sequence=sequence, what=what, reason=reason, event_id=f"e{offset}", line_id=None, **place)

    events = [
        sent(0, "OPENED", 1, "first"),
        sent(1, "OPENED", 1, "refused"),
        sent(2, "AMENDED", 2, "rejected"),
        sent(3, "AMENDED", 2, "signed"),
    ]
    taken = [
        entry(1, "APPLIED", 0),
        entry(2, "REFUSED", 1, "ALREADY_OPEN"),
        entry(3, "APPLIED", 2),
        entry(4, "APPLIED", 3),
    ]
    keep(engine, [*events, *made.in_order(taken, txseq=1)])
    found = LedgerReading(engine).contracts("erp-rollout")
    assert {version: json.loads(text)["name"] for version, text in found.items()} == {1: "first", 2: "signed"}
    assert LedgerReading(engine).contracts("another") == {}


def test_acknowledgements_are_rows_and_unreadable_ones_dead_letters(engine: Engine) -> None:
    said = InvoiceAcknowledgement("a1", "erp", "erp-rollout", "l1", "ACCEPTED", made.NOON, "RE-4711", date(2026, 6, 1))
    poison = Record("invoice-acknowledgements", 0, 1, 1_780_000_000_000, b"k", b"\x00\x00")
    stranger = event_record(said, 2, key=b"other")
    endless = event_record(InvoiceAcknowledgement("a2", "erp", "erp-rollout", "x" * 9_999, "REJECTED", made.NOON), 3)
    keep(engine, [event_record(said, 0), poison, stranger, endless])
    reading = LedgerReading(engine)
    assert reading.acknowledgements("erp-rollout") == [said]
    letters = reading.dead_letters()
    assert [(letter.record_offset, letter.reason) for letter in letters] == [
        (1, "UNDECODABLE"),
        (2, "KEY_MISMATCH"),
        (3, "INVALID_VALUE"),
    ]
    assert {letter.original_topic for letter in letters} == {"invoice-acknowledgements"}


def test_an_engagement_event_that_is_poison_is_left_to_the_join(engine: Engine) -> None:
    poison = Record("engagements", 0, 0, 1_780_000_000_000, b"k", b"\x00\x00")
    opened = EngagementEvent("e1", "crm", "x" * 9_999, "OPENED", made.NOON, "{}")
    keep(engine, [poison, event_record(opened, 1)])
    assert queries.rows(engine, tables.engagement_events) == []
    assert LedgerReading(engine).dead_letters() == []
    assert next_offsets(engine)["engagements", 0] == 2
