"""`milepost explain` without files: from a ledger, whose audit trail names topics and offsets; on both databases."""

import json
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from milepost.cli import app
from milepost.codec.event_files import read_events
from milepost.contract.opening import opened
from milepost.core.events import EngagementEvent, Event, InvoiceAcknowledgement, Received, dated
from milepost.core.fold import fold
from milepost.core.outputs import InvoiceLine, Output
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from milepost.join.terms import with_terms
from milepost.ledger.rows import rows_of
from milepost.sql import tables
from milepost.sql.engine import Engine, writing
from milepost.sql.writing import store
from tests.cli.explained import Told, contract, report, value
from tests.ledger import made

CLAWBACK = {"when": {"kpi": {"id": "ad", "below": "60"}}, "within": "P6M", "share": "40", "basis": "linear"}
BONUS = {
    "id": "b",
    "fee": {"fixed": "50000.00"},
    "requires": ["completed", {"kpi": {"id": "ad", "at_least": "80"}}],
    "approval": "none",
    "clawback": CLAWBACK,
}
NEXT = {
    "id": "n",
    "fee": {"fixed": "10.00"},
    "requires": ["completed"],
    "depends_on": ["b", {"kpi": {"id": "ad", "above": "60"}}],
    "approval": "none",
}

NEVER = {
    "id": "o",
    "fee": {"fixed": "10.00"},
    "requires": [{"kpi": {"id": "ad", "above": "90"}}],
    "approval": "none",
}


def kept(engine: Engine, told: Told) -> list[Output]:
    """Fold the files as the join does, from topics, and store what it raises as the ledger does."""
    opening = opened(told.terms, told.contract.read_text(encoding="utf-8"), "explain")
    read = with_terms(opening)
    assert isinstance(read, EngagementEvent)
    events: list[tuple[str, Event]] = [("engagements", read)]
    for line in read_events(told.events).lines:
        assert not isinstance(line.event, InvoiceAcknowledgement)
        events.append((line.topic, line.event))
    staged = Staged(Empty())
    outputs = [
        output
        for offset, (topic, event) in enumerate(events)
        for output in fold(staged, Received(event, topic, 0, offset, dated(event)))
    ]
    rows = rows_of(made.in_order(outputs))
    store(engine, rows.added, rows.statuses, [])
    sent = {
        "event_id": opening.event_id, "source": "explain", "engagement_id": "x", "change": "OPENED",
        "occurred_at": opening.occurred_at, "contract": opening.contract, "actor": None, "evidence": [],
        "record_partition": 0, "record_offset": 0, "body_sha256": "",
    }  # fmt: skip
    with writing(engine) as connection:
        connection.execute(insert(tables.engagement_events), [sent])
    return outputs


def asked(what: str) -> dict[str, list[str]]:
    result = CliRunner().invoke(app, ["explain", what, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    sections: dict[str, list[str]] = json.loads(result.stdout)
    return sections


def test_a_ledger_dates_gates_by_its_audit_trail_and_says_what_it_lacks(
    tmp_path: Path, engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [
        report("e1", "b", "2026-01-20T10:00:00Z"),
        value("e2", "ad", "85", "2026-01-31T12:00:00+01:00"),
        value("e3", "ad", "50", "2026-04-29T12:00:00+02:00"),
        report("e4", "n", "2026-05-01T10:00:00Z"),
    ]
    told = Told(tmp_path, contract(BONUS, NEXT, NEVER), events)
    outputs = kept(engine, told)
    monkeypatch.setenv("MILEPOST_DATABASE_URL", database_url)
    charge, credit = [output.line_id for output in outputs if isinstance(output, InvoiceLine)]
    assert asked(charge)["Gates"] == [
        "completed: 100 % accepted, reported since 2026-01-20T10:00:00Z",
        "ad at least 80: was 85 (revision 1), since 2026-01-31T11:00:00Z",
    ]
    said = asked(credit)["Arithmetic"]
    assert "the window of P6M is from 2026-01-31 to 2026-07-31, the last day included" in said[0]
    assert any("40 % x (6 - 2) / 6 = 13333.333333... EUR, rounded half up 13333.33 EUR" in one for one in said)
    missing = asked("x/n")["Missing"]
    assert missing[-1] == "kpi:ad: ad is 50, above 60 is needed (since 2026-04-29T10:00:00Z)"
    # the state has a date only of what held once
    assert asked("x/o")["Missing"][-1].startswith("kpi:ad: ad is 50, above 90 is needed (since when: the ledger keeps")
