"""The sandbox as somebody tries it: started, its printed lines typed as they stand, ended by Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MILEPOST = Path(sys.executable).parent / "milepost"
STARTED_S, TYPED_S = 120, 150


class Serving:
    """A running sandbox, and what it printed."""

    def __init__(self, process: subprocess.Popen[bytes], printed: Path) -> None:
        self.process, self._printed = process, printed

    def text(self) -> str:
        return self._printed.read_text()

    def lines(self) -> list[str]:
        """What is to be typed, without the comments."""
        listed = self.text().partition("In another terminal, line by line:\n")[2]
        return [line[2:] for line in listed.splitlines() if line.startswith("  ") and not line.startswith("  #")]

    def typed(self, *lines: str, timeout_s: float = TYPED_S) -> subprocess.CompletedProcess[str]:
        """The lines in a shell, one after the other; the first that fails ends it."""
        script = "\n".join(["set -e", *lines])
        return subprocess.run(["bash", "-c", script], cwd="/", capture_output=True, text=True, timeout=timeout_s)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    printed = tmp_path / "printed"
    with (
        printed.open("wb") as stream,
        subprocess.Popen(
            [MILEPOST, "demo", "--serve"], stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True,
            env=os.environ | {"TMPDIR": str(folder)},
        ) as process,
    ):  # fmt: skip
        running = Serving(process, printed)
        try:
            deadline = time.monotonic() + STARTED_S
            while "clock advance" not in running.text():
                assert process.poll() is None, running.text()
                assert time.monotonic() < deadline, running.text()
                time.sleep(0.2)
            yield running
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def left_of(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = subprocess.run(["ps", "-o", "pid=", "-s", str(session)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_printed_lines_work_as_they_stand_and_ctrl_c_ends_it_clean(serving: Serving, tmp_path: Path) -> None:
    lines = serving.lines()
    assert len(lines) == 8
    done = serving.typed(*lines)
    assert done.returncode == 0, done.stderr + serving.text()
    opened, reported, first, second, designed, again, advanced, ticks, built = done.stdout.splitlines()
    assert '"accepted": 1' in opened
    assert '"warnings": []' in opened
    assert '"event_id": "harbour-design-' in reported
    assert first == second == "You approved this submission"
    assert designed == "harbour,design,MILESTONE,60000.00,6000.00,54000.00,EUR"
    assert '"event_id": "harbour-build-' in again
    assert re.fullmatch(r"It is \S+Z now; it was \S+Z\.", advanced)
    assert ticks == "264 ticks went to each of 4 partitions."
    assert built == "harbour,build,MILESTONE,40000.00,4000.00,36000.00,EUR"

    (folder,) = (tmp_path / "temporary").glob("milepost-demo-*")
    for name in ("sandbox.sh", "tracker.secret"):
        assert (folder / name).stat().st_mode & 0o077 == 0, name
    mails = sorted((folder / "outbox").glob("*.eml"))
    assert {message_from_bytes(mail.read_bytes())["To"] for mail in mails} == {
        "Nina Berg <nina@sandbox.example>", "Paul Adeyemi <paul@sandbox.example>"
    }  # fmt: skip
    sent = "curl -sS \"$API/webhooks/tracker\" -H @- -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json'"
    signed = "milepost webhooks sign design.json --secret-file tracker.secret"
    forged = serving.typed(lines[0], f"{signed} | {sent} --data-binary @build.json")
    assert forged.stdout == "401", "the signature is looked at"
    twice = serving.typed(*lines[:6])
    assert twice.returncode == 0, twice.stderr
    assert "This link was used already" not in twice.stdout
    counted = serving.typed(
        lines[0], "milepost tail invoice-lines --from-beginning --until-idle 2 | grep -c '\"harbour\"'"
    )
    assert counted.stdout.strip() == "2", "typed twice, billed once"

    os.kill(serving.process.pid, signal.SIGINT)
    assert serving.process.wait(60) == 0, serving.text()
    assert "Traceback" not in serving.text()
    assert left_of(serving.process.pid) == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_make_hands_serve_on() -> None:
    for given, there in (("SERVE=1", True), ("ARGS=", False), ("SERVE=1 KAFKA=real", True)):
        ran = subprocess.run(
            ["make", "-n", "demo", *given.split()], cwd=ROOT, capture_output=True, text=True, check=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        )  # fmt: skip
        assert ("milepost demo --serve" in ran.stdout) == there, ran.stdout
