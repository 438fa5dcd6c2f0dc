"""Retention: what is withheld, up to which cap, from what, and when it is paid out."""

from fractions import Fraction

from milepost.contract.findings import Path
from milepost.contract.keys import CAP, RELEASE, RETENTION, STEP_DOWN
from milepost.contract.moments import read_moment
from milepost.contract.tree import Value
from milepost.contract.values import Reader, shown
from milepost.contract.words import CAP_BASES, EXEMPT
from milepost.core import contract as terms
from milepost.core import money

__all__ = ["read_retention"]


def read_retention(read: Reader, value: Value, path: Path) -> terms.Retention | None:
    """The retention, or None where it has a fault."""
    fields = read.mapping(value, path, RETENTION)
    if fields is None:
        return None
    rate = read.optional(fields, "rate", path, read.percentage)
    cap = _cap(read, fields["cap"], (*path, "cap")) if "cap" in fields else None
    step_down: tuple[terms.StepDown, ...] = ()
    if "step_down" in fields and fields["step_down"] != []:
        step_down = _step_down(read, fields["step_down"], (*path, "step_down"))
    exempt: tuple[str, ...] = ("time_and_materials",)
    if "exempt" in fields:
        exempt = _exempt(read, fields["exempt"], (*path, "exempt"))
    release: tuple[terms.Release, ...] | None = ()
    if "release" in fields and fields["release"] != []:
        release = _release(read, fields["release"], (*path, "release"))
    if rate is None or release is None:
        return None
    return terms.Retention(rate=rate, cap=cap, exempt=exempt, release=release, step_down=step_down)


def _cap(read: Reader, value: Value, path: Path) -> terms.Cap | None:
    fields = read.mapping(value, path, CAP)
    if fields is None:
        return None
    amount = read.optional(fields, "amount", path, read.amount)
    share = read.optional(fields, "percent_of_value", path, read.percentage)
    basis = None
    if "basis" in fields:
        basis = read.choice(fields["basis"], (*path, "basis"), CAP_BASES)
    if ("amount" in fields) == ("percent_of_value" in fields):
        found = "both amount and percent_of_value" if "amount" in fields else "neither amount nor percent_of_value"
        read.findings.error(path, f"holds {found}", "write one of them")
    elif "percent_of_value" in fields:
        if "basis" not in fields:
            fix = "add basis: original or revised, the value that the percentage is taken of after an amendment"
            read.findings.error((*path, "basis"), "is missing", fix)
        if not read.has_value:
            read.findings.error(path, "is a percentage of a value that is not given", "add value to the contract")
    elif "basis" in fields:
        read.findings.error((*path, "basis"), "has no meaning beside an amount", "leave it out")
    return terms.Cap(amount_minor=amount, percent_of_value=share, basis=basis)


def _step_down(read: Reader, value: Value, path: Path) -> tuple[terms.StepDown, ...]:
    if not read.has_value:
        read.findings.error(path, "is a percentage of a value that is not given", "add value to the contract")
    steps: list[terms.StepDown] = []
    for place, item in enumerate(read.sequence(value, path, "a list of steps")):
        here = (*path, place)
        fields = read.mapping(item, here, STEP_DOWN) or {}
        since = read.optional(fields, "from_percent_billed", here, read.percentage)
        rate = read.optional(fields, "rate", here, read.percentage)
        if since is None or rate is None:
            continue
        if steps and money.ratio(since) <= money.ratio(steps[-1].from_percent_billed):
            message = f'"{since}" does not lie above "{steps[-1].from_percent_billed}"'
            read.findings.error((*here, "from_percent_billed"), message, "the steps ascend")
        steps.append(terms.StepDown(since, rate))
    return tuple(steps)


def _exempt(read: Reader, value: Value, path: Path) -> tuple[str, ...]:
    """What nothing is withheld from, in the language's order; an empty list exempts nothing."""
    if not isinstance(value, list):
        read.wrong(value, path, f"a list of {', '.join(EXEMPT)}")
        return ()
    found = {read.choice(item, (*path, place), EXEMPT) for place, item in enumerate(value)}
    return tuple(kind for kind in EXEMPT if kind in found)


def _release(read: Reader, value: Value, path: Path) -> tuple[terms.Release, ...] | None:
    items = read.sequence(value, path, "a list of releases")
    rules: list[terms.Release] = []
    for place, item in enumerate(items):
        rule = _rule(read, item, (*path, place), f"r{place + 1}", alone=len(items) == 1)
        if rule is not None:
            rules.append(rule)
    if not items or len(rules) != len(items):
        return None
    names = [rule.id for rule in rules]
    for place, name in enumerate(names):
        if name in names[:place]:
            read.findings.error((*path, place, "id"), f'"{name}" names two releases', "give each its own id")
    total = sum((money.ratio(rule.share) for rule in rules), Fraction(0))
    if total != 100:
        read.findings.error(path, f"the shares add up to {shown(total)}", 'they have to add up to "100"')
    return tuple(rules)


def _rule(read: Reader, value: Value, path: Path, default_id: str, *, alone: bool) -> terms.Release | None:
    fields = read.mapping(value, path, RELEASE)
    if fields is None:
        return None
    id_ = read.name(fields["id"], (*path, "id")) if "id" in fields else default_id
    share: str | None = "100"
    if "share" in fields:
        share = read.percentage(fields["share"], (*path, "share"), above_zero=True)
    elif not alone:
        read.findings.error((*path, "share"), "is missing", 'several releases name their shares; they add up to "100"')
        share = None
    when = read_moment(read, fields["when"], (*path, "when")) if "when" in fields else None
    if id_ is None or share is None or when is None:
        return None
    return terms.Release(id=id_, share=share, when=when)
