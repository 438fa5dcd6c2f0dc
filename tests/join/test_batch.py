"""Batches: their order, slices that can be committed, and the staged copy."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from milepost.codec.wire import Outgoing, Record
from milepost.join.batch import Folding, Overlay, digest, in_order, take
from milepost.store.memory import MemoryStore
from tests.join.world import INPUTS, CountingWorker

PLACE = {topic: place for place, topic in enumerate(INPUTS)}
timestamps = st.lists(st.integers(0, 20), max_size=15)


def records(topic: str, stamps: list[int]) -> list[Record]:
    return [Record(topic, 0, offset, stamp, b"k", b"1") for offset, stamp in enumerate(stamps)]


batches = st.tuples(timestamps, timestamps).map(
    lambda both: {topic: records(topic, stamps) for topic, stamps in zip(INPUTS, both, strict=True) if stamps}
)


@given(batches)
def test_the_order_is_timestamp_then_place_then_offset(batch: dict[str, list[Record]]) -> None:
    keys = [(one.timestamp, PLACE[one.topic], one.offset) for one in in_order(batch, PLACE)]
    assert keys == sorted(keys)
    assert len(keys) == sum(map(len, batch.values()))


@given(batches, st.integers(1, 40) | st.none())
def test_a_slice_is_a_prefix_of_each_topic_whatever_the_timestamps(
    batch: dict[str, list[Record]], limit: int | None
) -> None:
    """A slice by timestamp alone could commit offset 7 while offset 5 was not folded."""
    first, rest = take(batch, limit, PLACE)
    assert sum(map(len, first.values())) == min(sum(map(len, batch.values())), limit or 10**9)
    for topic, some in batch.items():
        assert first.get(topic, []) + rest.get(topic, []) == some
    assert all(first.values())
    assert all(rest.values())


keys = st.binary(min_size=1, max_size=2)
changes = st.lists(st.tuples(keys, st.binary(max_size=3) | st.none()), max_size=20)


@given(changes, changes, keys, keys)
def test_an_overlay_reads_as_the_store_would_if_the_changes_were_applied(
    before: list[tuple[bytes, bytes | None]], after: list[tuple[bytes, bytes | None]], start: bytes, stop: bytes
) -> None:
    store, expected = MemoryStore(), MemoryStore()
    store.apply(before)
    expected.apply(before)
    overlay = Overlay(store)
    untouched = dict(store.items())
    overlay.apply(after)
    expected.apply(after)
    assert list(overlay.keys(start, stop)) == list(expected.keys(start, stop))
    for key in {key for key, _ in (*before, *after)} | {start}:
        assert overlay.get(key) == expected.get(key)
    assert dict(store.items()) == untouched
    store.apply(list(overlay.changes.items()))
    assert dict(store.items()) == dict(expected.items())


@given(st.lists(st.integers(-5, 5), max_size=40), st.integers(1, 7))
async def test_chunks_make_no_difference(amounts: list[int], chunk: int) -> None:
    batch = [
        Record("reports", 0, offset, offset, b"k%d" % (offset % 3), b"%d" % one) for offset, one in enumerate(amounts)
    ]
    whole = CountingWorker().fold(batch, MemoryStore())
    outcome = await Folding(CountingWorker(), chunk, 1_000_000).fold(batch, MemoryStore(), lambda: True)
    assert outcome is not None
    assert outcome.outputs == whole.outputs
    assert outcome.changes == whole.changes
    assert outcome.poisoned == 0


async def test_a_batch_that_is_not_current_any_more_is_given_up_between_chunks() -> None:
    batch = [Record("reports", 0, offset, offset, b"k", b"1") for offset in range(10)]
    looks = iter([True, True, False])
    assert await Folding(CountingWorker(), 2, 1_000).fold(batch, MemoryStore(), lambda: next(looks)) is None


def test_the_digest_tells_parts_from_each_other() -> None:
    outputs = [Outgoing("lines", b"ab", b"c", [])]
    different = [
        digest(outputs, []),
        digest([Outgoing("lines", b"a", b"bc", [])], []),
        digest([Outgoing("lines", None, b"abc", [])], []),
        digest([Outgoing("lines", b"", b"abc", [])], []),
        digest([], [(b"lines", b"ab"), (b"c", b"")]),
        digest([], [(b"lines", b"ab"), (b"c", None)]),
    ]
    assert len(set(different)) == len(different)
    # Written down in docs/EXACTLY_ONCE.md for whoever checks a log with other tools: MessagePack, spelled by hand.
    packed = b"\x92" + b"\x91\x93\xa5lines\xc4\x02ab\xc4\x01c" + b"\x91\x92\xc4\x01k\xc0"
    assert digest(outputs, [(b"k", None)]) == sha256(packed).hexdigest()
