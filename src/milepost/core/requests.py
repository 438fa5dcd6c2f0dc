"""What signers are asked, and how it ended: each change of a step of a submission, said once."""

from milepost.core.engagement import Engagement
from milepost.core.entitlement import Assessment, Submission
from milepost.core.events import Evidence
from milepost.core.facts import Occurrence, Place
from milepost.core.outputs import ApprovalRequest
from milepost.core.signing import is_signable

__all__ = ["request"]


def request(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> bool:
    """State what changed since it was said last; False if nothing did."""
    said = len(engagement.outputs)
    for submission in found.submissions:
        for step in range(len(submission.ballot.granted)):
            key = f"{submission.number}.{step + 1}"
            before = part.requests.get(key, "")
            open_now = submission.alive and (engagement.account.terminated_at is None or is_signable(place))
            kind = _kind(submission, step, before, open_now)
            if kind is not None and before != f"{kind} {submission.content}":
                _say(engagement, place, part, submission, step, kind)
    _take_back(engagement, place, part, found)
    return len(engagement.outputs) > said


def _kind(submission: Submission, step: int, before: str, open_now: bool) -> str | None:
    """What is to be said of a step now; None for what nobody was asked."""
    ballot = submission.ballot
    if submission.end == "REJECTED" and ballot.rejected_step == step:
        return "REJECTED"
    if ballot.granted[step] is not None:
        return "GRANTED"
    if open_now:
        return "REQUESTED" if step in ballot.open_steps() else None
    return "SUPERSEDED" if before.startswith(("REQUESTED", "GRANTED")) else before.partition(" ")[0] or None


def _say(engagement: Engagement, place: Place, part: Occurrence, submission: Submission, step: int, kind: str) -> None:
    terms = engagement.agreed
    role = terms.policies[place.milestone].steps[step].role
    people = terms.contract.people.get(role, ())
    _raise(
        engagement,
        place,
        part,
        f"{submission.number}.{step + 1}",
        kind,
        submission.content,
        people=tuple(p.id for p in people if terms.holds_role(p.id, role, submission.opened_at)),
        gross_minor=submission.gross,
        evidence=submission.report.evidence if submission.report else (),
    )


def _take_back(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> None:
    """A late fact can undo a submission that somebody was asked to sign: say that it is superseded."""
    for key, said in list(part.requests.items()):
        kind, _, content = said.partition(" ")
        if int(key.partition(".")[0]) > len(found.submissions) and kind in ("REQUESTED", "GRANTED"):
            _raise(engagement, place, part, key, "SUPERSEDED", content)


def _raise(
    engagement: Engagement,
    place: Place,
    part: Occurrence,
    key: str,
    kind: str,
    content: str,
    people: tuple[str, ...] = (),
    gross_minor: int = 0,
    evidence: tuple[Evidence, ...] = (),
) -> None:
    """Say `kind` of the step `key` ("submission.step") of the submission with that content."""
    terms, effect = engagement.agreed, f"{key}.{kind}"
    number, step = (int(text) for text in key.split("."))
    revision = part.request_counts[effect] = part.request_counts.get(effect, 0) + 1
    part.requests[key] = f"{kind} {content}"
    engagement.outputs.append(
        ApprovalRequest(
            request_id=place.identify("request", engagement.name, effect, revision),
            engagement_id=engagement.name,
            milestone_id=place.milestone,
            occurrence_id=place.occurrence,
            submission=number,
            submission_hash=content,
            step=step,
            role=terms.policies[place.milestone].steps[step - 1].role,
            people=people,
            kind=kind,
            due_at=None,
            gross_minor=gross_minor,
            currency=terms.contract.currency,
            currency_exponent=terms.contract.currency_exponent,
            criteria=terms.signable[place.milestone].criteria,
            evidence=evidence,
        )
    )
