"""Dead letters from the operator's side: what is in them, what sending them again would bill, and sending them again.

A dead letter is sent to the topic and partition it came from, byte for byte as it was, with its event id: whatever it
said already, the join recognises. Added are `milepost-replay-of` (the dead letter's id), and what it was tried so far.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from milepost.codec import records
from milepost.codec.topics import INPUTS, STATE_TOPIC, TOPICS
from milepost.codec.wire import Outgoing, Record, Undecodable, header
from milepost.core.outputs import AuditEntry, InvoiceLine, RetentionEvent
from milepost.join.dead_letters import dead_letter_id
from milepost.kafka.scanning import Place, Scan, read_one
from milepost.kafka.schemas import Schemas
from milepost.operations.refold import fold_batch
from milepost.settings import Settings
from milepost.sql import actions
from milepost.sql.engine import Engine
from milepost.sql.reading import DeadLetterSummary, LedgerReading
from milepost.store.memory import MemoryStore

__all__ = [
    "DISCARDED",
    "OPEN",
    "REPLAYED",
    "Letter",
    "Outlook",
    "again",
    "decoded",
    "foresee",
    "letters",
    "original",
    "state",
]

OPEN, REPLAYED, DISCARDED = "OPEN", "REPLAYED", "DISCARDED"

# What the join added; everything else was there before (join/dead_letters.py).
_ADDED = ("__connect.errors.", "milepost-value-", "milepost-headers-", "milepost-key-")
_ADDED_NAMES = {"x-original-topic", "milepost-error-code", "milepost-dead-letter-id"}
_CARRIED_NAMES = {"milepost-attempts", "milepost-first-seen", "milepost-replay-of"}


@dataclass(frozen=True)
class Letter:
    """A dead letter as the ledger has it, its id, and what was done about it: OPEN, REPLAYED or DISCARDED."""

    id: str
    summary: DeadLetterSummary
    state: str
    done: tuple[actions.Action, ...]


@dataclass
class Outlook:
    """What sending a dead letter again would do now: lines, retention, audit reasons, or the reason why it is dead."""

    letter: Letter
    lines: list[InvoiceLine]
    retention: list[RetentionEvent]
    outcomes: list[str]
    dead: str | None = None


def letters(engine: Engine) -> list[Letter]:
    """Every dead letter that the ledger has, in the order in which they came. Raises `UnavailableError`."""
    done: dict[str, list[actions.Action]] = {}
    for entry in actions.of(engine):
        done.setdefault(entry.subject, []).append(entry)
    found = []
    for summary in LedgerReading(engine).dead_letters():
        name = summary.dead_letter_id or dead_letter_id(
            summary.record_topic, summary.record_partition, summary.record_offset
        )
        entries = tuple(done.get(name, ()))
        found.append(Letter(name, summary, state(entries), entries))
    return found


def state(done: Sequence[actions.Action]) -> str:
    """What the last action left a dead letter in; a replay that the brokers did not take leaves it open."""
    last = done[-1].action if done else OPEN
    return last if last in (REPLAYED, DISCARDED) else OPEN


def original(settings: Settings, letter: Letter, schemas: Schemas | None = None) -> Record | str:
    """The record as it came, or why it cannot be had; `schemas` is asked for the one it names. Raises `ScanError`."""
    found = letter.summary
    where = f"{found.record_topic}[{found.record_partition}] offset {found.record_offset}"
    kept = read_one(settings, Place(found.record_topic, found.record_partition), found.record_offset, schemas)
    if kept is None:
        return f"{where} is not kept any more"
    if found.original_topic is None or found.original_partition is None or found.original_offset is None:
        return f"{where} does not say which record it was"
    if found.original_topic not in TOPICS:
        return f"{where} came from {found.original_topic!r}, which is no topic of this release"
    left_out = header(kept.headers, "milepost-value-sha256")
    if left_out is None and found.record_topic == found.original_topic:
        return kept
    place = Place(found.original_topic, found.original_partition)
    if left_out is None:
        headers = tuple((name, value) for name, value in kept.headers if not _added(name))
        return Record(*place, found.original_offset, kept.timestamp, kept.key, kept.value, headers)
    # Too large for the topic: the record itself is still where it was.
    record = read_one(settings, place, found.original_offset, schemas)
    if record is None or sha256(record.value or b"").hexdigest().encode() != left_out:
        return f"{where} names a value of {found.original_topic} that is not kept any more"
    carried = tuple((name, value) for name, value in kept.headers if name in _CARRIED_NAMES)
    return record._replace(headers=(*record.headers, *carried))


def again(letter: Letter, record: Record) -> Outgoing:
    """The record to send: the original with what is known of its earlier attempts."""
    headers = [(name, value) for name, value in record.headers if name not in _CARRIED_NAMES]
    carried = {name: value for name, value in record.headers if name in _CARRIED_NAMES}
    carried["milepost-replay-of"] = letter.id.encode()
    return Outgoing(record.topic, record.key, record.value, [*headers, *carried.items()])


def foresee(settings: Settings, chosen: Iterable[tuple[Letter, Record]]) -> list[Outlook]:
    """Fold the records over the state as it is now, without writing anything; one after the other, as they would come.

    Raises `ScanError`.
    """
    found: list[Outlook] = []
    stores: dict[int, MemoryStore] = {}
    for letter, record in chosen:
        outlook = Outlook(letter, [], [], [])
        found.append(outlook)
        if record.topic not in INPUTS:
            outlook.outcomes.append("read by the ledger, not by the join")
            continue
        store = stores.get(record.partition)
        if store is None:
            store = stores[record.partition] = _restored(settings, record.partition)
        _fold(outlook, record, store)
    return found


def _fold(outlook: Outlook, record: Record, store: MemoryStore) -> None:
    folded = fold_batch([record], store, {})
    store.apply(folded.changes)
    for output in folded.outputs:
        if output.topic == "dead-letters":
            code, message = (
                (header(output.headers, name) or b"").decode()
                for name in ("milepost-error-code", "__connect.errors.exception.message")
            )
            outlook.dead = f"{code}: {message}"
            continue
        stated = records.decode_output(output.topic, output.value or b"", output.headers)
        if isinstance(stated, InvoiceLine):
            outlook.lines.append(stated)
        elif isinstance(stated, RetentionEvent):
            outlook.retention.append(stated)
        elif isinstance(stated, AuditEntry) and stated.what not in ("LINE", "RETENTION"):
            outlook.outcomes.append(stated.what + (f" {stated.reason}" if stated.reason else ""))


def _restored(settings: Settings, partition: int) -> MemoryStore:
    store, place = MemoryStore(), Place(STATE_TOPIC, partition)
    with Scan(settings, [place]) as scan:
        for record in scan.all(place):
            assert record.key is not None
            store.apply([(record.key, record.value)])
    return store


def _added(name: str) -> bool:
    return name in _ADDED_NAMES or name.startswith(_ADDED)


def decoded(record: Record) -> object:
    """The event in a record as JSON, or what is wrong with its bytes."""
    try:
        return records.event_to_json(records.read(record.topic, record.value or b"", record.headers))  # type: ignore[arg-type]
    except Undecodable as error:
        return {"undecodable": error.message}
