"""`/live`, `/ready` and `/metrics`: what they say, and that promtool finds nothing to say about the metrics."""

import subprocess
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from milepost.observe import health, metrics
from milepost.observe.exposition import Exposition, expose


@pytest.fixture
def exposition(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exposition]:
    monkeypatch.setattr(health, "_checks", {})
    running = expose("127.0.0.1", 0)
    yield running
    running.stop()


def get(exposition: Exposition, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{exposition.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_a_process_lives_before_it_is_ready(exposition: Exposition) -> None:
    assert get(exposition, "/live") == (200, "live\n")
    assert get(exposition, "/ready") == (503, "no service runs yet\n")
    assert get(exposition, "/else")[0] == 404


def test_ready_is_every_service(exposition: Exposition) -> None:
    trouble: list[str | None] = [None]
    health.watch("join", lambda: None)
    health.watch("ledger", lambda: trouble[0])
    assert get(exposition, "/ready") == (200, "ready\n")
    trouble[0] = "waiting for the database"
    assert get(exposition, "/ready") == (503, "ledger: waiting for the database\n")
    health.forget("ledger")
    assert get(exposition, "/ready") == (200, "ready\n")


@pytest.mark.prometheus
def test_promtool_finds_nothing(exposition: Exposition) -> None:
    metrics.announce(inputs=["kpi-events"], outputs=["invoice-lines"], ledger=["invoice-lines"])
    text = get(exposition, "/metrics")[1]
    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
    odd = text + "# HELP milepost_odd A gauge.\n# TYPE milepost_odd counter\nmilepost_odd 1\n"
    found = subprocess.run(["promtool", "check", "metrics"], input=odd, capture_output=True, text=True, timeout=30)
    assert "milepost_odd" in found.stdout + found.stderr
