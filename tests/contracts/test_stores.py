"""What every store of a partition's state does: one suite for each of them, against a plain dict as the model."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.core.parts import Staged
from milepost.store.memory import MemoryStore

STORES: dict[str, Callable[[], MemoryStore]] = {"memory": MemoryStore}

Changes = list[tuple[bytes, bytes | None]]

keys = st.one_of(
    st.sampled_from([b"@", b"@clock", b"@due/1/a", b"@due/2/a", b"@due/2/b", b"@offsets", b"A", b"a/1", b"a/2", b"a"]),
    st.binary(min_size=1, max_size=4),
)
batches = st.lists(st.lists(st.tuples(keys, st.one_of(st.none(), st.binary(max_size=3))), max_size=8), max_size=5)


@pytest.fixture(params=sorted(STORES))
def make(request: pytest.FixtureRequest) -> Callable[[], MemoryStore]:
    return STORES[request.param]


@given(applied=batches, start=keys, stop=keys)
def test_a_store_is_an_ordered_dict_of_bytes(applied: list[Changes], start: bytes, stop: bytes) -> None:
    for make in STORES.values():
        store, model = make(), dict[bytes, bytes]()
        for changes in applied:
            store.apply(changes)
            for key, value in changes:
                model.pop(key, None)
                if value is not None:
                    model[key] = value
        assert dict(store.items()) == model
        assert len(store) == len(model)
        assert {key: store.get(key) for key in (*model, start, stop)} == {
            key: model.get(key) for key in (*model, start, stop)
        }
        for low, high in ((start, stop), (b"@", b"A"), (b"@due/", b"@due0"), (b"", b"\xff" * 5), (b"a/", b"a0")):
            assert list(store.keys(low, high)) == sorted(key for key in model if low <= key < high)


def test_deleting_what_is_not_there_is_nothing(make: Callable[[], MemoryStore]) -> None:
    store = make()
    store.apply([(b"@due/1", None), (b"a", None)])
    assert len(store) == 0
    assert list(store.keys(b"", b"\xff")) == []


def test_the_last_change_of_a_key_counts(make: Callable[[], MemoryStore]) -> None:
    store = make()
    store.apply([(b"@due/1", b"x"), (b"@due/1", None), (b"@due/1", b"y"), (b"@due/1", b"z")])
    assert list(store.keys(b"@", b"A")) == [b"@due/1"]
    assert store.get(b"@due/1") == b"z"


def test_keys_may_be_walked_while_the_store_changes(make: Callable[[], MemoryStore]) -> None:
    store = make()
    store.apply([(b"@due/%d" % n, b"") for n in range(9)])
    for key in store.keys(b"@due/", b"@due0"):
        store.apply([(key, None)])
    assert list(store.keys(b"@due/", b"@due0")) == []


def test_clearing_forgets_everything(make: Callable[[], MemoryStore]) -> None:
    store = make()
    store.apply([(b"@clock", b"1"), (b"a/1", b"2")])
    store.clear()
    assert len(store) == 0
    assert store.get(b"a/1") is None
    assert list(store.keys(b"@", b"A")) == []


def test_a_staged_batch_reaches_the_store_only_when_it_is_applied(make: Callable[[], MemoryStore]) -> None:
    store = make()
    store.apply([(b"@due/1/a", b"old"), (b"a/1", b"1")])
    staged = Staged(store)
    staged.delete(b"@due/1/a")
    staged.save(b"@due/2/b", b"new")
    assert staged.keys(b"@due/", b"@due0") == [b"@due/2/b"]
    assert list(store.keys(b"@due/", b"@due0")) == [b"@due/1/a"]
    store.apply(staged.changes())
    assert list(store.keys(b"@due/", b"@due0")) == [b"@due/2/b"]


def test_a_range_of_deadlines_does_not_look_at_every_part(make: Callable[[], MemoryStore]) -> None:
    def ranges_per_second(parts: int) -> float:
        store = make()
        store.apply([(b"engagement-%06d/terms" % n, b"") for n in range(parts)])
        store.apply([(b"@due/%03d" % n, b"") for n in range(100)])
        best = 0.0
        for _ in range(5):
            begin = time.perf_counter()
            for _ in range(200):
                list(store.keys(b"@due/", b"@due/050"))
            best = max(best, 200 / (time.perf_counter() - begin))
        return best

    # a look at every part would make it about a thousand times slower
    assert ranges_per_second(100_000) > ranges_per_second(100) / 20
