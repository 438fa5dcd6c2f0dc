"""A line is entered into the books: what it withholds, the account's totals, and what a dispute must know of it.

Whoever raises a line (a fee's difference, hours, a dispute, a clawback) decides its gross and what of it is subject to
retention; everything else about money happens here, the same for all.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from milepost.core.engagement import Engagement
from milepost.core.facts import LineFacts, Place, line_key, lines_of
from milepost.core.holds import hold, take_back
from milepost.core.outputs import InvoiceLine, RetentionEvent
from milepost.core.rules import retention

__all__ = ["corrected", "credit", "note", "post", "raise_retention", "recount", "subject_of"]


def subject_of(engagement: Engagement, subject: bool, billed: int, subject_billed: int, gross: int, at: int) -> int:
    """How much of a line's gross retention is computed from.

    `subject`: whether the contract withholds from such lines; `billed` and `subject_billed`: to date. What was accepted
    after the sign-off is not subject (rule 23); a credit takes that part back first. Nothing is withheld from less than
    nothing: what hours took back beyond what was billed is made up for first.
    """
    beyond = billed - subject_billed
    if gross < 0:
        return max(min(0, gross + beyond), -subject_billed)
    signed_off = engagement.account.signoff_at
    late = signed_off is not None and at > signed_off
    return 0 if late or not subject else max(0, gross + min(0, beyond))


def post(
    engagement: Engagement,
    place: Place,
    effect: str,
    line: InvoiceLine,
    subject: int,
    charges: tuple[str, int],
) -> InvoiceLine:
    """Raise a line whose retention is still to be computed, from `subject` of its gross; returns it complete.

    `charges`: the effect and the last revision of the lines that a credit takes from.
    """
    account = engagement.account
    parts = _taken(engagement, place, line, -subject, *charges) if subject < 0 else _added(engagement, line, subject)
    retained = retention.change(account, engagement.agreed, parts) if parts else 0
    line = replace(line, retained_minor=retained, payable_minor=line.gross_minor - retained)
    account.gross_minor += line.gross_minor
    account.payable_minor += line.payable_minor
    account.subject_minor += subject
    account.subject_by = retention.together(account.subject_by, parts)
    account.held_minor += retained
    engagement.outputs.append(line)
    engagement.audit("LINE", line.kind, line.line_id)
    note(engagement, place, effect, line, max(subject, 0))
    if retained:
        _withhold(engagement, place, effect, line, retained)
    return line


def _added(engagement: Engagement, line: InvoiceLine, subject: int) -> dict[int, int]:
    """What a charge adds to what is subject to retention, by the version in whose time it was accepted."""
    return {engagement.agreed.withholding(line.accepted_at).contract.version: subject} if subject else {}


def _taken(
    engagement: Engagement, place: Place, line: InvoiceLine, subject: int, effect: str, revision: int
) -> dict[int, int]:
    """The same of a credit, which takes from the charge that it corrects, then from the others, the latest first."""
    parts: dict[int, int] = {}
    for key in _charges(engagement, place, line, effect, revision):
        charge = engagement.staged.load(key, LineFacts)
        if charge is not None and charge.subject_minor > 0:
            taken = min(subject, charge.subject_minor)
            charge.subject_minor -= taken
            subject -= taken
            version = engagement.agreed.withholding(charge.accepted_at).contract.version
            parts[version] = parts.get(version, 0) - taken
            engagement.staged.save(key, charge)
        if not subject:
            break
    return parts


def _charges(engagement: Engagement, place: Place, line: InvoiceLine, effect: str, revision: int) -> Iterator[bytes]:
    if line.corrects_line_id is not None:
        yield line_key(engagement.name, line.corrects_line_id)
    for number in range(revision, 0, -1):
        yield line_key(engagement.name, place.identify("line", engagement.name, effect, number))


def recount(engagement: Engagement) -> None:
    """Count anew in the time of which version gross was accepted: an amendment may govern what was billed before it."""
    found: dict[int, int] = {}
    for key in engagement.staged.keys(*lines_of(engagement.name)):
        line = engagement.staged.load(key, LineFacts)
        if line is not None and line.subject_minor:
            version = engagement.agreed.withholding(line.accepted_at).contract.version
            found[version] = found.get(version, 0) + line.subject_minor
    engagement.account.subject_by = found


def note(engagement: Engagement, place: Place, effect: str, line: InvoiceLine, subject: int = 0) -> None:
    """Keep what a dispute, a credit or an amendment must know of a line."""
    facts = LineFacts(place.milestone, place.occurrence, effect, line.revision, line.gross_minor, line.accepted_at)
    facts.subject_minor = subject
    engagement.staged.save(line_key(engagement.name, line.line_id), facts)


def credit(engagement: Engagement, place: Place, effect: str, revision: int, amount: int) -> None:
    """Note on the charges of an effect, the latest (`revision`) first, that `amount` of them was credited."""
    while amount > 0 and revision > 0:
        key = line_key(engagement.name, place.identify("line", engagement.name, effect, revision))
        charge = engagement.staged.load(key, LineFacts)
        if charge is not None and charge.uncredited_minor > 0:
            taken = min(amount, charge.uncredited_minor)
            charge.credited_minor += taken
            amount -= taken
            engagement.staged.save(key, charge)
        revision -= 1


def corrected(engagement: Engagement, place: Place, effect: str, latest: int) -> str | None:
    """The id of the line that a credit of the effect corrects: the latest charge of which something is left.

    `latest`: the revision of the last charge, 0 if there was none. Where nothing is left of any, the last one is named.
    """
    for revision in range(latest, 0, -1):
        line = place.identify("line", engagement.name, effect, revision)
        charge = engagement.staged.load(line_key(engagement.name, line), LineFacts)
        if charge is not None and charge.uncredited_minor > 0:
            return line
    return place.identify("line", engagement.name, effect, latest) if latest else None


def _withhold(engagement: Engagement, place: Place, effect: str, line: InvoiceLine, retained: int) -> None:
    identity = place.identify("retention", engagement.name, effect, line.revision)
    if retained > 0:
        hold(engagement, place, identity, retained, line.accepted_at)
    else:
        take_back(engagement, place, -retained)
    raise_retention(engagement, identity, line, "HELD" if retained > 0 else "REDUCED", abs(retained))


def raise_retention(
    engagement: Engagement,
    identity: str,
    line: InvoiceLine,
    kind: str,
    amount_minor: int,
    release_id: str | None = None,
    releases: tuple[str, ...] = (),
) -> None:
    """State what a line withheld, reduced or paid out; `amount_minor` is positive."""
    engagement.outputs.append(
        RetentionEvent(
            retention_event_id=identity,
            engagement_id=engagement.name,
            milestone_id=line.milestone_id,
            occurrence_id=line.occurrence_id,
            kind=kind,
            amount_minor=amount_minor,
            balance_minor=retention.held_now(engagement.account),
            currency=line.currency,
            currency_exponent=line.currency_exponent,
            line_id=line.line_id,
            release_id=release_id,
            releases=releases,
            occurred_at=line.accepted_at,
        )
    )
    engagement.audit("RETENTION", kind, line.line_id)
