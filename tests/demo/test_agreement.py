"""`simulate` and the join agree on every example (rule 12), on both brokers, in order and all at once."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from milepost.core.outputs import InvoiceLine
from milepost.demo import play
from milepost.demo.examples import Example, alone, examples_dir, read_examples
from milepost.demo.pipeline import Pipeline
from milepost.demo.tables import Picture
from milepost.kafka.publishing import Publisher
from milepost.settings import Settings

EXAMPLES = [example for example in read_examples(examples_dir()) if not alone(example)]
BROKERS = [
    pytest.param("embedded_broker", id="embedded"),
    pytest.param("real_kafka", id="real", marks=pytest.mark.kafka),
]


@pytest.fixture(params=BROKERS)
def chosen(request: pytest.FixtureRequest, settings_for: Callable[[str], Settings]) -> Settings:
    found = settings_for(request.getfixturevalue(request.param))
    play.apply_topics(found)
    return found


def amounts(lines: list[InvoiceLine]) -> dict[str, tuple[int, int, int]]:
    """Gross, retained and payable by line id; every id once."""
    found = {line.line_id: (line.gross_minor, line.retained_minor, line.payable_minor) for line in lines}
    assert len(found) == len(lines)
    return found


def wanted(examples: list[Example]) -> Picture:
    picture = play.expected(examples)
    assert len(picture.lines) >= len(examples)
    return picture


def test_the_examples_show_what_they_are_for() -> None:
    picture = wanted(EXAMPLES)
    kinds = {line.kind for line in picture.lines}
    assert len(EXAMPLES) == 8
    assert kinds == {"MILESTONE", "ADJUSTMENT", "REVERSAL", "CLAWBACK", "RETENTION_RELEASE"}
    assert {request.kind for request in picture.requests} >= {"REQUESTED", "GRANTED", "REJECTED"}
    assert any(line.completion == "60" for line in picture.lines)
    assert sorted(balance.balance_minor for balance in picture.balances) == [0, 0, 0, 0, 60_000, 380_000]


def test_what_overtook_the_opening_makes_a_difference_only_while_it_waits() -> None:
    picture = wanted(EXAMPLES)
    some = picture.statuses[0]
    ended = msgspec.structs.replace(some, milestone_id="", occurrence_id=None, missing=(), parked=())
    waits = msgspec.structs.replace(ended, parked=("NOT_OPEN_YET test/e1",))
    assert not play.differences(replace(picture, statuses=[*picture.statuses, ended]), picture)
    assert play.differences(replace(picture, statuses=[*picture.statuses, waits]), picture)


async def test_in_order_every_line_is_the_same(chosen: Settings) -> None:
    async with Pipeline(chosen) as pipeline:
        played = await play.play(chosen, pipeline, EXAMPLES, lambda count: None)
    assert played.events == play.count(EXAMPLES)
    assert amounts(list(played.picture.lines)) == amounts(list(wanted(EXAMPLES).lines))


async def test_played_twice_nothing_is_billed_twice(chosen: Settings) -> None:
    async with Pipeline(chosen) as pipeline:
        first = await play.play(chosen, pipeline, EXAMPLES, lambda count: None)
        again = await play.play(chosen, pipeline, EXAMPLES, lambda count: None)
    assert amounts(list(again.picture.lines)) == amounts(list(first.picture.lines))


async def test_all_at_once_the_totals_are_the_same(chosen: Settings) -> None:
    def send() -> None:
        publisher = Publisher(chosen)
        for wave in play.waves(EXAMPLES):
            for topic, event in wave:
                publisher.send(topic, event)
        assert sum(publisher.counts(publisher.flush()).values()) >= play.count(EXAMPLES)

    async with Pipeline(chosen) as pipeline:
        await asyncio.to_thread(send)
        agreed = await pipeline.stored(lambda: not play.differences(play.read_back(chosen, EXAMPLES), wanted(EXAMPLES)))
        assert agreed, play.differences(play.read_back(chosen, EXAMPLES), wanted(EXAMPLES))
