"""Disputes of lines (rule 25): while one is open releases wait; one that is upheld credits, and lowers for good."""

import msgspec
from msgspec.structs import replace

from milepost.core.contract import Milestone
from milepost.core.engagement import Engagement
from milepost.core.events import DisputeEvent
from milepost.core.facts import LineFacts, Owed, Place, line_key
from milepost.core.hourly_lines import month_status
from milepost.core.hours import Month, Tally, month_key, tallied
from milepost.core.ids import escape
from milepost.core.lines import draft
from milepost.core.outputs import InvoiceLine
from milepost.core.posting import post, subject_of

__all__ = ["credit_hours", "credit_milestone", "take"]


class Dispute(msgspec.Struct, array_like=True):
    """What was said of one line under one dispute's id; the last event by its time decides where it stands."""

    kind: str = ""
    at: int = 0
    amount_minor: int = 0  # in dispute while it is open
    said: list[tuple[int, str, int | None]] = []


def take(engagement: Engagement, event: DisputeEvent) -> tuple[str, str | None, tuple[Place, ...]]:
    """Take what was said of a line: what became of it, why, and the occurrence that it concerns."""
    line = engagement.staged.load(line_key(engagement.name, event.line_id), LineFacts)
    if line is None:
        return "PARKED", "UNKNOWN_LINE", ()
    key = f"{engagement.name}/dispute/{escape(event.dispute_id)}/{escape(event.line_id)}".encode()
    dispute = engagement.staged.load(key, Dispute) or Dispute()
    said = (event.occurred_at, event.kind, event.amount_minor)
    if said in dispute.said:
        return "REFUSED", "DUPLICATE", ()
    if dispute.kind and event.occurred_at < dispute.at:
        return "REFUSED", "SUPERSEDED", ()
    if "OPENED" not in (event.kind, dispute.kind) and (dispute.kind or event.kind != "UPHELD"):
        return "REFUSED", "NOT_OPEN", ()  # only UPHELD needs no OPENED before it
    was_open = dispute.amount_minor if dispute.kind == "OPENED" else 0
    amount = 0
    if event.kind in ("OPENED", "UPHELD"):
        amount = _amount(event, line, dispute)
        if line.uncredited_minor <= 0 or amount > line.uncredited_minor:
            return "REFUSED", "AMOUNT_TOO_HIGH", ()
    opened, opens = dispute.kind == "OPENED", event.kind == "OPENED"
    dispute.kind, dispute.at = event.kind, event.occurred_at
    dispute.amount_minor = amount if opens else 0
    dispute.said.append(said)
    engagement.staged.save(key, dispute)
    engagement.account.disputes_open += opens - opened
    _disputed(engagement, event, line, (amount if opens else 0) - was_open, 0 if opens else amount)
    return "APPLIED", None, (Place(line.milestone, line.occurrence),)


def _amount(event: DisputeEvent, line: LineFacts, dispute: Dispute) -> int:
    """The gross that an event is about: null means all that was in dispute, or all that is left of the line."""
    if event.amount_minor is not None:
        return event.amount_minor
    left = line.uncredited_minor
    return min(dispute.amount_minor, left) if event.kind == "UPHELD" and dispute.kind == "OPENED" else left


def _disputed(engagement: Engagement, event: DisputeEvent, line: LineFacts, change: int, upheld: int) -> None:
    """Note on the line's occurrence what is in dispute now, and what is to be credited."""
    place = Place(line.milestone, line.occurrence)
    part = engagement.occurrence(place) if place.milestone else tallied(engagement, place.occurrence or "")
    part.disputed_minor += change
    if upheld:
        line.credited_minor += upheld
        engagement.staged.save(line_key(engagement.name, event.line_id), line)
        part.owed.append(
            Owed(event.dispute_id, event.line_id, line.effect, event.occurred_at, upheld, engagement.cause)
        )
        if not isinstance(part, Month):
            part.taken.append((event.occurred_at, upheld))
    if isinstance(part, Month):
        engagement.staged.save(month_key(engagement.name, place.occurrence or ""), part)
    else:
        engagement.save_occurrence(place, part)


def credit_milestone(engagement: Engagement, place: Place, completion: str) -> None:
    """Raise the credits that an occurrence of a milestone owes."""
    part = engagement.occurrence(place)
    owed, part.owed = part.owed, []
    definition = engagement.agreed.milestones[place.milestone]
    for item in owed:
        gross = -min(item.amount_minor, part.billed_minor)
        if not gross:
            continue
        subject = subject_of(engagement, True, part.billed_minor, part.subject_minor, gross, item.at)
        part.dispute_lines[item.dispute] = part.dispute_lines.get(item.dispute, 0) + 1
        revision = part.dispute_lines[item.dispute]
        line = _line(engagement, place, item, gross, revision, definition.name, definition, completion)
        part.billed_minor += gross
        part.subject_minor += subject
        post(engagement, place, f"dispute:{item.dispute}", line, subject, ("fee", part.lines))


def credit_hours(engagement: Engagement, month: str) -> None:
    """Raise the credits that a month of hours owes, and state what is disputed of it."""
    part = tallied(engagement, month)
    place = Place("", month)
    if not engagement.account.suspended:
        owed, part.owed = part.owed, []
        for item in owed:
            tally = next(t for t in part.tallies if f"tm:{t.meter}:{t.price}" == item.effect)
            _credit_tally(engagement, place, part, tally, item)
    terms = engagement.agreed.at(engagement.last_tick).contract.time_and_materials
    over = sum(tally.over_minor for tally in part.tallies)
    month_status(engagement, month, part, over, terms.not_to_exceed_minor if terms else None)
    engagement.staged.save(month_key(engagement.name, month), part)


def _credit_tally(engagement: Engagement, place: Place, part: Month, tally: Tally, item: Owed) -> None:
    gross = -min(item.amount_minor, max(0, tally.billed_minor))
    tally.taken.append((item.at, item.amount_minor))
    if not gross:
        return
    subject = subject_of(engagement, True, tally.billed_minor, tally.subject_minor, gross, item.at)
    part.disputes[item.dispute] = part.disputes.get(item.dispute, 0) + 1
    name = f"{tally.meter}, {place.occurrence}"
    line = _line(engagement, place, item, gross, part.disputes[item.dispute], name)
    tally.billed_minor += gross
    tally.subject_minor += subject
    post(engagement, place, f"dispute:{item.dispute}", line, subject, (item.effect, tally.lines))


def _line(
    engagement: Engagement,
    place: Place,
    item: Owed,
    gross: int,
    revision: int,
    name: str,
    milestone: Milestone | None = None,
    completion: str = "100",
) -> InvoiceLine:
    """The credit of an upheld dispute; `name`: what was disputed."""
    contract, effect = engagement.agreed.contract, f"dispute:{item.dispute}"
    line = draft(
        contract,
        place,
        effect,
        revision,
        kind="ADJUSTMENT",
        gross=gross,
        at=item.at,
        milestone=milestone,
        completion=completion,
    )
    return replace(
        line,
        description=f"{name} (dispute {item.dispute} upheld)",
        corrects_line_id=item.line_id,
        caused_by=(item.cause,),
        evidence=engagement.evidence() if item.cause == engagement.cause else (),
    )
