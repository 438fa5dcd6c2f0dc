"""The workload is the same for a seed, keeps what it promises about order, and bills the same in any of its orders."""

import pytest

from milepost.core.events import ClockTick
from milepost.core.outputs import DeadLetter, InvoiceLine
from milepost.sim.workload import Arrival, Workload, arrivals, story
from tests.chaos.expected import expect, outputs_of

WORKLOAD = Workload(seed=5, engagements=40)


def test_a_seed_gives_the_same_stream_and_another_one_another() -> None:
    assert list(arrivals(WORKLOAD)) == list(arrivals(WORKLOAD))
    assert list(arrivals(Workload(seed=6, engagements=40))) != list(arrivals(WORKLOAD))


def test_each_topic_of_an_engagement_keeps_its_order_and_repeats_come_after() -> None:
    stream, first, repeated = list(arrivals(WORKLOAD)), list[Arrival](), 0
    for arrival in stream:
        if isinstance(arrival.event, ClockTick):
            continue
        if arrival in first:
            repeated += 1
        else:
            first.append(arrival)
    assert 0.05 < repeated / len(stream) < 0.2
    overtook = 0
    for number in range(WORKLOAD.engagements):
        told = story(WORKLOAD, number)
        name = told[0].event.engagement_id  # type: ignore[union-attr]
        mine = [arrival for arrival in first if arrival.event.engagement_id == name]  # type: ignore[union-attr]
        for topic in {arrival.topic for arrival in told}:
            assert [one for one in mine if one.topic == topic] == [one for one in told if one.topic == topic]
        overtook += mine != told
    assert overtook > WORKLOAD.engagements / 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_order_bills_the_same_lines(seed: int) -> None:
    workload = Workload(seed, engagements=25)
    outputs = outputs_of(arrivals(workload))
    assert not [output for output in outputs if isinstance(output, DeadLetter)]
    lines = [output for output in outputs if isinstance(output, InvoiceLine)]
    expected = expect(workload)
    assert {line.line_id: (line.engagement_id, line.gross_minor) for line in lines} == expected.lines
    assert len(lines) == len(expected.lines)
    assert sum(line.payable_minor for line in lines) == sum(expected.payable.values())
    assert {line.kind for line in lines} == {"MILESTONE", "RETENTION_RELEASE"}
