"""What a store of evidence does, whatever it is made of."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

__all__ = ["CHUNK_BYTES", "EvidenceStore", "MissingError", "StoreError", "is_hash", "told"]

CHUNK_BYTES = 1 << 18
"""How much of a file is in memory at a time."""

_HASH = re.compile(r"[0-9a-f]{64}")


class StoreError(Exception):
    """The store cannot be used: it is away, full, or not configured; the message says which, and the way out."""


class MissingError(Exception):
    """The store does not have that file."""


class EvidenceStore(Protocol):
    """Files by the SHA-256 of their bytes, in lower-case hex. Every method raises `StoreError`."""

    async def keep(self, source: Path, sha256: str) -> bool:
        """Keep a local, complete file that has this hash, durably; True if it was not there yet.

        Until this returns nobody sees it; afterwards nothing changes it. The same file again is the same object, and
        heals one that was damaged. The caller's file may be gone afterwards.
        """
        ...

    def read(self, sha256: str) -> AsyncIterator[bytes]:
        """The bytes in pieces, as they are there: comparing the hash is the reader's affair. Raises `MissingError`."""
        ...

    async def size_bytes(self, sha256: str) -> int | None:
        """How long it is; None if it is not there."""
        ...

    def hashes(self) -> AsyncIterator[str]:
        """Every file that is there, in no particular order."""
        ...


def is_hash(text: str) -> bool:
    """Whether a text is a SHA-256 as stores name files: 64 lower-case hex digits."""
    return _HASH.fullmatch(text) is not None


@contextmanager
def told(path: Path) -> Iterator[None]:
    """The operating system's refusals in words: `StoreError` for `OSError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; see MILEPOST_EVIDENCE_DIR") from error
