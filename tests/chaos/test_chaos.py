"""Workers are killed and frozen at random moments and at every step of the protocol while 100,000 events flow.

What the run leaves is compared with what one process makes of the same events. CHAOS_SEED repeats a workload and the
order of its faults (not their timing), CHAOS_FLOW_S sets for how long events flow (make chaos: ten minutes),
CHAOS_ENGAGEMENTS how many there are.
"""

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import pytest

from milepost.codec.topics import INPUTS
from milepost.sim.workload import Arrival, Workload, arrivals
from tests.chaos.checker import check, report
from tests.chaos.committed import read
from tests.chaos.expected import expect
from tests.chaos.fleet import SESSION_TIMEOUT_S, Fleet, fleet
from tests.chaos.worker import STEPS

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(3600)]

FLOW_S = float(os.environ.get("CHAOS_FLOW_S", "60"))
# 25.5 events each, repeats and ticks included.
ENGAGEMENTS = int(os.environ.get("CHAOS_ENGAGEMENTS", "4000"))
EVENTS = 25 * ENGAGEMENTS
# So many longer than the flow may it take until every step was hit; a machine with other work needs several times
# what an idle one does.
GRACE_S = 600.0
DRAIN_S = 900.0
CHUNKS = 200
# A frozen worker is a zombie when it thaws: its partitions have been given away.
FROZEN_S = 1.5 * SESSION_TIMEOUT_S
# Steps that a worker passes once each time it takes partitions; the others it passes with every transaction.
RARE = {"assigned", "in-revoked", "after-fence", "mid-restore", "after-restore", "after-position", "in-discard"}


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(1_000_000)))


@pytest.fixture
def workers(real_kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Fleet]:
    with fleet(real_kafka, topic_prefix, tmp_path) as made:
        yield made


@dataclass
class Chaos:
    """Three places for workers; whoever ends is replaced, and nobody is safe.

    The first place has `python -m consumers.join`, the others workers that die at a step of their own accord.
    """

    workers: Fleet
    draw: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    running: list["subprocess.Popen[bytes] | None"] = field(default_factory=lambda: [None, None, None])

    def __post_init__(self) -> None:
        self._steps: list[str] = []
        self._armed: dict[int, str] = {}
        self._frozen: dict[int, float] = {}
        self._next_fault = time.monotonic() + 5

    def missing(self) -> list[str]:
        """The steps at which nobody has died yet."""
        return [step for step in STEPS if not self.faults[f"death at {step}"]]

    def lacking(self) -> list[str]:
        """What has not happened yet, or not often enough."""
        often = {"kill": FLOW_S / 20, "freeze": FLOW_S / 40}
        return self.missing() + [fault for fault, times in often.items() if self.faults[fault] < times]

    def go_on(self) -> None:
        """Replace the dead, thaw the frozen, hurt somebody when it is time."""
        now = time.monotonic()
        for place, process in enumerate(self.running):
            if process is None or process.poll() is not None:
                self._note_end(process)
                self.running[place] = self._replacement(place)
        for pid, until in list(self._frozen.items()):
            if now >= until:
                del self._frozen[pid]
                self._send(pid, signal.SIGCONT)
        if now >= self._next_fault:
            self._next_fault = now + self.draw.uniform(1.5, 5)
            self._hurt(now)

    def _note_end(self, process: "subprocess.Popen[bytes] | None") -> None:
        if process is None:
            return
        step = self._armed.pop(process.pid, "")
        self._frozen.pop(process.pid, None)
        if step and self.workers.passed(process, "kill"):
            self.faults[f"death at {step}"] += 1
        assert process.returncode in (0, 1, -signal.SIGKILL, -signal.SIGTERM), self.workers.last_words()

    def _replacement(self, place: int) -> "subprocess.Popen[bytes]":
        if place == 0:
            return self.workers.start()
        if not self._steps:
            self._steps = self.missing() or list(STEPS)
            self.draw.shuffle(self._steps)
        step = self._steps.pop()
        nth = self.draw.randrange(1, 3 if step in RARE else 7)
        process = self.workers.start("--at", step, "--do", "kill", "--nth", str(1 if step == "in-discard" else nth))
        self._armed[process.pid] = step
        return process

    def _hurt(self, now: float) -> None:
        alive = [one for one in self.running if one is not None and one.poll() is None and one.pid not in self._frozen]
        # Who is to die at a step is left in peace until then; only somebody who is fenced comes to discard anything.
        alive = [one for one in alive if self._armed.get(one.pid, "in-discard") == "in-discard"]
        if not alive:
            return
        victim = self.draw.choice(alive)
        armed = victim.pid in self._armed
        fault = "freeze" if armed else self.draw.choice(["kill", "kill", "freeze", "end"])
        self.faults[fault] += 1
        if fault == "freeze":
            self._send(victim.pid, signal.SIGSTOP)
            self._frozen[victim.pid] = now + FROZEN_S
        else:
            self._send(victim.pid, signal.SIGKILL if fault == "kill" else signal.SIGTERM)

    def _send(self, pid: int, number: signal.Signals) -> None:
        for process in self.running:
            if process is not None and process.pid == pid:
                process.send_signal(number)


class Flow(threading.Thread):
    """Publishes events evenly for `FLOW_S` seconds."""

    def __init__(self, workers: Fleet, events: list[Arrival]) -> None:
        super().__init__(name="flow")
        self._workers, self._events = workers, events
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Publish; what goes wrong is kept for the test."""
        began = time.monotonic()
        try:
            self._workers.publish(self._evenly(began))
        except BaseException as error:  # noqa: BLE001  # raised again by the test
            self.failure = error

    def _evenly(self, began: float) -> Iterator[Arrival]:
        size = max(1, len(self._events) // CHUNKS)
        for place, arrival in enumerate(self._events):
            if place % size == 0:
                time.sleep(max(0.0, began + FLOW_S * place / len(self._events) - time.monotonic()))
            yield arrival


def test_killed_and_frozen_workers_lose_nothing_and_double_nothing(workers: Fleet, seed: int) -> None:
    stages = [("begin", time.monotonic())]

    def reached(stage: str) -> None:
        print(f"{stage}: {time.monotonic() - stages[-1][1]:.1f} s")
        stages.append((stage, time.monotonic()))

    print(f"CHAOS_SEED={seed}")
    workload = Workload(seed, ENGAGEMENTS)
    events = list(arrivals(workload))
    assert len(events) >= EVENTS
    reached("generated")
    with ProcessPoolExecutor(1, get_context("spawn")) as beside:
        expecting = beside.submit(expect, workload)
        chaos, flow = Chaos(workers, random.Random(seed)), Flow(workers, events)
        flow.start()
        until = time.monotonic() + FLOW_S + GRACE_S
        while flow.is_alive() or (chaos.lacking() and time.monotonic() < until):
            chaos.go_on()
            time.sleep(0.1)
        flow.join()
        assert flow.failure is None, flow.failure
        reached("hurt")
        workers.end()
        for _ in range(2):
            workers.start()
        workers.await_drained(DRAIN_S)
        reached("drained")
        expected = expecting.result()
    found = read(workers.direct, workers.prefix, workers.group)
    reached("read")
    violations = check(expected, found)
    reached("checked")
    print(f"{sum(len(list(found.of(topic))) for topic in INPUTS)} records, {len(expected.lines)} lines, {chaos.faults}")
    assert violations == [], f"CHAOS_SEED={seed}, {chaos.faults}: {report(violations)}"
    assert chaos.lacking() == [], f"CHAOS_SEED={seed}: this did not happen, or too seldom: {chaos.faults}"
