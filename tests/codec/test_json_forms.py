"""JSON in and out: strict, and every message names field, value and expectation."""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost.codec import records
from milepost.codec.json_forms import parse_instant
from milepost.codec.topics import TOPIC_OF_RECORD, TOPICS
from milepost.codec.wire import Undecodable
from milepost.core.events import EngagementEvent, KpiEvent, MilestoneEvent
from milepost.core.outputs import DeadLetter
from tests.codec.strategies import RECORDS, record_values, shape_of

REPORT: dict[str, Any] = {
    "event_id": "e1",
    "source": "jira",
    "engagement_id": "erp",
    "milestone_id": "m",
    "kind": "REPORTED",
    "occurred_at": "2026-03-31T16:00:00Z",
}
KPI: dict[str, Any] = {
    "event_id": "e1",
    "source": "s",
    "engagement_id": "erp",
    "kpi_id": "k",
    "value": "1",
    "observed_at": "2026-03-31T16:00:00Z",
}

any_record = st.one_of([st.tuples(st.just(record), record_values(shape_of(record))) for record in RECORDS])


@given(any_record)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
def test_any_record_survives_its_json_form(pair: tuple[str, Any]) -> None:
    record, value = pair
    topic = TOPIC_OF_RECORD[record]
    if TOPICS[topic].direction == "in":
        stated = msgspec.json.decode(msgspec.json.encode(records.event_to_json(value)))
        assert records.event_from_json(topic, stated) == value
    else:
        stated = msgspec.json.decode(msgspec.json.encode(records.output_to_json(value)))
        assert records.output_from_json(topic, stated) == value


def test_fields_with_a_default_may_be_left_out() -> None:
    assert records.event_from_json("milestone-events", REPORT) == MilestoneEvent(
        "e1", "jira", "erp", "m", "REPORTED", 1_774_972_800_000_000
    )


def test_a_period_is_null_two_dates_or_two_instants() -> None:
    days = records.event_from_json("kpi-events", {**KPI, "period_start": "2026-05-01", "period_end": "2026-05-31"})
    instants = records.event_from_json("kpi-events", {**KPI, "period_end": "2026-05-31T22:00:00Z"})
    assert isinstance(days, KpiEvent)
    assert (days.period_start, days.period_end) == (date(2026, 5, 1), date(2026, 5, 31))
    assert isinstance(instants, KpiEvent)
    assert instants.period_end == 1_780_264_800_000_000


def test_outputs_spell_instants_and_dates_as_iso_8601() -> None:
    event = records.event_from_json("kpi-events", {**KPI, "period_start": "2026-05-01"})
    answered = records.event_to_json(event)
    assert answered["observed_at"] == "2026-03-31T16:00:00.000000Z"
    assert answered["period_start"] == "2026-05-01"
    assert "terms" not in records.event_to_json(EngagementEvent("e", "s", "erp", "RESUMED", 0))


def test_a_dead_letters_json_is_its_reason_and_message() -> None:
    assert records.output_to_json(DeadLetter(reason="R", message="m")) == {"reason": "R", "message": "m"}


def test_an_instant_that_no_calendar_has_is_shown_as_its_number() -> None:
    assert records.event_to_json(KpiEvent("e", "s", "erp", "k", "1", 1 << 62))["observed_at"] == 1 << 62


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T19:00-05:00", 0),
        ("1970-01-01t00:00:00.000001z", 1),
        ("1970-01-01 00:00:01+0000", 1_000_000),
        ("2026-03-31T18:00:00.5+02:00", 1_774_972_800_500_000),
    ],
)
def test_instants_have_an_offset_and_at_most_microseconds(text: str, micros: int) -> None:
    assert parse_instant(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-31",
        "2026-03-31T16:00:00",
        "2026-13-01T00:00:00Z",
        "2026-03-31T16:00:00.1234567Z",
        "20260331T160000Z",
        "2026-W14-2T00:00:00Z",
        "1774972800",
        "2026-03-31T25:00:00Z",
        "2026-03-31T16:00:00Z ",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"ISO 8601|must be in|isoformat|range"):
        parse_instant(text)


BASES = {
    "milestone-events": REPORT,
    "kpi-events": KPI,
    "approvals": {"event_id": "e", "source": "s", "engagement_id": "erp"},
    "invoice-acknowledgements": {"event_id": "e", "source": "s", "engagement_id": "erp"},
}
INSTANT_EXPECTED = "expected an ISO 8601 instant with its offset"
QUOTE_IT = "expected a string; write it in quotes:"
WRONG = {
    "milestone-events": [
        ({"completion": 99.5}, f'completion: the number 99.5; {QUOTE_IT} "99.5"'),
        ({"completion": 1}, f'{QUOTE_IT} "1"'),
        ({"completion": Decimal("99.50")}, f'{QUOTE_IT} "99.50"'),
        ({"completion": True}, "completion: true; expected a string"),
        ({"completion": None}, "completion: null; expected a string"),
        ({"milestone_id": ...}, "milestone_id: missing; MilestoneEvent needs it"),
        ({"kind": "REPORT"}, "expected REPORTED, CORRECTED or WITHDRAWN (did you mean REPORTED?)"),
        ({"kind": ["REPORTED"]}, "kind: a list; expected REPORTED"),
        ({"occured_at": "x"}, "occured_at: no field of MilestoneEvent; did you mean occurred_at?"),
        ({"zzz": 1}, "zzz: no field of MilestoneEvent; expected event_id"),
        ({"a\nb": 1}, r"a\nb: no field of MilestoneEvent; expected event_id"),
        ({"x" * 70: 1}, "x" * 64 + "...: no field of MilestoneEvent"),
        ({"occurred_at": "2026-03-31"}, f'occurred_at: "2026-03-31"; {INSTANT_EXPECTED}'),
        ({"occurred_at": 1774972800}, f"occurred_at: the number 1774972800; {INSTANT_EXPECTED}"),
        ({"attributes": {"charge": 250}}, f'attributes.charge: the number 250; {QUOTE_IT} "250"'),
        ({"attributes": []}, "attributes: a list; expected an object of strings"),
        ({"evidence": {}}, "evidence: an object; expected a list"),
        ({"evidence": ["x"]}, 'evidence[0]: "x"; expected an object with the fields of Evidence'),
        ({"source": "\ud800"}, "half of a surrogate pair"),
        ({"source": 10**400}, "source: a very large number; expected a string"),
    ],
    "kpi-events": [
        ({"revision": 1.0}, "revision: the number 1.0; expected a whole number"),
        ({"revision": True}, "revision: true; expected a whole number"),
        ({"revision": 1 << 63}, "does not fit; expected a number of 64 bits"),
        ({"period_start": "yesterday"}, 'period_start: "yesterday"; expected an ISO 8601 date'),
        ({"period_start": "2026-02-30"}, 'period_start: "2026-02-30"; expected an ISO 8601 date'),
    ],
    "approvals": [({"submission": 1 << 31}, "submission: the number 2147483648 does not fit")],
    "invoice-acknowledgements": [({"document_date": 5}, "document_date: the number 5; expected an ISO 8601 date")],
}


@pytest.mark.parametrize(
    ("topic", "change", "says"), [(topic, *case) for topic, cases in WRONG.items() for case in cases]
)
def test_what_is_wrong_is_named(topic: str, change: dict[str, Any], says: str) -> None:
    value = {name: item for name, item in {**BASES[topic], **change}.items() if item is not ...}
    with pytest.raises(Undecodable) as caught:
        records.event_from_json(topic, value)
    assert caught.value.reason == "INVALID_VALUE"
    assert says in caught.value.message


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(Undecodable) as caught:
        records.event_from_json("milestone-events", {**REPORT, "kind": 1, "source": None, "x": 2})
    assert caught.value.message.startswith("x: no field of MilestoneEvent")
    assert "kind: the number 1" in caught.value.message
    assert "source: null" in caught.value.message


@pytest.mark.parametrize("value", [None, 5, "text", [REPORT]])
def test_a_value_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(Undecodable, match="expected an object with the fields of MilestoneEvent"):
        records.event_from_json("milestone-events", value)


def test_a_contract_may_be_the_document_itself() -> None:
    opened = {**REPORT, "change": "OPENED", "contract": {"milepost": 1, "value": Decimal("10.50")}}
    for name in ("milestone_id", "kind"):
        del opened[name]
    event = records.event_from_json("engagements", opened)
    assert isinstance(event, EngagementEvent)
    assert event.contract == '{"milepost":1,"value":10.50}'


def test_a_topic_without_records_has_no_json_form() -> None:
    with pytest.raises(KeyError):
        records.event_from_json("dead-letters", {})
