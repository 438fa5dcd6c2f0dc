"""Reading the topics: one Faust agent a topic, each storing what a batch of records owes before it counts as read.

An agent never raises and never goes past what it could not store: it says what stood in the way and stands still, and
whoever runs the application starts it again from the committed offsets.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import faust
from faust.app.base import BootStrategy

from milepost.codec.wire import Record
from milepost.notices.messages import TOPICS
from milepost.notices.transport import LOGGER, StoredConsumer, StoredTransport
from milepost.observe import metrics
from milepost.settings import Settings

__all__ = ["application", "leave"]

_BATCH_RECORDS = 500
_GATHER_S = 0.2
# Leaving the group takes an answer or two of a broker; after this the group finds out by itself.
_LEAVE_S = 5.0

Store = Callable[[Sequence[Record]], int]


class _Boot(BootStrategy):
    """Nothing but the consumer: no web server, whatever the settings, and no producer."""

    enable_web = False
    enable_kafka_producer = False


class _Application(faust.App):
    BootStrategy = _Boot
    logger = LOGGER

    def _create_directories(self) -> None:
        """There are no tables, so there is nothing to keep in a folder."""


def application(
    settings: Settings, embedded: bool, store: Store, stored: Callable[[], None], trouble: Callable[[Exception], None]
) -> faust.App:
    """A member of the group, not started. `store` blocks and is called in a thread; `stored` after each of its calls
    that owed something; `trouble` at the first that raised, after which nothing more is read."""
    app = _Application(
        settings.notices_group,
        broker=[f"aiokafka://{server}" for server in settings.bootstrap_servers.split(",")],
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=settings.heartbeat_interval_ms / 1000,
        broker_request_timeout=settings.request_timeout_ms / 1000,
        broker_max_poll_interval=settings.max_poll_interval_ms / 1000,
        broker_check_crcs=not embedded,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        autodiscover=False,
        # `topics apply` makes what is read, and nobody is to lead: no topic of Faust's own is needed.
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        # A rebalance drops what an agent has not taken yet and reads it again.
        stream_buffer_maxsize=_BATCH_RECORDS,
        stream_wait_empty=False,
    )
    app.transport = StoredTransport(app.conf.broker_consumer, app)
    for topic in TOPICS:
        channel = app.topic(
            settings.topic(topic), key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        app.agent(channel, name=f"notices.{topic}")(_agent(app, topic, store, stored, trouble))
    return app


def _agent(
    app: faust.App,
    topic: str,
    store: Store,
    stored: Callable[[], None],
    trouble: Callable[[Exception], None],
) -> Callable[[Any], Any]:
    async def keep(stream: Any) -> None:
        async for events in stream.noack_take(_BATCH_RECORDS, within=_GATHER_S):
            messages = [event.message for event in events]
            try:
                owed = await asyncio.to_thread(store, [_record(topic, message) for message in messages])
            except Exception as error:  # noqa: BLE001  # an agent that raises is started again past its records
                trouble(error)
                await asyncio.Event().wait()
                return
            consumer = app.consumer
            assert isinstance(consumer, StoredConsumer)
            consumer.note_stored(messages)
            for event in events:
                event.ack()
            metrics.NOTICE_RECORDS.labels(topic).inc(len(messages))
            if owed:
                stored()

    return keep


def _record(topic: str, message: Any) -> Record:
    headers = message.headers.items() if isinstance(message.headers, dict) else message.headers or ()
    timestamp_ms = round((message.timestamp or 0) * 1000)
    return Record(topic, message.partition, message.offset, timestamp_ms, message.key, message.value, tuple(headers))


async def leave(app: faust.App) -> bool:
    """Commit what was stored and leave the group; False where that took too long."""
    try:
        await asyncio.wait_for(app.stop(), _LEAVE_S)
    except TimeoutError:
        return False
    return True
