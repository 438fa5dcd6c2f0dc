"""What a browser sends from a form is read, however it is cut into pieces; whatever else comes is refused in words."""

from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from milepost.gateway.bodies import Bounded
from milepost.gateway.forms import FIELDS_BYTES, File, read_form
from milepost.gateway.problems import Problem

BOUNDARY = "----browser"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
LIMIT_BYTES = 1_000_000


def request(body: bytes, kind: str = MULTIPART, piece_bytes: int = 1 << 16) -> Request:
    pieces = [body[start : start + piece_bytes] for start in range(0, len(body), piece_bytes)] or [b""]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode("latin-1"))]}
    scope["milepost.body"] = bounded = Bounded(receive, LIMIT_BYTES, 60.0)
    return Request(scope, bounded)


def part(name: str, body: bytes, head: str = "") -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{head}\r\n\r\n'.encode() + body + b"\r\n"


def whole(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class Files:
    """Keeps what it is given; `most` bytes of each, to see that the rest is passed over."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.most, self.found = most, list[tuple[str, str, str, bytes]]()

    async def take(self, file: File) -> None:
        name, file_name, kind, pieces = file
        body = b""
        async for piece in pieces:
            body += piece
            if len(body) >= self.most:
                break
        self.found.append((name, file_name, kind, body))


FILE = '; filename="a.pdf"\r\nContent-Type: application/pdf'
FORM = whole(part("decision", b"approve"), part("f", b"%PDF\r\n--" * 500, FILE), part("comment", "ü\r\nx".encode()))


@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 64, 1 << 16])
async def test_a_form_is_read_however_it_is_cut(piece_bytes: int) -> None:
    files = Files()
    fields = await read_form(request(FORM, piece_bytes=piece_bytes), LIMIT_BYTES, files.take)
    assert fields == {"decision": "approve", "comment": "ü\r\nx"}
    assert files.found == [("f", "a.pdf", "application/pdf", b"%PDF\r\n--" * 500)]


async def test_what_nobody_takes_is_passed_over() -> None:
    files = Files(most=3)
    fields = await read_form(request(FORM, piece_bytes=10), LIMIT_BYTES, files.take)
    assert fields["comment"] == "ü\r\nx"
    assert len(files.found[0][3]) < 4000


async def test_a_form_without_files() -> None:
    body = b"decision=reject&comment=zwei+M%C3%A4ngel&empty="
    found = await read_form(request(body, "application/x-www-form-urlencoded; charset=utf-8"), 10, Files().take)
    assert found == {"decision": "reject", "comment": "zwei Mängel", "empty": ""}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (FORM[:-60], MULTIPART, 400),
        (b"", MULTIPART, 400),
        (b"hello", MULTIPART, 400),
        (FORM, "multipart/form-data", 400),
        (FORM, f"multipart/form-data; boundary={'x' * 71}", 400),
        (FORM, "multipart/form-data; boundary=other", 400),
        (whole(part("a", b"1"), part("a", b"2")), MULTIPART, 400),
        (whole(part("a", b"\xff")), MULTIPART, 400),
        (whole(f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx\r\n".encode()), MULTIPART, 400),
        (whole(*(part(f"f{number}", b"") for number in range(101))), MULTIPART, 400),
        (whole(part("a", b"x" * 50_001)), MULTIPART, 413),
        (whole(part("a", b"x" * LIMIT_BYTES, FILE)), MULTIPART, 413),
        (b"a=1&a=2", "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"f%d=" % number for number in range(101)), "application/x-www-form-urlencoded", 400),
        (b"a" * (FIELDS_BYTES + 1), "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 415),
        (b"", "", 415),
    ],
)
async def test_what_is_no_form_is_refused(body: bytes, kind: str, status: int) -> None:
    with pytest.raises(Problem) as refused:
        await read_form(request(body, kind, 1000), LIMIT_BYTES, Files().take)
    assert refused.value.status == status


@given(
    st.binary(max_size=300) | st.integers(0, len(FORM)).map(lambda cut: FORM[:cut] + b"\r\n--" + FORM[cut:]),
    st.sampled_from([MULTIPART, "multipart/form-data; boundary=a", "application/x-www-form-urlencoded", "x/y"])
    | st.text(st.characters(max_codepoint=255), max_size=60),
    st.integers(1, 50),
)
async def test_whatever_comes_is_a_form_or_refused(body: bytes, kind: str, piece_bytes: int) -> None:
    try:
        found = await read_form(request(body, kind, piece_bytes), LIMIT_BYTES, Files().take)
    except Problem as problem:
        assert 400 <= problem.status < 500
    else:
        assert all(isinstance(value, str) for value in found.values())
