"""Milestones: what is delivered, what it is worth, and what has to hold before it bills."""

from milepost.contract.findings import Path
from milepost.contract.gates import read_gates
from milepost.contract.keys import FEE, ITEM, MILESTONE
from milepost.contract.tree import Value
from milepost.contract.units import UNIT_CODES
from milepost.contract.values import Reader
from milepost.core import contract as terms
from milepost.core import money

__all__ = ["BILL_ON", "read_milestones"]

BILL_ON = ("next_invoice", "immediately")
_REPEATS_LATER = ("monthly", "per_filing", "per_occurrence")
_NO_ITEM = terms.Item()
_ALL_OR_NOTHING = ("100",)


def ids(value: Value) -> frozenset[str]:
    """The ids that other parts of the document may refer to, also those of milestones with faults."""
    if not isinstance(value, list):
        return frozenset()
    found = (item.get("id") for item in value if isinstance(item, dict))
    return frozenset(name for name in found if isinstance(name, str))


def read_milestones(read: Reader, value: Value, path: Path, bill_on: str) -> list[terms.Milestone | None]:
    """Every milestone in its place, None where one has a fault. `bill_on` is the contract's."""
    read.milestones = ids(value)
    items = read.sequence(value, path, "a list of milestones")
    seen: dict[str, int] = {}
    milestones: list[terms.Milestone | None] = []
    for place, item in enumerate(items):
        here = (*path, place)
        fields = read.mapping(item, here, MILESTONE)
        milestone = None if fields is None else _milestone(read, fields, here, bill_on)
        milestones.append(milestone)
        name = fields.get("id") if fields else None
        if isinstance(name, str) and seen.setdefault(name, place) != place:
            message = f'"{name}" is also the id of milestones[{seen[name]}]'
            read.findings.error((*here, "id"), message, "give each milestone its own id")
    return milestones


def _milestone(read: Reader, fields: dict[str, Value], path: Path, bill_on: str) -> terms.Milestone | None:
    id_ = read.optional(fields, "id", path, read.identifier)
    name = read.optional(fields, "name", path, read.text)
    criteria = read.optional(fields, "criteria", path, read.text)
    fee = _fee(read, fields["fee"], (*path, "fee")) if "fee" in fields else None
    tiers, any_percentage = (
        _partial(read, fields["partial"], (*path, "partial")) if "partial" in fields else (None, False)
    )
    requires = read_gates(read, fields["requires"], (*path, "requires"), id_) if "requires" in fields else None
    depends_on: tuple[terms.Gate, ...] | None = ()
    if "depends_on" in fields and fields["depends_on"] != []:
        depends_on = read_gates(read, fields["depends_on"], (*path, "depends_on"), id_)
    approval = _approval(read, fields["approval"], (*path, "approval")) if "approval" in fields else None
    planned_on = read.optional(fields, "planned_on", path, read.day)
    optional = read.optional(fields, "optional", path, read.flag)
    if "retention" in fields:
        read.choice(fields["retention"], (*path, "retention"), ("none",))
    if "repeats" in fields:
        _repeats(read, fields["repeats"], (*path, "repeats"))
    metadata = read.optional(fields, "metadata", path, read.text_map)
    item = _item(read, fields["item"], (*path, "item")) if "item" in fields else _NO_ITEM
    if "bill_on" in fields:
        bill_on = read.choice(fields["bill_on"], (*path, "bill_on"), BILL_ON) or bill_on
    if id_ is None or fee is None or requires is None or depends_on is None or approval is None:
        return None
    return terms.Milestone(
        id=id_,
        name=name or id_,
        fee=fee,
        requires=requires,
        approval=None if approval == "none" else approval,
        criteria=criteria,
        depends_on=depends_on,
        tiers=tiers or _ALL_OR_NOTHING,
        partial_any=any_percentage,
        planned_on=planned_on,
        optional=optional or False,
        retained="retention" not in fields,
        item=item,
        bill_on=bill_on,
        metadata=metadata or {},
    )


def _fee(read: Reader, value: Value, path: Path) -> terms.Fee | None:
    fields = read.mapping(value, path, FEE)
    if fields is None:
        return None
    kinds = sorted(key for key in fields if key in FEE.supported or key in FEE.later)
    if len(kinds) != 1:
        if kinds or not fields:
            found = " and ".join(kinds) or "nothing"
            read.findings.error(path, f"holds {found}", "write one of fixed, percent_of_value")
        return None
    if kinds[0] == "fixed":
        minor = read.amount(fields["fixed"], (*path, "fixed"))
        return None if minor is None else terms.Fixed(minor)
    if kinds[0] == "percent_of_value":
        share = read.percentage(fields["percent_of_value"], (*path, "percent_of_value"))
        if not read.has_value:
            read.findings.error(path, "is a percentage of a value that is not given", "add value to the contract")
        return None if share is None else terms.PercentOfValue(share)
    return None


def _partial(read: Reader, value: Value, path: Path) -> tuple[tuple[str, ...] | None, bool]:
    """The tiers, or whether any percentage bills."""
    if value == "any":
        return None, True
    if not isinstance(value, list) or not value:
        read.wrong(value, path, 'any, or a list of percentages up to "100"')
        return None, False
    found = [read.percentage(item, (*path, place), above_zero=True) for place, item in enumerate(value)]
    tiers = tuple(tier for tier in found if tier is not None)
    if len(tiers) != len(found):
        return None, False
    shares = [money.ratio(tier) for tier in tiers]
    for place in range(1, len(shares)):
        if shares[place] <= shares[place - 1]:
            message = f'"{tiers[place]}" does not lie above "{tiers[place - 1]}"'
            read.findings.error((*path, place), message, "tiers ascend")
    if shares[-1] != 100:
        read.findings.error(path, f'ends at "{tiers[-1]}"', 'the last tier is "100"')
    return tuple(money.canonical(tier) for tier in tiers), False


def _approval(read: Reader, value: Value, path: Path) -> str | None:
    """A policy's name, or the word none: whether somebody signs is never left to a default."""
    if value is None:
        read.wrong(value, path, "a policy's name or none", 'write "none"')
        return None
    name = read.name(value, path)
    if name == "none":
        return name
    return (
        name if read.known(name, path, read.policies, "policy", 'define it under approvals, or write "none"') else None
    )


def _repeats(read: Reader, value: Value, path: Path) -> None:
    if isinstance(value, str) and value in _REPEATS_LATER:
        read.later(path)
    else:
        read.choice(value, path, ("none", *_REPEATS_LATER))


def _item(read: Reader, value: Value, path: Path) -> terms.Item:
    fields = read.mapping(value, path, ITEM)
    if fields is None:
        return _NO_ITEM
    unit = read.optional(fields, "unit_code", path, read.name)
    if unit is not None:
        read.known(
            unit, (*path, "unit_code"), UNIT_CODES, "unit code", "use one of UNECE Rec 20: LS, C62, HUR, DAY, MON"
        )
    return terms.Item(
        id=read.optional(fields, "id", path, read.name),
        tax_category=read.optional(fields, "tax_category", path, read.name),
        unit_code=unit or "LS",
    )
