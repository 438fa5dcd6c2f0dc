"""The engagement's own submissions: the final sign-off and an amendment go before signers like a milestone.

Each is a pseudo milestone: its claims are reports, its policy the contract's, its facts an `Occurrence`. So numbers,
hashes, early and late signatures, rejections and separation of duties are those of any submission (rules 13 to 15).
"""

from milepost.core import gates
from milepost.core.calendar import END_OF_TIME
from milepost.core.claims import Assessment, Regime
from milepost.core.engagement import Engagement
from milepost.core.entitlement import assess
from milepost.core.events import EngagementEvent
from milepost.core.facts import Place, Report
from milepost.core.pricing import Agreed
from milepost.core.rules import spans
from milepost.core.rules.spans import Span
from milepost.core.terms import AMENDMENT, SIGNOFF_NAME

__all__ = ["DUPLICATE", "SIGNOFF", "SUPERSEDED", "claim", "is_signable", "opened", "over", "submitted"]

SIGNOFF = Place(SIGNOFF_NAME)

DUPLICATE, SUPERSEDED = "DUPLICATE", "SUPERSEDED"


def is_signable(place: Place) -> bool:
    """Whether the place is one of the engagement's own: never billed, never reported on by a milestone's name."""
    return place.milestone in (SIGNOFF_NAME, AMENDMENT)


def claim(engagement: Engagement, place: Place, event: EngagementEvent) -> bool:
    """Keep the event as a claim; False if it was sent before.

    One dated before the last is not kept: it opens nothing (`opened`).
    """
    part = engagement.occurrence(place)
    report = Report(event.occurred_at, "REPORTED", "100", engagement.cause, event.actor, event.evidence)
    if any((r.at, r.reported_by, r.evidence) == (report.at, event.actor, event.evidence) for r in part.reports):
        return False
    if not part.reports or report.at >= part.reports[-1].at:
        part.reports.append(report)
        engagement.save_occurrence(place, part)
    return True


def opened(engagement: Engagement, found: Assessment) -> str | None:
    """None if the claim that is being folded opened a submission; else why it changes nothing.

    It is DUPLICATE while another one stands, and SUPERSEDED if it is older than one that was rejected.
    """
    own: int | None = None
    for place, submission in enumerate(found.submissions):
        if submission.report is not None and submission.report.cause == engagement.cause:
            own = place
    earlier = found.submissions[:own]
    if any(s.accepted_at is not None or (s.alive and s.ballot.complete) for s in earlier):
        return DUPLICATE
    if own is not None:
        return None
    last = found.submissions[-1] if found.submissions else None
    return DUPLICATE if last is None or last.alive else SUPERSEDED


def submitted(engagement: Engagement, place: Place) -> Assessment:
    """What follows from the claims on `place` and their signatures; the sign-off also waits for milestones."""
    terms, part = engagement.agreed, engagement.occurrence(place)
    awaited = _all_over(engagement) if place == SIGNOFF else spans.ALWAYS
    name = place.milestone
    first, *later = (Regime(r.since, r.terms.signable[name], r.terms.policies[name]) for r in terms.reigns)
    return assess(
        first.milestone,
        first.policy,
        place.occurrence,
        terms.holds_role,
        gates.resolve(first.milestone.requires, lambda _: spans.ALWAYS),
        gates.During(awaited),
        part.reports,
        part.decisions,
        Agreed(0, terms.rounding),
        engagement.clock(place),
        END_OF_TIME,  # who ends an engagement early still signs it off
        later,
    )


def _all_over(engagement: Engagement) -> tuple[Span, ...]:
    """When every milestone that the sign-off waits for was wholly accepted, or cancelled for good."""
    found = spans.ALWAYS
    for milestone in engagement.agreed.awaited:
        accepted = engagement.occurrence(Place(milestone)).accepted
        found = spans.both(found, over(accepted, engagement.account.terminated_at is not None))
    return found


def over(accepted: list[tuple[int, str]], terminated: bool) -> tuple[Span, ...]:
    """When a milestone was wholly accepted, or cancelled and nothing more of it accepted later."""
    whole: list[Span] = []
    for i, (since, level) in enumerate(accepted):
        if level == "100":
            whole.append((since, accepted[i + 1][0] if i + 1 < len(accepted) else END_OF_TIME))
    if terminated and (not accepted or accepted[-1][1] != "100"):
        # nothing more of a cancelled milestone is accepted: over since what was accepted of it last
        whole.append((accepted[-1][0] if accepted else -END_OF_TIME, END_OF_TIME))
    return tuple(whole)
