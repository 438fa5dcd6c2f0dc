"""The benchmark of the fold measures what it says; what it measured is never asserted."""

from bench.fold import KINDS, measure, table


def test_each_kind_of_event_is_measured_in_both_engagements() -> None:
    found = measure(2, 12, 3, list(KINDS))
    assert [one.kind for one in found] == list(KINDS)
    assert all(one.small > 0 and one.large > 0 for one in found)
    assert len(table(found, 2, 12).splitlines()) == len(KINDS) + 1
