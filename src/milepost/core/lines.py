"""Every invoice line begins here: what all kinds of line have in common, said once."""

from milepost.core import money
from milepost.core.calendar import local_date
from milepost.core.contract import Contract, Item, Milestone
from milepost.core.facts import Place
from milepost.core.outputs import InvoiceLine

__all__ = ["draft"]

_NO_ITEM = Item()


def draft(
    contract: Contract,
    place: Place,
    effect: str,
    revision: int,
    *,
    kind: str,
    gross: int,
    at: int,
    milestone: Milestone | None = None,
    completion: str = "100",
    paid_out: int = 0,
) -> InvoiceLine:
    """The line of `effect` that bills `gross` (minor units) accepted at the instant `at`, nothing withheld yet.

    `contract` is the version that governs it; `milestone` the one that it is for, or credits, and `paid_out` what a
    release pays. Who raises the line says the rest: what caused it, its description, what only its kind knows.
    """
    item = milestone.item if milestone is not None else _NO_ITEM
    day = local_date(at, contract.timezone)
    return InvoiceLine(
        line_id=place.identify("line", contract.engagement, effect, revision),
        engagement_id=contract.engagement,
        contract_version=contract.version,
        customer_id=contract.customer_id,
        supplier_id=contract.supplier_id,
        purchase_order=contract.purchase_order,
        buyer_reference=contract.buyer_reference,
        milestone_id=place.milestone or None,
        occurrence_id=place.occurrence,
        kind=kind,
        revision=revision,
        completion=completion,
        gross_minor=gross,
        retained_minor=-paid_out,  # of a charge or credit `post` says what is withheld
        payable_minor=gross + paid_out,
        currency=contract.currency,
        currency_exponent=contract.currency_exponent,
        quantity="-1" if gross < 0 else "1",
        unit_code=item.unit_code,
        unit_price=money.format_minor(abs(gross), contract.currency_exponent),
        item=item.id,
        tax_category=item.tax_category,
        description="",
        service_from=day,
        service_to=day,
        accepted_at=at,
        bill_on=contract.bill_on if milestone is None else milestone.bill_on,
        due_after=None,
        corrects_line_id=None,
        caused_by=(),
        evidence=(),
        attributes=dict(contract.metadata) if milestone is None else {**contract.metadata, **milestone.metadata},
    )
