"""Gates of `requires` and `depends_on`: what has to hold before a claim is submitted, or before it bills."""

from datetime import date

from milepost.contract.findings import Path
from milepost.contract.keys import GATES, KPI, PERIOD, REGULATOR
from milepost.contract.tree import Value, describe
from milepost.contract.values import Reader
from milepost.contract.words import RUNGS, STATUSES
from milepost.core import contract as terms
from milepost.core import money

__all__ = ["read_gates", "read_kpi"]

_BOUNDS = ("at_least", "above", "at_most", "below")
_FORMS = (
    "a gate is {evidence: ...}, {kpi: ...}, {regulator: ...}, {date: ...}, {milestone: ...}, {any_of: [...]} or "
    "{all_of: [...]}"
)


def read_gates(
    read: Reader, value: Value, path: Path, milestone: str | None, *, dependency: bool
) -> tuple[terms.Gate, ...] | None:
    """A list of gates, all readable, or None. With `dependency` a bare string is a milestone's id, else `completed`.

    `milestone` is the one that has the gates; what it depends on is noted in `read.dependencies`.
    """
    items = read.sequence(value, path, "a list of milestones and gates" if dependency else "a list of gates")
    found = [_gate(read, item, (*path, place), milestone, dependency) for place, item in enumerate(items)]
    gates = tuple(gate for gate in found if gate is not None)
    return gates if gates and len(gates) == len(items) else None


def _gate(read: Reader, value: Value, path: Path, milestone: str | None, dependency: bool) -> terms.Gate | None:
    if isinstance(value, str):
        if dependency:
            return _milestone(read, value, path, "100", milestone)
        if value == "completed":
            return terms.Completed()
        fix = (
            "write {milestone: " + value + "}" if value in read.milestones else "kpi, date, evidence: write {kind: ...}"
        )
        near = read.findings.nearest(value, ("completed",))
        read.wrong(value, path, "completed, or a gate", 'did you mean "completed"?' if near else fix)
        return None
    if not isinstance(value, dict):
        expected = "a milestone's id, or a gate" if dependency else "completed, or a gate"
        read.wrong(value, path, expected, _FORMS)
        return None
    kinds = sorted(GATES.keys & value.keys())
    if len(kinds) != 1:
        if kinds:
            fix = "write one gate an item: all of them must hold"
            read.findings.error(path, f"holds {' and '.join(kinds)}", fix)
        else:
            _no_kind(read, value, path)
        return None
    kind = kinds[0]
    for key in value:
        if key != kind and not (kind == "milestone" and key == "at_least"):
            inside = KPI.keys if kind == "kpi" else REGULATOR.keys if kind == "regulator" else ()
            fix = f"put it inside {kind}" if key in inside else f"a {kind} gate has no such key"
            read.findings.error((*path, key), f"the key {describe(key)} is unknown", fix)
    return _of_kind(read, kind, value, path, milestone, dependency)


def _no_kind(read: Reader, value: dict[str, Value], path: Path) -> None:
    if not value:
        read.wrong(value, path, "a gate", _FORMS)
    for key in value:
        near = read.findings.nearest(key, GATES.keys)
        fix = f'did you mean "{near}"?' if near else _FORMS
        read.findings.error((*path, key), f"the key {describe(key)} is unknown", fix)


def _of_kind(
    read: Reader, kind: str, value: dict[str, Value], path: Path, milestone: str | None, dependency: bool
) -> terms.Gate | None:
    inner, here = value[kind], (*path, kind)
    match kind:
        case "evidence":
            names = read.names(inner, here)
            return terms.EvidenceGate(names) if names else None
        case "date":
            on = read.day(inner, here)
            return terms.DateGate(on) if on else None
        case "kpi":
            return read_kpi(read, inner, here)
        case "regulator":
            return _regulator(read, inner, here)
        case "any_of" | "all_of":
            gates = read_gates(read, inner, here, milestone, dependency=dependency)
            if gates is None:
                return None
            return terms.AnyOf(gates) if kind == "any_of" else terms.AllOf(gates)
    at_least: str | None = "100"
    if "at_least" in value:
        at_least = read.percentage(value["at_least"], (*path, "at_least"), above_zero=True)
    return _milestone(read, inner, here, at_least, milestone)


def _regulator(read: Reader, value: Value, path: Path) -> terms.RegulatorGate | None:
    fields = read.mapping(value, path, REGULATOR)
    if fields is None:
        return None
    by = read.optional(fields, "by", path, read.names)
    filing = read.optional(fields, "filing", path, read.name)
    rung = read.choice(fields["at_least"], (*path, "at_least"), RUNGS) if "at_least" in fields else "accepted"
    if by is None or rung is None or ("filing" in fields and filing is None):
        return None
    return terms.RegulatorGate(by, filing, rung)


def _milestone(
    read: Reader, value: Value, path: Path, at_least: str | None, milestone: str | None
) -> terms.MilestoneGate | None:
    needed = read.name(value, path)
    define = f"add the milestone, or name one of {len(read.milestones)}"
    if needed is None or not read.known(needed, path, read.milestones, "milestone", define):
        return None
    if milestone is not None:
        read.dependencies.append((milestone, needed, path))
    return terms.MilestoneGate(needed, at_least) if at_least is not None else None


def read_kpi(read: Reader, value: Value, path: Path) -> terms.KpiGate | None:
    """The value that a gate or a clawback looks at, and its bounds."""
    fields = read.mapping(value, path, KPI)
    if fields is None:
        return None
    kpi = read.optional(fields, "id", path, read.name)
    bounds = {key: read.decimal(fields[key], (*path, key)) for key in _BOUNDS if key in fields}
    if "between" in fields:
        bounds |= _between(read, fields["between"], (*path, "between"), bounds)
    status: str | None = "any"
    if "status" in fields:
        status = read.choice(fields["status"], (*path, "status"), STATUSES)
    sources = read.optional(fields, "sources", path, read.names)
    unit = read.optional(fields, "unit", path, read.name)
    since, until = _period(read, fields["period"], (*path, "period")) if "period" in fields else (None, None)
    if kpi is None or status is None:
        return None
    return terms.KpiGate(
        id=kpi,
        at_least=bounds.get("at_least"),
        above=bounds.get("above"),
        at_most=bounds.get("at_most"),
        below=bounds.get("below"),
        status=status,
        sources=sources or (),
        unit=unit,
        period_from=since,
        period_to=until,
    )


def _between(read: Reader, value: Value, path: Path, bounds: dict[str, str | None]) -> dict[str, str | None]:
    """Both ends count: `at_least` the first and `at_most` the second."""
    if not isinstance(value, list) or len(value) != 2:
        read.wrong(value, path, 'two bounds, such as ["0.85", "0.95"]')
        return {}
    if bounds:
        read.findings.error(path, f"stands beside {', '.join(bounds)}", "write between alone, or both bounds by name")
    low, high = (read.decimal(item, (*path, place)) for place, item in enumerate(value))
    if low is not None and high is not None and money.ratio(low) > money.ratio(high):
        read.findings.error(path, f'"{low}" is above "{high}"', "write the lower bound first")
        return {}
    return {"at_least": low, "at_most": high}


def _period(read: Reader, value: Value, path: Path) -> tuple[date | None, date | None]:
    fields = read.mapping(value, path, PERIOD)
    if fields is None:
        return None, None
    since = read.optional(fields, "from", path, read.day)
    until = read.optional(fields, "to", path, read.day)
    if not fields:
        read.wrong(value, path, "a period", "give from, to, or both")
    if since is not None and until is not None and since > until:
        read.findings.error(path, f"begins {since}, after its end {until}", "write the earlier day as from")
    return since, until
