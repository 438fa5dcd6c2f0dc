"""Webhooks to a real receiver, which verifies them with somebody else's library and fails in all the usual ways."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from milepost.notices.schedule import DELAYS_S
from milepost.notices.signing import EndpointSecrets
from milepost.sql.endpoints import endpoint_of, replace_keys
from milepost.sql.engine import Engine
from milepost.sql.notice_log import Selection, attempts_of, replay
from tests import receiving
from tests.ledger import made
from tests.notices.world import SECONDS, World, settings_with, world_for
from tests.receiving import Certificates, Received, receiver, status


def verified(secret: str, received: Received) -> Any:
    """The payload as the reference implementation of Standard Webhooks verifies it."""
    return standardwebhooks.Webhook(secret).verify(received.body, received.headers)


async def test_a_receiver_can_verify_what_it_gets(local: Engine) -> None:
    async with receiver() as server:
        world = world_for(local, server)
        endpoint, secret = world.add_endpoint(server.url)
        world.owe(made.request(), made.retention(made.line()), made.dead_letter(0))
        assert await world.deliver() == 3
    payloads = [verified(secret, each) for each in server.received]
    assert {payload["type"] for payload in payloads} == {
        "approval_request.requested",
        "retention.held",
        "dead_letter.raised",
    }
    request = next(payload for payload in payloads if payload["type"].startswith("approval"))
    assert request["data"]["engagement_id"] == "erp-rollout"
    assert request["data"]["gross_minor"] == 1_000_000
    assert "approve/" not in json.dumps(payloads)  # a link is for a person alone
    assert {each.headers["content-type"] for each in server.received} == {"application/json"}
    ids = {row.delivery_id for row in world.rows()}
    assert {each.headers["webhook-id"] for each in server.received} == ids
    assert world.states() == {("webhook", endpoint.endpoint_id): "SENT"}
    with pytest.raises(standardwebhooks.WebhookVerificationError):  # else it verified anything
        verified(secret, replace(server.received[0], body=server.received[0].body + b" "))


async def test_a_secret_is_rotated_without_a_gap(local: Engine) -> None:
    async with receiver() as server:
        world = world_for(local, server)
        endpoint, old = world.add_endpoint(server.url)
        secrets = EndpointSecrets.of(world.settings)
        fresh = secrets.new_key("v1", world.now, lambda count: b"n" * count)
        retiring = replace(endpoint.signing_keys[0], expires_at=world.now + 60 * SECONDS)
        replace_keys(local, endpoint.endpoint_id, [fresh, retiring])
        new = secrets.text(endpoint.endpoint_id, fresh)
        world.owe(made.request("a"))
        await world.deliver()
        world.pass_time(60)
        world.owe(made.request("b"))
        await world.deliver()
    both, only = server.received
    assert old != new
    assert verified(old, both) == verified(new, both)
    assert verified(new, only)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verified(old, only)


async def test_ed25519_lets_the_receiver_verify_and_nobody_else_sign(local: Engine) -> None:
    async with receiver() as server:
        world = world_for(local, server)
        _, public = world.add_endpoint(server.url, scheme="v1a")
        world.owe(made.request())
        await world.deliver()
    (got,) = server.received
    assert public.startswith("whpk_")
    scheme, _, signature = got.headers["webhook-signature"].partition(",")
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    key.verify(base64.b64decode(signature), signed)
    assert scheme == "v1a"


async def test_nothing_is_sent_unsigned(local: Engine) -> None:
    """The operator's secret was replaced, not added to: deliveries wait until it is back."""
    async with receiver() as server:
        world = world_for(local, server)
        _, secret = world.add_endpoint(server.url)
        other = world_for(local, server, endpoint_secret="another secret of thirty-two characters")
        other.owe(made.request())
        await other.deliver()
        (row,) = other.rows()
        assert (row.state, server.received) == ("OWED", [])
        assert "MILEPOST_ENDPOINT_SECRET" in (row.reason or "")
        rotated = f"another secret of thirty-two characters,{world.settings.endpoint_secret.get_secret_value()}"
        both = world_for(local, server, endpoint_secret=rotated)
        both.pass_time(6)
        await both.deliver()
    assert verified(secret, server.received[0])


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (status(500, b"boom"), "500 boom"),
        (status(404), "404"),
        (status(400, b'{"error":"\x1b[31m\r\nSet-Cookie: x"}'), '400 {"error":" [31m Set-Cookie: x"}'),
        (status(302, Location="http://127.0.0.1:1/"), "302"),
        (status(308, Location="https://example.org/"), "308"),
        (status(100), "broken"),
        (receiving.silence, "timeout"),
        (receiving.drip, "timeout"),
        (receiving.cut, "broken"),
        (receiving.hang_up, "broken"),
        (receiving.nonsense, "broken"),
    ],
)
async def test_whatever_is_no_success_is_tried_again(local: Engine, behaviour: receiving.Behaviour, why: str) -> None:
    async with receiver() as server:
        world = world_for(local, server, notices_timeout_ms=500)
        endpoint, secret = world.add_endpoint(server.url)
        server.answers.append(behaviour)
        world.owe(made.request())
        assert await world.deliver() == 1
        (row,) = world.rows()
        assert row.state == "OWED"
        assert (row.reason or "").startswith(why)
        world.pass_time(6)
        assert await world.deliver() == 1
        assert world.states() == {("webhook", endpoint.endpoint_id): "SENT"}
    first, second = server.received
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 6
    assert verified(secret, second)


async def test_an_answer_that_is_too_long_is_a_success_all_the_same(local: Engine) -> None:
    async with receiver() as server:
        world = world_for(local, server)
        endpoint, _ = world.add_endpoint(server.url)
        server.answers.append(receiving.huge)
        world.owe(made.request())
        await world.deliver()
        (row,) = world.rows()
    assert (row.state, row.attempts) == ("SENT", 1)
    assert len(row.reason or "") <= 300
    assert endpoint.endpoint_id == row.recipient


async def test_the_whole_schedule_and_then_no_more(local: Engine) -> None:
    async with receiver() as server:
        server.otherwise = status(500)
        world = world_for(local, server)
        world.add_endpoint(server.url)
        world.owe(made.request())
        began, at = world.now, list[int]()
        for _ in range(100):
            if await world.deliver():
                at.append((world.now - began) // SECONDS)
            (row,) = world.rows()
            if row.state == "FAILED":
                break
            world.now = row.due_at
        assert at == [sum(DELAYS_S[: number + 1]) for number in range(10)]
        assert (row.attempts, row.reason) == (10, "given up after 10 attempts; the last: 500")
        assert len(attempts_of(local, row.delivery_id)) == 10
        assert len(server.received) == 10
        assert replay(local, Selection(states=["FAILED"]), world.now) == 1
        server.otherwise = status(200)
        assert await world.deliver() == 1
        (row,) = world.rows()
        assert (row.state, row.attempts) == ("SENT", 11)
    assert len({each.headers["webhook-id"] for each in server.received}) == 1


@pytest.mark.parametrize(
    ("code", "headers", "pause_s"),
    [
        (429, {"Retry-After": "600"}, 600),
        (503, {"Retry-After": "120"}, 120),
        (429, {}, 30),
        (502, {}, 30),
        (504, {"Retry-After": "nonsense"}, 30),
    ],
)
async def test_a_receiver_that_is_busy_gets_a_pause(
    local: Engine, code: int, headers: dict[str, str], pause_s: int
) -> None:
    async with receiver() as busy, receiver() as other:
        world = world_for(local, busy, other)
        world.add_endpoint(busy.url)
        world.add_endpoint(other.url)
        busy.answers.append(status(code, **{name.replace("-", "_"): value for name, value in headers.items()}))
        world.owe(made.request("a"))
        assert await world.deliver() == 2
        world.owe(made.request("b"))
        world.pass_time(pause_s - 1)
        assert await world.deliver() == 1  # the other one's
        world.pass_time(1)
        assert await world.deliver() == 2
    assert (len(busy.received), len(other.received)) == (3, 2)


async def test_gone_is_for_ever(local: Engine) -> None:
    async with receiver() as server:
        world = world_for(local, server)
        endpoint, _ = world.add_endpoint(server.url)
        server.answers.append(status(410, b"no more of this"))
        world.owe(made.request("a"))
        await world.deliver()
        world.owe(made.request("b"))
        world.pass_time(86_400)
        assert await world.deliver() == 0
        assert len(server.received) == 1
    found = endpoint_of(local, endpoint.endpoint_id)
    assert found is not None
    assert found.disabled_why == "410 no more of this"
    assert {row.state for row in world.rows()} == {"FAILED"}


async def test_s23_an_endpoint_inside_is_not_called(local: Engine) -> None:
    async with receiver() as inside, receiver() as redirecting:
        world = world_for(local, redirecting)
        world.add_endpoint(inside.url)
        world.add_endpoint(f"https://127.0.0.1:{inside.port}/x")
        world.add_endpoint(redirecting.url)
        redirecting.otherwise = status(307, Location=inside.url)
        world.owe(made.request())
        assert await world.deliver() == 3
    assert (inside.connections, len(redirecting.received)) == (0, 1)
    assert {row.state for row in world.rows()} == {"OWED"}
    assert sum("MILEPOST_OUTBOUND_ADMITTED_HOSTS" in (row.reason or "") for row in world.rows()) == 2


async def test_s27_tls_is_verified(local: Engine, certificates: Certificates) -> None:
    async with receiver(certificates.server("expired")) as expired, receiver(certificates.server()) as good:
        world = world_for(local, expired, good, outbound_ca_file=certificates.ca_file)
        bad, _ = world.add_endpoint(f"https://localhost:{expired.port}/")
        fine, _ = world.add_endpoint(f"https://localhost:{good.port}/")
        world.owe(made.request())
        await world.deliver()
    assert world.states() == {("webhook", bad.endpoint_id): "OWED", ("webhook", fine.endpoint_id): "SENT"}
    assert expired.received == []


async def test_nobody_listens(local: Engine) -> None:
    async with receiver() as server:
        pass
    world = world_for(local, server)
    world.add_endpoint(server.url)
    world.owe(made.request())
    assert await world.deliver() == 1
    (row,) = world.rows()
    assert (row.state, (row.reason or "").partition(":")[0]) == ("OWED", "unreachable")


async def test_an_endpoint_that_hangs_holds_up_nobody_else(local: Engine) -> None:
    async with receiver() as slow, receiver() as quick:
        world = world_for(local, slow, quick, notices_timeout_ms=1_500)
        slow.otherwise = receiving.silence
        world.add_endpoint(slow.url)
        _, secret = world.add_endpoint(quick.url)
        for number in range(40):
            world.owe(made.request(f"e{number}"))
        started = 0
        while len(quick.received) < 40:
            started += await world.worker.claim_and_start()
            await receiving.asyncio.sleep(0.01)
        assert len(slow.received) <= 4
        await world.worker.settle()
    assert started <= 48
    assert verified(secret, quick.received[-1])


def test_a_secret_is_in_no_table(local: Engine) -> None:
    world = World(local, settings_with())
    _, secret = world.add_endpoint("https://x.test/")
    with local.connect() as connection:
        dumped = str(connection.exec_driver_sql("SELECT * FROM notice_endpoints").all())
    assert "signing_keys" not in secret
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    assert len(raw) == 32
    assert not any(
        text in dumped for text in (secret, secret[6:], raw.hex(), world.settings.endpoint_secret.get_secret_value())
    )
