"""Every scenario file says what the fold does; `make golden` rewrites them, `git diff` reviews them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.scenario import play

SCENARIOS = sorted(Path(__file__).parent.joinpath("scenarios").glob("*.txt"))


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 30


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path, golden: Callable[[Path, str], None]) -> None:
    golden(path, play(path))
