"""The fold and the oracle, which share no code, say the same after every event."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.core.events import EngagementEvent
from milepost.sim.oracle import Oracle
from tests.core import scenario
from tests.properties.accounts import difference, shrunk
from tests.properties.strategies import Engagement, engagement

FOLDER = Path(__file__).parent.parent / "core" / "scenarios"
SCENARIOS = sorted(FOLDER.glob("*.txt"))


def judge(made: Engagement) -> None:
    rng = Random(made.seed)
    events = made.interleaved(rng, opened_first=rng.randrange(3) > 0)
    found = difference(made.contract, events)
    if found is not None:
        kept = shrunk(made.contract, events)
        story = "\n".join(f"  {event}" for event in kept)
        pytest.fail(f"seed {made.seed}: {difference(made.contract, kept)}\n{made.contract}\n{story}")


def test_fold_and_oracle_agree_after_every_event(seeds: range) -> None:
    for seed in seeds:
        judge(engagement(seed))


@settings(max_examples=25)
@given(st.integers(min_value=0, max_value=2**32))
def test_fold_and_oracle_agree_on_engagements_never_seen_before(seed: int) -> None:
    judge(engagement(seed))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_oracle_agrees_with_every_scenario(path: Path) -> None:
    events = scenario.events(path)
    contract = next(event.terms for event in events if isinstance(event, EngagementEvent) and event.terms)
    assert difference(contract, events) is None


def test_the_engagements_are_worth_looking_at() -> None:
    """Most engagements bill something; corrections, releases, caps and refusals are not rare."""
    billed = released = corrected = submissions = 0
    for seed in range(100):
        made = engagement(seed)
        oracle = Oracle(made.contract)
        for event in made.interleaved(Random(seed)):
            oracle.take(event)
        billed += any(oracle.gross.values())
        released += oracle.released > 0
        corrected += any(
            after < before for f in oracle.accepted.values() for (_, before), (_, after) in pairwise(f.steps)
        )
        submissions += any(len(found.submissions) > 1 for found in oracle.accepted.values())
    assert (billed > 30, released > 3, corrected > 3, submissions > 10) == (True, True, True, True)
