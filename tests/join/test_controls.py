"""Each protection is needed, and the audit notices when it is gone: with it the same situation does no harm."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from milepost.join.service import WorkerStoppedError
from milepost.kafka.log import Committed, LogError, TopicPartition
from milepost.sim.clients import SimLog
from tests.chaos.controls import CONTROLS, take_away
from tests.join.world import GROUP, Running, World

REPORTS = TopicPartition("reports", 0)


def start(world: World, control: str, on_step: Callable[[str, int], None] = lambda name, partition: None) -> Running:
    log, partition_type = take_away(control, world.cluster.log())
    return world.start(on_step=on_step, partition_type=partition_type, log=log)


async def finish(world: World, running: Running) -> None:
    await world.drained()
    running.service.stop()
    await running.task


async def a_rejected_batch(world: World, control: str) -> None:
    world.broker.max_message_bytes["lines"] = 2_000
    world.send(20, amount=b"1")
    world.send_one("reports", 0, b"k1", b"1+100")
    world.send(20, amount=b"1+100")
    await finish(world, start(world, control))


async def a_zombie_that_commits_after_the_restore(world: World, control: str) -> None:
    """Both have folded the same events; the zombie commits, then the successor tries to."""
    zombie_log, successor_log = world.cluster.log(), world.cluster.log()
    zombie_stands, successor_stands = asyncio.Event(), asyncio.Event()

    def standing(log: SimLog, stands: asyncio.Event) -> Callable[[str, int], None]:
        def stand(name: str, partition: int) -> None:
            if name == "after-fold" and not stands.is_set():
                stands.set()
                log.freeze()

        return stand

    world.send(20)
    zombie = world.start(log=zombie_log, on_step=standing(zombie_log, zombie_stands))
    await zombie_stands.wait()
    weakened, _ = take_away(control, successor_log)
    successor = world.start(log=weakened, on_step=standing(successor_log, successor_stands))
    await successor_stands.wait()
    zombie_log.thaw()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            while not world.committed("lines", 0):
                await asyncio.sleep(0.001)
    zombie.service.stop()
    await zombie.task
    successor_log.thaw()
    await asyncio.sleep(0.1)
    await finish(world, successor)


async def a_moved_group_offset(world: World, control: str) -> None:
    world.send(40)
    await finish(world, start(world, ""))
    note = world.broker.committed(GROUP, REPORTS)
    assert note is not None
    world.send(40)
    world.broker.commit(GROUP, REPORTS, Committed(note.offset + 5, note.metadata))
    running = start(world, control)
    drained = asyncio.create_task(world.drained())
    done, _ = await asyncio.wait({running.task, drained}, return_when=asyncio.FIRST_COMPLETED)
    drained.cancel()
    if drained in done:
        await finish(world, running)
        return
    with pytest.raises(WorkerStoppedError, match="ahead of the state"):
        await running.task
    # Put right as the message says, and everything is joined.
    world.broker.commit(GROUP, REPORTS, note)
    await finish(world, start(world, control))


async def a_failing_batch_with_another_behind(world: World, control: str) -> None:
    failed = False

    def fail(name: str, partition: int) -> None:
        nonlocal failed
        if name == "after-send" and not failed and running.service.partitions[0].backlog:
            failed = True
            raise LogError("broken")

    world.send(300)
    running = start(world, control, fail)
    await finish(world, running)
    assert failed


async def a_lost_answer(world: World, control: str) -> None:
    """The repeated EndTxn's first copy arrives when the next transaction is half sent, and that one then fails."""
    delivered = False

    def deliver(name: str, partition: int) -> None:
        nonlocal delivered
        if name == "after-send" and world.broker.held_ends:
            delivered = True
            if world.broker.release_held_ends():
                raise LogError("the rest of the transaction is lost with its worker")

    world.broker.hold_next_end = 1
    running = start(world, control, deliver)
    world.send(30)
    await world.drained()
    world.send(30)
    await world.drained()
    await finish(world, running)
    assert delivered


SITUATIONS: dict[str, Callable[[World, str], Awaitable[None]]] = {
    "no-await-sends": a_rejected_batch,
    "fence-after-restore": a_zombie_that_commits_after_the_restore,
    "position-from-group": a_moved_group_offset,
    "no-incarnation": a_failing_batch_with_another_behind,
    "no-endtxn-count": a_lost_answer,
}


def test_every_control_has_its_situation() -> None:
    assert tuple(SITUATIONS) == CONTROLS


@pytest.mark.parametrize("control", CONTROLS)
async def test_with_the_protection_the_situation_does_no_harm(control: str) -> None:
    world = World(seed=3, partitions=1)
    await SITUATIONS[control](world, "")
    world.audit()


@pytest.mark.parametrize("control", CONTROLS)
async def test_without_the_protection_the_audit_notices(control: str) -> None:
    world = World(seed=3, partitions=1)
    await SITUATIONS[control](world, control)
    with pytest.raises(AssertionError):
        world.audit()
