"""What a fee is worth, step by step: the core's own functions compute it, the sentences say how."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from milepost.audit.wording import Money, instant, number
from milepost.core import money
from milepost.core.claims import percent_text
from milepost.core.contract import Clawback, Contract, PercentOfValue, RateCard, Success
from milepost.core.pricing import Share
from milepost.core.rules import fees
from milepost.core.rules.clawbacks import Fired
from milepost.core.terms import Terms

__all__ = ["agreed_steps", "card_steps", "clawback_steps", "priced_steps", "success_steps"]

_WHOLE = Decimal(100)


def agreed_steps(terms: Terms, milestone: str, fee_minor: int, level: Decimal) -> list[str]:
    """A fixed fee or a percentage of the value, as far as it is accepted; `fee_minor` is what it became."""
    unit = Money.of(terms.contract)._replace(rounding=terms.rounding)
    fee = terms.milestones[milestone].fee
    steps = []
    if isinstance(fee, PercentOfValue):
        value = terms.contract.value_minor or 0
        exact = money.ratio(fee.percent) * value / 100
        share = f"{fee.percent} % of the value {unit.text(value)} = {unit.text(exact)}"
        if exact == fee_minor:
            steps.append(share)
        elif abs(exact - fee_minor) < 1:
            steps.append(f"{share}, {unit.text(fee_minor)} as all percentages together are rounded once")
        else:
            kept = "what was accepted before it keeps its fee, the others share the rest by their percentages"
            version = f"version {terms.contract.version} ({terms.mode or 'the first'})"
            steps.append(
                f"{fee.percent} % of the value {unit.text(value)} in {version}, {kept}: {unit.text(fee_minor)}"
            )
    exact = fee_minor * Fraction(level) / 100
    steps.append(f"fee {unit.text(fee_minor)} x {percent_text(level)} % accepted = {unit.rounded(exact)[0]}")
    return steps


def success_steps(fee: Success, value: str, level: Decimal, unit: Money) -> list[str]:
    """A share of the gain: the gain, each tier's part of it, floor, cap, what is accepted, rounded once."""
    gain = money.ratio(value) - money.ratio(fee.baseline)
    steps = [f"gain {value} - baseline {fee.baseline} = {number(gain)}"]
    if gain <= 0:
        return [*steps, "no positive gain, no fee"]
    parts = fees.earned(fee, gain)
    scale = int(10**unit.exponent)
    sums = sum((part.gain * money.ratio(part.rate) * scale / 100 for part in parts), Fraction(0))
    minor = fees.success_minor(fee, value, unit.exponent)
    how = "marginal" if fee.marginal else "slab"
    shares = " + ".join(f"{number(part.gain)} x {part.rate} %" for part in parts)
    beyond = "" if fee.marginal or parts[0].gain == gain else "; the gain beyond the last tier counts up to its end"
    exact = unit.rounded(minor)[0] if level == _WHOLE and sums == minor else unit.text(sums)
    steps.append(f"{shares} = {exact} ({how}{beyond})")
    steps += _bounded(fee, sums, minor, unit, level)
    if level != _WHOLE:
        part = unit.rounded(minor * Fraction(level) / 100)[0]
        steps.append(f"{unit.text(minor)} x {percent_text(level)} % accepted = {part}")
    if fee.to_date:
        steps.append("to date: the value is cumulative, what is billed is subtracted")
    return steps


def _bounded(fee: Success, sums: Fraction, minor: Fraction, unit: Money, level: Decimal) -> list[str]:
    """Floor and cap, and what they make of it."""
    given = [(word, bound) for word, bound in (("floor", fee.floor_minor), ("cap", fee.cap_minor)) if bound is not None]
    if not given:
        return []
    said = ", ".join(f"{word} {unit.text(bound)}" for word, bound in given)
    if minor == sums:
        return [f"{said}: it stays"]
    return [f"{said}: it is {unit.text(minor)}"]


def card_steps(contract: Contract, fee: RateCard, attributes: Mapping[str, str]) -> list[str]:
    """What a payer's card pays for a report with these attributes, in the version of the contract; nothing: no rate."""
    price = fees.price(contract, fee, attributes)
    if price is None:
        return []
    unit, card = Money.of(contract), contract.rate_cards[fee.card][price.payer]
    after = f", {card.pays_after.text} after the invoice's date" if card.pays_after else ""
    if card.percent_of_charge is not None:
        charge = attributes[fees.CHARGE]
        exact = unit.rounded(price.minor)[0]
        return [
            f"card {fee.card}: payer {price.payer} pays {card.percent_of_charge} % of the charge{after}",
            f"charge {charge} x {card.percent_of_charge} % = {exact}",
        ]
    known = price.procedure in card.procedures
    what = f"procedure {price.procedure}" if known else f"any other procedure ({price.procedure or 'none named'})"
    return [f"card {fee.card}: payer {price.payer} pays {unit.text(price.minor)} for {what}{after}"]


def priced_steps(shares: Sequence[Share], level: Decimal, unit: Money) -> list[str]:
    """What is accepted in parts, each by the price of its own report, rounded once; nothing of what is whole."""
    if len(shares) == 1 and level == _WHOLE:
        return []
    exact, below, parts = Fraction(0), Fraction(0), []
    for share in shares:
        upper = Fraction(min(share.level, level))
        exact += (upper - below) * share.price.minor / 100
        parts.append(f"{unit.text(share.price.minor)} x {number(upper - below)} %")
        below = upper
    return [f"{' + '.join(parts)} accepted = {unit.rounded(exact)[0]}"]


def clawback_steps(clawback: Clawback, fired: Fired, unit: Money) -> list[str]:
    """When the window was, what fell into it, and what share of the charge is taken back."""
    months = clawback.within.months
    days = f"from {fired.since} to {fired.last}, the last day included"
    seen = f"revision {fired.value.revision}, observed {instant(fired.value.at)}"
    steps = [
        f"what it rests on was observed {instant(fired.hit)}; the window of {clawback.within.text} is {days}",
        f"{clawback.when.id} was {fired.value.value} ({seen})",
    ]
    exact = money.ratio(clawback.share) * fired.left_minor / 100
    formula = f"gross less credits {unit.text(fired.left_minor)} x {clawback.share} %"
    if clawback.linear and months:
        steps.append(f"linear: {fired.elapsed} whole months of {months} had elapsed")
        formula += f" x ({months} - {fired.elapsed}) / {months}"
        exact = exact * Fraction(months - fired.elapsed, months)
    else:
        steps.append("flat: the whole share, whenever in the window")
    return [*steps, f"{formula} = {unit.rounded(exact)[0]} taken back"]
