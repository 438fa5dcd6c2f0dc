"""Judges what a run left in Kafka: no line lost, none doubled, no transaction torn, to the cent.

Two opinions are asked. `Expected` knows the workload and nothing of Kafka. The refold takes the inputs as Kafka has
them, cut into transactions as the changelog says, folds them in one process, and wants every transaction's outputs and
changes to be there byte for byte. Names of what it finds:

- lost, doubled, strange, wrong   lines against the workload: missing, more than once, unknown, another amount
- torn                            a part of a transaction is there and another part is not
- gap                             the transaction numbers of a partition are not 1, 2, 3, ...
- dead                            an event became a dead letter; the workload has none that should
- split                           an engagement's events went to several partitions
- behind                          the group or the state has not reached the end, or they contradict each other
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from milepost.codec.records import decode_output
from milepost.codec.topics import HISTORY_TOPIC, INPUTS, OUTPUTS, PARTITIONS, PLACES, STATE_TOPIC
from milepost.codec.wire import Record, header
from milepost.core.outputs import InvoiceLine
from milepost.join.batch import Folding, digest, in_order
from milepost.join.partition import TXSEQ_HEADER
from milepost.join.restore import OFFSETS_KEY, Applied
from milepost.join.worker import Worker
from milepost.store.memory import MemoryStore
from tests.chaos.committed import Committed
from tests.chaos.expected import Expected

# A broken run breaks thousands of records; the first few of each kind say enough.
SHOWN = 5
CHUNK_RECORDS = 500
RECORD_BYTES = 1_000_000

Change = tuple[bytes, bytes | None]
Output = tuple[str, bytes | None, bytes | None]


class Violation(NamedTuple):
    """One thing that must not be."""

    kind: str
    message: str


class Transaction(NamedTuple):
    """One transaction as the changelog has it: what it changed, and its `@offsets` record."""

    changes: list[Change]
    applied: Applied


def check(expected: Expected, found: Committed) -> list[Violation]:
    """Everything that is wrong, at most `SHOWN` of each kind and check; empty means that the run was right."""
    violations = [
        *_first(_lines(expected, found)),
        *_first(_amounts(expected, found)),
        *_first(_dead(found)),
        *_first(_split(found)),
    ]
    for partition in range(PARTITIONS):
        history = list(_history(found.records[STATE_TOPIC, partition]))
        violations += [*_first(_numbers(partition, history)), *_first(_ends(partition, history, found))]
        violations += _first(_told(partition, history, found))
        violations += _first(_refold(partition, history, found))
    looked = sum(len(found.records[topic, partition]) for topic in OUTPUTS for partition in range(PARTITIONS))
    assert looked > len(expected.lines), "fewer outputs than lines: nothing was looked at"
    return violations


def report(violations: Iterable[Violation]) -> str:
    """For an assertion's message."""
    return "\n".join(f"{kind}: {message}" for kind, message in violations)


def _first(violations: Iterator[Violation]) -> list[Violation]:
    return list(islice(violations, SHOWN))


def _invoice_lines(found: Committed) -> Iterator[InvoiceLine]:
    for record in found.of("invoice-lines"):
        assert record.value is not None
        line = decode_output("invoice-lines", record.value, record.headers)
        assert isinstance(line, InvoiceLine)
        yield line


def _lines(expected: Expected, found: Committed) -> Iterator[Violation]:
    times = Counter(line.line_id for line in _invoice_lines(found))
    for line_id, (name, gross) in expected.lines.items():
        if line_id not in times:
            yield Violation("lost", f"line {line_id} of {name}, gross {gross}")
    for line_id, count in times.items():
        if count > 1:
            yield Violation("doubled", f"line {line_id} is there {count} times")
        if line_id not in expected.lines:
            yield Violation("strange", f"line {line_id} is none of the workload's")


def _amounts(expected: Expected, found: Committed) -> Iterator[Violation]:
    retained, payable = Counter[str](), Counter[str]()
    for line in _invoice_lines(found):
        wanted = expected.lines.get(line.line_id, (line.engagement_id, line.gross_minor))
        if (line.engagement_id, line.gross_minor) != wanted:
            yield Violation("wrong", f"line {line.line_id} is {line.gross_minor} gross, expected {wanted}")
        retained[line.engagement_id] += line.retained_minor
        payable[line.engagement_id] += line.payable_minor
    for name in expected.payable:
        sums, wanted_sums = (retained[name], payable[name]), (expected.retained[name], expected.payable[name])
        if sums != wanted_sums:
            yield Violation("wrong", f"{name}: retained and payable are {sums}, expected {wanted_sums}")


def _dead(found: Committed) -> Iterator[Violation]:
    for record in found.of("dead-letters"):
        reason = header(record.headers, "__connect.errors.exception.message")
        yield Violation("dead", f"{record.key!r}: {(reason or b'').decode()}")


def _split(found: Committed) -> Iterator[Violation]:
    homes: dict[bytes, set[int]] = {}
    for topic in INPUTS:
        for record in found.of(topic):
            if record.key is not None:
                homes.setdefault(record.key, set()).add(record.partition)
    for key, partitions in homes.items():
        if len(partitions) > 1:
            yield Violation("split", f"{key.decode()} is in partitions {sorted(partitions)}")


def _history(changelog: Iterable[Record]) -> Iterator[Transaction]:
    changes: list[Change] = []
    for record in changelog:
        assert record.key is not None
        if record.key == OFFSETS_KEY:
            assert record.value is not None
            yield Transaction(changes, msgspec.json.decode(record.value, type=Applied))
            changes = []
        else:
            changes.append((record.key, record.value))
    if changes:
        yield Transaction(changes, Applied(-1, "a tail without @offsets", {}))


def _numbers(partition: int, history: list[Transaction]) -> Iterator[Violation]:
    for number, transaction in enumerate(history, start=1):
        if transaction.applied.txseq != number:
            yield Violation("gap", f"partition {partition}: transaction {transaction.applied.txseq} comes as {number}.")
            return


def _told(partition: int, history: list[Transaction], found: Committed) -> Iterator[Violation]:
    """The history for others tells the same transactions as the changelog."""
    told = [record.value for record in found.records[HISTORY_TOPIC, partition]]
    if told != [transaction.applied.encode() for transaction in history]:
        yield Violation("torn", f"partition {partition}: {HISTORY_TOPIC} tells {len(told)} of {len(history)} or others")


def _ends(partition: int, history: list[Transaction], found: Committed) -> Iterator[Violation]:
    hashes = {transaction.applied.txseq: transaction.applied.hash for transaction in history}
    applied = history[-1].applied.offsets if history else {}
    for topic in INPUTS:
        end = found.ends[topic, partition]
        offset, note = found.group.get((topic, partition), (0, ""))
        if not (offset == end == applied.get(topic, 0)):
            message = f"{topic} {partition}: end {end}, state {applied.get(topic, 0)}, group {offset}"
            yield Violation("behind", message)
        txseq, _, noted = note.partition(" ")
        if note and hashes.get(int(txseq)) != noted:
            yield Violation("behind", f"{topic} {partition}: the group's note {note!r} is of no transaction")


def _refold(partition: int, history: list[Transaction], found: Committed) -> Iterator[Violation]:
    """Fold the same inputs in the same transactions, and compare each with what is there."""
    committed = _outputs_by_txseq(partition, found)
    store, positions = MemoryStore(), dict.fromkeys(INPUTS, 0)
    for transaction in history:
        changes, applied = transaction
        records = {
            topic: found.records[topic, partition][positions[topic] : applied.offsets.get(topic, 0)] for topic in INPUTS
        }
        positions.update(applied.offsets)
        folding = Folding(Worker(), CHUNK_RECORDS, RECORD_BYTES)
        outcome = asyncio.run(folding.fold(in_order(records, PLACES), store, lambda: True))
        assert outcome is not None
        wanted = Counter((one.topic, one.key, one.value) for one in outcome.outputs)
        there = committed.pop(applied.txseq, Counter())
        if there != wanted:
            missing, more = wanted - there, there - wanted
            message = f"{missing.total()} outputs missing {_topics(missing)}, {more.total()} too many {_topics(more)}"
            yield Violation("torn", f"partition {partition}, transaction {applied.txseq}: {message}")
        if outcome.changes != changes:
            yield Violation("torn", f"partition {partition}, transaction {applied.txseq}: the changelog is another")
        elif digest(outcome.outputs, outcome.changes) != applied.hash:
            yield Violation("torn", f"partition {partition}, transaction {applied.txseq}: the hash is another")
        store.apply(changes)
    for txseq, outputs in committed.items():
        message = f"{outputs.total()} outputs {_topics(outputs)}, no such transaction in the changelog"
        yield Violation("torn", f"partition {partition}, transaction {txseq}: {message}")


def _outputs_by_txseq(partition: int, found: Committed) -> dict[int, Counter[Output]]:
    outputs: dict[int, Counter[Output]] = {}
    for topic in OUTPUTS:
        for record in found.records[topic, partition]:
            stated = header(record.headers, TXSEQ_HEADER)
            assert stated is not None, f"{topic} {partition} offset {record.offset} has no {TXSEQ_HEADER}"
            outputs.setdefault(int(stated), Counter())[topic, record.key, record.value] += 1
    return outputs


def _topics(outputs: Counter[Output]) -> dict[str, int]:
    topics = Counter[str]()
    for (topic, _, _), count in outputs.items():
        topics[topic] += count
    return dict(topics)
