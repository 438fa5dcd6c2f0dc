"""What only the whole document shows about its money: sums of fees, and retention that comes back."""

from collections.abc import Sequence
from fractions import Fraction

from milepost.contract.findings import Findings
from milepost.contract.values import MAX_AMOUNT_MINOR, shown
from milepost.core import money
from milepost.core.contract import Fixed, Milestone, PercentOfValue, Retention

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


def check_retention(findings: Findings, retention: Retention | None) -> None:
    """What is withheld has to be paid out some day."""
    if retention is None or retention.release:
        return
    if any(money.ratio(rate) > 0 for rate in (retention.rate, *(step.rate for step in retention.step_down))):
        message = "what is withheld can never be released"
        findings.warning(("retention",), message, "add release: [{when: signoff}]")
