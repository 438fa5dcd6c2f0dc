"""`milepost explain`: why a line exists, or what a milestone waits for, from files or from the ledger."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import typer

from milepost.audit.explaining import Explanation, Material, explain_line, explain_milestone
from milepost.audit.telling import tell_line, tell_missing
from milepost.audit.told import Told
from milepost.cli.database import reading_ledger
from milepost.cli.files import Faults, read_contract, read_event_file
from milepost.codec.event_files import Line
from milepost.contract import parse_wire
from milepost.core.contract import Contract
from milepost.core.engagement import Engagement
from milepost.core.events import EngagementEvent, Event, InvoiceAcknowledgement, Received, cause_of, dated
from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus, Output, RetentionEvent
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from milepost.join.simulation import simulate
from milepost.join.terms import with_terms

__all__ = ["explain"]

WHAT = typer.Argument(..., metavar="LINE|MILESTONE", help="A line's id, or ENGAGEMENT/MILESTONE[/OCCURRENCE].")
CONTRACT = typer.Option(None, "--contract", metavar="FILE", help="The contract; shows the terms and the arithmetic.")
EVENTS = typer.Option(None, "--events", metavar="FILE", help="Events to fold instead of asking the ledger.")
JSON = typer.Option(False, "--json", help="Print JSON instead of text.")

Contracts = dict[int, Contract]


def explain(
    what: str = WHAT,
    contract: Path | None = CONTRACT,
    events: Path | None = EVENTS,
    as_json: bool = JSON,
) -> None:
    """Say why a line exists: terms, events, gates, signatures, evidence, arithmetic; or what a milestone misses.

    A milestone's reasons are dated, with who may sign. The ledger keeps no events: what it lacks is said.

    Exit status 1: there is no such line or milestone; 2: a file or the database cannot be read.
    """
    if events is not None and contract is None:
        raise typer.BadParameter("--events needs the --contract that they belong to")
    if events is not None and contract is not None:
        found = _from_files(what, contract, events)
    else:
        found = _from_ledger(what, _contracts(contract))
    if found is None:
        form = "a milestone is ENGAGEMENT/MILESTONE[/OCCURRENCE]"
        typer.echo(f"there is no line and no milestone {what!r}; {form}", err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(dict(found.sections), ensure_ascii=False, indent=2))
    else:
        typer.echo(found.text(), nl=False)


def _contracts(contract: Path | None) -> Contracts:
    if contract is None:
        return {}
    faults = Faults()
    parsed = read_contract(contract, faults).parsed
    if parsed.contract is None:
        raise typer.Exit(faults.status)
    return {parsed.contract.version: parsed.contract}


def _from_files(what: str, contract: Path, events: Path) -> Explanation | None:
    faults = Faults()
    document, file = read_contract(contract, faults), read_event_file(events, faults)
    if faults.status:
        raise typer.Exit(faults.status)
    opening = document.opening("explain")
    changes = [opening, *(line.event for line in file.lines if isinstance(line.event, EngagementEvent))]
    read = [with_terms(event) for event in changes if event.contract is not None]
    versions = {e.terms.version: e.terms for e in read if isinstance(e, EngagementEvent) and e.terms is not None}
    return _retold(what, opening, file.lines, versions)


def _retold(what: str, opening: EngagementEvent, lines: Sequence[Line], versions: Contracts) -> Explanation | None:
    """Fold the events, and ask the state that a line's event left, or that of the end for a milestone."""
    staged = Staged(Empty())
    outputs: list[Output] = []
    told: Told | None = None
    noticed: dict[tuple[str, str | None], dict[str, int]] = {}
    for raised in simulate(opening, lines, staged):
        output, event = raised.output, opening if raised.line is None else raised.line.event
        assert not isinstance(event, InvoiceAcknowledgement)  # those raise nothing
        if isinstance(output, InvoiceLine) and output.line_id == what:
            before = [one for one in outputs if isinstance(one, InvoiceLine)]
            told = tell_line(_standing(staged, output.engagement_id, event), output, before)
        elif isinstance(output, MilestoneStatus):
            place = output.milestone_id, output.occurrence_id
            known = noticed.get(place, {})
            noticed[place] = {one.gate: known.get(one.gate, dated(event)) for one in output.missing}
        outputs.append(output)
    events = [line.event for line in lines if not isinstance(line.event, InvoiceAcknowledgement)]
    dates = {cause_of(event): dated(event) for event in reversed([opening, *events])}
    standing = _standing(staged, opening.engagement_id, events[-1] if events else opening)

    def missing(status: MilestoneStatus) -> dict[str, str]:
        return tell_missing(standing, status, noticed[status.milestone_id, status.occurrence_id])

    return _find(what, _material(outputs)._replace(dates=dates), versions, told, missing)


def _standing(staged: Staged, engagement: str, event: Event) -> Engagement:
    """The engagement as the event left it."""
    return Engagement(staged, engagement, Received(event, "", None, None, dated(event)))


def _material(outputs: Iterable[Output]) -> Material:
    lines: list[InvoiceLine] = []
    retention: list[RetentionEvent] = []
    requests: list[ApprovalRequest] = []
    statuses: dict[tuple[str, str | None], MilestoneStatus] = {}
    audit: list[AuditEntry] = []
    for output in outputs:
        match output:
            case InvoiceLine():
                lines.append(output)
            case RetentionEvent():
                retention.append(output)
            case ApprovalRequest():
                requests.append(output)
            case MilestoneStatus():
                statuses[output.milestone_id, output.occurrence_id] = output
            case AuditEntry():
                audit.append(output)
            case _:
                pass
    return Material(lines, retention, requests, list(statuses.values()), audit)


def _find(
    what: str,
    material: Material,
    contracts: Contracts,
    told: Told | None = None,
    missing: Callable[[MilestoneStatus], dict[str, str]] | None = None,
) -> Explanation | None:
    """The line or the milestone, explained by a fold where `told` and `missing` are given, else by the records."""
    for line in material.lines:
        if line.line_id == what:
            return explain_line(material, line, contracts.get(line.contract_version), told)
    for status in material.statuses:
        names = [status.engagement_id, status.milestone_id, *([status.occurrence_id] if status.occurrence_id else [])]
        if "/".join(names) == what:
            return explain_milestone(material, status, None if missing is None else missing(status))
    return None


def _from_ledger(what: str, contracts: Contracts) -> Explanation | None:
    with reading_ledger() as ledger:
        engagement = what.partition("/")[0] if "/" in what else ledger.engagement_of(what)
        if engagement is None:
            return None
        taken = {version: parse_wire(text, source="contract") for version, text in ledger.contracts(engagement).items()}
        known = {version: parsed.contract for version, parsed in taken.items() if parsed.contract is not None}
        material = Material(
            ledger.lines(engagement),
            ledger.retention_events(engagement),
            ledger.requests(engagement),
            ledger.statuses(engagement),
            ledger.audit(engagement),
        )
    return _find(what, material, {**known, **contracts})
