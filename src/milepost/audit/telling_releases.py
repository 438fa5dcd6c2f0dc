"""What the state of a fold says of a release of retention: the rule, its moment, the share of what is held."""

from collections.abc import Sequence
from fractions import Fraction

from milepost.audit.wording import Money, instant, moment_text, number
from milepost.core import money
from milepost.core.contract import Retention
from milepost.core.engagement import Engagement
from milepost.core.outputs import InvoiceLine
from milepost.core.settlement import fired

__all__ = ["tell_release"]


def tell_release(
    engagement: Engagement, line: InvoiceLine, before: Sequence[InvoiceLine]
) -> tuple[list[str], list[str]]:
    """Since when the release's rule holds, and its share of what is held; no share that is not what was paid."""
    contract, account = engagement.agreed.contract, engagement.account
    unit = Money.of(contract)._replace(rounding=engagement.agreed.rounding)
    released = -sum(one.retained_minor for one in before if one.kind == "RETENTION_RELEASE")
    rules = fired(engagement)
    cumulative = Fraction(0)
    for due in rules:
        cumulative += money.ratio(due.rule.share)
        if f"Retention released: {due.rule.id}" != line.description:
            continue
        gates = [f"rule {due.rule.id}, {moment_text(due.rule.when)}: since {instant(due.moment)}"]
        if account.signoff_at is not None:
            gates.append(f"signed off, since {instant(account.signoff_at)}")
        gates.append("no dispute is open")
        last = due is rules[-1] and len(rules) == len((contract.retention or Retention("0")).release)
        if last:
            return gates, ["every rule's moment has come: all that is held is paid out"]
        held = account.moments.get(due.rule.id, (0, 0))[1]
        exact, paid = unit.rounded(held * cumulative / 100)
        if paid - released != line.payable_minor:
            return gates, []
        shares = f"shares to date {number(cumulative)} % x {unit.text(held)} held to date on lines accepted by then"
        return gates, [f"{shares} = {exact}", f"less {unit.text(released)} released before"]
    return ["an amendment of everything withholds less than was held"], []
