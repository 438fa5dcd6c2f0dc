"""`milepost simulate`: golden outputs of every example, and how it ends when something is wrong."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from milepost.cli import app

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/contract.yaml"))
CONTRACT = """
milepost: 1
engagement: e1
version: 1
customer: {id: acme}
currency: EUR
timezone: Europe/Berlin
effective_from: 2026-01-01
milestones:
  - {id: m1, fee: {fixed: "1000.00"}, requires: [completed], approval: none}
"""
DOCUMENT = {
    "milepost": 1,
    "engagement": "e2",
    "version": 1,
    "customer": {"id": "acme"},
    "currency": "EUR",
    "timezone": "Europe/Berlin",
    "effective_from": "2026-01-01",
    "milestones": [{"id": "m1", "fee": {"fixed": "5.00"}, "requires": ["completed"], "approval": "none"}],
}


def simulate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def event(topic: str, **value: Any) -> dict[str, Any]:
    return {"topic": topic, "value": {"source": "t", "engagement_id": "e1", **value}}


def report(event_id: str = "r1", **more: Any) -> dict[str, Any]:
    value = {"milestone_id": "m1", "kind": "REPORTED", "occurred_at": "2026-02-01T12:00:00Z", **more}
    return event("milestone-events", event_id=event_id, **value)


def opened(contract: object, **more: Any) -> dict[str, Any]:
    value = {"change": "OPENED", "occurred_at": "2026-01-02T00:00:00Z", "contract": contract, **more}
    return event("engagements", event_id="o1", **value)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """`simulate` of a contract's text and events, or lines of text."""

    def run(contract: str, *lines: dict[str, Any] | str) -> Result:
        (tmp_path / "contract.yaml").write_text(contract)
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (tmp_path / "events.jsonl").write_text(text)
        return simulate(tmp_path / "contract.yaml", tmp_path / "events.jsonl")

    return run


def outputs(result: Result, topic: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert records
    assert all(list(record) == ["topic", "value"] for record in records)
    return [record["value"] for record in records if record["topic"] == topic]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_the_outputs_of_an_example(folder: Path, golden: Callable[[Path, str], None]) -> None:
    done = simulate(folder / "contract.yaml", folder / "events.jsonl")
    assert done.exit_code == 0, done.stderr
    golden(folder / "expected.jsonl", done.stdout)


def test_there_are_examples() -> None:
    assert [folder.name for folder in EXAMPLES] == [
        "bonus", "change-order", "construction", "consulting", "encounters", "filings", "hours", "managed-service",
        "service-levels", "success-fee",
    ]  # fmt: skip


def test_json_is_the_default_and_the_table_is_for_people() -> None:
    files = [ROOT / "examples/consulting/contract.yaml", ROOT / "examples/consulting/events.jsonl"]
    assert simulate(*files, "--json").stdout == simulate(*files).stdout
    table = simulate(*files, "--table")
    assert table.exit_code == 0
    assert "190,000.00" in table.stdout
    assert simulate(*files, "--table", "--json").exit_code == 2


def test_the_table_tells_which_events_did_not_bill(tmp_path: Path) -> None:
    (tmp_path / "contract.yaml").write_text(CONTRACT.replace("[completed]", "[completed], partial: any"))
    said = [("1", "m1", "60"), ("2", "m1", "50"), ("3", "m1", "101"), ("4", "m9", "100")]
    events = [
        {
            "topic": "milestone-events",
            "value": {
                "event_id": f"e{number}",
                "source": "tracker",
                "engagement_id": "e1",
                "milestone_id": milestone,
                "kind": "REPORTED",
                "completion": completion,
                "occurred_at": f"2026-02-0{number}T09:00:00Z",
                "reported_by": "sam",
            },
        }
        for number, milestone, completion in said
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    printed = simulate(tmp_path / "contract.yaml", tmp_path / "events.jsonl", "--table")
    text = " ".join(printed.stdout.split())
    assert printed.exit_code == 1
    assert "tracker/e4 waits: The contract has no such milestone yet." in text
    assert "tracker/e2 refused LOWER_COMPLETION It reports less than is reported already." in text
    assert 'tracker/e3 dead letter INVALID_VALUE completion: "101" is not a percentage' in text
    assert "tracker/e1" not in text


def test_the_contract_is_opened_at_the_start_of_its_first_day(run: Callable[..., Result]) -> None:
    first = outputs(run(CONTRACT, report()), "audit-trail")[0]
    assert (first["event_id"], first["occurred_at"]) == ("open:e1:1", "2025-12-31T23:00:00.000000Z")
    assert (first["input_topic"], first["input_partition"], first["input_offset"]) == (None, None, None)


def test_an_event_is_recorded_at_its_own_time(run: Callable[..., Result]) -> None:
    entries = outputs(run(CONTRACT, report()), "audit-trail")
    assert [entry["recorded_at"] for entry in entries[1:]] == ["2026-02-01T12:00:00.000000Z"] * 2


def test_a_line_has_the_id_that_follows_from_its_name(run: Callable[..., Result]) -> None:
    done = run(CONTRACT, report())
    assert done.exit_code == 0, done.stderr
    [line] = outputs(done, "invoice-lines")
    namespace = uuid.uuid5(uuid.NAMESPACE_OID, "milepost")
    assert line["line_id"] == str(uuid.uuid5(namespace, "line/e1/m1//fee/1"))
    assert (line["gross_minor"], line["caused_by"]) == (100_000, ["t/r1"])


def test_a_value_that_means_nothing_is_a_dead_letter_with_its_event(run: Callable[..., Result]) -> None:
    bad = report(completion="120")
    done = run(CONTRACT, bad, report("r2"))
    assert done.exit_code == 1
    [letter] = outputs(done, "dead-letters")
    assert letter["reason"] == "INVALID_VALUE"
    assert letter["message"].startswith('completion: "120"')
    assert letter["event"] == bad["value"]
    assert len(outputs(done, "invoice-lines")) == 1
    assert "1 event became a dead letter: INVALID_VALUE" in done.stderr


@pytest.mark.parametrize("document", [DOCUMENT, json.dumps(DOCUMENT)], ids=["object", "text"])
def test_an_event_may_open_another_engagement(run: Callable[..., Result], document: object) -> None:
    done = run(CONTRACT, opened(document, engagement_id="e2"), report(engagement_id="e2"))
    assert done.exit_code == 0, done.stderr
    assert [line["engagement_id"] for line in outputs(done, "invoice-lines")] == ["e2"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({**DOCUMENT, "currncy": "EUR"}, "currncy"),
        ({**DOCUMENT, "version": 1.5}, "version"),
        ("no contract", "contract"),
        (None, "contract"),
        ({**DOCUMENT, "engagement": "e3"}, "e3"),
    ],
)
def test_a_contract_that_is_refused_is_a_dead_letter(
    run: Callable[..., Result], document: object, message: str
) -> None:
    done = run(CONTRACT, opened(document, engagement_id="e2"))
    assert done.exit_code == 1
    [letter] = outputs(done, "dead-letters")
    assert letter["reason"] == "CONTRACT_INVALID"
    assert message in letter["message"]
    assert letter["event"]["engagement_id"] == "e2"


def test_what_belongs_to_no_engagement_yet_is_parked_and_bills_nothing(run: Callable[..., Result]) -> None:
    done = run(CONTRACT, report(engagement_id="e9"))
    assert done.exit_code == 0, done.stderr
    assert outputs(done, "invoice-lines") == []
    assert [one["reason"] for one in outputs(done, "audit-trail")][-1] == "NOT_OPEN_YET"


def test_acknowledgements_are_read_and_raise_nothing(run: Callable[..., Result]) -> None:
    acknowledged = {"line_id": "l1", "status": "ACCEPTED", "occurred_at": "2026-02-01T12:00:00Z"}
    alone = run(CONTRACT)
    done = run(CONTRACT, event("invoice-acknowledgements", event_id="a1", **acknowledged))
    assert done.exit_code == 0, done.stderr
    assert done.stdout == alone.stdout


def test_every_fault_of_the_events_is_said_and_nothing_is_printed(run: Callable[..., Result]) -> None:
    done = run(CONTRACT, report(completion=60), report("r2"), "{", report(kind="REPORT"))
    assert done.exit_code == 2
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert len(said) == 3
    assert said[0].endswith('events.jsonl:1: completion: the number 60; expected a string; write it in quotes: "60"')
    assert "events.jsonl:3: is no JSON" in said[1]
    assert "events.jsonl:4: kind: " in said[2]


def test_a_refused_contract_is_1_and_an_unreadable_one_2(run: Callable[..., Result], tmp_path: Path) -> None:
    refused = run(CONTRACT.replace("EUR", "EURO"), report())
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "contract.yaml:6: error: currency:" in refused.stderr
    assert run("engagement: [", report()).exit_code == 2
    assert simulate(tmp_path / "none.yaml", tmp_path / "events.jsonl").exit_code == 2
    missing = simulate(tmp_path / "contract.yaml", tmp_path / "none.jsonl")
    assert missing.exit_code == 2
    assert "none.jsonl: cannot be read: No such file or directory" in missing.stderr
