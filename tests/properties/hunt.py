"""Look for a difference between fold and oracle: `hunt COUNT [WHERE [FIRST [GROUP]]]` prints a seed that has one.

Exit status 1 if there is one. WHERE is the folder that `milepost` has to come from, so that nothing else is judged;
FIRST is the seed to begin with. With a GROUP of features every engagement has it.
"""

import sys
from pathlib import Path
from random import Random

import milepost
from tests.properties.accounts import difference
from tests.properties.strategies import engagement


def hunt(count: int, first: int = 0, *groups: str) -> str | None:
    """What is wrong, with its seed; None if nothing is. The seeds are `first`, then those from 0 on."""
    for seed in (first, *range(count)):
        made = engagement(seed, always=groups)
        try:
            found = difference(made.contract, made.interleaved(Random(seed), opened_first=seed % 3 > 0))
        except AssertionError as error:  # the fold's own: conservation, the table of states
            found = f"{type(error).__name__}: {error}"
        if found is not None:
            return f"seed {seed}: {found}"
    return None


if __name__ == "__main__":
    if len(sys.argv) > 2:
        assert Path(milepost.__file__).is_relative_to(sys.argv[2]), milepost.__file__
    wrong = hunt(int(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else 0, *sys.argv[4:])
    print(wrong or "")
    sys.exit(wrong is not None)
