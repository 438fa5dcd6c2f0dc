"""The proxy passes requests and answers on, reads what it must of them, and holds back what it is told to."""

import asyncio

from tests.brokers import free_ports
from tests.chaos.proxy import END_TXN, PRODUCE, Connection, Proxy, Request, parse


def frame(api_key: int, correlation_id: int, body: bytes = b"") -> bytes:
    payload = api_key.to_bytes(2) + (1).to_bytes(2) + correlation_id.to_bytes(4) + (4).to_bytes(2) + b"test" + body
    return len(payload).to_bytes(4) + payload


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A broker that answers each request with its number and its API's key."""
    try:
        while True:
            payload = await reader.readexactly(int.from_bytes(await reader.readexactly(4)))
            answer = payload[4:8] + payload[0:2]
            writer.write(len(answer).to_bytes(4) + answer)
    except asyncio.IncompleteReadError:
        writer.close()


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4)))


def test_a_request_is_read() -> None:
    request = parse(frame(END_TXN, 7, (5).to_bytes(2) + b"app.1" + b"rest")[4:])
    assert (request.api_key, request.correlation_id, request.client_id) == (END_TXN, 7, "test")
    assert request.first_string() == "app.1"
    assert request.frame == frame(END_TXN, 7, (5).to_bytes(2) + b"app.1" + b"rest")


async def test_it_passes_on_holds_back_and_delivers_late() -> None:
    port, held = free_ports(1), list[tuple[Connection, Request]]()

    async def hold(connection: Connection, request: Request) -> bool:
        if request.api_key != END_TXN:
            return True
        held.append((connection, request))
        connection.drop_client()
        return False

    broker = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with broker, Proxy(port, broker.sockets[0].getsockname()[:2]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(frame(PRODUCE, 1) + frame(3, 2))
        assert await answer_of(reader) == (1).to_bytes(4) + PRODUCE.to_bytes(2)
        assert await answer_of(reader) == (2).to_bytes(4) + (3).to_bytes(2)
        proxy.on_request = hold
        writer.write(frame(END_TXN, 3))
        assert await reader.read() == b""  # dropped
        connection, request = held[0]
        assert await connection.deliver(request) == END_TXN.to_bytes(2)
        writer.close()
        await writer.wait_closed()


async def test_it_loses_an_answer() -> None:
    port = free_ports(1)

    async def lose(connection: Connection, request: Request) -> bool:
        return request.api_key != END_TXN

    broker = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with broker, Proxy(port, broker.sockets[0].getsockname()[:2]) as proxy:
        proxy.on_answer = lose
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(frame(PRODUCE, 1))
        assert await answer_of(reader) == (1).to_bytes(4) + PRODUCE.to_bytes(2)
        writer.write(frame(END_TXN, 2))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
