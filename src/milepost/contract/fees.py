"""What a milestone is worth: fixed, a percentage of the value, a share of a gain, or by a payer's rate card."""

from fractions import Fraction

from milepost.contract.findings import Path
from milepost.contract.keys import FEE, SUCCESS, SUCCESS_KPI, TIER
from milepost.contract.tree import Value
from milepost.contract.values import Reader
from milepost.contract.words import STATUSES, SUCCESS_MODES
from milepost.core import contract as terms
from milepost.core import money

__all__ = ["read_fee"]


def read_fee(read: Reader, value: Value, path: Path) -> terms.Fee | None:
    """The fee, or None where it has a fault."""
    fields = read.mapping(value, path, FEE)
    kind = None if fields is None else read.one_of(fields, path, FEE, "a fee")
    if fields is None or kind is None:
        return None
    here = (*path, kind)
    if kind == "fixed":
        minor = read.amount(fields[kind], here)
        return None if minor is None else terms.Fixed(minor)
    if kind == "percent_of_value":
        share = read.percentage(fields[kind], here)
        if not read.has_value:
            read.findings.error(path, "is a percentage of a value that is not given", "add value to the contract")
        return None if share is None else terms.PercentOfValue(share)
    if kind == "rate_card":
        card = read.name(fields[kind], here)
        known = read.known(card, here, read.rate_cards, "rate card", "define it under rate_cards")
        return terms.RateCard(card) if card is not None and known else None
    return _success(read, fields[kind], here)


def _success(read: Reader, value: Value, path: Path) -> terms.Success | None:
    fields = read.mapping(value, path, SUCCESS)
    if fields is None:
        return None
    kpi = None
    if "kpi" in fields:
        kpi = read.mapping(fields["kpi"], (*path, "kpi"), SUCCESS_KPI)
    of: Path = (*path, "kpi")
    id_ = read.optional(kpi or {}, "id", of, read.name)
    sources = read.optional(kpi or {}, "sources", of, read.names)
    unit = read.optional(kpi or {}, "unit", of, read.name)
    status = read.choice(kpi["status"], (*of, "status"), STATUSES) if kpi and "status" in kpi else "any"
    baseline = read.decimal(fields["baseline"], (*path, "baseline")) if "baseline" in fields else "0"
    mode = read.choice(fields["mode"], (*path, "mode"), SUCCESS_MODES) if "mode" in fields else "marginal"
    tiers = _tiers(read, fields, path)
    floor = read.optional(fields, "floor", path, read.amount)
    cap = read.optional(fields, "cap", path, read.amount)
    to_date = read.optional(fields, "to_date", path, read.flag)
    if floor is not None and cap is not None and floor > cap:
        read.findings.warning((*path, "cap"), "the cap lies below the floor", "raise the cap, or lower the floor")
    if id_ is None or status is None or baseline is None or mode is None or tiers is None:
        return None
    return terms.Success(
        kpi=id_,
        tiers=tiers,
        baseline=baseline,
        marginal=mode == "marginal",
        floor_minor=floor,
        cap_minor=cap,
        to_date=to_date or False,
        sources=sources or (),
        unit=unit,
        status=status,
    )


def _tiers(read: Reader, fields: dict[str, Value], path: Path) -> tuple[terms.Tier, ...] | None:
    """`rate` is one tier without an end."""
    if ("rate" in fields) == ("tiers" in fields):
        found = "both rate and tiers" if "rate" in fields else "neither rate nor tiers"
        read.findings.error(path, f"holds {found}", "write one of them")
        return None
    if "rate" in fields:
        rate = read.percentage(fields["rate"], (*path, "rate"))
        return (terms.Tier(rate),) if rate is not None else None
    here = (*path, "tiers")
    items = read.sequence(fields["tiers"], here, "a list of tiers")
    tiers: list[terms.Tier] = []
    below = Fraction(0)
    for place, item in enumerate(items):
        tier = _tier(read, item, (*here, place), below, last=place + 1 == len(items))
        if tier is not None:
            tiers.append(tier)
            below = money.ratio(tier.up_to) if tier.up_to is not None else below
    return tuple(tiers) if tiers and len(tiers) == len(items) else None


def _tier(read: Reader, value: Value, path: Path, below: Fraction, *, last: bool) -> terms.Tier | None:
    fields = read.mapping(value, path, TIER)
    if fields is None:
        return None
    rate = read.optional(fields, "rate", path, read.percentage)
    up_to = read.optional(fields, "up_to", path, read.decimal)
    if "up_to" not in fields and not last:
        read.findings.error((*path, "up_to"), "is missing", "only the last tier has no end")
        return None
    if up_to is not None and money.ratio(up_to) <= below:
        found = f'"{up_to}" does not lie above {"zero" if not below else "the tier before"}'
        read.findings.error((*path, "up_to"), found, "tiers ascend")
        return None
    if rate is None or ("up_to" in fields and up_to is None):
        return None
    return terms.Tier(rate, up_to)
