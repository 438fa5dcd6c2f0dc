"""The worker at work: several at once, killed, stopped, without a database. At least once, and never silently none."""

import asyncio
import io
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import structlog

from milepost.notices.channels import Outcome, plain
from milepost.notices.deliveries import Deliveries
from milepost.observe import logs, metrics
from milepost.sql.engine import Engine
from milepost.sql.notice_log import attempts_of
from milepost.sql.notices import Claimed, claim
from tests import receiving
from tests.ledger import made
from tests.notices.mailing import mailbox
from tests.notices.world import TIMEOUT_S, World, settings_with, world_for
from tests.postgres import PostgresServer
from tests.receiving import Receiver, receiver, status


@asynccontextmanager
async def running(worker: Deliveries) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait_for(task, 60)


async def arrived(server: Receiver, count: int) -> None:
    async with asyncio.timeout(60):
        while len(server.received) < count:
            await asyncio.sleep(0.01)


async def test_it_goes_out_as_soon_as_it_is_owed(local: Engine) -> None:
    async with receiver() as server:
        world = world_for(local, server)
        world.add_endpoint(server.url)
        async with running(world.worker):
            world.owe(made.request("a"))
            world.worker.poke()
            await arrived(server, 1)
            world.owe(made.request("b"))  # nobody says so: found all the same
            await arrived(server, 2)
        assert {row.state for row in world.rows()} == {"SENT"}
    assert metrics.NOTICE_OWED.labels("webhook")._value.get() <= 1


async def test_two_instances_send_everything_once(local: Engine) -> None:
    async with receiver() as server:
        world = world_for(local, server)
        world.add_endpoint(server.url)
        world.owe(*[made.request(f"e{number}") for number in range(60)])
        async with running(world.worker), running(world.instance()):
            await arrived(server, 60)
        assert Counter(each.headers["webhook-id"] for each in server.received).most_common(1)[0][1] == 1
        assert {row.state for row in world.rows()} == {"SENT"}


async def test_a_crash_between_claiming_and_ending_loses_nothing(local: Engine) -> None:
    """Somebody claimed it and died (`test_process` kills for real): when the claim has run out it goes out."""
    async with receiver() as server:
        world = world_for(local, server)
        world.add_endpoint(server.url)
        world.owe(made.request())
        lease_us = int((TIMEOUT_S + 60) * 1_000_000)
        (lost,) = claim(local, "dead", world.now, world.now + lease_us, 10, 10, (), ("webhook",))
        assert await world.deliver() == 0
        world.pass_time(TIMEOUT_S + 60)
        assert await world.deliver() == 1
    (row,) = world.rows()
    assert (row.state, row.attempts, row.delivery_id) == ("SENT", 2, lost.delivery_id)
    first, second = attempts_of(local, row.delivery_id)
    assert (first.outcome, second.outcome) == (None, "SENT")


async def test_a_shutdown_lets_what_is_under_way_end(local: Engine) -> None:
    async with receiver() as server:
        world = world_for(local, server)
        world.add_endpoint(server.url)
        go = asyncio.Event()

        async def wait_then_answer(writer: asyncio.StreamWriter) -> None:
            await go.wait()
            await status(200)(writer)

        server.otherwise = wait_then_answer
        world.owe(made.request())
        async with running(world.worker):
            await arrived(server, 1)
            world.worker.stop()
            go.set()
    assert world.rows()[0].state == "SENT"


async def test_what_does_not_end_in_time_is_given_back(local: Engine) -> None:
    async with receiver() as server:
        world = world_for(local, server)
        world.add_endpoint(server.url)
        hasty = Deliveries(
            local,
            world.worker._channels,
            now=lambda: world.now,
            chance=lambda: 0.0,
            timeout_s=TIMEOUT_S,
            concurrency=16,
            grace_s=0.1,
        )
        server.answers.append(receiving.silence)
        world.owe(made.request())
        async with running(hasty):
            await arrived(server, 1)
        (row,) = world.rows()
        assert (row.state, row.reason) == ("OWED", "cut off by a shutdown; it may have arrived")
        assert await world.deliver() == 1  # at once: nobody has to wait for the claim to run out
        assert world.rows()[0].state == "SENT"


async def test_one_faulty_delivery_does_not_end_the_others(local: Engine) -> None:
    class Faulty:
        async def attempt(self, claimed: Claimed, now: int) -> Outcome:
            if claimed.recipient == "ann":
                raise LookupError("ann")
            return Outcome("sent", "sent", "ok")

    world = World(local, settings_with(smtp_host="127.0.0.1"))
    worker = Deliveries(
        local, {"email": Faulty()}, now=lambda: world.now, chance=lambda: 0.0, timeout_s=1, concurrency=4, grace_s=1
    )
    world.owe(made.request())
    await world.deliver(worker)
    assert world.states() == {("email", "ann"): "OWED", ("email", "bob"): "SENT"}
    (row,) = world.rows(recipient="ann")
    assert (row.reason, row.due_at) == (
        "LookupError, a fault of this program; its log has more",
        world.now + 5_000_000,
    )


@pytest.mark.postgres
async def test_a_database_that_goes_away_and_comes_back(
    postgresql_server: PostgresServer, on_postgresql: Engine
) -> None:
    """It goes while an answer is on its way: what the receiver has is not sent again."""
    async with receiver() as server:
        world = world_for(on_postgresql, server)
        world.add_endpoint(server.url)
        world.owe(made.request("a"))
        async with running(world.worker):
            await arrived(server, 1)
            await asyncio.to_thread(postgresql_server.stop)
            try:
                await asyncio.sleep(2)
            finally:
                await asyncio.to_thread(postgresql_server.start)
            world.owe(made.request("b"))
            await arrived(server, 2)
            async with asyncio.timeout(60):
                while {row.state for row in world.rows()} != {"SENT"}:
                    await asyncio.sleep(0.1)
    assert len(server.received) == 2


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the process logs, as JSON lines."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    logs.configure("info", "json", stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


async def test_the_log_has_neither_addresses_nor_lines_of_others(local: Engine, log: io.StringIO) -> None:
    """S22 and S28: what a mail server says repeats the address; what a receiver says may be anything."""
    async with mailbox() as box, receiver() as server:
        world = world_for(local, server, smtp_host="127.0.0.1", smtp_port=box.port)
        world.keep(ann="canary@client.test", bob="canary@client.test")
        world.add_endpoint(server.url + "?token=canary")
        box.recipients.append("550 5.1.1 <canary@client.test> unknown")
        server.answers.append(status(500, b'{"level":"info"}\r\n{"event":"canary ${jndi:ldap://x}"}\x1b[2J'))
        world.owe(made.request("erp\r\n{}"))
        await world.deliver()
    entries = [json.loads(line) for line in log.getvalue().splitlines()]
    ours = [entry for entry in entries if entry["logger"] != "mail.log"]  # the test's own mail server
    assert {entry["event"] for entry in ours} >= {"a notice was sent", "a notice was given up"}
    assert "canary" not in json.dumps(ours)
    assert all(row.reason == plain(row.reason or "") for row in world.rows())
    (failed,) = world.rows(states=["FAILED"])
    assert attempts_of(local, failed.delivery_id)[0].answer == "550 5.1.1 <canary@client.test> unknown"
