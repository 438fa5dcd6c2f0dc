"""What an occurrence is worth where the contract does not say it as an amount: success fees and rate cards."""

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from milepost.core.contract import AllOf, Card, Contract, Gate, KpiGate, Milestone, RateCard, Success
from milepost.core.events import KpiEvent, MilestoneEvent, RegulatorDecision
from milepost.sim.oracle_facts import Report, exact, reach
from milepost.sim.oracle_gates import Gates
from milepost.sim.oracle_terms import Terms, rounded
from milepost.sim.oracle_values import period_of, value_at

__all__ = ["Quote", "changes_nothing", "left_out", "quoted", "success_fee"]

_CHARGE = re.compile(r"\d+(\.\d+)?")


class Quote(NamedTuple):
    """The price of all of it in minor units (1 where the contract has an amount), and what it was computed from."""

    price: Fraction
    attributes: tuple[tuple[str, str], ...] = ()
    values: tuple[KpiEvent, ...] = ()
    raises: bool = True  # may it bill more than what is accepted already?

    @property
    def period(self) -> object:
        """The period of the value that the price is computed from; None where nothing comes of it."""
        return period_of(self.values[0]) if self.values else None


def quoted(terms: Terms, gates: Gates, at: int, period: object = None) -> Quote | None:
    """The price by what is in force at an instant; None without a rate or a value.

    `period`: the one that a fee which is not to date was accepted for; only its revisions count then.
    """
    name = gates.key[0]
    fee = terms.fee_terms(name, at).fee
    if isinstance(fee, Success):
        gate = KpiGate(id=fee.kpi, status=fee.status, sources=fee.sources, unit=fee.unit)
        admitted = (gate, *(other for other in _must_hold(gates.milestone.requires) if other.id == fee.kpi))
        found = value_at(gates.facts, admitted, at, gates.month, period)
        if found is None:
            return None
        price = success_fee(fee, found.value, 10**terms.first.currency_exponent)
        return Quote(Fraction(rounded(price, terms.rounding)), values=(found.event,))
    if isinstance(fee, RateCard):
        report = gates.report(at)
        return None if report is None else _carded(terms, name, fee, report)
    return Quote(Fraction(1))


def _must_hold(gates: Iterable[Gate]) -> Iterator[KpiGate]:
    """The gates on values of which each has to hold."""
    for gate in gates:
        if isinstance(gate, AllOf):
            yield from _must_hold(gate.gates)
        elif isinstance(gate, KpiGate):
            yield gate


def success_fee(fee: Success, value: Fraction, unit: int) -> Fraction:
    """Rule 19: tiers with their ends, a floor where something was gained, a cap."""
    gain = value - exact(fee.baseline)
    if gain <= 0:
        return Fraction(0)
    amount = (_marginal(fee, gain) if fee.marginal else _slab(fee, gain)) * unit
    if fee.floor_minor is not None:
        amount = max(amount, Fraction(fee.floor_minor))
    if fee.cap_minor is not None:
        amount = min(amount, Fraction(fee.cap_minor))
    return amount


def _marginal(fee: Success, gain: Fraction) -> Fraction:
    """Each tier's rate for its part of the gain."""
    amount, below = Fraction(0), Fraction(0)
    for tier in fee.tiers:
        above = gain if tier.up_to is None else min(gain, exact(tier.up_to))
        amount += max(above - below, Fraction(0)) * exact(tier.rate) / 100
        below = max(above, below)
    return amount


def _slab(fee: Success, gain: Fraction) -> Fraction:
    """The rate of the tier in which the gain lies, for all of it."""
    last = fee.tiers[-1]
    gain = gain if last.up_to is None else min(gain, exact(last.up_to))
    tier = next(tier for tier in fee.tiers if tier.up_to is None or gain <= exact(tier.up_to))
    return gain * exact(tier.rate) / 100


def _card(version: Contract, fee: RateCard, given: dict[str, str]) -> Card | None:
    payer = given.get("payer_id") or version.customer_metadata.get("payer_id")
    return version.rate_cards.get(fee.card, {}).get(payer or "")


def _carded(terms: Terms, name: str, fee: RateCard, report: Report) -> Quote | None:
    """The card in force at the report's time prices it (rule 20); only a correction reprices what is accepted."""
    given = report.event.attributes
    card = _card(terms.versions[terms.governing(name, report.at)], fee, given)
    price = None if card is None else _price(card, given, 10**terms.first.currency_exponent)
    if card is None or price is None:
        return None
    prices = {"payer_id", "charge" if card.percent_of_charge is not None else "procedure_code"}
    attributes = tuple((key, given[key]) for key in sorted(prices) if key in given)
    return Quote(price, attributes=attributes, raises=report.event.kind == "CORRECTED")


def _price(card: Card, given: dict[str, str], unit: int) -> Fraction | None:
    if card.percent_of_charge is not None:
        charge = given.get("charge")
        return None if charge is None else exact(card.percent_of_charge) * exact(charge) * unit / 100
    price = card.procedures.get(given.get("procedure_code", ""), card.otherwise_minor)
    return None if price is None else Fraction(price)


def changes_nothing(terms: Terms, milestone: Milestone, report: Report) -> bool:
    """A report without a rate, unless it claims nothing anyway."""
    fee = terms.fee_terms(milestone.id, report.at).fee
    if not isinstance(fee, RateCard) or reach(milestone, report.completion) == 0:
        return False
    return _carded(terms, milestone.id, fee, report) is None


def left_out(terms: Terms, event: MilestoneEvent | RegulatorDecision) -> bool:
    """A charge that is none, where the payer's card reads it; a decision for a milestone not known yet."""
    if isinstance(event, RegulatorDecision):
        return event.milestone_id is not None and event.milestone_id not in terms.milestones()
    if event.milestone_id not in terms.milestones() or event.kind == "WITHDRAWN":
        return False
    fee = terms.fee_terms(event.milestone_id, event.occurred_at).fee
    if not isinstance(fee, RateCard):
        return False
    card = _card(terms.versions[terms.governing(event.milestone_id, event.occurred_at)], fee, event.attributes)
    charge = event.attributes.get("charge")
    reads = card is not None and card.percent_of_charge is not None and charge is not None
    return reads and _CHARGE.fullmatch(charge or "") is None
