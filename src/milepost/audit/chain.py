"""Checks an engagement's audit trail: nothing changed, missing, doubled or out of order since the join wrote it.

Computed from events.md alone, sharing no code with the engine that writes the entries. A chain by itself cannot show
that its newest entries were cut off, or that all of it was written anew; for that, compare `head` with one kept
elsewhere.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from milepost.core.outputs import AuditEntry

__all__ = ["ChainReport", "entry_hash", "verify"]

_INSTANTS = ("occurred_at", "recorded_at")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ChainReport:
    """`faults` is empty for a sound chain; `head` is the last entry's hash (64 zeros when there are no entries)."""

    engagement_id: str
    entries: int
    head: str
    faults: tuple[str, ...]


def entry_hash(entry: AuditEntry) -> str:
    """SHA-256 of the entry without its hash, as canonical JSON: sorted keys, no spaces, UTF-8, instants in ISO 8601.

    Raises `OverflowError` for an instant outside the years 1 to 9999.
    """
    fields: dict[str, Any] = msgspec.structs.asdict(entry)
    del fields["hash"]
    for name in _INSTANTS:
        fields[name] = f"{_EPOCH + timedelta(microseconds=fields[name]):%Y-%m-%dT%H:%M:%S.%fZ}"
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def verify(engagement: str, entries: Sequence[AuditEntry], previous: str = "0" * 64, sequence: int = 0) -> ChainReport:
    """Check one engagement's entries, given in the order in which they are stored: all, or those after an entry."""
    faults: list[str] = []
    for entry in entries:
        sequence += 1
        where = f"entry {entry.sequence} ({entry.what})"
        if entry.engagement_id != engagement:
            faults.append(f"{where} belongs to {entry.engagement_id}")
        if entry.sequence != sequence:
            faults.append(f"{where} stands where entry {sequence} belongs")
            sequence = entry.sequence
        if entry.previous_hash != previous:
            faults.append(f"{where} does not follow the entry before it: previous_hash is {entry.previous_hash}")
        if entry.hash != entry_hash(entry):
            faults.append(f"{where} was changed: its hash should be {entry_hash(entry)}, it says {entry.hash}")
        previous = entry.hash
    return ChainReport(engagement, len(entries), previous, tuple(faults))
