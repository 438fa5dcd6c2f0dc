"""What the page behind an approval link shows, as texts; the template only places them."""

import difflib
import json
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from milepost.codec.json_forms import event_from_json
from milepost.contract.show import sections
from milepost.core.contract import Contract
from milepost.core.events import ApprovalDecision, Evidence
from milepost.core.outputs import ApprovalRequest
from milepost.core.terms import AMENDMENT, SIGNOFF_NAME
from milepost.gateway import wording
from milepost.gateway.deciding import certifiable, needed
from milepost.gateway.doors import Doors
from milepost.gateway.standing import Standing
from milepost.gateway.terms import compiled
from milepost.sql.evidence import used_in
from milepost.sql.links import Link
from milepost.sql.occurrences import ASKING, Occurrences
from milepost.sql.reading import LedgerReading

__all__ = ["Paper", "Receipt", "Signature", "View", "receipt_of", "view_of"]

_STEPS = {
    "REQUESTED": "waits for a signature",
    "REMINDED": "waits for a signature",
    "ESCALATED": "waits for a signature; the deadline passed and it went on to",
    "GRANTED": "signed",
    "DEEMED": "accepted by silence: the deadline passed without an answer",
    "REJECTED": "rejected",
    "EXPIRED": "timed out",
    "SUPERSEDED": "no longer asked",
}
# Of a long amendment, as much as fits a page; the whole of it is what the submission's hash is about.
_MAX_CHANGES = 200


@dataclass(frozen=True)
class Paper:
    """A piece of evidence: `here` can be downloaded by this link; else `address` is where it is kept, `site` whose."""

    name: str
    size: str
    media_type: str
    sha256: str
    here: bool
    address: str | None
    site: str | None


@dataclass(frozen=True)
class Signature:
    """One step of the policy: who may sign it, and whether somebody did."""

    number: int
    role: str
    people: str
    state: str
    own: bool
    decisions: list[str]


@dataclass(frozen=True)
class View:
    """Texts of the page. Amounts are None for what has none (the sign-off, an amendment)."""

    state: str
    engagement: str
    customer: str | None
    supplier: str | None
    purchase_order: str | None
    title: str
    milestone: str | None
    occurrence: str | None
    criteria: str | None
    completion: str | None
    to_date: str | None
    billed: str | None
    due_now: str | None
    retention: str | None
    submission: int
    submission_hash: str
    person: str
    role: str
    deadline: str | None
    overdue: bool
    expires: str
    papers: list[Paper]
    signatures: list[Signature]
    changes: list[tuple[str, str]]
    needed: tuple[str, ...]
    certifiable: tuple[str, ...] | None
    successor: int | None = None


@dataclass(frozen=True)
class Receipt:
    """What was decided by a link, and what came of it."""

    decision: str
    decided: str
    event_id: str
    event_sha256: str
    comment: str | None
    certified_completion: str | None
    papers: list[Paper]
    sent: bool
    outcome: str
    explanation: str


def view_of(doors: Doors, standing: Standing, now: int) -> View:
    """The page's texts. Blocks. Raises `UnavailableError`."""
    link, terms, asked = standing.link, standing.terms, standing.asked
    contract = terms.contract if terms is not None else None
    zone = contract.timezone if contract is not None else None
    definition = terms.signable.get(link.milestone_id) if terms is not None else None
    bills = not link.milestone_id.startswith("@")
    amounts = _amounts(standing, asked) if asked is not None and bills else (None, None, None)
    return View(
        state=standing.state,
        engagement=link.engagement_id,
        customer=(contract.customer_name or contract.customer_id) if contract is not None else None,
        supplier=(contract.supplier_name or contract.supplier_id) if contract is not None else None,
        purchase_order=contract.purchase_order if contract is not None else None,
        title=_title(link, definition.name if definition is not None else link.milestone_id),
        milestone=link.milestone_id if bills else None,
        occurrence=link.occurrence_id if bills else None,
        criteria=asked.criteria if asked is not None else None,
        completion=_claimed(standing) if bills else None,
        to_date=amounts[0],
        billed=amounts[1],
        due_now=amounts[2],
        retention=_retention(standing, contract) if bills else None,
        submission=link.submission,
        submission_hash=link.submission_hash,
        person=link.person,
        role=link.role,
        deadline=wording.deadline(asked.due_at, zone) if asked is not None else None,
        overdue=asked is not None and asked.due_at is not None and asked.due_at <= now,
        expires=wording.moment(link.expires_at, zone),
        papers=_papers(doors, link.engagement_id, asked.evidence if asked is not None else ()),
        signatures=_signatures(standing, _decisions(doors, link, zone)),
        changes=_changes(doors, link, contract) if link.milestone_id == AMENDMENT else [],
        needed=needed(standing),
        certifiable=certifiable(standing),
        successor=standing.successor.submission if standing.successor is not None else None,
    )


def _title(link: Link, name: str) -> str:
    if link.milestone_id == SIGNOFF_NAME:
        return "Final sign-off"
    if link.milestone_id == AMENDMENT:
        return f"Contract version {link.occurrence_id}"
    return name


def _claimed(standing: Standing) -> str | None:
    """What the submission claims, where that is known: requests do not say, and a status is of the report in force.

    That is the claim's own while the submission is open, and afterwards until something is reported or withdrawn.
    """
    status = standing.status
    if status is None or status.submission != standing.link.submission or status.reported_at is None:
        return None
    if standing.state != "OPEN" and status.reported_at > (status.submitted_at or 0):
        return None
    return f"{status.completion} %"


def _amounts(standing: Standing, asked: ApprovalRequest) -> tuple[str, str, str]:
    """Gross to date with this submission, billed so far, and the difference, which this submission is about."""
    exponent, currency = asked.currency_exponent, asked.currency
    billed_minor = standing.billed_minor
    return (
        wording.amount(asked.gross_minor, exponent, currency),
        wording.amount(billed_minor, exponent, currency),
        wording.amount(asked.gross_minor - billed_minor, exponent, currency),
    )


def _retention(standing: Standing, contract: Contract | None) -> str | None:
    terms = standing.terms
    if terms is None or contract is None:
        return None
    milestone = terms.milestones.get(standing.link.milestone_id)
    if milestone is None or not terms.subject(milestone) or contract.retention is None:
        return "nothing is withheld"
    steps = contract.retention.step_down
    rates = " or, later, ".join(f"{rate} %" for rate in (contract.retention.rate, *(step.rate for step in steps)))
    cap = ", up to a cap" if contract.retention.cap is not None else ""
    return f"{rates} of the line is withheld until it is released{cap}"


def _papers(doors: Doors, engagement: str, evidence: tuple[Evidence, ...]) -> list[Paper]:
    here = used_in(doors.engine, engagement, {piece.sha256.lower() for piece in evidence}) if evidence else {}
    return [_paper(piece, here=piece.sha256.lower() in here) for piece in evidence]


def _paper(piece: Evidence, *, here: bool) -> Paper:
    try:
        parts = urlsplit(piece.uri)
        # Whatever else an event names as an address is shown as text and leads nowhere.
        site = parts.hostname if parts.scheme == "https" else None
    except ValueError:
        site = None
    return Paper(
        name=piece.name,
        size=wording.size(piece.size_bytes),
        media_type=piece.media_type,
        sha256=piece.sha256.lower(),
        here=here,
        address=None if here else piece.uri,
        site=None if here else site,
    )


def _signatures(standing: Standing, decisions: dict[int, list[str]]) -> list[Signature]:
    link, terms = standing.link, standing.terms
    policy = terms.policies.get(link.milestone_id) if terms is not None else None
    roles = {number: step.role for number, step in enumerate(policy.steps, 1)} if policy is not None else {}
    found = []
    for number in sorted({*roles, *standing.steps}):
        request = standing.steps.get(number)
        state = _STEPS.get(request.kind, request.kind) if request is not None else "not asked yet"
        if request is not None and request.kind == "ESCALATED":
            state = f"{state} {request.role}"
        found.append(
            Signature(
                number=number,
                role=roles.get(number) or (request.role if request is not None else ""),
                people=", ".join(request.people) if request is not None and request.kind in ASKING else "",
                state=state,
                own=number == link.step,
                decisions=decisions.get(number, []),
            )
        )
    return found


def _decisions(doors: Doors, link: Link, zone: str | None) -> dict[int, list[str]]:
    """Who decided what on this submission, as far as it was by link, by step."""
    words = {"APPROVED": "approved", "REJECTED": "rejected"}
    found: dict[int, list[str]] = {}
    for one in doors.links.decided(link.engagement_id, link.milestone_id, link.occurrence_id):
        if one.submission == link.submission:
            said = f"{one.person} {words.get(one.decision or '', one.decision)} by link on "
            found.setdefault(one.step, []).append(said + wording.moment(one.decided_at or 0, zone))
    return found


def _changes(doors: Doors, link: Link, now: Contract | None) -> list[tuple[str, str]]:
    """What an amendment changes, as lines that go ("-") and come ("+") of the contract as `contract show` writes it."""
    texts = LedgerReading(doors.engine).contracts(link.engagement_id)
    version = link.occurrence_id or ""
    text = texts.get(int(version)) if version.isdecimal() else None
    proposed = compiled(text) if text is not None else None
    if proposed is None or now is None:
        return []
    found = [
        (line[0], line[1:].strip())
        for line in difflib.unified_diff(_lines(now), _lines(proposed.contract), n=0, lineterm="")
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    if len(found) > _MAX_CHANGES:
        return [*found[:_MAX_CHANGES], (" ", f"and {len(found) - _MAX_CHANGES} more lines")]
    return found


def _lines(contract: Contract) -> list[str]:
    return [
        f"{section.title}: " + ", ".join(cell for cell in row if cell)
        for section in sections(contract)[1:]
        for row in section.rows
    ] + [f"Contract: {', '.join(cell for cell in row if cell)}" for row in sections(contract)[0].rows]


def receipt_of(doors: Doors, standing: Standing) -> Receipt | None:
    """What was decided by the link; None while nothing was. Blocks. Raises `UnavailableError`."""
    link = standing.link
    if link.event is None:
        return None
    event = event_from_json("approvals", json.loads(link.event))
    assert isinstance(event, ApprovalDecision)
    zone = standing.terms.contract.timezone if standing.terms is not None else None
    entry = Occurrences(doors.engine).outcome(link.engagement_id, "approvals", event.event_id)
    word, explanation = wording.outcome(entry)
    return Receipt(
        decision=event.decision,
        decided=wording.moment(event.decided_at, zone),
        event_id=event.event_id,
        event_sha256=sha256(link.event.encode()).hexdigest(),
        comment=event.comment,
        certified_completion=event.certified_completion,
        papers=_papers(doors, link.engagement_id, event.evidence),
        sent=link.published_at is not None,
        outcome=word,
        explanation=explanation,
    )
