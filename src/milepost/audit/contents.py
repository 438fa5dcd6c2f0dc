"""What a signed head says beside the chain's newest hash: digests over what was sent, billed, withheld and asked for.

Audit entries hash no content, and stay as they are; so the anchors bind it. A digest runs over SHA-256 hashes in order,
each `SHA-256(digest so far + hash)` of the two in hex, from 64 zeros, and says over how many it goes where the trail
does not: a later head goes on where an earlier one ended, and both can be recomputed from the same list.

- `events`: for each audit entry up to the head that names an input record, the hash of that record: of its value, with
  the header that names its schema before it where there is one; 64 zeros for a record that its topic no longer has.
- `invoice-lines`, `retention-events`, `approval-requests`: the first so many of the engagement, in the order of the
  topic; the hash is that of the Avro body without its framing, `body_sha256` in the ledger.
- `before`: the number of the anchor that has this engagement's head before this one; 0 where there is none.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["GONE", "TOPICS", "event_hash", "faults", "grown", "rolled"]

TOPICS = ("invoice-lines", "retention-events", "approval-requests")
_START = "0" * 64
GONE = "0" * 64

Contents = Mapping[str, Any]


def event_hash(value: bytes, schema_header: bytes) -> str:
    """Of an input record; the header is empty where the value begins with its schema's id."""
    return hashlib.sha256(schema_header + value).hexdigest()


def rolled(hashes: Iterable[str], start: str = _START) -> str:
    """The digest over hashes, or of one that goes on."""
    for one in hashes:
        start = hashlib.sha256((start + one).encode()).hexdigest()
    return start


def grown(
    before: int, contents: Contents | None, events: Iterable[str], bodies: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The contents of the next head: those of the one before (None: from the start), and what came since then."""
    known: Contents = contents or {}
    found: dict[str, Any] = {"before": before, "events": rolled(events, known.get("events", _START))}
    for topic in TOPICS:
        count, digest = known.get(topic, (0, _START))
        found[topic] = [count + len(bodies[topic]), rolled(bodies[topic], digest)]
    return found


def faults(signed: Iterable[tuple[int, Contents | None]], bodies: Mapping[str, Sequence[str]]) -> list[str]:
    """Where the hashes that the ledger keeps contradict the contents of signed heads, each with its anchor's number."""
    found = []
    for number, contents in signed:
        for topic in TOPICS if contents else ():
            count, digest = (contents or {})[topic]
            if len(bodies[topic]) < count:
                found.append(f"{count} {topic} were signed in anchor {number}, {len(bodies[topic])} are there")
            elif rolled(bodies[topic][:count]) != digest:
                found.append(f"the first {count} {topic} are not those that were signed in anchor {number}")
    return found
