"""Each process on its own: it becomes ready, has its metrics, and says what is away as long as it is."""

from pathlib import Path
from urllib.request import urlopen

import pytest

from milepost.cli.run import app
from milepost.demo import play
from milepost.settings import load
from tests.bad_days.playing import running

# `run all` is the others together, which hides one that never says that it is ready.
NAMES = sorted(name for one in app.registered_commands if (name := one.name or one.callback.__name__) != "all")  # type: ignore[union-attr]
WORDS = [("run", name) for name in NAMES]


def test_these_are_all_processes() -> None:
    assert NAMES == ["clock", "gateway", "join", "ledger", "notices"]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_process_alone_becomes_ready(words: tuple[str, ...], embedded_broker: str, tmp_path: Path) -> None:
    chosen = {"bootstrap_servers": embedded_broker, "database_url": f"sqlite:///{tmp_path / 'ledger.db'}"}
    play.apply_topics(load(**chosen))
    with running(tmp_path, words=words, **chosen) as milepost:
        milepost.until_ready()
        with urlopen(f"http://127.0.0.1:{milepost.settings.metrics_port}/metrics", timeout=10) as answer:
            assert b"# HELP milepost_" in answer.read()
