"""How a long-running process lives and ends: one loop, signals, a hard limit, an exit status and one line.

A service has `run()`, which returns after `stop()` or raises `StoppedError`; several services share a process, and one
that ends takes the others with it, because a process that does half its work looks healthy from outside.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import uvloop

from milepost.observe import logs

__all__ = ["Service", "StoppedError", "host"]

log = logs.logger(__name__)

# When the collector looks at what is new (Python's own is 700), and how much rarer at what it has seen before: one
# batch of 500 events alone makes several thousand objects. Small enough that what only it can free, a refused
# request's body for instance, does not gather.
_NEW_OBJECTS, _RARER = 5_000, 10


class StoppedError(Exception):
    """A service cannot go on being right; the message is the one line that says why and what to do."""


class Service(Protocol):
    """What can be hosted."""

    async def run(self) -> None:
        """Work until `stop()`; raises `StoppedError`."""

    def stop(self) -> None:
        """Ask for a graceful end; may be called more than once, from a signal handler too."""


def host(services: Sequence[Callable[[], Service]], *, shutdown_timeout_s: float) -> int:
    """Run services, made inside the event loop, until SIGTERM, SIGINT or an end of their own; the exit status.

    0: ended as asked. 1: a service stopped by itself (its maker may say so too), its reason is the last line on stderr,
    or the end took longer than `shutdown_timeout_s`. The process has to end now, and does so within that time even
    where a client's thread still waits for a broker that is frozen.
    """
    reasons = uvloop.run(_host(services, shutdown_timeout_s))
    for reason in reasons:
        print(f"milepost: {reason}", file=sys.stderr)  # noqa: T201  # for people, whatever the log's format is
    return 1 if reasons else 0


async def _host(makers: Sequence[Callable[[], Service]], shutdown_timeout_s: float) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        services = [make() for make in makers]
    except StoppedError as unusable:
        return [" ".join(str(unusable).split())]
    _keep_what_is_made()
    ending = _Ending(services, shutdown_timeout_s)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.asked, number)
    tasks = [asyncio.create_task(service.run()) for service in services]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ending.begin()
        await asyncio.wait(tasks)
    finally:
        ending.over(tasks)
    reasons = []
    for task in tasks:
        error = task.exception()
        if isinstance(error, StoppedError):
            reasons.append(" ".join(str(error).split()))
        elif error is not None:
            raise error
    return reasons


def _keep_what_is_made() -> None:
    """Take modules, routes and schemas, which stay as long as the process, from what the collector looks through time
    and again: a third of the gateway's time for a batch."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _RARER, _RARER)


class _Ending:
    """The way out: graceful at the first signal, at once at the second, and never longer than the limit."""

    def __init__(self, services: Sequence[Service], limit_s: float) -> None:
        self._services, self._limit_s = services, limit_s
        self._timer: threading.Timer | None = None
        self._status: int | None = None  # once every service has ended

    def asked(self, number: int) -> None:
        """A signal came."""
        if self._timer is not None:
            self._leave(f"{signal.Signals(number).name} came a second time")
        log.info("asked to stop", signal=signal.Signals(number).name)
        self.begin()

    def begin(self) -> None:
        """Stop the services; a thread watches the limit, because the loop may be what hangs."""
        if self._timer is None:
            self._timer = threading.Timer(
                self._limit_s, self._leave, [f"did not end within {self._limit_s:.0f} s (MILEPOST_SHUTDOWN_TIMEOUT_MS)"]
            )
            self._timer.daemon = True
            self._timer.start()
        for service in self._services:
            service.stop()

    def over(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Everything ended; the limit goes on for what the interpreter waits for, the threads of clients."""
        if all(task.done() for task in tasks):
            self._status = 1 if any(task.cancelled() or task.exception() for task in tasks) else 0

    def _leave(self, why: str) -> None:
        if self._status is None:
            os.write(2, f"milepost: {why}; left without finishing\n".encode())
        os._exit(1 if self._status is None else self._status)
