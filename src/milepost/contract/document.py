"""The contract as a whole: the header's keys, then everything below them, then what only the whole shows."""

import re
from functools import lru_cache
from importlib import resources

from milepost.contract import lint, milestones, parties, withheld
from milepost.contract.findings import Findings
from milepost.contract.keys import APPROVAL_OF, CONTRACT
from milepost.contract.tree import Value
from milepost.contract.values import Reader
from milepost.core import contract as terms
from milepost.core.contract import Contract
from milepost.core.currencies import EXPONENTS

__all__ = ["LANGUAGE", "read_contract"]

# The version of the language that this is.
LANGUAGE = 1
_ROUNDINGS = ("half_up", "half_even")
_CURRENCY = re.compile(r"[A-Z]{3}")
_CALENDAR = re.compile(r"([A-Z]{2})(?:-(.+))?")

People = dict[str, tuple[terms.Person, ...]]
Sides = dict[str, tuple[str, ...]]
Policies = dict[str, terms.Policy | None]


def read_contract(value: Value, findings: Findings) -> Contract | None:
    """The contract that the values describe, or None when a finding refuses it. Every finding is in `findings`."""
    read = Reader(findings)
    if not isinstance(value, dict):
        read.wrong(value, (), "a mapping", f"begin with milepost: {LANGUAGE}")
        return None
    fields = read.mapping(value, (), CONTRACT)
    if fields is None:
        return None
    if "milestones" not in fields and "time_and_materials" not in fields:
        findings.error(("milestones",), "is missing", "add milestones: it has no default")
    _language(read, fields)
    currency = _currency(read, fields)
    read.has_value = "value" in fields
    effective_from = read.optional(fields, "effective_from", (), read.day)
    bill_on = _chosen(read, fields, "bill_on", milestones.BILL_ON, "next_invoice")
    rounding = _chosen(read, fields, "rounding", _ROUNDINGS, "half_up")
    customer = parties.read_customer(read, fields["customer"], ("customer",)) if "customer" in fields else None
    supplier = parties.read_supplier(read, fields["supplier"], ("supplier",)) if "supplier" in fields else (None, None)
    _calendar(read, fields)
    people, sides, policies = _signers(read, fields)
    stones: list[terms.Milestone | None] = []
    if "milestones" in fields:
        stones = milestones.read_milestones(read, fields["milestones"], ("milestones",), bill_on)
    retention = None
    if "retention" in fields:
        retention = withheld.read_retention(read, fields["retention"], ("retention",))
    signed = [_approval_of(read, fields, key) for key in ("amendments", "signoff")]
    engagement = read.optional(fields, "engagement", (), read.identifier)
    version = read.optional(fields, "version", (), read.count)
    timezone = _timezone(read, fields)
    value_minor = read.optional(fields, "value", (), read.amount)
    purchase_order = read.optional(fields, "purchase_order", (), read.name)
    buyer_reference = read.optional(fields, "buyer_reference", (), read.name)
    metadata = read.optional(fields, "metadata", (), read.text_map)

    lint.check_dependencies(findings, read.dependencies)
    lint.check_policies(findings, policies, people, sides, effective_from)
    lint.check_milestones(findings, stones, amendments_signed=signed[0])
    lint.check_retention(findings, retention)
    lint.check_total(findings, stones, value_minor)
    if findings.failed or engagement is None or version is None or customer is None or currency is None:
        return None
    if timezone is None or effective_from is None:
        return None
    return Contract(
        engagement=engagement,
        version=version,
        customer_id=customer[0],
        currency=currency,
        currency_exponent=EXPONENTS[currency],
        timezone=timezone,
        effective_from=effective_from,
        milestones=tuple(stone for stone in stones if stone is not None),
        customer_name=customer[1],
        customer_metadata=customer[2],
        supplier_id=supplier[0],
        supplier_name=supplier[1],
        purchase_order=purchase_order,
        buyer_reference=buyer_reference,
        value_minor=value_minor,
        rounding=rounding,
        bill_on=bill_on,
        people=people,
        sides=sides,
        policies={name: policy for name, policy in policies.items() if policy is not None},
        retention=retention,
        metadata=metadata or {},
    )


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


def _calendar(read: Reader, fields: dict[str, Value]) -> None:
    """Checked and not kept: nothing counts business days yet."""
    name = read.optional(fields, "calendar", (), read.name)
    if name is not None:
        define = "use a country, or country and part, that the holidays library knows: DE, DE-BY"
        read.known(name, ("calendar",), _calendars(), "calendar", define)


def _signers(read: Reader, fields: dict[str, Value]) -> tuple[People, Sides, Policies]:
    """People, sides and policies; roles are looked up only where people could be read."""
    roles_read = isinstance(fields.get("people"), dict)
    people = parties.read_people(read, fields["people"], ("people",)) if "people" in fields else {}
    if "people" not in fields and (fields.get("approvals") or fields.get("sides")):
        read.findings.error(("people",), "is missing", "add people: policies and sides name their roles")
    sides: Sides = {}
    if "sides" in fields:
        sides = parties.read_sides(read, fields["sides"], ("sides",), roles_read=roles_read)
    policies: Policies = {}
    if "approvals" in fields:
        policies = parties.read_policies(read, fields["approvals"], ("approvals",), roles_read=roles_read)
    return people, sides, policies


def _approval_of(read: Reader, fields: dict[str, Value], key: str) -> bool:
    """Whether amendments or the sign-off are signed: never yet."""
    inner = read.mapping(fields[key], (key,), APPROVAL_OF) if key in fields else None
    if inner is None or "approval" not in inner:
        return False
    approval = inner["approval"]
    if isinstance(approval, str) and approval != "none":
        read.later((key, "approval"))
        return True
    if approval != "none":
        read.wrong(approval, (key, "approval"), "a policy's name or none", 'write "none"')
    return False
