"""Prices that milestones and hours refer to: what payers pay, and what an hour of each meter costs."""

from milepost.contract.durations import read_dates
from milepost.contract.findings import Path
from milepost.contract.keys import CARD, RATE, TIME_AND_MATERIALS
from milepost.contract.tree import Value
from milepost.contract.values import AMOUNT, Reader
from milepost.contract.words import BILL, HOUR_UNITS
from milepost.core import contract as terms

__all__ = ["read_rate_cards", "read_time_and_materials"]


def read_rate_cards(read: Reader, value: Value, path: Path) -> dict[str, dict[str, terms.Card]]:
    """Name to payer to card, both sorted; without the cards that have a fault."""
    found = read.named(value, path, "a mapping of names to rate cards")
    read.rate_cards = frozenset(found)
    cards: dict[str, dict[str, terms.Card]] = {}
    for name in sorted(found):
        here = (*path, name)
        payers = read.named(found[name], here, "a mapping of payers to what they pay")
        if found[name] == {}:
            read.findings.error(here, "names no payer", "add one: {PAYER: {percent_of_charge: ...}}")
        read_ = {payer: _card(read, payers[payer], (*here, payer)) for payer in sorted(payers)}
        cards[name] = {payer: card for payer, card in read_.items() if card is not None}
    return cards


def _card(read: Reader, value: Value, path: Path) -> terms.Card | None:
    fields = read.mapping(value, path, CARD)
    if fields is None:
        return None
    procedures: dict[str, int] = {}
    if "procedures" in fields:
        procedures = _procedures(read, fields["procedures"], (*path, "procedures"))
    otherwise = None
    if "otherwise" in fields and fields["otherwise"] != "refuse":
        otherwise = _otherwise(read, fields["otherwise"], (*path, "otherwise"))
    share = read.optional(fields, "percent_of_charge", path, read.percentage)
    pays_after = read_dates(read, fields["pays_after"], (*path, "pays_after")) if "pays_after" in fields else None
    by_procedure = sorted({"procedures", "otherwise"} & fields.keys())
    if "percent_of_charge" in fields and by_procedure:
        found = f"holds percent_of_charge and {' and '.join(by_procedure)}"
        read.findings.error(path, found, "a payer pays by procedure, or a percentage of the charge")
    elif "percent_of_charge" not in fields and not by_procedure:
        read.findings.error(path, "holds no price", "write procedures, otherwise or percent_of_charge")
    elif (
        "percent_of_charge" not in fields
        and not fields.get("procedures")
        and fields.get("otherwise", "refuse") == "refuse"
    ):
        read.findings.warning(path, "the card prices nothing", "add procedures, or an amount as otherwise")
    return terms.Card(procedures=procedures, otherwise_minor=otherwise, percent_of_charge=share, pays_after=pays_after)


def _procedures(read: Reader, value: Value, path: Path) -> dict[str, int]:
    found = read.named(value, path, "a mapping of procedure codes to amounts")
    prices = {code: read.amount(found[code], (*path, code)) for code in sorted(found)}
    return {code: minor for code, minor in prices.items() if minor is not None}


def _otherwise(read: Reader, value: Value, path: Path) -> int | None:
    """What every other procedure is paid."""
    if isinstance(value, str) and value[:1].isalpha():
        read.wrong(value, path, f"refuse or {AMOUNT}")
        return None
    return read.amount(value, path)


def read_time_and_materials(read: Reader, value: Value, path: Path) -> terms.TimeAndMaterials | None:
    """The rates in the document's order: a limit is used up in it."""
    fields = read.mapping(value, path, TIME_AND_MATERIALS)
    if fields is None:
        return None
    if "bill" in fields:
        read.choice(fields["bill"], (*path, "bill"), BILL)
    limit = read.optional(fields, "not_to_exceed", path, read.amount)
    if "rates" not in fields:
        return None
    here = (*path, "rates")
    found = read.named(fields["rates"], here, "a mapping of meters to rates")
    if fields["rates"] == {}:
        read.findings.error(here, "names no meter", "add one: {senior: {price: ..., unit: HUR}}")
    rates = {meter: _rate(read, item, (*here, meter)) for meter, item in found.items()}
    return terms.TimeAndMaterials(
        rates={meter: rate for meter, rate in rates.items() if rate is not None}, not_to_exceed_minor=limit
    )


def _rate(read: Reader, value: Value, path: Path) -> terms.Rate | None:
    fields = read.mapping(value, path, RATE)
    if fields is None:
        return None
    # A unit price may be finer than the minor unit: only what it is multiplied to is rounded.
    price = read.optional(fields, "price", path, lambda item, here: read.decimal(item, here, AMOUNT))
    if price is not None and price.startswith("-"):
        read.findings.error((*path, "price"), f'"{price}" is out of range', "a price is zero or more")
    unit = read.choice(fields["unit"], (*path, "unit"), HOUR_UNITS) if "unit" in fields else "HUR"
    return terms.Rate(price, unit) if price is not None and unit is not None else None
