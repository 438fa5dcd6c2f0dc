"""Why a line exists, and what an open milestone waits for: told from the records alone, as an auditor would ask.

Nothing is decided here. The arithmetic is computed again from the lines that came before and, where the contract is
at hand, from its terms; a step is only shown if it ends in the amount that was billed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from milepost.audit.arithmetic import charge_steps, retention_steps
from milepost.core import money
from milepost.core.contract import Contract, Milestone
from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus, RetentionEvent

__all__ = ["Explanation", "Material", "explain_line", "explain_milestone"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Material(NamedTuple):
    """What was raised for one engagement, each kind in the order in which it was raised; statuses are the latest."""

    lines: Sequence[InvoiceLine]
    retention: Sequence[RetentionEvent]
    requests: Sequence[ApprovalRequest]
    statuses: Sequence[MilestoneStatus]
    audit: Sequence[AuditEntry]


class Explanation(NamedTuple):
    """Sections in order: a title, and sentences."""

    sections: list[tuple[str, list[str]]]

    def text(self) -> str:
        """For people: titles at the margin, sentences indented."""
        blocks = ("\n".join([title, *(f"  {sentence}" for sentence in said)]) for title, said in self.sections if said)
        return "\n\n".join(blocks) + "\n"


def explain_line(material: Material, line: InvoiceLine, contract: Contract | None) -> Explanation:
    """Terms, events, signatures, evidence and arithmetic of one line; `contract` is the version that it names."""
    return Explanation(
        [
            ("Line", _line(line, material)),
            ("Terms", _terms(line, contract)),
            ("Because of", _causes(line, material)),
            ("Signatures", _signatures(line, material)),
            ("Evidence", [f"{e.name}: sha256 {e.sha256}, {e.size_bytes} bytes, {e.uri}" for e in line.evidence]),
            ("Arithmetic", _arithmetic(line, material, contract)),
            ("Since then", _since(line, material)),
        ]
    )


def explain_milestone(material: Material, status: MilestoneStatus) -> Explanation:
    """What one occurrence of a milestone waits for: each reason, since when, who has to sign, the money at stake."""
    name = _named(status.milestone_id, status.occurrence_id)
    worth = _money(status.at_stake_minor, status.currency_exponent, status.currency)
    head = [f"{name} of {status.engagement_id} is {status.state}, billed to {status.billed_completion} %"]
    if status.at_stake_minor:
        head.append(f"at stake: {worth}")
    for label, at in (("reported", status.reported_at), ("submitted", status.submitted_at)):
        if at is not None:
            head.append(f"{label} {_instant(at)}")
    if status.disputed_minor:
        head.append(f"disputed: {_money(status.disputed_minor, status.currency_exponent, status.currency)}")
    missing = [
        f"{one.gate}: {one.detail}" + (f" (since {_instant(one.since)})" if one.since is not None else "")
        for one in status.missing
    ]
    same = [
        request
        for request in material.requests
        if (request.milestone_id, request.occurrence_id) == (status.milestone_id, status.occurrence_id)
        and request.submission == status.submission
    ]
    return Explanation(
        [
            ("Milestone", head),
            ("Missing", missing or ["nothing"]),
            ("Asked to sign", [_request(one) for one in _latest(same) if one.kind in ("REQUESTED", "REMINDED")]),
            ("Waiting", list(status.parked)),
        ]
    )


def _line(line: InvoiceLine, material: Material) -> list[str]:
    raised = next((e for e in material.audit if e.what == "LINE" and e.line_id == line.line_id), None)
    what = _named(line.milestone_id or "the engagement", line.occurrence_id)
    amounts = [_amount(line, minor) for minor in (line.gross_minor, line.retained_minor, line.payable_minor)]
    said = [
        f"{line.line_id}: {line.kind}, {line.description}",
        f"{what} of {line.engagement_id}, revision {line.revision}, customer {line.customer_id}",
        f"gross {amounts[0]} = retained {amounts[1]} + payable {amounts[2]}",
        f"accepted {_instant(line.accepted_at)}",
    ]
    if raised is not None:
        came = "" if raised.input_topic is None else f" ({raised.input_topic} {raised.input_partition}"
        place = f"{came} at offset {raised.input_offset})" if came else ""
        by = f"event {raised.event_id}" if raised.event_id else "a tick of the clock"
        said.append(f"raised by {by}{place}; audit entry {raised.sequence}")
    if line.corrects_line_id:
        said.append(f"corrects {line.corrects_line_id}")
    return said


def _terms(line: InvoiceLine, contract: Contract | None) -> list[str]:
    said = [f"contract version {line.contract_version}"]
    definition = _definition(line, contract)
    if definition is not None:
        said += [f"criteria: {definition.criteria}"] if definition.criteria else []
        said.append(f"signed under {definition.approval}" if definition.approval else "nobody has to sign")
    return said


def _definition(line: InvoiceLine, contract: Contract | None) -> Milestone | None:
    milestones = contract.milestones if contract is not None else ()
    return next((one for one in milestones if one.id == line.milestone_id), None)


def _causes(line: InvoiceLine, material: Material) -> list[str]:
    by_event: dict[str, AuditEntry] = {}
    for entry in material.audit:
        if entry.event_id is not None and entry.what not in ("LINE", "RETENTION", "FLAGGED"):
            by_event.setdefault(entry.event_id, entry)
    said = []
    for cause in line.caused_by:
        found = next((entry for name, entry in by_event.items() if cause.endswith(f"/{name}")), None)
        became = f": {found.what.lower()}, dated {_instant(found.occurred_at)}" if found is not None else ""
        said.append(cause + became)
    return said


def _signatures(line: InvoiceLine, material: Material) -> list[str]:
    same = [
        request
        for request in material.requests
        if (request.milestone_id, request.occurrence_id) == (line.milestone_id, line.occurrence_id)
        and request.kind in ("GRANTED", "DEEMED")
    ]
    return [_request(one) for one in _latest(same)]


def _latest(requests: Sequence[ApprovalRequest]) -> list[ApprovalRequest]:
    latest = {(request.submission, request.step, request.role): request for request in requests}
    return [latest[key] for key in sorted(latest)]


def _request(request: ApprovalRequest) -> str:
    due = f", due {_instant(request.due_at)}" if request.due_at is not None else ""
    people = f" ({' or '.join(request.people)})" if request.people else ""
    return f"submission {request.submission}, step {request.step}: {request.role}{people} {request.kind.lower()}{due}"


def _arithmetic(line: InvoiceLine, material: Material, contract: Contract | None) -> list[str]:
    before = []
    for one in material.lines:
        if one.line_id == line.line_id:
            break
        before.append(one)
    steps = [] if line.kind == "RETENTION_RELEASE" else charge_steps(line, before, contract)
    return steps + retention_steps(line, before, material.retention, contract)


def _since(line: InvoiceLine, material: Material) -> list[str]:
    return [
        f"{one.kind} {one.line_id}: gross {_amount(one, one.gross_minor)}, accepted {_instant(one.accepted_at)}"
        for one in material.lines
        if one.corrects_line_id == line.line_id
    ]


def _named(milestone: str, occurrence: str | None) -> str:
    return f"{milestone} {occurrence}" if occurrence else milestone


def _amount(line: InvoiceLine, minor: int) -> str:
    return _money(minor, line.currency_exponent, line.currency)


def _money(minor: int, exponent: int | None, currency: str | None) -> str:
    return f"{money.format_minor(minor, exponent or 0)} {currency or ''}".rstrip()


def _instant(at: int) -> str:
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="seconds").replace("+00:00", "Z")
