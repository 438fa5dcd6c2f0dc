"""What is acknowledged is in Kafka, once: S12 (Kafka away), the database away, repeats, contradictions, sizes."""

import asyncio
import dataclasses
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from milepost.kafka.async_publishing import AsyncPublisher, Place
from milepost.kafka.embedded import EmbeddedBroker
from tests.gateway.asking import EVENTS, event
from tests.gateway.running import listening
from tests.gateway.serving import Served, body, serving, sqlite, stored
from tests.postgres import PostgresServer

PATH = "/v1/events/kpi-events"


def report(event_id: str, **given: Any) -> dict[str, Any]:
    return {**event("kpi-events", "harbour", event_id), **given}


def remembered(folder: Path) -> list[tuple[str, bool]]:
    """Ids that are remembered, and whether they are marked as acknowledged."""
    with closing(sqlite3.connect(folder / "milepost.db")) as connection:
        rows = connection.execute(
            "SELECT event_id, coalesce(events.acknowledged_at, requests.acknowledged_at) FROM remembered_events events "
            "LEFT JOIN acknowledged_requests requests USING (request_id) ORDER BY event_id"
        )
        return [(event_id, at is not None) for event_id, at in rows]


def gone() -> str:
    """Where a broker was."""
    with EmbeddedBroker() as broker:
        return broker.bootstrap_servers


async def acknowledges_nothing(served: Served, key: str) -> None:
    answer = await served.ask("POST", PATH, key, json=report("1"))
    assert (answer.status_code, body(answer).get("code")) == (503, "UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1


class Careless(AsyncPublisher):
    """Says that events are stored as soon as they are queued."""

    async def publish(self, events: Any, trace: Any = (), values: Any = None) -> list[Place]:
        sending = asyncio.ensure_future(super().publish(events, trace, values))
        sending.add_done_callback(lambda sent: sent.exception())  # which nobody hears of
        return [Place(topic, 0, 0) for topic, _ in events]


async def test_s12_a_gateway_that_does_not_wait_would_be_noticed(tmp_path: Path) -> None:
    async with serving(gone(), sqlite(tmp_path), gateway_ack_timeout_ms=500) as served:
        careless = Careless(served.doors.settings, "careless", 500)
        served.app.state.doors = dataclasses.replace(served.doors, publisher=careless)
        with pytest.raises(AssertionError):
            await acknowledges_nothing(served, served.key())
        await careless.close()


async def test_s12_while_kafka_is_away_nothing_is_acknowledged(tmp_path: Path) -> None:
    async with serving(gone(), sqlite(tmp_path), gateway_ack_timeout_ms=500) as served:
        key = served.key()
        await acknowledges_nothing(served, key)
        ready = await served.ask("GET", "/ready")
        assert (ready.status_code, body(ready)["code"]) == (503, "NOT_READY")
        assert "no broker answers" in body(ready)["detail"]
        assert (await served.ask("GET", "/live")).status_code == 200
        # What the ledger knows can still be read.
        assert (await served.ask("GET", "/v1/engagements", key)).status_code == 200
    assert remembered(tmp_path) == [("1", False)]


async def test_s12_what_was_refused_is_taken_when_kafka_is_back(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(gone(), sqlite(tmp_path), gateway_ack_timeout_ms=300) as served:
        assert (await served.ask("POST", PATH, served.key(), json=report("1"))).status_code == 503
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        again = await served.ask("POST", PATH, served.key(), json=report("1"))
        other = await served.ask("POST", PATH, served.key(), json=report("1", value="1"))
    assert (again.status_code, body(again)["accepted"]) == (202, 1)
    assert other.status_code == 409
    assert [one.event.value for one in stored(embedded_broker, "kpi-events")] == ["99.9"]


async def test_a_topic_that_does_not_exist_is_not_acknowledged_either(real_kafka_like: str, tmp_path: Path) -> None:
    async with serving(real_kafka_like, sqlite(tmp_path), topic_prefix="none-", gateway_ack_timeout_ms=2_000) as served:
        answer = await served.ask("POST", PATH, served.key(), json=report("1"))
        ready = await served.ask("GET", "/ready")
    assert answer.status_code == 503
    assert "milepost topics apply" in body(ready)["detail"]


@pytest.fixture(params=[pytest.param("real_kafka", marks=pytest.mark.kafka)])
def real_kafka_like(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.mark.postgres
async def test_while_the_database_is_away_nothing_is_taken_and_afterwards_all_is(
    embedded_broker: str, postgresql_url: str, postgresql_server: PostgresServer
) -> None:
    async with serving(embedded_broker, postgresql_url) as served:
        key = served.key()
        assert (await served.ask("POST", PATH, key, json=report("0"))).status_code == 202
        postgresql_server.stop()
        try:
            answer = await served.ask("POST", PATH, key, json=report("1"))
            listed = await served.ask("GET", "/v1/engagements", key)
            ready = await served.ask("GET", "/ready")
        finally:
            postgresql_server.start()
        for refused in (answer, listed):
            assert (refused.status_code, body(refused)["code"]) == (503, "UNAVAILABLE")
            assert "retry-after" in refused.headers
        assert (ready.status_code, body(ready)["code"]) == (503, "NOT_READY")
        assert [one.event.event_id for one in stored(embedded_broker, "kpi-events")] == ["0"]
        again = await served.ask("POST", PATH, key, json=report("1"))
        assert (again.status_code, body(again)["accepted"]) == (202, 1)


@pytest.mark.postgres
async def test_an_event_that_kafka_has_is_acknowledged_although_it_cannot_be_marked(
    embedded_broker: str, postgresql_url: str
) -> None:
    """The database goes away between the brokers' acknowledgement and the mark: 2xx, and a repeat is sent again."""
    stuck = """
        CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'going away' USING ERRCODE = '57P01'; END $$;
        CREATE TRIGGER stuck BEFORE INSERT ON acknowledged_requests FOR EACH ROW EXECUTE FUNCTION stuck();
    """
    async with serving(embedded_broker, postgresql_url) as served:
        key = served.key()
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            connection.execute(stuck)
            first = await served.ask("POST", PATH, key, json=report("1"))
            connection.execute("DROP TRIGGER stuck ON acknowledged_requests")
        again = await served.ask("POST", PATH, key, json=report("1"))
        third = await served.ask("POST", PATH, key, json=report("1"))
    assert [(one.status_code, body(one)["accepted"]) for one in (first, again, third)] == [(202, 1), (202, 1), (202, 0)]
    first_record, second_record = stored(embedded_broker, "kpi-events")
    assert first_record.event == second_record.event


async def test_of_many_events_each_fault_is_told_and_none_is_sent(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        values = [report("1"), report("2", value="1e9999"), {"event_id": 3}, report("4", colour="red"), "x"]
        listed = await served.ask("POST", PATH, key, json=values)
        lines = "\n".join([json.dumps(report("1")), "", json.dumps(report("2", kpi_id="")), "{"])
        ndjson = await served.ask("POST", PATH, key, content=lines, headers={"content-type": "application/x-ndjson"})
        none = await served.ask("POST", PATH, key, json=[])
        assert remembered(tmp_path) == []
        good = await served.ask("POST", PATH, key, json=[report(str(n)) for n in range(1, 6)])
    assert listed.status_code == 422
    pointers = [fault["pointer"] for fault in body(listed)["errors"]]
    assert {"/1/value", "/2/event_id", "/2/source", "/3/colour", "/4"} <= set(pointers)
    assert "/0" not in "".join(pointers)
    assert ndjson.status_code == 422
    assert body(ndjson)["errors"][0]["pointer"] in ("/2/kpi_id", "/3")
    assert (none.status_code, body(none)["code"]) == (422, "NO_EVENT")
    assert body(good)["accepted"] == 5
    assert len(stored(embedded_broker, "kpi-events")) == 5


async def test_in_one_request_an_id_that_stands_twice_is_sent_once_and_must_not_contradict_itself(
    embedded_broker: str, tmp_path: Path
) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        twice = await served.ask("POST", PATH, key, json=[report("1"), report("1"), report("2")])
        against = await served.ask("POST", PATH, key, json=[report("3"), report("3", value="1")])
    assert (body(twice)["accepted"], body(twice)["repeated"]) == (2, 1)
    assert [one["repeated"] for one in body(twice)["events"]] == [False, True, False]
    assert (against.status_code, body(against)["errors"][0]["pointer"]) == (409, "/1")
    assert sorted(one.event.event_id for one in stored(embedded_broker, "kpi-events")) == ["1", "2"]


async def test_the_same_meaning_is_the_same_event_however_it_is_spelt(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        spelt = [
            json.dumps(report("1")),
            json.dumps(report("1"), indent=4),
            json.dumps(dict(reversed(report("1").items()))),
            json.dumps(report("1", observed_at="2026-02-01T01:00:00+01:00", revision=1, evidence=[])),
        ]
        answers = [
            await served.ask("POST", PATH, key, content=text, headers={"content-type": "application/json"})
            for text in spelt
        ]
    assert [answer.status_code for answer in answers] == [202] * 4
    assert [body(answer)["accepted"] for answer in answers] == [1, 0, 0, 0]
    assert len(stored(embedded_broker, "kpi-events")) == 1


async def test_ids_belong_to_their_source_within_an_engagement(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        values = [report("1"), report("1", source="other", value="1"), report("1", engagement_id="quay", value="2")]
        answer = await served.ask("POST", PATH, key, json=values)
    assert (answer.status_code, body(answer)["accepted"]) == (202, 3)


async def test_the_longest_ids_are_remembered(embedded_broker: str, tmp_path: Path) -> None:
    long = "\N{GRINNING FACE}" * 512
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        value = report(long, source="\N{PILE OF POO}" * 512, engagement_id="e" * 128)
        first = await served.ask("POST", PATH, key, json=value)
        again = await served.ask("POST", PATH, key, json=value)
        other = await served.ask("POST", PATH, key, json=value | {"value": "1"})
    assert [answer.status_code for answer in (first, again, other)] == [202, 202, 409]
    assert body(again)["repeated"] == 1


async def test_an_event_that_no_record_holds_is_refused_before_anything_is_sent(
    embedded_broker: str, tmp_path: Path
) -> None:
    """Fault 25: at 0.9 MB it is taken, above a million bytes it is 413, and what came with it is not sent either."""
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        large = {"event_id": "1", "source": "s", "engagement_id": "harbour", **EVENTS["milestone-events"]}
        fits = large | {"attributes": {"note": "x" * 900_000}}
        not_so = large | {"event_id": "2", "attributes": {"note": "x" * 1_000_000}}
        path = "/v1/events/milestone-events"
        taken = await served.ask("POST", path, key, json=fits)
        refused = await served.ask("POST", path, key, json=[large | {"event_id": "3"}, not_so])
    assert taken.status_code == 202, taken.text
    assert (refused.status_code, body(refused)["code"]) == (413, "EVENT_TOO_LARGE")
    assert body(refused)["errors"][0]["pointer"] == "/1"
    assert [one.event.event_id for one in stored(embedded_broker, "milestone-events")] == ["1"]


async def test_the_record_carries_cloudevents_the_trace_and_the_time(embedded_broker: str, tmp_path: Path) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        headers = {"traceparent": trace, "tracestate": "a=1"}
        assert (await served.ask("POST", PATH, key, json=report("1"), headers=headers)).status_code == 202
        odd = {"traceparent": "00-xyz", "tracestate": "a=1"}
        assert (await served.ask("POST", PATH, key, json=report("2"), headers=odd)).status_code == 202
    records = {one.event.event_id: one for one in stored(embedded_broker, "kpi-events")}
    found = dict(records["1"].message.headers())
    assert found["ce_id"] == b"1"
    assert found["ce_source"] == b"test"
    assert found["ce_type"] == b"com.milepost.kpi_event.v1"
    assert (found["traceparent"], found["tracestate"]) == (trace.encode(), b"a=1")
    assert "traceparent" not in dict(records["2"].message.headers())
    assert records["1"].message.key() == b"harbour"


async def test_what_the_gateway_dates_is_dated_once(embedded_broker: str, tmp_path: Path) -> None:
    """A try that was cut off after Kafka took it is repeated with the same time, so that it is the same fact."""
    path = "/v1/engagements/harbour/milestones/design/trigger"
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        first = await served.ask("POST", path, key, json={"event_id": "1"})
        with closing(sqlite3.connect(tmp_path / "milepost.db")) as connection:
            connection.execute("DELETE FROM acknowledged_requests")
            connection.commit()
        again = await served.ask("POST", path, key, json={"event_id": "1"})
        dated = await served.ask("POST", path, key, json={"event_id": "1", "occurred_at": "2026-01-01T00:00:00Z"})
    assert (first.status_code, again.status_code, dated.status_code) == (202, 202, 409)
    records = stored(embedded_broker, "milestone-events")
    assert len(records) == 2
    assert records[0].event == records[1].event
    assert records[0].event.source.startswith("api:")


async def test_the_same_event_many_times_at_once_is_one_answer(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path), gateway_requests_per_s=0) as served:
        key = served.key()
        storm = [served.ask("POST", PATH, key, json=report("1")) for _ in range(40)]
        against = [served.ask("POST", PATH, key, json=report("1", value="1")) for _ in range(10)]
        answers = await asyncio.gather(*storm, *against)
    taken = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 409]
    assert len(taken) + len(refused) == 50
    assert len(taken) in (10, 40)  # whoever came first stays
    assert len({one.event.value for one in stored(embedded_broker, "kpi-events")}) == 1


def test_only_json_and_lines_are_taken(embedded_broker: str, tmp_path: Path) -> None:
    with listening(embedded_broker, sqlite(tmp_path), evidence_dir=str(tmp_path)) as gate:
        key = gate.key()
        for kind in ("text/xml", "application/x-www-form-urlencoded", "multipart/form-data", "application/avro"):
            answer = gate.ask("POST", PATH, key, content=b"{}", headers={"content-type": kind})
            assert (answer.status_code, answer.json()["code"]) == (415, "MEDIA_TYPE_NOT_TAKEN")
        for kind in ("application/json", "application/json; charset=utf-8", "application/cloudevents+json"):
            answer = gate.ask("POST", PATH, key, json=report("1"), headers={"content-type": kind})
            assert answer.status_code == 202
