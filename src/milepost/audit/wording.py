"""How an explanation writes amounts, instants and gates: exact, with the rounding that follows."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from milepost.core import money
from milepost.core.contract import (
    AnyOf,
    Completed,
    Contract,
    DateGate,
    EarlierOf,
    EvidenceGate,
    Gate,
    KpiGate,
    LaterOf,
    MilestoneGate,
    Moment,
    OnDate,
    RegulatorGate,
)

__all__ = ["Money", "amount", "gate_text", "instant", "moment_text", "named", "number"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACES = 6  # of a number that no decimal says exactly
_BOUNDS = {"at_least": "at least", "above": "above", "at_most": "at most", "below": "below"}


class Money(NamedTuple):
    """How amounts of one engagement are written and rounded."""

    currency: str
    exponent: int
    rounding: str

    @classmethod
    def of(cls, contract: Contract) -> "Money":
        """As the contract has it."""
        return cls(contract.currency, contract.currency_exponent, contract.rounding)

    def text(self, minor: int | Fraction) -> str:
        """Minor units as major ones, exact; what no decimal says exactly ends in dots."""
        exact = Fraction(minor)
        if exact.denominator == 1:
            return amount(exact.numerator, self.exponent, self.currency)
        return f"{number(exact / int(10**self.exponent))} {self.currency}"

    def rounded(self, minor: Fraction) -> tuple[str, int]:
        """The exact amount, what it is rounded to if it has to be, and that in minor units."""
        whole = money.round_ratio(minor.numerator, minor.denominator, self.rounding)
        if minor.denominator == 1:
            return self.text(minor), whole
        return f"{self.text(minor)}, rounded {self.rounding.replace('_', ' ')} {self.text(whole)}", whole


def number(exact: Fraction) -> str:
    """A canonical decimal; of what no decimal says exactly six places and dots."""
    denominator, places = exact.denominator, 0
    while denominator % 2 == 0 or denominator % 5 == 0:
        denominator //= 10 if denominator % 10 == 0 else 2 if denominator % 2 == 0 else 5
        places += 1
    if denominator == 1:
        scaled = exact * int(10**places)
        return money.canonical(money.format_minor(scaled.numerator, places))
    scaled = abs(exact) * int(10**_PLACES)
    sign = "-" if exact < 0 else ""
    return f"{sign}{money.format_minor(scaled.numerator // scaled.denominator, _PLACES)}..."


def amount(minor: int, exponent: int | None, currency: str | None) -> str:
    """ "12.50 EUR" of 1250 minor units."""
    return f"{money.format_minor(minor, exponent or 0)} {currency or ''}".rstrip()


def instant(at: int) -> str:
    """In UTC, to the second."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="seconds").replace("+00:00", "Z")


def named(milestone: str, occurrence: str | None) -> str:
    """A milestone with its occurrence, if it repeats."""
    return f"{milestone} {occurrence}" if occurrence else milestone


def gate_text(gate: Gate, occurrence: str | None = None) -> str:
    """What a gate asks for; `occurrence` is the filing of one that names none."""
    if isinstance(gate, Completed):
        return "completed"
    if isinstance(gate, EvidenceGate):
        return f"evidence {', '.join(gate.names)}"
    if isinstance(gate, KpiGate):
        asked = [f"{word} {getattr(gate, name)}" for name, word in _BOUNDS.items() if getattr(gate, name) is not None]
        return f"{gate.id} {' and '.join(asked) or 'has a value'}"
    if isinstance(gate, DateGate):
        return f"date {gate.on}"
    if isinstance(gate, MilestoneGate):
        return f"{gate.milestone} accepted to at least {gate.at_least} %"
    if isinstance(gate, RegulatorGate):
        return f"{' and '.join(gate.by)} on {gate.filing or occurrence} at least {gate.at_least}"
    return f"one of {len(gate.gates)} gates" if isinstance(gate, AnyOf) else f"all of {len(gate.gates)} gates"


def moment_text(when: Moment) -> str:
    """When a release is due."""
    if isinstance(when, LaterOf | EarlierOf):
        word = "later" if isinstance(when, LaterOf) else "earlier"
        return f"the {word} of {' and '.join(map(moment_text, when.moments))}"
    if isinstance(when, OnDate):
        return when.on.isoformat()
    return "the sign-off" if when.after is None else f"{when.after.text} after the sign-off"
