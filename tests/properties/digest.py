"""Print a digest of everything that the fold says and keeps, for each of the first engagements: `digest COUNT`."""

import sys
from hashlib import sha256
from random import Random

import msgspec

from milepost.core.fold import fold
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from tests.properties.strategies import engagement, received


def digest(seed: int) -> str:
    """Of the outputs and the state after all events of one engagement, in hex."""
    staged = Staged(Empty())
    outputs = [fold(staged, record) for record in received(engagement(seed).interleaved(Random(seed)))]
    return sha256(msgspec.msgpack.encode([outputs, staged.changes()])).hexdigest()


if __name__ == "__main__":
    for seed in range(int(sys.argv[1])):
        print(digest(seed))
