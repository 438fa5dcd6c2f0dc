"""Whatever sends JSON, by the endpoint's table."""

import json
from typing import Any

import pytest

from milepost.gateway.adapters import ADAPTERS
from tests.gateway.delivered import OPTIONS, changed, events, found, only, raw, translated

GITHUB, STRIPE = "github/milestone-closed.json", "stripe/event.json"


def test_a_closed_milestone_of_github() -> None:
    assert events(translated(GITHUB)) == [
        (
            "milestone-events",
            {
                "event_id": "milestone 4317517 closed 2026-03-30T14:01:22Z",
                "source": "github",
                "engagement_id": "erp-rollout",
                "milestone_id": "assessment",
                "kind": "REPORTED",
                "completion": "100",
                "occurred_at": "2026-03-30T14:01:22.000000Z",
                "reported_by": "maria",
                "attributes": {"closed_issues": "12"},
            },
        )
    ]
    assert len(translated(GITHUB, changed(GITHUB, "action", "opened")).passed_over) == 1


def test_a_value_that_the_map_does_not_know_or_that_is_missing_is_a_finding() -> None:
    document = changed(GITHUB, "milestone.title", "Phase 9")
    del document["sender"]
    assert found(translated(GITHUB, document)) == [
        '/milestone/title: is "Phase 9"; the endpoint\'s map knows Phase 1, Phase 2 (for milestone_id)',
        "/sender/login: is missing (for reported_by)",
    ]


def test_unix_time_is_read() -> None:
    assert only(translated(STRIPE))["occurred_at"] == "2026-04-01T14:00:00.000000Z"
    for wrong in ("soon", 1e300, -1e12, "1775052000000"):
        assert "expected unix_seconds since 1970" in found(translated(STRIPE, changed(STRIPE, "created", wrong)))[0]


ITEMS: dict[str, Any] = {
    "source": "tracker",
    "events": [
        {
            "topic": "usage-events",
            "each": "/entries",
            "when": [{"pointer": "/billable", "equals": ["true"]}],
            "fields": {
                "event_id": {"template": "{$/sheet}:{/no}:{{v1}}"},
                "engagement_id": {"header": "X-Engagement", "default": "erp-rollout"},
                "usage_id": {"pointer": "/no"},
                "revision": {"pointer": "/rev", "default": "1"},
                "meter": {"pointer": "/role", "default": "junior", "map": {"S": "senior"}},
                "started_at": {"pointer": "/at", "read_as": "unix_ms"},
                "quantity": {"pointer": "/hours"},
            },
            "evidence": [
                {
                    "name": "sheet",
                    "media_type": "text/csv",
                    "size_bytes": {"pointer": "/size"},
                    "sha256": "a" * 64,
                    "uri": "s3://x",
                }
            ],
        }
    ],
}


def test_a_list_is_gone_through_item_by_item() -> None:
    entry = {"no": 1, "rev": 2, "role": "S", "at": 1775052000123, "hours": 1.50, "billable": True, "size": 9}
    sheet = {"sheet": "W14", "entries": [entry, entry | {"no": 2, "billable": False}, entry | {"no": 3, "role": "X"}]}
    translation = raw("mapped", json.dumps(sheet).encode(), {"x-engagement": "hosting"}, "github", **ITEMS)
    (_, first), (_, third) = events(translation)
    assert (first["event_id"], first["engagement_id"], first["revision"]) == ("W14:1:{v1}", "hosting", 2)
    assert (first["started_at"], first["quantity"]) == ("2026-04-01T14:00:00.123000Z", "1.5")
    assert (first["meter"], third["meter"], first["evidence"][0]["size_bytes"]) == ("senior", "junior", 9)
    assert translation.passed_over == ("/entries/1: /billable is not true",)
    sheet["entries"][0]["rev"] = "two"  # type: ignore[index]
    assert found(raw("mapped", json.dumps(sheet).encode(), {}, "github", **ITEMS)) == [
        '/entries/0: makes no event for usage-events: revision: "two"; expected a whole number'
    ]
    assert found(raw("mapped", b'{"entries": {}}', {}, "github", **ITEMS)) == [
        "/entries: is an object; expected a list"
    ]


def test_a_delivery_has_no_more_than_a_thousand_events() -> None:
    entry = {"no": 1, "at": 1775052000123, "hours": 1, "billable": True, "size": 9}
    sheet = {"sheet": "W14", "entries": [entry | {"no": place} for place in range(1_001)]}
    translation = raw("mapped", json.dumps(sheet).encode(), {}, "github", **ITEMS)
    assert found(translation) == [": makes more than 1000 events; send less at once"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"topic": "invoice-lines"}, "takes no mapped events"),
        ({"topic": "engagements"}, "takes no mapped events"),
        ({"fields": {}}, "MilestoneEvent needs event_id"),
        ({"fields": {"milestone": "x"}}, "milestone: no such field in MilestoneEvent"),
        ({"fields": {"source": "x"}}, "source: no such field"),
        ({"each": "entries"}, "is no JSON Pointer"),
        ({"each": "/a~2"}, "is no JSON Pointer"),
        ({"attributes": {"x": {"pointer": "/a", "header": "b"}}}, "exactly one of"),
        ({"attributes": {"x": {}}}, "exactly one of"),
        ({"attributes": {"x": {"template": "{/a"}}}, "a brace stands alone"),
        ({"attributes": {"x": {"template": "{a}"}}}, "is no JSON Pointer"),
        ({"attributes": {"x": {"pointer": "/a", "script": "b"}}}, "Extra inputs"),
        ({"attributes": {"x": {"pointer": "/a", "read_as": "python"}}}, "Input should be"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_when_it_is_made(change: dict[str, Any], message: str) -> None:
    mapping = OPTIONS["github"] | {"events": [OPTIONS["github"]["events"][0] | change]}
    with pytest.raises(ValueError, match=message):
        ADAPTERS["mapped"].options(**mapping)
