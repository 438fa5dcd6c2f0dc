"""What only a folder does: it has no hard links somewhere, and its files are shared by processes."""

from hashlib import sha256
from pathlib import Path

import pytest

from milepost.store.evidence.disk import DiskStore

CONTENT = b"accepted"
HASH = sha256(CONTENT).hexdigest()


async def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    store, kept = DiskStore(tmp_path / "evidence"), []
    for number in range(2):
        source = tmp_path / f"{number}.part"
        source.write_bytes(CONTENT)
        kept.append(await store.keep(source, HASH))
    assert kept == [True, False]
    assert [piece async for piece in store.read(HASH)] == [CONTENT]
