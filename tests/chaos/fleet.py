"""Workers of the join as processes: started, killed, frozen, thawed; what they said is kept for the one who wonders."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from milepost.codec.records import encode_event, key_of
from milepost.codec.topics import INPUTS, OUTPUTS, PARTITIONS, STATE_TOPIC
from milepost.kafka.admin import Topics
from milepost.kafka.publishing import Publisher
from milepost.settings import Settings
from milepost.sim.workload import Arrival
from tests.chaos.committed import group_offsets

SESSION_TIMEOUT_S = 2.0
MAIN = ("-m", "consumers.join")
HURT = ("-m", "tests.chaos.worker")


@dataclass
class Fleet:
    """The workers of one group. `servers` is where they connect, `direct` where the test does."""

    servers: str
    direct: str
    prefix: str
    folder: Path
    max_records: int = 400
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        options = {"bootstrap.servers": self.direct, "group.id": f"{self.prefix}lag", "log_level": 2}
        self._consumers = [
            Consumer({**options, "isolation.level": level}) for level in ("read_uncommitted", "read_committed")
        ]

    @property
    def group(self) -> str:
        return f"{self.prefix}join"

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def settings(self) -> Settings:
        """For everybody who talks to the brokers from outside."""
        return Settings(bootstrap_servers=self.direct, topic_prefix=self.prefix)

    def publish(self, arrivals: Iterable[Arrival]) -> None:
        """Send events as `milepost publish` does, and wait until they are stored."""
        publisher = Publisher(self.settings())
        for arrival in arrivals:
            publisher.send(arrival.topic, arrival.event)
        publisher.flush()

    def publish_to(self, partition: int, arrivals: Iterable[Arrival]) -> None:
        """Send every event to one partition, so that a worker has one transaction at a time."""
        producer = Producer({"bootstrap.servers": self.direct, "enable.idempotence": True})
        for topic, event in arrivals:
            producer.produce(self.prefix + topic, key=key_of(event), value=encode_event(event), partition=partition)
            producer.poll(0)
        assert producer.flush(60) == 0

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """One more worker: without arguments the real entry point, with arguments the one that can be hurt."""
        command = [*HURT, "--journal", str(self.journal), *arguments] if arguments else [*MAIN]
        environment = {
            **os.environ,
            "MILEPOST_BOOTSTRAP_SERVERS": self.servers,
            "MILEPOST_TOPIC_PREFIX": self.prefix,
            "MILEPOST_GROUP": self.group,
            "MILEPOST_APP": f"{self.prefix}app",
            "MILEPOST_SESSION_TIMEOUT_MS": str(int(SESSION_TIMEOUT_S * 1000)),
            "MILEPOST_HEARTBEAT_INTERVAL_MS": "400",
            "MILEPOST_REQUEST_TIMEOUT_MS": "20000",
            "MILEPOST_SEND_TIMEOUT_MS": "15000",
            "MILEPOST_TRANSACTION_TIMEOUT_MS": "20000",
            "MILEPOST_MAX_RECORDS": str(self.max_records),
            "MILEPOST_LOG_FORMAT": "json",
        }
        with (self.folder / f"worker-{len(self.processes):03}.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, *command], env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def kill(self, process: "subprocess.Popen[bytes]", number: signal.Signals = signal.SIGKILL) -> None:
        """End a worker and wait until it is gone."""
        process.send_signal(number)
        process.wait(timeout=30)

    def end(self) -> None:
        """Kill whoever still runs, the frozen ones too."""
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)

    def close(self) -> None:
        """End the workers and what watched them."""
        self.end()
        for consumer in self._consumers:
            consumer.close()

    def steps(self) -> Counter[str]:
        """How often each step was passed, by all workers."""
        return Counter(step for _, step, _ in self.entries())

    def entries(self) -> Iterator[tuple[int, str, int]]:
        """The journal: process id, step, partition."""
        if self.journal.exists():
            for line in self.journal.read_text().splitlines():
                process, step, partition = line.split()
                yield int(process), step, int(partition)

    def passed(self, process: "subprocess.Popen[bytes]", step: str) -> int:
        """How often a worker passed a step."""
        return sum(1 for pid, name, _ in self.entries() if (pid, name) == (process.pid, step))

    def lag(self) -> int:
        """Input records that the group has not committed yet."""
        ends = self._ends(self._consumers[0], INPUTS)
        done = group_offsets(self.direct, self.prefix, self.group)
        return sum(end - done.get(place, (0, ""))[0] for place, end in ends.items())

    def open_records(self) -> int:
        """Records beyond the last stable offset: of transactions that have not ended or have no markers yet."""
        ends, stable = (self._ends(consumer, (*OUTPUTS, STATE_TOPIC)) for consumer in self._consumers)
        return sum(ends.values()) - sum(stable.values())

    def _ends(self, consumer: Consumer, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        return {
            (topic, partition): consumer.get_watermark_offsets(TopicPartition(self.prefix + topic, partition))[1]
            for topic in topics
            for partition in range(PARTITIONS)
        }

    def await_drained(self, within_s: float) -> None:
        """Wait until the group has committed everything, and everybody can see it."""
        await_true(lambda: self.lag() == 0, within_s, lambda: f"lag {self.lag()}; {self.last_words()}", pause_s=0.5)
        await_true(lambda: self.open_records() == 0, within_s, lambda: f"{self.open_records()} records stay open")

    def last_words(self) -> str:
        """The end of the newest workers' logs."""
        logs = sorted(self.folder.glob("worker-*.log"))[-4:]
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs)


def await_true(
    reached: Callable[[], bool], within_s: float, otherwise: Callable[[], str], pause_s: float = 0.05
) -> None:
    """Look again and again; fails with what `otherwise` says."""
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {otherwise()}"
        time.sleep(pause_s)


@contextmanager
def fleet(
    direct: str, prefix: str, folder: Path, servers: str | None = None, max_records: int = 400
) -> Iterator[Fleet]:
    """Topics made, no worker yet; none is left afterwards."""
    made = Fleet(servers or direct, direct, prefix, folder, max_records)
    Topics(made.settings()).apply()
    try:
        yield made
    finally:
        made.close()
