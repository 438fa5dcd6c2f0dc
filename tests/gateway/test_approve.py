"""Approval by link, over HTTP without a browser: from a real submission to its line, and every way not to get there."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.gateway.approving import Approving, approving, texts
from tests.store.samples import PDF


@pytest.fixture
async def work(embedded_broker: str, tmp_path: Path, topic_prefix: str) -> AsyncIterator[Approving]:
    async with approving(embedded_broker, tmp_path, topic_prefix) as found:
        await found.open()
        yield found


def said(answer: httpx2.Response) -> str:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return " | ".join(texts(answer.text))


async def sign(
    work: Approving, link: str, decision: str = "approve", files: Any = None, **fields: Any
) -> httpx2.Response:
    """What a browser sends."""
    parts = [(name, (None, value)) for name, value in {"decision": decision, "comment": "", **fields}.items()]
    return await work.served.ask("POST", link, files=[*parts, *(files or [])])


PROTOCOL = [("evidence:acceptance_protocol", ("protocol.pdf", PDF, "application/pdf"))]


async def test_two_people_sign_by_link_and_the_line_appears(work: Approving) -> None:
    await work.report("build", "r-1")
    lead = await work.link("build", "delivery_lead", "maria")
    first = await work.served.ask("GET", lead)
    assert first.status_code == 200
    for text in ("Phase 2 - build", "60,000.00 EUR", "Acme GmbH", "All in-scope processes", "maria, as delivery_lead"):
        assert text in said(first)
    # Reading does not use it up.
    assert (await work.served.ask("GET", lead)).status_code == 200
    done = await sign(work, lead)
    assert (done.status_code, done.headers["location"]) == (303, lead.removeprefix("/approve/"))
    receipt = await work.served.ask("GET", lead)
    assert "You approved this submission" in said(receipt)
    assert "Counted." in said(receipt)

    client = await work.link("build", "client_ap", "ana")
    page = await work.served.ask("GET", client)
    assert "Attach acceptance_protocol" in said(page)
    assert "maria approved by link on" in said(page)
    without = await sign(work, client)
    assert without.status_code == 422
    assert "Attach acceptance_protocol: the contract asks for it" in said(without)
    assert work.ledger.lines() == []
    assert (await sign(work, client, files=PROTOCOL)).status_code == 303
    line = await work.line("build")
    assert (line.gross_minor, line.retained_minor) == (6_000_000, 600_000)
    kept = await work.served.ask("GET", client)
    (address,) = re.findall(r'href="([^"]+/evidence/[0-9a-f]{64})"', kept.text)
    file = await work.served.ask("GET", f"/approve/{address}")
    assert (file.content, file.headers["content-disposition"]) == (
        PDF,
        "attachment; filename*=UTF-8''acceptance_protocol.pdf",
    )
