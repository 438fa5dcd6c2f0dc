"""The final sign-off: since when it is in effect, and what it waits for (rule 23)."""

from milepost.core import lifecycle, settlement
from milepost.core.calendar import END_OF_TIME, instant_text, local_date
from milepost.core.claims import Assessment
from milepost.core.engagement import Engagement
from milepost.core.entitlement import WAITING
from milepost.core.facts import Place
from milepost.core.outputs import MilestoneStatus, Missing
from milepost.core.rules import moments, spans
from milepost.core.rules.retention import held_now
from milepost.core.signing import SIGNOFF, over
from milepost.core.statuses import say, unsigned

__all__ = ["date_signoff", "signoff_status"]


def date_signoff(engagement: Engagement, found: Assessment) -> bool:
    """Note since when the sign-off is in effect, by what follows from its claims; whether that changed.

    A correction that is dated later does not undo it; a late fact that undoes an acceptance does.
    """
    account = engagement.account
    before = account.signoff_at
    claim = found.governing or (found.submissions[-1] if found.submissions else None)
    account.signoff_at = found.accepted_at
    if claim is None or claim.report is None:
        return account.signoff_at != before
    account.signed_off_at = claim.report.at
    account.signoff_submission = claim.number
    signed = {decision.cause for _, decision in claim.ballot.signatures.values()}
    silent = {f"tick:{instant_text(tick)}" for tick in claim.ballot.ticks()}
    account.signoff_causes = tuple(sorted({claim.report.cause, *signed, *silent}))
    return account.signoff_at != before


def signoff_status(engagement: Engagement, found: Assessment | None, parked: list[str]) -> None:
    """State where the final sign-off stands, once somebody signed off (or signed for it, or too early).

    `found` is None when the event did not concern it: then it is in effect, or nobody signed off yet, and the decisions
    that wait are those that waited before.
    """
    account, contract = engagement.account, engagement.agreed.contract
    if found is not None:
        waits = [place for place, outcome in found.outcomes.items() if outcome == WAITING]
        decisions = engagement.occurrence(SIGNOFF).decisions if waits else []
        account.signoff_waits = tuple(decisions[place].cause for place in waits)
    if account.signed_off_at is None and not (account.signoff_waits or parked or account.signoff_digest):
        return
    early = [f"SUBMISSION_WAITING {cause}" for cause in account.signoff_waits]
    if account.signoff_at is not None:
        state = "ACCEPTED"
    else:
        state = "PENDING" if found is None else lifecycle.derive(found, False, True, False)
    claimed = account.signed_off_at is not None
    status = MilestoneStatus(
        engagement_id=engagement.name,
        milestone_id=SIGNOFF.milestone,
        occurrence_id=None,
        state=state,
        completion="100" if claimed else "0",
        billed_completion="0",
        missing=_missing(engagement, found) if claimed else (),
        parked=tuple(early + parked),
        at_stake_minor=account.held_minor - account.released_minor,
        currency=contract.currency,
        currency_exponent=contract.currency_exponent,
        submission=account.signoff_submission,
        planned_on=None,
        reported_at=account.signed_off_at,
        submitted_at=account.signed_off_at,
        accepted_at=account.signoff_at,
        billed_at=None,
        disputed_minor=0,
    )
    account.signoff_digest = say(engagement, status, account.signoff_digest)


def _missing(engagement: Engagement, found: Assessment | None) -> tuple[Missing, ...]:
    account, terms = engagement.account, engagement.agreed
    if account.signoff_at is not None:
        return _owed(engagement, account.signoff_at)
    missing = [] if found is None else unsigned(engagement, found, "sign-off")
    terminated = account.terminated_at is not None
    for name in terms.awaited:
        if not spans.holds(over(engagement.occurrence(Place(name)).accepted, terminated), END_OF_TIME - 1):
            detail = f"{terms.milestones[name].name} is not accepted"
            missing.append(Missing(gate=f"milestone:{name}", detail=detail, since=None))
    return tuple(missing)


def _owed(engagement: Engagement, signoff_at: int) -> tuple[Missing, ...]:
    """What keeps the rest of what is held from being paid out: a suspension, disputes, days to come."""
    account, terms = engagement.account, engagement.agreed
    rules = terms.contract.retention.release if terms.contract.retention else ()
    if not held_now(account) or not rules:
        return ()
    missing: list[Missing] = []
    if account.suspended:
        missing.append(Missing(gate="suspended", detail="the engagement is suspended", since=None))
    if account.disputes_open:
        detail = f"disputes that are open: {account.disputes_open}"
        missing.append(Missing(gate="disputes", detail=detail, since=None))
    come = {due.rule.id for due in settlement.fired(engagement)}
    for rule in rules:
        at = moments.planned(rule.when, signoff_at, terms.zone)
        if rule.id not in come and at is not None:
            day = local_date(at, terms.zone)
            detail = f"{rule.share} % of what is held is released on {day}"
            missing.append(Missing(gate=f"release:{rule.id}", detail=detail, since=None))
    return tuple(missing)
