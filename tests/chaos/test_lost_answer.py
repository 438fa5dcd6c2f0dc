"""The fifth control: an EndTxn whose answer was lost arrives late, and finishes the transaction after its own.

KAFKA-17754. The client repeats EndTxn, is told yes, begins the next transaction with the same epoch; then the first
EndTxn arrives and commits the half of it that is there. Counting EndTxn and taking a new epoch is what saves the join.
"""

import asyncio
import subprocess
from pathlib import Path

import pytest

from milepost.sim.workload import Workload, arrivals
from tests.brokers import KafkaCluster, StartKafka, free_ports
from tests.chaos.checker import check, report
from tests.chaos.committed import read
from tests.chaos.expected import expect
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.proxy import END_TXN, PRODUCE, Connection, Proxy, Request

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]

WORKLOAD = Workload(seed=17, engagements=60)
# The transaction whose EndTxn is held back; by then engagements are open and lines are raised in every batch.
HELD_TRANSACTION = 4
NO_ERROR = 0


@pytest.fixture(scope="module")
def proxied(kafka_clusters: StartKafka) -> tuple[KafkaCluster, int]:
    """A broker that tells the clients of its proxied listener to come back through a proxy, and the proxy's port."""
    port = free_ports(1)
    return kafka_clusters(proxied=port), port


class LateEndTxn:
    """Holds one EndTxn back, and delivers it once the next transaction of its id has written something."""

    def __init__(self) -> None:
        self.held: tuple[Connection, Request] | None = None
        self.ended = 0
        self.repeated = False
        self.delivered: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def on_request(self, connection: Connection, request: Request) -> bool:
        if request.api_key != END_TXN:
            return True
        self.ended += 1
        if self.ended == HELD_TRANSACTION:
            self.held = (connection, request)
            connection.drop_client()
            return False
        self.repeated = self.repeated or self.held is not None
        return True

    async def on_answer(self, connection: Connection, request: Request) -> bool:
        """After the repeated EndTxn, the first answered Produce is of the next transaction, which is half there."""
        if request.api_key == PRODUCE and self.repeated and not self.delivered.done():
            assert self.held is not None
            sleeping, late = self.held
            body = await sleeping.deliver(late)
            # Throttle time, then the error.
            self.delivered.set_result(int.from_bytes(body[4:6], signed=True))
        return True


async def hurt(workers: Fleet, proxy: Proxy, without: str) -> tuple[int, "subprocess.Popen[bytes]"]:
    """Until the late EndTxn was answered; the worker that it was about is killed in the middle of its transaction."""
    late = LateEndTxn()
    proxy.on_request, proxy.on_answer = late.on_request, late.on_answer
    worker = workers.start("--without", without, "--slow", "send")
    error = await asyncio.wait_for(asyncio.shield(late.delivered), 120)
    workers.kill(worker)
    return error, worker


@pytest.mark.parametrize("without", ["", "no-endtxn-count"])
async def test_a_late_endtxn_tears_the_next_transaction(
    proxied: tuple[KafkaCluster, int], topic_prefix: str, tmp_path: Path, without: str
) -> None:
    cluster, port = proxied
    expected = expect(WORKLOAD)
    async with Proxy(port, cluster.upstream(1)) as proxy:
        with fleet(cluster.bootstrap_servers, topic_prefix, tmp_path, f"127.0.0.1:{port}", max_records=200) as workers:
            await asyncio.to_thread(workers.publish_to, 2, arrivals(WORKLOAD))
            error, _ = await hurt(workers, proxy, without)
            assert (error == NO_ERROR) == bool(without), f"the late EndTxn was answered with error {error}"
            await asyncio.to_thread(workers.start, "--without", without)
            await asyncio.to_thread(workers.await_drained, 120.0)
            found = await asyncio.to_thread(read, workers.direct, workers.prefix, workers.group)
            violations = await asyncio.to_thread(check, expected, found)
            if without:
                kinds = {violation.kind for violation in violations}
                assert kinds & {"doubled", "torn"}, f"nothing was found: {workers.last_words()}"
            else:
                assert violations == [], f"{report(violations)}; {workers.last_words()}"
