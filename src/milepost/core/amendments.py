"""An amendment from its arrival to the moment it is in force: what refuses it, who signs it, what follows it.

It is the claim of `@amendment`, one occurrence a version. The policy is that of the version before, and a version is
put up for signing when the one before it is in force. A version that is in force stays so.
"""

from milepost.core import lifecycle, posting, settlement, time_and_materials
from milepost.core.calendar import END_OF_TIME
from milepost.core.claims import REJECTED, TIMED_OUT, Assessment
from milepost.core.contract import Completed, Contract
from milepost.core.engagement import Engagement
from milepost.core.entitlement import WAITING, assess
from milepost.core.events import ApprovalDecision, EngagementEvent
from milepost.core.facts import Decision, Occurrence, Place, contract_key, due_key
from milepost.core.gates import During, Every
from milepost.core.outputs import MilestoneStatus
from milepost.core.pricing import Agreed
from milepost.core.signing import DUPLICATE, claim, opened
from milepost.core.statuses import say, unsigned
from milepost.core.terms import AMENDMENT, compiled

__all__ = ["INVALID", "advance", "note_due", "number_of", "open_to", "propose", "state", "submitted"]

INVALID = "AMENDMENT_INVALID"


def propose(engagement: Engagement, event: EngagementEvent) -> tuple[str | None, str]:
    """Take the next version: (None, ""), or the reason why not and, for INVALID, what is wrong with it."""
    account, contract = engagement.account, event.terms
    if contract is None:
        return INVALID, "contract: null found, the whole next contract as JSON text expected"
    wrong = _wrong(engagement, contract)
    if wrong:
        return INVALID, wrong
    if account.terminated_at is not None and event.occurred_at > account.terminated_at:
        return "ENGAGEMENT_CLOSED", ""
    place = Place(AMENDMENT, str(contract.version))
    again = contract.version <= account.known_version
    if again and not _again(engagement, contract.version):
        if contract.version > account.version and contract == compiled(engagement.version(contract.version)).contract:
            claim(engagement, place, event)  # a rejection dated before it may be on its way
        return DUPLICATE, ""
    if contract.version > account.known_version + 1:
        return INVALID, (
            f"contract.version: {contract.version} found, {account.known_version + 1} expected; "
            f"version {account.known_version} is the last one known, send those between first"
        )
    if engagement.at < engagement.agreed.starts_at:
        return "OUTSIDE_WINDOW", ""
    if not claim(engagement, place, event):
        return DUPLICATE, ""
    reason = opened(engagement, submitted(engagement, place)) if again else None
    if reason is None:
        engagement.staged.save(contract_key(engagement.name, contract.version), contract)
        account.known_version = max(account.known_version, contract.version)  # a later one may wait for this one
    return reason, ""


def _wrong(engagement: Engagement, contract: Contract) -> str:
    """What refuses the document, in words; nothing for one that can be signed."""
    agreed = engagement.agreed.contract
    if contract.engagement != engagement.name:
        return f"contract.engagement: {contract.engagement!r} found, {engagement.name!r} expected (engagement_id)"
    if contract.currency != agreed.currency:
        return (
            f"contract.currency: {contract.currency!r} found, {agreed.currency!r} expected; "
            "an engagement keeps its currency, open another one"
        )
    if contract.version > engagement.account.known_version and contract.amendment is None:
        return (
            "contract.amendment: is missing; add amendment: {mode: prospective | catch_up | separate, from: DATE}, "
            "there is no default"
        )
    return ""


def _again(engagement: Engagement, version: int) -> bool:
    """Whether a version that was put up for signing was rejected or timed out, so that it may be sent again."""
    if version != engagement.account.version + 1:
        return False
    submissions = submitted(engagement, Place(AMENDMENT, str(version))).submissions
    return bool(submissions) and submissions[-1].end in (REJECTED, TIMED_OUT)


def advance(engagement: Engagement) -> tuple[Place, ...]:
    """Put every version in force that is signed now, in turn: those, and the one that is up for signing then."""
    account = engagement.account
    moved: list[Place] = []
    if engagement.terms is None:
        return ()
    while account.version < account.known_version:
        place = Place(AMENDMENT, str(account.version + 1))
        found = submitted(engagement, place)
        if found.level == 0:
            return (*moved, place) if moved else ()
        part = engagement.occurrence(place)
        part.accepted = [(found.accepted[-1][0], "100")]
        engagement.save_occurrence(place, part)
        account.version += 1
        account.amended_at = max(part.accepted[0][0], account.amended_at or part.accepted[0][0])
        engagement.load_terms()
        note_due(engagement)
        time_and_materials.recount(engagement, amended=True)
        posting.recount(engagement)
        moved.append(place)
    return tuple(moved)


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
    """What follows from the signatures of a version whose predecessor is in force."""
    version = int(place.occurrence or "")
    before = compiled(engagement.version(version - 1))
    since = _since(engagement, version)
    in_turn = During(((since, END_OF_TIME),))
    return assess(
        before.signable[AMENDMENT],
        before.policies[AMENDMENT],
        place.occurrence,
        engagement.agreed.holds_role,
        Every((in_turn, Completed())),
        Every(()),
        engagement.occurrence(place).reports,
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
    before = compiled(engagement.version(int(place.occurrence or "") - 1))
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
        currency=before.contract.currency,
        currency_exponent=before.contract.currency_exponent,
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
