"""Fees that follow from facts: a share of a gain, a payer's rate card (rules 19, 20). Exact; nobody rounds here."""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from milepost.core import money
from milepost.core.checks import check_decimal
from milepost.core.contract import Card, Contract, RateCard, Success

__all__ = [
    "CHARGE",
    "PAYER",
    "PROCEDURE",
    "Earned",
    "Price",
    "charge_of",
    "earned",
    "price",
    "pricing_content",
    "reads_charge",
    "success_minor",
]

PAYER, PROCEDURE, CHARGE = "payer_id", "procedure_code", "charge"
PRICING = (PAYER, PROCEDURE, CHARGE)  # the attributes of a report that a rate card can read


class Price(NamedTuple):
    """What a card pays for the whole of a report, in minor units, exact; and what it was found by."""

    minor: Fraction
    payer: str
    procedure: str | None
    attributes: tuple[tuple[str, str], ...]  # those of the report that price
    due_after: str | None


def success_minor(fee: Success, value: str, exponent: int) -> Fraction:
    """The success fee for a value, in minor units, exact; 0 where there is no gain.

    `value` and `fee.baseline` are major units; `exponent` is the currency's.
    """
    gain = money.ratio(value) - money.ratio(fee.baseline)
    if gain <= 0:
        return Fraction(0)
    minor = (
        sum((part.gain * money.ratio(part.rate) for part in earned(fee, gain)), Fraction(0)) * int(10**exponent) / 100
    )
    if fee.floor_minor is not None:
        minor = max(minor, Fraction(fee.floor_minor))
    return minor if fee.cap_minor is None else min(minor, Fraction(fee.cap_minor))


class Earned(NamedTuple):
    """A part of a gain, in major units, and the percentage that is earned of it."""

    gain: Fraction
    rate: str


def earned(fee: Success, gain: Fraction) -> list[Earned]:
    """What of a gain above 0 earns which rate, before floor and cap."""
    return _marginal(fee, gain) if fee.marginal else [_slab(fee, gain)]


def _marginal(fee: Success, gain: Fraction) -> list[Earned]:
    """Each tier's rate on its part of the gain."""
    found: list[Earned] = []
    below = Fraction(0)
    for tier in fee.tiers:
        upper = gain if tier.up_to is None else min(gain, money.ratio(tier.up_to))
        if upper > below:
            found.append(Earned(upper - below, tier.rate))
            below = upper
    return found


def _slab(fee: Success, gain: Fraction) -> Earned:
    """The rate of the gain's tier on all of it; a gain beyond the last tier counts up to its end."""
    for tier in fee.tiers:
        if tier.up_to is None or gain <= money.ratio(tier.up_to):
            return Earned(gain, tier.rate)
    last = fee.tiers[-1]
    return Earned(money.ratio(last.up_to or "0"), last.rate)


def price(contract: Contract, fee: RateCard, attributes: Mapping[str, str]) -> Price | None:
    """What the card in this version of the contract pays for a report with these attributes; None: it has no rate."""
    payer, card = _card(contract, fee, attributes)
    if card is None:
        return None
    reads: tuple[str, ...] = (PAYER, PROCEDURE)
    if card.percent_of_charge is not None:
        charge = attributes.get(CHARGE)
        if charge is None or charge_of(charge) is None:
            return None
        reads = (PAYER, CHARGE)
        minor = money.ratio(card.percent_of_charge) * money.ratio(charge) * int(10**contract.currency_exponent) / 100
    else:
        known = card.procedures.get(attributes.get(PROCEDURE, ""), card.otherwise_minor)
        if known is None:
            return None
        minor = Fraction(known)
    return Price(
        minor=minor,
        payer=payer,
        procedure=attributes.get(PROCEDURE),
        attributes=pricing_content(attributes, reads),
        due_after=card.pays_after.text if card.pays_after else None,
    )


def _card(contract: Contract, fee: RateCard, attributes: Mapping[str, str]) -> tuple[str, Card | None]:
    payer = attributes.get(PAYER) or contract.customer_metadata.get(PAYER, "")
    return payer, contract.rate_cards[fee.card].get(payer)


def reads_charge(contract: Contract, fee: RateCard, attributes: Mapping[str, str]) -> bool:
    """Whether the report's charge decides its price."""
    _, card = _card(contract, fee, attributes)
    return card is not None and card.percent_of_charge is not None


def charge_of(text: str) -> Fraction | None:
    """A charge as an exact ratio of major units; None for what is no decimal, or below zero."""
    if check_decimal(CHARGE, text) is not None:
        return None
    charge = money.ratio(text)
    return charge if charge >= 0 else None


def pricing_content(attributes: Mapping[str, str], names: tuple[str, ...] = PRICING) -> tuple[tuple[str, str], ...]:
    """The attributes that price, as they are compared and hashed: a charge is a number, "250.00" is "250"."""
    return tuple((name, _canonical(name, attributes[name])) for name in names if name in attributes)


def _canonical(name: str, text: str) -> str:
    return money.canonical(text) if name == CHARGE and charge_of(text) is not None else text
