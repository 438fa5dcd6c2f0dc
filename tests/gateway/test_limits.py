"""What one request may cost: S11 (sizes and slowness), S18 (rates, pages, filters), S32 (headers, nothing told)."""

import contextlib
import gzip
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.gateway import keys, paging
from milepost.gateway.actions import ACTIONS
from milepost.kafka.embedded import EmbeddedBroker
from milepost.observe import metrics
from tests.gateway.asking import event, requests
from tests.gateway.running import Running, listening
from tests.gateway.serving import sqlite

LIMIT_BYTES = 20_000
TIMEOUT_MS = 1_500


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("limits")
    with (
        EmbeddedBroker() as broker,
        listening(
            broker.bootstrap_servers,
            sqlite(folder),
            gateway_max_body_bytes=LIMIT_BYTES,
            gateway_body_timeout_ms=TIMEOUT_MS,
            gateway_max_events=50,
            gateway_requests_per_s=0,
            evidence_dir=str(folder / "evidence"),
        ) as running,
    ):
        yield running


def head(gate: Running, key: str, *lines: str) -> bytes:
    first = ["POST /v1/events/kpi-events HTTP/1.1", f"Host: {gate.host}", f"Authorization: Bearer {key}"]
    return "\r\n".join([*first, "Content-Type: application/json", *lines, "", ""]).encode()


def answered(connection: socket.socket) -> tuple[int, str]:
    """Status and body of what comes until the other side closes."""
    connection.settimeout(60)
    found = b""
    try:
        while piece := connection.recv(65_536):
            found += piece
    except ConnectionResetError:
        pass  # it closed while there was still something unread, after its answer
    top, _, rest = found.partition(b"\r\n\r\n")
    return int(top.split()[1]) if top else 0, rest.decode()


def connect(gate: Running) -> socket.socket:
    return socket.create_connection((gate.host, gate.port), timeout=60)


def padded(size: int) -> bytes:
    """A good event of exactly so many bytes."""
    value = event("kpi-events", "harbour", f"size-{size}")
    raw = json.dumps(value).encode()
    return raw + b" " * (size - len(raw))


def test_s11_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(gate: Running) -> None:
    key = gate.key()
    taken = gate.ask("POST", "/v1/events/kpi-events", key, content=padded(LIMIT_BYTES))
    refused = gate.ask("POST", "/v1/events/kpi-events", key, content=padded(LIMIT_BYTES + 1))
    assert (taken.status_code, refused.status_code) == (202, 413)
    assert refused.json()["code"] == "BODY_TOO_LARGE"
    assert refused.json()["limit_bytes"] == LIMIT_BYTES
    assert refused.headers["connection"] == "close"


def test_s11_a_length_that_lies_is_not_waited_for_for_ever(gate: Running) -> None:
    with connect(gate) as connection:
        connection.sendall(head(gate, gate.key(), "Content-Length: 5000") + b"{}")
        status, text = answered(connection)
    assert (status, json.loads(text)["code"]) == (408, "BODY_TOO_SLOW")
    with connect(gate) as connection:  # and one that says too little leaves what is no request behind
        connection.sendall(head(gate, gate.key(), "Content-Length: 2") + b"{}garbage\r\n\r\n")
        status, text = answered(connection)
    assert status == 422
    assert "NOT_HTTP" in text


def test_s11_an_endless_body_in_chunks_is_cut_off_and_fills_no_memory(gate: Running) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent = 0
    with connect(gate) as connection:
        connection.sendall(head(gate, gate.key(), "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        try:
            for _ in range(2_000):
                connection.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass  # it hung up, which is what it should do
        status, text = answered(connection)
    assert sent < 50_000_000
    assert status in (0, 413)
    assert "BODY_TOO_LARGE" in text or not text
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_s11_a_stranger_cannot_make_it_read_either(gate: Running) -> None:
    """Without a key the body is not read at all."""
    sent = 0
    with connect(gate) as connection:
        connection.sendall(b"POST /v1/events/kpi-events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(2_000):
                connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                sent += 65_536
        except OSError:
            pass
        status, _ = answered(connection)
    assert status in (0, 401)
    assert sent < 50_000_000


def test_s11_a_compressed_body_is_refused_unread(gate: Running) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    assert len(bomb) < LIMIT_BYTES
    answer = gate.ask("POST", "/v1/events/kpi-events", gate.key(), content=bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "ENCODING_NOT_TAKEN")


def test_s11_a_head_that_comes_byte_by_byte_is_cut_off(gate: Running) -> None:
    started = time.monotonic()
    with connect(gate) as connection:
        connection.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        try:
            while time.monotonic() - started < 30:
                connection.sendall(b"a")
                time.sleep(0.1)
        except OSError:
            pass
        status, text = answered(connection)
    assert time.monotonic() - started < 30
    assert (status, text and json.loads(text)["code"]) in ((408, "HEAD_TOO_SLOW"), (0, ""))


def test_s11_a_body_that_comes_byte_by_byte_is_cut_off_and_others_are_answered_meanwhile(gate: Running) -> None:
    slow = [connect(gate) for _ in range(20)]
    key = gate.key()
    try:
        for connection in slow:
            connection.sendall(head(gate, key, "Content-Length: 1000") + b"{")
        assert gate.ask("GET", "/live").status_code == 200
        statuses = {answered(connection)[0] for connection in slow}
    finally:
        for connection in slow:
            connection.close()
    assert statuses == {408}


def test_s11_two_lengths_of_one_body_are_refused_and_nothing_behind_it_is_answered(gate: Running) -> None:
    with connect(gate) as connection:
        lengths = ("Content-Length: 4", "Transfer-Encoding: chunked")
        connection.sendall(head(gate, gate.key(), *lengths) + b"0\r\n\r\nGET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        status, text = answered(connection)
    assert (status, json.loads(text)["code"]) == (400, "TWO_LENGTHS")


def test_s32_an_address_with_a_slash_more_is_nobodys(gate: Running) -> None:
    for method, path in (("GET", "/v1/engagements/"), ("POST", "/v1/webhooks/tracker/"), ("GET", "/live/")):
        answer = gate.ask(method, path, headers={"Host": "evil.example"})
        assert (answer.status_code, answer.headers.get("location")) == (404, None), path
        assert answer.json()["code"] == "NOT_FOUND"


def test_head_is_get_without_the_body(gate: Running) -> None:
    key = gate.key()
    for path in ("/live", "/ready", "/v1/whoami", "/v1/engagements"):
        whole, head_only = gate.ask("GET", path, key), gate.ask("HEAD", path, key)
        assert (head_only.status_code, head_only.content) == (whole.status_code, b"")
        assert head_only.headers["content-type"] == whole.headers["content-type"]
    assert gate.ask("HEAD", "/v1/engagements").status_code == 401


def test_s11_what_is_no_http_is_told_so(gate: Running) -> None:
    for raw in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"nothing of that kind\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
    ):
        with connect(gate) as connection:
            connection.sendall(raw)
            status, text = answered(connection)
        assert (status, json.loads(text)["code"]) == (400, "NOT_HTTP")
    long = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 1_000_000
    with connect(gate) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(long)
        assert answered(connection)[0] in (0, 400)


def test_more_events_than_a_request_may_have_are_refused(gate: Running) -> None:
    values = [{"event_id": str(number)} for number in range(51)]
    answer = gate.ask("POST", "/v1/events/kpi-events", gate.key(), json=values)
    assert (answer.status_code, answer.json()["code"], answer.json()["limit_events"]) == (413, "TOO_MANY_EVENTS", 50)
    lines = b"\n".join(b"{}" for _ in range(51))
    headers = {"content-type": "application/x-ndjson"}
    assert gate.ask("POST", "/v1/events/kpi-events", gate.key(), content=lines, headers=headers).status_code == 413


def test_s18_a_key_that_asks_too_often_is_told_when_to_come_back_and_others_are_not(tmp_path: Path) -> None:
    with (
        EmbeddedBroker() as broker,
        listening(
            broker.bootstrap_servers, sqlite(tmp_path), gateway_requests_per_s=1, evidence_dir=str(tmp_path)
        ) as gate,
    ):
        greedy, modest = gate.key(), gate.key()
        answers = [gate.ask("GET", "/v1/whoami", greedy) for _ in range(6)]
        assert answers[0].status_code == 200
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 2
        assert refused[0].json()["code"] == "TOO_MANY_REQUESTS"
        assert 1 <= int(refused[0].headers["retry-after"]) <= 2
        assert gate.ask("GET", "/v1/whoami", modest).status_code == 200


@pytest.mark.parametrize("limit", ["1000000000", "0", "-1", "1e9", "99999999999999999999999999", "x", ""])
def test_s18_no_page_is_larger_than_the_largest(gate: Running, limit: str) -> None:
    key = gate.key()
    for route in [asked for asked in requests() if "GET" in asked.route and "limit" in listed(asked.route)]:
        answer = gate.ask("GET", f"{route.path}?limit={limit}", key)
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST"), route.path


def listed(route: str) -> str:
    """ "limit" for the routes that answer a list."""
    lists = ("engagements", "milestones", "lines", "retention", "requests", "audit")
    return "limit" if route.rpartition("/")[2] in lists else ""


def test_s18_the_lists_that_take_a_limit_are_known() -> None:
    assert sum(bool(listed(route)) for route in ACTIONS if route.startswith("GET")) == 6
    assert paging.MAX_ITEMS == 1_000


@pytest.mark.parametrize(
    "query",
    ["state=" + "(" * 5_000, "milestone_id=" + "a" * 8_000, "state=(a%2B)%2B$" + "a" * 50, "&".join(["a=1"] * 5_000),
     "state[$ne]=1", "what=(A%7CA)*B" + "A" * 60, "reason=" + "A" * 100],
)  # fmt: skip
def test_s18_a_filter_of_any_depth_costs_nothing(gate: Running, query: str) -> None:
    started = time.monotonic()
    for path in ("/v1/engagements/harbour/milestones", "/v1/engagements/harbour/audit"):
        assert gate.ask("GET", f"{path}?{query}", gate.key()).status_code in (200, 400)
    assert time.monotonic() - started < 20


def test_s18_more_requests_at_a_time_than_allowed_are_sent_away(tmp_path: Path) -> None:
    with (
        EmbeddedBroker() as broker,
        listening(
            broker.bootstrap_servers, sqlite(tmp_path), gateway_max_requests=2, evidence_dir=str(tmp_path)
        ) as gate,
    ):
        key = gate.key()
        held = [connect(gate) for _ in range(2)]
        for connection in held:
            connection.sendall(head(gate, key, "Content-Length: 10") + b"{")
        until = time.monotonic() + 60
        while (answer := gate.ask("GET", "/v1/whoami", key)).status_code != 503:
            assert time.monotonic() < until
        assert answer.json()["code"] == "TOO_MANY_REQUESTS_AT_A_TIME"
        assert answer.headers["retry-after"] == "1"
        for connection in held:
            connection.close()
        while gate.ask("GET", "/v1/whoami", key).status_code != 200:
            assert time.monotonic() < until


def test_s32_every_answer_has_the_headers_and_none_lets_another_origin_in(gate: Running) -> None:
    key = gate.key()
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        gate.ask("GET", "/live", headers=origin),
        gate.ask("GET", "/v1/whoami", key, headers=origin),
        gate.ask("GET", "/v1/whoami", headers=origin),
        gate.ask("GET", "/nowhere", headers=origin),
        gate.ask("OPTIONS", "/v1/whoami", headers=origin),
        gate.ask("GET", f"/v1/whoami?x={key}", headers=origin),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
        assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/metrics", "/admin", "/.git/config", "/v1"])
def test_s32_what_was_not_asked_for_is_not_there(gate: Running, path: str) -> None:
    answer = gate.ask("GET", path, gate.key())
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_a_request_keeps_its_own_id_if_it_is_a_plain_word(gate: Running) -> None:
    given = gate.ask("GET", "/live", headers={"X-Request-ID": "order-4711.a_b"})
    assert given.headers["x-request-id"] == "order-4711.a_b"
    for odd in ("a b", "x" * 200, "é", "a;b"):
        answer = gate.ask("GET", "/live", headers={"X-Request-ID": odd.encode("latin-1")})
        assert len(answer.headers["x-request-id"]) == 32


def test_requests_are_counted_by_route_and_strangers_addresses_are_not(gate: Running) -> None:
    def count(route: str, status: str) -> float:
        return (
            metrics.REGISTRY.get_sample_value("milepost_gateway_requests_total", {"route": route, "status": status})
            or 0.0
        )

    route = "GET /v1/engagements/{engagement_id}/lines"
    before, other = count(route, "200"), count("none", "404")
    assert gate.ask("GET", "/v1/engagements/harbour/lines", gate.key()).status_code == 200
    assert gate.ask("GET", f"/nowhere/{keys.new_secret().key_id}").status_code == 404
    until = time.monotonic() + 60  # counted when the answer is out
    while (count(route, "200"), count("none", "404")) != (before + 1, other + 1):
        assert time.monotonic() < until
        time.sleep(0.01)
    labels = {
        sample.labels["route"]
        for family in metrics.REGISTRY.collect()
        if family.name == "milepost_gateway_requests"
        for sample in family.samples
    }
    assert not [label for label in labels if "harbour" in label or "nowhere" in label]


def test_many_clients_at_once_are_all_answered(gate: Running) -> None:
    key = gate.key()
    statuses: list[int] = []

    def ask() -> None:
        statuses.extend(gate.ask("GET", "/v1/whoami", key).status_code for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert statuses == [200] * 80
