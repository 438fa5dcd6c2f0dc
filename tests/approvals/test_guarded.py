"""What an approval link does not open: other files, other people, other sites, logs, the disk."""

import asyncio
import logging
import re
from pathlib import Path

import msgspec
import pytest

from milepost.gateway.doors import now
from tests.approvals.approving import PROTOCOL, Case, doors_of, said
from tests.gateway.serving import body, serving, sqlite
from tests.store.samples import EXE, PDF

DAY_US = 86_400_000_000

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_uploads_are_judged_and_what_was_good_is_kept(case: Case) -> None:
    """S24 by link: refused in words; a second try need not bring a file again; strangers' files are passed over."""
    await case.report("build")
    link = await case.link("build", "client_ap", "ana")
    field = "evidence:acceptance_protocol"
    refused = await case.sign(link, files=[(field, ("protocol.pdf", EXE, "application/pdf"))])
    assert refused.status_code == 422
    assert "acceptance_protocol was not taken: declared as application/pdf" in said(refused)
    empty = await case.sign(link, files=[(field, ("", b"", "application/octet-stream"))])
    assert "Attach acceptance_protocol" in said(empty)
    # Its type by its name's end where the browser does not know it, and kept although the form has another fault.
    kept = await case.sign(
        link, "",
        files=[(field, ("Protocol.PDF", PDF, "application/octet-stream")), ("evidence:other", PROTOCOL[0][1])],
    )  # fmt: skip
    assert kept.status_code == 422
    assert "Choose whether you approve or reject" in said(kept)
    ((name, sha256),) = re.findall(r'name="kept:([^"]+)" value="([0-9a-f]{64})"', kept.text)
    assert name == "acceptance_protocol"
    forged = await case.sign(link, **{"kept:acceptance_protocol": "a" * 64})
    assert forged.status_code == 422
    assert (await case.sign(link, **{"kept:acceptance_protocol": sha256})).status_code == 303
    (event,) = await case.decisions()
    assert [(piece.name, piece.sha256) for piece in event.evidence] == [("acceptance_protocol", sha256)]


async def test_a_link_is_no_door_to_the_disk(case: Case) -> None:
    await case.report("build")
    link = await case.link("build", "client_ap", "ana")
    answer = None
    for number in range(21):
        file = ("evidence:acceptance_protocol", ("a.txt", f"number {number}".encode(), "text/plain"))
        answer = await case.sign(link, "", files=[file])
        while answer.status_code == 429:
            await asyncio.sleep(0.2)
            answer = await case.sign(link, "", files=[file])
    assert answer is not None
    assert "This link has brought 20 files" in said(answer)
    large = ("evidence:acceptance_protocol", ("a.txt", b"x" * 60_000_000, "text/plain"))
    assert (await case.sign(link, files=[large])).status_code == 413


async def test_files_are_for_the_link_that_names_them(case: Case) -> None:
    """S24 "other key", S15: a file of another engagement, or one that the page does not name, is not there."""
    key = case.served.key("evidence:write")
    headers = {"Content-Type": "application/pdf"}
    path = f"/v1/evidence?engagement_id={case.engagement}&name=report"
    item = body(await case.served.ask("POST", path, key, content=PDF, headers=headers))
    secret = body(await case.served.ask("POST", path, key, content=PDF + b"\n", headers=headers))
    foreign = body(
        await case.served.ask("POST", "/v1/evidence?engagement_id=other", key, content=PDF + b" ", headers=headers)
    )
    await case.report("go-live", evidence=[item, foreign])
    link = await case.link("go-live", "client_ap", "ana")
    file = await case.served.ask("GET", f"{link}/evidence/{item['sha256']}")
    assert (file.status_code, file.content) == (200, PDF)
    assert file.headers["content-disposition"].startswith("attachment;")
    for sha256 in (secret["sha256"], foreign["sha256"], "0" * 64, "..%2f..", "x"):
        answer = await case.served.ask("GET", f"{link}/evidence/{sha256}")
        assert answer.status_code == 404, sha256


async def test_an_old_link_opens_nothing_and_shows_nothing(case: Case) -> None:
    """S24: expired URL."""
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")
    with doors_of(case, now=lambda: now() + 31 * DAY_US):
        answers = [
            await case.served.ask("GET", link),
            await case.sign(link),
            await case.served.ask("GET", f"{link}/evidence/{'0' * 64}"),
        ]
    for answer in answers:
        assert answer.status_code == 410
        assert "This link has expired" in said(answer)
        assert "go-live" not in answer.text
    assert await case.decisions() == []


@pytest.mark.parametrize("token", ["x", "A" * 64, "..%2f..%2fv1", "'%20OR%201=1--", "é", "A" * 5000])
async def test_what_is_no_link_opens_nothing(case: Case, token: str) -> None:
    for method in ("GET", "POST"):
        answer = await case.served.ask(method, f"/approve/{token}")
        assert answer.status_code == 404


async def test_without_a_secret_there_are_no_links(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        answer = await served.ask("GET", f"/approve/{'A' * 64}")
    assert (answer.status_code, "opens nothing" in answer.text) == (404, True)


async def test_a_mail_that_is_faster_than_the_ledger(case: Case) -> None:
    await case.report("go-live")
    request = await case.request("go-live", "client_ap")
    ahead = msgspec.structs.replace(request, request_id="ahead", submission=7, submission_hash="7" * 64)
    token = case.served.doors.links.issue(ahead, "ana", case.served.doors.now()).token
    answer = await case.served.ask("GET", f"/approve/{token}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Not ready yet" in said(answer)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://gateway.test", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "http://127.0.0.1:8080"}, 303),
        ({}, 303),
    ],
)
async def test_a_form_of_another_site_decides_nothing(case: Case, headers: dict[str, str], status: int) -> None:
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")
    answer = await case.served.ask("POST", link, data={"decision": "approve"}, headers=headers)
    assert answer.status_code == status
    assert len(await case.decisions()) == (status == 303)


async def test_headers_let_a_browser_do_nothing_but_show(case: Case) -> None:
    """S32 for pages."""
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")
    for path, method in ((link, "GET"), (link, "POST"), ("/approve/x", "GET")):
        answer = await case.served.ask(method, path)
        policy = answer.headers["content-security-policy"]
        assert re.fullmatch(
            r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; form-action 'self'; base-uri 'none'; "
            r"frame-ancestors 'none'",
            policy,
        )
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "<script" not in answer.text
        assert "access-control-allow-origin" not in answer.headers


async def test_no_log_holds_a_token(
    case: Case, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S28 for links, and S22: what people write is no line of a log."""
    monkeypatch.setattr(logging.getLogger("httpx2"), "disabled", True)  # the test's own client, which is nobody's log
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")
    await case.served.ask("GET", link)
    await case.sign(link, "reject", comment="x\r\n2026-01-01 [error] forged \x1b[31m${jndi:ldap://x}")
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert "decided by link" in text
    for secret in (link.removeprefix("/approve/"), "ana", "forged"):
        assert secret not in text
