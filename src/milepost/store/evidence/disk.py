"""Evidence in a folder: `objects/ab/ab12...`, each file complete, durable and read-only from its first moment.

A file is written and synced elsewhere in the same folder and then given its name, which a file system does at once or
not at all; the folder is synced after it, so that the name survives a power cut as the bytes do. Several processes may
share the folder.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from hashlib import file_digest
from pathlib import Path

from milepost.store.evidence.port import CHUNK_BYTES, MissingError, is_hash, told

__all__ = ["DiskStore"]

_READ_ONLY = 0o440


class DiskStore:
    """An `EvidenceStore` in `folder`/objects; the folder is made when the first file comes."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"

    async def keep(self, source: Path, sha256: str) -> bool:
        """See the port. `source` must be on the same file system."""
        return await asyncio.to_thread(self._keep, source, self._path(sha256), sha256)

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        """See the port."""
        path = self._path(sha256)
        with told(path):
            try:
                file = await asyncio.to_thread(path.open, "rb")
            except FileNotFoundError:
                raise MissingError(sha256) from None
            with file:
                while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield piece

    async def size_bytes(self, sha256: str) -> int | None:
        """See the port."""
        path = self._path(sha256)
        with told(path):
            try:
                return (await asyncio.to_thread(path.stat)).st_size
            except FileNotFoundError:
                return None

    async def hashes(self) -> AsyncIterator[str]:
        """See the port; strangers' files in the folder are none of ours."""
        with told(self._objects):
            for folder in await asyncio.to_thread(_names, self._objects):
                for name in await asyncio.to_thread(_names, self._objects / folder):
                    if is_hash(name):
                        yield name

    def _path(self, sha256: str) -> Path:
        # The only way from a name to a path, and it takes hashes only.
        if not is_hash(sha256):
            raise ValueError(f"{sha256[:80]!r} is no SHA-256 in lower-case hex")
        return self._objects / sha256[:2] / sha256

    @staticmethod
    def _keep(source: Path, path: Path, sha256: str) -> bool:
        with told(path):
            source.chmod(_READ_ONLY)
            _sync(source)
            for folder in (path.parent.parent, path.parent):
                if not folder.is_dir():
                    folder.mkdir(parents=True, exist_ok=True)
                    _sync(folder.parent)
            new = _named(source, path)
            if not new and _digest(path) != sha256:
                source.replace(path)  # what is there was damaged
            _sync(path.parent)
            return new


def _named(source: Path, path: Path) -> bool:
    """Give a file its name, unless it is taken: of many at once one does."""
    try:
        path.hardlink_to(source)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links. Two at once may both think that they were first; the bytes are the same.
        if path.is_file():
            return False
        source.replace(path)
    return True


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    if sys.platform == "win32" and path.is_dir():
        return  # a folder cannot be opened there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
