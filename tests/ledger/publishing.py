"""Puts hand-made records on a broker, in transactions, as the join would; ends, aborts or leaves them open."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from milepost.codec.wire import Record
from milepost.core.outputs import InvoiceLine, Output
from milepost.ledger.service import Ledger
from milepost.ledger.wiring import ledger_service
from milepost.settings import Settings
from tests.ledger import made

PARTITIONS = 4


def lines(count: int, batch: str = "a") -> list[InvoiceLine]:
    """Lines of `count` engagements, of 1, 2, ... minor units."""
    return [
        made.line(f"{batch}-{number}", gross_minor=number, retained_minor=0, payable_minor=number)
        for number in range(1, count + 1)
    ]


def spread(outputs: Iterable[Output], txseq: int = 1) -> list[Record]:
    """Records on all partitions in turn; where in them is for the broker to say."""
    return [made.record(output, 0, number % PARTITIONS, txseq) for number, output in enumerate(outputs)]


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Ledger]:
    """A ledger at work in this process; stopped in good order at the end."""
    ledger = ledger_service(settings)
    task = asyncio.create_task(ledger.run())
    try:
        yield ledger
    finally:
        ledger.stop()
        await asyncio.wait_for(task, 30)


class Publisher:
    """One transactional producer for one prefix."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str) -> None:
        self._producer, self._prefix = producer, prefix

    async def commit(self, batch: Iterable[Record]) -> None:
        """One committed transaction."""
        await self.begin(batch)
        await self._producer.commit_transaction()

    async def abort(self, batch: Iterable[Record]) -> None:
        """One transaction that is sent whole and then aborted."""
        await self.begin(batch)
        await self._producer.abort_transaction()

    async def begin(self, batch: Iterable[Record]) -> None:
        """One transaction, sent and acknowledged, still open."""
        await self._producer.begin_transaction()
        sent = [
            await self._producer.send(
                self._prefix + record.topic,
                record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
            )
            for record in batch
        ]
        for future in sent:
            await future

    async def finish(self) -> None:
        """Commit what `begin` left open."""
        await self._producer.commit_transaction()


@asynccontextmanager
async def publisher(servers: str, prefix: str) -> AsyncIterator[Publisher]:
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=f"{prefix}publisher", linger_ms=0)
    await producer.start()
    try:
        yield Publisher(producer, prefix)
    finally:
        await producer.stop()
