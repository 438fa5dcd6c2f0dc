"""Whether a decision still has something to decide, as far as the ledger knows: said before anything is sent.

The ledger is a moment behind; the join, which the decision names its submission to, has the last word. What the ledger
has not heard of is let through: signatures may overtake the report that they are for.
"""

from typing import Any

from milepost.core.events import ApprovalDecision
from milepost.core.outputs import ApprovalRequest
from milepost.gateway.problems import Problem
from milepost.sql.engine import Engine
from milepost.sql.occurrences import ASKING, Occurrences, latest

__all__ = ["look"]

_ENDS = {
    "GRANTED": ("ALREADY_GRANTED", "everybody who was asked has signed it"),
    "DEEMED": ("TIMED_OUT", "nobody decided in time, and the contract takes it as accepted"),
    "EXPIRED": ("TIMED_OUT", "nobody decided in time"),
    "REJECTED": ("ALREADY_REJECTED", "it was rejected"),
    "SUPERSEDED": ("SUPERSEDED", "something newer was submitted in its place"),
}


def look(engine: Engine, event: ApprovalDecision) -> None:
    """Raises `Problem` 409 where nothing is left to decide, with the submission that is open instead; 403 for one who
    was not asked. Blocks; raises `UnavailableError`."""
    requests = Occurrences(engine).requests(event.engagement_id, event.milestone_id, event.occurrence_id)
    # Of each step the newest word; a role may be asked in several, and by an escalation.
    newest = list(latest(requests).values())
    asking = [one for one in newest if one.kind in ASKING]
    named = [one for one in newest if _names(event, one)]
    if not named:
        stale = [one for one in newest if event.submission == one.submission]
        if not stale:
            return
        # its number is known, and what was looked at was something else
        raise _nothing_left(event, "STALE_SUBMISSION", stale, asking, "it says something else than this hash")
    mine = [one for one in named if one.role == event.role and one.kind in ASKING]
    if mine and not any(event.approver in one.people for one in mine):
        people = ", ".join(sorted({person for one in mine for person in one.people}))
        raise Problem(403, "NOT_ASKED", "Not allowed", f"{event.role} is asked of {people}, not of {event.approver}")
    # While a step is open, an early signature, or one in a role that comes later, is for the join to judge.
    if mine or event.decision == "WITHDRAWN" or any(one.kind in ASKING for one in named):
        return
    ended = max(named, key=lambda one: (one.submission, one.step))
    code, why = _ENDS.get(ended.kind, ("SUPERSEDED", "it is no longer open"))
    raise _nothing_left(event, code, named, asking, why)


def _nothing_left(
    event: ApprovalDecision, code: str, named: list[ApprovalRequest], asking: list[ApprovalRequest], why: str
) -> Problem:
    ended = max(one.submission for one in named)
    following = max(asking, key=lambda one: (one.submission, -one.step), default=None)
    return Problem(
        409,
        code,
        "Nothing to decide",
        f"submission {ended} of {event.milestone_id} takes no more decisions: {why}"
        + (f"; submission {following.submission} is open" if following is not None else ""),
        extra=_open(following),
    )


def _names(event: ApprovalDecision, one: ApprovalRequest) -> bool:
    """Whether a decision is about a request's submission; one that names none is about what is open, or was last."""
    if event.submission is not None and event.submission != one.submission:
        return False
    return event.submission_hash is None or event.submission_hash == one.submission_hash


def _open(following: ApprovalRequest | None) -> dict[str, Any]:
    if following is None:
        return {}
    place = f"/v1/engagements/{following.engagement_id}/requests?milestone_id={following.milestone_id}"
    return {
        "open": {
            "submission": following.submission,
            "submission_hash": following.submission_hash,
            "role": following.role,
            "people": list(following.people),
            "href": place,
        }
    }
