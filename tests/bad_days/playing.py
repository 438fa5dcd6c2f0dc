"""Milepost as a process of its own, and an example engagement that is played to it in two halves."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from pydantic import SecretStr

from milepost import settings
from milepost.demo import play
from milepost.demo.examples import alone, examples_dir, read_examples
from milepost.kafka.publishing import Publisher, PublishError
from milepost.settings import Settings
from milepost.sql.engine import UnavailableError
from tests.brokers import free_ports

WAIT_S = 120
MILEPOST = str(Path(sys.executable).with_name("milepost"))
# Without the clock: its ticks are of today, and would make the examples' deadlines pass.
RUN_ALL = ("run", "all", "--without", "clock")
EXAMPLES = [one for one in read_examples(examples_dir()) if not alone(one)]


@dataclass(frozen=True)
class Running:
    """The process, and where to ask it."""

    process: subprocess.Popen[bytes]
    settings: Settings
    log: Path

    def ready(self) -> tuple[int, str]:
        """Status and text of `/ready`; 0 while nobody answers."""
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-3_000:]
        try:
            with urlopen(f"http://127.0.0.1:{self.settings.metrics_port}/ready", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as answer:
            return answer.code, answer.read().decode()
        except OSError:
            return 0, ""

    def until_ready(self) -> None:
        until(lambda: self.ready()[0] == 200, lambda: self.ready()[1] + self.log.read_text(errors="replace")[-3_000:])

    def until_it_says(self, *patterns: str) -> None:
        """Wait until `/ready` is 503 and has a line like each of these."""

        def says() -> bool:
            status, text = self.ready()
            return status == 503 and all(re.search(f"^{one}", text, re.MULTILINE) for one in patterns)

        until(says, lambda: f"{self.ready()} does not say {patterns}")


def until(holds: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    by = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < by, otherwise()
        time.sleep(0.2)


@contextmanager
def running(
    folder: Path, prefix: Sequence[str] = (), words: Sequence[str] = RUN_ALL, **chosen: object
) -> Iterator[Running]:
    """`milepost` with these `words`; `prefix` is what the command begins with."""
    ports = free_ports(2)
    given = {
        "app": "days",
        "group": "days-join",
        "ledger_group": "days-ledger",
        "notices_group": "days-notices",
        "metrics_port": ports,
        "gateway_port": ports + 1,
        "evidence_dir": str(folder / "evidence"),
        "link_secret": "s" * 40,
        **chosen,
    }
    environment = environ(given)
    log = folder / "milepost.log"
    command = [*prefix, MILEPOST, *words]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        yield Running(process, settings.load(**given), log)
        process.terminate()
        assert process.wait(60) == 0, log.read_text(errors="replace")[-3_000:]
    finally:
        process.kill()
        process.wait()


def environ(given: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with nothing but these settings of Milepost."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
    return clean | {f"MILEPOST_{name.upper()}": str(value) for name, value in given.items()}


class Playing:
    """The examples' events in two halves; `check` compares what the ledger says at last with the fold alone."""

    def __init__(self, chosen: Settings, database_url: Callable[[], str] | None = None) -> None:
        """`database_url` says where the ledger's rows are to be read, asked at every look."""
        self._settings = chosen
        self._database_url = database_url or chosen.database_url.get_secret_value
        waves = list(play.waves(EXAMPLES))
        self.halves = waves[: len(waves) // 2], waves[len(waves) // 2 :]

    @classmethod
    def begun(cls, milepost: Running, database_url: Callable[[], str] | None = None) -> "Playing":
        """With the first half sent to a process that is ready."""
        milepost.until_ready()
        playing = cls(milepost.settings, database_url)
        playing.send(0)
        return playing

    def send(self, half: int) -> None:
        """All of a half, acknowledged; raises `PublishError`."""
        publisher = Publisher(self._settings)
        for wave in self.halves[half]:
            for topic, event in wave:
                publisher.send(topic, event)
        publisher.flush()

    def is_taken(self, half: int) -> bool:
        """Whether all of a half was acknowledged, sent (once more) now."""
        try:
            self.send(half)
        except PublishError:
            return False
        return True

    def check(self) -> None:
        """Wait until the ledger says what `milepost simulate` says."""
        wanted, found = play.expected(EXAMPLES), ["nothing was read"]

        def same() -> bool:
            url = SecretStr(self._database_url())
            try:
                picture = play.read_back(self._settings.model_copy(update={"database_url": url}), EXAMPLES)
            except UnavailableError as error:
                found[:] = [str(error)]
                return False
            found[:] = play.differences(picture, wanted)
            ids = [line.line_id for line in picture.lines]
            assert len(set(ids)) == len(ids)
            return not found

        until(same, lambda: json.dumps(found[:10], indent=1))
