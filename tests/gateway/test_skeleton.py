"""The gateway stands: a key opens it, an event goes through it, and a problem document is what everything else gets."""

from pathlib import Path

from tests.gateway.serving import body, serving, sqlite, stored

REPORT = {
    "event_id": "r-1",
    "source": "jira",
    "engagement_id": "erp-rollout",
    "milestone_id": "assessment",
    "kind": "REPORTED",
    "occurred_at": "2026-02-20T12:00:00Z",
}


async def test_an_event_goes_through_once(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key("events:milestone-events")
        first = await served.ask("POST", "/v1/events/milestone-events", key, json=REPORT)
        again = await served.ask("POST", "/v1/events/milestone-events", key, json=REPORT)
        other = await served.ask("POST", "/v1/events/milestone-events", key, json=REPORT | {"completion": "50"})
    assert (first.status_code, body(first)["accepted"], body(first)["repeated"]) == (202, 1, 0)
    assert (again.status_code, body(again)["accepted"], body(again)["repeated"]) == (202, 0, 1)
    assert other.status_code == 409
    assert body(other)["code"] == "EVENT_ID_REUSED"
    assert [one.event.completion for one in stored(embedded_broker, "milestone-events")] == ["100"]


async def test_everything_that_goes_wrong_is_a_problem_document(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        key = served.key("events:kpi-events")
        answers = {
            401: await served.ask("POST", "/v1/events/kpi-events", json={}),
            403: await served.ask("POST", "/v1/events/milestone-events", key, json=REPORT),
            404: await served.ask("GET", "/v1/nowhere", key),
            405: await served.ask("GET", "/v1/events/kpi-events", key),
            422: await served.ask("POST", "/v1/events/kpi-events", key, content=b"{"),
        }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert body(answer)["status"] == status
        assert {"type", "title", "detail", "code"} <= body(answer).keys()
