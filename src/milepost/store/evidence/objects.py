"""Evidence in an object store (S3, Google Cloud Storage, Azure): `ab/ab12...` below the URL's path.

An upload there is seen whole or not at all, so it needs no second name; `create` refuses a name that is taken, so a
second upload changes nothing. Credentials are the provider's own affair: its environment variables, or the machine's
role.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from milepost.store.evidence.checking import digest_of
from milepost.store.evidence.port import CHUNK_BYTES, MissingError, StoreError, is_hash

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["ObjectEvidenceStore", "open_objects"]


def open_objects(url: str) -> "ObjectEvidenceStore":
    """The store at s3://BUCKET/PATH and the like; connects to nothing yet. Raises `StoreError` for what is no such URL
    and where the library is missing."""
    if urlsplit(url).scheme in ("", "http", "https"):  # which the library would take for a folder of web pages
        raise StoreError(f"MILEPOST_EVIDENCE_URL {url!r} names no object store; write s3://BUCKET/PATH, gs:// or az://")
    try:
        import obstore.exceptions
        from obstore.store import from_url
    except ImportError:
        raise StoreError(
            "MILEPOST_EVIDENCE_URL names an object store, whose library is not installed: pip install 'milepost[s3]'"
        ) from None
    try:
        return ObjectEvidenceStore(from_url(url))
    except (obstore.exceptions.BaseError, ValueError) as error:
        raise StoreError(f"MILEPOST_EVIDENCE_URL cannot be used: {_brief(error)}; write s3://BUCKET/PATH") from None


class ObjectEvidenceStore:
    """An `EvidenceStore` in an object store of `obstore`."""

    def __init__(self, objects: "ObjectStore") -> None:
        self._objects = objects

    async def keep(self, source: Path, sha256: str) -> bool:
        """See the port."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        key = _key(sha256)
        content = await asyncio.to_thread(source.read_bytes)  # the gateway's limit keeps it small enough
        with _told():
            try:
                await obstore.put_async(self._objects, key, content, mode="create")
                return True
            except AlreadyExistsError:
                if not (await digest_of(self, sha256)).sound:
                    await obstore.put_async(self._objects, key, content, mode="overwrite", use_multipart=False)
                return False

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        """See the port."""
        import obstore

        key = _key(sha256)
        with _told():
            try:
                found = await obstore.get_async(self._objects, key)
            except FileNotFoundError:
                raise MissingError(sha256) from None
            async for piece in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(piece)

    async def size_bytes(self, sha256: str) -> int | None:
        """See the port."""
        import obstore

        key = _key(sha256)
        with _told():
            try:
                return (await obstore.head_async(self._objects, key))["size"]
            except FileNotFoundError:
                return None

    async def hashes(self) -> AsyncIterator[str]:
        """See the port; strangers' objects below the URL are none of ours."""
        import obstore

        with _told():
            async for page in obstore.list(self._objects):
                for found in page:
                    folder, _, name = found["path"].rpartition("/")
                    if is_hash(name) and folder == name[:2]:
                        yield name


def _key(sha256: str) -> str:
    # The only way from a name to a key, and it takes hashes only.
    if not is_hash(sha256):
        raise ValueError(f"{sha256[:80]!r} is no SHA-256 in lower-case hex")
    return f"{sha256[:2]}/{sha256}"


@contextmanager
def _told() -> Iterator[None]:
    """The provider's refusals in words."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreError(f"the object store refused: {_brief(error)}; see MILEPOST_EVIDENCE_URL") from error


def _brief(error: Any) -> str:
    """The first line of what can be pages long."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
