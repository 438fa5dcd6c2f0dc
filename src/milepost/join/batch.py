"""Step 5 of the protocol: a batch's records in their order, folded on a staged copy, with one dead letter for a record
that makes the fold raise. No I/O; it only yields to the event loop between chunks."""

import asyncio
import hashlib
import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from milepost.codec.wire import Outgoing, Record
from milepost.core.parts import Parts

__all__ = ["Batch", "Folded", "Folding", "Outcome", "Overlay", "Worker", "digest", "in_order", "take"]

Changes = Sequence[tuple[bytes, bytes | None]]
ByTopic = dict[str, list[Record]]

# Kafka's framing of a record in a batch, beside key, value and headers; an upper bound.
RECORD_OVERHEAD_BYTES = 100
_pack = msgspec.msgpack.Encoder().encode
FOLD_FAILED = "FOLD_FAILED"
OUTPUT_REJECTED = "OUTPUT_REJECTED"


class Folded(Protocol):
    """What folding records stated and changed; None as a changed value deletes."""

    @property
    def outputs(self) -> Sequence[Outgoing]: ...
    @property
    def changes(self) -> Changes: ...


class Worker(Protocol):
    """Decode, fold, encode; deterministic, no I/O, and no memory of its own between calls."""

    def fold(self, records: Sequence[Record], parts: Parts) -> Folded:
        """Fold `records` in order over `parts`, changing neither."""

    def dead_letter(self, record: Record, reason: str, message: str) -> Outgoing:
        """The dead letter for a record that cannot be folded."""


class Batch(NamedTuple):
    """Records of one partition as polled; worth something only while the partition has the same incarnation."""

    incarnation: int
    records: ByTopic
    polled_at: float

    @property
    def size(self) -> int:
        """Number of records."""
        return sum(map(len, self.records.values()))


class Outcome(NamedTuple):
    """A folded batch, not committed: outputs and changes in order, and the dead letters by reason."""

    outputs: list[Outgoing]
    changes: list[tuple[bytes, bytes | None]]
    poisoned: int


class Overlay:
    """Parts with a batch's changes on top; what chunk n wrote, chunk n + 1 reads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.changes: dict[bytes, bytes | None] = {}
        self._written: list[bytes] = []  # the keys of `changes`, in order once somebody asks for a range
        self._is_sorted = True

    def get(self, key: bytes) -> bytes | None:
        """The bytes under `key`, or None."""
        if key in self.changes:
            return self.changes[key]
        return self._parts.get(key)

    def keys(self, start: bytes, stop: bytes) -> Iterable[bytes]:
        """The keys with start <= key < stop, ascending."""
        if not self._is_sorted:
            self._written.sort()
            self._is_sorted = True
        written = self._written[bisect_left(self._written, start) : bisect_left(self._written, stop)]
        kept = (key for key in self._parts.keys(start, stop) if key not in self.changes)
        return heapq.merge(kept, (key for key in written if self.changes[key] is not None))

    def apply(self, changes: Changes) -> None:
        """Put changes on top."""
        for key, value in changes:
            if key not in self.changes:
                self._written.append(key)
                self._is_sorted = False
            self.changes[key] = value


def in_order(records: Mapping[str, Sequence[Record]], place: Mapping[str, int]) -> list[Record]:
    """The order of folding: record timestamp, then the topic's place in `topics.toml`, then offset."""
    ordered = [record for some in records.values() for record in some]
    ordered.sort(key=lambda record: (record.timestamp, place[record.topic], record.offset))
    return ordered


def take(records: ByTopic, limit: int | None, place: Mapping[str, int]) -> tuple[ByTopic, ByTopic]:
    """Split off about the first `limit` records in order, and the rest.

    Each topic gives up a prefix by offset, whatever its timestamps say: offsets are committed by prefix.
    """
    if limit is None or sum(map(len, records.values())) <= limit:
        return records, {}
    taken = dict.fromkeys(records, 0)
    heads = [(some[0].timestamp, place[topic], topic) for topic, some in records.items()]
    heapq.heapify(heads)
    for _ in range(limit):
        topic = heads[0][2]
        taken[topic] += 1
        if taken[topic] < len(records[topic]):
            heapq.heapreplace(heads, (records[topic][taken[topic]].timestamp, place[topic], topic))
        else:
            heapq.heappop(heads)
    first = {topic: some[: taken[topic]] for topic, some in records.items() if taken[topic]}
    rest = {topic: some[taken[topic] :] for topic, some in records.items() if taken[topic] < len(some)}
    return first, rest


class Folding:
    """Folds batches with one worker.

    `max_record_bytes` bounds every output and change: what the broker would refuse is better found before it is sent.
    `condemned` holds (topic, offset) of records whose outputs the broker refused although they were small enough.
    """

    def __init__(self, worker: Worker, chunk_records: int, max_record_bytes: int) -> None:
        self._worker, self._chunk, self._max_bytes = worker, chunk_records, max_record_bytes
        self.condemned: dict[tuple[str, int], str] = {}

    async def fold(self, records: Sequence[Record], parts: Parts, is_current: Callable[[], bool]) -> Outcome | None:
        """Fold in order, over a staged copy of `parts`; None as soon as `is_current` says no."""
        overlay = Overlay(parts)
        outputs: list[Outgoing] = []
        poisoned = 0
        for start in range(0, len(records), self._chunk):
            chunk = records[start : start + self._chunk]
            if not self._fold_whole(chunk, overlay, outputs):
                poisoned += self._fold_singly(chunk, overlay, outputs)
            await asyncio.sleep(0)  # heartbeats, fetches and the other partitions' answers come in here
            if not is_current():
                return None
        return Outcome(outputs, list(overlay.changes.items()), poisoned)

    def _fold_whole(self, chunk: Sequence[Record], overlay: Overlay, outputs: list[Outgoing]) -> bool:
        if self.condemned and any((record.topic, record.offset) in self.condemned for record in chunk):
            return False
        try:
            folded = self._worker.fold(chunk, overlay)
        except Exception:  # noqa: BLE001  # whichever record it was is found one by one
            return False
        if self._too_large(folded) is not None:
            return False
        overlay.apply(folded.changes)
        outputs.extend(folded.outputs)
        return True

    def _fold_singly(self, chunk: Sequence[Record], overlay: Overlay, outputs: list[Outgoing]) -> int:
        poisoned = 0
        for record in chunk:
            reason, message = OUTPUT_REJECTED, self.condemned.get((record.topic, record.offset))
            if message is None:
                try:
                    folded = self._worker.fold([record], overlay)
                except Exception as error:  # noqa: BLE001  # the boundary at which one record may fail by itself
                    reason, message = FOLD_FAILED, f"{type(error).__name__}: {error}"
                else:
                    message = self._too_large(folded)
                    if message is None:
                        overlay.apply(folded.changes)
                        outputs.extend(folded.outputs)
                        continue
            outputs.append(self._worker.dead_letter(record, reason, message))
            poisoned += 1
        return poisoned

    def _too_large(self, folded: Folded) -> str | None:
        for output in folded.outputs:
            size = len(output.key or b"") + len(output.value or b"") + RECORD_OVERHEAD_BYTES
            if size > self._max_bytes:
                return f"its output for {output.topic} would be {size} bytes, more than {self._max_bytes}"
        for key, value in folded.changes:
            size = len(key) + len(value or b"") + RECORD_OVERHEAD_BYTES
            if size > self._max_bytes:
                return f"the state of {key.decode(errors='replace')} would be {size} bytes, more than {self._max_bytes}"
        return None


def digest(outputs: Iterable[Outgoing], changes: Changes) -> str:
    """SHA-256 of a transaction, in hex: of the MessagePack of `[[[topic, key, value], ...], [[key, value], ...]]`.

    Topics are strings, keys and values binary or nil, all in their shortest form; headers are not part of it.
    """
    stated = [(output.topic, output.key, output.value) for output in outputs]
    return hashlib.sha256(_pack((stated, changes))).hexdigest()
