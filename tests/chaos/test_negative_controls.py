"""Five protections of the join, each taken away once, in the situation that needs it: the checker must find the damage.

The same situation with the protection in place leaves nothing to find. A checker that never failed proves nothing, and
neither does a protection that was never needed.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from milepost.codec.topics import PARTITIONS
from milepost.sim.workload import Workload, arrivals
from tests.chaos.checker import check, report
from tests.chaos.committed import group_offsets, read
from tests.chaos.expected import Expected, expect
from tests.chaos.fleet import SESSION_TIMEOUT_S, Fleet, await_true, fleet

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]

WORKLOAD = Workload(seed=11, engagements=60)
DRAIN_S = 120.0


@pytest.fixture(scope="module")
def expected() -> Expected:
    return expect(WORKLOAD)


@pytest.fixture
def workers(real_kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Fleet]:
    with fleet(real_kafka, topic_prefix, tmp_path, max_records=200) as made:
        yield made


def judge(workers: Fleet, expected: Expected, without: str, kinds: set[str]) -> None:
    """Nothing is wrong with the protection; without it one of `kinds` is."""
    violations = check(expected, read(workers.direct, workers.prefix, workers.group))
    found = {violation.kind for violation in violations}
    if without:
        assert found & kinds, f"{without}: nothing was found: {report(violations)}; {workers.last_words()}"
    else:
        assert violations == [], f"{report(violations)}; {workers.last_words()}"


@pytest.mark.parametrize("without", ["", "no-await-sends"])
def test_unawaited_sends_lose_the_lines_of_a_rejected_batch(workers: Fleet, expected: Expected, without: str) -> None:
    limit = ConfigResource(
        ResourceType.TOPIC,
        f"{workers.prefix}invoice-lines",
        # Any line fits, and those of one record; those of a busy transaction do not.
        incremental_configs=[ConfigEntry("max.message.bytes", "8000", incremental_operation=AlterConfigOpType.SET)],
    )
    admin = AdminClient({"bootstrap.servers": workers.direct})
    admin.incremental_alter_configs([limit])[limit].result(20)
    workers.publish(arrivals(WORKLOAD))
    workers.start("--without", without)
    workers.await_drained(DRAIN_S)
    if not without:
        assert workers.steps()["in-discard"], "no batch was rejected: the situation did not come about"
    judge(workers, expected, without, {"lost"})


@pytest.mark.parametrize("without", ["", "fence-after-restore"])
def test_what_a_zombie_commits_late_is_folded_again(workers: Fleet, expected: Expected, without: str) -> None:
    workers.publish_to(1, arrivals(WORKLOAD))
    # Frozen past the session timeout with a transaction begun; what its heir has read by then is all there is to read.
    # It ends once that is committed: a zombie that joins again gets its old partitions, and the heir never begins.
    zombie = workers.start("--at", "after-begin", "--nth", "5", "--do", "freeze", "--then", "after-commit")
    await_true(lambda: workers.passed(zombie, "freeze") == 1, 60, workers.last_words)
    heir = workers.start("--without", without, "--slow", "fence")
    await_true(lambda: workers.passed(heir, "after-position") >= PARTITIONS, 60, workers.last_words)
    zombie.send_signal(signal.SIGCONT)
    workers.await_drained(DRAIN_S)
    # Whether it had a line in it is left to how the events came; what it stated is there twice in any case.
    judge(workers, expected, without, {"doubled", "torn"})


@pytest.mark.parametrize("without", ["", "position-from-group"])
def test_a_moved_group_offset_loses_what_it_passes_over(workers: Fleet, expected: Expected, without: str) -> None:
    everything = list(arrivals(WORKLOAD))
    workers.publish(everything[: len(everything) // 3])
    first = workers.start("--without", without)
    workers.await_drained(DRAIN_S)
    workers.kill(first)
    workers.publish(everything[len(everything) // 3 :])
    admin = AdminClient({"bootstrap.servers": workers.direct})
    offset, _ = group_offsets(workers.direct, workers.prefix, workers.group)["approvals", 2]
    moved = TopicPartition(f"{workers.prefix}approvals", 2, offset + 40)

    def move() -> bool:
        wanted = [ConsumerGroupTopicPartitions(workers.group, [moved])]
        answer = admin.alter_consumer_group_offsets(wanted)[workers.group].result(20)
        return answer.topic_partitions[0].error is None

    # Kafka moves the offsets of a group only once its last member is gone.
    await_true(move, SESSION_TIMEOUT_S + 20, lambda: "the group still has members", pause_s=0.5)
    workers.start("--without", without)
    if without:
        workers.await_drained(DRAIN_S)
    else:
        # The partition stays where it is, and the worker says why and what to do.
        said = f"group {workers.group} is at offset {offset + 40}"
        await_true(lambda: said in workers.last_words(), 30, workers.last_words)
        assert "--delete-offsets" in workers.last_words()
        workers.end()
        moved.offset = offset
        await_true(lambda: not list(members(admin, workers.group)), SESSION_TIMEOUT_S + 20, workers.last_words)
        delete_offset(workers, "approvals", 2)
        workers.start("--without", "")
        workers.await_drained(DRAIN_S)
    judge(workers, expected, without, {"lost"})


def members(admin: AdminClient, group: str) -> Iterator[str]:
    for member in admin.describe_consumer_groups([group])[group].result(20).members:
        yield member.member_id


def delete_offset(workers: Fleet, topic: str, partition: int) -> None:
    """What the worker's message asks for, with the tool that it names."""
    from tests.ops.test_kafka_scripts import kafka_sh

    done = kafka_sh(
        *("tool", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--execute", "--delete-offsets"),
        *("--bootstrap-server", workers.direct, "--group", workers.group),
        *("--topic", f"{workers.prefix}{topic}:{partition}"),
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("without", ["", "no-incarnation"])
def test_a_batch_behind_a_failed_one_is_folded_too_early(workers: Fleet, expected: Expected, without: str) -> None:
    workers.publish(arrivals(WORKLOAD))
    hurt = workers.start("--at", "after-await", "--do", "fail", "--behind", "--without", without)
    await_true(lambda: workers.passed(hurt, "fail") == 1, 30, workers.last_words)
    workers.await_drained(DRAIN_S)
    # A line is lost unless every record passed over was one that had come before; the transactions show it anyway.
    judge(workers, expected, without, {"lost", "torn"})
