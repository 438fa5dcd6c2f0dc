"""A worker of the join to be hurt: `consumers/join.py` with a step at which it dies, freezes or fails, or without one
of its protections. Which step it is at, it writes to a journal, a line each: process id, step, partition.

    python -m tests.chaos.worker --journal FILE [--at STEP --do kill|freeze|fail [--nth N] [--then STEP] [--behind]]
                                 [--without CONTROL] [--slow fence|send]
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aiokafka.protocol.transaction import EndTxnRequest

from milepost import settings
from milepost.codec.topics import HISTORY_TOPIC, INPUTS, OUTPUTS, STATE_TOPIC
from milepost.join.options import from_settings
from milepost.join.partition import PartitionJoin
from milepost.join.service import JoinService
from milepost.join.worker import Worker
from milepost.kafka.clients import KafkaLog
from milepost.kafka.log import LogError, Message
from milepost.kafka.transactions import KafkaProducer
from milepost.observe import hosting, logs
from milepost.settings import Settings
from milepost.store.memory import MemoryStore
from tests.chaos.controls import CONTROLS, take_away

STEPS = (
    *("assigned", "in-revoked", "after-fence", "mid-restore", "after-restore", "after-position", "after-fold"),
    *("after-begin", "after-send", "after-await", "after-offsets", "endtxn-sent", "after-commit", "after-publish"),
    "in-discard",
)
# How long a slow fence takes: longer than a thawed zombie needs to finish its transaction.
SLOW_FENCE_S = 15.0
SEND_S = 30.0
COUNTED = ("milestone-events", "approvals")
OnStep = Callable[[str, int], None]


class Hurt:
    """What happens at a step, and the journal."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._at, self._do, self._left = arguments.at, arguments.do, arguments.nth
        self._then, self._behind = arguments.then, arguments.behind
        self._journal = os.open(arguments.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.service: JoinService | None = None

    def on_step(self, name: str, partition: int) -> None:
        os.write(self._journal, f"{os.getpid()} {name} {partition}\n".encode())
        if self._left <= 0 and name == self._then:
            os.kill(os.getpid(), signal.SIGKILL)
        if name != self._at or (self._behind and not self._another_waits(partition)):
            return
        self._left -= 1
        if self._left == 0:
            os.write(self._journal, f"{os.getpid()} {self._do} {partition}\n".encode())
            if self._do == "fail":
                raise LogError(f"made to fail at {name}")
            os.kill(os.getpid(), signal.SIGKILL if self._do == "kill" else signal.SIGSTOP)

    def _another_waits(self, partition: int) -> bool:
        """Whether what waits goes on where the batch at hand ends, in a topic of which every record counts.

        Of another topic it would lose nothing; ticks and values that are passed over are made good by later ones. The
        first that waits of a topic decides: if it starts at the position, the batch at hand has nothing of that topic.
        """
        assert self.service is not None
        one = self.service.partitions.get(partition)
        if one is None:
            return False
        first: dict[str, int] = {}
        for batch in one._queue:
            for topic, some in batch.records.items():
                first.setdefault(topic, some[0].offset)
        return any(first[topic] > one.positions[topic] for topic in COUNTED if topic in first)


class HurtProducer(KafkaProducer):
    """Says when EndTxn has left; when `slow`, a transaction is half there for a while."""

    on_step: OnStep
    slow: bool

    async def start(self) -> None:
        await super().start()
        assert self._producer is not None
        send = self._producer.client.send

        async def sending(node_id: int, request: Any, **options: Any) -> Any:
            answer = asyncio.ensure_future(send(node_id, request, **options))
            if isinstance(request, EndTxnRequest):
                for _ in range(3):
                    await asyncio.sleep(0)  # the request is in the socket by then
                self.on_step("endtxn-sent", -1)
            return await answer

        self._producer.client.send = sending

    async def send(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        await super().send(topic, partition, messages)
        if self.slow:
            await super().settle(SEND_S)


class HurtLog(KafkaLog):
    """Kafka with such producers."""

    def __init__(self, chosen: Settings, producer_type: type[HurtProducer]) -> None:
        super().__init__(chosen)
        self._producer_type = producer_type

    def producer(self, transactional_id: str) -> KafkaProducer:
        made = super().producer(transactional_id)
        return self._producer_type(made._id, made._prefix, made._options)


class SlowFence(PartitionJoin):
    """The protocol's order; the partition takes its time between what it read and its first transaction."""

    async def _acquire(self) -> None:
        await super()._acquire()
        await asyncio.sleep(SLOW_FENCE_S)


def make(chosen: Settings, arguments: argparse.Namespace) -> JoinService:
    """As `wiring.join_service`, with the faults that the arguments ask for."""
    hurt = Hurt(arguments)
    faults = {"on_step": staticmethod(hurt.on_step), "slow": arguments.slow == "send"}
    log, partition_type = take_away(arguments.without, HurtLog(chosen, type("Producer", (HurtProducer,), faults)))
    hurt.service = JoinService(
        log,
        Worker(),
        from_settings(chosen, INPUTS, OUTPUTS, STATE_TOPIC, HISTORY_TOPIC),
        lambda number: MemoryStore(),
        hurt.on_step,
        SlowFence if arguments.slow == "fence" else partition_type,
    )
    return hurt.service


def main() -> int:
    """Run until told to end, like `consumers/join.py`, or until the fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--at", choices=STEPS)
    parser.add_argument("--do", choices=("kill", "freeze", "fail"))
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--then", choices=STEPS, help="die at this step, once the fault has happened")
    parser.add_argument("--behind", action="store_true", help="count only steps with another batch waiting")
    parser.add_argument("--without", choices=("", *CONTROLS), default="")
    parser.add_argument("--slow", choices=("", "fence", "send"), default="")
    arguments = parser.parse_args()
    chosen = settings.load()
    logs.configure(chosen.log_level, chosen.log_format)
    timeout_s = chosen.shutdown_timeout_ms / 1000
    return hosting.host([lambda: make(chosen, arguments)], shutdown_timeout_s=timeout_s)


if __name__ == "__main__":
    sys.exit(main())
