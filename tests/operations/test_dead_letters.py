"""Dead letters of the real join: looked at, sent again once it helps, put aside; nothing is billed twice by it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from milepost.cli import app
from milepost.codec import records
from milepost.codec.wire import Outgoing, Record
from milepost.core.events import EngagementEvent, Event, MilestoneEvent
from milepost.demo.pipeline import Pipeline
from milepost.kafka.publishing import Publisher
from milepost.kafka.scanning import Place, Scan
from milepost.settings import Settings
from milepost.sql import actions
from milepost.sql.engine import connect, writing
from milepost.sql.reading import LedgerReading

NOON = 1_780_056_000_000_000
CONTRACT = {
    "milepost": 1,
    "engagement": "e",
    "version": 1,
    "customer": {"id": "acme"},
    "currency": "EUR",
    "timezone": "UTC",
    "effective_from": "2026-01-01",
    "milestones": [
        {
            "id": "m",
            "repeats": "per_occurrence",
            "fee": {"fixed": "10.00"},
            "requires": ["completed"],
            "approval": "none",
        }
    ],
}
PARKED_MOST = 1_000


def opening(event_id: str = "open") -> EngagementEvent:
    return EngagementEvent(event_id, "crm", "e", "OPENED", NOON, json.dumps(CONTRACT))


def report(number: int) -> MilestoneEvent:
    return MilestoneEvent(f"r{number}", "pm", "e", "m", "REPORTED", NOON + number, f"o{number}")


def sent(chosen: Settings, events: Sequence[Event] = (), raw: Sequence[tuple[bytes | None, bytes | None]] = ()) -> None:
    """Publish events and raw records on milestone-events, and wait until the ledger has what became of them."""
    publisher = Publisher(chosen)
    for event in events:
        publisher.send(records.topic_of(event), event)
    for key, value in raw:
        publisher.resend(Outgoing("milestone-events", key, value, [("origin", b"test")]), 0)
    places = [place for place in publisher.flush() if place.offset >= 0]

    async def run() -> None:
        async with Pipeline(chosen) as pipeline:
            await pipeline.folded(places)
            assert await pipeline.stored(lambda: True)

    asyncio.run(run())


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["dead-letters", *arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def listed(*arguments: str) -> list[dict[str, Any]]:
    status, out, _ = run("list", "--json", *arguments)
    assert status == 0
    return [json.loads(line) for line in out.splitlines()]


def billed(chosen: Settings) -> int:
    engine = connect(chosen.database_url.get_secret_value())
    found = sum(line.gross_minor for line in LedgerReading(engine).lines())
    engine.dispose()
    return found


def test_each_is_shown_with_its_event_or_its_bytes(chosen: Settings) -> None:
    wrong = MilestoneEvent("w", "pm", "e", "m", "REPORTED", NOON, "o1", "200")
    sent(chosen, [opening()], [(b"e", records.encode_event(wrong)), (b"e", b"\xff no avro"), (None, None)])
    found = listed()
    assert [one["reason"] for one in found] == ["INVALID_VALUE", "UNDECODABLE", "UNDECODABLE"]
    assert {one["state"] for one in found} == {"OPEN"}
    assert [one["offset"] for one in found] == [0, 1, 2]
    assert listed("--reason", "INVALID_VALUE") == found[:1]
    assert listed("--engagement", "nobody") == []
    assert listed("--topic", "kpi-events") == []
    status, out, _ = run("show", found[0]["id"][:12], "--json")
    assert status == 0
    shown = json.loads(out)
    assert shown["event"]["completion"] == "200"
    assert shown["headers"]["origin"] == "test"
    assert "__connect.errors.topic" not in shown["headers"]
    status, out, _ = run("show", found[1]["id"], "--json")
    shown = json.loads(out)
    assert "undecodable" in shown["event"]
    assert shown["hex"].startswith("ff 20 6e 6f")
    status, _, err = run("show", "nosuchid")
    assert status == 1
    assert "'nosuchid'" in err


def test_what_is_still_wrong_is_left_and_says_why(chosen: Settings) -> None:
    sent(chosen, [opening()], [(b"e", b"\xff no avro")])
    status, out, _ = run("replay", "--reason", "UNDECODABLE")
    assert status == 1
    assert "it would be a dead letter again: UNDECODABLE" in out
    assert [one["state"] for one in listed()] == ["OPEN"]
    status, _, err = run("replay")
    assert status == 2
    assert "--reason" in err


@pytest.mark.slow
def test_what_was_too_much_to_park_is_sent_again_once_and_bills(chosen: Settings) -> None:
    sent(chosen, [report(number) for number in range(PARKED_MOST + 2)])
    assert {one["reason"] for one in listed()} == {"PARKING_FULL"}
    assert len(listed()) == 2
    sent(chosen, [opening()])
    assert billed(chosen) == PARKED_MOST * 1000
    status, out, _ = run("replay", "--reason", "PARKING_FULL", "--dry-run")
    assert status == 0
    assert out.count("gross 10.00  payable 10.00 EUR") == 2
    assert "would be APPLIED, 1 lines" in out
    assert billed(chosen) == PARKED_MOST * 1000
    assert len(listed()) == 2

    [first, second] = [one["id"] for one in listed()]
    assert run("replay", first, "--by", "olga")[0] == 0
    sent(chosen)
    assert billed(chosen) == (PARKED_MOST + 1) * 1000
    assert [one["id"] for one in listed()] == [second]
    [done] = [one for one in listed("--all") if one["id"] == first]
    assert [(one["action"], one["actor"]) for one in done["actions"]] == [("REPLAYED", "olga")]

    status, out, _ = run("replay", first)
    assert status == 0
    assert "REFUSED DUPLICATE, 0 lines" in out
    sent(chosen)
    assert billed(chosen) == (PARKED_MOST + 1) * 1000
    _carries_its_history(chosen, first)


def _carries_its_history(chosen: Settings, letter: str) -> None:
    places = [Place("milestone-events", number) for number in range(4)]
    with Scan(chosen, places) as scan:
        found: list[Record] = [record for place in places for record in scan.all(place)]
    again = [dict(record.headers) for record in found if dict(record.headers).get("milepost-replay-of")]
    assert [headers["milepost-replay-of"].decode() for headers in again] == [letter, letter]
    assert {headers["milepost-attempts"] for headers in again} == {b"1"}
    assert {headers["ce_id"] for headers in again} == {b"r1000"}


def test_a_second_failure_counts_the_attempts(chosen: Settings) -> None:
    wrong = MilestoneEvent("w", "pm", "e", "m", "REPORTED", NOON, "o1", "200")
    sent(chosen, [opening()], [(b"e", records.encode_event(wrong))])
    [letter] = listed()
    publisher = Publisher(chosen)
    headers = [("milepost-replay-of", letter["id"].encode()), ("milepost-attempts", b"1")]
    publisher.resend(Outgoing("milestone-events", b"e", records.encode_event(wrong), headers), 0)
    publisher.flush()
    sent(chosen)
    with Scan(chosen, [Place("dead-letters", 0)]) as scan:
        attempts = [dict(record.headers)["milepost-attempts"] for record in scan.all(Place("dead-letters", 0))]
    assert attempts == [b"1", b"2"]


def test_what_is_put_aside_is_audited(chosen: Settings) -> None:
    sent(chosen, [opening()], [(b"e", b"\xff no avro")])
    [letter] = listed()
    assert run("discard", letter["id"], "--reason", " ")[0] == 2
    assert run("discard", letter["id"], "--reason", "a test of the sender", "--by", "olga")[0] == 0
    assert listed() == []
    assert run("discard", letter["id"], "--reason", "once more")[0] == 1
    [aside] = listed("--all")
    assert aside["state"] == "DISCARDED"
    assert aside["actions"][0]["reason"] == "a test of the sender"
    engine = connect(chosen.database_url.get_secret_value())
    assert actions.faults(actions.of(engine)) == []
    with writing(engine) as connection:
        connection.execute(text("UPDATE operator_actions SET actor = 'somebody else'"))
    assert actions.faults(actions.of(engine)) == ["entry 1 was changed"]
    engine.dispose()


def test_what_was_sent_again_is_not_put_aside_nor_what_is_named_with_it(chosen: Settings) -> None:
    sent(chosen, [opening()], [(b"e", b"\xff no avro"), (b"e", b"\xfe nor this")])
    replayed, still_open = listed()
    engine = connect(chosen.database_url.get_secret_value())
    actions.record(engine, 1, "olga", "REPLAYED", replayed["id"], None)
    assert run("discard", still_open["id"], replayed["id"], "--reason", "a test")[0] == 1
    assert [one["id"] for one in listed()] == [still_open["id"]]
    assert [one.action for one in actions.of(engine)] == ["REPLAYED"]
    engine.dispose()
