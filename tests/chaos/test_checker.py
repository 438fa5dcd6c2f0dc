"""The checker finds nothing in a run without faults, and each kind of damage in one that was damaged."""

import asyncio
from copy import deepcopy
from dataclasses import replace

import pytest

from milepost.codec.records import encode_event, key_of
from milepost.codec.topics import HISTORY_TOPIC, INPUTS, PARTITIONS, PLACES, STATE_TOPIC
from milepost.codec.wire import Record, header
from milepost.core.events import ClockTick
from milepost.join.batch import Folding, digest, in_order
from milepost.join.partition import TXSEQ_HEADER
from milepost.join.restore import OFFSETS_KEY, Applied
from milepost.join.worker import Worker
from milepost.sim.workload import Workload, arrivals
from milepost.store.memory import MemoryStore
from tests.chaos.checker import Violation, check, report
from tests.chaos.committed import TOPICS, Committed
from tests.chaos.expected import Expected, expect

WORKLOAD = Workload(seed=3, engagements=30)
BATCH = 20
Run = tuple[Expected, Committed]


def publish(found: Committed) -> None:
    """The inputs, spread over the partitions by engagement."""
    for clock, (topic, event) in enumerate(arrivals(WORKLOAD)):
        key = key_of(event)
        targets = range(PARTITIONS) if isinstance(event, ClockTick) else [sum(key or b"") % PARTITIONS]
        for partition in targets:
            log = found.records[topic, partition]
            log.append(Record(topic, partition, len(log), clock, key, encode_event(event)))
            found.ends[topic, partition] = len(log)


def write(found: Committed, topic: str, partition: int, key: bytes | None, value: bytes | None, txseq: int) -> None:
    log = found.records[topic, partition]
    headers = ((TXSEQ_HEADER, str(txseq).encode()),) if topic != STATE_TOPIC else ()
    log.append(Record(topic, partition, len(log), 0, key, value, headers))


async def join(found: Committed, partition: int) -> None:
    """What a worker that nothing ever happens to leaves behind."""
    store, applied = MemoryStore(), Applied(0, "", dict.fromkeys(INPUTS, 0))
    while any(applied.offsets[topic] < found.ends.get((topic, partition), 0) for topic in INPUTS):
        records = {
            topic: found.records[topic, partition][applied.offsets[topic] : applied.offsets[topic] + BATCH]
            for topic in INPUTS
        }
        outcome = await Folding(Worker(), 500, 1_000_000).fold(in_order(records, PLACES), store, lambda: True)
        assert outcome is not None
        offsets = {topic: applied.offsets[topic] + len(some) for topic, some in records.items()}
        applied = Applied(applied.txseq + 1, digest(outcome.outputs, outcome.changes), offsets)
        store.apply(outcome.changes)
        for output in outcome.outputs:
            write(found, output.topic, partition, output.key, output.value, applied.txseq)
        for key, value in [*outcome.changes, (OFFSETS_KEY, applied.encode())]:
            write(found, STATE_TOPIC, partition, key, value, applied.txseq)
        write(found, HISTORY_TOPIC, partition, None, applied.encode(), applied.txseq)
        for topic in INPUTS:
            if offsets[topic]:
                found.group[topic, partition] = (offsets[topic], applied.note)


@pytest.fixture(scope="module")
def right() -> Run:
    found = Committed({(topic, partition): [] for topic in TOPICS for partition in range(PARTITIONS)})
    found.ends = dict.fromkeys(found.records, 0)
    publish(found)
    for partition in range(PARTITIONS):
        asyncio.run(join(found, partition))
    return expect(WORKLOAD), found


def damaged(right: Run) -> tuple[Expected, Committed, list[Record]]:
    """A copy to damage, and the lines of its partition 1."""
    expected, found = right[0], deepcopy(right[1])
    return expected, found, found.records["invoice-lines", 1]


def kinds(violations: list[Violation]) -> set[str]:
    return {violation.kind for violation in violations}


def test_a_run_without_faults_is_right(right: Run) -> None:
    violations = check(*right)
    assert violations == [], report(violations)


def test_a_lost_line_is_found(right: Run) -> None:
    expected, found, lines = damaged(right)
    del lines[3]
    assert kinds(check(expected, found)) == {"lost", "wrong", "torn"}


def test_a_history_that_tells_less_is_found(right: Run) -> None:
    expected, found, _ = damaged(right)
    found.records[HISTORY_TOPIC, 1].pop()
    assert kinds(check(expected, found)) == {"torn"}


def test_a_doubled_line_is_found(right: Run) -> None:
    expected, found, lines = damaged(right)
    lines.append(lines[2])
    assert kinds(check(expected, found)) == {"doubled", "wrong", "torn"}


def test_a_changed_amount_is_found(right: Run) -> None:
    expected, found = right
    line_id, (name, gross) = next(iter(expected.lines.items()))
    other = replace(expected, lines={**expected.lines, line_id: (name, gross + 1)})
    assert kinds(check(other, found)) == {"wrong"}


def test_a_strange_line_is_found(right: Run) -> None:
    expected, found = right
    line_id = next(iter(expected.lines))
    fewer = replace(expected, lines={key: value for key, value in expected.lines.items() if key != line_id})
    assert kinds(check(fewer, found)) == {"strange"}


@pytest.mark.parametrize("topic", ["retention-events", "audit-trail", "milestone-status", "approval-requests"])
def test_a_transaction_without_one_of_its_outputs_is_torn(right: Run, topic: str) -> None:
    expected, found, _ = damaged(right)
    del found.records[topic, 2][1]
    assert kinds(check(expected, found)) == {"torn"}


def test_outputs_without_their_changelog_are_torn(right: Run) -> None:
    expected, found, lines = damaged(right)
    last = max(int(header(record.headers, TXSEQ_HEADER) or b"") for record in lines)
    lines.append(lines[-1]._replace(headers=((TXSEQ_HEADER, str(last + 1000).encode()),)))
    assert "torn" in kinds(check(expected, found))


def test_a_changelog_without_a_change_is_torn(right: Run) -> None:
    expected, found, _ = damaged(right)
    changelog = found.records[STATE_TOPIC, 0]
    del changelog[next(place for place, record in enumerate(changelog) if record.key != OFFSETS_KEY)]
    assert "torn" in kinds(check(expected, found))


def test_a_missing_and_a_repeated_transaction_are_gaps(right: Run) -> None:
    expected, found, _ = damaged(right)
    changelog = found.records[STATE_TOPIC, 3]
    first = next(place for place, record in enumerate(changelog) if record.key == OFFSETS_KEY)
    found.records[STATE_TOPIC, 3] = changelog[first + 1 :]
    assert "gap" in kinds(check(expected, found))
    found.records[STATE_TOPIC, 3] = [*changelog[: first + 1], *changelog]
    assert "gap" in kinds(check(expected, found))


def test_a_group_that_did_not_reach_the_end_or_has_another_history_is_behind(right: Run) -> None:
    expected, found, _ = damaged(right)
    place = ("approvals", 0)
    offset, note = found.group[place]
    found.group[place] = (offset - 1, note)
    assert kinds(check(expected, found)) == {"behind"}
    found.group[place] = (offset, f"1 {'0' * 64}")
    assert kinds(check(expected, found)) == {"behind"}
