"""Laws of money: exact, one rounding, percentages that add up."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.core import money

AMOUNTS = st.integers(-(10**15), 10**15)
PERCENTAGES = st.decimals(0, 100, places=4).map(str)


@given(AMOUNTS, st.integers(1, 10**9), st.sampled_from(["half_up", "half_even"]))
def test_rounding_is_to_the_nearest_and_symmetric(numerator: int, denominator: int, rounding: str) -> None:
    rounded = money.round_ratio(numerator, denominator, rounding)
    assert abs(Fraction(numerator, denominator) - rounded) <= Fraction(1, 2)
    assert money.round_ratio(-numerator, denominator, rounding) == -rounded


@pytest.mark.parametrize(("rounding", "expected"), [("half_up", [1, 2, 3, -1, -2]), ("half_even", [0, 2, 2, 0, -2])])
def test_halves(rounding: str, expected: list[int]) -> None:
    assert [money.round_ratio(n, 2, rounding) for n in (1, 3, 5, -1, -3)] == expected


@given(
    st.integers(0, 10**12), st.lists(PERCENTAGES, min_size=1, max_size=12), st.sampled_from(["half_up", "half_even"])
)
def test_percentages_add_up_to_the_rounded_whole(value: int, shares: list[str], rounding: str) -> None:
    exact = [money.percent(share) for share in shares]
    parts = money.allocate(value, exact, rounding)
    assert sum(parts) == money.percentage_of(value, sum(map(Fraction, exact), Fraction(0)), rounding)
    assert all(abs(part - value * Fraction(share) / 100) < 1 for part, share in zip(parts, exact, strict=True))


def test_ties_go_to_the_earliest() -> None:
    assert money.allocate(100, [Decimal("33.5")] * 2 + [Decimal(33)], "half_up") == [34, 33, 33]


@given(AMOUNTS, st.integers(0, 4))
def test_amounts_are_read_as_they_are_written(minor: int, exponent: int) -> None:
    assert money.parse_minor(money.format_minor(minor, exponent), exponent) == minor


def test_an_amount_finer_than_the_minor_unit_is_an_error() -> None:
    with pytest.raises(ValueError, match="finer than the currency's minor unit"):
        money.parse_minor("1.005", 2)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_a_canonical_decimal_is_the_same_number_in_its_shortest_form(number: Decimal) -> None:
    text = money.canonical(str(number))
    assert Decimal(text) == number
    assert "E" not in text
    assert not ("." in text and text.endswith(("0", ".")))
    assert text != "-0"
