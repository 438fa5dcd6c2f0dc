"""What adapters are tried with: the senders' payloads from fixtures/, and the options of an endpoint for each."""

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

from milepost.codec.json_forms import event_to_json
from milepost.gateway.adapters import ADAPTERS
from milepost.gateway.adapters.deliveries import Delivery, Translation

ROOT = Path(__file__).parents[2]
FIXTURES = Path(__file__).parent / "fixtures"

OPTIONS: dict[str, dict[str, Any]] = {
    "alertmanager": {"source": "monitoring"},
    "cloudevents": {"source": "monitoring", "sources": ("/monitoring/eu",)},
    "fhir": {"source": "ehr", "engagement": "clinic-north"},
    "filing": {"source": "esg", "engagement": "submissions"},
    "github": tomllib.loads((ROOT / "examples/consulting/github.toml").read_text())["options"],
    "stripe": tomllib.loads((FIXTURES / "stripe/options.toml").read_text()),
}
PAYLOADS: dict[str, tuple[str, str]] = {
    "alertmanager/month-resolved.json": ("alertmanager", "alertmanager"),
    "cloudevents/structured.json": ("cloudevents", "cloudevents"),
    "fhir/claim-response.json": ("fhir", "fhir"),
    "fhir/encounter.json": ("fhir", "fhir"),
    "filing/acknowledgement.json": ("filing", "filing"),
    "github/milestone-closed.json": ("mapped", "github"),
    "stripe/event.json": ("mapped", "stripe"),
}
"""By file: the adapter, and whose options."""
CONTENT_TYPES = {"cloudevents/structured.json": "application/cloudevents+json"}


def payload(name: str) -> Any:
    """A fixture's document; floats stay exact only as long as nobody changes them."""
    return json.loads((FIXTURES / name).read_text())


def changed(name: str, at: str, value: Any = None) -> Any:
    """A fixture with one member replaced, by a dotted path; removed for None."""
    document = copy.deepcopy(payload(name))
    *parents, last = [int(part) if part.isdecimal() else part for part in at.split(".")]
    parent = document
    for part in parents:
        parent = parent[part]
    if value is None:
        del parent[last]
    else:
        parent[last] = value
    return document


def translated(name: str, document: Any = None, headers: dict[str, str] | None = None, **options: Any) -> Translation:
    """What an adapter makes of a fixture, or of another document in its place."""
    adapter, whose = PAYLOADS[name]
    body = (FIXTURES / name).read_bytes() if document is None else json.dumps(document).encode()
    return raw(
        adapter, body, headers or {"content-type": CONTENT_TYPES.get(name, "application/json")}, whose, **options
    )


def raw(adapter: str, body: bytes, headers: dict[str, str], whose: str | None = None, **options: Any) -> Translation:
    chosen = OPTIONS[whose or adapter] | options
    return ADAPTERS[adapter].translate(ADAPTERS[adapter].options(**chosen), Delivery(body, headers))


def events(translation: Translation) -> list[tuple[str, dict[str, Any]]]:
    """Topics and events in JSON, without what is null or empty; there are no findings."""
    assert translation.findings == ()
    return [
        (topic, {name: value for name, value in event_to_json(event).items() if value not in (None, [], {})})
        for topic, event in translation.events
    ]


def only(translation: Translation) -> dict[str, Any]:
    """The one event of a delivery."""
    ((_, event),) = events(translation)
    return event


def found(translation: Translation) -> list[str]:
    """The findings, one text each; there are no events."""
    assert translation.events == ()
    return [f"{pointer}: {message}" for pointer, message in translation.findings]
