"""Fixtures that give tests a broker: the embedded one, and a real Apache Kafka started by ops/kafka/kafka.sh.

A test asks for `embedded_broker` or `real_kafka` and gets the bootstrap servers. `real_kafka` is shared by the whole
run, so that its five seconds are paid once: tests keep apart with a `topic_prefix` of their own. `kafka_clusters`
starts further clusters, of three nodes or with other settings, that end with the module that asked for them.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from milepost.kafka.embedded import EmbeddedBroker

REPOSITORY = Path(__file__).resolve().parent.parent
KAFKA_SH = REPOSITORY / "ops" / "kafka" / "kafka.sh"
# Maven may have to fetch 150 MB first.
START_S = 600


@dataclass(frozen=True)
class KafkaCluster:
    """A running Apache Kafka: where it listens, and its processes."""

    bootstrap_servers: str
    folder: Path
    port: int
    nodes: int

    def process(self, node: int) -> int:
        """Process id of a node (1, 2, ...)."""
        return int((self.folder / f"node-{node}" / "pid").read_text())

    def upstream(self, node: int) -> tuple[str, int]:
        """Where a node's proxied listener is, for the proxy to connect to."""
        return "127.0.0.1", self.port + 2 * self.nodes + node - 1

    def kill(self, node: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a node's process."""
        os.kill(self.process(node), number)


class StartKafka(Protocol):
    """What `kafka_clusters` gives: starts one more cluster."""

    def __call__(
        self, *, nodes: int = 1, proxied: int | None = None, settings: dict[str, str] | None = None
    ) -> KafkaCluster:
        """`proxied`: the first port of the proxy in front (see `kafka.sh --proxied`)."""
        ...


def free_ports(count: int) -> int:
    """The first of `count` consecutive ports that are free now.

    Below the range from which the system takes the ports of outgoing connections: one of those could come in between.
    """
    for _ in range(100):
        base = random.SystemRandom().randrange(15_000, 32_000)
        with ExitStack() as held:
            try:
                for port in range(base, base + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise RuntimeError(f"no {count} consecutive free ports found")


@contextmanager
def running_kafka(
    nodes: int = 1, proxied: int | None = None, settings: dict[str, str] | None = None
) -> Iterator[KafkaCluster]:
    """A cluster in a temporary folder on free ports; it also ends when this process is killed."""
    folder = Path(tempfile.mkdtemp(prefix="milepost-kafka-"))
    port = free_ports(3 * nodes)
    command = [str(KAFKA_SH), "start", "--nodes", str(nodes), "--dir", str(folder), "--port", str(port)]
    command += ["--while", str(os.getpid())]
    command += ["--proxied", str(proxied)] if proxied is not None else []
    for key, value in (settings or {}).items():
        command += ["--set", f"{key}={value}"]
    try:
        started = subprocess.run(command, capture_output=True, text=True, timeout=START_S)
        assert started.returncode == 0, started.stderr
        yield KafkaCluster(started.stdout.strip(), folder, port, nodes)
    finally:
        subprocess.run([str(KAFKA_SH), "stop", "--dir", str(folder), "--now"], check=True, timeout=60)
        shutil.rmtree(folder)


@pytest.fixture
def embedded_broker() -> Iterator[str]:
    """Bootstrap servers of an embedded broker of this test's own; topics get 4 partitions when they are first named."""
    with EmbeddedBroker() as broker:
        yield broker.bootstrap_servers


@pytest.fixture(scope="session")
def real_kafka_cluster() -> Iterator[KafkaCluster]:
    """The run's one-node Apache Kafka."""
    with running_kafka() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def real_kafka(real_kafka_cluster: KafkaCluster) -> str:
    """Bootstrap servers of the run's one-node Apache Kafka; topics are not created by themselves."""
    return real_kafka_cluster.bootstrap_servers


@pytest.fixture(scope="module")
def kafka_clusters() -> Iterator[StartKafka]:
    """Starts clusters that end with the module."""
    with ExitStack() as running:

        def start(
            *, nodes: int = 1, proxied: int | None = None, settings: dict[str, str] | None = None
        ) -> KafkaCluster:
            return running.enter_context(running_kafka(nodes, proxied, settings))

        yield start


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for this test's topics and groups, so that tests can share a broker."""
    return f"t{uuid.uuid4().hex[:10]}-"
