"""Contract, reports and decisions over HTTP become lines, and HTTP says what became of them."""

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from milepost.demo import play
from milepost.demo.pipeline import Pipeline
from milepost.kafka.publishing import Publisher
from milepost.settings import Settings
from tests.gateway.serving import Served, body, serving, sqlite

CONTRACT = """
milepost: 1
engagement: harbour
version: 1
customer: {id: acme, name: =Acme}
supplier: {id: northwind}
currency: EUR
value: "1000.00"
timezone: Europe/Berlin
effective_from: 2026-01-01
people:
  lead: [maria]
  client: [ana]
approvals:
  dual: {steps: [{role: lead}, {role: client}]}
retention: {rate: "10", release: [{id: end, when: signoff}]}
milestones:
  - {id: design, name: Design, fee: {fixed: "600.00"}, requires: [completed], approval: dual}
  - {id: build, name: Build, fee: {fixed: "400.00"}, requires: [completed], depends_on: [design], approval: none}
"""
YAML = {"content-type": "application/yaml"}
REACHED_S = 60


class Harbour(Served):
    """A gateway with a join and a ledger behind it."""

    async def until(self, path: str, key: str, holds: Any) -> Any:
        """The answer of `path` once it is as wanted."""
        until = time.monotonic() + REACHED_S
        while True:
            answer = await self.ask("GET", path, key)
            if answer.status_code == 200 and holds(body(answer)):
                return body(answer)
            assert time.monotonic() < until, answer.text
            await asyncio.sleep(0.1)


@asynccontextmanager
async def harbour(servers: str, folder: Path) -> AsyncIterator[Harbour]:
    chosen = Settings(bootstrap_servers=servers, database_url=sqlite(folder), poll_timeout_ms=20)
    play.apply_topics(chosen)
    async with serving(servers, sqlite(folder)) as served, Pipeline(chosen):
        yield Harbour(served.app, served.doors, served.client)


def tick(servers: str, at: str) -> None:
    from milepost.codec.json_forms import parse_instant
    from milepost.core.events import ClockTick

    publisher = Publisher(Settings(bootstrap_servers=servers))
    publisher.send("clock-ticks", ClockTick(at=parse_instant(at)))
    publisher.flush()


async def test_an_engagement_from_its_contract_to_its_retention(embedded_broker: str, tmp_path: Path) -> None:
    async with harbour(embedded_broker, tmp_path) as gate:
        key = gate.key(tenant="northwind")
        maria = gate.key("approvals:decide", "milestones:read", "approvals:read", person="maria", roles=("lead",))
        ana = gate.key("approvals:decide", tenant="acme", person="ana", roles=("client",))
        opened = await gate.ask("POST", "/v1/engagements", key, content=CONTRACT, headers=YAML)
        assert opened.status_code == 202, opened.text
        assert opened.headers["location"] == "/v1/engagements/harbour"
        found = await gate.until("/v1/engagements/harbour", key, lambda it: it["state"] == "OPEN")
        assert found["value"] == {
            "amount_minor": 100000, "currency": "EUR", "currency_exponent": 2, "text": "1000.00 EUR"
        }  # fmt: skip
        assert [one["name"] for one in found["available_actions"]] == ["amend", "sign-off", "suspend", "terminate"]
        for milestone in ("design", "build"):
            path = f"/v1/engagements/harbour/milestones/{milestone}/trigger"
            answer = await gate.ask("POST", path, key, json={"occurred_at": "2026-03-02T10:00:00Z"})
            assert answer.status_code == 202, answer.text
        missing = await gate.until(
            "/v1/engagements/harbour/milestones?milestone_id=design", maria,
            lambda it: it["items"] and it["items"][0]["state"] == "SUBMITTED",
        )  # fmt: skip
        [status] = missing["items"]
        assert len(status["missing"]) == 2
        assert all(one["since"] and one["detail"] for one in status["missing"])
        assert [one["name"] for one in status["available_actions"]] == ["decide"]
        for person in (maria, ana):
            answer = await gate.ask(
                "POST", "/v1/engagements/harbour/milestones/design/approvals", person, json={"decision": "APPROVED"}
            )
            assert answer.status_code == 202, answer.text
        lines = await gate.until("/v1/engagements/harbour/lines", key, lambda it: len(it["items"]) == 2)
        assert [line["gross"]["text"] for line in lines["items"]] == ["600.00 EUR", "400.00 EUR"]
        await _explained(gate, key, lines["items"][0])
        disputed = await gate.ask(
            "POST", "/v1/engagements/harbour/disputes", key,
            json={"dispute_id": "d-1", "line_id": lines["items"][0]["line_id"], "amount_minor": 70000},
        )  # fmt: skip
        assert (disputed.status_code, body(disputed)["errors"][0]["pointer"]) == (422, "/amount_minor")
        signed = await gate.ask("POST", "/v1/engagements/harbour/sign-off", key)
        assert signed.status_code == 202, signed.text
        retention = await gate.until("/v1/engagements/harbour/retention", key, lambda it: len(it["items"]) == 3)
        assert [one["kind"] for one in retention["items"]] == ["HELD", "HELD", "RELEASED"]
        assert retention["sums"][0]["balance"]["amount_minor"] == 0
        assert retention["sums"][0]["gross"]["text"] == "1000.00 EUR"
        await _paged(gate, key)


async def test_a_decision_on_what_is_no_longer_open_is_told_what_is(embedded_broker: str, tmp_path: Path) -> None:
    design = "/v1/engagements/harbour/milestones/design"
    requests = "/v1/engagements/harbour/requests?milestone_id=design"
    async with harbour(embedded_broker, tmp_path) as gate:
        key = gate.key()
        maria = gate.key("approvals:*", person="maria", roles=("lead",))
        ana = gate.key("approvals:*", person="ana", roles=("client",))
        carl = gate.key("approvals:*", person="carl", roles=("client",))
        early = await gate.ask("POST", f"{design}/approvals", maria, json={"decision": "APPROVED", "submission": 1})
        assert early.status_code == 202  # signatures may overtake what they are for
        assert (await gate.ask("POST", "/v1/engagements", key, content=CONTRACT, headers=YAML)).status_code == 202
        evidence = {"name": "photo", "media_type": "image/png", "size_bytes": 1, "uri": "file:///x"}
        for number in (1, 2):
            report = {
                "occurred_at": f"2026-03-0{number}T10:00:00Z",
                "evidence": [evidence | {"sha256": f"{number}" * 64}],
            }
            assert (await gate.ask("POST", f"{design}/trigger", key, json=report)).status_code == 202

        def is_open(submission: int) -> Any:
            return lambda found: any(
                one["submission"] == submission and one["kind"] == "REQUESTED" for one in found["items"]
            )

        found = await gate.until(requests, ana, is_open(2))
        [mine] = [one for one in found["items"] if one["submission"] == 2 and one["role"] == "client"]
        assert [one["name"] for one in mine["available_actions"]] == ["decide"]

        async def decide(who: str, **value: Any) -> tuple[int, dict[str, Any]]:
            answer = await gate.ask("POST", f"{design}/approvals", who, json={"decision": "APPROVED", **value})
            return answer.status_code, body(answer)

        status, stale = await decide(ana, submission=1)
        assert (status, stale["code"]) == (409, "SUPERSEDED")
        assert (stale["open"]["submission"], stale["open"]["people"]) in ((2, ["ana"]), (2, ["maria"]))
        status, other = await decide(ana, submission=1, submission_hash="c" * 64)
        assert (status, other["code"], other["open"]["submission"]) == (409, "STALE_SUBMISSION", 2)
        assert (await decide(carl, submission=2))[1]["code"] == "NOT_ASKED"
        assert (await decide(ana, submission=2, event_id="a", submission_hash=mine["submission_hash"]))[0] == 202
        assert (await decide(maria, submission=2))[0] == 202

        def is_signed(found: dict[str, Any]) -> bool:
            return sum((one["submission"], one["kind"]) == (2, "GRANTED") for one in found["items"]) == 2

        await gate.until(requests, ana, is_signed)
        assert (await decide(ana, submission=2))[1]["code"] == "ALREADY_GRANTED"
        assert (await decide(ana))[1]["code"] == "ALREADY_GRANTED"
        status, again = await decide(ana, submission=2, event_id="a", submission_hash=mine["submission_hash"])
        assert (status, again["repeated"]) == (202, 1)


async def _explained(gate: Harbour, key: str, line: dict[str, Any]) -> None:
    path = f"/v1/engagements/harbour/lines/{line['line_id']}/explanation"
    explained = await gate.ask("GET", path, key, headers={"Accept": "text/plain"})
    assert "fee 600.00 EUR x 100 % accepted = 600.00 EUR" in explained.text
    assert "lead (maria) granted" in explained.text
    assert "Gates\n  completed: 100 % accepted, reported since 20" in explained.text
    assert "api:" in explained.text
    open_one = await gate.ask("GET", "/v1/engagements/harbour/milestones/build/explanation", key)
    assert body(open_one)["sections"][0]["title"] == "Milestone"


async def _paged(gate: Harbour, key: str) -> None:
    """Page by page is the whole list, once, and CSV is the same."""
    whole = body(await gate.ask("GET", "/v1/engagements/harbour/audit", key))
    assert whole["next"] is None
    found: list[Any] = []
    path = "/v1/engagements/harbour/audit?limit=2"
    while path:
        answer = await gate.ask("GET", path, key)
        found += body(answer)["items"]
        assert len(body(answer)["items"]) <= 2
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert found == whole["items"]
    assert len(found) > 6
    text = (await gate.ask("GET", "/v1/engagements/harbour/audit", key, headers={"Accept": "text/csv"})).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["sequence"]) for row in rows] == [entry["sequence"] for entry in found]
    lines = (await gate.ask("GET", "/v1/engagements/harbour/lines", key, headers={"Accept": "text/csv"})).text
    assert [row["payable"] for row in csv.DictReader(io.StringIO(lines))] == ["540.00", "360.00", "100.00"]
    listed = body(await gate.ask("GET", "/v1/engagements", key))
    assert [one["engagement_id"] for one in listed["items"]] == ["harbour"]
    overview = (await gate.ask("GET", "/v1/engagements", key, headers={"Accept": "text/csv"})).text
    assert '"{""id"": ""acme"", ""name"": ""=Acme""}"' in overview


@pytest.mark.parametrize("cursor", ["x", "WzFd", "W251bGxd", "W10", "WyJhXHUwMDAwIl0", "WzFlMzBd", "A" * 3000])
async def test_a_cursor_of_another_list_or_none_at_all_is_refused(
    embedded_broker: str, tmp_path: Path, cursor: str
) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        answer = await served.ask("GET", f"/v1/engagements/x/milestones?cursor={cursor}", key)
    assert answer.status_code == 400
    assert "cursor" in body(answer)["detail"]
