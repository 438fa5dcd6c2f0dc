"""What an accepted completion is worth: of the contract alone, of a KPI's values, or of what payers pay.

The walk (`core/entitlement.py`) asks a pricing at each instant what a claim's amount is computed from (its basis) and
what that gives. A basis is kept with what is accepted, so that the amount to date follows from level and basis.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from milepost.core import money
from milepost.core.calendar import instant_text
from milepost.core.contract import AllOf, Gate, KpiGate, Milestone, Success
from milepost.core.facts import KpiValue, Report
from milepost.core.rules import kpis
from milepost.core.rules.fees import Price, success_minor

__all__ = ["NO_BASIS", "Agreed", "Basis", "ByCard", "BySuccess", "ByVersion", "Pricing", "Share", "admitting"]


class Share(NamedTuple):
    """Up to `level` percent of completion, from where the share before it ends, this price applies."""

    level: Decimal
    price: Price


class Basis(NamedTuple):
    """What an amount is computed from beside the completion: a value, or the prices of reports."""

    value: KpiValue | None = None
    shares: tuple[Share, ...] = ()


NO_BASIS = Basis()


class Pricing(ABC):
    """The fee of one occurrence."""

    follows_facts = True  # False: the amount is known from the contract alone

    def __init__(self, rounding: str) -> None:
        self.rounding = rounding
        self.instants: tuple[int, ...] = ()  # when a claim's basis may change without a report

    def rated(self, report: Report) -> bool:
        """Whether a report can be priced; one that cannot waits as if it had not come."""
        return True

    def claimed(self, at: int, report: Report | None, level: Decimal, accepted: Decimal, basis: Basis) -> Basis | None:
        """The basis of a claim of `level` percent at the instant, where `accepted` percent are by `basis`.

        None: there is nothing to price it by, so nothing can be claimed.
        """
        return NO_BASIS

    def restated(self, at: int, report: Report | None, level: Decimal, accepted: Decimal, basis: Basis) -> Basis | None:
        """The basis that facts now give to `level` percent that were claimed or accepted; None: it stays."""
        return None

    def corrects(self, new: Basis, old: Basis) -> bool:
        """Whether a lower amount by `new` is a correction of `old`, which ends also what is signed."""
        return True

    def lapsed(self, claim: Basis, basis: Basis) -> bool:
        """Whether the acceptance of `basis` leaves nothing to sign for a claim."""
        return False

    def newest_first(self, at: int) -> bool:
        """Whether of several claims that become acceptable at once the newest is the one that is accepted."""
        return False

    @abstractmethod
    def amount(self, level: Decimal, basis: Basis, at: int) -> int:
        """The gross to date, in minor units, of `level` percent accepted at the instant `at`."""

    def attributes(self, basis: Basis) -> dict[str, str]:
        """Those attributes of a report that price, for the submission's hash."""
        return {}

    def values(self, basis: Basis) -> list[list[str | int | None]]:
        """The values that the amount is computed from, for the submission's hash."""
        return []


class Agreed(Pricing):
    """A fixed fee, or the amount that a percentage of the value became."""

    follows_facts = False

    def __init__(self, fee_minor: int, rounding: str) -> None:
        super().__init__(rounding)
        self.fee_minor = fee_minor

    def amount(self, level: Decimal, basis: Basis, at: int) -> int:
        return money.percentage_of(self.fee_minor, level, self.rounding)


class ByVersion(Pricing):
    """The fee of an engagement that was amended: at each instant that of the version that governs it."""

    def __init__(self, pricing_at: Callable[[int], Pricing], known: Iterable[Pricing], rounding: str) -> None:
        super().__init__(rounding)
        self._at = pricing_at
        known = tuple(known)
        self.follows_facts = any(pricing.follows_facts for pricing in known)
        self.instants = tuple(sorted({at for pricing in known for at in pricing.instants}))
        self._latest: Pricing = known[-1]  # what was asked last: of its kind are the bases at hand

    def _of(self, at: int) -> Pricing:
        self._latest = self._at(at)
        return self._latest

    def rated(self, report: Report) -> bool:
        return self._of(report.at).rated(report)

    def claimed(self, at: int, report: Report | None, level: Decimal, accepted: Decimal, basis: Basis) -> Basis | None:
        return self._of(at).claimed(at, report, level, accepted, basis)

    def restated(self, at: int, report: Report | None, level: Decimal, accepted: Decimal, basis: Basis) -> Basis | None:
        return self._of(at).restated(at, report, level, accepted, basis)

    def corrects(self, new: Basis, old: Basis) -> bool:
        return self._latest.corrects(new, old)

    def lapsed(self, claim: Basis, basis: Basis) -> bool:
        return self._latest.lapsed(claim, basis)

    def newest_first(self, at: int) -> bool:
        return self._of(at).newest_first(at)

    def amount(self, level: Decimal, basis: Basis, at: int) -> int:
        return self._of(at).amount(level, basis, at)

    def attributes(self, basis: Basis) -> dict[str, str]:
        return self._latest.attributes(basis)

    def values(self, basis: Basis) -> list[list[str | int | None]]:
        return self._latest.values(basis)


class ByCard(Pricing):
    """What the payer's card pays. `price_of` prices a report by the terms in force at its time; None: no rate."""

    def __init__(self, price_of: Callable[[Report | None], Price | None], rounding: str) -> None:
        super().__init__(rounding)
        self._price_of = price_of

    def rated(self, report: Report) -> bool:
        return self._price_of(report) is not None

    def claimed(self, at: int, report: Report | None, level: Decimal, accepted: Decimal, basis: Basis) -> Basis | None:
        price = self._price_of(report)
        if price is None:
            return None
        if report is not None and report.kind == "CORRECTED":
            return Basis(shares=(Share(level, price),))
        # only a correction reprices what is accepted
        kept = _up_to(basis.shares, min(level, accepted))
        return Basis(shares=(*kept, Share(level, price)) if level > accepted else kept)

    def restated(self, at: int, report: Report | None, level: Decimal, accepted: Decimal, basis: Basis) -> Basis | None:
        if report is None or report.kind != "CORRECTED":
            return None
        price = self._price_of(report)
        return None if price is None else Basis(shares=(Share(level, price),))

    def amount(self, level: Decimal, basis: Basis, at: int) -> int:
        exact, below = Fraction(0), Fraction(0)
        for share in _up_to(basis.shares, level):
            upper = Fraction(share.level)
            exact += (upper - below) * share.price.minor / 100
            below = upper
        return money.round_ratio(exact.numerator, exact.denominator, self.rounding)

    def attributes(self, basis: Basis) -> dict[str, str]:
        return dict(basis.shares[-1].price.attributes) if basis.shares else {}


def _up_to(shares: Iterable[Share], level: Decimal) -> tuple[Share, ...]:
    """The shares of what lies below `level` percent."""
    found: list[Share] = []
    for share in shares:
        if found and found[-1].level >= level:
            break
        found.append(Share(min(share.level, level), share.price))
    return tuple(found)


class BySuccess(Pricing):
    """A share of the gain of a KPI; `values` are those that count, observed before the engagement's end."""

    def __init__(self, fee: Success, values: list[KpiValue], zone: str, exponent: int, rounding: str) -> None:
        super().__init__(rounding)
        self.instants = tuple(sorted({value.at for value in values}))
        self._fee = fee
        self._values = values
        self._zone = zone
        self._exponent = exponent
        self._forces: dict[tuple[int, int] | None, list[kpis.InForce]] = {}

    def place(self, value: KpiValue) -> tuple[int, int]:
        """Where the value's period stands on the time line: (end, start)."""
        return kpis.placed(value, self._zone)

    def _in_force(self, at: int, accepted: Decimal, basis: Basis) -> KpiValue | None:
        """The value that a fee is computed from: without `to_date` the one of the period that was accepted."""
        period = None
        if accepted > 0 and basis.value is not None and not self._fee.to_date:
            period = self.place(basis.value)
        forces = self._forces.get(period)
        if forces is None:
            values = [v for v in self._values if period is None or self.place(v) == period]
            forces = self._forces[period] = kpis.successive(values, self._zone)
        return next((force.value for force in reversed(forces) if force.since <= at), None)

    def claimed(self, at: int, report: Report | None, level: Decimal, accepted: Decimal, basis: Basis) -> Basis | None:
        value = self._in_force(at, accepted, basis)
        return None if value is None else Basis(value)

    def restated(self, at: int, report: Report | None, level: Decimal, accepted: Decimal, basis: Basis) -> Basis | None:
        return self.claimed(at, report, level, accepted, basis)

    def corrects(self, new: Basis, old: Basis) -> bool:
        return new.value is not None and old.value is not None and self.place(new.value) == self.place(old.value)

    def lapsed(self, claim: Basis, basis: Basis) -> bool:
        return not self._fee.to_date and not self.corrects(claim, basis)

    def newest_first(self, at: int) -> bool:
        return not self._fee.to_date

    def amount(self, level: Decimal, basis: Basis, at: int) -> int:
        if basis.value is None:
            return 0
        exact = success_minor(self._fee, basis.value.value, self._exponent) * Fraction(level) / 100
        return money.round_ratio(exact.numerator, exact.denominator, self.rounding)

    def values(self, basis: Basis) -> list[list[str | int | None]]:
        value = basis.value
        if value is None:
            return []
        start, end = (
            instant_text(bound) if isinstance(bound, int) else (None if bound is None else bound.isoformat())
            for bound in (value.start, value.end)
        )
        return [[self._fee.kpi, value.source, start, end, value.revision, money.canonical(value.value)]]


def admitting(milestone: Milestone, fee: Success) -> list[KpiGate]:
    """What a value must be for the fee: as the fee says, and every gate on it that must hold for a claim."""
    return [
        fee.measure,
        *(gate for gate in _musts(milestone.requires) if isinstance(gate, KpiGate) and gate.id == fee.kpi),
    ]


def _musts(gates: Iterable[Gate]) -> Iterable[Gate]:
    for gate in gates:
        if isinstance(gate, AllOf):
            yield from _musts(gate.gates)
        else:
            yield gate
