"""What the client raises has one name each at the port, and what is none of its business stays as it is."""

import asyncio

import pytest
from aiokafka import errors

from milepost.kafka.log import FencedError, LogError, RejectedError
from milepost.kafka.transactions import KafkaProducer, translate, translated


@pytest.mark.parametrize(
    ("raised", "meant"),
    [
        (errors.ProducerFenced(), FencedError),
        (errors.InvalidProducerEpoch(), FencedError),
        (errors.MessageSizeTooLargeError(), RejectedError),
        (errors.NotLeaderForPartitionError(), LogError),
        (errors.IllegalOperation("Can't send messages while not in transaction"), LogError),
        (AssertionError("no transition"), LogError),
        (ConnectionResetError(), LogError),
    ],
)
def test_a_failure_of_the_client_is_one_of_the_ports(raised: Exception, meant: type[Exception]) -> None:
    with pytest.raises(meant) as found, translated():
        raise raised
    assert type(found.value) is meant
    assert found.value.__cause__ is raised


async def test_a_producer_whose_connection_broke_is_closed_all_the_same(embedded_broker: str) -> None:
    async def broken() -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    producer = KafkaProducer("t", "", {"bootstrap_servers": embedded_broker})
    await producer.start()
    assert producer._producer is not None
    client = producer._producer.client
    client._sync_task.cancel()
    client._sync_task = asyncio.create_task(broken())
    await asyncio.wait({client._sync_task})
    await producer.close(5.0)
    assert not [connection for connection in client._conns.values() if connection.connected()]


def test_the_cause_decides() -> None:
    wrapped = errors.KafkaError("commit failed")
    wrapped.__cause__ = errors.ProducerFenced()
    assert isinstance(translate(wrapped), FencedError)


def test_a_mistake_of_ours_is_not_the_clients() -> None:
    for mistake in (ValueError("ours"), RuntimeError("ours")):
        assert translate(mistake) is mistake
