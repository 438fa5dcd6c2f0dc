"""A line's amounts, step by step, computed again from the lines before it and from the terms."""

from collections.abc import Sequence
from fractions import Fraction

from milepost.audit.told import Withheld, belongs
from milepost.audit.wording import amount
from milepost.core import money
from milepost.core.contract import Milestone
from milepost.core.outputs import InvoiceLine, RetentionEvent
from milepost.core.rules import retention
from milepost.core.terms import Terms

__all__ = ["charge_steps", "retention_steps"]


def charge_steps(line: InvoiceLine, before: Sequence[InvoiceLine], worth: Sequence[str]) -> list[str]:
    """Worth to date, less billed to date, is the line; `before` are the engagement's earlier lines.

    `worth`: how the amount to date comes about; where it is not known, what the line says of it is shown.
    """
    known = {one.line_id: one for one in before}
    billed = sum(one.gross_minor for one in before if belongs(one, line, known))
    steps = list(worth or _measured(line))
    steps.append(f"entitled to date {_show(line, billed + line.gross_minor)} - billed before {_show(line, billed)}")
    return [*steps, f"= gross {_show(line, line.gross_minor)}"]


def _measured(line: InvoiceLine) -> list[str]:
    found = line.attributes
    steps = []
    if "kpi_id" in found:
        revision = found.get("kpi_revision", "1")
        steps.append(f"{found['kpi_id']} was {found.get('kpi_value', '?')} (revision {revision})")
    if "payer_id" in found or "procedure_code" in found:
        steps.append(f"payer {found.get('payer_id', '-')}, procedure {found.get('procedure_code', '-')}")
    if line.kind == "TIME_AND_MATERIALS":
        exact = money.ratio(line.quantity) * money.ratio(line.unit_price) * int(10**line.currency_exponent)
        rounded = abs(exact - line.gross_minor) <= Fraction(1, 2)
        worth = f" = {_show(line, line.gross_minor)}" if rounded else ""
        steps.append(f"{line.quantity} {line.unit_code} x {line.unit_price} {line.currency}{worth}")
        return [*steps, "the ledger keeps no entries of hours: explain with --contract and --events"]
    return [*steps, "the amount to date cannot be recomputed from what is at hand"]


def retention_steps(
    line: InvoiceLine,
    before: Sequence[InvoiceLine],
    events: Sequence[RetentionEvent],
    withheld: Withheld | None,
) -> list[str]:
    """What the line withholds, gives back or pays out, and the balance after it."""
    event = next((one for one in events if one.line_id == line.line_id), None)
    held = sum(one.retained_minor for one in before if one.kind != "RETENTION_RELEASE")
    if event is None:
        return [f"nothing is withheld from it{_why(line, held, withheld)}"]
    balance = f"balance {_show(line, event.balance_minor)}"
    if event.kind == "RELEASED":
        paid = f"{len(event.releases)} holds" if len(event.releases) != 1 else "one hold"
        return [f"released {_show(line, event.amount_minor)} by rule {event.release_id}, of {paid}; {balance}"]
    steps = [] if withheld is None else _target(line, before, held, withheld)
    word = "withheld" if event.kind == "HELD" else "given back"
    return [*steps, f"{word} {_show(line, event.amount_minor)}; {balance}"]


def _why(line: InvoiceLine, held: int, withheld: Withheld | None) -> str:
    """Why nothing is withheld, where the terms say it."""
    if withheld is None:
        return ""
    terms = withheld.terms
    governing = terms.withholding(line.accepted_at)
    if governing.contract.retention is None:
        return ": the contract agrees on no retention"
    if not _subject(line, governing, terms):
        return ": it is exempt from retention"
    if _late(line, withheld):
        return ": it was accepted after the sign-off"
    cap = terms.cap_minor(withheld.original_minor)
    return f": the cap of {_show(line, cap)} is reached" if cap is not None and held >= cap else ""


def _target(line: InvoiceLine, before: Sequence[InvoiceLine], held: int, withheld: Withheld) -> list[str]:
    """Rate x gross to date - held to date, if that gives what was withheld."""
    terms = withheld.terms
    lines = [
        one
        for one in (*before, line)
        if _subject(one, terms.withholding(one.accepted_at), terms) and not _late(one, withheld)
    ]
    subject: dict[int, int] = {}
    for one in lines:
        version = terms.withholding(one.accepted_at).contract.version
        subject[version] = subject.get(version, 0) + one.gross_minor
    target = retention.target(terms, subject, withheld.original_minor)
    held -= withheld.excess_minor
    released = -sum(one.retained_minor for one in before if one.kind == "RETENTION_RELEASE")
    least = -(held + withheld.excess_minor - released)  # never more than is held now
    bounded = min(target - held, 0) if line.gross_minor < 0 else target - held
    if max(bounded, least) != line.retained_minor:
        return []
    cap = terms.cap_minor(withheld.original_minor)
    most = f", at most the cap of {_show(line, cap)}" if cap is not None and target == cap else ""
    rates = " + ".join(
        f"{_rates(version)} of {_show(line, subject[version.contract.version])}"
        for version in terms.versions
        if version.contract.version in subject
    )
    steps = [f"{rates or 'nothing of'} gross to date{most} = {_show(line, target)}, held to date {_show(line, held)}"]
    if bounded < least:
        steps.append(f"no more than is held now: {_show(line, -least)}")
    return steps


def _rates(version: Terms) -> str:
    agreed = version.contract.retention
    if agreed is None:
        return "0 %"
    return f"{agreed.rate} %" + "".join(
        f", {step.rate} % above {step.from_percent_billed} %" for step in agreed.step_down
    )


def _late(line: InvoiceLine, withheld: Withheld) -> bool:
    return withheld.signoff_at is not None and line.gross_minor > 0 and line.accepted_at > withheld.signoff_at


def _subject(line: InvoiceLine, governing: Terms, terms: Terms) -> bool:
    """Whether retention is withheld from the line; hours, and what disputes credit of them, have no milestone."""
    if line.kind == "RETENTION_RELEASE":
        return False
    if line.milestone_id is None:
        return not governing.exempts("time_and_materials")
    definition: Milestone | None = governing.milestones.get(line.milestone_id) or terms.milestones.get(
        line.milestone_id
    )
    return definition is not None and governing.subject(definition)


def _show(line: InvoiceLine, minor: int) -> str:
    return amount(minor, line.currency_exponent, line.currency)
