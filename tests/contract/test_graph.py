"""Cycles among milestones, compared with what following every way finds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from milepost.contract.graph import cycles

EDGES = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=14)


def reachable(edges: list[tuple[str, str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [target for source, target in edges if source == start]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [target for source, target in edges if source == name]
    return found


@given(EDGES)
def test_every_knot_is_reported_once_by_a_cycle_that_exists(edges: list[tuple[str, str]]) -> None:
    on_a_cycle = {name for pair in edges for name in pair if name in reachable(edges, name)}
    covered: set[str] = set()
    for cycle in cycles(edges):
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(pair in edges for pair in pairwise(cycle))
        knot = {
            name for name in on_a_cycle if name in reachable(edges, cycle[0]) and cycle[0] in reachable(edges, name)
        }
        assert not knot & covered
        covered |= knot
    assert covered == on_a_cycle


def test_a_chain_of_a_hundred_thousand_is_no_recursion() -> None:
    chain = [(str(place), str(place + 1)) for place in range(100_000)]
    assert cycles(chain) == []
    assert cycles([*chain, ("100000", "0")])[0][:3] == ["0", "1", "2"]
