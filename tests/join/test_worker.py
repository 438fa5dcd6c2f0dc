"""The worker: a batch of records in, outputs and changes out; one dead letter for each record that is none."""

import json
import random
from typing import Any

import msgspec
import pytest

from milepost.codec import records
from milepost.codec.topics import INPUTS, OUTPUTS, PLACES
from milepost.codec.wire import Outgoing, Record, header
from milepost.core.events import ApprovalDecision, ClockTick, EngagementEvent, KpiEvent, MilestoneEvent
from milepost.core.outputs import InvoiceLine, MilestoneStatus, RetentionEvent
from milepost.join.worker import Folded, Worker
from milepost.store.memory import MemoryStore

AT = 1_770_000_000_000_000  # 2026-02-02T02:40:00Z
CONTRACT: dict[str, Any] = {
    "milepost": 1,
    "engagement": "erp",
    "version": 1,
    "customer": {"id": "acme", "name": "Acme"},
    "currency": "EUR",
    "timezone": "Europe/Berlin",
    "effective_from": "2026-01-01",
    "people": {"lead": ["maria"], "ap": ["ana"]},
    "sides": {"supplier": ["lead"], "customer": ["ap"]},
    "approvals": {"dual": {"steps": [{"role": "lead"}, {"role": "ap"}]}},
    "retention": {"rate": "10", "release": [{"id": "handover", "share": "100", "when": "signoff"}]},
    "milestones": [{"id": "m1", "fee": {"fixed": "50000.00"}, "requires": ["completed"], "approval": "dual"}],
}
OPENED = EngagementEvent("c1", "crm", "erp", "OPENED", AT, contract=json.dumps(CONTRACT))
REPORTED = MilestoneEvent("r1", "jira", "erp", "m1", "REPORTED", AT + 1, reported_by="tom")
SIGNED = [
    ApprovalDecision("s1", "app", "erp", "m1", "lead", "maria", "APPROVED", AT + 2),
    ApprovalDecision("s2", "app", "erp", "m1", "ap", "ana", "APPROVED", AT + 3),
]


def record(event: Any, offset: int = 0, **fields: Any) -> Record:
    """The record of an event, as a producer that does everything right sends it."""
    key = records.key_of(event)
    timestamp = AT // 1000
    return Record(
        records.topic_of(event),
        0,
        offset,
        timestamp,
        key,
        records.encode_event(event),
        (("traceparent", b"00-a-b-01"),),
    )._replace(**fields)


BATCH = [record(OPENED), record(REPORTED), record(SIGNED[0]), record(SIGNED[1], 1)]


def fold(*batches: list[Record], store: MemoryStore | None = None) -> Folded:
    """Fold batches, each applied before the next; the outputs of all of them."""
    store = MemoryStore() if store is None else store
    everything = Folded()
    for batch in batches:
        folded = Worker().fold(batch, store)
        store.apply(folded.changes)
        everything.outputs += folded.outputs
        everything.changes += folded.changes
        for reason, count in folded.dead_letters.items():
            everything.dead_letters[reason] = everything.dead_letters.get(reason, 0) + count
    return everything


def of(folded: Folded, topic: str) -> list[Any]:
    return [records.read(out.topic, out.value or b"") for out in folded.outputs if out.topic == topic]


def letters(folded: Folded) -> list[Outgoing]:
    return [out for out in folded.outputs if out.topic == "dead-letters"]


def test_a_batch_bills_a_milestone() -> None:
    folded = fold(BATCH)
    (line,) = of(folded, "invoice-lines")
    (held,) = of(folded, "retention-events")
    assert isinstance(line, InvoiceLine)
    assert isinstance(held, RetentionEvent)
    assert (line.gross_minor, line.retained_minor, line.payable_minor) == (5_000_000, 500_000, 4_500_000)
    assert line.caused_by == ("app/s1", "app/s2", "jira/r1")
    assert held.amount_minor == 500_000
    assert folded.dead_letters == {}


def test_one_batch_or_many_state_and_lines_are_the_same() -> None:
    whole, split = MemoryStore(), MemoryStore()
    one = fold(BATCH, store=whole)
    many = fold(*([each] for each in BATCH), store=split)
    assert dict(whole.items()) == dict(split.items())
    assert one.outputs == many.outputs


def test_folding_reads_the_store_and_changes_nothing_in_it() -> None:
    store = MemoryStore()
    Worker().fold(BATCH, store)
    assert len(store) == 0


def test_the_order_in_which_records_of_a_batch_were_polled_does_not_matter() -> None:
    expected = fold(BATCH)
    shuffled = BATCH[:]
    for seed in range(20):
        random.Random(seed).shuffle(shuffled)
        assert fold(shuffled) == expected


def test_records_are_folded_by_timestamp_then_place_then_offset() -> None:
    late = record(KpiEvent("k0", "s", "erp", "k", "1", AT), 0, timestamp=AT // 1000 + 5)
    early = record(KpiEvent("k1", "s", "erp", "k", "2", AT), 1, timestamp=AT // 1000 - 5)
    tick = record(ClockTick(AT), 0)
    folded = fold([tick, late, record(SIGNED[0], 7), record(REPORTED, 3), record(OPENED), early])
    seen = [(entry.input_topic, entry.input_offset) for entry in of(folded, "audit-trail")]
    assert list(dict.fromkeys(seen)) == [
        ("kpi-events", 1),
        ("engagements", 0),
        ("milestone-events", 3),
        ("approvals", 7),
        ("kpi-events", 0),
    ]
    assert PLACES["clock-ticks"] == len(INPUTS) - 1


def test_what_came_before_its_contract_waits_and_then_bills() -> None:
    store = MemoryStore()
    before = fold(BATCH[1:], store=store)
    assert of(before, "invoice-lines") == []
    assert any(isinstance(status, MilestoneStatus) and status.parked for status in of(before, "milestone-status"))
    (line,) = of(fold(BATCH[:1], store=store), "invoice-lines")
    assert line.gross_minor == 5_000_000


def test_the_same_records_again_raise_nothing_new() -> None:
    store = MemoryStore()
    fold(BATCH, store=store)
    again = fold([each._replace(offset=each.offset + 10) for each in BATCH], store=store)
    assert of(again, "invoice-lines") == of(again, "retention-events") == []


# ------------------------------------------------------------------------------------------------------ dead letters

BAD_CONTRACT = {**CONTRACT, "currency": "EURO", "milestones": [{"id": "m1", "fee": {"fixed": 5}, "requires": []}]}


def opened(contract: object, change: str = "OPENED", engagement: str = "erp") -> Record:
    text = contract if contract is None or isinstance(contract, str) else json.dumps(contract)
    return record(EngagementEvent("c9", "crm", engagement, change, AT, contract=text), 5)  # type: ignore[arg-type]


POISON = {
    "null value": (record(REPORTED, value=None), "UNDECODABLE", "null"),
    "null value of a tick": (record(ClockTick(AT), value=None), "UNDECODABLE", "null"),
    "empty value": (record(REPORTED, value=b""), "UNDECODABLE", "0 bytes"),
    "JSON": (record(REPORTED, value=b'{"event_id": "1"}'), "UNDECODABLE", "magic byte 0"),
    "truncated": (record(REPORTED, value=records.encode_event(REPORTED)[:-3]), "UNDECODABLE", "ends before"),
    "unknown schema": (record(REPORTED, value=b"\0\0\0\x7f\xff123"), "UNKNOWN_SCHEMA", "32767"),
    "another topic's record": (record(OPENED, topic="approvals"), "UNDECODABLE", "EngagementEvent"),
    "broken tick": (record(ClockTick(AT), value=b"\0\0\0\0\x09"), "UNDECODABLE", "ends before"),
    "null key": (record(REPORTED, key=None), "KEY_MISMATCH", "null"),
    "empty key": (record(REPORTED, key=b""), "KEY_MISMATCH", "'erp'"),
    "another key": (record(REPORTED, key=b"crm"), "KEY_MISMATCH", "'crm'"),
    "a key that is no text": (record(REPORTED, key=b"\xff\xfe"), "KEY_MISMATCH", r"\\xff"),
    "wrong value": (record(KpiEvent("k", "s", "erp", "k", "NaN", AT)), "INVALID_VALUE", 'value: "NaN"'),
    "no contract": (opened(None), "CONTRACT_INVALID", "null"),
    "contract that is no document": (opened("{"), "CONTRACT_INVALID", "contract"),
    "contract that lint refuses": (opened(BAD_CONTRACT), "CONTRACT_INVALID", "currency"),
    "contract of another engagement": (opened(CONTRACT, engagement="crm"), "CONTRACT_INVALID", "'crm'"),
    "no amendment": (opened(None, "AMENDED"), "AMENDMENT_INVALID", "null"),
    "amendment that lint refuses": (opened(BAD_CONTRACT, "AMENDED"), "AMENDMENT_INVALID", "currency"),
}


@pytest.mark.parametrize("kind", POISON)
def test_each_kind_of_poison_is_one_dead_letter_and_the_rest_of_the_batch_bills(kind: str) -> None:
    poison, reason, says = POISON[kind]
    poison = poison._replace(offset=77)
    folded = fold([*BATCH[:2], poison, *BATCH[2:]])
    (letter,) = letters(folded)
    assert (letter.key, letter.value) == (poison.key, poison.value)
    assert tuple(letter.headers[: len(poison.headers)]) == poison.headers
    assert header(letter.headers, "milepost-error-code") == reason.encode()
    assert says in (header(letter.headers, "__connect.errors.exception.message") or b"").decode()
    assert header(letter.headers, "__connect.errors.offset") == b"77"
    assert folded.dead_letters == {reason: 1}
    assert len(of(folded, "invoice-lines")) == 1


@pytest.mark.parametrize("change", ["OPENED", "AMENDED"])
def test_a_refused_contract_names_every_finding(change: str) -> None:
    (letter,) = letters(fold([opened(BAD_CONTRACT, change)]))
    message = (header(letter.headers, "__connect.errors.exception.message") or b"").decode()
    for path in ("currency", "milestones[0].fee.fixed", "milestones[0].requires", "milestones[0].approval"):
        assert path in message


def test_ticks_may_have_any_key() -> None:
    for key in (None, b"", b"erp", b"\xff"):
        folded = fold([*BATCH, record(ClockTick(AT + 10), key=key)])
        assert letters(folded) == []


def test_a_parked_event_that_turns_out_wrong_is_buried_itself() -> None:
    store = MemoryStore()
    odd = MilestoneEvent("r9", "jira", "erp", "m1", "REPORTED", AT + 1, occurrence_id="no-such-thing")
    fold([record(odd, 4)], store=store)
    (letter,) = letters(fold(BATCH[:1], store=store))
    assert header(letter.headers, "x-original-topic") == b"milestone-events"


def test_a_fold_that_raises_is_let_through_and_its_record_gets_a_dead_letter() -> None:
    class Broken(MemoryStore):
        def get(self, key: bytes) -> bytes | None:
            raise RuntimeError("the store is gone")

    with pytest.raises(RuntimeError, match="the store is gone"):
        Worker().fold(BATCH, Broken())
    letter = Worker().dead_letter(BATCH[1], "FOLD_FAILED", "RuntimeError: the store is gone")
    assert letter.value == BATCH[1].value
    assert header(letter.headers, "milepost-error-code") == b"FOLD_FAILED"


def test_a_record_of_a_topic_that_the_join_does_not_read_raises() -> None:
    with pytest.raises(KeyError):
        Worker().fold([record(REPORTED, topic="invoice-acknowledgements")], MemoryStore())


# ----------------------------------------------------------------------------------------------------------- headers


def test_outputs_carry_cloudevents_headers_and_the_trace_of_their_cause() -> None:
    folded = fold(BATCH)
    assert {out.topic for out in folded.outputs} == set(OUTPUTS) - {"dead-letters"}
    for out in folded.outputs:
        assert header(out.headers, "content-type") == b"application/avro"
        assert header(out.headers, "ce_specversion") == b"1.0"
        assert header(out.headers, "ce_source") == b"milepost/join"
        assert header(out.headers, "ce_subject") == b"erp"
        assert header(out.headers, "traceparent") == b"00-a-b-01"
        assert (header(out.headers, "ce_time") or b"").endswith(b"Z")
        assert len({name for name, _ in out.headers}) == len(out.headers)
        out.headers.append(("milepost-txseq", b"1"))
    (line,) = of(folded, "invoice-lines")
    (sent,) = [out for out in folded.outputs if out.topic == "invoice-lines"]
    assert header(sent.headers, "ce_id") == line.line_id.encode()
    assert header(sent.headers, "ce_type") == b"com.milepost.invoice_line.v1"
    assert header(sent.headers, "ce_time") == b"2026-02-02T02:40:00.000003Z"
    assert sent.key == b"erp"


def test_no_two_outputs_share_source_and_id() -> None:
    folded = fold(BATCH, [record(ClockTick(AT + 9), 3)])
    ids = [(out.topic, header(out.headers, "ce_id")) for out in folded.outputs]
    assert len(set(ids)) == len(ids)


def test_only_traces_of_a_sane_size_are_passed_on() -> None:
    noise = (("traceparent", b"x" * 600), ("ce_traceparent", b"00-c-d-01"), ("other", b"1"), ("ce_id", b"in"))
    folded = fold([record(OPENED, headers=noise)])
    for out in folded.outputs:
        assert header(out.headers, "traceparent") is None
        assert header(out.headers, "ce_traceparent") == b"00-c-d-01"
        assert header(out.headers, "other") is None
        assert header(out.headers, "ce_id") != b"in"


def test_a_status_is_keyed_by_its_occurrence() -> None:
    folded = fold(BATCH)
    statuses = [out for out in folded.outputs if out.topic == "milestone-status"]
    assert statuses
    assert {out.key for out in statuses} == {b"erp/m1/"}


def test_state_is_kept_by_parts_and_an_event_writes_those_that_it_touches() -> None:
    """100,000 milestones beside it make an event no more expensive, and no part of the changelog is the engagement."""
    two = {**CONTRACT, "milestones": [{**CONTRACT["milestones"][0], "id": name} for name in ("m1", "m2")]}
    store = MemoryStore()
    fold([record(msgspec.structs.replace(OPENED, contract=json.dumps(two)))], store=store)
    known = {key for key, _ in store.items()}
    assert {b"erp/account", b"erp/contract/1", b"erp/milestone/m1/", b"erp/milestone/m2/"} <= known
    written = {key for key, _ in fold([record(REPORTED, 1)], store=store).changes}
    assert written == {b"erp/account", b"erp/milestone/m1/"}
