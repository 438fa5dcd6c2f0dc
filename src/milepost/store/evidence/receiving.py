"""Bytes from outside, until they are evidence: counted, hashed, judged and synced under a name of chance, out of sight.

What is refused, cut off or crashed on the way was never there: it leaves at most a file in `incoming`, which the next
gateway prunes.
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256 as new_digest
from io import FileIO
from pathlib import Path

from milepost.store.evidence import media_types
from milepost.store.evidence.media_types import MismatchError, essence
from milepost.store.evidence.port import EvidenceStore, told

__all__ = ["Receiver", "RefusedError", "Stored"]

_SUFFIX = ".part"
_PRIVATE = 0o600


class RefusedError(Exception):
    """The upload is not kept. `code` is one of EMPTY, TOO_LARGE, TOO_SLOW, MEDIA_TYPE_UNKNOWN, CONTENT_MISMATCH and
    HASH_MISMATCH; the message names what was found and the way out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Stored:
    """A file that the store has, complete and durable. `new`: it was not there before."""

    sha256: str
    size_bytes: int
    media_type: str
    new: bool


class Receiver:
    """Takes uploads into `folder`/incoming and hands what is sound to the store; several may share a folder."""

    def __init__(
        self, store: EvidenceStore, folder: Path, *, max_bytes: int, timeout_s: float, allowed: frozenset[str]
    ) -> None:
        """`timeout_s`: for a whole upload; `allowed`: of `MEDIA_TYPES`."""
        self._store, self._incoming = store, folder / "incoming"
        self._max_bytes, self._timeout_s, self._allowed = max_bytes, timeout_s, allowed

    async def receive(self, pieces: AsyncIterator[bytes], media_type: str, sha256: str | None = None) -> Stored:
        """Take one file. `sha256`: what the sender says it is, in hex; None: nothing was said.

        Raises `RefusedError`, `StoreError`, and whatever `pieces` raises; nothing is kept then.
        """
        kind = essence(media_type)
        if kind not in self._allowed:
            raise RefusedError(
                "MEDIA_TYPE_UNKNOWN",
                f"{kind[:80] or 'no media type'!r} is not kept; send {', '.join(sorted(self._allowed))}",
            )
        part = self._incoming / f"{secrets.token_hex(16)}{_SUFFIX}"
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                digest, size_bytes = await self._write(pieces, part)
            await self._judge(part, kind, size_bytes, digest, sha256)
            new = await self._store.keep(part, digest)
        except TimeoutError:
            if not limit.expired():
                raise
            raise RefusedError("TOO_SLOW", f"not complete after {self._timeout_s:.0f} s; send it again") from None
        finally:
            _discard(part)
        return Stored(digest, size_bytes, kind, new)

    def prune(self, now_s: float | None = None) -> int:
        """Remove what uploads left that nobody works on any more; how many files that were.

        Raises `StoreError`.
        """
        # Twice the time that any upload can take: another process's may be on its way.
        before = (time.time() if now_s is None else now_s) - 2 * self._timeout_s
        pruned = 0
        with told(self._incoming):
            for path in self._incoming.glob(f"*{_SUFFIX}") if self._incoming.is_dir() else ():
                try:
                    if path.stat().st_mtime < before:
                        path.unlink()
                        pruned += 1
                except FileNotFoundError:
                    continue  # another gateway was faster
        return pruned

    async def _write(self, pieces: AsyncIterator[bytes], part: Path) -> tuple[str, int]:
        digest, size_bytes = new_digest(), 0
        with told(part.parent):
            file = await asyncio.to_thread(_create, part)
        with file:
            async for piece in pieces:
                size_bytes += len(piece)
                if size_bytes > self._max_bytes:
                    raise RefusedError("TOO_LARGE", f"more than {self._max_bytes} bytes; send a smaller file")
                digest.update(piece)
                with told(part.parent):
                    await asyncio.to_thread(_write_all, file, piece)
        return digest.hexdigest(), size_bytes

    @staticmethod
    async def _judge(part: Path, kind: str, size_bytes: int, digest: str, sha256: str | None) -> None:
        if size_bytes == 0:
            raise RefusedError("EMPTY", "0 bytes; an empty file proves nothing")
        if sha256 is not None and sha256 != digest:
            raise RefusedError(
                "HASH_MISMATCH",
                f"the bytes that came have the SHA-256 {digest}, not {sha256[:80]}; send the file again",
            )
        try:
            await asyncio.to_thread(media_types.check, part, kind)
        except MismatchError as error:
            raise RefusedError("CONTENT_MISMATCH", f"declared as {kind}, but it is {error}") from error


def _discard(part: Path) -> None:
    # What cannot be removed now is pruned later; the upload's own fate is what the caller has to hear of.
    with suppress(OSError):
        part.unlink(missing_ok=True)


def _create(part: Path) -> FileIO:
    part.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb", buffering=0)


def _write_all(file: FileIO, piece: bytes) -> None:
    # Unbuffered, so that closing has nothing left to write that could fail; a nearly full disk takes a part only.
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]
