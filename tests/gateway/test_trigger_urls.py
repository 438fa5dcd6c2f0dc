"""A trigger URL reports its milestone once, by POST alone, and says nothing to whoever guesses."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.sql.engine import writing
from milepost.sql.link_tokens import TRIGGER, LinkKeys, parse
from milepost.sql.links import Links
from milepost.sql.trigger_urls import TriggerUrl, TriggerUrls
from milepost.sql.webhook_tables import trigger_urls
from tests.gateway.running import DAY_US
from tests.gateway.serving import Served, body, serving, sqlite, stored

SECRET, OTHER = "s" * 32, "t" * 32


@asynccontextmanager
async def gateway(bootstrap_servers: str, folder: Path, secret: str = SECRET) -> AsyncIterator[Served]:
    async with serving(bootstrap_servers, sqlite(folder), link_secret=secret) as served:
        yield served


def urls(served: Served, secret: str = SECRET) -> TriggerUrls:
    return TriggerUrls(served.doors.engine, LinkKeys([secret], TRIGGER))


def made(served: Served, days: int = 30, **changed: Any) -> tuple[TriggerUrl, str]:
    """A URL for half of erp-rollout/build, and its path."""
    now = served.doors.now()
    given: dict[str, Any] = {
        "engagement_id": "erp-rollout",
        "milestone_id": "build",
        "occurrence_id": None,
        "completion": "60",
        "source": "pipeline",
        "reported_by": "maria",
        "now": now,
        "expires_at": now + days * DAY_US,
    }
    url, token = urls(served).create(**given | changed)
    return url, f"/t/{token}"


async def test_a_post_reports_once_and_may_be_repeated(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        url, path = made(served)
        answers = [await served.ask("POST", path) for _ in range(3)]
        (seen,) = urls(served).every()
    assert [(answer.status_code, body(answer)["accepted"], body(answer)["repeated"]) for answer in answers] == [
        (202, 1, 0),
        (202, 0, 1),
        (202, 0, 1),
    ]
    (record,) = stored(embedded_broker, "milestone-events")
    assert (record.event.engagement_id, record.event.milestone_id, record.event.completion) == (
        "erp-rollout",
        "build",
        "60",
    )
    assert (record.event.event_id, record.event.source) == (f"trigger-url {url.trigger_id}", "pipeline")
    assert (record.event.reported_by, record.event.occurred_at) == ("maria", seen.used_at)


async def test_a_get_shows_and_does_nothing(embedded_broker: str, tmp_path: Path) -> None:
    """Scanners of links follow every address."""
    async with gateway(embedded_broker, tmp_path) as served:
        _, path = made(served, milestone_id="<b>build</b>")
        page = await served.ask("GET", path)
        head = await served.ask("HEAD", path)
        (unused,) = urls(served).every()
        pressed = await served.ask("POST", path, headers={"accept": "text/html,application/xhtml+xml"})
        after = await served.ask("GET", path)
    assert page.status_code == 200
    assert '<form method="post">' in page.text
    assert "&lt;b&gt;build&lt;/b&gt;" in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert (page.headers["cache-control"], page.headers["x-robots-tag"]) == ("no-store", "noindex, nofollow")
    assert (head.status_code, head.content, unused.used_at) == (200, b"", None)
    assert (pressed.status_code, "<h1>Reported</h1>" in pressed.text) == (202, True)
    assert "<form" not in after.text
    assert len(stored(embedded_broker, "milestone-events")) == 1


async def test_what_expired_or_was_revoked_reports_nothing(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        _, expired = made(served, days=0)
        url, revoked = made(served)
        assert urls(served).revoke(url.trigger_id, served.doors.now())
        assert not urls(served).revoke(url.trigger_id, served.doors.now())
        answers = [await served.ask(method, path) for path in (expired, revoked) for method in ("POST", "GET")]
    assert [answer.status_code for answer in answers] == [410] * 4
    assert [body(answers[place])["code"] for place in (0, 2)] == ["TRIGGER_URL_OVER"] * 2
    assert stored(embedded_broker, "milestone-events") == []


async def test_what_was_used_in_time_may_be_called_again_after_it(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        url, path = made(served)
        assert (await served.ask("POST", path)).status_code == 202
        assert not urls(served).revoke(url.trigger_id, served.doors.now())
        object.__setattr__(served.doors, "now", lambda: url.expires_at + 1)
        again = await served.ask("POST", path)
        _, late = made(served, now=url.created_at, expires_at=url.expires_at)
        refused = await served.ask("POST", late)
    assert (again.status_code, body(again)["repeated"], refused.status_code) == (202, 1, 410)


async def test_a_report_that_was_cut_off_is_sent_as_it_was(tmp_path: Path, embedded_broker: str) -> None:
    """The first call found no broker; the second reports at the time of the first."""
    async with serving("127.0.0.1:9", sqlite(tmp_path), link_secret=SECRET, gateway_ack_timeout_ms=500) as served:
        _, path = made(served)
        assert (await served.ask("POST", path)).status_code == 503
        (cut_off,) = urls(served).every()
    async with gateway(embedded_broker, tmp_path) as served:
        assert (await served.ask("POST", path)).status_code == 202
        (seen,) = urls(served).every()
    (record,) = stored(embedded_broker, "milestone-events")
    assert record.event.occurred_at == cut_off.used_at == seen.used_at
    assert (cut_off.published_at, seen.published_at is None) == (None, False)


async def test_a_token_of_another_secret_kind_or_row_opens_nothing(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        url, path = made(served)
        approval = LinkKeys([SECRET]).token(LinkKeys([SECRET]).current, url.trigger_id, url.nonce, url.scope)
        foreign = LinkKeys([OTHER], TRIGGER)
        forged = foreign.token(foreign.current, url.trigger_id, url.nonce, url.scope)
        paths = [f"/t/{approval}", f"/t/{forged}", path[:-1], path + "A", "/t/x", "/t/" + "A" * 64]
        answers = [await served.ask(method, one) for one in paths for method in ("GET", "POST")]
        assert Links(served.doors.engine, LinkKeys([SECRET]), 30).look_up(path[3:]) is None
        with writing(served.doors.engine) as connection:
            connection.execute(trigger_urls.update().values(completion="100"))
        answers.append(await served.ask("POST", path))
    assert [answer.status_code for answer in answers] == [404] * 13
    assert {body(answer)["code"] for answer in answers} == {"UNKNOWN_TRIGGER_URL"}
    assert stored(embedded_broker, "milestone-events") == []


async def test_the_servers_secret_is_rotated(embedded_broker: str, tmp_path: Path) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        _, path = made(served)
    async with gateway(embedded_broker, tmp_path, f"{OTHER},{SECRET}") as served:
        assert (await served.ask("GET", path)).status_code == 200
    async with gateway(embedded_broker, tmp_path, OTHER) as served:
        assert (await served.ask("GET", path)).status_code == 404
    async with gateway(embedded_broker, tmp_path, "") as served:
        assert (await served.ask("GET", path)).status_code == 503


@given(st.text(max_size=70))
def test_s34_any_text_is_a_token_or_none(text: str) -> None:
    token = parse(text)
    assert token is None or base64.urlsafe_b64encode(bytes.fromhex(token.link_id) + token.mac).decode() == text


@pytest.mark.parametrize("occurrence", [None, "2026-10"])
async def test_a_url_is_for_one_occurrence(embedded_broker: str, tmp_path: Path, occurrence: str | None) -> None:
    async with gateway(embedded_broker, tmp_path) as served:
        _, path = made(served, occurrence_id=occurrence, reported_by=None)
        assert (await served.ask("POST", path)).status_code == 202
    (record,) = stored(embedded_broker, "milestone-events")
    assert (record.event.occurrence_id, record.event.reported_by) == (occurrence, None)
