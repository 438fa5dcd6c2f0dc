"""Faust's consumer, made honest in two points: it reads committed records only, and commits stored ones only.

Faust reads whatever a transaction wrote, aborted or not, and has no setting for it. And it counts a record as done when
it drops it at a rebalance, so that an offset may be committed past records that nobody kept. Here only `note_stored`
moves an offset; records are stored in the order of their partition, so that the next offset is the last one plus one.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from mode.threads import ServiceThread, WorkerThread

__all__ = ["LOGGER", "StoredConsumer", "StoredTransport"]

ISOLATION = "read_committed"
# Faust's own: it says at INFO what our entries say better.
LOGGER = logging.getLogger("faust.milepost")
# The broker answers an idle fetch after this.
_FETCH_WAIT_MS = 500
# The embedded broker answers an idle fetch only when its time is over, whatever arrives meanwhile.
_FETCH_WAIT_EMBEDDED_MS = 50


class _Worker(WorkerThread):
    """Ends with the process: a client that waits for a frozen broker must not outlast the shutdown's limit."""

    def __init__(self, service: ServiceThread, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True


class _Thread(driver.AIOKafkaConsumerThread):
    """Sets what the driver has no setting for, on the client that is not started yet."""

    Worker = _Worker
    logger = LOGGER

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        assert consumer._fetcher is None
        assert consumer._isolation_level in ("read_uncommitted", "read_committed")
        assert consumer._fetch_max_wait_ms > 0
        consumer._isolation_level = ISOLATION
        embedded = not self.app.conf.broker_check_crcs
        consumer._fetch_max_wait_ms = _FETCH_WAIT_EMBEDDED_MS if embedded else _FETCH_WAIT_MS
        return consumer


class StoredConsumer(driver.Consumer):
    """Commits what `note_stored` was told, and nothing else."""

    logger = LOGGER

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stored: dict[TP, int] = {}

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def note_stored(self, messages: Iterable[Any]) -> None:
        """These records, in order, need not be read again; Faust commits that when it commits next."""
        for message in messages:
            self._stored[message.tp] = message.offset + 1

    def ack(self, message: Message) -> bool:
        """Faust's word that it is through with a record, for one reason or another: moves no offset."""
        message.acked = True
        self._unacked_messages.discard(message)
        return False

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """What is stored is committed; then the partitions are somebody else's."""
        await super().on_partitions_revoked(revoked)
        for partition in revoked:
            self._stored.pop(partition, None)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._stored) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._stored.get(tp)


class StoredTransport(driver.Transport):
    """The transport of an application whose agents store what they read."""

    Consumer = StoredConsumer
