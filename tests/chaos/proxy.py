"""A TCP proxy that understands enough of Kafka's protocol to hurt one request of one kind.

A broker tells its clients where to come back to, so a proxy in front is bypassed unless the broker advertises the
proxy's address: `kafka.sh --proxied Q` makes a listener that does. Every request begins with its length, the API's key
and version, a number of the client's choice and the client's name; answers come in the order of the requests.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from struct import Struct
from types import TracebackType
from typing import NamedTuple

_LENGTH = Struct(">i")
_HEADER = Struct(">hhih")

PRODUCE = 0
END_TXN = 26


class Request(NamedTuple):
    """One request as it came. `body` is what follows the header's fields that are read here."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str
    body: bytes
    frame: bytes

    def first_string(self) -> str:
        """The first field where that is a string: the transactional id of EndTxn, AddPartitionsToTxn and others."""
        length = int.from_bytes(self.body[:2], signed=True)
        return self.body[2 : 2 + length].decode()


def parse(payload: bytes) -> Request:
    """A request without its length; the header of before KIP-482, which aiokafka's transactions use."""
    api_key, api_version, correlation_id, length = _HEADER.unpack_from(payload)
    start = _HEADER.size + max(0, length)
    client_id = payload[_HEADER.size : start].decode()
    frame = _LENGTH.pack(len(payload)) + payload
    return Request(api_key, api_version, correlation_id, client_id, payload[start:], frame)


class Connection:
    """One client's connection and the one to the broker that stands behind it."""

    def __init__(self, proxy: "Proxy", client: asyncio.StreamWriter, upstream: asyncio.StreamWriter) -> None:
        self._proxy, self.client, self.upstream = proxy, client, upstream
        self.unanswered: deque[Request] = deque()
        # Who waits for the answer to a request that was sent by `deliver`, not by the client.
        self._delivered: dict[int, asyncio.Future[bytes]] = {}

    def forward(self, request: Request) -> None:
        """Pass a request on."""
        self.unanswered.append(request)
        self.upstream.write(request.frame)

    async def deliver(self, request: Request) -> bytes:
        """Pass a request on although its client is gone; the answer's body."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._delivered[request.correlation_id] = answer
        self.forward(request)
        return await asyncio.wait_for(answer, 30)

    def drop_client(self) -> None:
        """Close the client's side only; what is held back can still be delivered."""
        self.client.close()

    async def answers(self, reader: asyncio.StreamReader) -> None:
        """Pass answers back until the broker closes."""
        while (payload := await _read(reader)) is not None:
            request = self.unanswered.popleft()
            waiting = self._delivered.pop(request.correlation_id, None)
            if waiting is not None:
                waiting.set_result(payload[4:])
            elif not self.client.is_closing():
                if not await self._proxy.on_answer(self, request):
                    self.drop_client()
                    continue
                self.client.write(_LENGTH.pack(len(payload)) + payload)


OnRequest = Callable[[Connection, Request], Awaitable[bool]]


async def _pass(connection: Connection, request: Request) -> bool:
    return True


class Proxy:
    """Listens on `port` for one broker. `on_request` and `on_answer` say whether to pass it on; the default is yes."""

    def __init__(self, port: int, upstream: tuple[str, int]) -> None:
        self._port, self._upstream = port, upstream
        self.on_request: OnRequest = _pass
        self.on_answer: OnRequest = _pass
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        answers, upstream = await asyncio.open_connection(*self._upstream)
        connection = Connection(self, writer, upstream)
        answering = asyncio.create_task(connection.answers(answers))
        try:
            with contextlib.suppress(ConnectionError):
                while (payload := await _read(reader)) is not None:
                    request = parse(payload)
                    if await self.on_request(connection, request):
                        connection.forward(request)
                    elif connection.client.is_closing():
                        # The broker must not notice that the client is gone: something is held back.
                        await answering
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            for side in (writer, upstream):
                side.close()


async def _read(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readexactly(_LENGTH.unpack(await reader.readexactly(_LENGTH.size))[0])
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
