"""Approval by link, over HTTP without a browser: from a real submission to its line, and every way not to get there."""

import asyncio
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from milepost.core.calendar import instant_text
from milepost.gateway.deciding import resend
from milepost.gateway.doors import now
from milepost.gateway.service import Gateway, listening
from milepost.kafka.async_publishing import AsyncPublisher, PublishError
from tests.approvals.approving import CONTRACT, PROTOCOL, Case, doors_of, said
from tests.store.samples import PDF

DAY_US = 86_400_000_000

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_two_people_sign_by_link_and_the_line_appears(case: Case) -> None:
    await case.report("build")
    lead = await case.link("build", "delivery_lead", "maria")
    first = await case.served.ask("GET", lead)
    assert first.status_code == 200
    for text in ("Phase 2 - build", "60,000.00 EUR", "Acme GmbH", "All in-scope processes", "maria, as delivery_lead"):
        assert text in said(first)
    # Reading does not use it up.
    assert (await case.served.ask("GET", lead)).status_code == 200
    assert await case.decisions() == []
    done = await case.sign(lead)
    assert (done.status_code, done.headers["location"]) == (303, lead.removeprefix("/approve/"))
    receipt = await case.served.ask("GET", lead)
    assert "You approved this submission" in said(receipt)
    assert "Counted." in said(receipt)

    client = await case.link("build", "client_ap", "ana")
    page = await case.served.ask("GET", client)
    assert "Attach acceptance_protocol" in said(page)
    assert "maria approved by link on" in said(page)
    without = await case.sign(client)
    assert without.status_code == 422
    assert "Attach acceptance_protocol: the contract asks for it" in said(without)
    assert case.lines() == []
    assert (await case.sign(client, files=PROTOCOL)).status_code == 303
    line = await case.line("build")
    assert (line.gross_minor, line.retained_minor) == (6_000_000, 600_000)
    kept = await case.served.ask("GET", client)
    (address,) = re.findall(r'href="([^"]+/evidence/[0-9a-f]{64})"', kept.text)
    file = await case.served.ask("GET", f"/approve/{address}")
    assert (file.content, file.headers["content-disposition"]) == (
        PDF,
        "attachment; filename*=UTF-8''acceptance_protocol.pdf",
    )


async def test_a_double_click_a_reload_and_a_retry_are_one_event(case: Case) -> None:
    """S19: double-approve."""
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")
    answers = await asyncio.gather(*(case.sign(link) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {303}
    assert (await case.sign(link)).status_code == 303
    found = await case.decisions()
    assert {one.event_id for one in found} == {f"link-{case.used_links('go-live')[0].link_id}"}
    assert len({(one.decided_at, one.approver, one.role, one.decision) for one in found}) == 1
    assert (found[0].approver, found[0].role, found[0].submission) == ("ana", "client_ap", 1)
    await case.line("go-live")
    assert len(case.lines()) == 1
    # Another decision by the same link is none; a page says what was decided, and when.
    other = await case.sign(link, "reject", comment="I changed my mind")
    assert other.status_code == 409
    assert "This link was used already" in said(other)
    assert "It was approved on" in said(other)
    assert len(await case.decisions()) == len(found)


async def test_of_two_who_decide_by_one_link_at_once_one_decides(case: Case) -> None:
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")
    answers = await asyncio.gather(case.sign(link, "approve"), case.sign(link, "reject", comment="no"))
    assert sorted(answer.status_code for answer in answers) == [303, 409]
    assert len({one.decision for one in await case.decisions()}) == 1


async def test_a_rejection_needs_a_reason_and_the_next_submission_a_new_link(case: Case) -> None:
    await case.report("go-live")
    link, other = [await case.link("go-live", "client_ap", person) for person in ("ana", "ben")]
    silent = await case.sign(link, "reject", comment="  \r\n ")
    assert silent.status_code == 422
    assert "Say why you reject" in said(silent)
    assert (await case.sign(link, "reject", comment="Two defects\r\nare open")).status_code == 303
    assert "Two defects" in said(await case.served.ask("GET", link))
    await case.request("go-live", "client_ap", "REJECTED")
    for answer in (await case.served.ask("GET", other), await case.sign(other)):
        assert answer.status_code == 409
        assert "Already rejected" in said(answer)

    await case.report("go-live")
    await case.request("go-live", "client_ap", submission=2)
    closed = await case.sign(other)
    assert closed.status_code == 409
    assert "Open submission 2, which is waiting for you" in said(closed)
    (address,) = re.findall(r'<a href="([^"]{64})"', closed.text)
    assert (await case.served.ask("GET", f"/approve/{address}")).status_code == 200
    # It is the link that a notice brings, and the same however often the page is opened.
    assert f"/approve/{address}" == await case.link("go-live", "client_ap", "ben", submission=2)
    # Who used a link gets no further one from it.
    used = await case.served.ask("GET", link)
    assert (used.status_code, "Open submission" in used.text) == (200, False)
    assert (await case.sign(f"/approve/{address}")).status_code == 303
    await case.line("go-live")


async def test_a_superseded_submission_leads_to_the_open_one(case: Case) -> None:
    await case.report("build", completion="40")
    old = await case.link("build", "delivery_lead", "maria")
    stranger = await case.link("build", "client_ap", "ana")
    await case.report("build", completion="60")
    await case.request("build", "delivery_lead", submission=2)
    answer = await case.sign(old)
    assert answer.status_code == 409
    assert "This submission was replaced" in said(answer)
    (address,) = re.findall(r'<a href="([^"]{64})"', answer.text)
    opened = await case.served.ask("GET", f"/approve/{address}")
    assert "maria, as delivery_lead" in said(opened)
    assert "36,000.00 EUR" in said(opened)
    # The other role's old link leads to that role's request, never to this one.
    elsewhere = re.findall(r'<a href="([^"]{64})"', (await case.served.ask("GET", stranger)).text)
    assert elsewhere != [address]
    assert [one.decision for one in await case.decisions()] == []


async def test_what_was_claimed_is_never_what_is_reported_now(case: Case) -> None:
    """Of a submission that was withdrawn, signed by the link or not, no page says that it claimed 0 %."""
    await case.report("build", completion="40")
    signed = await case.link("build", "delivery_lead", "maria")
    other = await case.link("build", "client_ap", "ana")
    assert "Claimed completion | 40 %" in said(await case.served.ask("GET", other))
    assert (await case.sign(signed)).status_code == 303
    assert "Claimed completion | 40 %" in said(await case.served.ask("GET", signed))
    await case.report("build", kind="WITHDRAWN", completion="0")
    await case.request("build", "client_ap", "SUPERSEDED")
    await case.work.until(lambda: any(
        (one.milestone_id, one.completion, one.submission) == ("build", "0", 1)
        for one in case.ledger.statuses(case.engagement)
    ))  # fmt: skip
    for link, status in ((signed, 200), (other, 409)):
        page = await case.served.ask("GET", link)
        assert page.status_code == status
        assert "24,000.00 EUR" in said(page)
        assert "Claimed completion" not in said(page)


async def test_a_decision_after_the_time_out_says_so(case: Case) -> None:
    await case.report("build")
    link = await case.link("build", "client_ap", "ana")
    due = (await case.request("build", "client_ap")).due_at
    assert due is not None
    await case.work.tick(due + DAY_US)
    await case.request("build", "client_ap", "EXPIRED")
    for answer in (await case.served.ask("GET", link), await case.sign(link, files=PROTOCOL)):
        assert answer.status_code == 409
        assert "Too late: the request timed out" in said(answer)
    assert await case.decisions() == []


async def test_less_than_the_claim_can_be_certified(case: Case) -> None:
    """S19: negative, zero and huge amounts are no percentages of a claim."""
    await case.report("build", completion="80")
    lead = await case.link("build", "delivery_lead", "maria")
    for wrong in (
        "0",
        "-5",
        "80.01",
        "1e1",
        "NaN",
        "inf",
        "abc",
        "9" * 40,
        "50 50",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        "0x10",
    ):
        answer = await case.sign(lead, certified_completion=wrong)
        assert answer.status_code == 422, wrong
        assert "is no percentage above 0 and up to the 80 %" in said(answer)
    assert (await case.sign(lead, certified_completion=" 50,5 % ")).status_code == 303
    client = await case.link("build", "client_ap", "ana")
    assert (await case.sign(client, files=PROTOCOL)).status_code == 303
    line = await case.line("build")
    assert (line.gross_minor, line.completion) == (3_030_000, "50.5")


async def test_who_reported_cannot_be_the_only_signer(case: Case) -> None:
    """S19: self-approve; the join refuses it, the receipt says so, and somebody else still can."""
    await case.report("go-live", reported_by="ana")
    link = await case.link("go-live", "client_ap", "ana")
    assert (await case.sign(link)).status_code == 303
    receipt = await case.served.ask("GET", link)
    assert "Without effect." in said(receipt)
    assert "The contract asks for different people" in said(receipt)
    assert case.lines() == []
    assert (await case.sign(await case.link("go-live", "client_ap", "ben"))).status_code == 303
    await case.line("go-live")


def amended(people: dict[str, list[str]]) -> dict[str, Any]:
    milestones = [{**milestone, "name": f"{milestone['name']} (revised)"} for milestone in CONTRACT["milestones"]]
    amendment = {"mode": "prospective", "from": "2026-02-01"}
    return {**CONTRACT, "version": 2, "amendment": amendment, "people": people, "milestones": milestones}


async def test_who_lost_the_role_signs_no_more(case: Case) -> None:
    """S19: approve after revoke. The amendment itself is signed by link, which shows what it changes."""
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")
    people = {"delivery_lead": ["maria"], "client_ap": ["ben", "eva"], "sponsor": ["sam"]}
    await case.change("AMENDED", {**amended(people), "engagement": case.engagement})
    amendment = await case.link("@amendment", "client_ap", "ben")
    page = await case.served.ask("GET", amendment)
    for text in ("Contract version 2", "new: Milestones: go-live, Phase 3 - go-live (revised)", "old: People:"):
        assert text in said(page), text
    assert "EUR" not in said(page).partition("What changes")[0]
    assert (await case.sign(amendment)).status_code == 303
    await case.work.until(lambda: any(one.state == "ACCEPTED" for one in case.ledger.statuses(case.engagement)))
    answer = await case.sign(link)
    assert answer.status_code == 403
    assert "You do not hold this role any more" in said(answer)
    assert "Phase 3" not in said(answer)
    assert [one.milestone_id for one in await case.decisions()] == ["@amendment"]


async def test_the_sign_off_is_signed_by_link(case: Case) -> None:
    await case.change("SIGNED_OFF")
    link = await case.link("@signoff", "client_ap", "ana")
    page = await case.served.ask("GET", link)
    assert "Final sign-off" in said(page)
    assert (await case.sign(link)).status_code == 303
    assert "Counted." in said(await case.served.ask("GET", link))


class Away:
    """A publisher whose brokers do not answer."""

    async def publish(self, *_: Any) -> Any:
        raise PublishError("no broker answers")


async def test_a_decision_that_kafka_did_not_take_is_kept_and_sent_again(case: Case) -> None:
    """S12 by link: nobody is told that it is recorded before it is; the time is that of the click."""
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")
    with doors_of(case, publisher=Away()):
        answer = await case.sign(link)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Kept, and on its way" in said(answer)
    assert "Kept, and on its way" in said(await case.served.ask("GET", link))
    (kept,) = case.used_links("go-live")
    assert await resend(case.served.doors) == 0  # the next click may be on its way
    with doors_of(case, now=lambda: now() + DAY_US) as late:
        assert await resend(late) == 1
        assert await resend(late) == 0
    (event,) = await case.decisions()
    assert event.event_id == f"link-{kept.link_id}"
    assert instant_text(event.decided_at) == json.loads(kept.event or "")["decided_at"]
    await case.line("go-live")
    assert "You approved this submission" in said(await case.served.ask("GET", link))


async def test_a_gateway_that_starts_sends_what_another_one_left(case: Case) -> None:
    """The click was yesterday, and the gateway died before Kafka had it."""
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")
    with doors_of(case, publisher=Away(), now=lambda: now() - DAY_US):
        assert (await case.sign(link)).status_code == 503
    assert await case.decisions() == []
    settings = case.served.doors.settings
    doors = replace(case.served.doors, publisher=AsyncPublisher(settings, "milepost/gateway", 30_000))
    gateway = Gateway(case.served.app, doors, listening("127.0.0.1", 0))
    running = asyncio.create_task(gateway.run())
    await case.line("go-live")
    gateway.stop()
    await asyncio.wait_for(running, 30)
    assert len(await case.decisions()) == 1
    assert case.used_links("go-live")[0].published_at is not None
