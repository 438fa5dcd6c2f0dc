"""Instances on a real Kafka: one leads, another takes over, time never goes back, a wrong clock does not tick."""

import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from milepost import settings
from milepost.kafka.admin import Topics
from milepost.kafka.ticking import Ticks, machine_ms
from milepost.settings import Settings
from tests.brokers import running_kafka
from tests.clock.instances import SHUTDOWN_S, instance, ticks, until

pytestmark = pytest.mark.kafka
SECOND = 1_000_000


@pytest.fixture
def chosen(real_kafka: str, topic_prefix: str) -> Settings:
    found = settings.load(
        bootstrap_servers=real_kafka, topic_prefix=topic_prefix, clock_interval_ms=1_000, session_timeout_ms=6_000,
        heartbeat_interval_ms=1_000, clock_skew_limit_ms=30_000,
    )  # fmt: skip
    Topics(found).apply()
    return found


@pytest.fixture
def told(chosen: Settings) -> Iterator[Callable[[], int]]:
    """The latest tick, microseconds; 0: none yet."""
    reader = Ticks(chosen)
    yield lambda: reader.stand().told or 0
    reader.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_leader_is_replaced_and_what_was_missed_is_one_tick(
    chosen: Settings, told: Callable[[], int], tmp_path: Path
) -> None:
    with instance(chosen, tmp_path, "first") as first:
        until(lambda: told() > 0)
        with instance(chosen, tmp_path, "second") as second:
            joined = told()
            until(lambda: told() > joined + 2 * SECOND and [first.leads(), second.leads()].count(True) == 1)
            leader, other = (first, second) if first.leads() else (second, first)
            leader.process.send_signal(signal.SIGKILL)
            leader.process.wait(30)
            killed, killed_at = told(), machine_ms() * 1000
            until(lambda: other.leads() and told() > killed + 3 * SECOND)
            other.process.send_signal(signal.SIGTERM)
            assert other.process.wait(60) == 0
    ended, restarted_at = told(), machine_ms() * 1000 + 2 * SECOND
    until(lambda: machine_ms() * 1000 > restarted_at)
    with instance(chosen, tmp_path, "third"):
        until(lambda: told() > ended + 3 * SECOND)
    assert list(tmp_path.glob("*-data")) == [], "Faust leaves no folder behind"
    found = ticks(chosen)
    assert sorted(found) == [0, 1, 2, 3]
    for sent in found.values():
        assert sent == sorted(sent), "two may tick for a moment, but none goes back"
        assert all(at % SECOND == 0 for at in sent)
        # The group finds out after the session timeout of 6 s, less a heartbeat; nothing is told of the time between.
        assert sent[sent.index(killed) + 1] > killed_at + 4 * SECOND
        assert sent[sent.index(ended) + 1] > restarted_at - SECOND


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_leader_whose_time_jumps_leaves_the_lead_and_comes_back(
    chosen: Settings, told: Callable[[], int], tmp_path: Path
) -> None:
    """First alone, hours ahead: not a tick. Then right: it leads. Then hours behind: another one goes on."""
    with instance(chosen, tmp_path, "astray", offset_ms=7_200_000) as astray:
        until(lambda: bool(astray.said("does not tick: this machine's time is wrong")))
        entry = astray.said("does not tick: this machine's time is wrong")[0]
        assert "ms ahead of the broker's; at most 30000" in str(entry["found"])
        assert told() == 0
        astray.misplace(5_000)
        until(lambda: told() > 0)
        assert astray.said("this machine's time and the broker's differ")
        ahead = told()
        assert ahead > machine_ms() * 1000
        astray.misplace(-7_200_000)
        until(lambda: len(astray.said("does not tick: this machine's time is wrong")) == 2)
        with instance(chosen, tmp_path, "right") as right:
            until(lambda: right.leads() and told() > ahead + SECOND)
        astray.misplace(0)
        followed = told()
        until(lambda: told() > followed + SECOND)
    for sent in ticks(chosen).values():
        assert sent == sorted(sent)


def test_a_last_tick_of_a_time_to_come_is_waited_for_and_said(
    chosen: Settings, told: Callable[[], int], tmp_path: Path
) -> None:
    tomorrow = machine_ms() * 1000 + 86_400 * SECOND
    by_hand = Ticks(chosen)
    by_hand.send([tomorrow], range(4))
    by_hand.close()
    with instance(chosen, tmp_path, "only") as only:
        what = "does not tick: the last tick is of a time to come"
        until(lambda: bool(only.said(what)))
        assert "MILEPOST_SANDBOX=1" in str(only.said(what)[0]["help"])
    assert ticks(chosen) == {number: [tomorrow] for number in range(4)}
    assert told() == tomorrow


def test_skew_is_measured_against_the_brokers_time(chosen: Settings) -> None:
    for error_ms in (0, 600_000, -600_000):
        reader = Ticks(chosen, lambda error_ms=error_ms: machine_ms() + error_ms)  # type: ignore[misc]
        skew = reader.skew()
        reader.close()
        assert skew is not None
        assert abs(skew.ahead_ms - error_ms) < 60_000, "the broker runs on this machine; an answer may take its time"
        assert (skew.ahead_ms > 0) == (error_ms > 0)


def test_ticks_are_in_order_for_every_pair(chosen: Settings) -> None:
    sender = Ticks(chosen)
    sender.send([1, 2, 3], [0, 2])
    assert sender.stand().latest == {0: 3, 1: None, 2: 3, 3: None}
    sender.send([2], [1, 2])
    assert sender.stand().latest == {0: 3, 1: 2, 2: 3, 3: None}, "an earlier one does not turn time back"
    sender.close()
    assert all(a < b for a, b in pairwise(ticks(chosen)[0]))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_broker_that_freezes_does_not_hold_up_the_end(tmp_path: Path, topic_prefix: str) -> None:
    """The clients would wait for its answers longer than the shutdown may take."""
    with running_kafka() as cluster:
        chosen = settings.load(
            bootstrap_servers=cluster.bootstrap_servers, topic_prefix=topic_prefix, clock_interval_ms=1_000
        )
        Topics(chosen).apply()
        with instance(chosen, tmp_path, "only") as only:
            until(only.leads)
            cluster.kill(1, signal.SIGSTOP)
            only.process.send_signal(signal.SIGTERM)
            assert only.process.wait(SHUTDOWN_S + 10) == 0
            cluster.kill(1, signal.SIGCONT)
