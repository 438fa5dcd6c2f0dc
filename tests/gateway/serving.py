"""A gateway for tests: the real application on the embedded broker and SQLite, asked without a socket.

`serving(...)` gives a `Served`: `served.ask(method, path, ...)` is one request, `served.key(...)` makes an API key.
"""

import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from confluent_kafka import Consumer, KafkaException, TopicPartition
from fastapi import FastAPI

from milepost.codec import records
from milepost.gateway.app import create_app
from milepost.gateway.doors import Doors
from milepost.kafka.async_publishing import AsyncPublisher
from milepost.settings import Settings
from milepost.sql.engine import connect
from milepost.sql.migrations import migrate
from tests.gateway.running import new_key


class Served:
    """One application, and what a test wants of it."""

    def __init__(self, app: FastAPI, doors: Doors, client: httpx2.AsyncClient) -> None:
        self.app, self.doors, self.client = app, doors, client

    def key(self, *actions: str, **given: Any) -> str:
        """A new key; by default for every tenant and engagement."""
        return new_key(self.doors.engine, *actions, **given)

    async def ask(self, method: str, path: str, key: str | None = None, **given: Any) -> httpx2.Response:
        """One request, with a key if one is given."""
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **given.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **given)


@asynccontextmanager
async def serving(bootstrap_servers: str, database_url: str, **settings: Any) -> AsyncIterator[Served]:
    """A gateway's application, its database migrated; what is uploaded is gone with it unless a folder is given."""
    uploads = tempfile.TemporaryDirectory(prefix="milepost-evidence-")
    chosen = Settings(
        bootstrap_servers=bootstrap_servers,
        database_url=database_url,
        _env_file=None,
        **{"evidence_dir": uploads.name, **settings},  # type: ignore[arg-type]
    )
    engine = connect(chosen.database_url.get_secret_value())
    migrate(engine)
    publisher = AsyncPublisher(chosen, "milepost/gateway", chosen.gateway_ack_timeout_ms)
    doors = Doors(chosen, engine, publisher)
    app = create_app(doors)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
            yield Served(app, doors, client)
    finally:
        await publisher.close()
        engine.dispose()
        uploads.cleanup()


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'milepost.db'}"


def end_of(consumer: Consumer, topic: str, number: int) -> int:
    """The offset after the last record; a topic that was just made finds its leaders within a few seconds."""
    until = time.monotonic() + 60
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
        except KafkaException:
            assert time.monotonic() < until
            time.sleep(0.1)


def stored(bootstrap_servers: str, topic: str, timeout_s: float = 10.0, prefix: str = "") -> list[Any]:
    """Every event on a topic now, decoded, by partition and offset."""
    plain, topic = topic, prefix + topic
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "looks",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            # The embedded broker answers an idle fetch only when its time is over.
            "fetch.wait.max.ms": 10,
        }
    )
    found: list[Any] = []
    try:
        metadata = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
        for number in sorted(metadata.partitions):
            end = end_of(consumer, topic, number)
            consumer.assign([TopicPartition(topic, number, 0)])
            while end and (not found or found[-1].number != number or found[-1].offset < end - 1):
                message = consumer.poll(timeout_s)
                assert message is not None, f"{topic}[{number}] ends before {end}"
                assert message.error() is None
                value = message.value()
                assert value is not None
                found.append(Stored(number, message.offset() or 0, message, records.read(plain, value)))
    finally:
        consumer.close()
    return found


class Stored:
    """A record as a test looks at it."""

    def __init__(self, number: int, offset: int, message: Any, event: Any) -> None:
        self.number, self.offset, self.message, self.event = number, offset, message, event


def body(response: httpx2.Response) -> Any:
    return json.loads(response.content)
