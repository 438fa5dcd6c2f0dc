"""A resolved contract for reading: as plain values, and as sections of a page."""

from datetime import date
from functools import partial
from typing import Any, NamedTuple

import msgspec

from milepost.contract.wording import duration, gate, moment, percentages, policy_step
from milepost.core import money
from milepost.core.contract import (
    Card,
    Contract,
    Fixed,
    Milestone,
    PercentOfValue,
    Person,
    RateCard,
    Retention,
    Success,
)
from milepost.core.terms import Terms

__all__ = ["Section", "as_plain", "fee_text", "money_text", "sections", "worth_text"]


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
        Section("Success fees", ("milestone", "share of the gain", "bounds"), _success_fees(contract)),
        Section("Retention", ("", ""), _retention(contract, contract.retention) if contract.retention else []),
        Section("Time and materials", ("meter", "price", "unit"), _hours(contract)),
        Section("Rate cards", ("card", "payer", "pays", "when"), _rate_cards(contract)),
    ]
    return [section for section in made if section.rows]


def money_text(contract: Contract, minor: int) -> str:
    """An amount of minor units with the contract's currency."""
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
        ("amends the version before", _amendment(contract)),
        ("value", "" if contract.value_minor is None else money_text(contract, contract.value_minor)),
        ("in force from", f"{contract.effective_from.isoformat()} ({contract.timezone})"),
        ("business days", contract.calendar or ""),
        ("amendments signed by", contract.amendments_approval or "nobody"),
        ("sign-off signed by", contract.signoff_approval or "nobody"),
        ("rounding", contract.rounding.replace("_", " ")),
        ("bills", _bill_on(contract.bill_on)),
        *((f"metadata {key}", text) for key, text in contract.metadata.items()),
    ]
    return [row for row in rows if row[1]]


def _amendment(contract: Contract) -> str:
    amendment = contract.amendment
    return f"{amendment.mode.replace('_', ' ')} from {amendment.since}" if amendment is not None else ""


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
        steps = link.join(policy_step(step, partial(money_text, contract)) for step in policy.steps)
        order = "sequential" if policy.sequential else "parallel"
        rows.append((name, order, "yes" if policy.distinct else "no", steps))
    return rows


def _milestones(contract: Contract) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for milestone in contract.milestones:
        tiers = "any completion" if milestone.partial_any else " ".join(f"{tier} %" for tier in milestone.tiers)
        rows.append(
            (
                milestone.id,
                milestone.name,
                fee_text(contract, milestone),
                tiers,
                milestone.approval or "nobody",
                _notes(milestone),
            )
        )
    return rows


def fee_text(contract: Contract, milestone: Milestone) -> str:
    """What a milestone is worth, in a few words."""
    match milestone.fee:
        case Fixed(amount_minor=amount):
            return money_text(contract, amount)
        case PercentOfValue(percent=share):
            return f"{share} % of the value"
        case RateCard(card=card):
            return f"by rate card {card}"
        case Success(kpi=kpi):
            return f"a share of {kpi}"


def worth_text(contract: Contract, milestone: Milestone) -> str:
    """What a milestone is worth, with its amounts as this version alone has them."""
    fee = milestone.fee
    if isinstance(fee, PercentOfValue):
        return f"{fee_text(contract, milestone)}: {money_text(contract, Terms(contract).fees[milestone.id])}"
    if isinstance(fee, Success):
        return ", ".join([f"{percentages(fee)} of {fee.kpi}", *_bounds(contract, fee)])
    return fee_text(contract, milestone)


def _bounds(contract: Contract, fee: Success) -> list[str]:
    bounds = [
        f"over {fee.baseline}",
        f"at least {money_text(contract, fee.floor_minor)}" if fee.floor_minor is not None else "",
        f"at most {money_text(contract, fee.cap_minor)}" if fee.cap_minor is not None else "",
        "to date" if fee.to_date else "",
    ]
    return [bound for bound in bounds if bound]


def _success_fees(contract: Contract) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for milestone in contract.milestones:
        fee = milestone.fee
        if not isinstance(fee, Success):
            continue
        rows.append((milestone.id, percentages(fee), ", ".join(_bounds(contract, fee))))
    return rows


def _notes(milestone: Milestone) -> str:
    notes = [
        "" if milestone.repeats == "none" else milestone.repeats.replace("_", " "),
        f"planned on {milestone.planned_on}" if milestone.planned_on else "",
        "optional" if milestone.optional else "",
        "" if milestone.retained else "nothing retained",
        "bills immediately" if milestone.bill_on == "immediately" else "",
        _clawback(milestone),
    ]
    return ", ".join(note for note in notes if note)


def _clawback(milestone: Milestone) -> str:
    taken = milestone.clawback
    if taken is None:
        return ""
    basis = "linear" if taken.linear else "flat"
    return f"{taken.share} % ({basis}) taken back if {gate(taken.when)} within {duration(taken.within)}"


def _criteria(contract: Contract) -> list[tuple[str, ...]]:
    return [(stone.id, " ".join(stone.criteria.split())) for stone in contract.milestones if stone.criteria]


def _gates(contract: Contract) -> list[tuple[str, ...]]:
    return [
        (milestone.id, "; ".join(map(gate, milestone.requires)), "; ".join(map(gate, milestone.depends_on)) or "then")
        for milestone in contract.milestones
    ]


def _retention(contract: Contract, retention: Retention) -> list[tuple[str, ...]]:
    rows = [("rate", f"{retention.rate} % of every line")]
    if retention.cap is not None and retention.cap.amount_minor is not None:
        rows.append(("cap", money_text(contract, retention.cap.amount_minor)))
    elif retention.cap is not None:
        rows.append(("cap", f"{retention.cap.percent_of_value} % of the {retention.cap.basis} value"))
    rows += [
        (f"from {step.from_percent_billed} % billed", f"{step.rate} % of every line") for step in retention.step_down
    ]
    exempt = ", ".join(kind.replace("_", " ") for kind in retention.exempt)
    rows.append(("not from", exempt or "nothing is exempt"))
    rows += [(f"release {rule.id}", f"{rule.share} % {moment(rule.when)}") for rule in retention.release]
    return list(rows)


def _hours(contract: Contract) -> list[tuple[str, ...]]:
    hours = contract.time_and_materials
    if hours is None:
        return []
    rows: list[tuple[str, ...]] = [
        (meter, f"{rate.price} {contract.currency}", rate.unit) for meter, rate in hours.rates.items()
    ]
    if hours.not_to_exceed_minor is not None:
        rows.append(("all together", f"not more than {money_text(contract, hours.not_to_exceed_minor)}", ""))
    return rows


def _rate_cards(contract: Contract) -> list[tuple[str, ...]]:
    return [
        (name, payer, _card(contract, card), f"after {duration(card.pays_after)}" if card.pays_after else "")
        for name, payers in contract.rate_cards.items()
        for payer, card in payers.items()
    ]


def _card(contract: Contract, card: Card) -> str:
    if card.percent_of_charge is not None:
        return f"{card.percent_of_charge} % of the charge"
    prices = [f"{code} {money_text(contract, minor)}" for code, minor in card.procedures.items()]
    rest = "nothing else" if card.otherwise_minor is None else f"otherwise {money_text(contract, card.otherwise_minor)}"
    return ", ".join([*prices, rest])
