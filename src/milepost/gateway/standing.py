"""How an approval link stands: may it still be used, and if not, what happened and where it goes on.

The ledger says what became of the request. It is a moment behind the join, so that a decision may still come too late;
the join, which the decision's submission and hash are sent to, has the last word.
"""

from dataclasses import dataclass

from milepost.core.outputs import ApprovalRequest, MilestoneStatus
from milepost.core.terms import Terms
from milepost.gateway.doors import Doors
from milepost.gateway.terms import terms_in_force
from milepost.sql.links import Link
from milepost.sql.occurrences import ASKING, Occurrences, latest

__all__ = ["Standing", "standing_of"]

# What the newest request of a step says, in the words below.
_ENDS = {"GRANTED": "GRANTED", "DEEMED": "DEEMED", "REJECTED": "REJECTED", "EXPIRED": "TIMED_OUT"}


@dataclass(frozen=True)
class Standing:
    """A link, and the occurrence that it is about, at an instant.

    `state`: OPEN (may be used), DECIDED (was used), EXPIRED (the link, by its age), UNKNOWN (the ledger has not heard
    of the request yet), GRANTED, DEEMED, REJECTED, TIMED_OUT (how the step or the submission ended), SUPERSEDED,
    NOT_IN_ROLE (the person holds the role no more).

    `asked` is the newest request that asked for this step, `steps` the newest request of each step of the submission;
    `successor` the open request of a later submission that asks the same person in the same role.
    """

    link: Link
    at: int
    state: str
    asked: ApprovalRequest | None
    steps: dict[int, ApprovalRequest]
    successor: ApprovalRequest | None
    status: MilestoneStatus | None
    terms: Terms | None
    billed_minor: int


def standing_of(doors: Doors, link: Link, now: int) -> Standing:
    """How a link stands at an instant of the engagement's time. Blocks. Raises `UnavailableError`."""
    place = (link.engagement_id, link.milestone_id, link.occurrence_id)
    known = Occurrences(doors.engine)
    requests = known.requests(*place)
    own = [one for one in requests if (one.submission, one.submission_hash) == (link.submission, link.submission_hash)]
    asked = [one for one in own if one.step == link.step and one.kind in ASKING]
    steps = {step: one for (_, step), one in sorted(latest(own).items())}
    terms = terms_in_force(doors.engine, link.engagement_id, now)
    expired = link.expires_at <= doors.now()
    state = _state(link, now, expired, steps, bool(asked), terms)
    return Standing(
        link=link,
        at=now,
        state=state,
        asked=asked[-1] if asked else None,
        steps=steps,
        # Only for a link that could have been used: one that was, or is too old, opens nothing further.
        successor=None if state in ("OPEN", "DECIDED", "EXPIRED", "NOT_IN_ROLE") else _successor(link, requests),
        status=known.status(*place),
        terms=terms,
        billed_minor=known.billed_minor(*place),
    )


def _state(
    link: Link, now: int, expired: bool, steps: dict[int, ApprovalRequest], asked: bool, terms: Terms | None
) -> str:
    if link.decided_at is not None:
        return "DECIDED"
    if expired:
        return "EXPIRED"
    if not asked:
        return "UNKNOWN"
    kind = steps[link.step].kind
    if kind in ASKING:
        held = terms is None or terms.holds_role(link.person, link.role, now)
        return "OPEN" if held else "NOT_IN_ROLE"
    if kind in _ENDS:
        return _ENDS[kind]
    # A step that was taken back with its submission: the step that ended it says how.
    ended = {one.kind for one in steps.values()}
    return next((_ENDS[end] for end in ("REJECTED", "EXPIRED") if end in ended), "SUPERSEDED")


def _successor(link: Link, requests: list[ApprovalRequest]) -> ApprovalRequest | None:
    """The same role and the same person, asked for what came after."""
    later = [
        one
        for one in latest(requests).values()
        if one.kind in ASKING
        and one.role == link.role
        and link.person in one.people
        and one.submission >= link.submission
        and (one.submission, one.submission_hash) != (link.submission, link.submission_hash)
    ]
    return max(later, key=lambda one: (one.submission, -one.step), default=None)
