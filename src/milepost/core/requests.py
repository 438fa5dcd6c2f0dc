"""What signers are asked, and how it ended: each change of a step of a submission, said once."""

from milepost.core.calendar import END_OF_TIME
from milepost.core.claims import Assessment, Submission
from milepost.core.engagement import Engagement
from milepost.core.events import ClockTick, Evidence
from milepost.core.facts import Occurrence, Place, Timer
from milepost.core.outputs import ApprovalRequest
from milepost.core.timeouts import asked, awaits, passed_reminders

__all__ = ["request"]

# What stands until something else is said; the rest is an end.
_ASKED = ("REQUESTED", "ESCALATED")
_OPEN = (*_ASKED, "GRANTED", "DEEMED")
_DUE = ("REQUESTED", "REMINDED", "ESCALATED", "DEEMED", "EXPIRED")  # is, or was, due at a time


def request(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> bool:
    """State what changed since it was said last; False if nothing did."""
    said = len(engagement.outputs)
    for submission in found.submissions:
        for step in range(len(submission.ballot.granted)):
            key = f"{submission.number}.{step + 1}"
            before = part.requests.get(key, "")
            open_now = submission.alive and awaits(engagement, place)
            if submission.alive and not open_now and submission.ballot.key(step) not in part.timers:
                _time(engagement, part, submission, step)  # nobody is asked, but its deadline counts from now on
            kind, role = _kind(submission, step, before, open_now), submission.ballot.steps()[step].role
            stage = submission.ballot.stage(step) if kind == "ESCALATED" else 0
            mark = submission.ballot.mark(step) + (f":{stage}" if stage > 1 else "")
            words = f"{kind}{mark} {submission.content} {role}"
            # an amendment that came to be known later may give a step the deadline that it was asked for without
            timed = kind != "REQUESTED" or not _timed(submission, step) or submission.ballot.key(step) in part.timers
            if kind is not None and not (before == words and timed):
                if before.startswith(_ASKED) and _role(before) != role:
                    # an amendment gave the step to another role
                    _say(engagement, place, part, submission, step, "SUPERSEDED", _role(before))
                if kind == "REQUESTED":
                    _time(engagement, part, submission, step)
                _say(engagement, place, part, submission, step, kind)
                part.requests[key] = words
    _take_back(engagement, place, part, found)
    kept = len(part.timers)
    for submission in found.submissions:
        for key in submission.ballot.past(not submission.alive):
            # what was never asked has its time as well, or each tick would move a deadline that is over
            part.timers.setdefault(key, Timer(engagement.last_tick))
    if isinstance(engagement.received.event, ClockTick) and not engagement.account.suspended:
        _remind(engagement, place, part, found)
    return len(engagement.outputs) > said or len(part.timers) > kept


def _time(engagement: Engagement, part: Occurrence, submission: Submission, step: int) -> None:
    """What a request's deadline and reminders count from is decided when it is raised, and stays."""
    if _timed(submission, step):
        part.timers[submission.ballot.key(step)] = Timer(engagement.last_tick)


def _timed(submission: Submission, step: int) -> bool:
    """Whether a step has a deadline or reminders."""
    terms = submission.ballot.steps()[step]
    return terms.within is not None or terms.remind_every is not None


def _kind(submission: Submission, step: int, before: str, open_now: bool) -> str | None:
    """What is to be said of a step now; None for what nobody was asked."""
    ballot = submission.ballot
    if submission.end == "REJECTED" and ballot.rejected_step == step:
        return "REJECTED"
    if submission.end == "TIMED_OUT" and ballot.expired_step == step:
        return "EXPIRED"
    if ballot.granted[step] is not None and ballot.exists[step]:
        return "DEEMED" if ballot.deemed(step) else "GRANTED"
    if open_now and ballot.exists[step]:
        if step in ballot.open_steps():
            return "ESCALATED" if ballot.stage(step) else "REQUESTED"
        return "SUPERSEDED" if before.startswith(_OPEN) else None
    return "SUPERSEDED" if before.startswith(_OPEN) else before.partition(" ")[0].partition("@")[0] or None


def _say(
    engagement: Engagement,
    place: Place,
    part: Occurrence,
    submission: Submission,
    step: int,
    kind: str,
    asked_before: str | None = None,
) -> None:
    """Say `kind` of a step to its role, or to the one that was asked before."""
    ballot = submission.ballot
    roles = ballot.roles(step)
    role = asked_before or (roles[-1] if kind == "ESCALATED" else roles[0])
    due = ballot.deadline(step)
    _raise(
        engagement,
        place,
        part,
        f"{submission.number}.{step + 1}",
        kind,
        submission.content,
        role,
        criteria=submission.criteria,
        people=engagement.agreed.holders(role, _since(engagement, submission, step, kind)),
        due_at=due if due is not None and due < END_OF_TIME and kind in _DUE else None,
        gross_minor=submission.gross,
        evidence=submission.report.evidence if submission.report else (),
    )


def _since(engagement: Engagement, submission: Submission, step: int, kind: str) -> int:
    """The instant of a request, whose people it names: when it was asked for, or signed, or ended."""
    ballot = submission.ballot
    signed = ballot.granted[step]
    if kind == "GRANTED" and signed is not None:
        return signed
    if kind == "REJECTED" and submission.ended_at is not None:
        return submission.ended_at
    opening = ballot.opening(step)
    return max(submission.opened_at if opening is None else opening, engagement.last_tick)


def _role(said: str) -> str:
    """The step's role when it was said last."""
    return said.split(" ", 2)[2]


def _remind(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> None:
    """One reminder of what is open, however many came due since the last tick."""
    for submission, step in asked(engagement, place, found):
        timer = part.timers.get(submission.ballot.key(step))
        if timer is None:
            continue
        passed = passed_reminders(part, submission, step, engagement.last_tick)
        if passed > timer.reminded:
            timer.reminded = passed
            _say(engagement, place, part, submission, step, "REMINDED")


def _take_back(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> None:
    """Say that a request is superseded where a late fact undid its submission, or an amendment its step."""
    for key, said in list(part.requests.items()):
        number, step = (int(text) for text in key.split("."))
        if not said.startswith(_OPEN):
            continue
        undone = number > len(found.submissions)
        if undone or step > len(found.submissions[number - 1].ballot.steps()):
            content, role = said.split(" ", 2)[1:]
            _raise(engagement, place, part, key, "SUPERSEDED", content, role)
            part.requests[key] = f"SUPERSEDED {content} {role}"
        if undone:
            part.timers = {known: timer for known, timer in part.timers.items() if not known.startswith(f"{key} ")}


def _raise(
    engagement: Engagement,
    place: Place,
    part: Occurrence,
    key: str,
    kind: str,
    content: str,
    role: str,
    criteria: str | None = None,
    people: tuple[str, ...] = (),
    due_at: int | None = None,
    gross_minor: int = 0,
    evidence: tuple[Evidence, ...] = (),
) -> None:
    """Say `kind` of the step `key` ("submission.step") of the submission with that content."""
    terms, effect = engagement.agreed, f"{key}.{kind}"
    number, step = (int(text) for text in key.split("."))
    revision = part.request_counts[effect] = part.request_counts.get(effect, 0) + 1
    engagement.outputs.append(
        ApprovalRequest(
            request_id=place.identify("request", engagement.name, effect, revision),
            engagement_id=engagement.name,
            milestone_id=place.milestone,
            occurrence_id=place.occurrence,
            submission=number,
            submission_hash=content,
            step=step,
            role=role,
            people=people,
            kind=kind,
            due_at=due_at,
            gross_minor=gross_minor,
            currency=terms.contract.currency,
            currency_exponent=terms.contract.currency_exponent,
            criteria=criteria,
            evidence=evidence,
        )
    )
