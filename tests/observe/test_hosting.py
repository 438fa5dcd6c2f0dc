"""How a process ends: the reason on one line, in order at the first signal, at once at the second, and never late."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

PROGRAM = """
import asyncio, gc, sys, threading, time, weakref
from milepost.observe import hosting, logs

made_at_start = [[]]

class Loop:
    def __init__(self):
        self.itself = self

def what_is_collected():
    print("start left alone:", all(one is not made_at_start for one in gc.get_objects()))
    loop = weakref.ref(Loop())
    kept = []
    while loop() is not None and len(kept) < 100_000:
        kept.append([])
    print("loop collected:", loop() is None, flush=True)

class Service:
    def __init__(self, name, how):
        self.name, self.how, self.stopping = name, how, asyncio.Event()
    async def run(self):
        print(self.name, "runs", flush=True)
        if self.how == "refuses":
            raise hosting.StoppedError("cannot be right:\\n  the reason")
        if self.how == "leaves a thread":
            threading.Thread(target=time.sleep, args=[600]).start()
        if self.how == "collects":
            what_is_collected()
        if self.how == "breaks":
            raise ZeroDivisionError("a bug")
        await self.stopping.wait()
        print(self.name, "stops", flush=True)
        while self.how == "hangs":
            await asyncio.sleep(1)
        print(self.name, "ended", flush=True)
    def stop(self):
        self.stopping.set()

logs.configure("error")
hows = sys.argv[2:]
sys.exit(hosting.host(
    [lambda name=str(number), how=how: Service(name, how) for number, how in enumerate(hows)],
    shutdown_timeout_s=float(sys.argv[1]),
))
"""


def started(limit_s: float, *hows: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(limit_s), *hows]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    for number in range(len(hows)):
        assert process.stdout.readline() == f"{number} runs\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_service_in_order_with_status_0(number: signal.Signals) -> None:
    process = started(20, "works", "works")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert sorted(out.splitlines()) == ["0 ended", "0 stops", "1 ended", "1 stops"]


def test_a_scripts_background_job_ends_by_a_signal_as_well() -> None:
    """Shells without job control have what they start with `&` ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = started(20, "works")
    finally:
        signal.signal(signal.SIGINT, before)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "0 stops\n0 ended\n"), err


def test_a_service_that_refuses_takes_the_others_with_it_and_says_why_in_one_line() -> None:
    process = started(20, "works", "refuses")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.splitlines()[-1] == "milepost: cannot be right: the reason"
    assert "0 ended" in out


def test_a_bug_is_shown_with_its_traceback() -> None:
    process = started(20, "breaks")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.splitlines()[-1] == "ZeroDivisionError: a bug"


def test_an_end_that_takes_too_long_is_cut_off_with_status_1() -> None:
    process = started(0.5, "hangs")
    process.send_signal(signal.SIGTERM)
    before = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert time.monotonic() - before < 10
    assert "did not end within" in err.splitlines()[-1]


def test_a_thread_that_waits_for_ever_does_not_outlast_the_limit() -> None:
    process = started(2, "leaves a thread")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "0 ended" in out


def test_a_second_signal_ends_at_once() -> None:
    process = started(60, "hangs")
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "0 stops\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "SIGINT came a second time" in err.splitlines()[-1]


def test_the_collector_leaves_alone_what_a_start_made_and_takes_what_came_later() -> None:
    with started(20, "collects") as process:
        assert process.stdout is not None
        said = [process.stdout.readline(), process.stdout.readline()]
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert said == ["start left alone: True\n", "loop collected: True\n"]
