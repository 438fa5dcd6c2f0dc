"""The description says what the gateway does: schemathesis asks every operation in ways that fit it and that do not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import CHECKS

from milepost.codec.json_forms import event_to_json
from milepost.codec.json_schema import record_schema
from milepost.codec.shapes import STRUCTS
from milepost.codec.topics import TOPICS as ALL_TOPICS
from milepost.demo import play
from milepost.gateway.actions import ACTIONS, OPEN
from milepost.gateway.events import TOPICS
from milepost.kafka.embedded import EmbeddedBroker
from milepost.settings import Settings
from tests.gateway.running import ROOT, Running, listening
from tests.gateway.serving import sqlite

EXAMPLES = 3
# A value's schema cannot say everything that a date, an id or a cursor must be, so what fits it may be refused all the
# same (422 or 400); `test_events_that_fit_are_taken` looks at that from the other side.
NOT_JUDGED = {"positive_data_acceptance"}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("openapi")
    with EmbeddedBroker() as broker:
        play.apply_topics(Settings(bootstrap_servers=broker.bootstrap_servers))
        with listening(
            broker.bootstrap_servers,
            sqlite(folder),
            gateway_requests_per_s=0,
            gateway_docs=True,
            link_secret="s" * 40,
            evidence_dir=str(folder / "evidence"),
        ) as running:
            yield running


@pytest.fixture(scope="module")
def described(gate: Running) -> dict[str, Any]:
    found: dict[str, Any] = gate.ask("GET", "/openapi.json").json()
    return found


def test_the_description_is_openapi_31_and_has_every_route(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1.")
    operations = {f"{method.upper()} {path}" for path, one in described["paths"].items() for method in one}
    assert operations == ACTIONS.keys() | {route for route in OPEN if route in operations}
    assert len(operations) > 30
    for path, one in described["paths"].items():
        for method, operation in one.items():
            secured = operation.get("security") == [{"ApiKey": []}]
            assert secured == (f"{method.upper()} {path}" in ACTIONS), path


def test_the_description_in_the_documents_is_this_one(
    described: dict[str, Any], golden: Callable[[Path, str], None]
) -> None:
    golden(ROOT / "docs" / "openapi.json", json.dumps(described, indent=1, ensure_ascii=False) + "\n")


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    names = set(described["components"]["schemas"])
    text = json.dumps(described)
    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert "Problem" in referred
    assert referred <= names


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
def test_answers_are_as_described(gate: Running, described: dict[str, Any], mode: schemathesis.GenerationMode) -> None:
    key = gate.key()
    schema = schemathesis.openapi.from_dict(described)
    checks = [check for check in CHECKS.get_all() if check.__name__ not in NOT_JUDGED]
    assert len(checks) > 8
    looked, without = [], set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            looked.append(case.operation.label)
            case.call_and_validate(
                base_url=gate.url, headers={"Authorization": f"Bearer {key}"}, checks=checks, timeout=60
            )

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:
            without.add(operation.label)  # takes nothing that could be wrong
    assert without <= (OPEN.keys() if mode is schemathesis.GenerationMode.NEGATIVE else set())
    assert len(set(looked)) > 30


def test_a_wrong_answer_would_be_noticed(gate: Running, described: dict[str, Any]) -> None:
    """A description that promises another answer makes the same checks fail."""
    wrong = json.loads(json.dumps(described))
    wrong["components"]["schemas"]["Key"]["required"].append("colour")
    operation = schemathesis.openapi.from_dict(wrong)["/v1/whoami"]["GET"]
    case = operation.Case(headers={"Authorization": f"Bearer {gate.key()}"})
    with pytest.raises(BaseExceptionGroup) as caught:
        case.call_and_validate(base_url=gate.url)
    assert "colour" in str(caught.value)


VALUES: dict[str, Any] = {
    "ended_at": st.none(),  # else it must not be before the start
    "engagement_id": st.from_regex(r"[A-Za-z0-9._:-]{1,40}", fullmatch=True),
    "sha256": st.just("ab" * 32),
    "value": st.decimals(-1000, 1000, places=4).map(str),
    "quantity": st.decimals(0, 1000, places=2).map(str),
    "completion": st.integers(0, 100).map(str),
    "certified_completion": st.none() | st.integers(0, 100).map(str),
}


@hypothesis.settings(max_examples=6)
@hypothesis.given(data=st.data())
@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic not in ("engagements", "kpi-events")])
def test_events_that_fit_are_taken(gate: Running, topic: str, data: st.DataObject) -> None:
    """What the core's own type holds fits the schema that is described, and is taken."""
    record = ALL_TOPICS[topic].record
    values = [event_to_json(event) for event in data.draw(st.lists(events_of(record), min_size=1, max_size=8))]
    for value in values:
        jsonschema.validate(value, record_schema(record))
    answer = gate.ask("POST", f"/v1/events/{topic}", key_of(gate), json=values)
    assert answer.status_code in (202, 409), answer.text


KEYS: dict[str, str] = {}


def key_of(gate: Running) -> str:
    """One key a gateway: every example with a key of its own would be a test of `keys create`."""
    return KEYS.setdefault(gate.url, gate.key())


def events_of(record: str) -> st.SearchStrategy[Any]:
    ids = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=30)
    instants = st.integers(0, 4_102_444_800_000_000)
    given: dict[str, Any] = {}
    for name in STRUCTS[record].__struct_fields__:
        if name in VALUES:
            given[name] = VALUES[name]
        elif name.endswith("_at"):
            given[name] = instants
        elif name.endswith("_id") or name in (
            "source",
            "role",
            "approver",
            "meter",
            "regulator",
            "reported_by",
            "worker",
        ):
            given[name] = ids
    return st.builds(STRUCTS[record], **given)
