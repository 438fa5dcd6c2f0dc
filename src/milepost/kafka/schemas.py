"""What a consumer asks before it hands records on: whether their schemas can be known at all.

With a registry service a record may name a schema that nobody here has seen. Whether it exists is for the registry to
say; while that is away, the records wait where they are (`log.HoldError`), for they are not wrong. A command that reads
them again asks in the same way (`ask`), so that it understands what the processes understood.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol
from uuid import UUID

from milepost.codec.registry import Registry
from milepost.codec.wire import Undecodable, unframe

__all__ = ["Schemas", "ask", "unknown_keys"]


class Schemas(Protocol):
    """Where schemas come from that are no files of this installation."""

    @property
    def registry(self) -> Registry:
        """What is known."""

    async def ensure(self, keys: Iterable[int | UUID]) -> None:
        """Know what stands behind ids and GUIDs, as far as anybody does. Raises `AwayError` while nobody answers."""


def unknown_keys(registry: Registry, records: Iterable[Any]) -> set[int | UUID]:
    """Ids and GUIDs that records name and nobody here knows; what is framed wrongly names none."""
    found: set[int | UUID] = set()
    for record in records:
        value = record.value or b""
        if value[:1] == b"\0" and not record.headers and registry.knows(int.from_bytes(value[1:5], "big")):
            continue
        try:
            key, _ = unframe(value, record.headers)
        except Undecodable:
            continue
        if not registry.knows(key):
            found.add(key)
    return found


def ask(schemas: Schemas | None, records: Iterable[Any]) -> None:
    """Know the schemas that records name, as far as anybody does; for a command, not from within an event loop.

    Raises `AwayError` while nobody answers and one of them is not known yet.
    """
    if schemas is not None and (unknown := unknown_keys(schemas.registry, records)):
        asyncio.run(schemas.ensure(unknown))
