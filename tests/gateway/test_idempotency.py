"""`Idempotency-Key`: the same request is answered the same, another one is refused, a dead one can be made again."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.gateway.asking import CONTRACT, event
from tests.gateway.serving import Served, body, serving, sqlite, stored

PATH = "/v1/engagements/harbour/milestones/design/trigger"


async def trigger(
    served: Served, key: str, idempotency: str | list[str], path: str = PATH, **value: Any
) -> httpx2.Response:
    values = [idempotency] if isinstance(idempotency, str) else idempotency
    headers = [(b"Authorization", f"Bearer {key}".encode())]
    headers += [(b"Idempotency-Key", one.encode("latin-1")) for one in values]
    return await served.client.post(path, json=value, headers=headers)


def triggered(servers: str) -> int:
    return len(stored(servers, "milestone-events"))


async def test_the_same_request_is_answered_the_same_and_done_once(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        first = await trigger(served, key, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', completion="50")
        again = await trigger(served, key, "8e03978e-40d5-43dd-bc93-6894a57f9324", completion="50")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert body(first)["accepted"] == 1
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert triggered(embedded_broker) == 1


async def test_another_request_with_the_same_key_is_refused(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        assert (await trigger(served, key, "k", completion="50")).status_code == 202
        others = [
            await trigger(served, key, "k", completion="60"),
            await trigger(served, key, "k", PATH.replace("design", "build"), completion="50"),
            await trigger(served, key, "k", PATH + "?a=1", completion="50"),
        ]
        another = await trigger(served, served.key(), "k", completion="60")
    assert [(one.status_code, body(one)["code"]) for one in others] == [(422, "IDEMPOTENCY_KEY_REUSED")] * 3
    assert another.status_code == 202  # keys belong to whoever sends them


async def test_keys_outlive_a_rotation(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        old, new = served.key(name="jira"), served.key(name="jira")
        first, again = await trigger(served, old, "k"), await trigger(served, new, "k")
    assert again.content == first.content
    assert triggered(embedded_broker) == 1


async def test_one_that_still_runs_is_told_so(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key(name="jira")
        assert (await trigger(served, key, "k")).status_code == 202
        hold(tmp_path, served.doors.now() + 30_000_000)
        running = await trigger(served, key, "k")
        changed = await trigger(served, key, "k", completion="50")
        hold(tmp_path, served.doors.now() - 1)  # its process has died
        again = await trigger(served, key, "k")
    assert (running.status_code, body(running)["code"]) == (409, "REQUEST_RUNNING")
    assert int(running.headers["retry-after"]) >= 1
    assert (changed.status_code, body(changed)["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    # Its event was in Kafka already, under the id that follows from the key.
    assert (again.status_code, body(again)["accepted"], body(again)["repeated"]) == (202, 0, 1)
    assert triggered(embedded_broker) == 1


def hold(folder: Path, until: int) -> None:
    """As if the answer had not been given yet."""
    with closing(sqlite3.connect(folder / "milepost.db")) as connection:
        connection.execute("UPDATE idempotency_keys SET status = NULL, body = NULL, held_until = ?", [until])
        connection.commit()


async def test_a_request_that_failed_had_no_effect_and_its_key_is_free(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        wrong = await trigger(served, key, "k", completion="101")
        mended = await trigger(served, key, "k", completion="100")
        large = await trigger(served, key, "l", attributes={"note": "x" * 1_000_000})
        small = await trigger(served, key, "l", attributes={"note": "x"})
    assert (wrong.status_code, mended.status_code) == (422, 202)
    assert (large.status_code, small.status_code) == (413, 202), small.text


async def test_an_answer_is_kept_for_a_day(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        assert (await trigger(served, key, "k", completion="50")).status_code == 202
        with closing(sqlite3.connect(tmp_path / "milepost.db")) as connection:
            [(left,)] = connection.execute("SELECT expires_at - ? FROM idempotency_keys", [served.doors.now()])
            connection.execute("UPDATE idempotency_keys SET expires_at = 1")
            connection.commit()
        later = await trigger(served, key, "k", completion="60")
    assert 23 * 3_600_000_000 < left <= 24 * 3_600_000_000
    # Another body, under the event id that follows from the key: the event is remembered longer than the answer.
    assert (later.status_code, body(later)["code"]) == (409, "EVENT_ID_REUSED")


async def test_many_at_once_are_done_once(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path), gateway_requests_per_s=0) as served:
        key = served.key()
        answers = await asyncio.gather(*(trigger(served, key, "k") for _ in range(20)))
        last = await trigger(served, key, "k")
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {202, 409}
    assert last.status_code == 202
    assert triggered(embedded_broker) == 1


@pytest.mark.parametrize("wrong", ["", '""', '"', 'a"b', "a b", "x" * 256, "\u00e9", '"a\\"b"', ["a", "b"]])
async def test_what_is_no_key_is_refused(embedded_broker: str, tmp_path: Path, wrong: str | list[str]) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        answer = await trigger(served, served.key(), wrong)
    assert (answer.status_code, body(answer)["code"]) == (400, "INVALID_IDEMPOTENCY_KEY")


async def test_contracts_and_lists_take_keys_as_well(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        for path, value in (
            ("/v1/engagements", CONTRACT),
            ("/v1/events/kpi-events", [event("kpi-events", "harbour", str(number)) for number in range(3)]),
            ("/v1/engagements/harbour/suspend", {}),
        ):
            headers = {"Idempotency-Key": path}
            first = await served.ask("POST", path, key, json=value, headers=headers)
            again = await served.ask("POST", path, key, json=value, headers=headers)
            assert first.status_code == 202, first.text
            assert again.content == first.content
            assert again.headers["content-type"] == first.headers["content-type"]
    assert len(stored(embedded_broker, "engagements")) == 2
