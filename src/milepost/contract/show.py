"""A resolved contract for reading: as plain values, and as sections of a page."""

from datetime import date
from typing import Any, NamedTuple

import msgspec

from milepost.core import money
from milepost.core.contract import (
    Completed,
    Contract,
    DateGate,
    EvidenceGate,
    Fixed,
    Gate,
    KpiGate,
    Milestone,
    MilestoneGate,
    PercentOfValue,
    Person,
    Retention,
)

__all__ = ["Section", "as_plain", "sections"]


class Section(NamedTuple):
    """A titled table; every row has as many cells as there are columns."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def as_plain(value: Any) -> Any:
    """Structs as mappings by field name (a fee or gate with its `type`), tuples as lists, days as ISO 8601."""
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        plain = {"type": tag} if tag is not None else {}
        return plain | {name: as_plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [as_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def sections(contract: Contract) -> list[Section]:
    """The contract as tables, from header to retention; those without rows are left out."""
    made = [
        Section(f"{contract.engagement}, version {contract.version}", ("", ""), _header(contract)),
        Section("People", ("role", "side", "people"), _people(contract)),
        Section("Policies", ("policy", "order", "one step each", "steps"), _policies(contract)),
        Section("Milestones", ("milestone", "name", "fee", "bills at", "signed by", "notes"), _milestones(contract)),
        Section("Gates", ("milestone", "is submitted when", "bills when"), _gates(contract)),
        Section("Criteria", ("milestone", "is accepted when"), _criteria(contract)),
        Section("Retention", ("", ""), _retention(contract, contract.retention) if contract.retention else []),
    ]
    return [section for section in made if section.rows]


def _money(contract: Contract, minor: int) -> str:
    return f"{money.format_minor(minor, contract.currency_exponent)} {contract.currency}"


def _party(id_: str | None, name: str | None) -> str:
    if id_ is None or name is None or name == id_:
        return id_ or name or ""
    return f"{name} ({id_})"


def _header(contract: Contract) -> list[tuple[str, ...]]:
    rows = [
        ("customer", _party(contract.customer_id, contract.customer_name)),
        ("supplier", _party(contract.supplier_id, contract.supplier_name)),
        ("purchase order", contract.purchase_order or ""),
        ("buyer reference", contract.buyer_reference or ""),
        ("currency", contract.currency),
        ("value", "" if contract.value_minor is None else _money(contract, contract.value_minor)),
        ("in force from", f"{contract.effective_from.isoformat()} ({contract.timezone})"),
        ("rounding", contract.rounding.replace("_", " ")),
        ("bills", _bill_on(contract.bill_on)),
        *((f"metadata {key}", text) for key, text in contract.metadata.items()),
    ]
    return [row for row in rows if row[1]]


def _bill_on(when: str) -> str:
    return "on the next invoice" if when == "next_invoice" else when


def _people(contract: Contract) -> list[tuple[str, ...]]:
    side_of = {role: side for side, roles in contract.sides.items() for role in roles}
    return [(role, side_of.get(role, ""), ", ".join(map(_person, people))) for role, people in contract.people.items()]


def _person(person: Person) -> str:
    since = f" from {person.since}" if person.since else ""
    until = f" until {person.until}" if person.until else ""
    return f"{person.id}{since}{until}"


def _policies(contract: Contract) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, policy in contract.policies.items():
        link = " then " if policy.sequential else " and "
        steps = link.join(f"{step.quorum} of {step.role}" for step in policy.steps)
        order = "sequential" if policy.sequential else "parallel"
        rows.append((name, order, "yes" if policy.distinct else "no", steps))
    return rows


def _milestones(contract: Contract) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for milestone in contract.milestones:
        fee = milestone.fee
        shown = _money(contract, fee.amount_minor) if isinstance(fee, Fixed) else ""
        if isinstance(fee, PercentOfValue):
            shown = f"{fee.percent} % of the value"
        tiers = "any completion" if milestone.partial_any else " ".join(f"{tier} %" for tier in milestone.tiers)
        rows.append((milestone.id, milestone.name, shown, tiers, milestone.approval or "nobody", _notes(milestone)))
    return rows


def _notes(milestone: Milestone) -> str:
    notes = [
        f"planned on {milestone.planned_on}" if milestone.planned_on else "",
        "optional" if milestone.optional else "",
        "" if milestone.retained else "nothing retained",
        "bills immediately" if milestone.bill_on == "immediately" else "",
    ]
    return ", ".join(note for note in notes if note)


def _criteria(contract: Contract) -> list[tuple[str, ...]]:
    return [(stone.id, " ".join(stone.criteria.split())) for stone in contract.milestones if stone.criteria]


def _gates(contract: Contract) -> list[tuple[str, ...]]:
    return [
        (milestone.id, "; ".join(map(_gate, milestone.requires)), "; ".join(map(_gate, milestone.depends_on)) or "then")
        for milestone in contract.milestones
    ]


def _gate(gate: Gate) -> str:
    match gate:
        case Completed():
            return "completed"
        case EvidenceGate(names=names):
            return f"evidence {', '.join(names)}"
        case DateGate(on=on):
            return f"from {on}"
        case MilestoneGate(milestone=name, at_least=share):
            return f"{name} accepted" if share == "100" else f"{name} accepted to {share} %"
        case KpiGate():
            return _kpi(gate)
        case _:
            raise NotImplementedError(type(gate).__name__)


def _kpi(gate: KpiGate) -> str:
    signs = ((gate.at_least, ">="), (gate.above, ">"), (gate.at_most, "<="), (gate.below, "<"))
    bounds = " and ".join(f"{sign} {bound}" for bound, sign in signs if bound is not None)
    parts = [
        f"kpi {gate.id} {bounds or 'has a value'}",
        f"in {gate.unit}" if gate.unit else "",
        gate.status if gate.status != "any" else "",
        f"from {' or '.join(gate.sources)}" if gate.sources else "",
        f"for {gate.period_from or ''}..{gate.period_to or ''}" if gate.period_from or gate.period_to else "",
    ]
    return ", ".join(part for part in parts if part)


def _retention(contract: Contract, retention: Retention) -> list[tuple[str, ...]]:
    rows = [("rate", f"{retention.rate} % of every line")]
    if retention.cap is not None and retention.cap.amount_minor is not None:
        rows.append(("cap", _money(contract, retention.cap.amount_minor)))
    elif retention.cap is not None:
        rows.append(("cap", f"{retention.cap.percent_of_value} % of the {retention.cap.basis} value"))
    exempt = ", ".join(kind.replace("_", " ") for kind in retention.exempt)
    rows.append(("not from", exempt or "nothing is exempt"))
    rows += [(f"release {rule.id}", f"{rule.share} % at the sign-off") for rule in retention.release]
    return list(rows)
