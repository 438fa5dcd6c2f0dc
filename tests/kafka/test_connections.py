"""A connection that was closed a moment ago is an error the client knows, and a client that ended says so."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from milepost.kafka.clients import KafkaLog
from milepost.kafka.connections import check_alive
from milepost.kafka.log import ClientEndedError, Listener
from milepost.settings import load


class Nobody(Listener):
    """Does not care which partitions there are."""

    def on_assigned(self, assigned: frozenset[Any]) -> None: ...

    async def on_revoked(self, revoked: frozenset[Any]) -> None: ...


async def closed_a_moment_ago(client: AIOKafkaClient) -> AIOKafkaConnection:
    """The connection of a started client whose socket is gone, which the client has not been told yet."""
    (node,) = [broker.nodeId for broker in client.cluster.brokers()]
    connection = await client._get_conn(node)
    connection._read_task.cancel()  # who would tell it
    connection._reader.feed_eof = lambda: None
    connection._writer.transport.abort()
    await asyncio.sleep(0.1)
    assert connection.connected()
    return connection


def on_uvloop(servers: str, examine: Callable[[AIOKafkaClient], Coroutine[Any, Any, None]]) -> None:
    async def examined() -> None:
        client = AIOKafkaClient(bootstrap_servers=servers)
        await client.bootstrap()
        try:
            await examine(client)
        finally:
            await client.close()

    uvloop.run(examined())


def test_uvloop_says_runtime_error_for_a_closed_connection(embedded_broker: str) -> None:
    """The negative control: what the client would get without `connections`."""

    async def examine(client: AIOKafkaClient) -> None:
        connection = await closed_a_moment_ago(client)
        with pytest.raises(RuntimeError, match="the handler is closed"):
            AIOKafkaConnection.send.__wrapped__(connection, MetadataRequest([]))

    on_uvloop(embedded_broker, examine)


def test_a_write_to_a_closed_connection_is_an_error_that_the_client_knows(embedded_broker: str) -> None:
    async def examine(client: AIOKafkaClient) -> None:
        connection = await closed_a_moment_ago(client)
        with pytest.raises(KafkaConnectionError, match="the handler is closed"):
            connection.send(MetadataRequest([]))
        with pytest.raises(KafkaConnectionError, match="the handler is closed"):
            connection._send_sasl_token(b"token")

    on_uvloop(embedded_broker, examine)


def test_metadata_are_fetched_again_after_a_connection_was_closed(embedded_broker: str) -> None:
    async def examine(client: AIOKafkaClient) -> None:
        connection = await closed_a_moment_ago(client)
        assert not await client.force_metadata_update()
        check_alive(client)
        connection.close()
        assert await client.force_metadata_update()

    on_uvloop(embedded_broker, examine)


async def test_a_client_that_ended_is_not_waited_for(embedded_broker: str) -> None:
    log = KafkaLog(load(bootstrap_servers=embedded_broker))
    await log.start()
    consumer = log.consumer("group", ["milestones"], Nobody())
    await consumer.start()
    clients = consumer._client()._client, log._started()[1]._client
    try:
        for client in clients:
            client._sync_task.cancel()
            await asyncio.wait({client._sync_task})
        with pytest.raises(ClientEndedError, match="fetches no metadata any more: it was cancelled"):
            await consumer.poll(0.01, 1)
        with pytest.raises(ClientEndedError, match="Start the process again"):
            await log.partition_counts(["milestones"])
    finally:
        for client in clients:
            client._sync_task = asyncio.create_task(client._md_synchronizer())  # without it there is no end
        await consumer.stop()
        await log.stop()


@pytest.mark.parametrize("module", ["milepost.kafka.clients", "milepost.notices.service", "milepost.clock.service"])
def test_whoever_has_an_aiokafka_client_has_it_with_this(module: str) -> None:
    program = f"import {module}; from aiokafka.conn import AIOKafkaConnection as c; print(c.send.__wrapped__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "AIOKafkaConnection.send" in done.stdout
