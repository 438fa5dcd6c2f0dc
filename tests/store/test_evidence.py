"""Evidence in a store: complete or not there, never changed, found damaged; in a folder and in object stores alike."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from milepost.settings import load
from milepost.store.evidence.checking import look
from milepost.store.evidence.disk import DiskStore
from milepost.store.evidence.media_types import MEDIA_TYPES
from milepost.store.evidence.objects import ObjectEvidenceStore
from milepost.store.evidence.opening import open_receiver, open_store
from milepost.store.evidence.port import EvidenceStore, MissingError, StoreError
from milepost.store.evidence.receiving import Receiver, RefusedError, Stored
from tests.store.samples import PDF, PNG

LIMIT_BYTES = 4096
HASH = sha256(PDF).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


@pytest.fixture(params=["disk", "local objects", "objects in memory"])
def store(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> EvidenceStore:
    if request.param == "disk":
        return DiskStore(folder)
    if request.param == "objects in memory":
        return ObjectEvidenceStore(MemoryStore())
    (tmp_path / "bucket").mkdir()
    return ObjectEvidenceStore(LocalStore(tmp_path / "bucket"))


@pytest.fixture
def receiver(store: EvidenceStore, folder: Path) -> Receiver:
    return receiver_of(store, folder)


def receiver_of(store: EvidenceStore, folder: Path, timeout_s: float = 60.0) -> Receiver:
    return Receiver(store, folder, max_bytes=LIMIT_BYTES, timeout_s=timeout_s, allowed=frozenset(MEDIA_TYPES))


async def pieces(content: bytes, size_bytes: int = 100) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size_bytes):
        yield content[start : start + size_bytes]


async def whole(store: EvidenceStore, name: str) -> bytes:
    return b"".join([piece async for piece in store.read(name)])


async def names(store: EvidenceStore) -> list[str]:
    return sorted([name async for name in store.hashes()])


def left(folder: Path) -> list[Path]:
    incoming = folder / "incoming"
    return sorted(incoming.iterdir()) if incoming.is_dir() else []


async def test_an_upload_is_kept_under_its_hash(store: EvidenceStore, receiver: Receiver, folder: Path) -> None:
    assert await names(store) == []
    stored = await receiver.receive(pieces(PDF), "application/pdf", HASH)
    assert stored == Stored(HASH, len(PDF), "application/pdf", new=True)
    assert await whole(store, HASH) == PDF
    assert await store.size_bytes(HASH) == len(PDF)
    assert await names(store) == [HASH]
    assert left(folder) == []


async def test_the_same_bytes_are_the_same_object(store: EvidenceStore, receiver: Receiver, folder: Path) -> None:
    await receiver.receive(pieces(PDF), "application/pdf")
    again = await receiver.receive(pieces(PDF), "application/pdf", HASH)
    assert (again.new, again.sha256) == (False, HASH)
    together = await asyncio.gather(*(receiver.receive(pieces(PNG), "image/png") for _ in range(8)))
    assert {one.sha256 for one in together} == {sha256(PNG).hexdigest()}
    assert len(await names(store)) == 2
    assert await whole(store, HASH) == PDF
    assert left(folder) == []


@pytest.mark.parametrize(
    ("content", "media_type", "declared", "code"),
    [
        (b"", "application/pdf", None, "EMPTY"),
        (PDF, "application/pdf", "0" * 64, "HASH_MISMATCH"),
        (PDF, "image/png", None, "CONTENT_MISMATCH"),
        (PDF, "image/svg+xml", None, "MEDIA_TYPE_UNKNOWN"),
        (PDF, "application/x-msdownload", None, "MEDIA_TYPE_UNKNOWN"),
        (PDF, "", None, "MEDIA_TYPE_UNKNOWN"),
        (b"x" * (LIMIT_BYTES + 1), "text/plain", None, "TOO_LARGE"),
    ],
)
async def test_what_is_refused_was_never_there(
    store: EvidenceStore,
    receiver: Receiver,
    folder: Path,
    content: bytes,
    media_type: str,
    declared: str | None,
    code: str,
) -> None:
    with pytest.raises(RefusedError) as refused:
        await receiver.receive(pieces(content), media_type, declared)
    assert refused.value.code == code
    assert await names(store) == []
    assert left(folder) == []


async def test_the_limit_is_exact_and_an_endless_upload_ends_at_it(receiver: Receiver) -> None:
    assert (await receiver.receive(pieces(b"x" * LIMIT_BYTES), "text/plain")).size_bytes == LIMIT_BYTES
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"y" * 1000

    with pytest.raises(RefusedError, match="more than 4096 bytes"):
        await receiver.receive(endless(), "text/plain")
    assert given == 5


async def test_who_dawdles_is_refused(store: EvidenceStore, folder: Path) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"%PDF-1.7"
        await asyncio.sleep(60)

    with pytest.raises(RefusedError) as refused:
        await receiver_of(store, folder, timeout_s=0.2).receive(slow(), "application/pdf")
    assert refused.value.code == "TOO_SLOW"
    assert left(folder) == []


async def test_nothing_is_visible_before_it_is_complete(store: EvidenceStore, receiver: Receiver, folder: Path) -> None:
    going, go = asyncio.Event(), asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield PDF[:50]
        going.set()
        await go.wait()
        yield PDF[50:]

    upload = asyncio.create_task(receiver.receive(halting(), "application/pdf"))
    await going.wait()
    assert len(left(folder)) == 1
    assert await names(store) == []
    with pytest.raises(MissingError):
        await whole(store, HASH)
    go.set()
    await upload
    assert await names(store) == [HASH]


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), asyncio.CancelledError()])
async def test_a_sender_that_goes_away_leaves_nothing(
    store: EvidenceStore, receiver: Receiver, folder: Path, error: BaseException
) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield PDF[:50]
        raise error

    with pytest.raises(type(error)):
        await receiver.receive(breaking(), "application/pdf")
    assert await names(store) == []
    assert left(folder) == []


@pytest.mark.parametrize(
    "name",
    ["", "../../etc/passwd", "ab/../../../x", HASH.upper(), HASH[:-1], HASH + "0", "é" * 64, f"{HASH}\n", "/" * 64],
)
async def test_nothing_but_a_hash_is_a_name(
    store: EvidenceStore, receiver: Receiver, tmp_path: Path, name: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(PDF)
    with pytest.raises(ValueError, match="no SHA-256"):
        await whole(store, name)
    with pytest.raises(ValueError, match="no SHA-256"):
        await store.size_bytes(name)
    with pytest.raises(ValueError, match="no SHA-256"):
        await store.keep(source, name)


def damage(tmp_path: Path, sha: str) -> Path:
    """Change one byte of a kept file behind the store's back."""
    (path,) = [found for found in tmp_path.rglob(sha) if found.is_file()]
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("store", ["disk", "local objects"], indirect=True)
async def test_a_changed_file_is_found_and_the_right_one_heals_it(
    store: EvidenceStore, receiver: Receiver, tmp_path: Path
) -> None:
    await receiver.receive(pieces(PDF), "application/pdf")
    await receiver.receive(pieces(PNG), "image/png")
    assert [looked.sound async for looked in look(store)] == [True, True]
    damage(tmp_path, HASH)
    unsound = [looked async for looked in look(store) if not looked.sound]
    assert [looked.sha256 for looked in unsound] == [HASH]
    assert unsound[0].found != HASH
    assert (await receiver.receive(pieces(PDF), "application/pdf")).new is False
    assert [looked.sound async for looked in look(store)] == [True, True]


async def test_kept_files_are_read_only_and_strangers_files_are_none(folder: Path) -> None:
    store = DiskStore(folder)
    await receiver_of(store, folder).receive(pieces(PDF), "application/pdf")
    (kept,) = [path for path in (folder / "objects").rglob("*") if path.is_file()]
    assert kept.stat().st_mode & 0o777 == 0o440
    (folder / "objects" / "lost+found").mkdir()
    (folder / "objects" / "notes.txt").write_text("mine")
    (kept.parent / "thumbs.db").write_text("x")
    assert await names(store) == [HASH]


CRASH = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.store.samples import PDF
from tests.store.test_evidence import receiver_of
from milepost.store.evidence.disk import DiskStore

moment, folder = sys.argv[1], Path(sys.argv[2])

async def pieces():
    yield PDF[:50]
    if moment == "in the middle":
        os.kill(os.getpid(), signal.SIGKILL)
    yield PDF[50:]

link = Path.hardlink_to
def dying(self, target):
    if moment == "after it is named":
        link(self, target)
    os.kill(os.getpid(), signal.SIGKILL)

if moment != "in the middle":
    Path.hardlink_to = dying
asyncio.run(receiver_of(DiskStore(folder), folder).receive(pieces(), "application/pdf"))
"""


@pytest.mark.parametrize("moment", ["in the middle", "before it is named", "after it is named"])
async def test_a_crash_leaves_a_whole_file_or_none_and_leftovers_are_pruned(folder: Path, moment: str) -> None:
    process = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CRASH, moment, str(folder)], cwd=Path(__file__).parents[2]
    )
    assert process.returncode == -signal.SIGKILL
    store = DiskStore(folder)
    kept = moment == "after it is named"
    assert await names(store) == ([HASH] if kept else [])
    assert len(left(folder)) == 1
    receiver = receiver_of(store, folder)
    assert receiver.prune() == 0  # it may still be on its way
    assert receiver.prune(time.time() + 121) == 1
    assert left(folder) == []
    assert (await receiver.receive(pieces(PDF), "application/pdf")).new is not kept
    assert await whole(store, HASH) == PDF


async def test_a_folder_that_cannot_be_used_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file")
    receiver = receiver_of(DiskStore(tmp_path / "evidence"), tmp_path / "evidence")
    with pytest.raises(StoreError, match=r"incoming: Not a directory; see MILEPOST_EVIDENCE_DIR"):
        await receiver.receive(pieces(PDF), "application/pdf")


async def test_a_full_disk_keeps_nothing_and_says_so(folder: Path, limit_of_files: Callable[[int], None]) -> None:
    store = DiskStore(folder)
    receiver = receiver_of(store, folder)
    limit_of_files(100)
    with pytest.raises(StoreError, match="File too large; see MILEPOST_EVIDENCE_DIR"):
        await receiver.receive(pieces(PDF), "application/pdf")
    limit_of_files(-1)
    assert left(folder) == []
    assert (await receiver.receive(pieces(PDF), "application/pdf")).new


@pytest.fixture
def limit_of_files() -> Callable[[int], None]:
    """Let the system refuse to write beyond a size, as a full disk does; -1: no limit."""
    import resource

    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size_bytes: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size_bytes < 0 else size_bytes, before[1]))

    yield limit  # type: ignore[misc]
    limit(-1)
    signal.signal(signal.SIGXFSZ, handler)


def test_the_settings_choose_the_store(tmp_path: Path) -> None:
    assert isinstance(open_store(load(evidence_dir=str(tmp_path))), DiskStore)
    assert isinstance(open_store(load(evidence_url="memory:///")), ObjectEvidenceStore)
    assert isinstance(open_store(load(evidence_url=f"file://{tmp_path}")), ObjectEvidenceStore)
    with pytest.raises(StoreError, match="MILEPOST_EVIDENCE_URL cannot be used"):
        open_store(load(evidence_url="gopher://bucket"))


async def test_the_settings_narrow_what_is_kept(tmp_path: Path) -> None:
    settings = load(evidence_dir=str(tmp_path), evidence_media_types="application/pdf, Image/PNG")
    receiver = open_receiver(settings, open_store(settings))
    assert (await receiver.receive(pieces(PNG), "image/png")).new
    with pytest.raises(RefusedError, match="'text/plain' is not kept; send application/pdf, image/png"):
        await receiver.receive(pieces(b"text"), "text/plain")
    with pytest.raises(StoreError, match="names image/svg\\+xml, which is not recognised"):
        open_receiver(load(evidence_media_types="image/svg+xml"), open_store(settings))
