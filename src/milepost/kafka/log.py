"""The port between the join and a log: what `docs/EXACTLY_ONCE.md` needs of Kafka, and nothing else.

Real Kafka (`kafka.clients`, `kafka.transactions`) and the simulator's in-memory log (`sim.clients`) implement it and
pass the same contract suite. Topics have their plain names here; an adapter puts the prefix on and takes it off.
Offsets are those of the next record; sizes are bytes, times seconds unless the name says otherwise.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from aiokafka.structs import TopicPartition

from milepost.codec.wire import Record

__all__ = [
    "ChangelogStalledError",
    "ClientEndedError",
    "Committed",
    "FencedError",
    "GroupConsumer",
    "GroupRefusedError",
    "HoldError",
    "Listener",
    "Log",
    "LogError",
    "Message",
    "Producer",
    "RejectedError",
    "Span",
    "TimedOutError",
    "TopicPartition",
]

Headers = Sequence[tuple[str, bytes]]


class Message(NamedTuple):
    """One record to write: key, value (None deletes in a compacted topic), headers."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Committed(NamedTuple):
    """What a group committed for one partition of a topic: the next offset, and the committer's own note."""

    offset: int
    metadata: str


class Span(NamedTuple):
    """A partition's first offset and its end, aborted and open transactions included."""

    begin: int
    end: int


class LogError(Exception):
    """The log did not do what was asked; the outcome of the running transaction is unknown (step 9)."""


class ClientEndedError(Exception):
    """The client itself has ended and will never answer again: nothing to wait for, this process has to end."""


class HoldError(LogError):
    """Records cannot be understood yet, because whoever knows their schema is away; they wait where they are."""


class FencedError(LogError):
    """A newer producer has this transactional id, or the transaction timed out, which looks the same."""


class RejectedError(LogError):
    """The broker will never take one of the records, whatever is tried: too large, or not valid in its topic."""


class TimedOutError(LogError):
    """No answer within the bound; nothing is known about the outcome."""


class ChangelogStalledError(LogError):
    """Reading stands still below the end: a transaction hangs there. The message says where."""


class GroupRefusedError(LogError):
    """The group's members cannot share the partitions; the message says which topics or members differ."""


class Listener(Protocol):
    """Who wants to know which partitions a consumer has."""

    def on_assigned(self, assigned: frozenset[TopicPartition]) -> None:
        """Partitions after a rebalance, all of them. Must not wait: no heartbeat runs meanwhile (step 1)."""

    async def on_revoked(self, revoked: frozenset[TopicPartition]) -> None:
        """Before a rebalance: all partitions held so far. May wait, bounded below the session timeout (step 10)."""


class GroupConsumer(Protocol):
    """A member of a group that reads committed records; it never resets a position by itself.

    Only one task may call `poll`, `seek`, `pause` and `resume`; the listener may as well, while it is being called.
    """

    async def start(self) -> None:
        """Connect and subscribe; partitions come later, through the listener."""

    async def stop(self) -> None:
        """Leave the group."""

    async def poll(self, timeout_s: float, max_records: int) -> dict[TopicPartition, list[Record]]:
        """At most `max_records`, after at most `timeout_s` (longer during a rebalance).

        Raises `GroupRefusedError` when this member leads the group and cannot assign, `ClientEndedError` when the
        client is beyond use, `LogError` for anything else; after that, positions are to be set again: the client may
        have skipped records that it did not return.
        """

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Return nothing from these until `resume`; what was fetched is fetched again. A rebalance forgets it."""

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Return records of these again."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at `offset`; what was fetched before is dropped."""

    def position(self, partition: TopicPartition) -> int | None:
        """The next offset that `poll` will return or pass over; None when the partition is not held."""

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """How far committed records can be read at present."""


class Producer(Protocol):
    """The transactions of one transactional id; one use: `start`, transactions, `close`.

    Every method raises `FencedError` once another producer has the id, `LogError` for anything else; after an exception
    only `close` may be called.
    """

    async def start(self) -> None:
        """Take a new epoch. On return the predecessor's transaction is final and it can never finish another."""

    async def begin(self) -> None:
        """Begin a transaction."""

    async def send(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        """Queue records in order; they are on their way, not acknowledged."""

    async def settle(self, timeout_s: float) -> dict[TopicPartition, int]:
        """Wait until everything sent is acknowledged; the offset after the last record, by partition.

        Raises `RejectedError` or `TimedOutError` among others. Without this a rejected record would be lost and its
        transaction committed all the same.
        """

    async def send_offsets(self, offsets: Mapping[TopicPartition, Committed], group: str) -> None:
        """Make the group's offsets part of the transaction; never before `settle` returned."""

    async def commit(self) -> bool:
        """Commit. False: committed, but the request went out more than once, and the first may yet finish the *next*
        transaction; take a new epoch before it begins."""

    async def close(self, timeout_s: float) -> None:
        """Stop, committing and aborting nothing; never raises, and returns within about `timeout_s`."""

    @property
    def sent(self) -> int:
        """Records sent to the busiest partition since `start`; sequence numbers end at 2^31."""


class Log(Protocol):
    """A log: topics, groups and transactions."""

    async def start(self) -> None:
        """Connect; raises `LogError` when no broker answers."""

    async def stop(self) -> None:
        """Close what `start` opened."""

    async def partition_counts(self, topics: Collection[str]) -> dict[str, int]:
        """Partitions by topic; 0 for a topic that does not exist."""

    async def spans(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Span]:
        """First and end offsets, whatever the state of the transactions below the end."""

    async def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        """What the group committed; a partition without is left out."""

    async def weaknesses(self) -> list[str]:
        """Settings of the brokers that make exactly once less than it should be, one sentence each."""

    def consumer(self, group: str, topics: Collection[str], listener: Listener) -> GroupConsumer:
        """A new member for the group, not started."""

    def producer(self, transactional_id: str) -> Producer:
        """A new producer, not started."""

    def read(
        self, partition: TopicPartition, start: int, end: int, stall_s: float
    ) -> AsyncGenerator[list[Record], None]:
        """The committed records with start <= offset < end, in batches.

        Ends only when everything below `end` was seen or passed over. Raises `ChangelogStalledError` when nothing
        moves for `stall_s`.
        """
