"""Who is involved: customer and supplier, who holds which role, and the sides."""

from milepost.contract.findings import Path
from milepost.contract.keys import CUSTOMER, PERSON, SIDES, SUPPLIER
from milepost.contract.tree import Value
from milepost.contract.values import Reader
from milepost.core import contract as terms

__all__ = ["read_customer", "read_people", "read_sides", "read_supplier"]


def read_customer(read: Reader, value: Value, path: Path) -> tuple[str, str, dict[str, str]] | None:
    """Id, name (by default the id) and metadata."""
    fields = read.mapping(value, path, CUSTOMER)
    if fields is None:
        return None
    id_ = read.optional(fields, "id", path, read.name)
    name = read.optional(fields, "name", path, read.text)
    metadata = read.optional(fields, "metadata", path, read.text_map)
    return (id_, name or id_, metadata or {}) if id_ is not None else None


def read_supplier(read: Reader, value: Value, path: Path) -> tuple[str | None, str | None]:
    """Id and name (by default the id)."""
    fields = read.mapping(value, path, SUPPLIER)
    if fields is None:
        return None, None
    id_ = read.optional(fields, "id", path, read.name)
    return id_, read.optional(fields, "name", path, read.text) or id_


def read_people(read: Reader, value: Value, path: Path) -> dict[str, tuple[terms.Person, ...]]:
    """Roles, sorted by name, with their holders in the order given; without the roles that have a fault."""
    roles = read.named(value, path, "a mapping of roles to lists of people")
    read.roles = frozenset(roles) if isinstance(value, dict) else None
    people: dict[str, tuple[terms.Person, ...]] = {}
    for role in sorted(roles):
        here = (*path, role)
        holders = roles[role]
        if holders == []:
            read.findings.error(here, "the role has no people", "name at least one, or leave the role out")
            continue
        items = read.sequence(holders, here, "a list of people")
        found = [_person(read, item, (*here, place)) for place, item in enumerate(items)]
        persons = tuple(person for person in found if person is not None)
        if items and len(persons) == len(items):
            people[role] = persons
    return people


def _person(read: Reader, value: Value, path: Path) -> terms.Person | None:
    if not isinstance(value, dict):
        id_ = read.name(value, path)
        return terms.Person(id_) if id_ is not None else None
    fields = read.mapping(value, path, PERSON) or {}
    id_ = read.optional(fields, "id", path, read.name)
    since = read.optional(fields, "from", path, read.day)
    until = read.optional(fields, "until", path, read.day)
    if since is not None and until is not None and since > until:
        read.findings.error(path, f"holds the role from {since} until {until}", "write the earlier day as from")
    return terms.Person(id_, since, until) if id_ is not None else None


def read_sides(read: Reader, value: Value, path: Path) -> dict[str, tuple[str, ...]]:
    """Which roles act for the supplier, which for the customer."""
    fields = read.mapping(value, path, SIDES) or {}
    sides: dict[str, tuple[str, ...]] = {}
    for side in sorted(fields.keys() & SIDES.keys):
        roles = read.names(fields[side], (*path, side)) or ()
        for place, role in enumerate(roles):
            if read.roles is not None:
                read.known(role, (*path, side, place), read.roles, "role", "add it under people")
        sides[side] = roles
    return sides
