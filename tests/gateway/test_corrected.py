"""A request that was refused used nothing up: corrected, it comes again with the same ids. By webhook (S6), too."""

from pathlib import Path

from tests.gateway.asking import EVENTS
from tests.gateway.serving import body, serving, sqlite, stored
from tests.gateway.test_accepting import PATH, remembered, report
from tests.gateway.test_webhooks import EVENT, endpoint, gateway, values


async def test_a_request_that_was_refused_leaves_nothing_behind(embedded_broker: str, tmp_path: Path) -> None:
    """Nothing of it was sent, so what it brought may come again, corrected, with the same ids."""
    large = {"event_id": "5", "source": "test", "engagement_id": "harbour", **EVENTS["milestone-events"]}
    path = "/v1/events/milestone-events"
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key()
        assert (await served.ask("POST", PATH, key, json=report("1"))).status_code == 202
        refused = [
            await served.ask("POST", PATH, key, json=[report("2"), report("1", value="1")]),
            await served.ask("POST", PATH, key, json=[report("3"), report("4"), report("3", value="1")]),
            await served.ask("POST", path, key, json=large | {"attributes": {"note": "x" * 1_000_000}}),
        ]
        kept = remembered(tmp_path)
        corrected = [
            await served.ask("POST", PATH, key, json=report("2", value="2")),
            await served.ask("POST", PATH, key, json=[report("3", value="1"), report("4", value="4")]),
            await served.ask("POST", path, key, json=large),
        ]
        first_stays = await served.ask("POST", PATH, key, json=report("1", value="1"))
    assert [answer.status_code for answer in refused] == [409, 409, 413]
    assert "the first one stays" in body(refused[0])["detail"]
    assert "with two bodies; neither was taken" in body(refused[1])["detail"]
    assert kept == [("1", True)]
    assert [answer.status_code for answer in corrected] == [202] * 3
    assert [body(answer)["accepted"] for answer in corrected] == [1, 2, 1]
    assert first_stays.status_code == 409
    values = {one.event.event_id: one.event.value for one in stored(embedded_broker, "kpi-events")}
    assert values == {"1": "99.9", "2": "2", "3": "1", "4": "4"}


async def test_s6_a_webhook_that_was_refused_may_come_again_corrected(embedded_broker: str, tmp_path: Path) -> None:
    """Neither the sender's id nor the events' are used up by what was never sent."""
    other = EVENT | {"data": {"kpi_id": "availability", "value": "1"}}
    headers = {"content-type": "application/cloudevents-batch+json"}
    async with gateway(embedded_broker, tmp_path) as served:
        sender = endpoint(served)
        assert (await sender.send()).status_code == 202
        refused = await sender.send([EVENT | {"id": "v-2"}, other], message_id="msg_2", headers=headers)
        corrected = await sender.send(other | {"id": "v-2"}, message_id="msg_2")
    assert (refused.status_code, body(refused)["errors"][0]["pointer"]) == (409, "/1")
    assert (corrected.status_code, body(corrected)["accepted"]) == (202, 1), corrected.text
    assert sorted(values(embedded_broker)) == ["1", "99.95"]
