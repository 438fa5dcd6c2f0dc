"""Webhooks over HTTP: who may send them, what is taken, what is repeated; tests S1 to S9, S11 and S12."""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from milepost.codec import standard_webhooks
from milepost.demo.play import apply_topics
from milepost.gateway.endpoints import read_endpoint
from milepost.gateway.proofs import new_secret
from milepost.gateway.service import KEPT_DAYS
from milepost.observe import metrics
from milepost.settings import Settings
from milepost.sql.remembering import prune
from milepost.sql.sealing import Seal
from milepost.sql.tenants import add_tenants
from milepost.sql.webhooks import add_endpoint, add_secret, revoke_endpoint
from tests.gateway.running import DAY_US
from tests.gateway.serving import Served, body, serving, sqlite, stored
from tests.gateway.test_proofs import signed

LINK_SECRET = "s" * 32
ENDPOINT = """
tenant = "*"
engagements = ["hosting*"]
adapter = "cloudevents"
proof = "{proof}"
topics = ["kpi-events", "milestone-events"]
[options]
source = "monitoring"
"""
EVENT = {
    "specversion": "1.0",
    "type": "com.milepost.kpi_event.v1",
    "source": "monitoring",
    "subject": "hosting",
    "id": "v-1",
    "time": "2026-11-01T06:00:00Z",
    "data": {"kpi_id": "availability", "value": "99.95", "period_start": "2026-10-01", "period_end": "2026-10-31"},
}
CONTENT_TYPE = {"content-type": "application/cloudevents+json"}


class Sender:
    """A system that sends webhooks to an endpoint, and signs them as it should."""

    def __init__(self, served: Served, name: str, secret: str) -> None:
        self.served, self.name, self.secret = served, name, secret

    async def send(
        self,
        event: Any = None,
        *,
        message_id: str = "msg_1",
        at_s: int | None = None,
        raw: bytes | None = None,
        **other: Any,
    ) -> httpx2.Response:
        """One webhook; `raw` are other bytes than those that were signed, `secret` another one's."""
        content = json.dumps(EVENT if event is None else event).encode()
        key = standard_webhooks.read_key(other.get("secret", self.secret))
        headers = standard_webhooks.sign([key], message_id, int(time.time()) if at_s is None else at_s, content)
        headers |= CONTENT_TYPE | other.get("headers", {})
        path = f"/v1/webhooks/{other.get('to', self.name)}"
        return await self.served.ask("POST", path, headers=headers, content=content if raw is None else raw)


def endpoint(served: Served, name: str = "monitor", config: str = ENDPOINT, proof: str = "standard-webhooks") -> Sender:
    secret = new_secret(proof, name)
    made = read_endpoint(name, config.format(proof=proof), served.doors.now())
    add_endpoint(served.doors.engine, made, secret, Seal([LINK_SECRET]))
    return Sender(served, name, secret)


@asynccontextmanager
async def gateway(bootstrap_servers: str, folder: Path, **settings: Any) -> AsyncIterator[Served]:
    async with serving(bootstrap_servers, sqlite(folder), link_secret=LINK_SECRET, **settings) as served:
        yield served


def counted(outcome: str, adapter: str = "cloudevents") -> float:
    registry: CollectorRegistry = metrics.REGISTRY
    labels = {"adapter": adapter, "outcome": outcome}
    return registry.get_sample_value("milepost_gateway_webhooks_total", labels) or 0.0


def values(broker: str, topic: str = "kpi-events") -> list[str]:
    return [one.event.value for one in stored(broker, topic)]


async def test_s1_a_signed_webhook_is_one_event(embedded_broker: str, tmp_path: Path) -> None:
    before = counted("accepted")
    async with gateway(embedded_broker, tmp_path) as served:
        answer = await endpoint(served).send()
    assert answer.status_code == 202
    assert (body(answer)["accepted"], body(answer)["repeated"], body(answer)["passed_over"]) == (1, 0, [])
    assert body(answer)["events"][0]["event_id"] == "v-1"
    assert counted("accepted") == before + 1
    (record,) = stored(embedded_broker, "kpi-events")
    assert (record.event.source, record.event.engagement_id, record.event.value) == ("monitoring", "hosting", "99.95")


@pytest.mark.kafka
async def test_s1_and_s5_on_a_real_kafka(real_kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    apply_topics(Settings(bootstrap_servers=real_kafka, topic_prefix=topic_prefix))
    async with gateway(real_kafka, tmp_path, topic_prefix=topic_prefix) as served:
        sender = endpoint(served)
        answers = [
            await sender.send(),
            await sender.send(),
            await sender.send(EVENT | {"id": "v-2"}, message_id="msg_2"),
        ]
    assert [(answer.status_code, body(answer)["repeated"]) for answer in answers] == [(202, 0), (202, 1), (202, 0)]
    first, _, third = (body(answer)["events"][0] for answer in answers)
    assert (first["offset"], third["offset"]) == (0, 1)
    assert first["partition"] == third["partition"]


async def test_s2_s3_s4_what_was_changed_or_is_old_is_refused(embedded_broker: str, tmp_path: Path) -> None:
    before = counted("unproven")
    async with gateway(embedded_broker, tmp_path) as served:
        sender, now_s = endpoint(served), int(time.time())
        content = json.dumps(EVENT).encode()
        changed = [
            await sender.send(raw=content.replace(b"99.95", b"99.96")),
            await sender.send(raw=json.dumps(EVENT, separators=(",", ":")).encode()),
            await sender.send(headers={"webhook-id": "msg_2"}),
            await sender.send(headers={"webhook-timestamp": str(now_s + 1)}, at_s=now_s),
            await sender.send(at_s=now_s - 302),
            await sender.send(at_s=now_s + 310),
        ]
        taken = await sender.send(at_s=now_s - 290)
    assert [answer.status_code for answer in changed] == [401] * 6
    assert {body(answer)["code"] for answer in changed} == {"NOT_PROVEN"}
    assert taken.status_code == 202
    assert counted("unproven") == before + 6
    assert values(embedded_broker) == ["99.95"]


async def test_s5_a_repeated_webhook_has_no_further_effect(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        sender, now_s = endpoint(served), int(time.time())
        answers = [await sender.send(at_s=at_s) for at_s in (now_s, now_s, now_s - 60)]
    assert [(answer.status_code, body(answer)["accepted"], body(answer)["repeated"]) for answer in answers] == [
        (202, 1, 0),
        (202, 0, 1),
        (202, 0, 1),
    ]
    assert len(stored(embedded_broker, "kpi-events")) == 1


async def test_s5_an_id_is_remembered_for_longer_than_any_sender_tries(embedded_broker: str, tmp_path: Path) -> None:
    """Standard Webhooks' own schedule ends after 75 h 35 min; what is forgotten is older than a week."""
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served)
        assert (await sender.send()).status_code == 202
        later_us = served.doors.now() + 7 * DAY_US
        prune(served.doors.engine, later_us - KEPT_DAYS * DAY_US)
        object.__setattr__(served.doors, "now", lambda: later_us)
        again = await sender.send(at_s=later_us // 1_000_000)
        other = await sender.send(EVENT | {"id": "v-2"}, at_s=later_us // 1_000_000)
    assert (body(again)["repeated"], other.status_code) == (1, 409)


async def test_s6_the_same_id_with_another_body_is_a_conflict(embedded_broker: str, tmp_path: Path) -> None:
    before = counted("contradicted")
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served)
        first = await sender.send()
        other = await sender.send(EVENT | {"id": "v-2"})
        anew = await sender.send(EVENT | {"id": "v-2"}, message_id="msg_2")
        reused = await sender.send(EVENT | {"time": "2026-11-01T07:00:00Z"}, message_id="msg_3")
    assert [answer.status_code for answer in (first, other, anew, reused)] == [202, 409, 202, 409]
    assert [body(answer)["code"] for answer in (other, reused)] == ["MESSAGE_ID_REUSED", "EVENT_ID_REUSED"]
    assert counted("contradicted") == before + 2
    assert [one.event.event_id for one in stored(embedded_broker, "kpi-events")] == ["v-1", "v-2"]


async def test_s7_a_secret_is_rotated_without_a_gap(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        sender, now = endpoint(served), served.doors.now()
        fresh = standard_webhooks.secret_text(b"n" * 32)
        seal = Seal([LINK_SECRET])
        add_secret(served.doors.engine, "monitor", fresh, seal, now, now + 3_600_000_000)
        during = [await sender.send(message_id="a"), await sender.send(message_id="b", secret=fresh)]
        newest = standard_webhooks.secret_text(b"x" * 32)
        add_secret(served.doors.engine, "monitor", newest, seal, now, now)
        after = [
            await sender.send(message_id=one, secret=by)
            for one, by in (("c", sender.secret), ("d", fresh), ("e", newest))
        ]
    assert [answer.status_code for answer in during] == [202, 202]
    assert [answer.status_code for answer in after] == [401, 401, 202]


S8_HEADERS: list[tuple[dict[str, str], int]] = [
    ({"webhook-signature": ""}, 401),
    ({"webhook-signature": "v1"}, 400),
    ({"webhook-signature": "v1,"}, 400),
    ({"webhook-signature": "v1,!!"}, 400),
    ({"webhook-signature": "v2,AAAA"}, 401),
    ({"webhook-signature": " ".join(["v1,AAAA"] * 1_000)}, 400),
    ({"webhook-timestamp": "1e9"}, 400),
    ({"webhook-timestamp": "NaN"}, 400),
    ({"webhook-timestamp": "9" * 400}, 400),
    ({"webhook-id": "a.b"}, 400),
]


async def test_s8_malformed_proofs_are_the_senders_fault(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served)
        answers = [await sender.send(headers=headers) for headers, _ in S8_HEADERS]
        bare = await served.ask("POST", "/v1/webhooks/monitor", content=b"{}")
    assert [answer.status_code for answer in answers] == [status for _, status in S8_HEADERS]
    assert bare.status_code == 401
    assert {body(answer)["code"] for answer in answers} == {"MALFORMED_PROOF", "NOT_PROVEN"}
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in answers)


async def test_s9_one_senders_signature_is_worth_nothing_at_anothers_endpoint(
    embedded_broker: str, tmp_path: Path
) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served, "monitor-a")
        endpoint(served, "monitor-b")
        answer = await sender.send(to="monitor-b")
        nowhere = await sender.send(to="monitor-c")
        own = await sender.send()
    assert (answer.status_code, nowhere.status_code, own.status_code) == (401, 404, 202)


async def test_a_tenants_endpoint_writes_that_tenants_engagements_only(embedded_broker: str, tmp_path: Path) -> None:
    config = ENDPOINT.replace('tenant = "*"', 'tenant = "lakeside"')
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served, config=config)
        add_tenants(served.doors.engine, "hosting", ["lakeside"], 1)
        add_tenants(served.doors.engine, "hosting-2", ["riverside"], 1)
        own = await sender.send()
        others = [
            await sender.send(EVENT | {"subject": subject}, message_id=f"m-{subject}")
            for subject in ("hosting-2", "erp-rollout", "hosting-9")
        ]
    assert own.status_code == 202
    assert [(answer.status_code, body(answer)["code"]) for answer in others] == [(404, "UNKNOWN_ENGAGEMENT")] * 3
    assert values(embedded_broker) == ["99.95"]


async def test_an_endpoint_writes_its_topics_and_under_its_names_only(embedded_broker: str, tmp_path: Path) -> None:
    decision = {"role": "client", "approver": "ana", "milestone_id": "m", "decision": "APPROVED"}
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served)
        approval = await sender.send(EVENT | {"type": "com.milepost.approval_decision.v1", "data": decision})
        another = await sender.send(EVENT | {"source": "finance"})
        faulty = await sender.send(
            [EVENT, EVENT | {"data": {}}], headers={"content-type": "application/cloudevents-batch+json"}
        )
    assert [answer.status_code for answer in (approval, another, faulty)] == [422, 422, 422]
    assert body(approval)["errors"][0]["code"] == "TOPIC_NOT_ALLOWED"
    assert body(another)["errors"][0]["pointer"] == "/source"
    assert [error["pointer"] for error in body(faulty)["errors"]] == ["/1/data", "/1/data"]


async def test_a_contract_that_comes_by_webhook_is_linted(embedded_broker: str, tmp_path: Path) -> None:
    config = ENDPOINT.replace('topics = ["kpi-events"', 'topics = ["engagements"')
    opening = EVENT | {
        "type": "com.milepost.engagement_event.v1",
        "data": {"change": "OPENED", "contract": {"milepost": 1}},
    }
    async with gateway(embedded_broker, tmp_path) as served:
        answer = await endpoint(served, config=config).send(opening)
    assert answer.status_code == 422
    assert {error["code"] for error in body(answer)["errors"]} == {"CONTRACT_INVALID"}


async def test_what_has_no_event_is_taken_and_said(embedded_broker: str, tmp_path: Path) -> None:
    before = counted("passed_over")
    async with gateway(embedded_broker, tmp_path) as served:
        answer = await endpoint(served).send(EVENT | {"type": "com.example.other"})
    assert answer.status_code == 202
    assert body(answer) == {
        "accepted": 0,
        "repeated": 0,
        "passed_over": ['the event: the type "com.example.other" is none of ours'],
        "events": [],
    }
    assert counted("passed_over") == before + 1


async def test_a_revoked_endpoint_takes_nothing(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served)
        assert revoke_endpoint(served.doors.engine, "monitor", served.doors.now())
        assert (await sender.send()).status_code == 404


@pytest.mark.parametrize("proof", ["github", "stripe", "bearer", "basic"])
async def test_other_proofs_over_http(embedded_broker: str, tmp_path: Path, proof: str) -> None:
    content = json.dumps(EVENT).encode()
    async with gateway(embedded_broker, tmp_path) as served:
        secret = endpoint(served, proof=proof).secret
        right, wrong = [
            await served.ask(
                "POST",
                "/v1/webhooks/monitor",
                headers=CONTENT_TYPE | dict(signed(proof, by, content, int(time.time()))),
                content=content,
            )
            for by in (secret, "nobody:" + "n" * 32)
        ]
    assert (right.status_code, wrong.status_code) == (202, 401)
    assert values(embedded_broker) == ["99.95"]


async def test_a_fhir_server_puts_a_resource_below_the_address(embedded_broker: str, tmp_path: Path) -> None:
    config = ENDPOINT.replace('"cloudevents"', '"fhir"').replace("hosting*", "clinic") + 'engagement = "clinic"\n'
    config = config.replace('topics = ["kpi-events", "milestone-events"]', "")
    encounter = (Path(__file__).parent / "fixtures/fhir/encounter.json").read_bytes()
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served, config=config, proof="bearer")
        answer = await served.ask(
            "PUT",
            "/v1/webhooks/monitor/Encounter/f001",
            headers={"Authorization": f"Bearer {sender.secret}", "content-type": "application/fhir+json"},
            content=encounter,
        )
    assert answer.status_code == 202
    assert [one.event.occurrence_id for one in stored(embedded_broker, "milestone-events")] == ["f001"]


async def test_s11_bodies_are_bounded(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path, gateway_max_body_bytes=1_000) as served:
        sender = endpoint(served)
        fits = await sender.send(EVENT | {"x": "y" * (1_000 - len(json.dumps(EVENT | {"x": ""})))})
        over = await sender.send(EVENT | {"x": "y" * (1_001 - len(json.dumps(EVENT | {"x": ""})))}, message_id="m2")
        bomb = await sender.send(message_id="m3", headers={"content-encoding": "gzip"})
    assert (fits.status_code, over.status_code, bomb.status_code) == (202, 413, 415)


async def test_s12_without_kafka_nothing_is_acknowledged(tmp_path: Path) -> None:
    before = counted("unavailable")
    async with gateway("127.0.0.1:9", tmp_path, gateway_ack_timeout_ms=500) as served:
        answer = await endpoint(served).send()
    assert (answer.status_code, body(answer)["code"]) == (503, "UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    assert counted("unavailable") == before + 1


async def test_a_secret_that_cannot_be_opened_is_not_the_senders_fault(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served)
    async with serving(embedded_broker, sqlite(tmp_path), link_secret="t" * 32) as served:
        sender.served = served
        answer = await sender.send()
    assert (answer.status_code, body(answer)["code"]) == (503, "UNAVAILABLE")


async def test_a_rate_is_per_endpoint_and_after_the_proof(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path, gateway_requests_per_s=1) as served:
        sender, other = endpoint(served), endpoint(served, "another")
        unproven = [(await sender.send(secret=other.secret)).status_code for _ in range(6)]
        answers = [(await sender.send()).status_code for _ in range(6)]
        still = (await other.send(message_id="o")).status_code
    assert unproven == [401] * 6
    assert answers[0] == 202
    assert answers[-1] == 429
    assert still == 202


def test_the_database_has_no_secret_in_it(tmp_path: Path, embedded_broker: str) -> None:
    """S14's sentence for keys, here for what verifies webhooks: a copy of the database forges nothing."""
    from asyncio import run

    async def made() -> str:
        async with gateway(embedded_broker, tmp_path) as served:
            return endpoint(served).secret

    secret = run(made())
    dump = b"".join(path.read_bytes() for path in tmp_path.glob("milepost.db*"))
    assert b"monitor" in dump
    assert secret.encode() not in dump
    assert re.search(rb"whsec_", dump) is None
