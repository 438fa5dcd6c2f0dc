"""The store and its receiver as the settings name them."""

from pathlib import Path

from milepost.settings import Settings
from milepost.store.evidence.disk import DiskStore
from milepost.store.evidence.media_types import MEDIA_TYPES, essence
from milepost.store.evidence.objects import open_objects
from milepost.store.evidence.port import EvidenceStore, StoreError
from milepost.store.evidence.receiving import Receiver

__all__ = ["open_receiver", "open_store"]


def open_store(settings: Settings) -> EvidenceStore:
    """The object store of `evidence_url`, or the folder `evidence_dir`; touches neither yet. Raises `StoreError`."""
    return open_objects(settings.evidence_url) if settings.evidence_url else DiskStore(Path(settings.evidence_dir))


def open_receiver(settings: Settings, store: EvidenceStore) -> Receiver:
    """What takes uploads for a store. Raises `StoreError` for a media type that nothing here recognises."""
    named = frozenset(essence(name) for name in settings.evidence_media_types.split(",") if name.strip())
    if unknown := named - MEDIA_TYPES.keys():
        raise StoreError(
            f"MILEPOST_EVIDENCE_MEDIA_TYPES names {', '.join(sorted(unknown))}, which is not recognised by content; "
            f"choose among {', '.join(sorted(MEDIA_TYPES))}"
        )
    return Receiver(
        store,
        Path(settings.evidence_dir),
        max_bytes=settings.evidence_max_bytes,
        timeout_s=settings.evidence_timeout_ms / 1000,
        allowed=named or frozenset(MEDIA_TYPES),
    )
