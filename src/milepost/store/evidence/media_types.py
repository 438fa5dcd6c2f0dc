"""What a file is, by its content alone: which media type it may be kept under, or why under none.

What a sender calls a file is a claim. Here it is compared with the bytes: a signature that puremagic knows, or the
structure of an archive's directory, or text that is text. Nothing is ever unpacked or rendered: of an Office document
only the list of its members is read.

Refused whatever it claims to be: what is two things at once (a picture that is an archive or a PDF, too), text that a
browser would run, archives whose directory promises more than a bomb's share, macros.
"""

import codecs
import mmap
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.parsers import expat

import msgspec
import puremagic

__all__ = ["MEDIA_TYPES", "MismatchError", "check", "essence"]

# What readers look through for another format's signature: browsers and PDF readers go about this far.
_HEAD_BYTES = 1024
# A zip archive is found from its end: 22 bytes and a comment of up to 64 KiB.
_TAIL_BYTES = 22 + 0xFFFF
_SNIFFED_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 20

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_OFFICE_MEMBERS = {
    f"{_OFFICE}wordprocessingml.document": "word/",
    f"{_OFFICE}spreadsheetml.sheet": "xl/",
    f"{_OFFICE}presentationml.presentation": "ppt/",
}
_MAX_MEMBERS = 10_000
_MAX_DIRECTORY_BYTES = 4 << 20
_MAX_UNPACKED_BYTES = 1 << 30
# Deflate reaches 1032; a sheet of zeros a hundred.
_MAX_RATIO = 200
_ENCRYPTED = 0x1

_MARKUP = re.compile(
    rb"<\s*(!doctype\s+html|html|head|body|script|svg|iframe|object|embed|meta|link|style|form|img|xsl)\b|<\?(php|=)",
    re.IGNORECASE,
)
# All but tab, line feed, form feed and carriage return.
_CONTROL = bytes(sorted({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0C, 0x0D}))
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class MismatchError(Exception):
    """The content is not what it claims to be, or is nothing that is kept; the message says what was found."""


def essence(media_type: str) -> str:
    """A media type without its parameters, in lower case: `text/csv; charset=utf-8` is text/csv."""
    return media_type.partition(";")[0].strip().lower()


def check(path: Path, media_type: str) -> None:
    """Look whether a file that is not empty is of that type. Raises `MismatchError`; `KeyError` for an unknown type."""
    judge = _JUDGES[media_type]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        judge(content, media_type)


def _pdf(content: mmap.mmap, media_type: str) -> None:
    _signature(content, media_type)
    if b"%%EOF" not in content[-_HEAD_BYTES:]:
        raise MismatchError("a PDF that is cut off: there is no %%EOF at its end")
    _not_twofold(content, archive=False)


def _picture(content: mmap.mmap, media_type: str) -> None:
    _signature(content, media_type)
    if b"%PDF-" in content[:_HEAD_BYTES]:
        raise MismatchError(f"both {media_type} and a PDF")
    _not_twofold(content, archive=False)


def _signature(content: mmap.mmap, media_type: str) -> None:
    """Compare the first bytes with what puremagic knows; executables share none of them."""
    try:
        found = puremagic.magic_string(content[:_SNIFFED_BYTES])
    except puremagic.PureError:
        found = []
    # At the very beginning: a signature further inside is what a file has that is two things.
    begins = {match.mime_type for match in found if match.offset == 0}
    if media_type not in begins:
        names = sorted({match.name for match in found if match.offset == 0})
        raise MismatchError(f"not {media_type}: it begins like {', '.join(names[:3]) or 'nothing that is known'}")


def _not_twofold(content: mmap.mmap, *, archive: bool) -> None:
    if _MARKUP.search(content[:_HEAD_BYTES]):
        raise MismatchError("a file that a browser could take for a page: there is markup in its first bytes")
    if not archive and _directory(content) is not None:
        raise MismatchError("a file with an archive attached to it")


def _directory(content: mmap.mmap) -> tuple[int, int, int] | None:
    """Members, size and offset as the last end-of-directory record says, if it ends where the file ends."""
    tail = content[-_TAIL_BYTES:]
    place = tail.rfind(b"PK\x05\x06")
    while place >= 0:
        record = tail[place : place + 22]
        if len(record) == 22:
            members, size_bytes, offset, comment = struct.unpack("<10xHIIH", record)
            # Readers put up with a little rubbish after it, so we do as well.
            if place + 22 + comment <= len(tail):
                return members, size_bytes, offset
        place = tail.rfind(b"PK\x05\x06", 0, place)
    return None


def _office(content: mmap.mmap, media_type: str) -> None:
    names = [member.filename for member in _members(content)]
    wanted = _OFFICE_MEMBERS[media_type]
    if "[Content_Types].xml" not in names or not any(name.startswith(wanted) for name in names):
        raise MismatchError(f"not {media_type}: an archive without the members of one")
    if any(name.lower().rpartition("/")[2] in ("vbaproject.bin", "vbadata.xml") for name in names):
        raise MismatchError("a document with macros; save it without them, or as a PDF")


def _open_document(content: mmap.mmap, media_type: str) -> None:
    first = _members(content)[0]
    # Its first member is its type, not compressed, so that it can be read off without unpacking anything.
    begin = 30 + len("mimetype")
    said = content[begin : begin + len(media_type)]
    if (first.filename, first.compress_type, first.header_offset, first.file_size, bytes(said)) != (
        "mimetype",
        zipfile.ZIP_STORED,
        0,
        len(media_type),
        media_type.encode(),
    ):
        raise MismatchError(f"not {media_type}: an archive whose first member does not say so")


def _members(content: mmap.mmap) -> list[zipfile.ZipInfo]:
    """The directory of an archive that begins at the first byte; nothing is unpacked."""
    if content[:4] != b"PK\x03\x04":
        raise MismatchError("not an Office document: it does not begin like an archive")
    if b"%PDF-" in content[:_HEAD_BYTES]:
        raise MismatchError("both an archive and a PDF")
    _not_twofold(content, archive=True)
    directory = _directory(content)
    if directory is None or not 0 < directory[0] <= _MAX_MEMBERS or directory[1] > _MAX_DIRECTORY_BYTES:
        raise MismatchError(f"an archive without a usable directory, or with more than {_MAX_MEMBERS} members")
    try:
        with zipfile.ZipFile(_Readable(content)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, struct.error, ValueError, OverflowError, NotImplementedError) as error:
        raise MismatchError(f"a damaged archive: {error}") from error
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    # Members that share bytes are the way to a bomb that deflate alone does not reach.
    if packed > len(content) or unpacked > min(_MAX_UNPACKED_BYTES, len(content) * _MAX_RATIO):
        raise MismatchError(f"an archive of {len(content)} bytes that says it unpacks to {unpacked}")
    for member in members:
        parts = member.filename.replace("\\", "/").split("/")
        if member.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise MismatchError("an archive with a member outside of it")
        if member.flag_bits & _ENCRYPTED:
            raise MismatchError("an encrypted archive, which nobody could check; send it without a password")
    if not members:
        raise MismatchError("an archive without members")
    return members


class _Readable:
    """A mapped file as zipfile reads one; it seeks and reads, and closing it closes nothing."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content, self._at = content, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, (0, self._at, len(self._content))[whence] + offset)
        return self._at

    def read(self, count: int = -1) -> bytes:
        stop = len(self._content) if count < 0 else self._at + count
        piece = self._content[self._at : stop]
        self._at += len(piece)
        return piece

    def close(self) -> None:
        pass


def _text(content: mmap.mmap, media_type: str) -> None:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content[:2] == mark), None)
    decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
    try:
        for piece in _pieces(content):
            plain = decoder.decode(piece).encode("utf-8", "surrogatepass") if decoder else piece
            # An encoding nobody names: whatever has no control characters is readable in one of them.
            if len(plain.translate(None, _CONTROL)) != len(plain):
                raise MismatchError("not text: it has control characters")
        if decoder:
            decoder.decode(b"", True)
    except UnicodeDecodeError as error:
        raise MismatchError(f"not text: it says that it is {encoding} and is not") from error
    head = content[:_HEAD_BYTES].replace(b"\0", b"") if encoding else content[:_HEAD_BYTES]
    if _MARKUP.search(head) or head.startswith(b"#!"):
        raise MismatchError(f"not {media_type}: it begins like a page or a script")
    if b"%PDF-" in head:
        raise MismatchError(f"both {media_type} and a PDF")
    if not encoding:
        _not_twofold(content, archive=False)


def _csv(content: mmap.mmap, media_type: str) -> None:
    _text(content, media_type)
    first = content[:_SNIFFED_BYTES].replace(b"\0", b"").lstrip().partition(b"\n")[0]
    if not any(mark in first for mark in (b",", b";", b"\t", b"|")):
        raise MismatchError("not text/csv: no comma, semicolon, tab or bar in its first line")


def _json(content: mmap.mmap, media_type: str) -> None:
    try:
        msgspec.json.decode(content[:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MismatchError(f"not {media_type}: {error}") from error


def _xml(content: mmap.mmap, media_type: str) -> None:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.ProcessingInstructionHandler = _no_stylesheet
    parser.StartElementHandler = _no_page
    try:
        for piece in _pieces(content):
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise MismatchError(f"not {media_type}: {error}") from error
    except (LookupError, ValueError) as error:  # an encoding that nobody has
        raise MismatchError(f"not {media_type}: {error}") from error
    if b"%PDF-" in content[:_HEAD_BYTES] or _directory(content) is not None:
        raise MismatchError("XML that is something else as well")


def _no_doctype(*_: object) -> None:
    raise MismatchError("XML with a DOCTYPE, which can make a reader fetch or expand what is not in the file")


def _no_stylesheet(target: str, _: str) -> None:
    if target.lower().startswith("xml-stylesheet"):
        raise MismatchError("XML with a stylesheet, which a browser would run")


def _no_page(name: str, _: object) -> None:
    namespace = name.rpartition(" ")[0]
    if namespace in (
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/1999/XSL/Transform",
    ):
        raise MismatchError("XML with a part that a browser would show or run (SVG, XHTML or XSLT)")


def _pieces(content: mmap.mmap) -> Iterator[bytes]:
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]


_JUDGES: dict[str, Callable[[mmap.mmap, str], None]] = {
    "application/json": _json,
    "application/pdf": _pdf,
    "application/xml": _xml,
    "image/jpeg": _picture,
    "image/png": _picture,
    "image/tiff": _picture,
    "text/csv": _csv,
    "text/plain": _text,
    **dict.fromkeys(_OFFICE_MEMBERS, _office),
    f"{_OPEN_DOCUMENT}spreadsheet": _open_document,
    f"{_OPEN_DOCUMENT}text": _open_document,
}

MEDIA_TYPES: dict[str, str] = {
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/xml": ".xml",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
    "text/csv": ".csv",
    "text/plain": ".txt",
    f"{_OFFICE}wordprocessingml.document": ".docx",
    f"{_OFFICE}spreadsheetml.sheet": ".xlsx",
    f"{_OFFICE}presentationml.presentation": ".pptx",
    f"{_OPEN_DOCUMENT}spreadsheet": ".ods",
    f"{_OPEN_DOCUMENT}text": ".odt",
}
"""What is kept, with the end of a file's name when it is downloaded."""
