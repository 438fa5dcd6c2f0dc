"""State by parts, and a batch's staged copy of it.

A store offers `Parts`: encoded bytes by key. The fold reads and writes through `Staged`, which decodes a part when it
is first touched and encodes it once at the end of a batch; nothing reaches the store before the transaction is
committed, and throwing the copy away undoes a batch.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

import msgspec

__all__ = ["Parts", "Staged"]

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}


class Parts(Protocol):
    """What the fold needs of a store: bytes by key, and the keys of a range in ascending order."""

    def get(self, key: bytes) -> bytes | None:
        """The bytes under `key`, or None."""

    def keys(self, start: bytes, stop: bytes) -> Iterable[bytes]:
        """The keys with start <= key < stop, ascending."""


class Staged:
    """A batch's copy: what was read is decoded once, what was written is kept until `changes` hands it out."""

    __slots__ = ("_live", "_parts", "_written")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._live: dict[bytes, Any] = {}
        self._written: dict[bytes, Any] = {}  # insertion order is the order of `changes`; None deletes

    def load(self, key: bytes, kind: type[T]) -> T | None:
        """The part under `key` as `kind`, decoded on first use; the object is shared within the batch."""
        found = self._live.get(key)
        if found is None and key not in self._written:
            raw = self._parts.get(key)
            if raw is None:
                return None
            decoder = _decoders.get(kind)
            if decoder is None:
                decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
            found = self._live[key] = decoder.decode(raw)
        return found

    def raw(self, key: bytes) -> bytes | None:
        """The bytes under `key`, for parts that are compared or cached as bytes."""
        if key in self._written:
            part = self._written[key]
            return part if part is None or isinstance(part, bytes) else _encode(part)
        return self._parts.get(key)

    def save(self, key: bytes, part: object) -> None:
        """Write `part` at the end of the batch; further changes to the same object are written with it."""
        self._live[key] = part
        self._written[key] = part

    def delete(self, key: bytes) -> None:
        """Delete the part at the end of the batch."""
        self._live.pop(key, None)
        self._written[key] = None

    def keys(self, start: bytes, stop: bytes) -> list[bytes]:
        """The keys with start <= key < stop, ascending, as they are after what was written."""
        found = [key for key in self._parts.keys(start, stop) if key not in self._written]
        for key, part in self._written.items():
            if part is not None and start <= key < stop:
                found.insert(bisect_left(found, key), key)
        return found

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Every written key with its bytes, None for a deletion, in the order in which they were first written."""
        return [
            (key, part if part is None or isinstance(part, bytes) else _encode(part))
            for key, part in self._written.items()
        ]
