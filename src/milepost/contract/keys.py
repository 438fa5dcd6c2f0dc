"""Every key of the contract language, version 1: what each mapping may hold and must hold. Others are unknown."""

from typing import NamedTuple

__all__ = [
    "AMENDMENT",
    "APPROVAL_OF",
    "BUSINESS_DAYS",
    "CAP",
    "CARD",
    "CLAWBACK",
    "CLAWBACK_WHEN",
    "CONTRACT",
    "CUSTOMER",
    "ESCALATION",
    "FEE",
    "GATES",
    "ITEM",
    "KPI",
    "MILESTONE",
    "MOMENTS",
    "PERIOD",
    "PERSON",
    "POLICY",
    "RATE",
    "REGULATOR",
    "RELEASE",
    "RETENTION",
    "SIDES",
    "STEP",
    "STEP_DOWN",
    "SUCCESS",
    "SUCCESS_KPI",
    "SUPPLIER",
    "TIER",
    "TIME_AND_MATERIALS",
    "Shape",
]


class Shape(NamedTuple):
    """The keys of one mapping. `required` in the order in which the document shows them."""

    keys: frozenset[str]
    required: tuple[str, ...] = ()


def _shape(keys: str, required: str = "") -> Shape:
    return Shape(frozenset(keys.split()), tuple(required.split()))


CONTRACT = _shape(
    "milepost engagement version customer supplier purchase_order buyer_reference currency value timezone calendar "
    "effective_from rounding bill_on amendment people sides approvals amendments signoff retention milestones "
    "time_and_materials rate_cards metadata",
    required="milepost engagement version customer currency timezone effective_from",
)
CUSTOMER = _shape("id name metadata", required="id")
SUPPLIER = _shape("id name")
AMENDMENT = _shape("mode from", required="mode from")

PERSON = _shape("id from until", required="id")
SIDES = _shape("supplier customer")
POLICY = _shape("order distinct steps", required="steps")
STEP = _shape("role quorum evidence within grace remind_every on_timeout amount_at_least", required="role")
ESCALATION = _shape("escalate_to within on_timeout", required="escalate_to")
APPROVAL_OF = _shape("approval", required="approval")

BUSINESS_DAYS = _shape("business_days", required="business_days")

RETENTION = _shape("rate cap step_down exempt release", required="rate")
CAP = _shape("amount percent_of_value basis")
STEP_DOWN = _shape("from_percent_billed rate", required="from_percent_billed rate")
RELEASE = _shape("id share when", required="when")
# A moment is the word signoff or a mapping with one of these keys.
MOMENTS = _shape("signoff date later_of earlier_of")

MILESTONE = _shape(
    "id name criteria fee partial depends_on requires approval planned_on optional retention repeats clawback metadata "
    "item bill_on",
    required="id fee requires approval",
)
# A fee is a mapping with one of these keys.
FEE = _shape("fixed percent_of_value success rate_card")
SUCCESS = _shape("kpi baseline mode rate tiers floor cap to_date", required="kpi")
SUCCESS_KPI = _shape("id sources unit status", required="id")
TIER = _shape("up_to rate", required="rate")
CLAWBACK = _shape("when within share basis", required="when within share")
CLAWBACK_WHEN = _shape("kpi", required="kpi")
ITEM = _shape("id tax_category unit_code")

# A gate is a mapping with one of these keys; `milestone` may have `at_least` beside it.
GATES = _shape("evidence kpi regulator date milestone any_of all_of")
KPI = _shape("id at_least above at_most below between status sources unit period", required="id")
PERIOD = _shape("from to")
REGULATOR = _shape("by filing at_least", required="by")

TIME_AND_MATERIALS = _shape("bill rates not_to_exceed", required="rates")
RATE = _shape("price unit", required="price")
CARD = _shape("procedures otherwise percent_of_charge pays_after")
