"""The contract as the fold reads it: resolved, linted, immutable. The document's syntax lives in `milepost.contract`.

Amounts are minor units of `currency`; percentages and KPI bounds are decimal strings, exactly as signed.
"""

from datetime import date

import msgspec

__all__ = [
    "AllOf",
    "Amendment",
    "AnyOf",
    "Cap",
    "Card",
    "Clawback",
    "Completed",
    "Contract",
    "DateGate",
    "Duration",
    "EarlierOf",
    "Escalation",
    "EvidenceGate",
    "Fee",
    "Fixed",
    "Gate",
    "Item",
    "KpiGate",
    "LaterOf",
    "Milestone",
    "MilestoneGate",
    "Moment",
    "OnDate",
    "OnSignoff",
    "PercentOfValue",
    "Person",
    "Policy",
    "Rate",
    "RateCard",
    "RegulatorGate",
    "Release",
    "Retention",
    "Step",
    "StepDown",
    "Success",
    "Tier",
    "TimeAndMaterials",
]


class Duration(msgspec.Struct, frozen=True, array_like=True):
    """A length of time as written (`text`), in one of three kinds: calendar (months, days), exact, business days."""

    text: str
    months: int = 0
    days: int = 0
    seconds: int = 0
    business_days: int = 0


class Person(msgspec.Struct, frozen=True, array_like=True):
    """A holder of a role; `since` and `until` are local days, both included, null for no bound."""

    id: str
    since: date | None = None
    until: date | None = None


class Escalation(msgspec.Struct, frozen=True, array_like=True):
    """When a step times out `role` may sign it too; `within` counts from the tick that escalated."""

    role: str
    within: Duration | None = None


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One step of a policy: `quorum` different people of `role` sign.

    `escalations` follow each other as deadlines pass; `on_timeout` is what the last one ends in: reject, accept, or
    None for nothing. `amount_at_least_minor`: the step exists only from that gross to date on.
    """

    role: str
    quorum: int = 1
    evidence: tuple[str, ...] = ()
    within: Duration | None = None
    grace: Duration | None = None
    remind_every: Duration | None = None
    escalations: tuple[Escalation, ...] = ()
    on_timeout: str | None = None
    amount_at_least_minor: int | None = None


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


class Tier(msgspec.Struct, frozen=True, array_like=True):
    """A percentage of the gain up to `up_to`, included; None: of all above."""

    rate: str
    up_to: str | None = None


class Success(msgspec.Struct, frozen=True, tag="success", array_like=True):
    """A share of the gain of a KPI over `baseline`, both in major units of the currency.

    `marginal`: each tier's rate applies to its part; else (slab) the rate of the gain's tier applies to all of it.
    """

    kpi: str
    tiers: tuple[Tier, ...]
    baseline: str = "0"
    marginal: bool = True
    floor_minor: int | None = None
    cap_minor: int | None = None
    to_date: bool = False
    sources: tuple[str, ...] = ()
    unit: str | None = None
    status: str = "any"  # any | provisional | final

    @property
    def measure(self) -> "KpiGate":
        """What a value must be for the fee to be computed from it."""
        return KpiGate(id=self.kpi, sources=self.sources, unit=self.unit, status=self.status)


class RateCard(msgspec.Struct, frozen=True, tag="rate_card", array_like=True):
    """The price is on the card of the report's payer, in `Contract.rate_cards[card]`."""

    card: str


Fee = Fixed | PercentOfValue | Success | RateCard


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


class RegulatorGate(msgspec.Struct, frozen=True, tag="regulator", array_like=True):
    """Every regulator in `by` decided on the filing at or above the rung, with a confirmation id.

    `filing` None: the occurrence of a milestone that repeats per filing.
    """

    by: tuple[str, ...]
    filing: str | None = None
    at_least: str = "accepted"  # received < validated < accepted


class AnyOf(msgspec.Struct, frozen=True, tag="any_of", array_like=True):
    """At least one of the gates holds."""

    gates: tuple["Gate", ...]


class AllOf(msgspec.Struct, frozen=True, tag="all_of", array_like=True):
    """All of the gates hold."""

    gates: tuple["Gate", ...]


Gate = Completed | EvidenceGate | KpiGate | DateGate | MilestoneGate | RegulatorGate | AnyOf | AllOf


class Item(msgspec.Struct, frozen=True, array_like=True):
    """What the ERP books: item number, tax category, UNECE Rec 20 unit code."""

    id: str | None = None
    tax_category: str | None = None
    unit_code: str = "LS"


class Clawback(msgspec.Struct, frozen=True, array_like=True):
    """What is taken back if the KPI's value satisfies `when` within the window after the hit: `share` percent."""

    when: KpiGate
    within: Duration
    share: str
    linear: bool = False


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
    repeats: str = "none"  # none | monthly | per_filing | per_occurrence
    clawback: Clawback | None = None


class Cap(msgspec.Struct, frozen=True, array_like=True):
    """The most that is withheld: an amount, or a percentage of the original or the revised value."""

    amount_minor: int | None = None
    percent_of_value: str | None = None
    basis: str | None = None


class StepDown(msgspec.Struct, frozen=True, array_like=True):
    """From that percentage of the value on, counted over the lines subject to retention, `rate` is withheld."""

    from_percent_billed: str
    rate: str


class OnSignoff(msgspec.Struct, frozen=True, tag="signoff", array_like=True):
    """The sign-off, or the day that lies `after` it."""

    after: Duration | None = None


class OnDate(msgspec.Struct, frozen=True, tag="date", array_like=True):
    """The start of a local day."""

    on: date


class LaterOf(msgspec.Struct, frozen=True, tag="later_of", array_like=True):
    """The last of the moments."""

    moments: tuple["Moment", ...]


class EarlierOf(msgspec.Struct, frozen=True, tag="earlier_of", array_like=True):
    """The first of the moments."""

    moments: tuple["Moment", ...]


Moment = OnSignoff | OnDate | LaterOf | EarlierOf


class Release(msgspec.Struct, frozen=True, array_like=True):
    """A share of what is held is paid out at the moment `when`."""

    id: str
    share: str = "100"
    when: Moment = OnSignoff()


class Retention(msgspec.Struct, frozen=True, array_like=True):
    """Money withheld from every line that is subject to it."""

    rate: str
    cap: Cap | None = None
    exempt: tuple[str, ...] = ("time_and_materials",)
    release: tuple[Release, ...] = ()
    step_down: tuple[StepDown, ...] = ()


class Card(msgspec.Struct, frozen=True, array_like=True):
    """What one payer pays: by procedure code (`otherwise`: the rest; None refuses), or a percentage of the charge."""

    procedures: dict[str, int] = {}  # minor units
    otherwise_minor: int | None = None
    percent_of_charge: str | None = None
    pays_after: Duration | None = None


class Rate(msgspec.Struct, frozen=True, array_like=True):
    """A price for an hour (HUR) or a minute (MIN), spelled as in the contract."""

    price: str
    unit: str = "HUR"


class TimeAndMaterials(msgspec.Struct, frozen=True, array_like=True):
    """Hours billed once a month; `rates` by meter, in the contract's order."""

    rates: dict[str, Rate]
    not_to_exceed_minor: int | None = None


class Amendment(msgspec.Struct, frozen=True, array_like=True):
    """How this version follows the one before: prospective, catch_up or separate, from a local day on."""

    mode: str
    since: date


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
    calendar: str | None = None
    amendments_approval: str | None = None  # a policy's name; None: an amendment takes effect unsigned
    signoff_approval: str | None = None
    amendment: Amendment | None = None
    time_and_materials: TimeAndMaterials | None = None
    rate_cards: dict[str, dict[str, Card]] = {}  # name -> payer -> card
    holidays: tuple[date, ...] = ()  # of `calendar`, weekdays only; empty where nothing counts business days
