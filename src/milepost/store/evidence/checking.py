"""Whether every file is still what its name says: all of it is read again and hashed."""

from collections.abc import AsyncIterator
from hashlib import sha256 as new_digest
from typing import NamedTuple

from milepost.store.evidence.port import EvidenceStore

__all__ = ["Looked", "digest_of", "look"]


class Looked(NamedTuple):
    """One file of a store: its name, the hash of the bytes that are there, and how many they are."""

    sha256: str
    found: str
    size_bytes: int

    @property
    def sound(self) -> bool:
        """Whether the bytes are those that were kept."""
        return self.sha256 == self.found


async def look(store: EvidenceStore) -> AsyncIterator[Looked]:
    """Every file of a store, in no particular order. Raises `StoreError`."""
    async for sha256 in store.hashes():
        yield await digest_of(store, sha256)


async def digest_of(store: EvidenceStore, sha256: str) -> Looked:
    """Read one file whole. Raises `MissingError`, `StoreError`."""
    digest, size_bytes = new_digest(), 0
    async for piece in store.read(sha256):
        digest.update(piece)
        size_bytes += len(piece)
    return Looked(sha256, digest.hexdigest(), size_bytes)
