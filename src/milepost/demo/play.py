"""The demonstration: examples published one event at a time, billed by the real pipeline, read back from the ledger.

All engagements move on together: their first events, then their second ones, and so on, each wave folded before the
next is sent. So what is shown is the same in every run, on every broker; the totals would be in any order (rule 12).
Playing the same examples again on the same brokers raises nothing new.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from milepost.core.events import Event, InvoiceAcknowledgement
from milepost.demo.examples import Example
from milepost.demo.pipeline import Pipeline, PipelineError
from milepost.demo.tables import Picture, from_ledger, from_outputs
from milepost.join.simulation import simulate
from milepost.kafka.admin import Topics
from milepost.kafka.publishing import Place, Publisher
from milepost.settings import Settings
from milepost.sql.engine import connect
from milepost.sql.reading import LedgerReading

__all__ = ["Played", "apply_topics", "count", "differences", "expected", "play", "read_back", "waves"]

Wave = list[tuple[str, Event | InvoiceAcknowledgement]]


class Played:
    """What a run leaves behind: the picture in the ledger, how many events it took and how long."""

    def __init__(self, picture: Picture, events: int, seconds: float) -> None:
        self.picture, self.events, self.seconds = picture, events, seconds


async def play(
    settings: Settings, pipeline: Pipeline, examples: Sequence[Example], on_event: Callable[[int], None]
) -> Played:
    """Publish the examples wave by wave, wait for the ledger, and read the picture back.

    `on_event(n)` is told of progress. Raises `PipelineError`, also when the ledger never comes to say what the fold
    alone says; `PublishError` from the client.
    """
    started = time.monotonic()
    publisher = await asyncio.to_thread(Publisher, settings)
    events = 0
    for wave in waves(examples):
        places = await asyncio.to_thread(_send, publisher, wave)
        await pipeline.folded(places)
        events += len(wave)
        on_event(len(wave))
    wanted = expected(examples)
    if not await pipeline.stored(lambda: not differences(read_back(settings, examples), wanted)):
        found = differences(read_back(settings, examples), wanted)
        raise PipelineError(
            f"the ledger does not say what `milepost simulate` says: {'; '.join(found[:5])}. Were other events of "
            "these engagements published to these topics?"
        )
    return Played(read_back(settings, examples), events, time.monotonic() - started)


def apply_topics(settings: Settings) -> None:
    """Create the topics that are missing. Raises `TopicsError`; `PipelineError` where one is in the way."""
    refused = Topics(settings).apply().refused
    if refused:
        raise PipelineError("; ".join(f"{one.topic}: {one.why}" for one in refused))


def waves(examples: Sequence[Example]) -> Iterator[Wave]:
    """The events in the order of sending; those of one wave belong to different engagements."""
    histories = [
        [("engagements", example.opening), *((line.topic, line.event) for line in example.lines)]
        for example in examples
    ]
    for wave in zip_longest(*histories):
        yield [event for event in wave if event is not None]


def count(examples: Sequence[Example]) -> int:
    """How many events playing the examples sends."""
    return sum(1 + len(example.lines) for example in examples)


def expected(examples: Sequence[Example]) -> Picture:
    """What the fold alone makes of the examples."""
    return from_outputs((None, one.output) for example in examples for one in simulate(example.opening, example.lines))


def read_back(settings: Settings, examples: Sequence[Example]) -> Picture:
    """What the ledger's database says about the examples' engagements."""
    engine = connect(settings.database_url.get_secret_value())
    try:
        return from_ledger(LedgerReading(engine), [example.opening.engagement_id for example in examples])
    finally:
        engine.dispose()


def differences(found: Picture, wanted: Picture) -> list[str]:
    """Where two pictures disagree in what no order of arrival may change: amounts, and what is still open."""
    seen, right = _facts(found), _facts(wanted)
    return [
        f"{what} is {seen.get(what, 'missing')}, expected {right.get(what, 'nothing')}"
        for what in sorted(seen.keys() | right.keys())
        if seen.get(what) != right.get(what)
    ]


def _facts(picture: Picture) -> dict[str, int | str]:
    facts: dict[str, int | str] = {}
    for line in picture.lines:
        sums = {f"gross of {line.engagement_id}/{line.milestone_id or ''}": line.gross_minor}
        sums[f"retained of {line.engagement_id}"] = line.retained_minor
        sums[f"payable of {line.engagement_id}"] = line.payable_minor
        for what, amount in sums.items():
            facts[what] = int(facts.get(what, 0)) + amount
    for balance in picture.balances:
        facts[f"balance of {balance.engagement_id}"] = balance.balance_minor
    for status in picture.statuses:
        if not status.milestone_id and not status.parked:
            continue  # what overtook the opening waits no more; in order nothing did
        missing = ", ".join(one.gate for one in status.missing)
        place = "/".join(part for part in (status.engagement_id, status.milestone_id, status.occurrence_id) if part)
        facts[f"status of {place}"] = f"{status.state} missing [{missing}]"
    return facts


def _send(publisher: Publisher, wave: Wave) -> list[Place]:
    for topic, event in wave:
        publisher.send(topic, event)
    return publisher.flush()
