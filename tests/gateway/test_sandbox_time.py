"""In a sandbox what comes without its time is dated by the time that was advanced to; elsewhere by the machine's."""

from pathlib import Path

import pytest

from milepost.kafka.ticking import TICKS, Ticks
from milepost.sql.link_tokens import TRIGGER, LinkKeys
from milepost.sql.trigger_urls import TriggerUrls
from tests.gateway.running import DAY_US
from tests.gateway.serving import body, serving, sqlite, stored

PATH = "/v1/engagements/erp-rollout/milestones/build/trigger"


@pytest.mark.parametrize("sandbox", [True, False])
async def test_a_report_is_dated_by_the_sandboxs_time(embedded_broker: str, tmp_path: Path, sandbox: bool) -> None:
    async with serving(embedded_broker, sqlite(tmp_path), sandbox=sandbox) as served:
        ticks = Ticks(served.doors.settings)
        assert ticks.missing(("milestone-events", TICKS)) == []
        ticks.send([served.doors.now() + 10 * DAY_US], range(4))
        ticks.close()
        key = served.key()
        answer = await served.ask("POST", PATH, key, json={"event_id": "one"})
        assert answer.status_code == 202, answer.text
        again = await served.ask("POST", PATH, key, json={"event_id": "one"})
        assert body(again)["repeated"] == 1
        machine = served.doors.now()
    (found,) = stored(embedded_broker, "milestone-events")
    ahead_us = found.event.occurred_at - machine
    assert abs(ahead_us - (10 * DAY_US if sandbox else 0)) < 60_000_000


async def test_a_trigger_url_reports_at_the_sandboxs_time_and_expires_by_the_machines(
    embedded_broker: str, tmp_path: Path
) -> None:
    async with serving(embedded_broker, sqlite(tmp_path), sandbox=True, link_secret="s" * 32) as served:
        ticks = Ticks(served.doors.settings)
        assert ticks.missing(("milestone-events", TICKS)) == []
        ticks.send([served.doors.now() + 10 * DAY_US], range(4))
        ticks.close()
        now = served.doors.now()
        urls = TriggerUrls(served.doors.engine, LinkKeys(["s" * 32], TRIGGER))
        _, token = urls.create("erp-rollout", "build", None, "100", "url", None, now, now + DAY_US)
        answer = await served.ask("POST", f"/t/{token}")
        assert answer.status_code == 202, answer.text
    (found,) = stored(embedded_broker, "milestone-events")
    assert abs(found.event.occurred_at - now - 10 * DAY_US) < 60_000_000


async def test_a_key_expires_by_the_machines_time(embedded_broker: str, tmp_path: Path) -> None:
    """Time is advanced for engagements: a year ahead must not lock everybody out."""
    async with serving(embedded_broker, sqlite(tmp_path), sandbox=True) as served:
        ticks = Ticks(served.doors.settings)
        assert ticks.missing(("milestone-events", TICKS)) == []
        ticks.send([served.doors.now() + 366 * DAY_US], range(4))
        ticks.close()
        answer = await served.ask("POST", PATH, served.key(), json={})
        assert answer.status_code == 202, answer.text
