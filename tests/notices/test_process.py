"""`milepost run notices` as a process: starts, sends, is killed, starts again, ends as asked."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from milepost.kafka.admin import Topics
from milepost.notices.signing import EndpointSecrets
from milepost.notices.wiring import notices_service
from milepost.observe.hosting import StoppedError
from milepost.sql.endpoints import Endpoint, add_endpoint
from milepost.sql.engine import Engine
from milepost.sql.notice_log import Selection, deliveries
from tests import receiving
from tests.brokers import free_ports
from tests.ledger import made
from tests.ledger.publishing import publisher
from tests.notices.world import MASTER, settings_with
from tests.receiving import Receiver, receiver

ROOT = Path(__file__).parents[2]
WAIT_S = 90


@pytest.fixture
def environment(embedded_broker: str, topic_prefix: str, local: Engine) -> dict[str, str]:
    values = {
        "bootstrap_servers": embedded_broker,
        "topic_prefix": topic_prefix,
        "notices_group": f"{topic_prefix}notices",
        "database_url": local.url.render_as_string(hide_password=False),
        "session_timeout_ms": 6_000,
        "heartbeat_interval_ms": 500,
        "endpoint_secret": MASTER,
        "notices_timeout_ms": 2_000,
    }
    Topics(settings_with(**values)).apply()
    return {f"MILEPOST_{name.upper()}": str(value) for name, value in values.items()}


@contextmanager
def process(environment: dict[str, str], *command: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        command or [sys.executable, "-m", "consumers.notices"],
        cwd=ROOT,
        env={**os.environ, **environment, **more},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


async def until(found: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(found):
            await asyncio.sleep(0.1)


def add(engine: Engine, server: Receiver) -> str:
    secrets = EndpointSecrets([MASTER])
    key = secrets.new_key("v1", 0, bytes)
    add_endpoint(engine, Endpoint("ep-1", server.url, ("*",), ("*",), (key,), 0))
    return f"127.0.0.1:{server.port}"


async def test_killed_while_it_sends_it_sends_again_with_the_same_id(
    environment: dict[str, str], local: Engine, topic_prefix: str
) -> None:
    async with receiver() as server, publisher(environment["MILEPOST_BOOTSTRAP_SERVERS"], topic_prefix) as out:
        admitted = {"MILEPOST_OUTBOUND_ADMITTED_HOSTS": add(local, server)}
        server.answers.append(receiving.silence)
        await out.commit([made.record(made.request(), 0)])
        with process(environment, **admitted) as first:
            await until(lambda: server.received)
            first.send_signal(signal.SIGKILL)
        (row,) = deliveries(local, Selection(), 10)
        assert (row.state, row.attempts) == ("OWED", 1)
        with local.begin() as connection:  # a minute of the claim's time
            connection.exec_driver_sql("UPDATE notices SET claimed_until = 1")
        with process(environment, **admitted) as second:
            await until(lambda: deliveries(local, Selection(states=["SENT"]), 10))
            second.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(second.wait, 60) == 0
    first_sent, second_sent = server.received
    assert first_sent.headers["webhook-id"] == second_sent.headers["webhook-id"] == row.delivery_id
    assert first_sent.body == second_sent.body


async def test_its_metrics_say_what_it_does(environment: dict[str, str], local: Engine, topic_prefix: str) -> None:
    port = free_ports(1)
    async with receiver() as server, publisher(environment["MILEPOST_BOOTSTRAP_SERVERS"], topic_prefix) as out:
        admitted = {"MILEPOST_OUTBOUND_ADMITTED_HOSTS": add(local, server)}
        await out.commit([made.record(made.request(), 0)])
        command = [str(Path(sys.executable).with_name("milepost")), "run", "notices"]
        with process(environment, *command, MILEPOST_METRICS_PORT=str(port), **admitted) as running:
            text = ""

            def scraped() -> bool:
                nonlocal text
                if not server.received:
                    return False
                with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    text = answer.read().decode()
                return 'milepost_notices_attempts_total{channel="webhook",outcome="sent"} 1.0' in text

            await until(scraped)
            assert await asyncio.to_thread(is_ready, port)
            assert 'milepost_notices_attempts_total{channel="webhook",outcome="failed"} 0.0' in text
            assert 'milepost_notices_records_total{topic="approval-requests"} 1.0' in text
            assert 'milepost_notices_oldest_owed_timestamp_seconds{channel="email"} 0.0' in text
            running.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(running.wait, 60) == 0


def test_it_waits_for_kafka_and_can_be_asked_to_stop(environment: dict[str, str]) -> None:
    port = free_ports(1)
    with process(environment, MILEPOST_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}") as running:
        assert running.stderr is not None
        began = time.monotonic()
        line = ""
        while "waiting for Kafka" not in line:
            line = running.stderr.readline()
            assert line
            assert time.monotonic() - began < WAIT_S
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0


async def test_a_broker_that_freezes_does_not_hold_up_the_end(environment: dict[str, str], local: Engine) -> None:
    """The client would wait for its answer longer than the shutdown may take."""
    milepost = str(Path(sys.executable).with_name("milepost"))
    with process({}, milepost, "broker", "--json") as broker:
        assert broker.stdout is not None
        servers = {"MILEPOST_BOOTSTRAP_SERVERS": json.loads(broker.stdout.readline())["bootstrap_servers"]}
        settings = settings_with(bootstrap_servers=servers["MILEPOST_BOOTSTRAP_SERVERS"], topic_prefix="f-")
        await asyncio.to_thread(Topics(settings).apply)
        port = free_ports(1)
        more = {**servers, "MILEPOST_TOPIC_PREFIX": "f-", "MILEPOST_METRICS_PORT": str(port)}
        with process(environment, MILEPOST_SHUTDOWN_TIMEOUT_MS="30000", **more) as running:
            await until(lambda: is_ready(port))
            broker.send_signal(signal.SIGSTOP)
            running.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(running.wait, 60) == 0


def is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as ready:
            return bool(ready.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("outbound_ca_file", "/nowhere.pem"),
        ("smtp_ca_file", "/nowhere.pem"),
        ("database_url", "sqlite:////no/such/folder/x.db"),
    ],
)
def test_what_cannot_work_says_so(setting: str, value: str) -> None:
    with pytest.raises(StoppedError, match=f"MILEPOST_{setting.upper()}"):
        notices_service(settings_with(**{"smtp_host": "mail.example.org", setting: value}))
