"""Calls against real sockets: what is refused is not connected to, and no server holds us up or fills our memory."""

import asyncio
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from milepost.outbound.calling import Caller, CallError
from milepost.outbound.destinations import Destinations
from milepost.settings import load
from tests import receiving
from tests.receiving import Certificates, Receiver, make_certificates, receiver, status


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def caller(*admitted: str, timeout_s: float = 20, **options: object) -> Caller:
    destinations = Destinations(admitted=frozenset(admitted))
    return Caller(destinations, timeout_s=timeout_s, user_agent="milepost-test", **options)  # type: ignore[arg-type]


def admitting(server: Receiver, timeout_s: float = 20, **options: object) -> Caller:
    return caller(f"127.0.0.1:{server.port}", f"localhost:{server.port}", timeout_s=timeout_s, **options)


async def failure(calling: Caller, url: str) -> CallError:
    with pytest.raises(CallError) as caught:
        await calling.call("POST", url, body=b"{}")
    return caught.value


async def test_a_call_carries_what_was_given_and_nothing_else() -> None:
    async with receiver() as server:
        server.answers.append(status(202, b"thanks", X_Note="kept"))
        answer = await admitting(server).call("POST", f"{server.url}?a=%2F", body=b'{"a":1}', headers={"x-one": "1"})
    assert (answer.status, answer.body, answer.whole, answer.headers["x-note"]) == (202, b"thanks", True, "kept")
    (got,) = server.received
    assert (got.method, got.path, got.body) == ("POST", "/hook?a=%2F", b'{"a":1}')
    assert got.headers["x-one"] == "1"
    assert got.headers["user-agent"] == "milepost-test"
    assert got.headers.keys() <= {
        "host", "x-one", "user-agent", "accept", "accept-encoding", "content-length", "content-type", "connection",
    }  # fmt: skip


async def test_s23_what_is_refused_is_not_connected_to() -> None:
    async with receiver() as server:
        for url in (server.url, f"https://127.0.0.1:{server.port}/", f"https://0x7f000001:{server.port}/"):
            assert (await failure(caller(), url)).reason == "refused"
        assert server.connections == 0
        await caller(f"127.0.0.1:{server.port}").call("POST", server.url)  # else it proved nothing
        assert server.connections == 1


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["93.184.216.34", "10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%2"], ["nonsense"]],
)
async def test_s23_a_name_that_leads_inside_is_refused(addresses: Sequence[str]) -> None:
    async with receiver() as server:

        async def look_up(host: str, port: int) -> Sequence[str]:
            return addresses

        error = await failure(caller(look_up=look_up), f"https://hooks.example.org:{server.port}/")
        assert error.reason == "refused"
        assert "hooks.example.org leads to" in str(error)
        assert server.connections == 0


async def test_s23_a_name_that_changes_its_mind_is_looked_up_once(certificates: Certificates) -> None:
    """DNS rebinding: the address that was judged is the one that is connected to."""
    asked = []

    async def look_up(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async with receiver(certificates.server()) as server:
        calling = admitting(server, ca_file=certificates.ca_file, look_up=look_up)
        answer = await calling.call("GET", f"https://localhost:{server.port}/")
    assert (answer.status, asked, server.connections) == (200, ["localhost"], 1)


async def test_s23_a_redirect_is_an_answer() -> None:
    async with receiver() as inside, receiver() as server:
        server.answers.append(status(307, Location=inside.url))
        answer = await admitting(server).call("POST", server.url)
    assert answer.status == 307
    assert (server.connections, inside.connections) == (1, 0)


@pytest.mark.parametrize("behaviour", [receiving.silence, receiving.drip], ids=["silent", "dripping"])
async def test_s33_a_slow_server_is_left(behaviour: receiving.Behaviour) -> None:
    async with receiver() as server:
        server.answers.append(behaviour)
        error = await failure(admitting(server, timeout_s=0.5), server.url)
    assert (error.reason, str(error)) == ("timeout", "no whole answer within 0.5 s")


async def test_s33_a_gigabyte_is_not_read() -> None:
    async with receiver() as server:
        server.answers.append(receiving.huge)
        tracemalloc.start()
        answer = await admitting(server).call("GET", server.url, limit_bytes=1_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (len(answer.body), answer.whole) == (1_000, False)
    assert peak_bytes < 64 << 20  # what the sender had under way


@pytest.mark.parametrize("behaviour", [receiving.cut, receiving.hang_up, receiving.nonsense, receiving.header_flood])
async def test_s33_a_broken_answer_is_none(behaviour: receiving.Behaviour) -> None:
    async with receiver() as server:
        server.answers.append(behaviour)
        error = await failure(admitting(server), server.url)
    assert error.reason == "broken"
    assert "\n" not in str(error)


async def test_nobody_listens() -> None:
    async with receiver() as server:
        pass
    assert (await failure(admitting(server), server.url)).reason == "unreachable"


async def test_a_name_that_nobody_has() -> None:
    assert (await failure(caller("nobody.invalid"), "https://nobody.invalid/")).reason == "unreachable"


@pytest.mark.parametrize("kind", ["other-host", "expired", "self-signed"])
async def test_s27_a_certificate_that_proves_nothing_is_refused(certificates: Certificates, kind: str) -> None:
    async with receiver(certificates.server(kind)) as server:
        calling = admitting(server, ca_file=certificates.ca_file)
        assert (await failure(calling, f"https://localhost:{server.port}/")).reason == "tls"
        assert server.received == []


async def test_s27_an_unknown_authority_is_refused_and_a_named_one_is_not(certificates: Certificates) -> None:
    async with receiver(certificates.server()) as server:
        url = f"https://localhost:{server.port}/"
        assert (await failure(admitting(server), url)).reason == "tls"
        assert (await admitting(server, ca_file=certificates.ca_file).call("POST", url)).status == 200


async def test_s27_tls_is_not_given_up_where_the_server_has_none() -> None:
    async with receiver() as server:
        await failure(admitting(server, timeout_s=1), f"https://localhost:{server.port}/")
        assert server.connections == 1
        assert server.received == []


def test_a_file_of_authorities_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nowhere\.pem|No such file"):
        caller(ca_file=str(tmp_path / "nowhere.pem"))


async def test_a_call_that_is_given_up_closes_its_connection() -> None:
    async with receiver() as server:
        server.answers.append(receiving.silence)
        task = asyncio.create_task(admitting(server).call("POST", server.url))
        while not server.received:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.connections == 1


async def test_the_settings_say_where_to() -> None:
    async with receiver() as server:
        admitted = load(outbound_admitted_hosts=f"crm, 127.0.0.1:{server.port}", outbound_only_hosts="*.example.org")
        assert (await Caller.of(admitted, timeout_s=20).call("POST", server.url)).status == 200
        assert server.received[0].headers["user-agent"].startswith("milepost/")
        assert (await failure(Caller.of(load(), timeout_s=20), server.url)).reason == "refused"
