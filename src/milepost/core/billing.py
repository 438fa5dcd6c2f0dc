"""Entitled less billed to date: the difference becomes a line, and what it withholds a retention event (rules 4, 5)."""

from msgspec.structs import replace

from milepost.core import money
from milepost.core.calendar import local_date
from milepost.core.claims import Assessment, percent_text
from milepost.core.clawing import claw, clawed
from milepost.core.contract import Milestone
from milepost.core.disputes import credit_milestone
from milepost.core.engagement import Engagement
from milepost.core.facts import Occurrence, Place
from milepost.core.lines import draft
from milepost.core.outputs import InvoiceLine
from milepost.core.posting import corrected, credit, post, subject_of
from milepost.core.pricing import NO_BASIS
from milepost.core.proof import prove
from milepost.core.rules import kpis
from milepost.core.rules.fees import Price

__all__ = ["bill", "entitled", "taken"]


def entitled(engagement: Engagement, place: Place, found: Assessment) -> int:
    """The gross that what is accepted is worth, in minor units, less what disputes and clawbacks took of it."""
    part = engagement.occurrence(place)
    return max(0, found.gross - part.clawed_minor - taken(engagement, part))


def taken(engagement: Engagement, part: Occurrence) -> int:
    """What disputes took, for good (rule 18); what is dated after the termination counts for nothing."""
    return sum(amount for at, amount in part.taken if at <= engagement.until)


def bill(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> bool:
    """Raise the lines that bring the occurrence from billed to entitled; False if there is no difference."""
    fires = clawed(engagement, place, part, found)
    took = sum(fire.amount_minor for fire in fires)
    # late facts can make less of a clawback, or nothing: that is part of the difference that they make
    part.clawed_minor = min(part.clawed_minor, took)
    if part.owed:
        credit_milestone(engagement, place, percent_text(found.level))
    billed = _difference(engagement, place, part, found)
    if took > part.clawed_minor:
        part.clawed_minor = took
        gross = entitled(engagement, place, found) - part.billed_minor
        if gross:
            part.lines += 1
            line = _line(engagement, place, part, found, "CLAWBACK", gross, fires[-1].at)
            claw(engagement, place, part, line, fires[-1], gross)
            return True
    return billed


def _difference(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> bool:
    completion = percent_text(found.level)
    gross = entitled(engagement, place, found) - part.billed_minor
    if gross == 0:
        part.billed_completion = completion
        return False
    terms = engagement.governing(place, found)
    definition = terms.milestones[place.milestone]
    period = kpis.placed(found.basis.value, terms.zone) if found.basis.value else None
    corrected = bool(found.accepted) and found.governing is None
    # a credit that a correction brought is dated like it; one that a late fact brought, like the fact
    at = (found.accepted_at if gross > 0 or corrected else None) or engagement.at
    withheld = engagement.agreed.withholding(at).subject(definition)
    subject = subject_of(engagement, withheld, part.billed_minor, part.subject_minor, gross, at)
    kind = _kind(part, found, gross, period)
    part.lines += 1
    line = _line(engagement, place, part, found, kind, gross, at)
    post(engagement, place, "fee", line, subject, ("fee", part.lines))
    if gross > 0:
        part.charge_revision = part.lines
    else:
        credit(engagement, place, "fee", part.lines - 1, -gross)
    part.billed_minor += gross
    part.subject_minor += subject
    part.billed_completion, part.billed_period = completion, period
    part.billed_acceptance = found.governing.accepted_at if found.governing else None
    part.billed_at = max(at, engagement.at)  # what closed the last gate may have arrived before the rest
    return True


def _kind(part: Occurrence, found: Assessment, gross: int, period: tuple[int, int] | None) -> str:
    """MILESTONE for what came about or grew, REVERSAL for what is brought to zero, ADJUSTMENT for the rest."""
    if gross < 0:
        return "ADJUSTMENT" if part.billed_minor + gross else "REVERSAL"
    came_about = part.billed_minor == 0 and found.basis != NO_BASIS
    newer = period is not None and part.billed_period is not None and period > part.billed_period
    grown = found.level > money.percent(part.billed_completion)
    return "MILESTONE" if grown or came_about or newer else "ADJUSTMENT"


def _line(
    engagement: Engagement,
    place: Place,
    part: Occurrence,
    found: Assessment,
    kind: str,
    gross: int,
    at: int,
) -> InvoiceLine:
    contract = engagement.governing(place, found).contract
    definition = next(m for m in contract.milestones if m.id == place.milestone)
    price = _price(found)
    proof = prove(engagement, place, part, found, gross, at)
    completion = percent_text(found.level)
    line = draft(
        contract, place, "fee", part.lines, kind=kind, gross=gross, at=at, milestone=definition, completion=completion
    )
    attributes = {**line.attributes, **proof.attributes}
    if price is not None:
        attributes.update(payer_id=price.payer)
        attributes.update({} if price.procedure is None else {"procedure_code": price.procedure})
    since = line.service_to
    if gross > 0 and found.governing is not None:
        report = found.governing.report
        since = min(since, local_date(report.at if report else found.governing.opened_at, contract.timezone))
    return replace(
        line,
        description=_description(definition, part, found, kind),
        service_from=since,
        due_after=price.due_after if price else None,
        corrects_line_id=corrected(engagement, place, "fee", part.charge_revision) if gross < 0 else None,
        caused_by=proof.caused_by,
        evidence=proof.evidence,
        attributes=attributes,
    )


def _description(definition: Milestone, part: Occurrence, found: Assessment, kind: str) -> str:
    if kind == "MILESTONE" and found.level == 100 and part.billed_minor == 0:
        return definition.name
    if kind == "REVERSAL":
        return f"{definition.name} (reversed)"
    if percent_text(found.level) == part.billed_completion:
        return f"{definition.name} ({'to date' if kind == 'MILESTONE' else 'adjusted'})"
    word = "" if kind == "MILESTONE" else "adjusted "
    return f"{definition.name} ({word}to {percent_text(found.level)} %)"


def _price(found: Assessment) -> Price | None:
    """What the rate card paid for what is accepted, or, where nothing is any more, for what was accepted last."""
    accepted = (s.basis for s in reversed(found.submissions) if s.accepted_at is not None)
    basis = next((b for b in (found.basis, *accepted) if b.shares), NO_BASIS)
    return basis.shares[-1].price if basis.shares else None
