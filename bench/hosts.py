"""The hosts that are measured, each on a broker of its own, one after another on the same machine."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench import workload
from milepost.kafka.embedded import EmbeddedBroker

__all__ = ["HOSTS", "PARTITIONS", "ROOT", "RUN_S", "Measured", "milepost_on", "real_kafka"]

ROOT = Path(__file__).resolve().parent.parent
KAFKA_SH = ROOT / "ops" / "kafka" / "kafka.sh"
STREAMS = ROOT / "bench" / "peers" / "kafka_streams"
PARTITIONS = 4
GROUP = "bench"
RUN_S = 1_800
_RATE = re.compile(r"events (\d+) sec ([0-9.]+) rate (\d+)")


@dataclass(frozen=True)
class Measured:
    """Events that a host joined, and the seconds from when it began to poll to its last line."""

    host: str
    events: int
    seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


@contextmanager
def real_kafka(port: int) -> Iterator[str]:
    """A fresh Apache Kafka of one node, deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="milepost-bench-") as folder:
        start: list[str | Path] = [KAFKA_SH, "start", "--dir", folder, "--port", str(port), "--while", str(os.getpid())]
        servers = subprocess.run(start, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        try:
            yield servers
        finally:
            subprocess.run([KAFKA_SH, "stop", "--dir", folder, "--now"], check=True)


def milepost_on(name: str, bootstrap: str, events: int) -> Measured:
    """`python -m consumers.join` on a broker that is there."""
    environment = {
        **os.environ,
        "MILEPOST_BOOTSTRAP_SERVERS": bootstrap,
        "MILEPOST_GROUP": GROUP,
        "MILEPOST_LOG_LEVEL": "info",
        "MILEPOST_LOG_FORMAT": "json",
    }
    command = [str(Path(sys.executable).parent / "milepost"), "topics", "apply"]
    subprocess.run(command, check=True, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    engagements = max(1, events // workload.EVENTS_AN_ENGAGEMENT)
    loaded = workload.load(bootstrap, engagements)
    worker = subprocess.Popen(
        [sys.executable, "-m", "consumers.join"], env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    try:
        return _watched(name, bootstrap, loaded, engagements * workload.MILESTONES, worker)
    finally:
        worker.terminate()
        worker.wait(60)


def _watched(name: str, bootstrap: str, loaded: int, lines: int, worker: subprocess.Popen[str]) -> Measured:
    """From the first restored partition, when polling begins, until a committed reader has every line."""
    ready: list[float] = []
    listening = threading.Thread(target=_listen, args=(worker, ready), daemon=True)
    listening.start()
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-lines", "enable.auto.commit": False})
    consumer.assign([TopicPartition("invoice-lines", number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
    seen, deadline = 0, time.monotonic() + RUN_S
    try:
        while time.monotonic() < deadline:
            for record in consumer.consume(10_000, timeout=0.05):
                error = record.error()
                if error is not None and error.fatal():
                    raise SystemExit(f"{name}: {error}")
                seen += error is None
            if seen >= lines:
                return Measured(name, loaded, time.monotonic() - ready[0])
            if worker.poll() is not None:
                raise SystemExit(f"{name}: the worker ended with status {worker.returncode}")
    finally:
        consumer.close()
    raise SystemExit(f"{name}: {seen} of {lines} lines within {RUN_S} s")


def _listen(worker: subprocess.Popen[str], ready: list[float]) -> None:
    """Note when the worker says that a partition is restored; pass warnings and errors on."""
    assert worker.stderr is not None
    for line in worker.stderr:
        if '"partition restored"' in line:
            ready.append(time.monotonic())
        elif '"level": "info"' not in line:
            sys.stderr.write(line)


def milepost_real(events: int) -> Measured:
    """`python -m consumers.join` on Apache Kafka."""
    with real_kafka(29192) as servers:
        return milepost_on("milepost", servers, events)


def milepost_embedded(events: int) -> Measured:
    """`python -m consumers.join` on the embedded broker, in this process."""
    with EmbeddedBroker() as broker:
        return milepost_on("milepost-embedded", broker.bootstrap_servers, events)


def _peer(name: str, command: Callable[[str], list[str]], events: int, port: int) -> Measured:
    with real_kafka(port) as servers:
        load = [sys.executable, str(ROOT / "bench" / "peers" / "load.py"), servers, str(events // 3)]
        subprocess.run(load, check=True)
        ran = subprocess.run(command(servers), check=True, stdout=subprocess.PIPE, text=True, timeout=RUN_S)
        found = _RATE.search(ran.stdout)
        if found is None:
            raise SystemExit(f"{name} printed no rate: {ran.stdout!r}")
        return Measured(name, int(found[1]), float(found[2]))


def raw(events: int) -> Measured:
    """The same client and protocol with a simple fold of JSON."""
    script = str(ROOT / "bench" / "peers" / "raw" / "join.py")
    total = _whole(events)
    return _peer("raw", lambda servers: [sys.executable, script, servers, str(total), GROUP], events, 29292)


def kafka_streams(events: int) -> Measured:
    """Kafka Streams, exactly_once_v2, one thread; fetches its jars through Maven."""
    libs = STREAMS / "libs"
    if not libs.exists():
        target = f"-DoutputDirectory={libs}"
        subprocess.run(["mvn", "-q", "-B", "dependency:copy-dependencies", target], cwd=STREAMS, check=True)
    path = f"{libs}/*"
    subprocess.run(["javac", "-cp", path, "-d", str(libs), "Join.java"], cwd=STREAMS, check=True)
    java = ["java", "-Xmx2g", "-cp", f"{path}:{libs}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "Join"]
    total = _whole(events)
    return _peer("kafka-streams", lambda servers: [*java, servers, str(total), "bench", "1"], events, 29392)


def _whole(events: int) -> int:
    """What the peers' load really publishes: whole engagements."""
    return events // 3 // workload.MILESTONES * workload.MILESTONES * 3


HOSTS: dict[str, Callable[[int], Measured]] = {
    "milepost": milepost_real,
    "milepost-embedded": milepost_embedded,
    "raw": raw,
    "kafka-streams": kafka_streams,
}
