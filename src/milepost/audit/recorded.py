"""What the records alone say of a line: where they lack something, it is said, and nothing is made up.

The ledger keeps lines, requests, retention, statuses and the audit trail; no reports, values or decisions.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from milepost.audit.told import Told, Withheld, belongs
from milepost.audit.wording import Money, amount, gate_text, instant, moment_text
from milepost.audit.worth import agreed_steps, card_steps, clawback_steps, success_steps
from milepost.core import money
from milepost.core.calendar import start_of_day
from milepost.core.contract import (
    AllOf,
    AnyOf,
    Completed,
    Contract,
    DateGate,
    EvidenceGate,
    Gate,
    KpiGate,
    Milestone,
    MilestoneGate,
    RateCard,
    RegulatorGate,
    Success,
)
from milepost.core.facts import KpiValue
from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus
from milepost.core.rules.clawbacks import Fired, fired
from milepost.core.rules.fees import CHARGE, PAYER, PROCEDURE
from milepost.core.rules.kpis import InForce
from milepost.core.terms import Terms, gates

__all__ = ["Records", "dated_causes", "recorded", "recorded_missing"]

_LACKS = "the ledger keeps no {}: explain with --contract and --events"
_SAID = ("LINE", "RETENTION", "FLAGGED")  # audit entries that are consequences, not what became of an event


class Records(NamedTuple):
    """What there is of one engagement, each kind in order; `before`: the lines before the one that is explained."""

    before: Sequence[InvoiceLine]
    requests: Sequence[ApprovalRequest]
    statuses: Sequence[MilestoneStatus]
    audit: Sequence[AuditEntry]
    dates: Mapping[str, int]  # by cause, where events are at hand


def dated_causes(
    line: InvoiceLine, audit: Sequence[AuditEntry], dates: Mapping[str, int]
) -> dict[str, list[AuditEntry]]:
    """By cause, what may have become of it: an event's id is unique per source, and the trail keeps no source."""
    raised = next((e.sequence for e in audit if e.what == "LINE" and e.line_id == line.line_id), None)
    found: dict[str, list[AuditEntry]] = {cause: [] for cause in line.caused_by}
    for entry in audit:
        if entry.event_id is None or entry.what in _SAID or (raised is not None and entry.sequence > raised):
            continue
        for cause, entries in found.items():
            known = dates.get(cause, entry.occurred_at)
            if cause.endswith(f"/{entry.event_id}") and known == entry.occurred_at:
                entries.append(entry)
    for cause, entries in found.items():
        # of one event the first entry counts; others of the same time and id are the same event tried again
        found[cause] = list({entry.occurred_at: entry for entry in reversed(entries)}.values())[::-1]
    return found


def recorded(line: InvoiceLine, records: Records, contract: Contract | None) -> Told:
    """Gates, submissions and worth of a line, as far as records and terms tell."""
    terms = Terms(contract) if contract is not None and contract.version == line.contract_version else None
    known = {one.line_id: one for one in records.before}
    own = [one for one in records.before if belongs(one, line, known)]
    billed = sum(one.gross_minor for one in own)
    definition = terms.milestones.get(line.milestone_id or "") if terms is not None else None
    withheld = None if contract is None else Withheld(Terms(contract), contract.value_minor)
    worth: list[str] = []
    said: list[str] = []
    if line.kind == "ADJUSTMENT" and line.description.endswith(" upheld)"):
        taken = amount(-line.gross_minor, line.currency_exponent, line.currency)
        worth = [f"a dispute was upheld: {taken} of line {line.corrects_line_id}, for good"]
    elif line.kind == "TIME_AND_MATERIALS":
        said = [f"{line.occurrence_id} is over, since {instant(line.accepted_at)}"]
    elif terms is None:
        said = [f"version {line.contract_version} of the contract is not at hand: explain with --contract"]
    elif definition is not None:
        worth = _Worth(line, records, terms, definition, own, billed + line.gross_minor).steps()
        said = list(_gates(line, records, definition, terms))
    elif line.kind == "RETENTION_RELEASE":
        said = _rule(line, terms)
    return Told(said, worth, _submissions(line, records, billed), [], withheld)


def _rule(line: InvoiceLine, terms: Terms) -> list[str]:
    retention = terms.contract.retention
    rules = retention.release if retention is not None else ()
    return [
        f"rule {rule.id}, {moment_text(rule.when)}: {rule.share} % of what is held"
        for rule in rules
        if line.description == f"Retention released: {rule.id}"
    ]


def _submissions(line: InvoiceLine, records: Records, billed: int) -> frozenset[int]:
    """The submissions that may be the line's: signed to the end, with its documents, worth what is billed to date."""
    if line.gross_minor <= 0 or line.milestone_id is None:
        return frozenset()
    documents = {piece.sha256 for piece in line.evidence}
    latest: dict[tuple[int, int], ApprovalRequest] = {}
    for one in records.requests:
        if (one.milestone_id, one.occurrence_id) == (line.milestone_id, line.occurrence_id):
            latest[one.submission, one.step] = one
    signed = [one for one in latest.values() if one.kind in ("GRANTED", "DEEMED")]
    proved = [one for one in signed if documents.issuperset(piece.sha256 for piece in one.evidence)]
    exact = [one for one in proved if one.gross_minor == billed + line.gross_minor]
    return frozenset(one.submission for one in exact or proved or signed)


def _gates(line: InvoiceLine, records: Records, definition: Milestone, terms: Terms) -> Iterator[str]:
    """What the records say of every gate of a charge, of a clawback of what fired it; of other credits nothing."""
    dated = dated_causes(line, records.audit, records.dates)
    by_topic: dict[str, list[int]] = {}
    for entries in dated.values():
        for entry in entries[:1] if len(entries) == 1 else ():
            by_topic.setdefault(entry.input_topic or "", []).append(entry.occurred_at)
    if line.kind == "CLAWBACK" and definition.clawback is not None:
        asked = gate_text(definition.clawback.when)
        yield f"{asked}: was {line.attributes.get('kpi_value', '?')}, since {instant(line.accepted_at)}"
    elif line.gross_minor > 0:
        for gate in gates(definition):
            yield from _gate(gate, line, records, by_topic, terms, "")
    else:
        yield "a credit: what it rests on held no longer, or less of it; " + _LACKS.format("facts")


def _gate(
    gate: Gate,
    line: InvoiceLine,
    records: Records,
    by_topic: Mapping[str, list[int]],
    terms: Terms,
    before: str,
) -> Iterator[str]:
    if isinstance(gate, AnyOf | AllOf):
        for inner in gate.gates:
            yield from _gate(
                inner, line, records, by_topic, terms, before + ("any of: " if isinstance(gate, AnyOf) else "")
            )
        return
    asked, found = before + gate_text(gate, line.occurrence_id), line.attributes
    lacking = "not said by the line" if before else f"held at {instant(line.accepted_at)}"
    if isinstance(gate, Completed):
        yield f"{asked}: {line.completion} % accepted, reported {_since(by_topic, 'milestone-events', line)}"
    elif isinstance(gate, EvidenceGate):
        carried = {piece.name for piece in line.evidence}.issuperset(gate.names)
        yield f"{asked}: {'carried by the line' if carried else lacking}"
    elif isinstance(gate, KpiGate):
        if found.get("kpi_id") == gate.id:
            was = f"was {found.get('kpi_value', '?')} (revision {found.get('kpi_revision', '1')})"
            yield f"{asked}: {was}, {_since(by_topic, 'kpi-events', line)}"
        else:
            yield f"{asked}: {lacking}; {_LACKS.format('values')}"
    elif isinstance(gate, DateGate):
        come = start_of_day(gate.on, terms.zone) <= line.accepted_at
        yield f"{asked}: {f'since {gate.on} in {terms.zone}' if come else 'had not come'}"
    elif isinstance(gate, RegulatorGate):
        if "confirmation_id" in found:
            since = _since(by_topic, "regulator-acceptances", line)
            yield f"{asked}: confirmed as {found['confirmation_id']}, {since}"
        else:
            yield f"{asked}: {lacking}; {_LACKS.format('decisions')}"
    else:
        yield f"{asked}: {_needed(gate, line, records, lacking)}"


def _since(by_topic: Mapping[str, list[int]], topic: str, line: InvoiceLine) -> str:
    """The time of the only cause of the topic; what is not known is bounded by what the line says."""
    times = by_topic.get(topic, [])
    if len(times) == 1:
        return f"since {instant(times[0])}"
    if times:
        return f"last {instant(max(times))}"
    return f"by {instant(line.accepted_at)} ({_LACKS.format('time of it')})"


def _needed(gate: MilestoneGate, line: InvoiceLine, records: Records, lacking: str) -> str:
    """Since when another milestone is accepted as far as needed: by its lines, else by its status."""
    for one in records.before:
        same = one.milestone_id == gate.milestone and one.occurrence_id in (None, line.occurrence_id)
        if same and one.gross_minor > 0 and money.percent(one.completion) >= money.percent(gate.at_least):
            return f"accepted to {one.completion} %, since {instant(one.accepted_at)}"
    for status in records.statuses:
        same = status.milestone_id == gate.milestone and status.occurrence_id in (None, line.occurrence_id)
        if same and status.accepted_at is not None and status.accepted_at <= line.accepted_at:
            return f"accepted, since {instant(status.accepted_at)}"
    return f"{lacking}; it has no line before this one"


class _Worth:
    """What a milestone is worth to date, recomputed from what the line carries; `entitled` is what was billed."""

    def __init__(
        self,
        line: InvoiceLine,
        records: Records,
        terms: Terms,
        definition: Milestone,
        own: Sequence[InvoiceLine],
        entitled: int,
    ) -> None:
        self.line = line
        self.records = records
        self.terms = terms
        self.definition = definition
        self.own = own
        self.entitled = entitled
        self.unit = Money.of(terms.contract)

    def steps(self) -> list[str]:
        """Nothing where the numbers do not meet what was billed."""
        line, fee = self.line, self.definition.fee
        if line.kind == "CLAWBACK":
            return self._clawback()
        level, value = money.percent(line.completion), line.attributes.get("kpi_value")
        if not level:
            return ["nothing is accepted any more"] if not self.entitled else []
        if isinstance(fee, Success):
            if value is None or line.attributes.get("kpi_id") != fee.kpi:
                return []
            said = f"{fee.kpi} was {value} (revision {line.attributes.get('kpi_revision', '1')})"
            return self._meeting([said, *success_steps(fee, value, level, self.unit)])
        if isinstance(fee, RateCard):
            return self._card(fee)
        fee_minor = self.terms.fees.get(self.definition.id, 0)
        return self._meeting(agreed_steps(self.terms, self.definition.id, fee_minor, level))

    def _meeting(self, steps: list[str]) -> list[str]:
        """The steps, if one of them ends in what was billed to date."""
        wanted = self.unit.text(self.entitled)
        if not self.entitled:
            return steps if any("no fee" in step for step in steps) else []
        return steps if any(step.partition(" (")[0].endswith(f" {wanted}") for step in steps) else []

    def _card(self, fee: RateCard) -> list[str]:
        found = self.line.attributes
        given = {name: found[name] for name in (PAYER, PROCEDURE) if name in found}
        card = self.terms.contract.rate_cards[fee.card].get(found.get(PAYER, ""))
        if card is not None and card.percent_of_charge is not None:
            after = f", {card.pays_after.text} after the invoice's date" if card.pays_after else ""
            said = f"card {fee.card}: payer {found.get(PAYER)} pays {card.percent_of_charge} % of the {CHARGE}{after}"
            return [said, _LACKS.format("charge")]
        steps = card_steps(self.terms.contract, fee, given)
        return steps if any(self.unit.text(self.entitled) in step for step in steps) else steps[:0]

    def _clawback(self) -> list[str]:
        """The window tried from each dated cause of the charges: the one that gives what was taken back."""
        clawback, line = self.definition.clawback, self.line
        charges = [one for one in self.own if one.gross_minor > 0]
        if clawback is None or not charges:
            return []
        (cause, *_) = line.caused_by or ("",)
        dated = dated_causes(line, self.records.audit, self.records.dates).get(cause, [])
        at = dated[0].occurred_at if dated else line.accepted_at
        revision = int(line.attributes.get("kpi_revision", "1"))
        value = KpiValue(at, "", line.attributes.get("kpi_value", "0"), revision, True, cause)
        for hit in self._hits(charges):
            found = self._fired(value, hit)
            if len(found) == 1 and found[0].amount_minor == -line.gross_minor:
                return clawback_steps(clawback, found[0], self.unit)
        return [_LACKS.format("values, and so not when the window began")]

    def _hits(self, charges: Sequence[InvoiceLine]) -> list[int]:
        found = []
        for charge in charges:
            for entries in dated_causes(charge, self.records.audit, self.records.dates).values():
                found += [e.occurred_at for e in entries if e.input_topic in (None, "kpi-events")]
            found.append(charge.accepted_at)
        return list(dict.fromkeys(found))

    def _fired(self, value: KpiValue, hit: int) -> list[Fired]:
        clawback, worth, total = self.definition.clawback, list[tuple[int, int]](), 0
        assert clawback is not None
        for one in self.own:
            total += one.gross_minor
            worth.append((one.accepted_at, total))
        zone, rounding = self.terms.zone, self.terms.rounding
        return fired(clawback, worth, [], [InForce(value.at, value)], lambda _: hit, zone, rounding)


def recorded_missing(records: Records, status: MilestoneStatus) -> dict[str, str]:
    """Of what a status misses, by its gate: what dates the records have; where they have none, that they lack it."""
    accepted = {one.milestone_id: one for one in records.statuses if one.occurrence_id in (None, status.occurrence_id)}
    said: dict[str, str] = {}
    for one in status.missing:
        for gate in one.gate.split("|"):
            kind, _, name = gate.partition(":")
            if kind == "milestone":
                other, dated = accepted.get(name), list[str]()
                if status.submitted_at is not None:
                    dated.append(f"submission {status.submission} opened {instant(status.submitted_at)}")
                if other is not None and other.accepted_at is not None:
                    dated.append(f"{name} accepted {instant(other.accepted_at)}")
                said[gate] = "; ".join(dated)
            elif kind == "not_to_exceed" and status.accepted_at is not None:
                said[gate] = f"{status.occurrence_id} is over since {instant(status.accepted_at)}"
            elif one.since is None and (
                kind == "suspended" or (kind in ("kpi", "regulator") and not _unheard(name, one.detail))
            ):
                said[gate] = f"since when: {_LACKS.format('time of it')}"
    return {gate: text for gate, text in said.items() if text}


def _unheard(name: str, detail: str) -> bool:
    """Whether nothing came yet, of a KPI or a regulator, that could have a date."""
    undecided = re.search(rf"\b{re.escape(name)} on [^:]*: no decision yet", detail)
    return f"no admitted value of {name} yet" in detail or undecided is not None
