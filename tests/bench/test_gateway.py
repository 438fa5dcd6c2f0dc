"""The gateway's benchmark runs and reports its ratios; what it measured is never asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gateway import RATIOS, table

ROOT = Path(__file__).resolve().parents[2]
MILEPOST = Path(sys.executable).parent / "milepost"


@pytest.mark.slow
def test_everything_is_measured_in_one_run_and_compared() -> None:
    command = [MILEPOST, "bench", "gateway", "--embedded", "--json"]
    command += ["--singles", "20", "--batched", "120", "--batch", "50", "--connections", "3", "--rounds", "1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    events = {row["name"]: row["events"] for row in report["rates"]}
    assert events == {
        "bare route, one by one": 20,
        "bare route, in batches": 120,
        "gateway, one by one": 20,
        "gateway, in batches": 120,
        "publish": 120,
    }
    assert [(row["of"], row["to"]) for row in report["ratios"]] == list(RATIOS)
    assert all(row["ratio"] > 0 for row in report["ratios"])
    assert "gateway, in batches / publish: " in table(report)
