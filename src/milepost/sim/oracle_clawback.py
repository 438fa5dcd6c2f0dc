"""What a value that fell within the window takes back of a charge, for good (rule 21)."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from milepost.core.contract import Clawback, KpiGate, Milestone
from milepost.sim.oracle_days import day_of, deadline, later_day
from milepost.sim.oracle_facts import Facts, exact
from milepost.sim.oracle_gates import leaves
from milepost.sim.oracle_terms import rounded
from milepost.sim.oracle_values import satisfied_since, value_at

__all__ = ["Amount", "clawed_back"]

Amount = tuple[int, int, Milestone]  # since when, how much is billed to date, by which terms


@dataclass
class _Charge:
    """One charge, what credits left of it, and the window in which a value takes some of it back."""

    accepted_at: int
    left: int
    terms: Milestone
    hit_at: int
    ends: int
    fired: bool = False


def clawed_back(
    facts: Facts, month: str | None, amounts: Sequence[Amount], credited: Sequence[tuple[int, int]], rounding: str
) -> int:
    """What is taken of an occurrence, by what it would bill to date at each instant (ascending) otherwise.

    `credited`: when disputes took how much of it.
    """
    charges: list[_Charge] = []
    taken = billed = 0
    changes = {at: (amount, terms) for at, amount, terms in amounts}
    for at in sorted({*changes, *(at for at, _ in credited), *(value.observed_at for value in facts.values)}):
        if at in changes:
            amount, terms = changes[at]
            if amount > billed and terms.clawback is not None:
                charges.append(_charge(facts, month, terms, terms.clawback, at, amount - billed))
            elif amount < billed:
                _credit(charges, billed - amount)
            billed = amount
        _credit(charges, sum(amount for credited_at, amount in credited if credited_at == at))
        for charge in charges:
            observed = _first_fall(facts, month, charge, at)
            if observed is not None:
                charge.fired = True
                taken += _share(facts, charge, observed, rounding)
    return taken


def _charge(facts: Facts, month: str | None, terms: Milestone, clawback: Clawback, at: int, gross: int) -> _Charge:
    """The window starts on the day on which the value in force at the acceptance was observed."""
    gates = leaves(terms.requires + terms.depends_on)
    own = [gate for gate in gates if isinstance(gate, KpiGate) and gate.id == clawback.when.id]
    found = [value for gate in [*own, clawback.when] if (value := value_at(facts, (gate,), at, month)) is not None]
    hit = found[0].at if found else at
    ends = deadline(hit, clawback.within, facts.contract.timezone, facts.contract.calendar)
    return _Charge(at, gross, terms, hit, ends)


def _credit(charges: Sequence[_Charge], amount: int) -> None:
    """Of the latest charges first."""
    for charge in reversed(charges):
        own = min(charge.left, amount)
        charge.left -= own
        amount -= own


def _first_fall(facts: Facts, month: str | None, charge: _Charge, at: int) -> int | None:
    """When the value was observed that takes back a charge by now: after the hit, inside the window, in force then."""
    clawback = charge.terms.clawback
    if charge.fired or clawback is None:
        return None
    times = sorted({v.observed_at for v in facts.values if v.kpi_id == clawback.when.id and v.observed_at <= at})
    return next(
        (
            observed
            for observed in times
            if charge.hit_at < observed < charge.ends
            and satisfied_since(facts, clawback.when, observed, month) == observed
        ),
        None,
    )


def _share(facts: Facts, charge: _Charge, observed: int, rounding: str) -> int:
    """Flat: the share of what is left of the charge; linear: less by every whole month that passed."""
    clawback = charge.terms.clawback
    assert clawback is not None
    amount = exact(clawback.share) * charge.left / 100
    if clawback.linear:
        zone, months = facts.contract.timezone, clawback.within.months
        hit, day = day_of(charge.hit_at, zone), day_of(observed, zone)
        elapsed = max(count for count in range(months + 1) if later_day(hit, count, 0) <= day)
        amount *= Fraction(months - elapsed, months)
    return rounded(amount, rounding)
