"""What is paid out of what was withheld, and when (rule 24)."""

from fractions import Fraction

from milepost.core import ids, money
from milepost.core.calendar import local_date
from milepost.core.contract import Release
from milepost.core.engagement import Engagement
from milepost.core.outputs import InvoiceLine
from milepost.core.posting import raise_retention
from milepost.core.rules import retention

__all__ = ["release"]


def release(engagement: Engagement) -> None:
    """Pay out what the rules whose moment has come release: one line and one event a rule."""
    account, terms = engagement.account, engagement.agreed
    rules = terms.contract.retention.release if terms.contract.retention else ()
    if account.signoff_at is None or account.suspended or not rules:
        return
    cumulative = Fraction(0)
    for i, rule in enumerate(rules):
        cumulative += money.ratio(rule.share)
        last = i + 1 == len(rules)
        due = account.held_minor if last else money.percentage_of(account.held_minor, cumulative, terms.rounding)
        if due > account.released_minor:
            _pay_out(engagement, rule, due - account.released_minor, account.signoff_at, last)


def _pay_out(engagement: Engagement, rule: Release, amount: int, at: int, last: bool) -> None:
    account, contract = engagement.account, engagement.agreed.contract
    revision = account.releases[rule.id] = account.releases.get(rule.id, 0) + 1
    effect = f"release:{rule.id}"
    day = local_date(at, contract.timezone)
    line = InvoiceLine(
        line_id=ids.identify("line", engagement.name, "", "", effect, revision),
        engagement_id=engagement.name,
        contract_version=contract.version,
        customer_id=contract.customer_id,
        supplier_id=contract.supplier_id,
        purchase_order=contract.purchase_order,
        buyer_reference=contract.buyer_reference,
        milestone_id=None,
        occurrence_id=None,
        kind="RETENTION_RELEASE",
        revision=revision,
        completion="100",
        gross_minor=0,
        retained_minor=-amount,
        payable_minor=amount,
        currency=contract.currency,
        currency_exponent=contract.currency_exponent,
        quantity="1",
        unit_code="LS",
        unit_price=money.format_minor(0, contract.currency_exponent),
        item=None,
        tax_category=None,
        description=f"Retention released: {rule.id}",
        service_from=day,
        service_to=day,
        accepted_at=at,
        bill_on=contract.bill_on,
        due_after=None,
        corrects_line_id=None,
        caused_by=tuple(sorted({*account.signoff_causes, engagement.cause})),
        evidence=engagement.evidence(),
        attributes=dict(contract.metadata),
    )
    account.released_minor += amount
    account.payable_minor += amount
    paid = tuple(hold.retention_event_id for hold in account.holds)
    rest = retention.held_now(account)
    if last:
        account.holds = []
    else:
        _spend(engagement, amount)
    assert sum(hold.amount_minor for hold in account.holds) == rest
    engagement.outputs.append(line)
    engagement.audit("LINE", line.kind, line.line_id)
    identity = ids.identify("retention", engagement.name, "", "", effect, revision)
    raise_retention(engagement, identity, line, "RELEASED", amount, rule.id, paid)


def _spend(engagement: Engagement, amount: int) -> None:
    """Take what is paid out from the oldest holds; those that remain are named again by the next release."""
    for hold in engagement.account.holds:
        taken = min(amount, hold.amount_minor)
        hold.amount_minor -= taken
        amount -= taken
    engagement.account.holds = [hold for hold in engagement.account.holds if hold.amount_minor]
