"""The benchmark measures what it says; what it measured is never asserted."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import join, workload
from bench.hosts import HOSTS, Measured
from milepost.core.fold import Received
from milepost.core.outputs import DeadLetter, InvoiceLine
from milepost.core.replay import replay
from milepost.join.terms import with_terms

ROOT = Path(__file__).resolve().parents[2]
MILEPOST = Path(sys.executable).parent / "milepost"


def test_every_milestone_of_the_load_bills_once() -> None:
    events = [
        (topic, with_terms(event) if topic == "engagements" else event)  # type: ignore[arg-type]
        for topic, event in workload.events(3)
    ]
    assert len(events) == 3 * workload.EVENTS_AN_ENGAGEMENT
    received = [Received(event, topic, None, None, 0) for topic, event in events]  # type: ignore[arg-type]
    outputs = [output for _, raised in replay(received) for output in raised]
    assert not [output for output in outputs if isinstance(output, DeadLetter)]
    assert len([output for output in outputs if isinstance(output, InvoiceLine)]) == 3 * workload.MILESTONES


@pytest.mark.slow
def test_the_join_is_measured_on_the_embedded_broker() -> None:
    command = [MILEPOST, "bench", "join", "--events", "1600", "--hosts", "milepost-embedded", "--json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert ran.returncode == 0, ran.stderr
    (host,) = json.loads(ran.stdout)["hosts"]
    assert host["host"] == "milepost-embedded"
    assert 0 < host["events"] <= 1600
    assert host["rate"] > 0


def test_an_unknown_host_is_named() -> None:
    ran = subprocess.run([MILEPOST, "bench", "join", "--hosts", "flink"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert f"flink not known; there are {', '.join(HOSTS)}" in ran.stderr


def test_the_ratio_is_ours_over_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(join, "HOSTS", {"milepost": lambda n: Measured("milepost", n, 2.0), "raw": _twice_as_fast})
    report = join.measure(["milepost", "raw"], 100, 300)
    assert [row["ratio"] for row in report["hosts"]] == [1.0, 0.5]  # type: ignore[attr-defined]
    assert re.search(r"raw +300 +3\.0 +100 +0\.5", join.table(report))


def _twice_as_fast(events: int) -> Measured:
    return Measured("raw", events, events / 100)
