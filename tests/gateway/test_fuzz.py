"""S34 at the gateway: whatever comes, a parser answers or refuses with its own word, and no request is answered 500."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.requests import Request

from milepost.gateway import idempotency, keys, paging
from milepost.gateway.accepting import trace_of
from milepost.gateway.events import TOPICS
from milepost.gateway.judging import event_of, pointer_of
from milepost.gateway.problems import Problem, pointer
from milepost.kafka.embedded import EmbeddedBroker
from tests.gateway.asking import requests
from tests.gateway.running import Running, listening
from tests.gateway.serving import serving, sqlite

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)
WIDE = settings(max_examples=3 * settings.default.max_examples)


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw})


@WIDE
@given(st.text(max_size=120) | st.builds(lambda text: "mp_" + text, st.text(max_size=90)))
def test_s34_a_key_is_one_or_none(text: str) -> None:
    found = keys.parse(text)
    assert found is None or len(found) == 12


@WIDE
@given(st.text(max_size=80), st.sampled_from([(int,), (str,), (str, str)]))
@example("W10", (int,))
@example("WzEuNV0", (int,))
@example("W3RydWVd", (int,))
@example("WyJcdWQ4MDAiXQ", (str,))
def test_s34_a_cursor_is_one_or_is_refused(text: str, kinds: tuple[type, ...]) -> None:
    try:
        found = paging._read(text, kinds)
    except Problem as problem:
        assert (problem.status, problem.code) == (400, "INVALID_CURSOR")
    else:
        assert found is not None
        assert [type(part) for part in found] == list(kinds)
        assert all(not isinstance(part, str) or (part.encode() and "\0" not in part) or part == "" for part in found)


@given(st.tuples(st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.integers(-(1 << 62), 1 << 62)))
def test_s34_a_cursor_is_read_as_it_was_written(key: tuple[str, int]) -> None:
    assert paging._read(paging._written(key), (str, int)) == key


@WIDE
@given(HEADER)
@example("application/json;q=nan")
@example(";" * 60)
def test_s34_an_accept_header_chooses_or_is_refused(text: str) -> None:
    try:
        assert paging.wants(request(accept=text), "application/json", "text/csv") in ("application/json", "text/csv")
    except Problem as problem:
        assert problem.status == 406


@WIDE
@given(HEADER, HEADER)
def test_s34_a_trace_is_one_or_left_out(parent: str, state: str) -> None:
    found = dict(trace_of(Headers({"traceparent": parent, "tracestate": state})))
    assert set(found) <= {"traceparent", "tracestate"}
    assert len(found.get("traceparent", b"x" * 55)) == 55


@WIDE
@given(HEADER)
def test_s34_an_idempotency_key_is_one_or_is_not(text: str) -> None:
    found = idempotency._KEY.fullmatch(text.strip())
    assert found is None or 1 <= len(found[1] or found[2]) <= 255


@WIDE
@given(st.lists(st.integers(0, 99) | st.text(st.characters(codec="ascii", categories=["L"]), min_size=1), max_size=5))
def test_s34_a_path_of_a_message_is_a_pointer(parts: list[str | int]) -> None:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    assert pointer_of(path) == pointer(*parts)


@given(
    st.sampled_from(TOPICS), JSON | st.dictionaries(st.sampled_from(["event_id", "source", "value", "contract"]), JSON)
)
def test_s34_any_json_is_an_event_or_a_list_of_faults(topic: str, value: Any) -> None:
    event, faults = event_of(topic, value, "/7")
    assert (event is None) == bool(faults)
    assert all(fault.pointer.startswith("/7") and fault.detail and fault.code for fault in faults)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fuzz")
    with (
        EmbeddedBroker() as broker,
        listening(
            broker.bootstrap_servers, sqlite(folder), gateway_requests_per_s=0, evidence_dir=str(folder / "evidence")
        ) as running,
    ):
        yield running


POISON = [
    b"", b" ", b"{", b"[" * 20_000, b'{"a":' * 5_000, b"\x00", b"\xff\xfe", b"\xef\xbb\xbf{}", b"NaN", b"-0", b"1e400",
    b'{"event_id": "1", "event_id": "2"}', b'{"value": Infinity}', b'"\\ud800"', b'{"event_id": "\\u0000"}', b"null",
    b"[]", b"[[]]", b"9" * 5_000, b'{"contract": {"milepost": 1e999}}', "\N{RIGHT-TO-LEFT OVERRIDE}".encode(),
    b"\x93NUMPY\x01\x00", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    b"!!python/object/apply:os.system ['id']", b"&a [*a, *a]", b"--- {}\n--- {}\n", b"? ? ?", b"%TAG ! x:\n---\n",
]  # fmt: skip
KINDS = ("application/json", "application/x-ndjson", "application/yaml", "text/plain", "multipart/form-data", "")
POSTS = [asked for asked in requests() if asked.method == "POST"]


async def test_s34_and_fault_24_poison_is_refused_by_every_route_that_reads_a_body(
    embedded_broker: str, tmp_path: Path
) -> None:
    looked = 0
    async with serving(
        embedded_broker, sqlite(tmp_path), gateway_requests_per_s=0, evidence_dir=str(tmp_path / "evidence")
    ) as served:
        key = served.key(person="ana", roles=("client",))
        for asked in POSTS:
            for body in POISON:
                kinds = KINDS[:3] if asked.path in ("/v1/engagements", "/v1/events/kpi-events") else KINDS[:1]
                for kind in kinds:
                    answer = await served.ask("POST", asked.path, key, content=body, headers={"content-type": kind})
                    looked += 1
                    status = answer.status_code
                    assert status in (200, 201, 202, 400, 404, 409, 413, 415, 422), (asked.path, body[:40], kind)
                    assert status < 300 or answer.headers["content-type"] == "application/problem+json"
    assert looked > 500


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), st.sampled_from(KINDS), st.data())
def test_s34_no_body_is_answered_500(gate: Running, body: bytes, kind: str, data: st.DataObject) -> None:
    asked = data.draw(st.sampled_from(POSTS))
    headers = {"content-type": kind} if kind else {}
    answer = gate.ask("POST", asked.path, KEYS.setdefault(gate.url, gate.key()), content=body, headers=headers)
    assert answer.status_code < 500, answer.text


KEYS: dict[str, str] = {}


LISTS = ("engagements", "milestones", "lines", "retention", "requests", "audit", "approvals")
PATHS = [asked.path for asked in requests() if "GET" in asked.route and asked.route.rpartition("/")[2] in LISTS]
HOSTILE = [
    ["\ud800"], ["\ud800", ""], ["@signoff", "\ud800"], [1796770800000000, "\ud800", 5],
    ["\0"], ["a", "\0"], [[]], [1e99],
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_s34_no_cursor_is_answered_500(gate: Running, path: str) -> None:
    key = gate.key()
    for parts in HOSTILE:
        cursor = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
        answer = gate.ask("GET", f"{path}?cursor={cursor}", key)
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_CURSOR"), (path, parts)
