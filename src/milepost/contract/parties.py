"""Who is involved: customer and supplier, who holds which role, the sides, and the policies by which they sign."""

from milepost.contract.findings import Path
from milepost.contract.keys import CUSTOMER, PERSON, POLICY, SIDES, STEP, SUPPLIER
from milepost.contract.tree import Value
from milepost.contract.values import Reader
from milepost.core import contract as terms

__all__ = ["MAX_POLICIES", "MAX_STEPS", "read_customer", "read_people", "read_policies", "read_sides", "read_supplier"]

# Whether a policy can be satisfied is decided over all subsets of its steps.
MAX_STEPS = 10
MAX_POLICIES = 100


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
    read.roles = frozenset(roles)
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


def read_sides(read: Reader, value: Value, path: Path, *, roles_read: bool) -> dict[str, tuple[str, ...]]:
    """Which roles act for the supplier, which for the customer."""
    fields = read.mapping(value, path, SIDES) or {}
    sides: dict[str, tuple[str, ...]] = {}
    for side in sorted(fields.keys() & SIDES.supported):
        roles = read.names(fields[side], (*path, side)) or ()
        for place, role in enumerate(roles):
            if roles_read:
                read.known(role, (*path, side, place), read.roles, "role", "add it under people")
        sides[side] = roles
    return sides


def read_policies(read: Reader, value: Value, path: Path, *, roles_read: bool) -> dict[str, terms.Policy | None]:
    """Policies, sorted by name; None where one has a fault. Without `roles_read` no role is looked up."""
    found = read.named(value, path, "a mapping of names to policies")
    if len(found) > MAX_POLICIES:
        read.findings.error(path, f"holds {len(found)} policies", f"{MAX_POLICIES} at most")
        return {}
    read.policies = frozenset(found)
    policies: dict[str, terms.Policy | None] = {}
    for name in sorted(found):
        here = (*path, name)
        if name == "none":
            read.findings.error(here, "a policy cannot be called none", 'rename it: "none" means that nobody signs')
        policies[name] = _policy(read, found[name], here, roles_read)
    return policies


def _policy(read: Reader, value: Value, path: Path, roles_read: bool) -> terms.Policy | None:
    fields = read.mapping(value, path, POLICY)
    if fields is None:
        return None
    order = (
        read.choice(fields["order"], (*path, "order"), ("parallel", "sequential")) if "order" in fields else "parallel"
    )
    distinct = read.flag(fields["distinct"], (*path, "distinct")) if "distinct" in fields else True
    steps: list[terms.Step | None] = []
    if "steps" in fields:
        here = (*path, "steps")
        items = read.sequence(fields["steps"], here, "a list of steps")
        if len(items) > MAX_STEPS:
            read.findings.error(here, f"holds {len(items)} steps", f"a policy has {MAX_STEPS} at most")
            return None
        steps = [_step(read, item, (*here, place), roles_read) for place, item in enumerate(items)]
    read_steps = tuple(step for step in steps if step is not None)
    if not steps or len(read_steps) != len(steps) or order is None or distinct is None:
        return None
    return terms.Policy(steps=read_steps, sequential=order == "sequential", distinct=distinct)


def _step(read: Reader, value: Value, path: Path, roles_read: bool) -> terms.Step | None:
    fields = read.mapping(value, path, STEP)
    if fields is None:
        return None
    role = read.optional(fields, "role", path, read.name)
    quorum = read.count(fields["quorum"], (*path, "quorum")) if "quorum" in fields else 1
    if roles_read and not read.known(role, (*path, "role"), read.roles, "role", "add it under people"):
        return None
    return terms.Step(role, quorum) if role is not None and quorum is not None else None
