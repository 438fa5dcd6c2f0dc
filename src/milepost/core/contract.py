"""The contract as the fold reads it: resolved, linted, immutable. The document's syntax lives in `milepost.contract`.

Amounts are minor units of `currency`; percentages and KPI bounds are decimal strings, exactly as signed.
"""

from datetime import date

import msgspec

__all__ = [
    "Cap",
    "Completed",
    "Contract",
    "DateGate",
    "EvidenceGate",
    "Fee",
    "Fixed",
    "Gate",
    "Item",
    "KpiGate",
    "Milestone",
    "MilestoneGate",
    "PercentOfValue",
    "Person",
    "Policy",
    "Release",
    "Retention",
    "Step",
]


class Person(msgspec.Struct, frozen=True, array_like=True):
    """A holder of a role; `since` and `until` are local days, both included, null for no bound."""

    id: str
    since: date | None = None
    until: date | None = None


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One step of a policy: `quorum` different people of `role` sign."""

    role: str
    quorum: int = 1


class Policy(msgspec.Struct, frozen=True, array_like=True):
    """Who signs, in which order; with `distinct` one person signs at most one step of a submission."""

    steps: tuple[Step, ...]
    sequential: bool = False
    distinct: bool = True


class Fixed(msgspec.Struct, frozen=True, tag="fixed", array_like=True):
    """A fee in minor units."""

    amount_minor: int


class PercentOfValue(msgspec.Struct, frozen=True, tag="percent", array_like=True):
    """A percentage of the contract's value; becomes an amount once per version, by largest remainder (rule 3)."""

    percent: str


Fee = Fixed | PercentOfValue


class Completed(msgspec.Struct, frozen=True, tag="completed", array_like=True):
    """The report in force reaches what can bill."""


class EvidenceGate(msgspec.Struct, frozen=True, tag="evidence", array_like=True):
    """The report in force carries evidence of each name."""

    names: tuple[str, ...]


class KpiGate(msgspec.Struct, frozen=True, tag="kpi", array_like=True):
    """The value in force satisfies every bound given; none given: a value exists. `between` is at_least and at_most."""

    id: str
    at_least: str | None = None
    above: str | None = None
    at_most: str | None = None
    below: str | None = None
    status: str = "any"  # any | provisional | final
    sources: tuple[str, ...] = ()  # empty: any source
    unit: str | None = None
    period_from: date | None = None
    period_to: date | None = None


class DateGate(msgspec.Struct, frozen=True, tag="date", array_like=True):
    """From the start of the day in the contract's time zone, at the first tick then."""

    on: date


class MilestoneGate(msgspec.Struct, frozen=True, tag="milestone", array_like=True):
    """Another milestone is accepted to at least `at_least` percent."""

    milestone: str
    at_least: str = "100"


Gate = Completed | EvidenceGate | KpiGate | DateGate | MilestoneGate


class Item(msgspec.Struct, frozen=True, array_like=True):
    """What the ERP books: item number, tax category, UNECE Rec 20 unit code."""

    id: str | None = None
    tax_category: str | None = None
    unit_code: str = "LS"


class Milestone(msgspec.Struct, frozen=True, array_like=True):
    """One milestone. `tiers` are the percentages that bill, ascending to "100"; with `partial_any` any percentage."""

    id: str
    name: str
    fee: Fee
    requires: tuple[Gate, ...]
    approval: str | None
    criteria: str | None = None
    depends_on: tuple[Gate, ...] = ()
    tiers: tuple[str, ...] = ("100",)
    partial_any: bool = False
    planned_on: date | None = None
    optional: bool = False
    retained: bool = True  # False: `retention: none`
    item: Item = Item()
    bill_on: str = "next_invoice"
    metadata: dict[str, str] = {}


class Cap(msgspec.Struct, frozen=True, array_like=True):
    """The most that is withheld: an amount, or a percentage of the original or the revised value."""

    amount_minor: int | None = None
    percent_of_value: str | None = None
    basis: str | None = None


class Release(msgspec.Struct, frozen=True, array_like=True):
    """A share of what is held is paid out; `when` is `signoff`."""

    id: str
    share: str = "100"
    when: str = "signoff"


class Retention(msgspec.Struct, frozen=True, array_like=True):
    """Money withheld from every line that is subject to it."""

    rate: str
    cap: Cap | None = None
    exempt: tuple[str, ...] = ("time_and_materials",)
    release: tuple[Release, ...] = ()


class Contract(msgspec.Struct, frozen=True, array_like=True):
    """One version of the signed document."""

    engagement: str
    version: int
    customer_id: str
    currency: str
    currency_exponent: int
    timezone: str
    effective_from: date
    milestones: tuple[Milestone, ...]
    customer_name: str | None = None
    customer_metadata: dict[str, str] = {}
    supplier_id: str | None = None
    supplier_name: str | None = None
    purchase_order: str | None = None
    buyer_reference: str | None = None
    value_minor: int | None = None
    rounding: str = "half_up"  # or half_even
    bill_on: str = "next_invoice"
    people: dict[str, tuple[Person, ...]] = {}
    sides: dict[str, tuple[str, ...]] = {}
    policies: dict[str, Policy] = {}
    retention: Retention | None = None
    metadata: dict[str, str] = {}
