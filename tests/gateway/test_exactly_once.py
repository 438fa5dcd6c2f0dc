"""I10 and fault 30: whatever is answered 2xx is applied exactly once, through kill -9, retries and several gateways."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import httpx2
import psycopg
import pytest

from milepost.demo import play
from milepost.demo.pipeline import Pipeline
from milepost.settings import Settings
from milepost.sql.engine import connect
from milepost.sql.migrations import migrate
from milepost.sql.reading import LedgerReading
from tests.gateway.asking import CONTRACT
from tests.gateway.running import Process, new_key
from tests.gateway.serving import stored

PATH = "/v1/events/milestone-events"
EVENTS = 24
TRIES = 4
WAIT_S = 120
ENCOUNTERS = CONTRACT | {
    "milestones": [
        {"id": "visit", "name": "Visit", "repeats": "per_occurrence", "fee": {"fixed": "10.00"},
         "requires": ["completed"], "approval": "none"}
    ]
}  # fmt: skip


def visit(number: int) -> dict[str, Any]:
    return {
        "event_id": f"visit-{number}", "source": "ehr", "engagement_id": "harbour", "milestone_id": "visit",
        "occurrence_id": f"v{number}", "kind": "REPORTED", "occurred_at": "2026-03-02T10:00:00Z",
    }  # fmt: skip


STUCK = """
    CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
    CREATE TRIGGER stuck BEFORE INSERT ON acknowledged_requests FOR EACH ROW EXECUTE FUNCTION stuck();
"""
FREED = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%acknowledged_requests%'
      AND pid <> pg_backend_pid();
    DROP TRIGGER stuck ON acknowledged_requests;
"""


async def until_in_kafka(servers: str, count: int) -> None:
    until = time.monotonic() + WAIT_S
    while len(await asyncio.to_thread(stored, servers, "milestone-events")) < count:
        assert time.monotonic() < until
        await asyncio.sleep(0.1)


async def persistently(client: httpx2.AsyncClient, gateways: list[Process], value: dict[str, Any], key: str) -> str:
    """Send an event until somebody answers 2xx, to whichever gateway comes first, as a sender with retries would."""
    until = time.monotonic() + WAIT_S
    while True:
        assert time.monotonic() < until
        try:
            url = random.choice(gateways).url
            answer = await client.post(url + PATH, json=value, headers={"Authorization": f"Bearer {key}"})
        except httpx2.HTTPError:
            await asyncio.sleep(0.05)
            continue
        if answer.status_code == 202:
            return str(value["event_id"])
        assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.05)


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_i10_what_was_answered_2xx_is_applied_once_through_kills_and_retry_storms(
    embedded_broker: str, postgresql_url: str
) -> None:
    settings = Settings(bootstrap_servers=embedded_broker, database_url=postgresql_url, poll_timeout_ms=20)
    play.apply_topics(settings)
    engine = connect(settings.database_url.get_secret_value())
    migrate(engine)
    key = new_key(engine)
    given = {"bootstrap_servers": embedded_broker, "database_url": postgresql_url, "gateway_requests_per_s": 0}
    first = await asyncio.to_thread(Process, **given)
    bearer = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(timeout=WAIT_S) as client:
        opened = await client.post(first.url + "/v1/engagements", json=ENCOUNTERS, headers=bearer)
        assert opened.status_code == 202, opened.text
        # Killed between the brokers' acknowledgement and its answer: the mark hangs, Kafka has the event already.
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            connection.execute(STUCK)
            asked = asyncio.create_task(client.post(first.url + PATH, json=visit(0), headers=bearer))
            await until_in_kafka(embedded_broker, 1)
            assert not asked.done()
            await asyncio.to_thread(first.kill)
            with pytest.raises(httpx2.HTTPError):
                await asked
            connection.execute(FREED)
        gateways = list(await asyncio.gather(*(asyncio.to_thread(Process, **given) for _ in range(3))))
        again = await client.post(gateways[0].url + PATH, json=visit(0), headers=bearer)
        assert (again.status_code, again.json()["accepted"]) == (202, 1)  # nobody could know: it is sent again
        assert len(await asyncio.to_thread(stored, embedded_broker, "milestone-events")) == 2
        # A storm of retries on three gateways, of which one is killed in the middle.
        async with Pipeline(settings) as pipeline:
            values = [visit(number) for number in range(1, EVENTS + 1) for _ in range(TRIES)]
            random.shuffle(values)
            tasks = [asyncio.create_task(persistently(client, gateways, value, key)) for value in values]
            await asyncio.sleep(0.3)
            await asyncio.to_thread(gateways.pop().kill)
            answered = {await task for task in tasks} | {"visit-0"}
            assert len(answered) == EVENTS + 1
            reading = LedgerReading(engine)
            billed = await pipeline.stored(lambda: len(reading.lines("harbour")) == EVENTS + 1)
            lines = reading.lines("harbour")
            assert billed, len(lines)
    assert Counter(line.occurrence_id for line in lines) == Counter(f"v{number}" for number in range(EVENTS + 1))
    assert {line.gross_minor for line in lines} == {1000}
    outcomes = Counter((entry.event_id, entry.what) for entry in reading.audit("harbour"))
    applied = {event_id: count for (event_id, what), count in outcomes.items() if what == "APPLIED"}
    assert {event_id: applied[event_id] for event_id in answered} == dict.fromkeys(answered, 1)
    assert outcomes["visit-0", "REFUSED"] == 1  # DUPLICATE: the record that was sent again
    for gateway in gateways:
        assert await asyncio.to_thread(gateway.stop) == 0
    engine.dispose()
