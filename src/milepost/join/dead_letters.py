"""Dead letters: the original record, byte for byte, and headers that say what was wrong with it and where it came from.

Added headers (at most 4 KiB, no stack traces): Kafka Connect's names where it has one, `x-original-topic`, and
`milepost-error-code` (the reason of events.md, or FOLD_FAILED for a record that makes the fold raise),
`milepost-dead-letter-id` (SHA-256 of topic/partition/offset), `milepost-first-seen`, `milepost-attempts`. They come
after the record's own headers, which stay as they are, `milepost-replay-of` among them. Readers take the last of a
name.

A record above 900 KiB would not fit into the topic: its value, and if need be its headers and its key, are left out and
named by `milepost-value-sha256` and `milepost-value-size-bytes` (`-headers-`, `-key-`) instead.
"""

from collections.abc import Iterable
from hashlib import sha256

from milepost.codec.topics import DEAD_LETTER_TOPIC
from milepost.codec.wire import Outgoing, Record, header
from milepost.core.calendar import instant_text

__all__ = ["ADDED_LIMIT_BYTES", "FOLD_FAILED", "RECORD_LIMIT_BYTES", "dead_letter", "dead_letter_id"]

FOLD_FAILED = "FOLD_FAILED"
"""Reason for a record that makes the fold raise; the batch is bisected to find it."""

ADDED_LIMIT_BYTES = 4096
# Below the default `max.message.bytes` (1 MiB) by what a batch and the added headers need.
RECORD_LIMIT_BYTES = 900 * 1024
# What remains of the 4 KiB when the other headers carry a topic's longest name (249) and their own names.
_MESSAGE_LIMIT_BYTES = 2048

# Kafka Connect's stages, as tools that read its headers know them.
_STAGES = {
    "UNDECODABLE": "VALUE_CONVERTER",
    "UNKNOWN_SCHEMA": "VALUE_CONVERTER",
    "KEY_MISMATCH": "KEY_CONVERTER",
    "OUTPUT_REJECTED": "TASK_PUT",
}


def dead_letter(record: Record, reason: str, message: str) -> Outgoing:
    """The dead letter of a record: `reason` is the error code, `message` is cut to 2 KiB."""
    attempts = header(record.headers, "milepost-attempts")
    added = [
        ("__connect.errors.topic", record.topic.encode()),
        ("__connect.errors.partition", str(record.partition).encode()),
        ("__connect.errors.offset", str(record.offset).encode()),
        ("__connect.errors.stage", _STAGES.get(reason, "TRANSFORMATION").encode()),
        ("__connect.errors.exception.class.name", f"milepost.{reason}".encode()),
        ("__connect.errors.exception.message", _cut(message, _MESSAGE_LIMIT_BYTES)),
        ("x-original-topic", record.topic.encode()),
        ("milepost-error-code", reason.encode()),
        ("milepost-dead-letter-id", dead_letter_id(record.topic, record.partition, record.offset).encode()),
        ("milepost-first-seen", _first_seen(record)),
        ("milepost-attempts", str(_number(attempts) + 1).encode()),
    ]
    key, value, headers = record.key, record.value, list(record.headers)
    if value is not None and _size(key, value, headers) > RECORD_LIMIT_BYTES:
        added += _named("value", value)
        value = None
    if _size(key, value, headers) > RECORD_LIMIT_BYTES:
        added += _named("headers", b"".join(name.encode() + (content or b"") for name, content in headers))
        headers = []
    if key is not None and _size(key, value, headers) > RECORD_LIMIT_BYTES:
        added += _named("key", key)
        key = None
    assert _size(None, None, added) <= ADDED_LIMIT_BYTES
    return Outgoing(DEAD_LETTER_TOPIC, key, value, headers + added)


def dead_letter_id(topic: str, partition: int, offset: int) -> str:
    """The same for a record however often it is read: SHA-256 of `topic/partition/offset`, in hex."""
    return sha256(f"{topic}/{partition}/{offset}".encode()).hexdigest()


def _size(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> int:
    return (
        len(key or b"") + len(value or b"") + sum(len(name.encode()) + len(content or b"") for name, content in headers)
    )


def _named(what: str, content: bytes) -> list[tuple[str, bytes]]:
    return [
        (f"milepost-{what}-sha256", sha256(content).hexdigest().encode()),
        (f"milepost-{what}-size-bytes", str(len(content)).encode()),
    ]


def _cut(text: str, limit: int) -> bytes:
    """The text on one line as UTF-8, at most `limit` bytes, cut between characters."""
    encoded = " ".join(text.split()).encode(errors="replace")
    if len(encoded) <= limit:
        return encoded
    return encoded[: limit - 3].decode(errors="ignore").encode() + b"..."


def _first_seen(record: Record) -> bytes:
    """When it was first a dead letter's record: what an earlier attempt says, else the record's timestamp."""
    stated = header(record.headers, "milepost-first-seen")
    if stated is not None and len(stated) <= 64:
        return stated
    try:
        return instant_text(record.timestamp * 1000).encode()
    except (OverflowError, ValueError):
        return str(record.timestamp).encode()  # a producer may claim any timestamp


def _number(text: bytes | None) -> int:
    """The attempts an earlier dead letter counted; 0 for none, or for what is no small number."""
    return int(text) if text is not None and text.isdigit() and len(text) <= 6 else 0
