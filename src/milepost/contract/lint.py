"""What only the whole document shows about its money: sums of fees, and retention that comes back."""

from collections.abc import Collection, Sequence
from fractions import Fraction

from milepost.contract.findings import Findings
from milepost.contract.values import MAX_AMOUNT_MINOR, shown
from milepost.core import money
from milepost.core.contract import (
    EarlierOf,
    Fixed,
    LaterOf,
    Milestone,
    Moment,
    OnDate,
    PercentOfValue,
    Retention,
    Success,
)

__all__ = ["check_percentages", "check_retention", "check_total"]

MAX_TOTAL_MINOR = 10 * MAX_AMOUNT_MINOR

Milestones = Sequence[Milestone | None]


def check_total(findings: Findings, milestones: Milestones, value_minor: int | None) -> None:
    """All fees together have to fit into the amounts of the lines, with room for corrections."""
    fees = [milestone.fee for milestone in milestones if milestone is not None]
    shares = [fee.percent for fee in fees if isinstance(fee, PercentOfValue)]
    total: int | Fraction = sum(fee.amount_minor for fee in fees if isinstance(fee, Fixed))
    # No percentage is above 100: what fits at 100 % each needs no fractions.
    if total + len(shares) * (value_minor or 0) <= MAX_TOTAL_MINOR:
        return
    total += _sum(shares) * (value_minor or 0) / 100
    if total > MAX_TOTAL_MINOR:
        message = f"the fees add up to more than {MAX_TOTAL_MINOR} minor units"
        findings.error(("milestones",), message, "split the contract: no invoice line holds such an amount")


def check_percentages(findings: Findings, milestones: Milestones) -> None:
    """Where all fees are percentages of the value, they should bill all of it, once."""
    shares: list[str] = []
    for milestone in milestones:
        if milestone is None or not isinstance(milestone.fee, PercentOfValue) or milestone.repeats != "none":
            return
        shares.append(milestone.fee.percent)
    total = _sum(shares)
    if shares and total != 100:
        message = f"all fees are percentages of the value, and they add up to {shown(total)} %"
        findings.warning(("milestones",), message, 'change one of them, so that they add up to "100"')


def _sum(shares: Sequence[str]) -> Fraction:
    return sum((Fraction(money.percent(share)) for share in shares), Fraction(0))


def check_retention(
    findings: Findings, retention: Retention | None, milestones: Milestones, never: Collection[str]
) -> None:
    """What is withheld has to be paid out some day. `never`: milestones that can never bill."""
    if retention is None:
        return
    if not any(money.ratio(rate) > 0 for rate in (retention.rate, *(step.rate for step in retention.step_down))):
        return
    if not retention.release:
        message = "what is withheld can never be released"
        findings.warning(("retention",), message, "add release: [{when: signoff}]")
    name = next((one.id for one in milestones if one is not None and one.id in never and _holds_signoff(one)), None)
    for place, rule in enumerate(retention.release):
        if name is not None and _needs_signoff(rule.when):
            message = f"this can never be released: the sign-off waits for {name}, which can never bill"
            findings.warning(("retention", "release", place), message, f"mend {name}, or write optional: true on it")


def _holds_signoff(milestone: Milestone) -> bool:
    """Whether the sign-off waits for the milestone (rule 23)."""
    to_date = isinstance(milestone.fee, Success) and milestone.fee.to_date
    return not milestone.optional and milestone.repeats == "none" and not to_date


def _needs_signoff(when: Moment) -> bool:
    """Whether a release comes to nothing without the sign-off; the earlier of it and a day does not."""
    match when:
        case OnDate():
            return False
        case LaterOf(moments=inner):
            return any(map(_needs_signoff, inner))
        case EarlierOf(moments=inner):
            return all(map(_needs_signoff, inner))
    return True
