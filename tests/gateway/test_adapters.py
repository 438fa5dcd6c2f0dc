"""What holds for every adapter: the same delivery is the same events, and test S34."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.core.checks import check
from milepost.gateway.adapters import ADAPTERS
from milepost.gateway.adapters.deliveries import Translation
from tests.gateway.delivered import CONTENT_TYPES, FIXTURES, PAYLOADS, payload, raw, translated


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_same_delivery_is_the_same_events(name: str) -> None:
    first = translated(name)
    assert first == translated(name)
    assert all(topic in ADAPTERS[PAYLOADS[name][0]].topics for topic, _ in first.events)
    assert len(first.events) == 1


def test_every_payload_is_used_and_has_its_source_named() -> None:
    files = {str(path.relative_to(FIXTURES)) for path in FIXTURES.rglob("*.json")}
    assert files == PAYLOADS.keys()
    sources = (FIXTURES / "SOURCES.md").read_text()
    assert [
        name for name in files if f"| {name} |" not in sources and f"| {name.split('/')[0]}/*.json |" not in sources
    ] == []


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", "NaN", "9" * 50, "0001-01-01T00:00:00Z", "9999-12-31", "9999-12-31T23:59:59Z", "9998-12", "x\0"]
    ),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, the document itself included."""
    children = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [at, *(place for key, child in children for place in places(child, (*at, key)))]


@st.composite
def spoilt(draw: st.DrawFn, name: str) -> Any:
    """A sender's payload with some of its places overwritten by anything, or taken away."""
    document = payload(name)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.sampled_from(places(document)))
        if not at:
            document = draw(anything)
            continue
        parent = document
        for key in at[:-1]:
            parent = parent[key]
        if isinstance(parent, dict) and draw(st.booleans()):
            del parent[at[-1]]
        else:
            parent[at[-1]] = draw(anything)
    return document


def judged(translation: Translation) -> None:
    """Events that mean something, or findings; never both."""
    assert not (translation.events and translation.findings)
    assert [event for _, event in translation.events if check(event)] == []
    assert all("\n" not in message and len(message) < 2_000 for _, message in translation.findings)


@pytest.mark.parametrize("name", PAYLOADS)
@given(data=st.data())
def test_s34_whatever_is_sent_makes_events_or_findings(name: str, data: st.DataObject) -> None:
    document = data.draw(spoilt(name))
    headers = {"content-type": CONTENT_TYPES.get(name, "application/json")}
    judged(raw(PAYLOADS[name][0], json.dumps(document).encode(), headers, PAYLOADS[name][1]))


@pytest.mark.parametrize("adapter", ADAPTERS)
@given(body=st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode()), data=st.data())
def test_s34_any_body_and_any_headers(adapter: str, body: bytes, data: st.DataObject) -> None:
    names = ["content-type", "ce-specversion", "ce-type", "ce-id", "ce-source", "ce-subject", "ce-time"]
    values = st.sampled_from(["1.0", "com.milepost.kpi_event.v1", "monitoring", "application/cloudevents+json", "%ff"])
    headers = data.draw(st.dictionaries(st.sampled_from(names), values | st.text(max_size=30)))
    judged(raw(adapter, body, headers, {"mapped": "github"}.get(adapter)))
