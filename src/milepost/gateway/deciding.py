"""A decision by link: from a form to an event that Kafka has, once, whatever is clicked twice or crashes.

1. The form is judged (`judge`), before anything is kept of the decision.
2. The decision is written into the link's row, as the event that will be sent (`decide`): of two at a time one is the
   decision. Its event id follows from the link and its time is in the row, so that every sending is the same event.
3. The event is accepted like any other: published, acknowledged. Only then is it said to be recorded.
4. The row is marked. What was cut off between 2 and 4 is sent again by the next click, or by `resend`.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from milepost.codec.json_forms import event_from_json, event_to_json
from milepost.core import money
from milepost.core.checks import check
from milepost.core.contract import Step
from milepost.core.events import ApprovalDecision, Evidence
from milepost.core.ids import canonical_json
from milepost.core.terms import is_to_date
from milepost.gateway.accepting import Incoming, accept
from milepost.gateway.doors import Doors
from milepost.gateway.problems import Problem
from milepost.gateway.standing import Standing
from milepost.observe import logs, metrics
from milepost.sql.links import Link

__all__ = ["DECISIONS", "SOURCE", "Judged", "certifiable", "decide", "event_of", "judge", "needed", "resend"]

SOURCE = "milepost/approvals"
DECISIONS = {"approve": "APPROVED", "reject": "REJECTED"}
"""What the form says, and what the event says."""

COMMENT_LENGTH = 4_000
_PERCENTAGE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?")
# The next click may be on its way; longer than any acknowledgement takes.
_RESENT_AFTER_US = 60_000_000

_log = logs.logger(__name__)


class Judged(NamedTuple):
    """A form that was read: the event to send, or what is wrong, by the field's name, for whoever filled it in."""

    event: ApprovalDecision | None
    faults: dict[str, str]


def needed(standing: Standing) -> tuple[str, ...]:
    """The names of the evidence that the link's step asks its signer for."""
    step = _step(standing)
    return step.evidence if step is not None else ()


def _step(standing: Standing) -> Step | None:
    terms, link = standing.terms, standing.link
    policy = terms.policies.get(link.milestone_id) if terms is not None else None
    steps = policy.steps if policy is not None else ()
    if not 0 < link.step <= len(steps):
        return None
    step = steps[link.step - 1]
    return step if link.role in (step.role, *(one.role for one in step.escalations)) else None


def certifiable(standing: Standing) -> tuple[str, ...] | None:
    """What completion may be certified instead of the claim: None: nothing less; (): any; else the tiers below it."""
    terms, status = standing.terms, standing.status
    milestone = terms.milestones.get(standing.link.milestone_id) if terms is not None else None
    if milestone is None or status is None or is_to_date(milestone):
        return None
    if milestone.partial_any:
        return ()
    below = tuple(tier for tier in milestone.tiers if money.percent(tier) < money.percent(status.completion))
    return below or None


def judge(standing: Standing, fields: Mapping[str, str], evidence: tuple[Evidence, ...], now: int) -> Judged:
    """The decision that a form says, dated now."""
    faults: dict[str, str] = {}
    decision = DECISIONS.get(fields.get("decision", ""))
    comment = fields.get("comment", "").replace("\r\n", "\n").strip()
    if decision is None:
        faults["decision"] = "Choose whether you approve or reject."
    if decision == "REJECTED" and not comment:
        faults["comment"] = "Say why you reject, so that it can be put right."
    if len(comment) > COMMENT_LENGTH:
        faults["comment"] = f"{len(comment)} characters; {COMMENT_LENGTH} at most."
    certified: str | None = None
    if decision == "APPROVED":
        certified, wrong = _certified(standing, fields.get("certified_completion", ""))
        if wrong is not None:
            faults["certified_completion"] = wrong
        names = {piece.name for piece in evidence}
        for name in needed(standing):
            if name not in names:
                faults[f"evidence:{name}"] = f"Attach {name}: the contract asks for it with your signature."
    if faults or decision is None:
        return Judged(None, faults)
    event = event_of(standing, decision, now, comment or None, certified, evidence)
    wrong = check(event)
    return Judged(event, {}) if wrong is None else Judged(None, {"comment": wrong})


def _certified(standing: Standing, text: str) -> tuple[str | None, str | None]:
    """The completion that is certified, None for all that is claimed; or what is wrong with it."""
    text, allowed = text.strip().removesuffix("%").strip().replace(",", "."), certifiable(standing)
    if not text:
        return None, None
    if allowed is None or standing.status is None:
        return None, "This milestone is approved whole or rejected."
    claimed = money.percent(standing.status.completion)
    share = money.percent(text) if _PERCENTAGE.fullmatch(text) else Decimal(-1)
    if not 0 < share <= claimed:
        return None, f"{text[:20]!r} is no percentage above 0 and up to the {claimed} % that is claimed."
    if share == claimed:
        return None, None
    if allowed and money.canonical(text) not in map(money.canonical, allowed):
        return None, f"{text} % does not bill; choose {' or '.join(allowed)} %, or leave it empty for all."
    return money.canonical(text), None


def event_of(
    standing: Standing,
    decision: str,
    now: int,
    comment: str | None,
    certified_completion: str | None,
    evidence: tuple[Evidence, ...],
) -> ApprovalDecision:
    """The event of a decision; its id follows from the link."""
    link, status = standing.link, standing.status
    opened = status.submitted_at if status is not None and status.submission == link.submission else None
    return ApprovalDecision(
        event_id=f"link-{link.link_id}",
        source=SOURCE,
        engagement_id=link.engagement_id,
        milestone_id=link.milestone_id,
        role=link.role,
        approver=link.person,
        decision="APPROVED" if decision == "APPROVED" else "REJECTED",
        # What is dated in the future opens then; who signs it already signs it as it opens.
        decided_at=max(now, opened or 0),
        occurrence_id=link.occurrence_id,
        submission=link.submission,
        submission_hash=link.submission_hash,
        certified_completion=certified_completion,
        comment=comment,
        evidence=evidence,
    )


async def decide(doors: Doors, link: Link, event: ApprovalDecision) -> Link:
    """Take the decision and send it, or send the one that was taken before; the link as it is then.

    Raises `UnavailableError` before anything is taken; `PublishError` after: the decision is kept, and sent again.
    """
    text = canonical_json(event_to_json(event)).decode()
    taken = await asyncio.to_thread(doors.links.decide, link.link_id, event.decision, text, doors.now())
    return await send(doors, taken)


async def send(doors: Doors, link: Link) -> Link:
    """Send what was decided by a link, if Kafka is not known to have it. Raises `PublishError`, `UnavailableError`."""
    if link.event is None or link.published_at is not None:
        return link
    event = event_from_json("approvals", json.loads(link.event))
    await accept(doors, [Incoming("approvals", event)])
    sent = await asyncio.to_thread(doors.links.published, link.link_id, doors.now())
    metrics.LINK_DECISIONS.labels((link.decision or "").lower()).inc()
    return sent


async def resend(doors: Doors) -> int:
    """Send decisions that were taken and are not known to be in Kafka; how many. Raises as `send` does.

    One that the gateway itself refuses keeps no other one waiting: somebody has to look at it.
    """
    sent = 0
    for link in await asyncio.to_thread(doors.links.unpublished, doors.now() - _RESENT_AFTER_US):
        try:
            await send(doors, link)
        except Problem as problem:
            _log.error("a decision cannot be sent", link_id=link.link_id, found=problem.detail)
            continue
        _log.info("a decision that was cut off on its way is sent", link_id=link.link_id)
        sent += 1
    return sent
