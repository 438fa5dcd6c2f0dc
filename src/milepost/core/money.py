"""Money as integers of minor units, percentages as exact ratios, one rounding rule an engagement (rules 1 to 4).

No float, and no decimal context: a ratio of integers is rounded once, at the end.
"""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

__all__ = [
    "allocate",
    "canonical",
    "distribute",
    "format_minor",
    "parse_minor",
    "percent",
    "percentage_of",
    "ratio",
    "round_ratio",
]

HALF_EVEN = "half_even"


def round_ratio(numerator: int, denominator: int, rounding: str) -> int:
    """Numerator / denominator to the nearest integer; a half goes away from zero, or to the even neighbour."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    quotient, rest = divmod(abs(numerator), denominator)
    double = 2 * rest
    if double > denominator or (double == denominator and (rounding != HALF_EVEN or quotient & 1)):
        quotient += 1
    return quotient if numerator >= 0 else -quotient


@lru_cache(maxsize=4096)
def percent(text: str) -> Decimal:
    """A decimal string as an exact number; only compared, never calculated with, so that no context rounds it.

    Raises ValueError for what is no finite decimal.
    """
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a decimal") from error
    if not number.is_finite():
        raise ValueError(f"{text!r} is not a finite decimal")
    return number


@lru_cache(maxsize=4096)
def ratio(text: str) -> Fraction:
    """A decimal string as an exact ratio, to calculate with. Raises ValueError like `percent`."""
    return Fraction(percent(text))


def percentage_of(amount: int, share: Decimal | Fraction, rounding: str) -> int:
    """`share` percent of `amount` minor units, rounded once."""
    numerator, denominator = share.as_integer_ratio()
    return round_ratio(amount * numerator, 100 * denominator, rounding)


def allocate(value: int, shares: Sequence[Decimal], rounding: str) -> list[int]:
    """Percentages of `value` that add up to round(sum of shares x value): largest remainder, ties to the earliest."""
    exact = [Fraction(share) * value / 100 for share in shares]
    whole = sum(exact, Fraction(0))
    return _largest_remainder(round_ratio(whole.numerator, whole.denominator, rounding), exact)


def distribute(total: int, weights: Sequence[Fraction]) -> list[int]:
    """`total` in proportion to the weights: largest remainder, ties to the earliest; all 0 where no weight is."""
    whole = sum(weights, Fraction(0))
    if not whole:
        return [0] * len(weights)
    return _largest_remainder(total, [total * weight / whole for weight in weights])


def _largest_remainder(total: int, exact: Sequence[Fraction]) -> list[int]:
    parts = [part.numerator // part.denominator for part in exact]
    order = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """A decimal without an exponent or trailing zeros after the point: "50.00" is "50", "1e3" is "1000"."""
    plain = format(Decimal(text), "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("-0", "") else plain


def parse_minor(text: str, exponent: int) -> int:
    """ "50000.00" with exponent 2 is 5000000. Raises ValueError for what is no decimal or finer than the exponent."""
    scaled = Fraction(percent(text)) * int(10**exponent)
    if scaled.denominator != 1:
        raise ValueError(f"{text!r} is finer than the currency's minor unit ({exponent} decimals)")
    return scaled.numerator


def format_minor(minor: int, exponent: int) -> str:
    """-750 with exponent 2 is "-7.50"; exact, without grouping."""
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(exponent + 1, "0")
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}" if exponent else f"{sign}{digits}"
