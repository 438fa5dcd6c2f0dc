"""Small engagements, explained: from files by the command, and from the records alone as the ledger keeps them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from milepost.audit.explaining import Explanation, Material, explain_line, explain_milestone
from milepost.cli import app
from milepost.codec.event_files import read_events
from milepost.contract import parse
from milepost.contract.opening import opened
from milepost.core.contract import Contract
from milepost.core.outputs import (
    ApprovalRequest,
    AuditEntry,
    InvoiceLine,
    MilestoneStatus,
    Output,
    RetentionEvent,
)
from milepost.join.simulation import simulate

__all__ = [
    "Told",
    "approval",
    "change",
    "contract",
    "decision",
    "evidence",
    "report",
    "tick",
    "usage",
    "value",
]

Record = dict[str, Any]
PDF = {"name": "pdf", "media_type": "application/pdf", "size_bytes": 1, "uri": "https://example.org/pdf"}


def contract(*milestones: Record, **differences: Any) -> Record:
    """A contract in EUR and Berlin from 2026 on, without people, retention and hours unless given."""
    return {
        "milepost": 1,
        "engagement": "x",
        "version": 1,
        "customer": {"id": "c"},
        "currency": "EUR",
        "timezone": "Europe/Berlin",
        "effective_from": "2026-01-01",
        "milestones": list(milestones),
        **differences,
    }


def _event(topic: str, number: str, **value: Any) -> Record:
    source, _, name = number.rpartition("/")
    return {"topic": topic, "value": {"source": source or "t", "event_id": name, "engagement_id": "x", **value}}


def report(number: str, milestone: str, at: str, **more: Any) -> Record:
    """A report of the milestone; `number` is the event's id, or source/id."""
    given = {"milestone_id": milestone, "kind": "REPORTED", "occurred_at": at, **more}
    return _event("milestone-events", number, **given)


def value(number: str, kpi: str, what: str, at: str, **more: Any) -> Record:
    """A reading."""
    return _event("kpi-events", number, kpi_id=kpi, value=what, observed_at=at, **more)


def decision(number: str, filing: str, regulator: str, what: str, at: str, **more: Any) -> Record:
    """What a regulator decided."""
    given = {"filing_id": filing, "regulator": regulator, "decision": what, "decided_at": at}
    return _event("regulator-acceptances", number, **given, **more)


def approval(number: str, milestone: str, role: str, person: str, at: str, **more: Any) -> Record:
    """A signature."""
    given = {"milestone_id": milestone, "role": role, "approver": person, "decision": "APPROVED", "decided_at": at}
    return _event("approvals", number, **given, **more)


def usage(number: str, quantity: str, at: str, **more: Any) -> Record:
    """Hours at the meter s."""
    return _event("usage-events", number, usage_id=number, meter="s", started_at=at, quantity=quantity, **more)


def change(number: str, what: str, at: str, **more: Any) -> Record:
    """A change of the engagement."""
    return _event("engagements", number, change=what, occurred_at=at, **more)


def tick(at: str) -> Record:
    """The clock."""
    return {"topic": "clock-ticks", "value": {"at": at}}


def evidence(letter: str) -> list[Record]:
    """A document called pdf whose hash is all that letter."""
    return [{**PDF, "sha256": letter * 64}]


class Told:
    """A contract and its events in files, and what they raise."""

    def __init__(self, folder: Path, terms: Record, events: Iterable[Record]) -> None:
        self.contract, self.events = folder / "contract.json", folder / "events.jsonl"
        self.contract.write_text(json.dumps(terms), encoding="utf-8")
        self.events.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
        text = self.contract.read_text(encoding="utf-8")
        parsed = parse(text).contract
        assert parsed is not None
        self.terms: Contract = parsed
        raised = simulate(opened(parsed, text, "explain"), read_events(self.events).lines)
        self.outputs: list[Output] = [one.output for one in raised]

    def lines(self) -> list[InvoiceLine]:
        """Every line, in order."""
        return [output for output in self.outputs if isinstance(output, InvoiceLine)]

    def line(self, number: int) -> dict[str, list[str]]:
        """The sections about a line, counted from 0, as the command tells it from the files."""
        return self.asked(self.lines()[number].line_id)

    def asked(self, what: str) -> dict[str, list[str]]:
        """The sections about a line or a milestone."""
        given = ["explain", what, "--contract", str(self.contract), "--events", str(self.events), "--json"]
        result = CliRunner().invoke(app, given, catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        sections: dict[str, list[str]] = json.loads(result.stdout)
        return sections

    def recorded(self, number: int) -> dict[str, list[str]]:
        """The sections about a line, from the records alone."""
        return dict(explain_line(self.material(), self.lines()[number], self.terms).sections)

    def recorded_milestone(self, milestone: str, occurrence: str | None = None) -> dict[str, list[str]]:
        """The sections about a milestone, from the records alone."""
        wanted = (milestone, occurrence)
        statuses = self.material().statuses
        status = next(one for one in statuses if (one.milestone_id, one.occurrence_id) == wanted)
        found: Explanation = explain_milestone(self.material(), status)
        return dict(found.sections)

    def material(self) -> Material:
        """The records, as the ledger keeps them: of statuses the latest, and no events."""
        statuses = {(o.milestone_id, o.occurrence_id): o for o in self.outputs if isinstance(o, MilestoneStatus)}
        return Material(
            self.lines(),
            [output for output in self.outputs if isinstance(output, RetentionEvent)],
            [output for output in self.outputs if isinstance(output, ApprovalRequest)],
            list(statuses.values()),
            [output for output in self.outputs if isinstance(output, AuditEntry)],
        )
