"""CloudEvents 1.0 over HTTP, in the three ways of its binding: binary, structured and batch.

`type` names the record ("com.milepost.kpi_event.v1", as on the topics), `id` is the event's id, `source` its source,
which the endpoint must admit, and `subject` the engagement. `data` is the event's JSON form without these three (with
them, they must agree); an instant that it leaves out is `time`. Types of others are passed over; one of ours that does
not exist is a finding.
"""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from milepost.codec.cloudevents import type_of
from milepost.codec.event_files import TOPICS_OF_EVENTS
from milepost.codec.json_forms import shown
from milepost.codec.json_values import NotJsonError, read_json
from milepost.codec.topics import TOPICS
from milepost.gateway.adapters.deliveries import (
    MAX_EVENTS,
    Delivery,
    Gathering,
    Options,
    Translation,
    media_type,
    pointer_to,
)

__all__ = ["CloudEventsOptions", "translate"]

_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_HEADER = "ce-"
_OURS = "com.milepost."
_TOPICS = {type_of(TOPICS[topic].record): topic for topic in TOPICS_OF_EVENTS if topic != "clock-ticks"}
# The instant that dates an event, by topic: what `time` stands for.
_TIMES = {
    "engagements": "occurred_at",
    "milestone-events": "occurred_at",
    "kpi-events": "observed_at",
    "regulator-acceptances": "decided_at",
    "approvals": "decided_at",
    "usage-events": "started_at",
    "dispute-events": "occurred_at",
    "invoice-acknowledgements": "occurred_at",
}
_REQUIRED = ("id", "source", "type")
_NAMED = {"event_id": "id", "source": "source", "engagement_id": "subject"}


class CloudEventsOptions(Options):
    """`sources`: further sources that the sender may name, beside the endpoint's own."""

    sources: tuple[str, ...] = ()


def translate(options: CloudEventsOptions, delivery: Delivery) -> Translation:
    """The events of one request."""
    gathering = Gathering()
    kind = media_type(delivery.headers)
    if kind not in (_STRUCTURED, _BATCH):
        if kind.startswith("application/cloudevents"):
            gathering.finding("header content-type", f"is {shown(kind)}; expected {_STRUCTURED} or {_BATCH}")
        else:
            attributes = {}
            for name, value in delivery.headers.items():
                if name.startswith(_HEADER):
                    try:
                        attributes[name.removeprefix(_HEADER)] = unquote(value, errors="strict")
                    except UnicodeDecodeError:
                        gathering.finding(f"header {name}", f"is {shown(value)}, whose percent-encoding is not UTF-8")
                        return gathering.result()
            _translate_one(options, attributes, "", gathering, lambda: _json(delivery.body, "", gathering))
        return gathering.result()
    document = gathering.document(delivery.body)
    if document is None:
        return gathering.result()
    if isinstance(document, list) is not (kind == _BATCH):
        gathering.finding("", f"holds {shown(document)}, and the content type is {kind}")
    elif isinstance(document, list) and len(document) > MAX_EVENTS:
        gathering.finding("", f"holds {len(document)} events; expected {MAX_EVENTS} at most")
    else:
        for at, one in _each(document):
            _structured(options, one, at, gathering)
    return gathering.result()


def _each(document: Any) -> list[tuple[str, Any]]:
    if isinstance(document, list):
        return [(pointer_to(place), one) for place, one in enumerate(document)]
    return [("", document)]


def _structured(options: CloudEventsOptions, event: Any, at: str, gathering: Gathering) -> None:
    if not isinstance(event, dict):
        gathering.finding(at, f"is {shown(event)}; expected an event")
        return

    def data() -> Any:
        if "data_base64" not in event:
            return event.get("data")
        try:
            raw = base64.b64decode(str(event["data_base64"]), validate=True)
        except ValueError:
            gathering.finding(f"{at}/data_base64", "is not base64")
            return None
        return _json(raw, f"{at}/data_base64", gathering)

    _translate_one(options, event, at, gathering, data)


def _json(raw: bytes, at: str, gathering: Gathering) -> Any:
    try:
        return read_json(raw)
    except NotJsonError as error:
        gathering.finding(at, f"{error}; expected the event's data in JSON")
        return None


def _translate_one(
    options: CloudEventsOptions, attributes: Mapping[str, Any], at: str, gathering: Gathering, data: Any
) -> None:
    if attributes.get("specversion") != "1.0":
        found = shown(attributes["specversion"]) if "specversion" in attributes else "missing"
        gathering.finding(f"{at}/specversion", f'is {found}; expected "1.0"')
        return
    missing = [name for name in _REQUIRED if not isinstance(attributes.get(name), str) or not attributes[name]]
    for name in missing:
        gathering.finding(f"{at}/{name}", "is missing; expected a text that is not empty")
    if missing:
        return
    topic = _TOPICS.get(attributes["type"])
    if topic is None and not attributes["type"].startswith(_OURS):
        gathering.pass_over(f"{at or 'the event'}: the type {shown(attributes['type'])} is none of ours")
    elif topic is None:
        expected = ", ".join(_TOPICS)
        gathering.finding(f"{at}/type", f"is {shown(attributes['type'])}; expected one of {expected}")
    elif attributes["source"] not in (options.source, *options.sources):
        gathering.finding(f"{at}/source", f"is {shown(attributes['source'])}, which this endpoint does not admit")
    else:
        _add(topic, attributes, data(), at, gathering)


def _add(topic: str, attributes: Mapping[str, Any], data: Any, at: str, gathering: Gathering) -> None:
    if not isinstance(data, dict):
        gathering.finding(f"{at}/data", f"is {shown(data)}; expected an object with the fields of {topic}")
        return
    value = dict(data)
    for field, attribute in _NAMED.items():
        named = attributes.get(attribute)
        if value.setdefault(field, named) != named and named is not None:
            gathering.finding(
                f"{at}/data/{field}", f"is {shown(value[field])} and {attribute} is {shown(named)}; expected the same"
            )
            return
    if value["engagement_id"] is None:
        gathering.finding(f"{at}/subject", "is missing; expected the engagement")
        return
    if attributes.get("time") is not None:
        value.setdefault(_TIMES[topic], attributes["time"])
    gathering.event(topic, value, f"{at}/data")
