"""Codes that a contract names are those that their publishers list."""

import iso4217
import pytest

from milepost.contract.units import UNIT_CODES
from milepost.core.currencies import EXPONENTS


def test_currencies_and_their_exponents_are_iso_4217() -> None:
    published = {currency.code: currency.exponent for currency in iso4217.Currency if currency.exponent is not None}
    assert len(published) > 150
    assert published == EXPONENTS


@pytest.mark.parametrize(("code", "exponent"), [("JPY", 0), ("EUR", 2), ("KWD", 3), ("CLF", 4)])
def test_exponents(code: str, exponent: int) -> None:
    assert EXPONENTS[code] == exponent


def test_unit_codes_are_those_of_recommendation_20() -> None:
    used = ("LS", "C62", "ACT", "E48", "E49", "HUR", "DAY", "WEE", "MON", "ANN", "MIN", "KWH", "P1", "XPP")
    assert [code for code in used if code not in UNIT_CODES] == []
    assert [code for code in ("HOUR", "PCS", "", "hur", "XX") if code in UNIT_CODES] == []
    assert len(UNIT_CODES) == 2162
