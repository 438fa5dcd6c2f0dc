"""Ids are remembered before their events are sent, with what came first, also for requests of the same moment."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from milepost.gateway.memory import Memory
from milepost.sql.engine import Engine, UnavailableError, connect, writing
from milepost.sql.migrations import migrate
from milepost.sql.remembering import Arrival, prune
from tests.gateway.serving import body, serving, stored

PATH = "/v1/events/milestone-events"


def arrivals(*names: str, body_sha256: str = "a" * 64) -> list[Arrival]:
    return [Arrival("event erp jira", name, body_sha256) for name in names]


def event(name: str, completion: str = "100") -> dict[str, str]:
    return {
        "event_id": name, "source": "jira", "engagement_id": "erp", "milestone_id": "build", "kind": "REPORTED",
        "completion": completion, "occurred_at": "2026-03-31T16:00:00Z",
    }  # fmt: skip


async def test_what_a_request_brought_first_is_acknowledged_with_it(engine: Engine) -> None:
    memory = Memory(engine)
    known = await memory.remember(1, arrivals("one", "two"), 10)
    assert [one.acknowledged for one in known.values()] == [False, False]
    await memory.acknowledge(1, (), 11)
    again = await memory.remember(2, arrivals("two", "three", body_sha256="b" * 64), 20)
    two, three = again["event erp jira", "two"], again["event erp jira", "three"]
    assert (two.body_sha256, two.first_seen_at, two.request_id, two.acknowledged) == ("a" * 64, 10, 1, True)
    assert (three.body_sha256, three.first_seen_at, three.request_id, three.acknowledged) == ("b" * 64, 20, 2, False)


async def test_what_another_request_left_unfinished_is_acknowledged_by_its_id(engine: Engine) -> None:
    memory = Memory(engine)
    await memory.remember(1, arrivals("one", "two"), 10)
    await memory.remember(2, arrivals("one"), 20)
    await memory.acknowledge(2, [("event erp jira", "one")], 21)
    known = await memory.remember(3, arrivals("one", "two"), 30)
    assert [one.acknowledged for one in known.values()] == [True, False]


async def test_those_that_come_together_keep_the_first(engine: Engine) -> None:
    memory = Memory(engine)
    many = [memory.remember(number, arrivals("same", body_sha256=f"{number:064}"), number) for number in range(50)]
    found = await asyncio.gather(*many)
    assert len({known["event erp jira", "same"] for known in found}) == 1


async def test_one_that_goes_away_takes_nothing_from_the_others(engine: Engine) -> None:
    memory = Memory(engine)
    tasks = [asyncio.create_task(memory.remember(number, arrivals(f"n{number}"), number)) for number in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, BaseException) for one in found] == [number == 3 for number in range(10)]


async def test_a_database_that_is_away_is_said_to_everybody_and_asked_again(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path}/milepost.db")
    memory = Memory(engine)
    failed = await asyncio.gather(
        *(memory.remember(number, arrivals("one"), 1) for number in range(5)), return_exceptions=True
    )
    assert all(isinstance(one, UnavailableError) for one in failed), failed
    migrate(engine)
    assert len(await memory.remember(9, arrivals("one"), 1)) == 1
    engine.dispose()


async def test_what_is_pruned_goes_with_its_requests(engine: Engine) -> None:
    memory = Memory(engine)
    for number in (1, 2):
        await memory.remember(number, arrivals(f"n{number}"), 10 * number)
        await memory.acknowledge(number, (), 10 * number)
    assert prune(engine, 20) == 1
    with writing(engine) as connection:
        left = connection.execute(text("SELECT count(*) FROM acknowledged_requests")).scalar()
    assert left == 1
    assert (await memory.remember(3, arrivals("n2"), 30))["event erp jira", "n2"].acknowledged


@pytest.mark.parametrize("size", [1, 40])
async def test_batches_at_the_same_time_are_each_stored_once(
    embedded_broker: str, database_url: str, size: int
) -> None:
    async with serving(embedded_broker, database_url) as served:
        key = served.key()
        batches = [[event(f"{batch}-{number}") for number in range(size)] for batch in range(8)]
        answers = await asyncio.gather(*(served.ask("POST", PATH, key, json=batch) for batch in [*batches, *batches]))
        assert {answer.status_code for answer in answers} == {202}
        # Two of one id at the same time may both be sent, which the join folds once; after the answer none is again.
        again = await asyncio.gather(*(served.ask("POST", PATH, key, json=batch) for batch in batches))
        assert [body(answer)["repeated"] for answer in again] == [size] * 8
        contradiction = await served.ask("POST", PATH, key, json=[event("new"), event("3-0", completion="50")])
        assert contradiction.status_code == 409
        fresh = await served.ask("POST", PATH, key, json=[event("new"), event("3-0")])
        assert (body(fresh)["accepted"], body(fresh)["repeated"]) == (1, 1)
    names = [one.event.event_id for one in stored(embedded_broker, "milestone-events")]
    assert set(names) == {f"{batch}-{number}" for batch in range(8) for number in range(size)} | {"new"}
    assert len(names) <= 2 * 8 * size + 1
