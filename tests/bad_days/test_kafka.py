"""The brokers are away, or their disk is full: every process says so, nothing is lost or doubled."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.demo import play
from milepost.settings import load
from tests.bad_days.playing import Playing, running, until
from tests.bad_days.small_disk import SmallDisk, small_disk
from tests.brokers import REPOSITORY, START_S, free_ports

KAFKA_SH = str(REPOSITORY / "ops" / "kafka" / "kafka.sh")
# A partition of the join that was in a transaction says what became of it.
EVERYBODY_WAITS = ("join: .*Kafka", "ledger: waiting for Kafka", "notices: waiting for Kafka")

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]


class Broker:
    """A node whose data are in `folder`, which may be on a small disk; it can be started again on the same data."""

    def __init__(self, folder: Path, on: list[str]) -> None:
        self.folder, self.on, self.port = folder, on, free_ports(3)
        self.bootstrap_servers = f"127.0.0.1:{self.port}"

    def start(self) -> None:
        (self.folder / "node-1" / "pid").unlink(missing_ok=True)
        command = [*self.on, KAFKA_SH, "start", "--dir", str(self.folder), "--port", str(self.port)]
        # So many topics on so small a disk: an index takes 10 MiB of it as soon as it is touched.
        command += ["--set", "log.index.size.max.bytes=65536", "--set", "log.segment.bytes=4194304"]
        started = subprocess.run(command, capture_output=True, text=True, timeout=START_S)
        assert started.returncode == 0, started.stderr

    @property
    def process(self) -> int:
        return int((self.folder / "node-1" / "pid").read_text())

    def is_alive(self) -> bool:
        """Not ended; a zombie has."""
        try:
            stat = Path(f"/proc/{self.process}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return stat.rpartition(")")[2].split()[0] != "Z"

    def stop(self) -> None:
        subprocess.run([KAFKA_SH, "stop", "--dir", str(self.folder), "--now"], check=True, timeout=60)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 64) as found:
        yield found


@pytest.fixture
def broker(tmp_path: Path, disk: SmallDisk) -> Iterator[Broker]:
    found = Broker(tmp_path / "kafka", disk.on)
    (found.folder / "node-1").mkdir(parents=True)
    # Settings and logs stay outside: what is to be full is the data's disk.
    (found.folder / "node-1" / "data").symlink_to(disk.folder)
    found.start()
    try:
        yield found
    finally:
        found.stop()
        shutil.rmtree(found.folder)


def everything(tmp_path: Path, broker: Broker) -> dict[str, object]:
    return {"bootstrap_servers": broker.bootstrap_servers, "database_url": f"sqlite:///{tmp_path / 'ledger.db'}"}


def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path, broker: Broker) -> None:
    chosen = everything(tmp_path, broker)
    play.apply_topics(load(**chosen))
    with running(tmp_path, **chosen) as milepost:
        playing = Playing.begun(milepost)
        os.kill(broker.process, signal.SIGKILL)
        milepost.until_it_says(*EVERYBODY_WAITS)
        broker.start()
        until(lambda: playing.is_taken(1), lambda: "the broker takes no events")
        milepost.until_ready()
        playing.check()


def test_a_full_disk_under_the_broker(tmp_path: Path, broker: Broker, disk: SmallDisk) -> None:
    chosen = everything(tmp_path, broker)
    play.apply_topics(load(**chosen))
    with running(tmp_path, **chosen) as milepost:
        playing = Playing.begun(milepost)
        disk.fill()
        until(lambda: not playing.is_taken(1), lambda: "the broker takes events without a disk")
        until(lambda: not broker.is_alive(), lambda: "the broker goes on without a disk")
        milepost.until_it_says(*EVERYBODY_WAITS)
        disk.enlarge(128)
        broker.start()
        until(lambda: playing.is_taken(1), lambda: "the broker takes no events")
        milepost.until_ready()
        playing.check()
