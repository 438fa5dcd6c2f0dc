"""Who reads which partitions: numbers are handed out, not topic partitions, so that a partition's topics stay together.

Range keeps them together by luck, round robin and sticky tear them apart in two of three groups. The worker's own
client does the assignment; the broker only carries it.
"""

from collections.abc import Collection, Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from milepost.kafka.log import GroupRefusedError

__all__ = ["CoPartitionAssignor", "share"]


def common_numbers(counts: Mapping[str, Collection[int]]) -> frozenset[int]:
    """The partition numbers of every topic; raises `GroupRefusedError` unless all topics have the same ones."""
    numbers = {topic: frozenset(found) for topic, found in counts.items()}
    if len(set(numbers.values())) != 1 or not next(iter(numbers.values())):
        found = ", ".join(f"{topic} has {len(numbers[topic])}" for topic in sorted(numbers))
        raise GroupRefusedError(
            f"partition counts differ or are zero: {found}. All topics of the join need the same number; "
            "`milepost topics plan` shows what is wrong, `milepost topics apply` creates what is missing"
        )
    return next(iter(numbers.values()))


def share(numbers: Iterable[int], claims: Mapping[str, Collection[int]]) -> dict[str, list[int]]:
    """Spread partition numbers over members, evenly, each keeping what it claims to have as far as that is even.

    `claims` holds every member. A number claimed twice goes to the member that claims more, then to the first by name.
    """
    free, order = set(numbers), sorted(claims)
    quota, extra = divmod(len(free), len(order))
    owned: dict[str, list[int]] = {}
    for member in sorted(order, key=lambda name: -len(claims[name])):
        owned[member] = [number for number in dict.fromkeys(claims[member]) if number in free][: quota + (extra > 0)]
        extra -= len(owned[member]) > quota
        free -= set(owned[member])
    for number in sorted(free):
        owned[min(order, key=lambda name: (len(owned[name]), name))].append(number)
    return {member: sorted(owned[member]) for member in order}


class CoPartitionAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """One instance a consumer: it remembers what its member has, and why it last refused to assign.

    The library's methods are class methods; it calls them on whatever it was given, an instance too.
    """

    name = "milepost-copartition-v1"

    def __init__(self) -> None:
        self.owned: tuple[int, ...] = ()
        self.refusal: str | None = None

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member says about itself when it joins: its topics and the numbers it had."""
        return ConsumerProtocolMemberMetadata(0, sorted(topics), ",".join(map(str, self.owned)).encode())

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Remember what was given, to claim it at the next rebalance."""
        self.owned = tuple(sorted({partition.partition for partition in assignment.partitions()}))

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Assign, on the group's leader; raises `GroupRefusedError`, which stops the whole group on purpose."""
        try:
            assigned = self._assign(cluster, members)
        except GroupRefusedError as refused:
            self.refusal = str(refused)
            raise
        self.refusal = None
        return assigned

    def _assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        subscriptions = {frozenset(member.subscription) for member in members.values()}
        if len(subscriptions) != 1:
            shown = " and ".join(sorted(", ".join(sorted(topics)) for topics in subscriptions))
            raise GroupRefusedError(
                f"members of the group read different topics: {shown}. Run one version of the join only"
            )
        topics = sorted(next(iter(subscriptions)))
        numbers = common_numbers({topic: cluster.partitions_for_topic(topic) or () for topic in topics})
        shares = share(numbers, {name: _claimed(member.user_data) for name, member in members.items()})
        return {
            name: ConsumerProtocolMemberAssignment(0, [(topic, given) for topic in topics] if given else [], b"")
            for name, given in shares.items()
        }


def _claimed(user_data: bytes | None) -> list[int]:
    text = (user_data or b"").decode("ascii", "replace")
    return [int(number) for number in text.split(",") if number.isdecimal()]
