"""Why a line exists, and what an open milestone waits for: told from the records alone, as an auditor would ask.

Nothing is decided here. The arithmetic is computed again from the lines that came before and, where the contract is
at hand, from its terms; a step is only shown if it ends in the amount that was billed.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from milepost.audit.arithmetic import charge_steps, retention_steps
from milepost.audit.recorded import Records, dated_causes, recorded, recorded_missing
from milepost.audit.signers import asked_now
from milepost.audit.told import Told
from milepost.audit.wording import amount, instant, named
from milepost.core.contract import Contract, Milestone
from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus, Missing, RetentionEvent

__all__ = ["Explanation", "Material", "explain_line", "explain_milestone"]


class Material(NamedTuple):
    """What was raised for one engagement, each kind in the order in which it was raised; statuses are the latest.

    `dates`: when each event is dated, by `source/event_id`, where events are at hand; the audit trail has no sources.
    """

    lines: Sequence[InvoiceLine]
    retention: Sequence[RetentionEvent]
    requests: Sequence[ApprovalRequest]
    statuses: Sequence[MilestoneStatus]
    audit: Sequence[AuditEntry]
    dates: Mapping[str, int] = {}

    def before(self, line: InvoiceLine) -> list[InvoiceLine]:
        """The lines that were raised before one."""
        found = []
        for one in self.lines:
            if one.line_id == line.line_id:
                break
            found.append(one)
        return found


class Explanation(NamedTuple):
    """Sections in order: a title, and sentences."""

    sections: list[tuple[str, list[str]]]

    def text(self) -> str:
        """For people: titles at the margin, sentences indented."""
        blocks = ("\n".join([title, *(f"  {sentence}" for sentence in said)]) for title, said in self.sections if said)
        return "\n\n".join(blocks) + "\n"


def explain_line(
    material: Material, line: InvoiceLine, contract: Contract | None, told: Told | None = None
) -> Explanation:
    """Terms, events, gates, signatures, evidence and arithmetic of one line; `contract` is the version that it names.

    `told` is what a fold of the events says; without it the records have to do.
    """
    before = material.before(line)
    if told is None or not told.worth:
        known = recorded(line, _records(material, before), contract)
        told = known if told is None else told._replace(worth=known.worth)
    return Explanation(
        [
            ("Line", _line(line, material)),
            ("Terms", _terms(line, contract)),
            ("Because of", _causes(line, material)),
            ("Gates", told.gates),
            ("Signatures", [*_signatures(line, material, told), *told.signed]),
            ("Evidence", [f"{e.name}: sha256 {e.sha256}, {e.size_bytes} bytes, {e.uri}" for e in line.evidence]),
            ("Arithmetic", _arithmetic(line, material, before, told)),
            ("Since then", _since(line, material)),
        ]
    )


def explain_milestone(
    material: Material, status: MilestoneStatus, told: Mapping[str, str] | None = None
) -> Explanation:
    """What one occurrence of a milestone waits for: each reason, since when, who has to sign, the money at stake.

    `told` is what a fold of the events says of each missing gate beyond the status: dated facts.
    """
    name = named(status.milestone_id, status.occurrence_id)
    worth = amount(status.at_stake_minor, status.currency_exponent, status.currency)
    head = [f"{name} of {status.engagement_id} is {status.state}, billed to {status.billed_completion} %"]
    if status.at_stake_minor:
        head.append(f"at stake: {worth}")
    for label, at in (("reported", status.reported_at), ("submitted", status.submitted_at)):
        if at is not None:
            head.append(f"{label} {instant(at)}")
    if status.disputed_minor:
        head.append(f"disputed: {amount(status.disputed_minor, status.currency_exponent, status.currency)}")
    dated = recorded_missing(_records(material, []), status) if told is None else told
    return Explanation(
        [
            ("Milestone", head),
            ("Missing", [_missing(one, dated) for one in status.missing] or ["nothing"]),
            ("Asked to sign", [_request(one) for one in asked_now(status, material.requests)]),
            ("Waiting", list(status.parked)),
        ]
    )


def _records(material: Material, before: Sequence[InvoiceLine]) -> Records:
    return Records(before, material.requests, material.statuses, material.audit, material.dates)


def _missing(one: Missing, dated: Mapping[str, str]) -> str:
    """The reason, since when it is one, and the dated facts that it is one in spite of."""
    known = [] if one.since is None else [f"since {instant(one.since)}"]
    known += [text for gate in one.gate.split("|") if (text := dated.get(gate)) is not None and text not in known]
    return f"{one.gate}: {one.detail}" + (f" ({'; '.join(dict.fromkeys(known))})" if known else "")


def _line(line: InvoiceLine, material: Material) -> list[str]:
    raised = next((e for e in material.audit if e.what == "LINE" and e.line_id == line.line_id), None)
    what = named(line.milestone_id or "the engagement", line.occurrence_id)
    amounts = [_amount(line, minor) for minor in (line.gross_minor, line.retained_minor, line.payable_minor)]
    said = [
        f"{line.line_id}: {line.kind}, {line.description}",
        f"{what} of {line.engagement_id}, revision {line.revision}, customer {line.customer_id}",
        f"gross {amounts[0]} = retained {amounts[1]} + payable {amounts[2]}",
        f"accepted {instant(line.accepted_at)}",
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
    """What became of each cause, and its date; two sources may use one id, which only the events tell apart."""
    said = []
    for cause, found in dated_causes(line, material.audit, material.dates).items():
        became = f": {found[0].what.lower()}, dated {instant(found[0].occurred_at)}" if found else ""
        if len(found) > 1:
            dates = " or ".join(instant(entry.occurred_at) for entry in found)
            became = f": dated {dates}; several sources used this id, and the audit trail keeps no source"
        said.append(cause + became)
    return said


def _signatures(line: InvoiceLine, material: Material, told: Told) -> list[str]:
    """Who granted the steps of the submissions that the line rests on."""
    same = [
        request
        for request in material.requests
        if (request.milestone_id, request.occurrence_id) == (line.milestone_id, line.occurrence_id)
        and request.submission in told.submissions
    ]
    latest = {(request.submission, request.step): request for request in same}
    signed = [_request(latest[key]) for key in sorted(latest) if latest[key].kind in ("GRANTED", "DEEMED")]
    if len(told.submissions) > 1 and signed:
        signed.append("which of these submissions the line is for, the records do not tell")
    return signed


def _request(request: ApprovalRequest) -> str:
    due = f", due {instant(request.due_at)}" if request.due_at is not None else ""
    people = f" ({' or '.join(request.people)})" if request.people else ""
    return f"submission {request.submission}, step {request.step}: {request.role}{people} {request.kind.lower()}{due}"


def _arithmetic(line: InvoiceLine, material: Material, before: Sequence[InvoiceLine], told: Told) -> list[str]:
    steps = told.worth if line.kind == "RETENTION_RELEASE" else charge_steps(line, before, told.worth)
    return steps + retention_steps(line, before, material.retention, told.withheld)


def _since(line: InvoiceLine, material: Material) -> list[str]:
    return [
        f"{one.kind} {one.line_id}: gross {_amount(one, one.gross_minor)}, accepted {instant(one.accepted_at)}"
        for one in material.lines
        if one.corrects_line_id == line.line_id
    ]


def _amount(line: InvoiceLine, minor: int) -> str:
    return amount(minor, line.currency_exponent, line.currency)
