"""An event becomes facts, or the reason why it does not (events.md, "What happens to an event that does not bill").

An intake says what became of the event and which milestones it concerns; it raises no money.
"""

import re
from collections.abc import Iterable

from milepost.core import amendments, disputes, money, quiet_readings, reports, time_and_materials
from milepost.core.calendar import END_OF_TIME
from milepost.core.contract import Milestone, RateCard
from milepost.core.engagement import Engagement
from milepost.core.events import (
    ApprovalDecision,
    DisputeEvent,
    EngagementEvent,
    Event,
    KpiEvent,
    MilestoneEvent,
    RegulatorDecision,
    UsageEvent,
)
from milepost.core.facts import Decision, KpiFacts, KpiValue, Place, Report, buckets_key, kpi_key
from milepost.core.filings import decide
from milepost.core.outcomes import APPLIED, DEAD, PARKED, REFUSED, WAITING, Intake, parked, refused
from milepost.core.rules import fees, kpis
from milepost.core.rules.approvals import signers
from milepost.core.signing import SIGNOFF, claim
from milepost.core.terms import AMENDMENT, Terms, measuring

__all__ = ["APPLIED", "DEAD", "PARKED", "REFUSED", "WAITING", "Intake", "everything", "take"]


_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def take(engagement: Engagement) -> Intake:
    """Make a fact of the event that is being folded. The engagement is open."""
    event, account = engagement.received.event, engagement.account
    if isinstance(event, EngagementEvent):
        return _lifecycle(engagement, event)
    if engagement.at < engagement.agreed.starts_at:
        return refused("OUTSIDE_WINDOW")
    signs_off = isinstance(event, ApprovalDecision) and event.milestone_id == SIGNOFF.milestone
    if account.terminated_at is not None and engagement.at > account.terminated_at and not signs_off:
        if not isinstance(event, DisputeEvent | MilestoneEvent | UsageEvent):
            # It takes its place among its kind all the same, where nothing reads it: one that came just before the
            # termination was known has its place there too, and must not make a difference.
            _fact(engagement, event)
        return refused("ENGAGEMENT_CLOSED")
    return _fact(engagement, event)


def everything(engagement: Engagement) -> tuple[Place, ...]:
    """Every occurrence that there is, dependencies first: for what concerns the engagement as a whole."""
    places = [place for milestone in engagement.agreed.ordered for place in engagement.known(milestone)]
    return (*places, SIGNOFF)


def _fact(engagement: Engagement, event: Event) -> Intake:
    if isinstance(event, MilestoneEvent):
        return _report(engagement, event)
    if isinstance(event, KpiEvent):
        return _measurement(engagement, event)
    if isinstance(event, ApprovalDecision):
        return _decision(engagement, event)
    if isinstance(event, RegulatorDecision):
        return decide(engagement, event)
    if isinstance(event, UsageEvent):
        return Intake(*time_and_materials.take(engagement, event))
    assert isinstance(event, DisputeEvent)
    what, reason, concerned = disputes.take(engagement, event)
    return Intake(what, reason, concerned)


def _lifecycle(engagement: Engagement, event: EngagementEvent) -> Intake:
    account = engagement.account
    if event.change == "OPENED":
        same = event.terms is not None and event.terms == engagement.agreed.versions[0].contract
        return refused("DUPLICATE" if same else "ALREADY_OPEN")
    if event.change == "AMENDED":
        return _amendment(engagement, event)
    if engagement.at < engagement.agreed.starts_at:
        return refused("OUTSIDE_WINDOW")
    if event.change == "SIGNED_OFF":
        known = not claim(engagement, SIGNOFF, event)
        return refused("DUPLICATE") if known else Intake(APPLIED, concerned=(SIGNOFF,))
    if event.change == "TERMINATED":
        if account.terminated_at is not None:
            return refused("DUPLICATE")
        account.terminated_at = event.occurred_at
        reports.terminate(engagement, event.occurred_at)
        time_and_materials.recount(engagement)
        return Intake(APPLIED, concerned=everything(engagement))
    suspended = event.change == "SUSPENDED"
    if suspended and account.terminated_at is not None and engagement.at > account.terminated_at:
        return refused("ENGAGEMENT_CLOSED")
    last = account.suspension_changed_at
    if account.suspended == suspended or (suspended and event.occurred_at == last):
        return refused("DUPLICATE")
    if last is not None and event.occurred_at < last:
        return refused("SUPERSEDED")  # an old one, sent again
    account.suspended, account.suspension_changed_at = suspended, event.occurred_at
    if suspended:
        account.suspended_tick = engagement.last_tick
        account.pauses.append((event.occurred_at, END_OF_TIME))
    elif account.pauses:
        account.pauses[-1] = (account.pauses[-1][0], event.occurred_at)
    return Intake(APPLIED, concerned=everything(engagement))


def _amendment(engagement: Engagement, event: EngagementEvent) -> Intake:
    reason, message = amendments.propose(engagement, event)
    if reason == amendments.INVALID:
        return Intake(DEAD, reason, message=message)
    if reason:
        return refused(reason)
    waits = event.terms is not None and event.terms.version > engagement.account.version + 1
    place = Place(AMENDMENT, str(event.terms.version if event.terms else 0))
    return Intake(WAITING, "SUBMISSION_WAITING") if waits else Intake(APPLIED, concerned=(place,))


def _report(engagement: Engagement, event: MilestoneEvent) -> Intake:
    if event.milestone_id not in engagement.agreed.milestones:
        return parked("UNKNOWN_MILESTONE")
    wrong = _occurrence(engagement, event)
    if wrong is not None:
        return wrong
    definition = engagement.agreed.milestones[event.milestone_id]
    wrong = _charge(engagement, event)
    if wrong is not None:
        return wrong
    place = Place(event.milestone_id, event.occurrence_id)
    part = engagement.occurrence(place)
    withdrawn = event.kind == "WITHDRAWN"
    report = Report(
        at=event.occurred_at,
        kind=event.kind,
        completion="0" if withdrawn else money.canonical(event.completion),
        cause=engagement.cause,
        reported_by=event.reported_by,
        evidence=() if withdrawn else event.evidence,
        attributes=event.attributes,
    )
    rivals = [known for known in part.reports + part.lower if known.at == report.at]
    if any(_says_the_same(definition, report, known) for known in rivals):
        return refused("DUPLICATE")
    if any(_says_the_same(definition, report, known) for known in part.superseded if known.at == report.at):
        return refused("SUPERSEDED")
    reason = reports.enter(part, report)
    engagement.save_occurrence(place, part)
    return Intake(APPLIED, concerned=(place,)) if reason is None else refused(reason)


def _occurrence(engagement: Engagement, event: MilestoneEvent | ApprovalDecision) -> Intake | None:
    """What is wrong with the occurrence that an event names, or does not name."""
    repeats, milestone = engagement.agreed.signable[event.milestone_id].repeats, event.milestone_id
    if repeats == "monthly" and event.occurrence_id is not None and not _MONTH.fullmatch(event.occurrence_id):
        message = f"occurrence_id: {event.occurrence_id!r} is no month such as 2026-05; {milestone!r} is monthly"
        return Intake(DEAD, "INVALID_VALUE", message=message)
    if (repeats == "none") == (event.occurrence_id is None):
        return None
    if event.occurrence_id is None:
        message = f"occurrence_id: null found, but milestone {milestone!r} repeats ({repeats}); name the occurrence"
        return Intake(DEAD, "OCCURRENCE_MISSING", message=message)
    message = f"occurrence_id: {event.occurrence_id!r} found, but milestone {milestone!r} does not repeat; leave it out"
    return Intake(DEAD, "INVALID_VALUE", message=message)


def _charge(engagement: Engagement, event: MilestoneEvent) -> Intake | None:
    """What is wrong with the charge that a report is priced by; where nothing reads it, it may be anything."""
    terms = engagement.agreed.pricing(event.milestone_id, event.occurred_at)
    fee, charge = terms.milestones[event.milestone_id].fee, event.attributes.get(fees.CHARGE)
    if not isinstance(fee, RateCard) or charge is None or event.kind == "WITHDRAWN":
        return None
    if fees.charge_of(charge) is not None or not fees.reads_charge(terms.contract, fee, event.attributes):
        return None
    message = f'attributes.charge: {charge[:60]!r} is no charge; expected a decimal string of zero or more, as "250.00"'
    return Intake(DEAD, "INVALID_VALUE", message=message)


def _says_the_same(definition: Milestone, report: Report, known: Report) -> bool:
    """Whether two reports have the same content: of the attributes only those that price are part of it (rule 7)."""
    same = (report.kind, report.completion, report.reported_by, report.evidence) == (
        known.kind,
        known.completion,
        known.reported_by,
        known.evidence,
    )
    if not same or not isinstance(definition.fee, RateCard):
        return same
    return fees.pricing_content(report.attributes) == fees.pricing_content(known.attributes)


def _measurement(engagement: Engagement, event: KpiEvent) -> Intake:
    value = KpiValue(
        at=event.observed_at,
        source=event.source,
        value=event.value,
        revision=event.revision,
        final=event.status == "FINAL",
        cause=engagement.cause,
        unit=event.unit,
        start=event.period_start,
        end=event.period_end,
        evidence=event.evidence,
    )
    bucket = kpi_key(engagement.name, event.kpi_id, kpis.bucket(value))
    facts = engagement.staged.load(bucket, KpiFacts) or KpiFacts()
    first = not facts.values
    reading = value.start is None and value.end is None
    rivals = [
        v
        for v in facts.values
        if v.source == value.source
        and v.start == value.start
        and v.end == value.end
        and (v.at == value.at or not reading)
    ]
    for known in rivals:
        if (known.revision, known.final) == (value.revision, value.final):
            same = money.canonical(known.value) == money.canonical(value.value) and known.unit == value.unit
            return refused("DUPLICATE" if same else "CONFLICTING_VALUES")
    users = engagement.agreed.measured.get(event.kpi_id, ())
    quiet = bool(users) and quiet_readings.is_quiet(engagement, users, event.kpi_id, value)
    facts.values.append(value)
    engagement.staged.save(bucket, facts)
    if first:
        buckets = [*engagement.buckets(event.kpi_id), kpis.bucket(value)]
        engagement.staged.save(buckets_key(engagement.name, event.kpi_id), buckets)
    if not users:
        return refused("NOT_USED")
    if quiet:
        return Intake(APPLIED)
    concerned = tuple(place for name in users for place in _measured(engagement, name, value))
    rank = (value.revision, value.final)
    above = [known for known in rivals if (known.revision, known.final) > rank and known.at <= value.at]
    if above and not _counts(engagement, users, event.kpi_id, value, above):
        return Intake(REFUSED, "SUPERSEDED", concerned)
    return Intake(APPLIED, concerned=concerned)


def _counts(engagement: Engagement, users: Iterable[str], kpi: str, value: KpiValue, above: list[KpiValue]) -> bool:
    """Whether a gate admits the value and none of those that outrank it: for that gate it is in force."""
    terms = engagement.agreed
    return any(
        kpis.admits(gate, value, terms.zone) and not any(kpis.admits(gate, known, terms.zone) for known in above)
        for name in users
        for gate in measuring(terms.milestones[name], kpi)
    )


def _measured(engagement: Engagement, milestone: str, value: KpiValue) -> list[Place]:
    """The occurrences that look at a value: of a monthly milestone that of the value's month, else all there are."""
    if engagement.agreed.milestones[milestone].repeats != "monthly":
        return engagement.places(milestone)
    month = kpis.month(value, engagement.agreed.zone)
    return [] if month is None else [Place(milestone, month)]


def _decision(engagement: Engagement, event: ApprovalDecision) -> Intake:
    terms, milestone = engagement.agreed, event.milestone_id
    if milestone == AMENDMENT:
        return _signature(engagement, event)
    if milestone not in terms.signable:
        return parked("UNKNOWN_MILESTONE")
    wrong = _occurrence(engagement, event)
    if wrong is not None:
        return wrong
    place = Place(milestone, event.occurrence_id)
    decision = _new(engagement, event, place)
    if decision is None:
        return refused("DUPLICATE")
    known = _signs(terms.at(event.decided_at), event)
    if known and not terms.holds_role(event.approver, event.role, event.decided_at):
        return parked("NOT_IN_ROLE")
    number = _keep(engagement, decision, place)
    if not known and not any(_signs(version, event) for version in terms.versions):
        return refused("NOT_OPEN")  # kept: an amendment may come that has the role
    return Intake(APPLIED, concerned=(place,), decision=number)


def _signs(terms: Terms, event: ApprovalDecision) -> bool:
    """Whether a version's policy has a step for the decision's role."""
    policy = terms.policies.get(event.milestone_id)
    return policy is not None and event.role in signers(policy)


def _signature(engagement: Engagement, event: ApprovalDecision) -> Intake:
    """A decision on an amendment: `occurrence_id` is its version, or null for the one that is up for signing then."""
    kept = Place(AMENDMENT, event.occurrence_id)
    decision = _new(engagement, event, kept)
    if decision is None:
        return refused("DUPLICATE")
    if not amendments.open_to(engagement, event):
        _keep(engagement, decision, kept)  # a version may come that it is for
        return refused("NOT_OPEN")
    versions = engagement.agreed.versions
    if not any(terms.holds_role(event.approver, event.role, event.decided_at) for terms in versions):
        return parked("NOT_IN_ROLE")
    _keep(engagement, decision, kept)
    place = amendments.addressed(engagement, event)
    number = amendments.number_of(engagement, place, engagement.cause)
    if number is None:
        return Intake(WAITING, "SUBMISSION_WAITING")
    return Intake(APPLIED, concerned=(place,), decision=number)


def _new(engagement: Engagement, event: ApprovalDecision, place: Place) -> Decision | None:
    """The decision as a fact of the place; None if it was sent before."""
    decision = Decision(
        at=event.decided_at,
        role=event.role,
        approver=event.approver,
        decision=event.decision,
        cause=engagement.cause,
        submission=event.submission,
        submission_hash=event.submission_hash,
        certified=None if event.certified_completion is None else money.canonical(event.certified_completion),
        evidence=event.evidence,
    )
    rivals = [known for known in engagement.occurrence(place).decisions if known.at == decision.at]
    return None if any(_decides_the_same(decision, known) for known in rivals) else decision


def _keep(engagement: Engagement, decision: Decision, place: Place) -> int:
    """Keep the decision among those of the place: which one it is."""
    part = engagement.occurrence(place)
    part.decisions.append(decision)
    engagement.save_occurrence(place, part)
    return len(part.decisions) - 1


def _decides_the_same(decision: Decision, known: Decision) -> bool:
    return (
        decision.role,
        decision.approver,
        decision.decision,
        decision.submission,
        decision.submission_hash,
        decision.certified,
        decision.evidence,
    ) == (
        known.role,
        known.approver,
        known.decision,
        known.submission,
        known.submission_hash,
        known.certified,
        known.evidence,
    )
