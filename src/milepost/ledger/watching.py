"""How far behind the ledger is, and what its database says at a glance, as gauges; each as often as it is worth."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from milepost.kafka.log import TopicPartition
from milepost.kafka.looking import LOOK_S, unanswered
from milepost.ledger.rows import Told
from milepost.observe import logs, metrics
from milepost.sql.engine import Engine, UnavailableError, ping
from milepost.sql.gauges import Glance, glance

__all__ = ["Watching", "count", "show"]

_MICROSECONDS = 1_000_000
# How long a database may take to say that it is there.
_ANSWER_S = 10.0

_log = logs.logger(__name__)


class Watching:
    """Looks until cancelled. `lag` gives the records that are still to be stored, by partition."""

    def __init__(
        self, engine: Engine, lag: Callable[[], Awaitable[Mapping[TopicPartition, int]]], interval_s: float
    ) -> None:
        self._engine, self._lag, self._interval_s = engine, lag, interval_s
        self.lag_records = 0
        self._kafka: str | None = None  # why the last look at the topics saw nothing
        self._database: str | None = None  # and the one at the database
        self._topics: set[str] = set()  # that have been shown

    @property
    def trouble(self) -> str | None:
        """What did not answer when it was asked last, in a sentence: without records nothing else asks them."""
        return self._database or self._kafka

    async def run(self) -> None:
        """Lag and database every few seconds, the gauges at the interval; a ledger that has ended is not behind."""
        try:
            await asyncio.gather(self._keep_looking_at_topics(), self._keep_looking_at_the_database())
        finally:
            self._show_lag({})

    async def _keep_looking_at_topics(self) -> None:
        while True:
            self._kafka = await unanswered(self._look())
            if self._kafka is not None:
                _log.warning("the lag is not known", reason=self._kafka)
            await asyncio.sleep(LOOK_S)

    async def _keep_looking_at_the_database(self) -> None:
        looked = 0.0
        while True:
            due = time.monotonic() - looked >= self._interval_s
            asked = asyncio.create_task(asyncio.to_thread(self._show if due else ping, self._engine))
            if due:
                looked = time.monotonic()
            else:
                # A question that is not answered is waited for all the same: another one would take a thread more.
                await asyncio.wait([asked], timeout=_ANSWER_S)
                if not asked.done():
                    self._database = f"waiting for the database: no answer within {_ANSWER_S:.0f} s"
            try:
                await asked
                self._database = None
            except UnavailableError as error:
                self._database = f"waiting for the database: {error}"
                _log.debug("could not look", reason=str(error))
            await asyncio.sleep(LOOK_S)

    @staticmethod
    def _show(engine: Engine) -> None:
        show(glance(engine, time.time_ns() // 1000))

    async def _look(self) -> None:
        self._show_lag(await self._lag())

    def _show_lag(self, behind: Mapping[TopicPartition, int]) -> None:
        by_topic = dict.fromkeys(self._topics | {place.topic for place in behind}, 0)
        for place, count in behind.items():
            by_topic[place.topic] += max(0, count)
        for topic, count in by_topic.items():
            metrics.LEDGER_LAG.labels(topic).set(count)
        self._topics |= by_topic.keys()
        self.lag_records = sum(by_topic.values())


def show(found: Glance) -> None:
    """Set the gauges; what is not there any more goes to zero with them."""
    for gauge in (metrics.MONEY, metrics.BLOCKED, metrics.BLOCKED_SINCE, metrics.DEAD_LETTERS_OPEN):
        gauge.clear()
    for (currency, exponent, kind), minor in found.money.items():
        metrics.MONEY.labels(currency, kind).set(minor / 10**exponent)
    since: dict[str, int] = {}
    for one in found.blocked:
        metrics.BLOCKED.labels(one.currency, one.gate).set(one.minor / 10**one.exponent)
        if one.since is not None:
            since[one.gate] = min(one.since, since.get(one.gate, one.since))
    for gate, at in since.items():
        metrics.BLOCKED_SINCE.labels(gate).set(at / _MICROSECONDS)
    metrics.APPROVALS.labels("open").set(found.approvals_open)
    metrics.APPROVALS.labels("overdue").set(found.approvals_overdue)
    for reason, count in found.dead.items():
        metrics.DEAD_LETTERS_OPEN.labels(reason).set(count)
    metrics.DEAD_LETTERS_OLDEST.set(0 if found.dead_since is None else found.dead_since / _MICROSECONDS)
    for kind, count in found.differences.items():
        metrics.DIFFERENCES.labels(kind).set(count)
    metrics.GAUGES_REFRESHED.set_to_current_time()


def count(told: Told) -> None:
    """Count what became of events, and how long lines took."""
    for (what, reason), number in told.outcomes.items():
        metrics.OUTCOMES.labels(what.lower(), reason).inc(number)
    for since_event, since_arrival in told.delays:
        metrics.EVENT_TO_LINE_SECONDS.observe(since_event / _MICROSECONDS)
        metrics.ARRIVAL_TO_LINE_SECONDS.observe(since_arrival / _MICROSECONDS)
