"""The contract as a whole: the header's keys, then everything below them, then what only the whole shows."""

from datetime import date
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import msgspec

from milepost.contract import approvals, lint, lint_approvals, lint_gates, milestones, parties, prices, withheld
from milepost.contract.findings import Findings, Path
from milepost.contract.free_days import free_days
from milepost.contract.keys import AMENDMENT, CONTRACT
from milepost.contract.tree import Value
from milepost.contract.values import Reader
from milepost.contract.words import AMENDMENT_MODES, BILL_ON, ROUNDINGS
from milepost.core import contract as terms
from milepost.core.contract import Contract
from milepost.core.currencies import EXPONENTS

__all__ = ["LANGUAGE", "read_contract"]

# The version of the language that this is.
LANGUAGE = 1

People = dict[str, tuple[terms.Person, ...]]
Sides = dict[str, tuple[str, ...]]
Policies = dict[str, terms.Policy | None]
Cards = dict[str, dict[str, terms.Card]]
Hours = terms.TimeAndMaterials | None
Stones = list[terms.Milestone | None]


def read_contract(value: Value, findings: Findings) -> Contract | None:
    """The contract that the values describe, or None when a finding refuses it. Every finding is in `findings`."""
    read = Reader(findings)
    if not isinstance(value, dict):
        read.wrong(value, (), "a mapping", f"begin with milepost: {LANGUAGE}")
        return None
    fields = read.mapping(value, (), CONTRACT)
    if fields is None:
        return None
    header = _header(read, fields)
    amendment = _amendment(read, fields["amendment"], ("amendment",)) if "amendment" in fields else None
    if amendment is not None and header.contract is not None and header.contract.version == 1:
        fix = "write the number of the next version, or leave amendment out"
        findings.warning(("amendment",), "the first version amends nothing", fix)
    people, sides, policies = _signers(read, fields)
    amendments_approval, signoff_approval = (
        approvals.read_approval_of(read, fields[key], (key,)) if key in fields else None
        for key in ("amendments", "signoff")
    )
    cards, hours, stones = _billed(read, fields, header.bill_on)
    retention = None
    if "retention" in fields:
        retention = withheld.read_retention(read, fields["retention"], ("retention",))

    lint_gates.check_dependencies(findings, read.dependencies)
    lint_approvals.check_policies(findings, policies, people, sides, header.effective_from)
    never = lint_gates.check_gates(findings, stones)
    lint_approvals.check_amendments(findings, stones, amendments_approval)
    lint.check_percentages(findings, stones)
    lint.check_retention(findings, retention, stones, never)
    lint.check_total(findings, stones, header.value_minor)
    if findings.failed or header.contract is None:
        return None
    calendar = header.contract.calendar if read.counts_business_days else None
    return msgspec.structs.replace(
        header.contract,
        holidays=free_days(calendar, header.contract.effective_from.year) if calendar else (),
        milestones=tuple(stone for stone in stones if stone is not None),
        people=people,
        sides=sides,
        policies={name: policy for name, policy in policies.items() if policy is not None},
        retention=retention,
        amendments_approval=amendments_approval,
        signoff_approval=signoff_approval,
        amendment=amendment,
        time_and_materials=hours,
        rate_cards=cards,
    )


class _Header(NamedTuple):
    """What stands at the head of a document: a contract without parts, and what the parts need although it fails."""

    contract: Contract | None
    effective_from: date | None
    value_minor: int | None
    bill_on: str


def _header(read: Reader, fields: dict[str, Value]) -> _Header:
    _language(read, fields)
    currency = _currency(read, fields)
    read.has_value = "value" in fields
    effective_from = read.optional(fields, "effective_from", (), read.day)
    bill_on = _chosen(read, fields, "bill_on", BILL_ON, "next_invoice")
    rounding = _chosen(read, fields, "rounding", ROUNDINGS, "half_up")
    customer = parties.read_customer(read, fields["customer"], ("customer",)) if "customer" in fields else None
    supplier = parties.read_supplier(read, fields["supplier"], ("supplier",)) if "supplier" in fields else (None, None)
    calendar = _calendar(read, fields)
    engagement = read.optional(fields, "engagement", (), read.identifier)
    version = read.optional(fields, "version", (), read.count)
    timezone = _timezone(read, fields)
    value_minor = read.optional(fields, "value", (), read.amount)
    purchase_order = read.optional(fields, "purchase_order", (), read.name)
    buyer_reference = read.optional(fields, "buyer_reference", (), read.name)
    metadata = read.optional(fields, "metadata", (), read.text_map)
    failed = _Header(None, effective_from, value_minor, bill_on)
    if engagement is None or version is None or customer is None or currency is None:
        return failed
    if timezone is None or effective_from is None:
        return failed
    contract = Contract(
        engagement=engagement,
        version=version,
        customer_id=customer[0],
        currency=currency,
        currency_exponent=EXPONENTS[currency],
        timezone=timezone,
        effective_from=effective_from,
        milestones=(),
        customer_name=customer[1],
        customer_metadata=customer[2],
        supplier_id=supplier[0],
        supplier_name=supplier[1],
        purchase_order=purchase_order,
        buyer_reference=buyer_reference,
        value_minor=value_minor,
        rounding=rounding,
        bill_on=bill_on,
        metadata=metadata or {},
        calendar=calendar,
    )
    return _Header(contract, effective_from, value_minor, bill_on)


def _billed(read: Reader, fields: dict[str, Value], bill_on: str) -> tuple[Cards, Hours, Stones]:
    """Rate cards, hours and milestones, which name the cards; without hours there has to be a milestone."""
    cards: Cards = {}
    if "rate_cards" in fields:
        cards = prices.read_rate_cards(read, fields["rate_cards"], ("rate_cards",))
    if "time_and_materials" not in fields:
        if "milestones" in fields:
            return cards, None, milestones.read_milestones(read, fields["milestones"], ("milestones",), bill_on)
        read.findings.error(("milestones",), "is missing", "add milestones: it has no default")
        return cards, None, []
    hours = prices.read_time_and_materials(read, fields["time_and_materials"], ("time_and_materials",))
    stones: Stones = []
    if fields.get("milestones", []) != []:
        stones = milestones.read_milestones(read, fields["milestones"], ("milestones",), bill_on)
    return cards, hours, stones


def _chosen(read: Reader, fields: dict[str, Value], key: str, choices: tuple[str, ...], default: str) -> str:
    return (read.choice(fields[key], (key,), choices) if key in fields else None) or default


def _language(read: Reader, fields: dict[str, Value]) -> None:
    version = fields.get("milepost", LANGUAGE)
    if version != LANGUAGE or isinstance(version, bool):
        read.wrong(
            version, ("milepost",), str(LANGUAGE), f"write milepost: {LANGUAGE}, the only version of the language"
        )


def _currency(read: Reader, fields: dict[str, Value]) -> str | None:
    """The code; sets the exponent by which every amount is read."""
    code = read.optional(fields, "currency", (), read.name)
    if code is None or not read.known(code, ("currency",), EXPONENTS.keys(), "currency", "use an ISO 4217 code: EUR"):
        return None
    read.exponent = EXPONENTS[code]
    return code


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    # The package's list, not the machine's: a contract is valid on every machine or on none.
    return frozenset((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())


def _timezone(read: Reader, fields: dict[str, Value]) -> str | None:
    zone = read.optional(fields, "timezone", (), read.name)
    define = "use a name of the IANA database: Europe/Berlin"
    return zone if read.known(zone, ("timezone",), _time_zones(), "time zone", define) else None


@lru_cache(maxsize=1)
def _calendars() -> frozenset[str]:
    # A quarter of a second: only a contract that names a calendar pays for it, once.
    import holidays

    countries = holidays.list_supported_countries()
    parts = (f"{country}-{part}" for country, names in countries.items() for part in names)
    return frozenset((*countries, *parts))


def _calendar(read: Reader, fields: dict[str, Value]) -> str | None:
    """The name; also notes that there is one, which business days need."""
    read.has_calendar = "calendar" in fields
    name = read.optional(fields, "calendar", (), read.name)
    if name is not None:
        define = "use a country, or country and part, that the holidays library knows: DE, DE-BY"
        read.known(name, ("calendar",), _calendars(), "calendar", define)
    return name


def _amendment(read: Reader, value: Value, path: Path) -> terms.Amendment | None:
    fields = read.mapping(value, path, AMENDMENT)
    if fields is None:
        return None
    mode = read.choice(fields["mode"], (*path, "mode"), AMENDMENT_MODES) if "mode" in fields else None
    since = read.optional(fields, "from", path, read.day)
    return terms.Amendment(mode, since) if mode is not None and since is not None else None


def _signers(read: Reader, fields: dict[str, Value]) -> tuple[People, Sides, Policies]:
    """People, sides and policies; roles are looked up only where people could be read."""
    people: People = {}
    if "people" in fields:
        people = parties.read_people(read, fields["people"], ("people",))
    elif fields.get("approvals") or fields.get("sides"):
        read.findings.error(("people",), "is missing", "add people: policies and sides name their roles")
        read.roles = None
    sides: Sides = {}
    if "sides" in fields:
        sides = parties.read_sides(read, fields["sides"], ("sides",))
    policies: Policies = {}
    if "approvals" in fields:
        policies = approvals.read_policies(read, fields["approvals"], ("approvals",))
    return people, sides, policies
