"""A sandbox: everything that Milepost has, running in one process for whoever tries it out, and prepared to be tried.

Beside the join and the ledger run the gateway, the clock, notices and a mail server that keeps what it is sent. Its
time may be advanced. What nobody set is made for this run: secrets, ports, folders.
"""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from milepost.clock.wiring import clock_service
from milepost.demo.outbox import Outbox
from milepost.gateway.wiring import gateway_service
from milepost.notices.wiring import notices_service
from milepost.observe import exposition
from milepost.observe.hosting import Service, StoppedError
from milepost.settings import Settings

__all__ = ["Sandbox", "equipped"]

HOST = "127.0.0.1"
STOP_S = 20.0
# Often enough that nobody waits for a deadline that has passed.
CLOCK_INTERVAL_MS = 1_000
SECRET_BYTES = 32


def equipped(settings: Settings, folder: Path) -> Settings:
    """The settings with what a sandbox needs and nobody gave; `folder` is for files.

    Raises `StoppedError` for a port that is taken although it was asked for.
    """
    given = settings.model_fields_set
    port = settings.gateway_port if "gateway_port" in given else _port(settings.gateway_host, settings.gateway_port)
    wanted: dict[str, Any] = {
        "gateway_port": port,
        "gateway_docs": True,
        "public_url": f"http://{settings.gateway_host}:{port}",
        "link_secret": SecretStr(secrets.token_urlsafe(SECRET_BYTES)),
        "endpoint_secret": SecretStr(secrets.token_urlsafe(SECRET_BYTES)),
        "evidence_dir": str(folder / "evidence"),
        "clock_interval_ms": CLOCK_INTERVAL_MS,
        # Whoever tries webhooks out receives them on this machine.
        "outbound_admitted_hosts": f"{HOST},localhost",
    }
    changes = {name: value for name, value in wanted.items() if name not in given or name == "gateway_port"}
    return settings.model_copy(update={**changes, "sandbox": True})


def _port(host: str, wanted: int) -> int:
    """The wanted port if it is free, else any that is."""
    for port in (wanted, 0):
        try:
            with socket.create_server((host, port)) as found:
                return int(found.getsockname()[1])
        except OSError:
            continue
    raise StoppedError(f"no port is free on {host}; set MILEPOST_GATEWAY_HOST")


class Sandbox:
    """Async context manager: the services beside the pipeline, listening on entry, ended in good order on exit."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._given, self._folder = settings, folder
        self.outbox = folder / "outbox"
        self.metrics_url = ""
        self._stack = AsyncExitStack()
        self._services: list[Service] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Sandbox":
        """Start all. Raises `StoppedError`."""
        settings = self._given
        if not settings.smtp_host:
            outbox = await self._stack.enter_async_context(Outbox(self.outbox))
            settings = settings.model_copy(
                update={
                    "smtp_host": HOST,
                    "smtp_port": outbox.port,
                    "smtp_security": "none",
                    "smtp_from": "Milepost sandbox <billing@sandbox.example>",
                }
            )
        try:
            self.metrics_url = self._stack.enter_context(_metrics(settings))
            self._services = [make(settings) for make in (gateway_service, notices_service, clock_service)]
            self._tasks = [asyncio.create_task(service.run()) for service in self._services]
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def ended(self) -> None:
        """Wait until one of the services ends by itself. Raises `StoppedError`, or what broke."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:
            if task.done():
                task.result()
        raise StoppedError("a part of the sandbox ended")

    async def _stop(self) -> None:
        for service in self._services:
            service.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()


async def first(*ends: Awaitable[None]) -> None:
    """Wait for the first of some ends, and raise what it raises."""
    tasks = [asyncio.ensure_future(end) for end in ends]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _metrics(settings: Settings) -> Iterator[str]:
    served = exposition.expose(settings.metrics_host, settings.metrics_port)
    try:
        yield f"http://{served.host}:{served.port}/metrics"
    finally:
        served.stop()
