"""A line's amounts, step by step, computed again from the lines before it and from the terms."""

from collections.abc import Sequence
from fractions import Fraction

from milepost.core import money
from milepost.core.contract import Contract, Milestone
from milepost.core.outputs import InvoiceLine, RetentionEvent
from milepost.core.rules import retention
from milepost.core.terms import Terms

__all__ = ["charge_steps", "retention_steps"]


def charge_steps(line: InvoiceLine, before: Sequence[InvoiceLine], contract: Contract | None) -> list[str]:
    """Entitled to date, less billed to date, is the line; `before` are the engagement's earlier lines."""
    billed = sum(_gross(one) for one in before if _belongs(one, line))
    entitled = billed + line.gross_minor
    steps = _worth(line, entitled, contract)
    steps.append(f"entitled to date {_show(line, entitled)} - billed before {_show(line, billed)}")
    return [*steps, f"= gross {_show(line, line.gross_minor)}"]


def _belongs(one: InvoiceLine, line: InvoiceLine) -> bool:
    same = (one.milestone_id, one.occurrence_id) == (line.milestone_id, line.occurrence_id)
    if line.kind == "TIME_AND_MATERIALS":
        return same and one.description == line.description
    return same and one.kind != "RETENTION_RELEASE"


def _gross(line: InvoiceLine) -> int:
    return line.gross_minor


def _worth(line: InvoiceLine, entitled: int, contract: Contract | None) -> list[str]:
    """How the entitled amount follows from the fee, where the terms show it."""
    if contract is None or contract.version != line.contract_version or line.milestone_id is None:
        return _measured(line)
    terms = Terms(contract)
    fee = terms.fees.get(line.milestone_id)
    if fee is None or money.percentage_of(fee, money.percent(line.completion), terms.rounding) != entitled:
        return _measured(line)
    exact = Fraction(fee) * money.ratio(line.completion) / 100
    rounded = "" if exact.denominator == 1 else f", rounded {terms.rounding.replace('_', ' ')}"
    return [
        *_measured(line),
        f"fee {_show(line, fee)} x {line.completion} % accepted = {_show(line, entitled)}{rounded}",
    ]


def _measured(line: InvoiceLine) -> list[str]:
    found = line.attributes
    steps = []
    if "kpi_id" in found:
        revision = found.get("kpi_revision", "1")
        steps.append(f"{found['kpi_id']} was {found.get('kpi_value', '?')} (revision {revision})")
    if "payer_id" in found or "procedure_code" in found:
        steps.append(f"payer {found.get('payer_id', '-')}, procedure {found.get('procedure_code', '-')}")
    if "confirmation_id" in found:
        steps.append(f"confirmed as {found['confirmation_id']}")
    if line.kind == "TIME_AND_MATERIALS":
        steps.append(f"{line.quantity} {line.unit_code} at {line.unit_price} {line.currency}")
    return steps


def retention_steps(
    line: InvoiceLine, before: Sequence[InvoiceLine], events: Sequence[RetentionEvent], contract: Contract | None
) -> list[str]:
    """What the line withholds, gives back or pays out, and the balance after it."""
    event = next((one for one in events if one.line_id == line.line_id), None)
    held = sum(one.retained_minor for one in before if one.kind != "RETENTION_RELEASE")
    if event is None:
        cap = Terms(contract).cap_minor(contract.value_minor) if contract is not None else None
        why = f": the cap of {_show(line, cap)} is reached" if cap is not None and held >= cap else ""
        return [f"nothing is withheld from it{why}"]
    balance = f"balance {_show(line, event.balance_minor)}"
    if event.kind == "RELEASED":
        named = f"{len(event.releases)} holds" if len(event.releases) != 1 else "one hold"
        return [f"released {_show(line, event.amount_minor)} by rule {event.release_id}, of {named}; {balance}"]
    steps = _target(line, before, held, contract)
    word = "withheld" if event.kind == "HELD" else "given back"
    return [*steps, f"{word} {_show(line, event.amount_minor)}; {balance}"]


def _target(line: InvoiceLine, before: Sequence[InvoiceLine], held: int, contract: Contract | None) -> list[str]:
    """Rate x gross to date - held to date, if that gives what was withheld (no sign-off yet)."""
    if contract is None or contract.retention is None:
        return []
    terms = Terms(contract)
    definitions = {one.id: one for one in contract.milestones}
    lines = [one for one in (*before, line) if _subject(terms, definitions.get(one.milestone_id or ""))]
    subject = sum(one.gross_minor for one in lines)
    # an explanation has this version only; where a cap is of an earlier one's value, the numbers do not meet
    target = retention.target(terms, {contract.version: subject}, contract.value_minor)
    if target - held != line.retained_minor:
        return []
    cap = terms.cap_minor(contract.value_minor)
    most = f", at most {_show(line, cap)}" if cap is not None and target == cap else ""
    steps = "".join(f", {step.rate} % above {step.from_percent_billed} %" for step in contract.retention.step_down)
    share = f"{contract.retention.rate} %{steps} of {_show(line, subject)} gross to date"
    return [f"{share}{most} = {_show(line, target)}, held to date {_show(line, held)}"]


def _subject(terms: Terms, definition: Milestone | None) -> bool:
    return definition is not None and terms.subject(definition)


def _show(line: InvoiceLine, minor: int) -> str:
    return f"{money.format_minor(minor, line.currency_exponent)} {line.currency}"
