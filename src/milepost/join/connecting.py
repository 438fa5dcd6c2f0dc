"""Before the join begins: brokers that answer, and topics that are there, all with the same number of partitions."""

import asyncio
import contextlib
from collections.abc import Callable

from milepost.join.options import JoinOptions
from milepost.kafka.log import Log, LogError
from milepost.observe import logs

__all__ = ["UnequalError", "connect"]

log = logs.logger(__name__)


class UnequalError(Exception):
    """The topics have different numbers of partitions: waiting cannot help."""


async def connect(source: Log, options: JoinOptions, stopping: asyncio.Event, waits: Callable[[str], None]) -> bool:
    """Wait for brokers and topics, and tell `waits` for what; False: asked to stop meanwhile. Raises `UnequalError`."""
    pause_s, connected = options.retry_first_s, False
    while not stopping.is_set():
        try:
            if not connected:
                await source.start()
                connected = True
            missing = await _missing(source, options)
            if not missing:
                return True
            why = f"waiting for topics: {', '.join(missing)}; `milepost topics apply` creates them"
        except LogError as error:
            why = f"waiting for Kafka: {error}"
        waits(why)
        log.warning(why, again_in_s=pause_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)
        pause_s = min(2 * pause_s, options.retry_most_s)
    return False


async def _missing(source: Log, options: JoinOptions) -> list[str]:
    topics = (*options.inputs, *options.outputs, *options.own)
    counts = await source.partition_counts(topics)
    missing = [topic for topic, count in counts.items() if count == 0]
    if not missing and len(set(counts.values())) != 1:
        found = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise UnequalError(
            f"the join's topics need the same number of partitions; found: {found}. See `milepost topics plan`"
        )
    return missing
