"""`milepost demo` as somebody types it: what it prints, how it ends, and that it leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MILEPOST = Path(sys.executable).parent / "milepost"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Temporary files go where the test can see them."""
    of_make = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "ARGS")  # what `make test ARGS=...` hands down
    return {**{name: value for name, value in os.environ.items() if name not in of_make}, "TMPDIR": str(tmp_path)}


def demo(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MILEPOST, "demo", *arguments], capture_output=True, text=True, timeout=120, env=environment)


def rows(text: str) -> list[list[str]]:
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


def test_the_examples_are_billed_and_shown(environment: dict[str, str], tmp_path: Path) -> None:
    done = demo(environment)
    assert done.returncode == 0, done.stderr
    shown = rows(done.stdout)
    assert ["erp-rollout", "total", "190,000.00", "0.00", "190,000.00", "EUR"] in shown
    assert ["warehouse-7", "total", "1,200,000.00", "0.00", "1,200,000.00", "GBP"] in shown
    assert ["warehouse-7", "groundworks", "adjustment", "40 %", "-24,000.00", "-2,400.00", "-21,600.00", "GBP"] in shown
    assert ["service-desk", "600.00", "0.00", "0.00", "600.00", "USD"] in shown
    assert any(row[:3] == ["erp-rollout", "training", "submitted"] and row[-1] == "client_ap (ana)" for row in shown)
    assert "became 42 invoice lines" in done.stderr
    assert "Left out: change-order, hours:" in done.stderr
    assert done.stderr.count("\n") == 6, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_json_has_the_same(environment: dict[str, str]) -> None:
    done = demo(environment, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (
        sum(line["payable_minor"] for line in found["lines"] if line["engagement_id"] == "warehouse-7") == 120_000_000
    )
    assert [one["balance_minor"] for one in found["retention"]] == [0, 0, 0, 380_000, 60_000, 0]
    training = next(one for one in found["open"] if one["milestone_id"] == "training")
    assert training["to_be_signed_by"] == ["client_ap (ana)"]


def test_a_broken_example_ends_it_before_it_starts(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "one"
    folder.mkdir(parents=True)
    (folder / "contract.yaml").write_bytes((ROOT / "examples/consulting/contract.yaml").read_bytes())
    (folder / "events.jsonl").write_text("{}\n")
    done = demo(environment, "--examples", str(folder.parent))
    assert done.returncode == 1
    assert f"{folder}/events.jsonl:1: topic: missing" in done.stderr
    assert done.stdout == ""


def test_no_broker_is_said_in_words(environment: dict[str, str]) -> None:
    done = demo(environment, "--bootstrap-servers", "127.0.0.1:1")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def left_of(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = subprocess.run(["ps", "-o", "pid=", "-s", str(session)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["Brokers:", "Starting the join", "Playing"])
def test_an_interrupted_demo_leaves_nothing(
    number: signal.Signals, moment: str, environment: dict[str, str], tmp_path: Path
) -> None:
    with subprocess.Popen(
        [MILEPOST, "demo"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            assert any(line.startswith(moment) for line in process.stderr)
            os.kill(process.pid, number)
            errors = process.communicate(timeout=60)[1]
        finally:
            process.kill()  # one that hangs would be waited for at the end of the block
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert left_of(process.pid) == []
    assert list(tmp_path.iterdir()) == []


def test_a_scripts_background_job_ends_by_kill_and_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    """What a script starts with `&` ignores SIGINT from its beginning; twice asked is asked once."""
    with subprocess.Popen(
        ["bash", "-c", 'trap "" INT; exec "$0" demo', MILEPOST], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            assert any(line.startswith("Playing") for line in process.stderr)
            os.kill(process.pid, signal.SIGINT)
            os.kill(process.pid, signal.SIGTERM)
            os.kill(process.pid, signal.SIGTERM)
            errors = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert left_of(process.pid) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_make_demo_works_on_a_fresh_clone(environment: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="milepost-clone-") as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        done = subprocess.run(
            ["make", "demo"], cwd=folder, capture_output=True, text=True, timeout=800, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert ["erp-rollout", "total", "190,000.00", "0.00", "190,000.00", "EUR"] in rows(done.stdout)
        status = subprocess.run(["git", "status", "--short"], cwd=folder, capture_output=True, text=True, check=True)
        assert status.stdout == ""
