"""The assignor's laws: everything is handed out once, evenly, all topics alike, and moves as little as it can."""

from collections.abc import Mapping

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from milepost.kafka.assignor import CoPartitionAssignor, share
from milepost.kafka.log import GroupRefusedError, TopicPartition

names = st.text("abcdef", min_size=1, max_size=3)
numbers = st.integers(1, 24)
# Claims may be anything that a member of another time or version might say.
claims = st.dictionaries(names, st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=8)


class Cluster:
    """As much of the client's cluster metadata as an assignor looks at."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self.counts[topic])) if topic in self.counts else None


@given(numbers, claims)
def test_every_number_goes_to_exactly_one_member_and_evenly(count: int, claimed: dict[str, list[int]]) -> None:
    shares = share(range(count), claimed)
    assert shares.keys() == claimed.keys()
    assert sorted(number for given_ in shares.values() for number in given_) == list(range(count))
    sizes = [len(given_) for given_ in shares.values()]
    assert max(sizes) - min(sizes) <= 1


@given(numbers, st.sets(names, min_size=1, max_size=8))
def test_nothing_moves_when_nobody_joins_or_leaves(count: int, members: set[str]) -> None:
    first = share(range(count), {member: [] for member in members})
    assert share(range(count), first) == first


@given(numbers, st.sets(names, min_size=2, max_size=8), st.data())
def test_what_a_member_had_stays_when_another_leaves(count: int, members: set[str], data: st.DataObject) -> None:
    first = share(range(count), {member: [] for member in members})
    gone = data.draw(st.sampled_from(sorted(members)))
    second = share(range(count), {member: had for member, had in first.items() if member != gone})
    for member, had in second.items():
        assert set(first[member]) <= set(had)


@given(numbers, st.sets(names, min_size=1, max_size=7), names)
def test_only_what_a_new_member_gets_moves(count: int, members: set[str], new: str) -> None:
    members.discard(new)
    first = share(range(count), {member: [] for member in members}) if members else {}
    second = share(range(count), {**first, new: []})
    moved = {number for member in first for number in set(second[member]) - set(first[member])}
    assert moved == set()


@given(numbers, claims)
def test_the_order_in_which_members_are_named_does_not_matter(count: int, claimed: dict[str, list[int]]) -> None:
    assert share(range(count), claimed) == share(range(count), dict(reversed(claimed.items())))


@given(
    st.integers(1, 12),
    st.sets(st.sampled_from(["a", "b", "c", "d"]), min_size=1),
    st.sets(names, min_size=1, max_size=5),
)
def test_a_members_topics_have_the_same_numbers_through_the_wire_format(
    count: int, topics: set[str], members: set[str]
) -> None:
    assignors = {member: CoPartitionAssignor() for member in members}
    for _ in range(2):
        said = {
            member: ConsumerProtocolMemberMetadata.decode(assignor.metadata(topics).encode())
            for member, assignor in assignors.items()
        }
        assigned = CoPartitionAssignor().assign(Cluster(dict.fromkeys(topics, count)), said)
        everything: list[TopicPartition] = []
        for member, assignment in assigned.items():
            partitions = assignment.partitions()
            everything += partitions
            by_topic = {topic: {one.partition for one in partitions if one.topic == topic} for topic in topics}
            assert len({frozenset(found) for found in by_topic.values()}) == 1
            assignors[member].on_assignment(assignment)
            assert set(assignors[member].owned) == by_topic[next(iter(topics))]
        assert sorted(everything) == sorted(TopicPartition(topic, one) for topic in topics for one in range(count))


def test_different_partition_counts_are_refused_and_remembered() -> None:
    assignor = CoPartitionAssignor()
    members = {"one": assignor.metadata(["reports", "approvals"])}
    with pytest.raises(GroupRefusedError, match="approvals has 4, reports has 8"):
        assignor.assign(Cluster({"reports": 8, "approvals": 4}), members)
    assert assignor.refusal is not None
    assert "milepost topics plan" in assignor.refusal
    assignor.assign(Cluster({"reports": 4, "approvals": 4}), members)
    assert assignor.refusal is None


def test_a_topic_that_does_not_exist_is_refused() -> None:
    assignor = CoPartitionAssignor()
    with pytest.raises(GroupRefusedError, match="reports has 0"):
        assignor.assign(Cluster({}), {"one": assignor.metadata(["reports"])})


def test_members_that_read_different_topics_are_refused_with_both_lists() -> None:
    assignor = CoPartitionAssignor()
    members = {"one": assignor.metadata(["a", "b"]), "two": assignor.metadata(["a"])}
    with pytest.raises(GroupRefusedError, match="different topics: a and a, b"):
        assignor.assign(Cluster({"a": 4, "b": 4}), members)


def test_the_documented_walk_through_joins_and_leaves() -> None:
    one = share(range(8), {"w1": []})
    two = share(range(8), {**one, "w2": []})
    assert two == {"w1": [0, 1, 2, 3], "w2": [4, 5, 6, 7]}
    three = share(range(8), {**two, "w3": []})
    assert three == {"w1": [0, 1, 2], "w2": [4, 5, 6], "w3": [3, 7]}
    left = share(range(8), {member: had for member, had in three.items() if member != "w2"})
    assert left == {"w1": [0, 1, 2, 5], "w3": [3, 4, 6, 7]}
