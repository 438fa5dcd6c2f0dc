"""From bytes to what is told to whom: pure, the same for the same record, and never too long for a receiver."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.codec.wire import Record
from milepost.core.events import Evidence
from milepost.notices.addressing import Recipients, delivery_id, owed_for
from milepost.notices.messages import PAYLOAD_LIMIT_BYTES, Message, UnreadableError, message_of
from milepost.sql.endpoints import Endpoint
from tests.ledger import made

NOW = 1_790_000_000_000_000


def endpoint(endpoint_id: str, types: str = "*", engagements: str = "*", disabled: str | None = None) -> Endpoint:
    return Endpoint(
        endpoint_id, "https://x.test/", (types,), (engagements,), (), 0, None if disabled is None else 1, disabled
    )


def recipients(*endpoints: Endpoint, mail: bool = True) -> Recipients:
    return Recipients.of(mail, "cfo@x.test, ap@x.test", "ops@x.test", endpoints, bundle_ms=60_000)


def told(
    message: Message, *endpoints: Endpoint, asked: tuple[str, ...] = (), mail: bool = True
) -> set[tuple[str, str]]:
    return {(one.channel, one.recipient) for one in owed_for(message, recipients(*endpoints, mail=mail), asked, NOW)}


def test_a_request_is_told_to_the_people_it_names() -> None:
    message = message_of(made.record(made.request(due_at=made.NOON), 7))
    assert (message.type, message.asks, message.step_id) == (
        "approval_request.requested",
        True,
        "erp-rollout/assessment//1.1",
    )
    payload = json.loads(message.payload())
    assert payload.keys() == {"type", "timestamp", "data"}
    assert payload["timestamp"] == "2026-05-28T20:26:40.000000Z"
    assert payload["data"]["people"] == ["ann", "bob"]
    assert told(message, endpoint("a")) == {("email", "ann"), ("email", "bob"), ("webhook", "a")}
    assert told(message, endpoint("a"), mail=False) == {("webhook", "a")}


def test_who_was_asked_is_told_where_the_record_names_nobody() -> None:
    taken_back = message_of(made.record(made.request(kind="SUPERSEDED", people=()), 7))
    assert told(taken_back, asked=("ann",)) == {("email", "ann")}
    named = message_of(made.record(made.request(kind="SUPERSEDED"), 7))
    assert told(named, asked=("cy",)) == {("email", "ann"), ("email", "bob")}


def test_retention_and_dead_letters_are_told_to_those_who_are_configured() -> None:
    assert told(message_of(made.record(made.retention(made.line()), 7))) == {
        ("email", "cfo@x.test"),
        ("email", "ap@x.test"),
    }
    dead = message_of(made.dead_letter(7))
    (one,) = owed_for(dead, recipients(), (), NOW)
    assert (one.recipient, one.address, one.due_at) == ("ops@x.test", "ops@x.test", NOW + 60_000_000)


@pytest.mark.parametrize(
    ("types", "engagements", "takes"),
    [
        ("*", "*", True),
        ("retention.*", "*", False),
        ("approval_request.re*", "erp-*", True),
        ("approval_request.*", "erp", False),
    ],
)
def test_an_endpoint_is_sent_what_it_takes(types: str, engagements: str, takes: bool) -> None:
    message = message_of(made.record(made.request(), 7))
    assert (("webhook", "a") in told(message, endpoint("a", types, engagements))) == takes


def test_what_a_disabled_endpoint_misses_is_kept_as_failed() -> None:
    message = message_of(made.record(made.retention(made.line()), 7))
    (one,) = owed_for(message, recipients(endpoint("a", disabled="410 Gone"), mail=False), (), NOW)
    assert (one.state, one.reason) == ("FAILED", "the endpoint is disabled: 410 Gone")


def test_a_deliverys_id_follows_from_what_it_says_to_whom() -> None:
    ids = {delivery_id(output, channel, to) for output in "ab" for channel in ("email", "webhook") for to in "cd"}
    assert len(ids) == 8
    assert {UUID(each).version for each in ids} == {5}
    assert delivery_id("b693a4b7-bf2b-5133-a920-e5065ef6c81c", "email", "ana") == "40523c64-249e-546a-b27f-3c94ad1b22c2"


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (Record("approval-requests", 1, 2, 3, b"k", None), "no value"),
        (Record("approval-requests", 1, 2, 3, b"k", b"{}"), r"2 bytes"),
        (Record("retention-events", 1, 2, 3, b"k", b"\x00\x00\x00\x00\x63x"), r"retention-events\[1\] offset 2"),
    ],
)
def test_a_record_that_cannot_be_read_stops(record: Record, found: str) -> None:
    with pytest.raises(UnreadableError, match=found):
        message_of(record)


@given(
    key=st.none() | st.binary(max_size=2_000),
    value=st.none() | st.binary(max_size=40),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["milepost-error-code", "milepost-dead-letter-id", "x-original-topic", "__connect.errors.offset"]
            ),
            st.binary(max_size=20),
        )
    ),
    timestamp=st.integers(-1, 2**62),
)
def test_s34_any_dead_letter_can_be_told(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], timestamp: int
) -> None:
    message = message_of(Record("dead-letters", 0, 1, timestamp, key, value, tuple(headers)))
    for text in (message.payload(), message.fitted_payload()):
        assert json.loads(text)["type"] == "dead_letter.raised"
    assert len(message.fitted_payload().encode()) < PAYLOAD_LIMIT_BYTES


@given(
    people=st.lists(st.text(max_size=30), max_size=2_000),
    criteria=st.none() | st.text(max_size=2_000).map(lambda text: text * 20),
    pieces=st.integers(0, 300),
)
def test_a_webhooks_payload_fits_every_receiver(people: list[str], criteria: str | None, pieces: int) -> None:
    evidence = tuple(Evidence(f"{n}.pdf", "application/pdf", n, "a" * 64, f"s3://e/{n}") for n in range(pieces))
    request = made.request(people=tuple(people), criteria=criteria, evidence=evidence)
    message = message_of(made.record(request, 7))
    fitted = json.loads(message.fitted_payload())
    assert len(message.fitted_payload().encode()) < PAYLOAD_LIMIT_BYTES
    left_out = fitted["data"].pop("left_out", [])
    whole = json.loads(message.payload())
    assert whole["data"].keys() - fitted["data"].keys() == set(left_out)
    assert all(fitted["data"][name] == whole["data"][name] for name in fitted["data"])
    assert bool(left_out) == (len(message.payload().encode()) >= PAYLOAD_LIMIT_BYTES)
