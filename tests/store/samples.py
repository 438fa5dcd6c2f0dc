"""Small files of every kind that is kept, and of kinds that pretend to be one."""

import io
import struct
import zipfile
import zlib

OFFICE = "application/vnd.openxmlformats-officedocument."
OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
DOCX = f"{OFFICE}wordprocessingml.document"

PDF = (
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n"
    b"2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\ntrailer\n<</Root 1 0 R/Size 3>>\n%%EOF\n"
)
EXE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00" + bytes(200) + b"PE\x00\x00"
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>\n'
HTML = b"<!DOCTYPE html><html><body onload=alert(1)>accepted</body></html>\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(b"\x00\x7f"))
    + chunk(b"IEND", b"")
)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + bytes(64) + b"\xff\xd9"
TIFF = b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"


def archive(members: dict[str, bytes], stored: frozenset[str] = frozenset()) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, body in members.items():
            info = zipfile.ZipInfo(name, (2026, 5, 29, 12, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            zipped.writestr(info, body)
    return written.getvalue()


def office(folder: str, **more: bytes) -> bytes:
    return archive({"[Content_Types].xml": b"<Types/>", f"{folder}/document.xml": b"<d/>", **more})


def open_document(media_type: str) -> bytes:
    return archive({"mimetype": media_type.encode(), "content.xml": b"<c/>"}, frozenset({"mimetype"}))


RIGHT: list[tuple[str, bytes]] = [
    ("application/pdf", PDF),
    ("application/pdf", PDF + b"\r\n  \n"),
    ("image/png", PNG),
    ("image/jpeg", JPEG),
    ("image/tiff", TIFF),
    (DOCX, office("word")),
    (f"{OFFICE}spreadsheetml.sheet", office("xl")),
    (f"{OFFICE}presentationml.presentation", office("ppt")),
    (f"{OPEN_DOCUMENT}text", open_document(f"{OPEN_DOCUMENT}text")),
    (f"{OPEN_DOCUMENT}spreadsheet", open_document(f"{OPEN_DOCUMENT}spreadsheet")),
    ("text/plain", b"Accepted on 29 May.\r\n\tSigned: Ana\n"),
    ("text/plain", "Abgenommen für München".encode()),
    ("text/plain", "Abgenommen für München".encode("latin-1")),
    ("text/plain", "Abgenommen für München".encode("utf-16")),
    ("text/csv", b"name,signed\nana,yes\n"),
    ("text/csv", "Name;Unterschrift\nMüller;ja\n".encode("latin-1")),
    ("text/csv", "a\tb\n1\t2\n".encode("utf-16")),
    ("application/json", b'{"accepted": true, "note": "<script>"}\n'),
    ("application/json", b"[" * 100 + b"]" * 100),
    ("application/xml", b'<?xml version="1.0" encoding="UTF-8"?>\n<ack xmlns="urn:x"><status>ACCEPTED</status></ack>'),
]
"""Media type and content of what is kept."""


def bomb() -> bytes:
    """An archive of a document's shape that unpacks to more than a thousand times its size."""
    return office("word", **{"word/media/x.bin": bytes(8 << 20)})


def overlapping() -> bytes:
    """Sixty members that are the same bytes: each is harmless, together they are sixty times the archive."""
    body = zlib.compress(bytes(20_000))[2:-4]
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(body), 20_000, 1, 0) + b"x" + body
    names = ["[Content_Types].xml", "word/document.xml", *(f"word/{number}" for number in range(58))]
    central = b"".join(
        b"PK\x01\x02"
        + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 33, 0, len(body), 20_000, len(n), 0, 0, 0, 0, 0, 0)
        + n.encode()
        for n in names
    )
    # Small enough that their sum alone is not what gives it away.
    padding = bytes(0)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(central), len(local), 0)
    return local + padding + central + end


def encrypted() -> bytes:
    whole = bytearray(office("word"))
    for place in range(len(whole) - 4):
        if whole[place : place + 4] == b"PK\x01\x02":
            whole[place + 8] |= 1
    return bytes(whole)


def crowded() -> bytes:
    return archive({f"word/{number}": b"" for number in range(10_100)} | {"[Content_Types].xml": b""})


WRONG: list[tuple[str, str, bytes, str]] = [
    ("exe renamed pdf", "application/pdf", EXE, "begins like"),
    ("exe renamed text", "text/plain", EXE, "control characters"),
    ("exe renamed docx", DOCX, EXE, "does not begin like an archive"),
    ("exe with a document behind it", DOCX, EXE + office("word"), "does not begin like an archive"),
    ("exe with a PDF behind it", "application/pdf", EXE + PDF, "begins like"),
    ("script renamed text", "text/plain", b"#!/bin/sh\nrm -rf ~\n", "a page or a script"),
    ("PHP renamed text", "text/plain", b"<?php system($_GET['c']);", "a page or a script"),
    ("picture renamed pdf", "application/pdf", PNG, "begins like"),
    ("pdf renamed picture", "image/png", PDF, "begins like"),
    ("svg script as xml", "application/xml", SVG, "SVG"),
    ("svg script as text", "text/plain", SVG, "a page or a script"),
    ("svg script as picture", "image/png", SVG, "begins like"),
    ("svg inside other xml", "application/xml", b'<a><svg xmlns="http://www.w3.org/2000/svg"/></a>', "SVG"),
    ("page as text", "text/plain", HTML, "a page or a script"),
    ("page as utf-16 text", "text/plain", HTML.decode().encode("utf-16"), "a page or a script"),
    ("page as csv", "text/csv", HTML, "a page or a script"),
    ("xhtml", "application/xml", b'<html xmlns="http://www.w3.org/1999/xhtml"/>', "XHTML"),
    ("stylesheet", "application/xml", b'<?xml-stylesheet href="x"?><a/>', "stylesheet"),
    ("billion laughs", "application/xml", b'<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>', "DOCTYPE"),
    ("xml cut off", "application/xml", b"<a><b></a>", "mismatched tag"),
    ("xml in no known encoding", "application/xml", b'<?xml version="1.0" encoding="ebcdic-xx"?><a/>', "encoding"),
    ("pdf and archive", "application/pdf", PDF + archive({"evil.class": b"x"}), "an archive attached"),
    ("pdf and page", "application/pdf", b"%PDF-1.7\n<script>alert(1)</script>\n%%EOF", "markup"),
    ("picture and archive", "image/jpeg", JPEG + archive({"evil.class": b"x"}), "an archive attached"),
    ("picture and pdf", "image/png", PNG[:33] + chunk(b"tEXt", b"%PDF-1.7") + PNG[33:], "and a PDF"),
    ("picture and page", "image/png", PNG[:33] + chunk(b"tEXt", b"<script>1</script>") + PNG[33:], "markup"),
    ("text and pdf", "text/plain", b"hello\n%PDF-1.7\n", "and a PDF"),
    ("text and archive", "text/plain", b"hello\n" + archive({"a": b""}), "control characters"),
    ("document and pdf", DOCX, archive({"%PDF-1.7": b"", "[Content_Types].xml": b"", "word/d": b""}), "and a PDF"),
    ("pdf cut off", "application/pdf", PDF[:60], "cut off"),
    ("zip bomb", DOCX, bomb(), "says it unpacks to"),
    ("members that share bytes", DOCX, overlapping(), "says it unpacks to"),
    ("crowded archive", DOCX, crowded(), "more than 10000 members"),
    ("encrypted archive", DOCX, encrypted(), "encrypted"),
    ("macros", DOCX, office("word", **{"word/vbaProject.bin": b"x"}), "macros"),
    ("member outside", DOCX, office("word", **{"../../etc/passwd": b"x"}), "outside"),
    ("member with a drive", DOCX, office("word", **{"C:\\boot": b"x"}), "outside"),
    ("plain archive as document", DOCX, archive({"a.txt": b"x"}), "without the members"),
    ("sheet as document", DOCX, office("xl"), "without the members"),
    ("archive cut off", DOCX, office("word")[:-30], "usable directory"),
    ("directory of nonsense", DOCX, b"PK\x03\x04" + bytes(60) + office("word")[-22:], "damaged archive"),
    ("text document as sheet", f"{OPEN_DOCUMENT}spreadsheet", open_document(f"{OPEN_DOCUMENT}text"), "first member"),
    ("json cut off", "application/json", b'{"a": 1', "truncated"),
    ("json too deep", "application/json", b"[" * 100_000, "application/json"),
    ("json and more", "application/json", b"{} <script>", "trailing"),
    ("prose as csv", "text/csv", b"no columns\nat all\n", "no comma"),
    ("half a utf-16 character", "text/plain", "abc".encode("utf-16")[:-1], "utf-16"),
    ("escape sequences as text", "text/plain", b"\x1b]0;title\x07", "control characters"),
]
"""Name, declared media type, content, and what the refusal says."""
