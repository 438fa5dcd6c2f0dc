"""Reads single values of a document; what is wrong becomes a finding and the value None, and reading goes on.

Every method takes the value and its path. Decimals stay the strings that were signed, amounts become minor units.
"""

import re
from collections.abc import Callable, Collection
from datetime import date
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

from milepost.contract.findings import Findings, Path
from milepost.contract.keys import Shape
from milepost.contract.tree import BROKEN, Real, Value, describe, quoted
from milepost.core import money

__all__ = [
    "DAY_PATTERN",
    "DECIMAL_PATTERN",
    "ID_PATTERN",
    "MAX_AMOUNT_MINOR",
    "MAX_COUNT",
    "MAX_DECIMAL_LENGTH",
    "MAX_NAME_LENGTH",
    "MAX_TEXT_LENGTH",
    "Reader",
    "shown",
]

Made = TypeVar("Made")

# Whatever a contract adds up has to fit into the `long` of an invoice line (9.2e18) with room for its corrections.
MAX_AMOUNT_MINOR = 10**17
# Enough for any measured value; sums of such decimals stay exact and cheap.
MAX_DECIMAL_LENGTH = 40
_EXACT = Context(prec=2 * MAX_DECIMAL_LENGTH)
MAX_COUNT = 2**31 - 1
MAX_NAME_LENGTH = 128
MAX_TEXT_LENGTH = 20_000
# Both ends keep a day's start and end in any time zone representable as an instant.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)

ID_PATTERN = r"[A-Za-z0-9._:-]{1,128}"
_ID = re.compile(ID_PATTERN)
# Most names are one word of these, and need no closer look.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._:@/+-]{1,128}")
DECIMAL_PATTERN = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
_DECIMAL = re.compile(DECIMAL_PATTERN)
_BARE_COUNT = re.compile(r"[1-9][0-9]{0,8}")
DAY_PATTERN = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DAY = re.compile(DAY_PATTERN)

DECIMAL = 'a decimal string such as "99.5"'
AMOUNT = 'an amount as a decimal string such as "50000.00"'
PERCENTAGE = 'a percentage as a string without a sign, such as "10"'
DAY = "a day as YYYY-MM-DD"


class Reader:
    """Reads values and keeps what the whole document needs: the currency's exponent and the names it defines."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.exponent: int | None = None
        self.has_value = False
        self.has_calendar = False
        self.counts_business_days = False
        self.milestones: frozenset[str] = frozenset()
        self.policies: frozenset[str] = frozenset()
        # None where the people could not be read: then no role is looked up.
        self.roles: frozenset[str] | None = frozenset()
        self.rate_cards: frozenset[str] = frozenset()
        # (milestone, the milestone it needs, path of the reference)
        self.dependencies: list[tuple[str, str, Path]] = []

    def wrong(self, value: Value, path: Path, expected: str, fix: str = "") -> None:
        """`value` is no `expected`; silent where the syntax was already refused."""
        if value is BROKEN:
            return
        if not fix:
            fix = "give a value, or leave the key out" if value is None else f"write {expected}"
        self.findings.error(path, f"{describe(value)} where {expected} is expected", fix)

    # ------------------------------------------------------------------------------------------------- containers

    def mapping(self, value: Value, path: Path, shape: Shape) -> dict[str, Value] | None:
        """A mapping with its keys checked; those that are unknown are left in it, unread."""
        if not isinstance(value, dict):
            self.wrong(value, path, f"a mapping with the keys {_listed(shape)}", "write it as key: value pairs")
            return None
        if not value.keys() <= shape.keys:
            self.odd_keys(value, path, shape)
        for key in shape.required:
            if key not in value:
                self.findings.error((*path, key), "is missing", f"add {key}: it has no default")
        return value

    def odd_keys(self, value: dict[str, Value], path: Path, shape: Shape) -> None:
        """One finding for every key that the shape does not have."""
        for key in value:
            if key in shape.keys:
                continue
            near = self.findings.nearest(key, shape.keys)
            fix = f'did you mean "{near}"?' if near else f"known here: {_listed(shape)}"
            self.findings.error((*path, key), f"the key {describe(key)} is unknown", fix)

    def sequence(self, value: Value, path: Path, expected: str) -> list[Value]:
        """A list with at least one item; an empty one is returned for whatever is none."""
        if isinstance(value, list) and value:
            return value
        fix = (
            "name at least one"
            if value == []
            else f"write [{value}]"
            if isinstance(value, str) and value.isalnum()
            else ""
        )
        self.wrong(value, path, expected, fix)
        return []

    def named(self, value: Value, path: Path, expected: str) -> dict[str, Value]:
        """A mapping whose keys are names of the document's own; an empty one for whatever is none."""
        if not isinstance(value, dict):
            self.wrong(value, path, expected)
            return {}
        for key in value:
            self.name(key, (*path, key))
        return value

    def optional(
        self, holder: dict[str, Value], key: str, path: Path, read: Callable[[Value, Path], Made | None]
    ) -> Made | None:
        """The value under `key`, where there is one."""
        return read(holder[key], (*path, key)) if key in holder else None

    # ------------------------------------------------------------------------------------------------------- text

    def text(self, value: Value, path: Path) -> str | None:
        """Text for people."""
        if not isinstance(value, str) or not value.strip():
            bare = quoted(value)
            self.wrong(value, path, "text", f"write {bare}" if bare else "")
            return None
        if len(value) > MAX_TEXT_LENGTH:
            self.findings.error(path, f"is {len(value)} characters long", f"{MAX_TEXT_LENGTH} at most")
            return None
        return value

    def name(self, value: Value, path: Path) -> str | None:
        """A name or code that is compared: one line, at most 128 characters, no space around it."""
        if isinstance(value, str) and _PLAIN_NAME.fullmatch(value):
            return value
        text = self.text(value, path)
        if text is None:
            return None
        if len(text) > MAX_NAME_LENGTH:
            self.findings.error(path, f"is {len(text)} characters long", f"{MAX_NAME_LENGTH} at most")
            return None
        if text != text.strip() or "\n" in text or "\r" in text or "\t" in text:
            self.findings.error(path, f"{describe(text)} has space around it or a line break", "leave it out")
            return None
        return text

    def names(self, value: Value, path: Path) -> tuple[str, ...] | None:
        """A list of names, each once."""
        items = self.sequence(value, path, "a list of names")
        found = [self.name(item, (*path, place)) for place, item in enumerate(items)]
        read = [item for item in found if item is not None]
        if len(read) != len(found) or not read:
            return None
        if len(set(read)) != len(read):
            self.findings.error(path, "names one twice", "name each once")
            return None
        return tuple(read)

    def identifier(self, value: Value, path: Path) -> str | None:
        """An id that becomes part of keys: letters, digits and . _ : - only."""
        expected = "an id of up to 128 letters, digits and . _ : -"
        if isinstance(value, str) and _ID.fullmatch(value):
            return value
        bare = quoted(value)
        self.wrong(value, path, expected, f"write {bare}" if bare else "use those characters only")
        return None

    def choice(self, value: Value, path: Path, options: tuple[str, ...]) -> str | None:
        """One of a few words."""
        if isinstance(value, str) and value in options:
            return value
        near = self.findings.nearest(value, options) if isinstance(value, str) else None
        listed = " or ".join(options)
        self.wrong(value, path, listed, f'did you mean "{near}"?' if near else f"write {listed}")
        return None

    def text_map(self, value: Value, path: Path) -> dict[str, str] | None:
        """Metadata: names to text, sorted by name, so that equal contracts have equal bytes."""
        if not isinstance(value, dict):
            self.wrong(value, path, "a mapping of names to text")
            return None
        read: dict[str, str] = {}
        for key in sorted(value):
            item = value[key]
            if self.name(key, (*path, key)) is None:
                continue
            if not isinstance(item, str):
                bare = quoted(item)
                self.wrong(item, (*path, key), "text", f"write {bare}" if bare else "metadata holds text only")
            else:
                read[key] = item
        return read if len(read) == len(value) else None

    # -------------------------------------------------------------------------------------------- numbers and days

    def decimal(self, value: Value, path: Path, expected: str = DECIMAL) -> str | None:
        """A decimal string, exactly as written."""
        if not isinstance(value, str):
            bare = quoted(value) if isinstance(value, int | Real) and not isinstance(value, bool) else None
            if bare is not None and isinstance(value, int) and not _DECIMAL.fullmatch(bare.strip('"')):
                bare = f'"{int(value)}"'  # 010 and 0o17 are the numbers ten and fifteen, and no decimals as they stand
            self.wrong(value, path, expected, f"write {bare}" if bare else "")
            return None
        if not _DECIMAL.fullmatch(value):
            self.wrong(value, path, expected, "digits and one point, without sign, exponent, grouping or unit")
            return None
        if len(value) > MAX_DECIMAL_LENGTH:
            self.findings.error(path, f"has {len(value)} characters", f"a decimal has {MAX_DECIMAL_LENGTH} at most")
            return None
        return value

    def percentage(self, value: Value, path: Path, *, above_zero: bool = False) -> str | None:
        """Between 0 and 100, both included unless `above_zero`."""
        text = self.decimal(value, path, PERCENTAGE)
        if text is None:
            return None
        if not _in_range(text, above_zero):
            bounds = "above 0 and at most 100" if above_zero else "between 0 and 100"
            self.findings.error(path, f'"{text}" is out of range', f"a percentage here is {bounds}")
            return None
        return text

    def amount(self, value: Value, path: Path) -> int | None:
        """Money in minor units, 0 or more; 0 where the currency is unknown, which is a finding of its own."""
        text = self.decimal(value, path, AMOUNT)
        if text is None:
            return None
        if self.exponent is None:
            return 0
        try:
            minor = _minor(text, self.exponent)
        except ValueError:
            digits = f"{self.exponent} decimals" if self.exponent else "no decimals"
            self.findings.error(path, f'"{text}" is finer than the minor unit', f"the currency has {digits}")
            return None
        if not 0 <= minor <= MAX_AMOUNT_MINOR:
            bounds = f"0 to {money.format_minor(MAX_AMOUNT_MINOR, self.exponent)}"
            self.findings.error(path, f'"{text}" is out of range', f"an amount here is {bounds}")
            return None
        return minor

    def count(self, value: Value, path: Path) -> int | None:
        """A whole number from 1 to what an Avro int holds."""
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_COUNT:
            return int(value)
        fix = f"write one from 1 to {MAX_COUNT}"
        if isinstance(value, str) and _BARE_COUNT.fullmatch(value):
            fix = f"write {value} without quotes"
        self.wrong(value, path, "a whole number from 1", fix)
        return None

    def role(self, value: Value, path: Path) -> str | None:
        """A role that somebody holds."""
        name = self.name(value, path)
        if name is None or self.roles is None or self.known(name, path, self.roles, "role", "add it under people"):
            return name
        return None

    def one_of(self, value: dict[str, Value], path: Path, shape: Shape, what: str) -> str | None:
        """The one key of the shape that a mapping holds; a finding for none and for several."""
        kinds = sorted(shape.keys & value.keys())
        if len(kinds) == 1:
            return kinds[0]
        listed = ", ".join(sorted(shape.keys))
        if kinds or not value:
            self.findings.error(path, f"holds {' and '.join(kinds) or 'nothing'}", f"{what} is one of {listed}")
        return None

    def flag(self, value: Value, path: Path) -> bool | None:
        """True or false."""
        if isinstance(value, bool):
            return value
        self.wrong(value, path, "true or false")
        return None

    def day(self, value: Value, path: Path) -> date | None:
        """A calendar day."""
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            self.wrong(value, path, DAY, "write it as 2026-03-31")
            return None
        try:
            day = date.fromisoformat(value)
        except ValueError:
            self.findings.error(path, f'"{value}" is no day of the calendar', "write one that exists")
            return None
        if not FIRST_DAY <= day <= LAST_DAY:
            self.findings.error(
                path, f'"{value}" is out of range', f"days are {FIRST_DAY} to {LAST_DAY}; no bound: no key"
            )
            return None
        return day

    # --------------------------------------------------------------------------------------------------- references

    def known(self, name: str | None, path: Path, names: Collection[str], what: str, define: str) -> bool:
        """Whether `name` is defined; a finding with the nearest name where it is not."""
        if name is None:
            return False
        if name in names:
            return True
        near = self.findings.nearest(name, names)
        fix = f'did you mean "{near}"?' if near else define
        self.findings.error(path, f"there is no {what} {describe(name)}", fix)
        return False


def _minor(text: str, exponent: int) -> int:
    """`money.parse_minor` of what is known to be a plain decimal, in a tenth of its time."""
    whole, _, fraction = text.partition(".")
    if len(fraction) > exponent:
        fraction = fraction.rstrip("0")
        if len(fraction) > exponent:
            raise ValueError(f"{text!r} is finer than the currency's minor unit ({exponent} decimals)")
    return int(whole + fraction.ljust(exponent, "0"))


@lru_cache(maxsize=4096)
def _in_range(text: str, above_zero: bool) -> bool:
    share = money.ratio(text)
    return 0 <= share <= 100 and (share > 0 or not above_zero)


def shown(number: Fraction) -> str:
    """A sum of percentages for a message: "99.99"."""
    return money.canonical(str(_EXACT.divide(Decimal(number.numerator), Decimal(number.denominator))))


def _listed(shape: Shape) -> str:
    return ", ".join(sorted(shape.keys))
