"""Every key of the contract language, version 1: what each mapping may hold, must hold, and cannot hold yet.

A key under `later` belongs to the language and is refused with "not supported yet: PATH" until the rules for it are
built; a key in neither set is unknown.
"""

from typing import NamedTuple

__all__ = [
    "APPROVAL_OF",
    "CAP",
    "CONTRACT",
    "CUSTOMER",
    "FEE",
    "GATES",
    "ITEM",
    "KPI",
    "MILESTONE",
    "PERIOD",
    "PERSON",
    "POLICY",
    "RELEASE",
    "RETENTION",
    "SIDES",
    "STEP",
    "SUPPLIER",
    "Shape",
]


class Shape(NamedTuple):
    """The keys of one mapping. `required` in the order in which the document shows them."""

    supported: frozenset[str]
    later: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()


def _shape(supported: str, later: str = "", required: str = "") -> Shape:
    return Shape(frozenset(supported.split()), frozenset(later.split()), tuple(required.split()))


CONTRACT = _shape(
    "milepost engagement version customer supplier purchase_order buyer_reference currency value timezone calendar "
    "effective_from rounding bill_on people sides approvals amendments signoff retention milestones metadata",
    later="amendment time_and_materials rate_cards",
    required="milepost engagement version customer currency timezone effective_from",
)
CUSTOMER = _shape("id name metadata", required="id")
SUPPLIER = _shape("id name")
PERSON = _shape("id from until", required="id")
SIDES = _shape("supplier customer")
POLICY = _shape("order distinct steps", required="steps")
STEP = _shape("role quorum", later="evidence within remind_every grace on_timeout amount_at_least", required="role")
APPROVAL_OF = _shape("approval", required="approval")

RETENTION = _shape("rate cap exempt release", later="step_down", required="rate")
CAP = _shape("amount percent_of_value basis")
RELEASE = _shape("id share when", required="when")

MILESTONE = _shape(
    "id name criteria fee partial depends_on requires approval planned_on optional retention repeats metadata item "
    "bill_on",
    later="clawback",
    required="id fee requires approval",
)
FEE = _shape("fixed percent_of_value", later="success rate_card")
ITEM = _shape("id tax_category unit_code")

# A gate is a mapping with one of these keys; `milestone` may have `at_least` beside it.
GATES = _shape("evidence kpi date milestone", later="any_of all_of regulator")
KPI = _shape("id at_least above at_most below between status sources unit period", required="id")
PERIOD = _shape("from to")
