"""One event: to facts, to entitlement, to the difference, to outputs.

`fold` is the core's one entry point. It reads and writes nothing but the batch's staged copy, has no clock and no
chance, and gives the same outputs for the same events in the same order, wherever it runs. It keeps:

- every event ends in exactly one recorded outcome: applied, waiting, refused, parked, or a dead letter;
- only the occurrences that an event concerns are assessed again, what is depended on first;
- conservation of money after every event (rule 6).
"""

from collections import Counter
from heapq import heapify, heappop, heappush

from msgspec.structs import replace

from milepost.core import (
    amendments,
    billing,
    requests,
    settlement,
    signing,
    signoff,
    statuses,
    time_and_materials,
    timeouts,
)
from milepost.core.calendar import END_OF_TIME, start_of_day
from milepost.core.checks import check
from milepost.core.claims import Assessment, percent_text
from milepost.core.contract import DateGate, RateCard
from milepost.core.engagement import Engagement
from milepost.core.entitlement import STALE_SUBMISSION, WAITING
from milepost.core.events import ApprovalDecision, ClockTick, EngagementEvent, Event, MilestoneEvent, Received
from milepost.core.facts import Occurrence, Place, clock_key, contract_key, due_key, due_place, occurrence_key
from milepost.core.gates import leaves
from milepost.core.hours import TIME
from milepost.core.intake import APPLIED, DEAD, PARKED, REFUSED, Intake, everything, take
from milepost.core.invariants import conserve
from milepost.core.outputs import DeadLetter, InvoiceLine, Output
from milepost.core.parking import park, parked_names, place_of, retry, retry_lines, unknown
from milepost.core.parts import Staged
from milepost.core.rules.approvals import EVIDENCE_MISSING, OUTSIDE_WINDOW
from milepost.core.terms import AMENDMENT

__all__ = ["Received", "fold"]

_ROUNDS = 8  # how often an occurrence is assessed again for one event
_REFUSALS = {"NOT_OPEN", "SEPARATION_OF_DUTIES", "NOT_IN_ROLE", OUTSIDE_WINDOW, STALE_SUBMISSION}


def fold(staged: Staged, received: Received) -> list[Output]:
    """Fold one event into the staged state and return what it raised, in the order in which it was raised.

    Raises ConservationError or LifecycleError (both AssertionError) if the result would be wrong: the host discards
    what was staged and makes a dead letter of the event.
    """
    event = received.event
    message = check(event)
    if message is not None:
        return [DeadLetter(reason="INVALID_VALUE", message=message)]
    if isinstance(event, ClockTick):
        return _tick(staged, received)
    engagement = Engagement(staged, event.engagement_id, received)
    was_open, version = engagement.terms is not None, engagement.account.version
    if not was_open:
        opening = isinstance(event, EngagementEvent) and event.change == "OPENED"
        intake = _open(engagement) if opening else Intake(PARKED, "NOT_OPEN_YET")
    else:
        intake = take(engagement)
        moved = amendments.advance(engagement, again=_bears_on_amendments(event))
        if moved:
            intake = intake._replace(concerned=(*intake.concerned, *moved, *everything(engagement)))
    if intake.what == PARKED:
        before, full = engagement.account.parked, park(engagement, intake.reason or "")
        if full is not None:
            return [full]
        if engagement.account.parked > before:
            _restate(engagement, place_of(event))
        return engagement.outputs
    if intake.what == DEAD:
        return [DeadLetter(reason=intake.reason or "", message=intake.message)]
    _settle(engagement, intake)
    outputs = list(engagement.outputs)
    outputs.extend(_retry(staged, engagement, version))
    return outputs


def _bears_on_amendments(event: Event) -> bool:
    """Whether an event may be dated before the signatures of a version that is in force, and undo them."""
    decides = isinstance(event, ApprovalDecision) and event.milestone_id == AMENDMENT
    return decides or isinstance(event, EngagementEvent)


def _open(engagement: Engagement) -> Intake:
    """Put the contract of an OPENED event in force."""
    event, account = engagement.received.event, engagement.account
    assert isinstance(event, EngagementEvent)
    contract = event.terms
    if contract is None:
        return Intake(
            DEAD, "CONTRACT_INVALID", message="contract: null found, the whole document as JSON text expected"
        )
    if contract.engagement != engagement.name:
        message = f"contract.engagement: {contract.engagement!r} found, {engagement.name!r} expected (engagement_id)"
        return Intake(DEAD, "CONTRACT_INVALID", message=message)
    account.version, account.opened_at = contract.version, event.occurred_at
    account.first_version = account.known_version = contract.version
    account.original_value_minor = contract.value_minor
    engagement.staged.save(contract_key(engagement.name, contract.version), contract)
    engagement.load_terms()
    amendments.note_due(engagement)
    time_and_materials.prepare(engagement)
    # nothing that repeats is known of yet: no store is asked for a range of keys
    milestones = engagement.agreed.milestones
    once = [Place(name) for name in engagement.agreed.ordered if milestones[name].repeats == "none"]
    return Intake(APPLIED, concerned=(*once, signing.SIGNOFF))


def _tick(staged: Staged, received: Received) -> list[Output]:
    """The partition's clock moves on; only what is due by now is assessed, in the order in which it was due.

    So after a pause of the clock lines are raised, and retention is split, as if it had not paused.
    """
    at = received.event.at  # type: ignore[union-attr]
    last = staged.load(clock_key(), int)
    if last is not None and at <= last:
        return []
    staged.save(clock_key(), at)
    due: dict[tuple[bytes, str], list[Place]] = {}
    for key in staged.keys(b"@due/", due_key(min(at, END_OF_TIME) + 1, "", Place("")).rstrip(b"/")):
        name, place = due_place(key)
        due.setdefault((key.split(b"/", 2)[1], name), []).append(place)
        staged.delete(key)
    outputs: list[Output] = []
    for (_, name), places in due.items():
        engagement = Engagement(staged, name, received)
        engagement.last_tick = -END_OF_TIME if last is None else last
        for place in dict.fromkeys(places):
            timeouts.fire(engagement, place, at)
        engagement.last_tick = at
        version = engagement.account.version
        again = any(place.milestone == AMENDMENT for place in places)
        moved = amendments.advance(engagement, again)
        if moved or again:
            # a version begins: hours may cost something else, and their limit may be another, from today on
            time_and_materials.recount(engagement, amended=True)
            places = [*moved, *everything(engagement), *places]
        _settle(engagement, Intake(APPLIED, concerned=tuple(dict.fromkeys(places))))
        outputs.extend(engagement.outputs)
        outputs.extend(_retry(staged, engagement, version))
    return outputs


def _retry(staged: Staged, engagement: Engagement, version: int) -> list[Output]:
    """Fold again what was parked and may be known now: all of it under a new version, else what names a new line."""
    if not engagement.account.parked:
        return []
    raised = {output.line_id for output in engagement.outputs if isinstance(output, InvoiceLine)}
    engagement.outputs.clear()
    again = engagement.account.version != version
    waiting = retry(engagement) if again else retry_lines(engagement, raised)
    outputs = list(engagement.outputs)
    for received in waiting:
        outputs.extend(
            replace(output, origin=received) if isinstance(output, DeadLetter) and output.origin is None else output
            for output in fold(staged, received)
        )
    after = Engagement(staged, engagement.name, engagement.received)
    for place in dict.fromkeys(place_of(received.event) for received in waiting):
        if not parked_names(after, place):  # what was parked again is said
            _restate(after, place)
    outputs.extend(after.outputs)
    return outputs


def _settle(engagement: Engagement, intake: Intake) -> None:
    """Assess what the event concerns, record its outcome, raise the differences."""
    found = _found(engagement, tuple(place for place in intake.concerned if place.milestone != TIME))
    _record(engagement, intake, found)
    settlement.give_back(engagement)
    asked_again = _state(engagement, found)
    if asked_again:  # what is signed already may be in time for the new deadline
        found |= (again := _found(engagement, asked_again))
        _state(engagement, again)
    months = tuple(place.occurrence for place in intake.concerned if not place.milestone and place.occurrence)
    time_and_materials.settle(engagement, Place(TIME) in intake.concerned, months)
    settlement.release(engagement)
    signoff.signoff_status(engagement, found.get(signing.SIGNOFF), parked_names(engagement, signing.SIGNOFF))
    conserve(engagement.name, engagement.account)
    engagement.save()


def _found(engagement: Engagement, concerned: tuple[Place, ...]) -> dict[Place, Assessment]:
    """What follows from the facts of these places and of those that depend on them, the sign-off dated by it."""
    found = _assess(engagement, concerned)
    if signing.SIGNOFF in found and signoff.date_signoff(engagement, found[signing.SIGNOFF]):
        settlement.schedule(engagement)
    return found


def _state(engagement: Engagement, found: dict[Place, Assessment]) -> tuple[Place, ...]:
    """Ask, bill and say what was found; the places where somebody was asked again, with time of its own."""
    asked_again = []
    for place, assessment in found.items():
        part = engagement.occurrence(place)
        timers = dict(part.timers)
        asked = requests.request(engagement, place, part, assessment)
        asked |= timeouts.schedule(engagement, place, part, assessment)
        if any(part.timers.get(key, timer) is not timer for key, timer in timers.items()):
            asked_again.append(place)
        if signing.is_signable(place):
            if asked:
                engagement.save_occurrence(place, part)
            if place.milestone == AMENDMENT:
                amendments.state(engagement, place, part, assessment, parked_names(engagement, place))
            continue
        if not engagement.account.suspended:
            billing.bill(engagement, place, part, assessment)
        statuses.flag(engagement, place, part, assessment)
        statuses.state(engagement, place, part, assessment, parked_names(engagement, place))
        engagement.save_occurrence(place, part)
    return tuple(asked_again)


def _restate(engagement: Engagement, place: Place) -> None:
    """Say what waits, after an event was parked or taken out again; of what is not known yet that is all there is."""
    names, terms = parked_names(engagement, place), engagement.terms
    if terms is not None and place == signing.SIGNOFF:
        signoff.signoff_status(engagement, signing.submitted(engagement, place), names)
        engagement.save()
        return
    if place.milestone == AMENDMENT and amendments.proposed(engagement, place):
        part = engagement.occurrence(place)
        amendments.state(engagement, place, part, amendments.submitted(engagement, place), names)
        return
    definition = terms.milestones.get(place.milestone) if terms is not None else None
    kept = engagement.staged.load(occurrence_key(engagement.name, place), Occurrence) if place.occurrence else place
    if definition is None or (definition.repeats == "none") != (place.occurrence is None) or kept is None:
        engagement.outputs.append(unknown(engagement, place))
        return
    part = engagement.occurrence(place)
    statuses.state(engagement, place, part, engagement.assess(place), names)
    engagement.save_occurrence(place, part)


def _assess(engagement: Engagement, concerned: tuple[Place, ...]) -> dict[Place, Assessment]:
    """Assess the occurrences and, where what is accepted changed, those that depend on them; dependencies first."""
    own = [place for place in concerned if signing.is_signable(place)]
    queue = [_ranked(engagement, place) for place in concerned if place.milestone in engagement.agreed.milestones]
    heapify(queue)
    found: dict[Place, Assessment] = {}
    moved = False
    rounds: Counter[Place] = Counter()
    while queue:
        *_, place = heappop(queue)
        if place in found:
            continue
        part = engagement.occurrence(place)
        _note_dates(engagement, place)
        assessment = found[place] = engagement.assess(place)
        accepted = [(at, percent_text(level)) for at, level in assessment.accepted]
        if accepted != part.accepted:
            before, part.accepted, moved = part.accepted, accepted, True
            engagement.save_occurrence(place, part)
            again = [*engagement.dependants(place), *engagement.sharing(place, before, accepted)]
            for dependant in again:
                if dependant in found and rounds[dependant] < _ROUNDS:
                    # only where versions of a contract make things depend on each other
                    rounds[dependant] += 1
                    del found[dependant]
                heappush(queue, _ranked(engagement, dependant))
    account = engagement.account
    said = account.signed_off_at is not None or account.signoff_digest != b""
    if said and (moved or account.signoff_at is None):
        own.append(signing.SIGNOFF)
    for place in dict.fromkeys(own):
        amendment = place.milestone == AMENDMENT
        found[place] = (amendments if amendment else signing).submitted(engagement, place)
    return found


def _ranked(engagement: Engagement, place: Place) -> tuple[int, str, Place]:
    return engagement.agreed.place[place.milestone], place.occurrence or "", place


def _note_dates(engagement: Engagement, place: Place) -> None:
    """Keep at which tick a date gate passed: the line names it."""
    agreed = [terms.milestones.get(place.milestone) for terms in engagement.agreed.versions]
    for gate in leaves([gate for m in agreed if m for gate in (*m.requires, *m.depends_on)]):
        if isinstance(gate, DateGate):
            part = engagement.occurrence(place)
            if gate.on.isoformat() not in part.dates and engagement.gate_spans(gate, place):
                part.dates[gate.on.isoformat()] = engagement.last_tick
                engagement.save_occurrence(place, part)
            since = start_of_day(gate.on, engagement.agreed.zone)
            if place.occurrence is not None and since > engagement.last_tick:
                key = due_key(since, engagement.name, place)
                if engagement.staged.raw(key) is None:
                    engagement.staged.save(key, b"")


def _record(engagement: Engagement, intake: Intake, found: dict[Place, Assessment]) -> None:
    """One audit entry for what became of the event; ticks leave one only by what they raise."""
    event = engagement.received.event
    if isinstance(event, ClockTick):
        return
    what, reason = intake.what, intake.reason
    place = intake.concerned[0] if intake.concerned else Place("")
    if isinstance(event, ApprovalDecision) and intake.decision is not None:
        outcome = found[place].outcomes.get(intake.decision, WAITING)
        if outcome in _REFUSALS:
            what, reason = REFUSED, outcome
        elif outcome == WAITING:
            what, reason = "WAITING", "SUBMISSION_WAITING"
        elif outcome == EVIDENCE_MISSING:
            what, reason = "WAITING", outcome
    elif isinstance(event, MilestoneEvent) and what == APPLIED:
        reason = _waits(engagement, event, place, found[place])
        what = "WAITING" if reason else APPLIED
    elif isinstance(event, EngagementEvent) and event.change == "SIGNED_OFF" and what == APPLIED:
        reason = signing.opened(engagement, found[place])
        if reason is not None:
            what = REFUSED
        elif engagement.account.signoff_at is None:
            what, reason = "WAITING", "SIGNOFF_WAITING"
    engagement.audit(what, reason)


def _waits(engagement: Engagement, event: MilestoneEvent, place: Place, found: Assessment) -> str | None:
    """Why a report claims nothing yet although it is in force, if the reason is the report's own."""
    if found.unpriced and isinstance(engagement.agreed.milestones[place.milestone].fee, RateCard):
        return "RATE_NOT_FOUND"
    if event.kind != "REPORTED":  # what corrects has its effect, whatever it leaves to be claimed
        return None
    part = engagement.occurrence(place)
    missing = statuses.outstanding(engagement, place, part, found)
    gates = {gate.partition(":")[0] for entry in missing for gate in entry.gate.split("|")}
    if "evidence" in gates:
        return "EVIDENCE_MISSING"
    claimed = any(submission.report is part.reports[-1] for submission in found.submissions)
    below = "completed" in gates and not claimed and percent_text(found.level) != part.reports[-1].completion
    return "PARTIAL_NOT_ALLOWED" if below else None
