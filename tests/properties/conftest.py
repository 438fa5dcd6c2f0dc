"""How many random engagements each property looks at."""

import os

import pytest

# Enough to find the faults of test_mutations.py; a nightly run looks at more.
USUAL = 500
CHUNK = 50


def runs() -> int:
    """Random engagements in all: MILEPOST_PROPERTY_RUNS, or what an ordinary run of the tests has time for."""
    return int(os.environ.get("MILEPOST_PROPERTY_RUNS", USUAL))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" in metafunc.fixturenames:
        chunks = [range(first, min(first + CHUNK, runs())) for first in range(0, runs(), CHUNK)]
        assert chunks, "MILEPOST_PROPERTY_RUNS: 0 found, 1 or more expected"
        metafunc.parametrize("seeds", chunks, ids=[f"{chunk.start}-{chunk.stop - 1}" for chunk in chunks])
