"""Workers that come, go, freeze, thaw and fail as a seed says, on a network that loses answers; the log is audited."""

import asyncio
from random import Random

import pytest

from milepost.join.service import WorkerStoppedError
from milepost.kafka.log import FencedError, LogError
from milepost.sim.clients import SimLog
from tests.join.world import POISON, Running, World

SEEDS = range(12)
ROUNDS = 25


class Chaos:
    """A worker's bad luck: at each step, with the seed's odds, an exception or a lost answer."""

    def __init__(self, world: World, chance: Random) -> None:
        self.world, self.chance, self.on = world, chance, True

    def __call__(self, name: str, partition: int) -> None:
        if not self.on or name in (
            "in-discard",
            "assigned",
            "in-revoked",
        ):  # the client swallows a listener's exception
            return
        luck = self.chance.random()
        if luck < 0.01:
            raise LogError(f"unlucky at {name}")
        if luck < 0.015:
            raise FencedError(f"unlucky at {name}")
        if luck < 0.04:
            self.world.broker.hold_next_end = 1
        if luck > 0.95:
            self.world.broker.release_held_ends()


async def turn(world: World, chance: Random, chaos: Chaos, workers: list[tuple[Running, SimLog]]) -> None:
    """One thing that happens to the fleet."""
    match chance.choice(["start", "stop", "freeze", "thaw", "send", "send"]):
        case "start" if len(workers) < 4:
            log = world.cluster.log()
            workers.append((world.start(on_step=chaos, log=log, fences_most=10_000), log))
        case "stop" if workers:
            running, log = workers.pop(chance.randrange(len(workers)))
            log.thaw()
            running.service.stop()
            await asyncio.wait({running.task})
        case "freeze" if workers:
            chance.choice(workers)[1].freeze()
        case "thaw" if workers:
            chance.choice(workers)[1].thaw()
        case _:
            world.send(chance.randrange(60))
            if chance.random() < 0.3:
                world.send_one("reports", chance.randrange(world.broker.partitions), b"k0", POISON)
    await asyncio.sleep(chance.uniform(0, 0.04))


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_a_seed_does_to_the_workers_the_log_is_whole(seed: int) -> None:
    world, chance = World(seed=seed, partitions=3), Random(seed)
    chaos = Chaos(world, Random(seed + 1_000))
    workers: list[tuple[Running, SimLog]] = []
    for _ in range(ROUNDS):
        await turn(world, chance, chaos, workers)
    chaos.on = False
    for running, log in workers:
        log.thaw()
        running.service.stop()
        await asyncio.wait({running.task})
        error = running.task.exception()
        assert error is None or isinstance(error, WorkerStoppedError), error
    async with world.worker():
        await world.drained()
    world.audit()
    assert sum(world.sent.values()) > 100
