"""Milestones: what is delivered, what it is worth, and what has to hold before it bills."""

from milepost.contract.approvals import read_approval
from milepost.contract.durations import read_dates
from milepost.contract.fees import read_fee
from milepost.contract.findings import Path
from milepost.contract.gates import read_gates, read_kpi
from milepost.contract.keys import CLAWBACK, CLAWBACK_WHEN, ITEM, MILESTONE
from milepost.contract.tree import Value
from milepost.contract.units import UNIT_CODES
from milepost.contract.values import Reader
from milepost.contract.words import BILL_ON, CLAWBACK_BASES, REPEATS
from milepost.core import contract as terms
from milepost.core import money

__all__ = ["read_milestones"]

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
    fee = read_fee(read, fields["fee"], (*path, "fee")) if "fee" in fields else None
    tiers, any_percentage = (
        _partial(read, fields["partial"], (*path, "partial")) if "partial" in fields else (None, False)
    )
    requires = None
    if "requires" in fields:
        requires = read_gates(read, fields["requires"], (*path, "requires"), id_, dependency=False)
    depends_on: tuple[terms.Gate, ...] | None = ()
    if "depends_on" in fields and fields["depends_on"] != []:
        depends_on = read_gates(read, fields["depends_on"], (*path, "depends_on"), id_, dependency=True)
    approval = read_approval(read, fields["approval"], (*path, "approval")) if "approval" in fields else None
    planned_on = read.optional(fields, "planned_on", path, read.day)
    optional = read.optional(fields, "optional", path, read.flag)
    if "retention" in fields:
        read.choice(fields["retention"], (*path, "retention"), ("none",))
    repeats = read.choice(fields["repeats"], (*path, "repeats"), REPEATS) if "repeats" in fields else "none"
    clawback = _clawback(read, fields["clawback"], (*path, "clawback")) if "clawback" in fields else None
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
        repeats=repeats or "none",
        clawback=clawback,
    )


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


def _clawback(read: Reader, value: Value, path: Path) -> terms.Clawback | None:
    fields = read.mapping(value, path, CLAWBACK)
    if fields is None:
        return None
    when = read.mapping(fields["when"], (*path, "when"), CLAWBACK_WHEN) if "when" in fields else None
    kpi = read_kpi(read, when["kpi"], (*path, "when", "kpi")) if when and "kpi" in when else None
    within = read_dates(read, fields["within"], (*path, "within")) if "within" in fields else None
    share = None
    if "share" in fields:
        share = read.percentage(fields["share"], (*path, "share"), above_zero=True)
    basis = read.choice(fields["basis"], (*path, "basis"), CLAWBACK_BASES) if "basis" in fields else "flat"
    if basis == "linear" and within is not None and (within.days or not within.months):
        message = f"{within.text} is no number of months, and linear goes by whole months"
        read.findings.error((*path, "within"), message, "write months such as P6M, or basis: flat")
    if kpi is None or within is None or share is None or basis is None:
        return None
    return terms.Clawback(when=kpi, within=within, share=share, linear=basis == "linear")


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
