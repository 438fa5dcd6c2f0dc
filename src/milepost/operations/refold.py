"""Folds every input again, in the transactions in which the join folded it, and compares what comes out byte for byte.

The topic `join-transactions` says which inputs were applied in which transaction; within one the order is fixed
(docs/EXACTLY_ONCE.md, step 5). So the code at hand must state the same outputs as the code that ran then: the check to
make before a new version is deployed, and the proof that nobody but the join wrote the output topics.

Two things are not in the inputs: what the broker refused, and which schemas were known then. Where a dead letter says
either of its record, the record is one again, whatever is known today.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import msgspec

from milepost.codec.topics import DEAD_LETTER_TOPIC, HISTORY_TOPIC, INPUTS, OUTPUTS, PLACES
from milepost.codec.wire import Outgoing, Record, header
from milepost.core.parts import Parts
from milepost.join.batch import OUTPUT_REJECTED, Folding, Outcome, in_order
from milepost.join.options import JoinOptions
from milepost.join.partition import TXSEQ_HEADER
from milepost.join.restore import Applied
from milepost.join.worker import Worker
from milepost.kafka.scanning import Place, Scan
from milepost.store.memory import MemoryStore

__all__ = ["Difference", "Refold", "fold_batch", "places_of"]

_MESSAGE = "__connect.errors.exception.message"
# Reasons that no fold can find again by itself.
_OF_THEN = {OUTPUT_REJECTED.encode(), b"UNKNOWN_SCHEMA"}


class Difference(NamedTuple):
    """One record that is not what folding again gives. `kind`: missing, strange, or other (bytes)."""

    kind: str
    topic: str
    partition: int
    txseq: int
    key: str
    message: str


def places_of(partition: int) -> list[Place]:
    """What is read of a partition."""
    return [Place(topic, partition) for topic in (HISTORY_TOPIC, *INPUTS, *OUTPUTS)]


class Refold:
    """One partition, folded again over a store of its own; `events` and `outputs` count what was looked at."""

    def __init__(self, scan: Scan, partition: int) -> None:
        self._scan, self.partition = scan, partition
        self.store = MemoryStore()
        self.transactions = self.events = self.outputs = 0

    def run(self) -> Iterator[Difference]:
        """Every difference, in the order of the transactions. Raises `ScanError`."""
        for record in self._scan.all(Place(HISTORY_TOPIC, self.partition)):
            assert record.value is not None
            applied = msgspec.json.decode(record.value, type=Applied)
            records = {
                topic: list(self._scan.until(Place(topic, self.partition), applied.offsets.get(topic, 0)))
                for topic in INPUTS
            }
            there = {topic: list(self._stated(topic, applied.txseq)) for topic in OUTPUTS}
            outcome = fold_batch(in_order(records, PLACES), self.store, _condemned(there[DEAD_LETTER_TOPIC]))
            self.store.apply(outcome.changes)
            self.transactions += 1
            self.events += sum(map(len, records.values()))
            for topic in OUTPUTS:
                wanted = [output for output in outcome.outputs if output.topic == topic]
                self.outputs += len(there[topic])
                yield from self._compare(topic, applied.txseq, wanted, there[topic])
        for topic in OUTPUTS:
            for record in self._scan.all(Place(topic, self.partition)):
                yield self._strange(topic, -1, record)

    def _stated(self, topic: str, txseq: int) -> Iterator[Record]:
        """What a topic holds of one transaction."""
        place = Place(topic, self.partition)
        while (record := self._scan.peek(place)) is not None and _txseq(record) == txseq:
            self._scan.next(place)
            yield record

    def _compare(self, topic: str, txseq: int, wanted: list[Outgoing], there: list[Record]) -> Iterator[Difference]:
        for output, record in zip_longest(wanted, there):
            if record is None:
                yield Difference("missing", topic, self.partition, txseq, _text(output.key), "folding states it")
            elif output is None:
                yield self._strange(topic, txseq, record)
            elif (output.key, output.value) != (record.key, record.value):
                message = f"offset {record.offset} holds other bytes than folding states"
                yield Difference("other", topic, self.partition, txseq, _text(record.key), message)

    def _strange(self, topic: str, txseq: int, record: Record) -> Difference:
        message = f"offset {record.offset} holds what folding does not state"
        return Difference("strange", topic, self.partition, txseq, _text(record.key), message)


def fold_batch(records: Sequence[Record], store: Parts, condemned: Mapping[tuple[str, int], str]) -> Outcome:
    """What the join makes of records in this order, as one transaction; `store` is only read.

    `condemned`: (topic, offset) of records that are dead letters whatever a fold says of them, and why.
    """
    options = JoinOptions("", "", INPUTS, OUTPUTS, "")
    folding = Folding(Worker(), options.chunk_records, options.max_record_bytes)
    folding.condemned.update(condemned)
    outcome = asyncio.run(folding.fold(records, store, lambda: True))
    assert outcome is not None
    return outcome


def _condemned(letters: list[Record]) -> dict[tuple[str, int], str]:
    """Records that were dead letters because of what was so then; only their bytes are compared, not the reason."""
    found = {}
    for letter in letters:
        if header(letter.headers, "milepost-error-code") in _OF_THEN:
            topic, offset = (header(letter.headers, f"__connect.errors.{name}") for name in ("topic", "offset"))
            message = header(letter.headers, _MESSAGE) or b""
            if topic is not None and offset is not None and offset.isdigit():
                found[topic.decode(), int(offset)] = message.decode()
    return found


def _txseq(record: Record) -> int:
    stated = header(record.headers, TXSEQ_HEADER)
    return int(stated) if stated is not None and stated.isdigit() else -1


def _text(key: bytes | None) -> str:
    return "" if key is None else key.decode(errors="backslashreplace")
