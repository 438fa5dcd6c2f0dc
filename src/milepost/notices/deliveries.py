"""The worker: what is owed is claimed, attempted and ended, by as many instances as there are.

An attempt is noted in the database before it is made and ended after it; a process that dies in between leaves a claim
that runs out, and the delivery is attempted again with the same id. Nothing here knows the real time: `now` and
`chance` come from outside.
"""

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import Callable, Mapping

from milepost.notices.channels import EMAIL, WEBHOOK, Channel, Outcome
from milepost.notices.schedule import next_attempt
from milepost.observe import logs, metrics
from milepost.sql.endpoints import disable_endpoint, pause_endpoint
from milepost.sql.engine import Engine, UnavailableError
from milepost.sql.notices import FAILED, OWED, SENT, WITHDRAWN, Claimed, Ending, claim, end, owed_now

__all__ = ["Deliveries"]

# Between two looks for what is due by now, when nobody says that something is.
_IDLE_S = 1.0
# One slow recipient has at most this share of what may be under way at once.
_SHARE = 4
# A claim outlives its attempt by this much: for a slow database, and clocks of instances that differ.
_MARGIN_S = 60.0
# Given back, so that another instance goes on at once.
_INTERRUPTED = Outcome("retry", "interrupted", "cut off by a shutdown; it may have arrived")
_COUNT_EVERY_S = 5.0
_LONGEST_PAUSE_S = 5.0
_STATES = {"sent": SENT, "failed": FAILED, "withdrawn": WITHDRAWN}

_log = logs.logger(__name__)


class Deliveries:
    """Works off what is owed until `stop()`; waits while the database is away.

    `channels` by name; what is owed over another one stays. `now` gives microseconds, `chance` a number from 0 to 1.
    `waits_for` says what keeps it from its work, None: nothing.
    """

    def __init__(
        self,
        engine: Engine,
        channels: Mapping[str, Channel],
        *,
        now: Callable[[], int],
        chance: Callable[[], float],
        timeout_s: float,
        concurrency: int,
        grace_s: float,
    ) -> None:
        self._engine, self._channels, self._now, self._chance = engine, channels, now, chance
        self._lease_us = int((timeout_s + _MARGIN_S) * 1_000_000)
        self._concurrency, self._each, self._grace_s = concurrency, max(1, concurrency // _SHARE), grace_s
        self._name = uuid.uuid4().hex
        self._under_way: dict[asyncio.Task[None], Claimed] = {}
        self._stopping, self._something = asyncio.Event(), asyncio.Event()
        self._counted_at = 0.0
        self.waits_for: str | None = None

    def stop(self) -> None:
        """Claim nothing more; `run()` returns when what is under way has ended, or was cut off."""
        self._stopping.set()
        self._something.set()

    def poke(self) -> None:
        """Something is owed: look at once."""
        self._something.set()

    async def run(self) -> None:
        """Work until `stop()`."""
        for channel in (EMAIL, WEBHOOK):
            for outcome in metrics.NOTICE_OUTCOMES:
                metrics.NOTICE_ATTEMPTS.labels(channel, outcome)
        pause_s = _IDLE_S
        try:
            while not self._stopping.is_set():
                self._something.clear()
                try:
                    await self._count()
                    if await self.claim_and_start():
                        continue
                    pause_s, self.waits_for = _IDLE_S, None
                except UnavailableError as error:
                    self.waits_for = f"waiting for the database: {error}"
                    _log.warning("waiting for the database", found=str(error), again_in_s=pause_s)
                    await self._sleep(self._stopping, pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                    continue
                await self._sleep(self._something, _IDLE_S)
        finally:
            await self._finish()

    @staticmethod
    async def _sleep(until: asyncio.Event, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until.wait(), pause_s)

    async def claim_and_start(self) -> int:
        """Start what is due and fits beside what is under way; how much that was. Raises `UnavailableError`."""
        free = self._concurrency - len(self._under_way)
        if free < 1:
            return 0
        running = Counter(one.recipient for one in self._under_way.values())
        busy = [recipient for recipient, count in running.items() if count >= self._each]
        now = self._now()
        claimed = await asyncio.to_thread(
            claim, self._engine, self._name, now, now + self._lease_us, free, self._each, busy, list(self._channels)
        )
        for one in claimed:
            task = asyncio.create_task(self._deliver(one))
            self._under_way[task] = one
            task.add_done_callback(self._over)
        return len(claimed)

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        self._something.set()

    async def _deliver(self, claimed: Claimed) -> None:
        try:
            outcome = await self._channels[claimed.channel].attempt(claimed, self._now())
        except asyncio.CancelledError:
            await asyncio.shield(self._end(claimed, _INTERRUPTED))
            raise
        except UnavailableError as error:
            # Before anything was sent: whatever a channel asks the database for, it asks first.
            outcome = Outcome("retry", "database", f"the database was away: {error}")
        except Exception as error:  # noqa: BLE001  # one delivery's fault must neither end the others nor last for ever
            _log.error("an attempt broke off", exc_info=error, delivery_id=claimed.delivery_id)
            outcome = Outcome("retry", "fault", f"{type(error).__name__}, a fault of this program; its log has more")
        await self._end(claimed, outcome)

    async def _end(self, claimed: Claimed, outcome: Outcome) -> None:
        """Note the outcome, as soon as the database takes it; if it stays away, the claim runs out instead."""
        now = self._now()
        ending, final = self._ending(claimed, outcome, now)
        while True:
            try:
                await asyncio.to_thread(self._store, claimed, outcome, ending, now)
                break
            except UnavailableError as error:
                _log.warning("an outcome is not stored", found=str(error), delivery_id=claimed.delivery_id)
                if self._stopping.is_set() or self._now() >= claimed.claimed_until:
                    break  # somebody attempts it again, under the same id
                await self._sleep(self._stopping, _IDLE_S)
        metrics.NOTICE_ATTEMPTS.labels(claimed.channel, final).inc(1 + len(claimed.joined))
        # No address and no answer: a mail server's answer repeats the address.
        say = _log.info if final == "sent" else _log.warning
        say(
            _SAID[final],
            delivery_id=claimed.delivery_id,
            channel=claimed.channel,
            topic=claimed.topic,
            kind=claimed.kind,
            engagement_id=claimed.engagement_id,
            attempt=claimed.attempt,
            why=outcome.why,
        )

    def _ending(self, claimed: Claimed, outcome: Outcome, now: int) -> tuple[Ending, str]:
        if outcome.verdict != "retry":
            return Ending(_STATES[outcome.verdict], outcome.answer), outcome.verdict
        if outcome is _INTERRUPTED:
            return Ending(OWED, outcome.answer, now), "retry"
        following = next_attempt(claimed.tries, now, self._chance, outcome.not_before)
        if following is None:
            return Ending(FAILED, f"given up after {claimed.tries} attempts; the last: {outcome.answer}"), "failed"
        return Ending(OWED, outcome.answer, following), "retry"

    def _store(self, claimed: Claimed, outcome: Outcome, ending: Ending, now: int) -> None:
        if outcome.pause_until is not None:
            pause_endpoint(self._engine, claimed.recipient, outcome.pause_until)
        end(self._engine, claimed, ending, now)
        if outcome.gone:
            owed = disable_endpoint(self._engine, claimed.recipient, outcome.answer, now)
            _log.warning("an endpoint is disabled", endpoint_id=claimed.recipient, why=outcome.why, owed=owed)

    async def _count(self) -> None:
        loop_s = asyncio.get_running_loop().time()
        if loop_s < self._counted_at + _COUNT_EVERY_S and self._counted_at:
            return
        self._counted_at = loop_s
        counts = await asyncio.to_thread(owed_now, self._engine)
        for channel in (EMAIL, WEBHOOK):
            count, oldest = counts.get(channel, (0, 0))
            metrics.NOTICE_OWED.labels(channel).set(count)
            metrics.NOTICE_OLDEST_OWED.labels(channel).set(oldest / 1e6)

    async def _finish(self) -> None:
        """Let what is under way end; what takes longer than the grace is cut off and given back."""
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=self._grace_s)
        for task in (left := list(self._under_way)):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


_SAID = {
    "sent": "a notice was sent",
    "retry": "a notice was not sent and is tried again",
    "failed": "a notice was given up",
    "withdrawn": "a notice was not sent: there is nothing left to say",
}
