"""The gateway as a process: it starts before what it needs, says what is away, and ends in good order."""

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.demo import play
from milepost.gateway.keys import new_secret
from milepost.gateway.rates import BURST_S, Rates
from milepost.settings import Settings
from milepost.sql.engine import connect
from tests.gateway.asking import event
from tests.gateway.running import ROOT, Process, new_key
from tests.gateway.serving import serving, sqlite, stored
from tests.postgres import PostgresServer

WAIT_S = 60


def until_ready(url: str) -> None:
    until = time.monotonic() + WAIT_S
    while (answer := httpx2.get(url + "/ready", timeout=30)).status_code != 200:
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)


@pytest.mark.postgres
def test_it_starts_before_the_database_and_answers_when_it_comes(
    embedded_broker: str, postgresql_url: str, postgresql_server: PostgresServer
) -> None:
    play.apply_topics(Settings(bootstrap_servers=embedded_broker))
    postgresql_server.stop()
    try:
        process = Process(bootstrap_servers=embedded_broker, database_url=postgresql_url)
        assert httpx2.get(process.url + "/live", timeout=30).status_code == 200
        early = httpx2.get(process.url + "/v1/whoami", headers={"Authorization": "Bearer mp_x"}, timeout=60)
        assert early.status_code == 401  # a key that is none needs no database
        away = httpx2.get(process.url + "/ready", timeout=60)
        assert (away.status_code, away.json()["code"]) == (503, "NOT_READY")
    finally:
        postgresql_server.start()
    until_ready(process.url)
    engine = connect(postgresql_url)
    sent = httpx2.post(
        process.url + "/v1/events/kpi-events",
        json=event("kpi-events", "harbour"),
        headers={"Authorization": f"Bearer {new_key(engine)}"},
        timeout=30,
    )
    engine.dispose()
    assert sent.status_code == 202
    assert process.stop() == 0
    assert any("waiting for the database" in line for line in process.lines)
    assert len(stored(embedded_broker, "kpi-events")) == 1


@pytest.mark.postgres
async def test_a_database_that_nobody_migrated_is_away_and_no_fault(embedded_broker: str, postgresql_url: str) -> None:
    """Between the first connection and the migration, PostgreSQL's word for it is not the gateway's 500."""
    async with serving(embedded_broker, postgresql_url) as served:
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE api_keys RENAME TO elsewhere")
        answer = await served.ask("GET", "/v1/whoami", new_secret().text)
    assert answer.status_code == 503


def test_a_port_that_is_taken_and_a_database_that_cannot_be_are_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = [
            {"MILEPOST_GATEWAY_PORT": str(port), "MILEPOST_DATABASE_URL": sqlite(tmp_path)},
            {"MILEPOST_GATEWAY_PORT": "0", "MILEPOST_DATABASE_URL": "sqlite:////nowhere/at/all.db"},
            {"MILEPOST_GATEWAY_PORT": "x"},
        ]
        with ThreadPoolExecutor(len(given)) as pool:
            found = list(pool.map(started, given))
    assert [run.returncode for run in found] == [1, 1, 2]
    assert f"cannot listen on 127.0.0.1:{port}" in found[0].stderr.splitlines()[-1]
    assert "MILEPOST_GATEWAY_PORT" in found[0].stderr
    assert "MILEPOST_DATABASE_URL" in found[1].stderr.splitlines()[-1]
    assert "MILEPOST_GATEWAY_PORT" in found[2].stderr


def started(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
    return subprocess.run(
        [sys.executable, "-m", "producers.gateway"],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        cwd=ROOT,
    )


def test_asked_to_stop_it_finishes_what_it_began(embedded_broker: str, tmp_path: Path) -> None:
    play.apply_topics(Settings(bootstrap_servers=embedded_broker))
    process = Process(
        bootstrap_servers=embedded_broker, database_url=sqlite(tmp_path), evidence_dir=tmp_path / "evidence"
    )
    until_ready(process.url)
    engine = connect(sqlite(tmp_path))
    body = json.dumps(event("kpi-events", "harbour")).encode()
    host, port = process.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as connection:
        head = f"POST /v1/events/kpi-events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {new_key(engine)}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        connection.sendall(body[:10])
        time.sleep(0.5)  # it is being answered
        process.process.terminate()
        time.sleep(0.3)
        connection.sendall(body[10:])
        answer = connection.recv(65_536).decode()
    engine.dispose()
    assert " 202 " in answer.splitlines()[0]
    assert process.process.wait(WAIT_S) == 0
    assert process.stop() == 0
    assert len(stored(embedded_broker, "kpi-events")) == 1
    assert all(json.loads(line) for line in process.lines)


@given(st.integers(1, 1_000), st.lists(st.integers(0, 400_000), max_size=60))
def test_a_bucket_gives_no_more_than_its_rate_and_no_less(per_s: int, pauses_us: list[int]) -> None:
    rates, now, taken = Rates(), 1_000_000_000, 0
    start = now
    for pause_us in pauses_us:
        now += pause_us
        wait_us = rates.wait_us("k", per_s, now)
        if wait_us:
            assert rates.wait_us("k", per_s, now + wait_us - 1) or wait_us == 1
            assert not Rates.wait_us(rates, "k", per_s, now + wait_us)
            now += wait_us
        taken += 1
    assert taken <= (now - start) / 1e6 * per_s + max(per_s * BURST_S, 1) + 1
    assert rates.wait_us("another", per_s, start) == 0
    assert rates.wait_us("k", 0, now) == 0
