"""The gateway as a service: an HTTP server inside the process' own event loop, whose signals are the host's."""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from fastapi import FastAPI

from milepost.gateway.deciding import resend
from milepost.gateway.doors import Doors
from milepost.gateway.health import away
from milepost.gateway.protocol import protocol
from milepost.kafka.async_publishing import PublishError
from milepost.kafka.looking import LOOK_S
from milepost.observe import health, logs
from milepost.observe.hosting import StoppedError
from milepost.sql.engine import DatabaseError, UnavailableError
from milepost.sql.idempotency import prune_answers
from milepost.sql.migrations import migrate
from milepost.sql.remembering import prune
from milepost.store.evidence.port import StoreError

__all__ = ["KEPT_DAYS", "Gateway", "listening"]

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
# Connections that wait for the loop.
_BACKLOG = 1_024
# An idle connection is kept this long; a load balancer's own limit should be shorter.
_KEEP_ALIVE_S = 75
# A request's line and headers together.
_MAX_HEAD_BYTES = 32_768
# Connections that are open at the same time, of which most are idle.
_MAX_CONNECTIONS = 10_000
# Ids are remembered longer than any sender tries again (the longest published schedule takes three days and a half).
KEPT_DAYS = 14
_DAY_US = 86_400_000_000
# Between two times at which what has been kept long enough is forgotten.
_TIDY_S = 3_600
# Between two looks for decisions that were cut off; nobody waits for them at a screen.
_RESEND_S = 30.0
# What is being answered may finish; hosting's own limit comes after it.
_GRACE_S = 10

_log = logs.logger(__name__)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `StoppedError` where it cannot."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StoppedError(
            f"cannot listen on {host}:{port}: {error.strerror}; set MILEPOST_GATEWAY_HOST and MILEPOST_GATEWAY_PORT"
        ) from error
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """Signals belong to `observe.hosting`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Gateway:
    """Serves until `stop()`. Listens at once and answers 503 while the database or the brokers are away; `/ready` says
    which. Raises `StoppedError` for a database of a newer release."""

    def __init__(self, app: FastAPI, doors: Doors, listener: socket.socket) -> None:
        self._doors, self._listener = doors, listener
        config = uvicorn.Config(
            app,
            loop="none",
            http=protocol(doors.settings.gateway_body_timeout_ms / 1000),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )
        self._server = _Server(config)
        self._stopping = asyncio.Event()
        self._waits_for: str | None = "has not begun"

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def run(self) -> None:
        """Serve until `stop()`; see the class for what it raises."""
        health.watch("gateway", lambda: self._waits_for)
        serving = asyncio.create_task(self._server.serve([self._listener]))
        looking = asyncio.create_task(self._look())
        _log.info("listening", url=self.url)
        try:
            await self._until_migrated()
            beside = [asyncio.create_task(self._tidy()), asyncio.create_task(self._resend())]
            await serving
            await asyncio.gather(*beside)
        except DatabaseError as error:
            raise StoppedError(str(error)) from error
        finally:
            health.forget("gateway")
            looking.cancel()
            self._server.should_exit = True
            await serving
            await self._doors.publisher.close()
            if self._doors.ticks is not None:
                self._doors.ticks.close()
            self._doors.engine.dispose()

    def stop(self) -> None:
        """Answer what came, take nothing new, return from `run()`."""
        self._server.should_exit = True
        self._stopping.set()

    async def _look(self) -> None:
        """What `/ready` on the metrics port says: as the gateway's own, at most `LOOK_S` old."""
        while True:
            self._waits_for = "; ".join(await away(self._doors)) or None
            await asyncio.sleep(LOOK_S)

    async def _tidy(self) -> None:
        """Forget what was kept long enough, now and then; a database that is away is asked again later."""
        engine = self._doors.engine
        while not self._stopping.is_set():
            now = self._doors.now()
            try:
                events = await asyncio.to_thread(prune, engine, now - KEPT_DAYS * _DAY_US)
                answers = await asyncio.to_thread(prune_answers, engine, now)
                uploads = await asyncio.to_thread(self._doors.receiver.prune)
                _log.info("forgot what was kept long enough", events=events, answers=answers, uploads=uploads)
            except UnavailableError as error:
                _log.warning("the database is away", found=str(error))
            except StoreError as error:
                _log.warning("the evidence store is away", found=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TIDY_S)

    async def _resend(self) -> None:
        """Send decisions by link that were taken and cut off before Kafka had them."""
        while self._doors.signs_links and not self._stopping.is_set():
            try:
                await resend(self._doors)
            except (UnavailableError, PublishError) as error:
                _log.warning("decisions wait to be sent", found=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _RESEND_S)

    async def _until_migrated(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(migrate, self._doors.engine)
                return
            except UnavailableError as error:
                _log.warning("waiting for the database", found=str(error), again_in_s=pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
