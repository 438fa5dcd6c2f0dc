"""Instances of the clock as processes, and the ticks that they sent."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from milepost.codec import records
from milepost.core.events import ClockTick
from milepost.kafka.tailing import Tail
from milepost.settings import Settings

ROOT = Path(__file__).parents[2]
SHUTDOWN_S = 15

# The machine's time is wrong by what stands in a file, milliseconds.
PROGRAM = """
import sys
from pathlib import Path
from milepost import settings
from milepost.clock.service import ClockService
from milepost.kafka.ticking import machine_ms
from milepost.observe import hosting, logs

def now_ms():
    return machine_ms() + int(Path(sys.argv[1]).read_text())

logs.configure("info", "json")
chosen = settings.load()
sys.exit(hosting.host([lambda: ClockService(chosen, now_ms)], shutdown_timeout_s=int(sys.argv[2])))
"""


class Instance:
    """A running clock; what it said is in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, error_file: Path) -> None:
        self.process, self._log, self._error_file = process, log, error_file

    def said(self, event: str) -> list[dict[str, object]]:
        """Its log's entries of that name."""
        entries = (json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{"))
        return [entry for entry in entries if entry["event"] == event]

    def leads(self) -> bool:
        """Whether the last it said of leading is that it does."""
        said = sorted(self.said("leads") + self.said("follows"), key=lambda entry: str(entry["timestamp"]))
        return bool(said) and said[-1]["event"] == "leads"

    def misplace(self, offset_ms: int) -> None:
        """From now on its machine's time is wrong by so much."""
        self._error_file.write_text(str(offset_ms))


@contextmanager
def instance(settings: Settings, folder: Path, name: str, offset_ms: int = 0) -> Iterator[Instance]:
    """Start one; killed at the end where the test did not end it."""
    log, error_file = folder / f"{name}.log", folder / f"{name}.offset"
    error_file.write_text(str(offset_ms))
    names = {
        "bootstrap_servers", "topic_prefix", "clock_interval_ms", "clock_skew_limit_ms", "session_timeout_ms",
        "heartbeat_interval_ms", "sandbox",
    }  # fmt: skip
    environment = {f"MILEPOST_{key.upper()}": str(getattr(settings, key)) for key in names}
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(error_file), str(SHUTDOWN_S)],
            cwd=folder, env=os.environ | environment, stdout=stream, stderr=stream,
        ) as process,
    ):  # fmt: skip
        try:
            yield Instance(process, log, error_file)
        finally:
            if process.poll() is None:
                process.kill()


def ticks(settings: Settings) -> dict[int, list[int]]:
    """Every tick there is, by partition, in order; microseconds."""
    found: dict[int, list[int]] = {}
    with Tail(settings, "clock-ticks", from_beginning=True) as tail:
        while batch := tail.poll(1.0):
            for record in batch:
                event = records.decode(record.topic, record.value or b"", record.headers)
                assert isinstance(event, ClockTick)
                found.setdefault(record.partition, []).append(event.at)
    return found


def until(holds: Callable[[], bool], timeout_s: float = 90) -> None:
    """Wait; the machine may be busy."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
