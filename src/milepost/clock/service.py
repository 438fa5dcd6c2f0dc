"""An instance of the clock: candidate while its machine's time can be trusted, and ticking while it leads.

Faust elects the leader: all instances are members of one consumer group, and the one that holds partition 0 of the
leader topic is it. For a moment after a takeover two may tick; a tick that says nothing new changes nothing. An
instance whose machine is too far from the broker's time leaves the group, so that another one leads, and comes back by
itself.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import faust

import milepost.kafka.connections  # noqa: F401  # Faust's client is aiokafka as well
from milepost.clock.timing import boundary, untold
from milepost.core.calendar import instant_text
from milepost.kafka import looking
from milepost.kafka.ticking import PROBES, TICKS, Ticks, TicksError, machine_ms
from milepost.observe import health, logs, metrics
from milepost.settings import Settings

__all__ = ["LEADER_TOPIC", "ClockService"]

# Faust's name for the leader topic of the application that is called so; `schemas/topics.toml` lists it.
NAME = "milepost-clock"
LEADER_TOPIC = f"{NAME}-__assignor-__leader"
# How late a tick may be after its boundary.
LOOK_S = 1.0
# How old a comparison with the broker's time may become.
WATCH_MS = 10_000
# Between two tries after the brokers did not answer.
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
# Leaving the group takes one answer of a broker; after this the group finds out by itself.
LEAVE_S = 5.0
# From this share of the limit on, skew is worth a warning.
WARNING_SHARE = 0.1

# What has to be there before an instance may tick.
NEEDED = (TICKS, PROBES, LEADER_TOPIC)
NO_TICK = "no tick was sent"

T = TypeVar("T")

_log = logs.logger(__name__)


class ClockService:
    """One of the clock's instances. `now_ms` is the machine's clock; a test may have another.

    `run()` returns after `stop()`; while the brokers, a topic or the right time are away it waits and says for what.
    """

    def __init__(self, settings: Settings, now_ms: Callable[[], int] = machine_ms) -> None:
        self._settings, self._now_ms = settings, now_ms
        self._ticks = Ticks(settings, now_ms)
        self._asking = asyncio.Lock()  # `Ticks` is not for several threads
        self._interval = settings.clock_interval_ms * 1000
        self._stopping, self._unfit, self._called = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._pause_s = FIRST_PAUSE_S
        self._look_s = min(LOOK_S, settings.clock_interval_ms / 4_000)
        self._next = 0  # the machine's time (microseconds) before which no tick can be due
        self._measured_ms = 0
        self._said: set[str] = set()
        self._waits_for: str | None = "it has not begun"

    async def run(self) -> None:
        """Be a candidate whenever the machine's time can be trusted, until `stop()`."""
        health.watch("clock", self.waits_for)
        try:
            while not self._stopping.is_set():
                if await self._fit():
                    self._waits_for = None
                    await self._stand_for_leader()
        finally:
            health.forget("clock")
            metrics.CLOCK_LEADS.set(0)
            await self._ask(self._ticks.close)

    def stop(self) -> None:
        """Leave the group and return from `run()`."""
        self._stopping.set()

    def waits_for(self) -> str | None:
        """What keeps this instance from being a candidate."""
        return self._waits_for

    # --------------------------------------------------------------------------------------------------- may it tick?

    async def _fit(self) -> bool:
        """Whether the topics are there, their last ticks known, and the time is right; waits a while where not."""
        try:
            if missing := await self._ask(lambda: self._ticks.missing(NEEDED)):
                await self._wait("waiting for topics", topics=missing, help="`milepost topics apply` creates them")
            elif not await self._measure():
                await self._sleep(self._look_s)
            else:
                await self._ask(self._ticks.stand)
                self._pause_s = FIRST_PAUSE_S
                return True
        except TicksError as error:
            await self._wait("waiting for Kafka", found=str(error))
        return False

    async def _measure(self) -> bool:
        """Whether this machine's time is within the limit of the broker's; says so when that changes."""
        skew = await self._ask(self._ticks.skew)
        self._measured_ms = self._now_ms()
        ahead_ms = 0 if skew is None else skew.ahead_ms
        limit_ms = self._settings.clock_skew_limit_ms
        metrics.CLOCK_SKEW.set(ahead_ms / 1000)
        wrong = abs(ahead_ms) > limit_ms
        if wrong:
            self._waits_for = f"this machine's time differs from the broker's by {abs(ahead_ms)} ms"
        where = "ahead of" if ahead_ms > 0 else "behind"
        self._say(
            wrong,
            "does not tick: this machine's time is wrong",
            found=f"{abs(ahead_ms)} ms {where} the broker's; at most {limit_ms} (MILEPOST_CLOCK_SKEW_LIMIT_MS)",
            help="set this machine's time or the broker's (NTP); meanwhile another instance leads, if there is one",
        )
        differs = not wrong and abs(ahead_ms) > WARNING_SHARE * limit_ms
        self._say(differs, "this machine's time and the broker's differ", ahead_ms=ahead_ms, limit_ms=limit_ms)
        return not wrong

    # ------------------------------------------------------------------------------------------------------- election

    async def _stand_for_leader(self) -> None:
        """Be a member of the group until `stop()`, until the time is wrong, or until Faust gives up."""
        self._unfit.clear()
        self._called.clear()
        self._next = 0
        with TemporaryDirectory(prefix="milepost-clock-") as folder:
            app = self._application(folder)
            waits = [
                asyncio.create_task(_membership(app)),
                asyncio.create_task(self._stopping.wait()),
                asyncio.create_task(self._unfit.wait()),
                asyncio.create_task(self._watch(app)),
                asyncio.create_task(self._look()),
                asyncio.create_task(self._tick_when_called()),
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                metrics.CLOCK_LEADS.set(0)
                await _leave(app)
                for wait in waits:
                    wait.cancel()
                ended = await asyncio.gather(*waits, return_exceptions=True)
        if not self._stopping.is_set() and not self._unfit.is_set():
            await self._wait("the election broke off", found=repr(app.crash_reason or ended[0]))

    def _application(self, folder: str) -> faust.App:
        settings = self._settings
        app = faust.App(
            settings.topic(NAME),
            broker=[f"aiokafka://{server}" for server in settings.bootstrap_servers.split(",")],
            broker_session_timeout=settings.session_timeout_ms / 1000,
            broker_heartbeat_interval=settings.heartbeat_interval_ms / 1000,
            broker_request_timeout=settings.request_timeout_ms / 1000,
            # The embedded broker's transaction markers carry none, and nothing that counts is read here.
            broker_check_crcs=False,
            web_enabled=False,
            # `topics apply` makes the leader topic: the clock needs no right to create one.
            topic_allow_declare=False,
            # For tables, of which there are none; Faust makes the folder all the same.
            datadir=folder,
            store="memory://",
        )
        app.timer(self._look_s, on_leader=True)(self._call)
        return app

    async def _call(self) -> None:
        """Faust calls this on the leader alone; it does not wait for brokers, because Faust counts what is late."""
        self._called.set()

    async def _watch(self, app: faust.App) -> None:
        """Notice who leads, and keep an eye on the machine's time between ticks and on those that do not lead."""
        leads = False
        while True:
            await asyncio.sleep(self._look_s)
            if app.is_leader() != leads:
                leads = not leads
                metrics.CLOCK_LEADS.set(leads)
                _log.info("leads" if leads else "follows", interval_ms=self._settings.clock_interval_ms)
            if self._now_ms() - self._measured_ms not in range(WATCH_MS):
                try:
                    if not await self._measure():
                        self._unfit.set()
                except TicksError as error:
                    self._say(True, NO_TICK, found=str(error))

    async def _look(self) -> None:
        """Say whether brokers answer: between two ticks nothing else asks them, and Faust does not say it."""
        while True:
            try:
                missing = await self._ask(lambda: self._ticks.missing(NEEDED))
                self._waits_for = f"waiting for topics: {', '.join(missing)}" if missing else None
            except TicksError as error:
                self._waits_for = f"waiting for Kafka: {error}"
            await asyncio.sleep(looking.LOOK_S)

    # --------------------------------------------------------------------------------------------------------- ticking

    async def _tick_when_called(self) -> None:
        while True:
            await self._called.wait()
            self._called.clear()
            await self._tick()

    async def _tick(self) -> None:
        """Send the tick that is due, if one is."""
        if self._now_ms() * 1000 < self._next:
            return
        try:
            if not await self._measure():
                self._unfit.set()
                return
            stand = await self._ask(self._ticks.stand)
            machine = self._now_ms() * 1000
            last = boundary(machine, self._interval)
            at = stand.sandbox_time(machine) if self._settings.sandbox else last
            if partitions := untold(at, stand.latest):
                await self._ask(lambda: self._ticks.send([at], partitions))
                metrics.CLOCK_TICKS.inc(len(partitions))
                metrics.CLOCK_LAST_TICK.set(at / 1e6)
            self._next = last + self._interval
            self._say(False, NO_TICK)
            self._say_if_ahead(stand.told or 0, at)
        except TicksError as error:
            self._say(True, NO_TICK, found=str(error))

    def _say_if_ahead(self, told: int, now: int) -> None:
        ahead_ms = (told - now) // 1000
        self._say(
            ahead_ms > self._settings.clock_interval_ms + self._settings.clock_skew_limit_ms,
            "does not tick: the last tick is of a time to come",
            found=f"{instant_text(told)}, {ahead_ms} ms from now",
            help="if time was advanced on purpose, set MILEPOST_SANDBOX=1; else ticks go on when that time has come",
        )

    # -------------------------------------------------------------------------------------------------------- waiting

    async def _ask(self, question: Callable[[], T]) -> T:
        async with self._asking:
            return await asyncio.to_thread(question)

    def _say(self, holds: bool, what: str, **fields: Any) -> None:
        """Warn when it begins to hold; once, until it no longer does."""
        if holds and what not in self._said:
            _log.warning(what, **fields)
            self._said.add(what)
        elif not holds:
            self._said.discard(what)

    async def _sleep(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _wait(self, why: str, **fields: Any) -> None:
        self._waits_for = f"{why}: {', '.join(map(str, fields.values()))}"
        _log.warning(why, again_in_s=self._pause_s, **fields)
        await self._sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


async def _membership(app: faust.App) -> None:
    """From joining the group to leaving it; ends early where Faust gives up."""
    await app.start()
    await app.wait_until_stopped()


async def _leave(app: faust.App) -> None:
    try:
        await asyncio.wait_for(app.stop(), LEAVE_S)
    except TimeoutError:
        _log.warning("left the group without saying so", after_s=LEAVE_S)
