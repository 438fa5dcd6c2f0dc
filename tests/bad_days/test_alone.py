"""Each process on its own: it becomes ready, has its metrics, and says what is away as long as it is."""

from pathlib import Path
from urllib.request import urlopen

import pytest

from milepost.audit.anchors import new_key
from milepost.cli.run import app
from milepost.demo import play
from milepost.kafka.embedded import EmbeddedBroker
from milepost.settings import load
from tests.bad_days.playing import running
from tests.postgres import running_postgres

# `run all` is the others together, which hides one that never says that it is ready.
NAMES = sorted(name for one in app.registered_commands if (name := one.name or one.callback.__name__) != "all")  # type: ignore[union-attr]
WORDS = [*(("run", name) for name in NAMES), ("audit", "anchor", "--keep-on")]


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The file of a key that signs audit heads."""
    file = tmp_path / "key.pem"
    file.write_bytes(new_key()[0])
    return str(file)


def service(words: tuple[str, ...]) -> str:
    """What it is called in `/ready`."""
    return "anchors" if words[0] == "audit" else words[-1]


def test_these_are_all_processes() -> None:
    assert NAMES == ["clock", "gateway", "join", "ledger", "notices"]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_process_alone_becomes_ready(words: tuple[str, ...], embedded_broker: str, key: str, tmp_path: Path) -> None:
    chosen = {
        "bootstrap_servers": embedded_broker,
        "database_url": f"sqlite:///{tmp_path / 'ledger.db'}",
        "anchor_key_file": key,
    }
    play.apply_topics(load(**chosen))
    with running(tmp_path, words=words, **chosen) as milepost:
        milepost.until_ready()
        with urlopen(f"http://127.0.0.1:{milepost.settings.metrics_port}/metrics", timeout=10) as answer:
            assert b"# HELP milepost_" in answer.read()


@pytest.mark.slow
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_without_brokers_it_is_not_ready_although_nothing_comes(
    words: tuple[str, ...], key: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with EmbeddedBroker() as broker:
        chosen = {"bootstrap_servers": broker.bootstrap_servers, "database_url": url, "anchor_key_file": key}
        play.apply_topics(load(**chosen))
        with running(tmp_path, words=words, **chosen) as milepost:
            milepost.until_ready()
            broker.close()
            milepost.until_it_says(f"{service(words)}: .*(Kafka|no broker answers)")


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("words", [one for one in WORDS if one[-1] not in ("join", "clock")], ids=" ".join)
def test_without_its_database_it_is_not_ready_although_nothing_comes(
    words: tuple[str, ...], embedded_broker: str, key: str, tmp_path: Path
) -> None:
    with running_postgres() as server:
        # Gauges are not looked at before the test is over.
        chosen = {
            "bootstrap_servers": embedded_broker,
            "database_url": server.create_database(),
            "gauges_interval_s": 3_600,
            "anchor_key_file": key,
        }
        play.apply_topics(load(**chosen))
        with running(tmp_path, words=words, **chosen) as milepost:
            milepost.until_ready()
            server.stop()
            milepost.until_it_says(f"{service(words)}: .*{server.folder}")
            server.start()
            milepost.until_ready()
