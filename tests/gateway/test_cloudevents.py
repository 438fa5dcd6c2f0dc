"""CloudEvents over HTTP in its three ways, the published SDK as a second opinion."""

import base64
import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.gateway.delivered import events, found, payload, raw, translated

CLOUD = "cloudevents/structured.json"

DATA = payload(CLOUD)["data"]
WANTED = {
    "event_id": "A234-1234-1234",
    "source": "/monitoring/eu",
    "engagement_id": "hosting",
    "kpi_id": "availability",
    "value": "99.95",
    "observed_at": "2026-11-01T06:00:00.000000Z",
    "period_start": "2026-10-01",
    "period_end": "2026-10-31",
    "revision": 1,
    "status": "FINAL",
}


def test_a_structured_event() -> None:
    assert events(translated(CLOUD)) == [("kpi-events", WANTED)]
    encoded = payload(CLOUD) | {"data_base64": base64.b64encode(json.dumps(DATA).encode()).decode()}
    del encoded["data"]
    assert events(translated(CLOUD, encoded)) == [("kpi-events", WANTED)]


def test_a_binary_event() -> None:
    headers = {f"ce-{name}": value for name, value in payload(CLOUD).items() if isinstance(value, str)}
    headers |= {"content-type": "application/json; charset=utf-8", "ce-source": "%2Fmonitoring/eu"}
    assert events(raw("cloudevents", json.dumps(DATA).encode(), headers)) == [("kpi-events", WANTED)]


@pytest.mark.parametrize("wrong", ["%ff", "%fe", "%ED%A0%80"])
def test_an_id_that_is_no_text_is_a_finding(wrong: str) -> None:
    """Two of them would be one id, after what cannot be read was replaced."""
    headers = {f"ce-{name}": value for name, value in payload(CLOUD).items() if isinstance(value, str)}
    headers |= {"content-type": "application/json", "ce-id": wrong}
    (finding,) = found(raw("cloudevents", json.dumps(DATA).encode(), headers))
    assert finding == f'header ce-id: is "{wrong}", whose percent-encoding is not UTF-8'


def test_a_batch() -> None:
    batch = [payload(CLOUD), payload(CLOUD) | {"id": "B"}]
    headers = {"content-type": "application/cloudevents-batch+json"}
    assert [event["event_id"] for _, event in events(translated(CLOUD, batch, headers))] == ["A234-1234-1234", "B"]
    batch[1]["data"] = {"kpi_id": "availability", "value": 99.95}
    (finding,) = found(translated(CLOUD, batch, headers))
    assert finding.startswith("/1/data: makes no event for kpi-events: value: the number 99.95; expected a string")
    assert found(translated(CLOUD, batch)) != [] != found(translated(CLOUD, payload(CLOUD), headers))
    assert "1000 at most" in found(translated(CLOUD, batch * 501, headers))[0]


@pytest.mark.parametrize("to_message", [to_binary, to_structured])
def test_the_published_sdk_agrees(to_message: Any) -> None:
    attributes = {name: value for name, value in payload(CLOUD).items() if isinstance(value, str)}
    attributes |= {"time": None, "datacontenttype": "application/json"}
    event = CloudEvent(
        {name: value for name, value in attributes.items() if value}, DATA | {"observed_at": WANTED["observed_at"]}
    )
    message = to_message(event, JSONFormat())
    headers = {name.lower(): value for name, value in message.headers.items()}
    assert events(raw("cloudevents", message.body, headers)) == [("kpi-events", WANTED)]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"specversion": "0.3"}, '/specversion: is "0.3"; expected "1.0"'),
        ({"id": ""}, "/id: is missing; expected a text that is not empty"),
        ({"source": "somebody"}, '/source: is "somebody", which this endpoint does not admit'),
        ({"subject": None}, "/subject: is missing; expected the engagement"),
        ({"data": [1]}, "/data: is a list; expected an object with the fields of kpi-events"),
        ({"data": DATA | {"source": "me"}}, '/data/source: is "me" and source is "/monitoring/eu"; expected the same'),
        ({"data_base64": "!"}, "/data_base64: is not base64"),
    ],
)
def test_what_is_wrong_with_an_event(change: dict[str, Any], finding: str) -> None:
    assert found(translated(CLOUD, payload(CLOUD) | change))[0] == finding


def test_types_of_others_are_passed_over_and_an_unknown_one_of_ours_is_a_finding() -> None:
    assert len(translated(CLOUD, payload(CLOUD) | {"type": "com.github.push"}).passed_over) == 1
    for unknown in ("com.milepost.kpi.v1", "com.milepost.clock_tick.v1", "com.milepost.invoice_line.v1"):
        assert found(translated(CLOUD, payload(CLOUD) | {"type": unknown}))[0].startswith("/type: is ")
    assert found(raw("cloudevents", b"{}", {"content-type": "application/cloudevents+xml"}))[0].startswith("header")
