"""An amendment from its arrival to the moment it is in force: what refuses it, who signs it, what follows it.

It is the claim of `@amendment`, one occurrence a version. The policy is that of the version before, and a version is
put up for signing when the one before it is in force. What is dated before its signatures and comes late may take one
that is in force back, like anything that was accepted.
"""

from milepost.core import lifecycle, posting, settlement, time_and_materials
from milepost.core.calendar import END_OF_TIME
from milepost.core.claims import REJECTED, TIMED_OUT, Assessment
from milepost.core.contract import Completed, Contract
from milepost.core.engagement import Engagement
from milepost.core.entitlement import WAITING, assess
from milepost.core.events import ApprovalDecision, EngagementEvent
from milepost.core.facts import Decision, Occurrence, Place, Report, contract_key, due_key, proposal_key, void_key
from milepost.core.gates import During, Every
from milepost.core.outputs import MilestoneStatus
from milepost.core.pricing import Agreed
from milepost.core.signing import DUPLICATE, claim, opened
from milepost.core.statuses import say, unsigned
from milepost.core.terms import AMENDMENT

__all__ = ["INVALID", "addressed", "advance", "note_due", "number_of", "open_to", "propose", "state", "submitted"]

INVALID = "AMENDMENT_INVALID"


def propose(engagement: Engagement, event: EngagementEvent) -> tuple[str | None, str]:
    """Take the next version: (None, ""), or the reason why not and, for INVALID, what is wrong with it.

    What has no effect now is kept all the same: a rejection of what stands, dated before it, may be on its way.
    """
    account, contract = engagement.account, event.terms
    if contract is None:
        return INVALID, "contract: null found, the whole next contract as JSON text expected"
    wrong, skipped = _wrong(engagement, contract), _skipped(engagement, contract)
    if wrong:
        return INVALID, "; ".join([*wrong, *skipped])
    if account.terminated_at is not None and event.occurred_at > account.terminated_at:
        return "ENGAGEMENT_CLOSED", ""
    if skipped:
        return INVALID, "; ".join(skipped)
    if contract.version <= account.first_version:
        return DUPLICATE, ""
    if engagement.at < engagement.agreed.starts_at:
        return "OUTSIDE_WINDOW", ""
    place, again = Place(AMENDMENT, str(contract.version)), contract.version <= account.known_version
    part = engagement.occurrence(place)
    claims = len(part.reports)
    if contract.amendment is None or not claim(engagement, place, event):
        return DUPLICATE, ""
    if len(part.reports) > claims:
        engagement.staged.save(proposal_key(engagement.name, contract.version, claims + 1), contract)
    account.known_version = max(account.known_version, contract.version)
    if not again:
        return None, ""
    in_turn = contract.version == account.version + 1
    return (opened(engagement, submitted(engagement, place)) if in_turn else DUPLICATE), ""


def _wrong(engagement: Engagement, contract: Contract) -> list[str]:
    """What refuses the document, in words; nothing for one that can be signed."""
    agreed, found = engagement.agreed.contract, []
    if contract.engagement != engagement.name:
        found.append(
            f"contract.engagement: {contract.engagement!r} found, {engagement.name!r} expected (engagement_id)"
        )
    if contract.currency != agreed.currency:
        found.append(
            f"contract.currency: {contract.currency!r} found, {agreed.currency!r} expected; "
            "an engagement keeps its currency, open another one"
        )
    if contract.version > engagement.account.known_version and contract.amendment is None:
        found.append(
            "contract.amendment: is missing; add amendment: {mode: prospective | catch_up | separate, from: DATE}, "
            "there is no default"
        )
    known = _repeats(engagement)
    for milestone in contract.milestones:
        repeats = known.get(milestone.id, milestone.repeats)
        if repeats != milestone.repeats:
            found.append(
                f"contract.milestones: {milestone.id}.repeats: {milestone.repeats!r} found, {repeats!r} expected; "
                "what is billed of a milestone is billed by occurrence, so give the new one an id of its own"
            )
    return found


def _skipped(engagement: Engagement, contract: Contract) -> list[str]:
    """What refuses a version that leaves one out."""
    known = engagement.account.known_version
    if contract.version <= known + 1:
        return []
    message = f"contract.version: {contract.version} found, {known + 1} expected; version {known} is the last one known"
    return [f"{message}, send those between first"]


def _repeats(engagement: Engagement) -> dict[str, str]:
    """How each milestone repeats that any version names which was sent so far, signed or not."""
    name, account, found = engagement.name, engagement.account, dict[str, str]()
    for version in range(account.first_version, account.known_version + 1):
        claims = engagement.occurrence(Place(AMENDMENT, str(version))).reports
        keys = [proposal_key(name, version, number + 1) for number in range(len(claims))]
        for key in keys or [contract_key(name, version)]:
            contract = engagement.staged.load(key, Contract)
            found.update({} if contract is None else {m.id: m.repeats for m in contract.milestones})
    return found


def advance(engagement: Engagement, again: bool = False) -> tuple[Place, ...]:
    """Put every version in force that is signed now, in turn: those, and the one that is up for signing then.

    `again`: something came that may be dated before the signatures of a version that is in force. One that is signed no
    more, or by another claim, is in force no longer, with those after it (rule 11).
    """
    account = engagement.account
    if engagement.terms is None:
        return ()
    before, signed_at = account.version, account.amended_at
    kept = _take_back(engagement) if again else before
    account.version = kept
    while account.version < account.known_version and _sign(engagement, account.version + 1):
        account.version += 1
    account.amended_at = max((_since(engagement, version + 1) for version in _amended(engagement)), default=None)
    if kept == account.version == before and account.amended_at == signed_at:
        return ()
    engagement.load_terms()
    note_due(engagement)
    time_and_materials.recount(engagement, amended=True)
    posting.recount(engagement)
    latest = min(account.known_version, max(account.version + 1, before))
    first = min(kept + 1, latest)  # at least one: where only the signatures' date changed, days may not have come
    return tuple(Place(AMENDMENT, str(version)) for version in range(first, latest + 1))


def _amended(engagement: Engagement) -> range:
    """The versions in force that are amendments."""
    return range(engagement.account.first_version + 1, engagement.account.version + 1)


def _sign(engagement: Engagement, version: int) -> bool:
    """Whether a version whose predecessor is in force is signed; then the document that is signed is its contract."""
    place = Place(AMENDMENT, str(version))
    part, found = engagement.occurrence(place), submitted(engagement, place)
    accepted = [(found.accepted[-1][0], "100")] if found.level > 0 else []
    if part.accepted != accepted:
        part.accepted = accepted
        engagement.save_occurrence(place, part)
    if accepted:
        contract = engagement.staged.load(_signed(engagement, version, found), Contract)
        engagement.staged.save(contract_key(engagement.name, version), contract)
    return bool(accepted)


def _signed(engagement: Engagement, version: int, found: Assessment) -> bytes:
    """Where the document is that the signatures of a version are for."""
    part = engagement.occurrence(Place(AMENDMENT, str(version)))
    claims = [found.governing is not None and claim is found.governing.report for claim in part.reports]
    return proposal_key(engagement.name, version, claims.index(True) + 1)


def _take_back(engagement: Engagement) -> int:
    """The last version that is still signed, by the same claim as before; those after it are void."""
    account = engagement.account
    for version in _amended(engagement):
        found = submitted(engagement, Place(AMENDMENT, str(version)))
        document = engagement.version(version)
        if found.level > 0 and engagement.staged.raw(_signed(engagement, version, found)) == document:
            _sign(engagement, version)  # if on another day
            continue
        for gone in range(version, account.version + 1):
            place = Place(AMENDMENT, str(gone))
            account.void += 1
            contract = engagement.staged.load(contract_key(engagement.name, gone), Contract)
            engagement.staged.save(void_key(engagement.name, account.void), contract)
            part = engagement.occurrence(place)
            part.accepted = []
            engagement.save_occurrence(place, part)
        account.caught_up_version = min(account.caught_up_version, version - 1)
        return version - 1
    return account.version


def note_due(engagement: Engagement) -> None:
    """Enter what only a tick brings: the dates of gates and releases, and the day the newest version begins."""
    for instant, milestone in engagement.agreed.due:
        repeats = (
            milestone in engagement.agreed.milestones and engagement.agreed.milestones[milestone].repeats != "none"
        )
        if instant > engagement.last_tick and not repeats:  # an occurrence enters its own when it is known
            engagement.staged.save(due_key(instant, engagement.name, Place(milestone)), b"")
    newest = engagement.agreed.versions[-1]
    if len(engagement.agreed.versions) > 1 and newest.since > engagement.last_tick:
        place = Place(AMENDMENT, str(newest.contract.version))
        engagement.staged.save(due_key(newest.since, engagement.name, place), b"")
    settlement.schedule(engagement)


def submitted(engagement: Engagement, place: Place) -> Assessment:
    """What follows from the claims and signatures of a version; nothing while its predecessor is not in force.

    Of several claims a later one counts once the one before it was rejected or timed out, by then.
    """
    claims = engagement.occurrence(place).reports
    taken, found = claims[:1], _assessed(engagement, place, claims[:1])
    for later in claims[1:]:
        last = found.submissions[-1] if found.submissions else None
        ended_at = last.ended_at if last is not None and last.end in (REJECTED, TIMED_OUT) else None
        if ended_at is not None and later.at > ended_at:
            taken = [*taken, later]
            found = _assessed(engagement, place, taken)
    return found


def _assessed(engagement: Engagement, place: Place, claims: list[Report]) -> Assessment:
    version = int(place.occurrence or "")
    before = engagement.up_to(min(version - 1, engagement.account.version))
    assert before is not None
    newest = before.versions[-1]
    in_turn = version <= engagement.account.version + 1
    return assess(
        newest.signable[AMENDMENT],
        newest.policies[AMENDMENT],
        place.occurrence,
        before.holds_role,
        Every((During(((_since(engagement, version), END_OF_TIME),) if in_turn else ()), Completed())),
        Every(()),
        claims,
        _decisions(engagement, version),
        Agreed(0, before.rounding),
        engagement.clock(place),
        engagement.until,
    )


def _since(engagement: Engagement, version: int) -> int:
    """From when on a version is up for signing: the one before it is in force."""
    accepted = engagement.occurrence(Place(AMENDMENT, str(version - 1))).accepted
    return accepted[-1][0] if accepted else -END_OF_TIME


def _decisions(engagement: Engagement, version: int) -> list[Decision]:
    """Those that name the version, and those that name none and are dated after the version before was signed."""
    since = _since(engagement, version)
    common = engagement.occurrence(Place(AMENDMENT)).decisions
    named = engagement.occurrence(Place(AMENDMENT, str(version))).decisions
    return named + [decision for decision in common if decision.at > since]


def addressed(engagement: Engagement, event: ApprovalDecision) -> Place:
    """The version that a decision is for: the one that it names, else the one that was up for signing at its date."""
    if event.occurrence_id is not None:
        return Place(AMENDMENT, event.occurrence_id)
    first, latest = engagement.account.first_version + 1, engagement.account.version + 1
    versions = [version for version in range(first + 1, latest + 1) if _since(engagement, version) < event.decided_at]
    return Place(AMENDMENT, str(max(versions, default=first)))


def open_to(engagement: Engagement, event: ApprovalDecision) -> bool:
    """Whether a decision can be for a version that is not in force yet, or ever was signed by it."""
    version = event.occurrence_id
    if version is not None:
        return version.isdecimal() and int(version) > engagement.account.first_version
    account = engagement.account
    return account.known_version > account.version or engagement.agreed.signable[AMENDMENT].approval is not None


def number_of(engagement: Engagement, place: Place, cause: str) -> int | None:
    """Which of the decisions on a version one is; None while the version is not up for signing."""
    version = int(place.occurrence or "")
    if not engagement.account.first_version < version <= engagement.account.version + 1:
        return None
    if version > engagement.account.known_version:
        return None
    causes = [decision.cause for decision in _decisions(engagement, version)]
    return causes.index(cause) if cause in causes else None


def proposed(engagement: Engagement, place: Place) -> bool:
    """Whether the place is a version that is in force or up for signing."""
    version, account = place.occurrence or "", engagement.account
    latest = min(account.known_version, account.version + 1)
    return version.isdecimal() and account.first_version < int(version) <= latest


def state(engagement: Engagement, place: Place, part: Occurrence, found: Assessment, parked: list[str]) -> None:
    """State where an amendment stands, if that changed; `parked` are the names of what waits for it."""
    contract = engagement.agreed.contract
    waits = [number for number, outcome in found.outcomes.items() if outcome == WAITING]
    decisions = _decisions(engagement, int(place.occurrence or "")) if waits else []
    last = found.submissions[-1] if found.submissions else None
    status = MilestoneStatus(
        engagement_id=engagement.name,
        milestone_id=AMENDMENT,
        occurrence_id=place.occurrence,
        state=lifecycle.derive(found, False, True, False),
        completion="100",
        billed_completion="0",
        missing=tuple(unsigned(engagement, found, "amendment")) if found.level < 100 else (),
        parked=(*(f"SUBMISSION_WAITING {decisions[number].cause}" for number in waits), *parked),
        at_stake_minor=0,
        currency=contract.currency,
        currency_exponent=contract.currency_exponent,
        submission=last.number if last else 0,
        planned_on=None,
        reported_at=last.report.at if last and last.report else None,
        submitted_at=last.opened_at if last else None,
        accepted_at=found.accepted_at,
        billed_at=None,
        disputed_minor=0,
    )
    digest = say(engagement, status, part.status_digest)
    if digest != part.status_digest:
        part.status_digest = digest
        engagement.save_occurrence(place, part)
