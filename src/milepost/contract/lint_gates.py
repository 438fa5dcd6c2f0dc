"""What only the milestones together show: who waits for whom, for ever or in vain, and what a value can move."""

from collections.abc import Iterator, Mapping, Sequence

from milepost.contract.findings import Findings, Path
from milepost.contract.graph import cycles
from milepost.core import money
from milepost.core.contract import (
    AllOf,
    AnyOf,
    Completed,
    Gate,
    KpiGate,
    Milestone,
    MilestoneGate,
    RegulatorGate,
    Success,
)
from milepost.core.gates import musts

__all__ = ["check_dependencies", "check_gates"]

Milestones = Sequence[Milestone | None]
Placed = tuple[Path, Gate]

_MONTH_DAYS = 27  # the shortest period that is a month's (rule 8)


def check_dependencies(findings: Findings, dependencies: Sequence[tuple[str, str, Path]]) -> None:
    """No milestone may wait for itself, however many lie between."""
    paths: dict[tuple[str, str], Path] = {}
    for source, target, path in dependencies:
        paths.setdefault((source, target), path)
    for cycle in cycles(paths):
        way = " -> ".join(cycle if len(cycle) <= 12 else [*cycle[:11], "...", cycle[-1]])
        path = paths[cycle[0], cycle[1]]
        findings.error(path, f"the milestones wait for each other: {way}", "take one of these dependencies out")


def check_gates(findings: Findings, milestones: Milestones) -> frozenset[str]:
    """What the gates of one milestone, and of those that it waits for, can mean at all; those that can never bill."""
    repeats = {milestone.id: milestone.repeats for milestone in milestones if milestone is not None}
    for place, milestone in enumerate(milestones):
        if milestone is None:
            continue
        path: Path = ("milestones", place)
        for gate_path, gate in _every_gate(milestone, path):
            if isinstance(gate, MilestoneGate):
                _check_occurrence(findings, milestone, gate, gate_path, repeats)
            elif isinstance(gate, RegulatorGate) and gate.filing is None and milestone.repeats != "per_filing":
                fix = "name the filing, or write repeats: per_filing on the milestone"
                findings.error((*gate_path, "regulator", "filing"), "is missing", fix)
        _check_repeating(findings, milestone, path)
    _check_clawbacks(findings, milestones)
    waiting = _Waiting(findings, milestones, repeats)
    waiting.check()
    return frozenset(waiting.never)


def _own_gates(milestone: Milestone, path: Path) -> Iterator[Placed]:
    """The gates that all have to hold, each with its path."""
    for key, gates in (("requires", milestone.requires), ("depends_on", milestone.depends_on)):
        for place, gate in enumerate(gates):
            yield (*path, key, place), gate


def _every_gate(milestone: Milestone, path: Path) -> Iterator[Placed]:
    """The gates and those inside them; not the groups."""
    todo = list(_own_gates(milestone, path))[::-1]
    while todo:
        here, gate = todo.pop()
        if isinstance(gate, AnyOf | AllOf):
            todo.extend(_inside(gate, here)[::-1])
        else:
            yield here, gate


def _inside(gate: AnyOf | AllOf, path: Path) -> list[Placed]:
    key = "any_of" if isinstance(gate, AnyOf) else "all_of"
    return [((*path, key, place), inner) for place, inner in enumerate(gate.gates)]


# ------------------------------------------------------------------------------------------------------ repetition


def _check_occurrence(
    findings: Findings, milestone: Milestone, gate: MilestoneGate, path: Path, repeats: Mapping[str, str]
) -> None:
    needed = repeats.get(gate.milestone, "none")
    if milestone.repeats == "none" and needed != "none":
        message = f"{milestone.id} does not repeat and {gate.milestone} does: no single acceptance can be waited for"
        fix = f"write repeats: {needed} on {milestone.id} too, or take the dependency out"
        findings.error(path, message, fix)


def _check_repeating(findings: Findings, milestone: Milestone, path: Path) -> None:
    if milestone.repeats == "none":
        return
    gates = list(_every_gate(milestone, path))
    values = [(here, gate) for here, gate in gates if isinstance(gate, KpiGate)]
    filings = [gate for _, gate in gates if isinstance(gate, RegulatorGate) and gate.filing is None]
    if milestone.repeats == "monthly" and not values:
        message = "no gate names a KPI whose period would be the month; each report has to name it as its occurrence"
        findings.warning(
            (*path, "repeats"), message, "add a kpi gate, or see that reports carry occurrence_id: 2026-05"
        )
    if milestone.repeats == "per_filing" and not filings:
        message = "no gate waits for a regulator's decision on the occurrence's filing"
        findings.warning((*path, "repeats"), message, "add {regulator: {by: [...]}} without a filing")
    kpis: list[tuple[Path, tuple[str, ...]]] = [((*here, "kpi"), gate.sources) for here, gate in values]
    if isinstance(milestone.fee, Success):
        kpis.append(((*path, "fee", "success", "kpi"), milestone.fee.sources))
    for here, sources in kpis:
        if not sources:
            message = "any source can make the milestone bill, again and again"
            findings.warning(here, message, "add sources: the ones that both sides trust")


def _check_clawbacks(findings: Findings, milestones: Milestones) -> None:
    read = [milestone for milestone in milestones if milestone is not None]
    if not any(milestone.clawback for milestone in read):
        return
    named = {gate.id for milestone in read for _, gate in _every_gate(milestone, ()) if isinstance(gate, KpiGate)}
    named |= {milestone.fee.kpi for milestone in read if isinstance(milestone.fee, Success)}
    for place, milestone in enumerate(milestones):
        if milestone is not None and milestone.clawback is not None and milestone.clawback.when.id not in named:
            message = f'no gate names the KPI "{milestone.clawback.when.id}", so that there is no hit to count from'
            path: Path = ("milestones", place, "clawback", "when", "kpi", "id")
            findings.warning(path, message, "name the KPI that a gate of the milestone names")


# ----------------------------------------------------------------------------------------------- what can never bill


class _Waiting:
    """Finds the milestones that can never bill, and those that wait for one of them."""

    def __init__(self, findings: Findings, milestones: Milestones, repeats: Mapping[str, str]) -> None:
        self.findings = findings
        self.milestones = milestones
        self.repeats = repeats
        self.never: set[str] = set()

    def check(self) -> None:
        """One warning for every milestone that can never bill, and for every gate that can never hold."""
        waiting: dict[str, list[int]] = {}
        queue: list[int] = []
        for place, milestone in enumerate(self.milestones):
            if milestone is None:
                continue
            queue.append(place)
            for _, gate in _every_gate(milestone, ()):
                if isinstance(gate, MilestoneGate):
                    waiting.setdefault(gate.milestone, []).append(place)
            self._check_partial(milestone, ("milestones", place))
            self._check_values(milestone, ("milestones", place))
        while queue:
            place = queue.pop(0)
            milestone = self.milestones[place]
            if milestone is None or milestone.id in self.never or not self._blocked(milestone, ("milestones", place)):
                continue
            self.never.add(milestone.id)
            queue.extend(waiting.get(milestone.id, ()))

    def _check_partial(self, milestone: Milestone, path: Path) -> None:
        partial = milestone.partial_any or len(milestone.tiers) > 1
        if partial and not any(isinstance(gate, Completed) for _, gate in _every_gate(milestone, path)):
            message = "no part can ever bill: tiers are reached by completion, and requires does not ask for completed"
            self.findings.warning((*path, "partial"), message, "add completed to requires, or leave partial out")

    def _check_values(self, milestone: Milestone, path: Path) -> None:
        """Bounds that exclude each other inside a group of gates; those of the milestone itself block it."""
        own = {here for here, _ in _own_gates(milestone, path)}
        for here, gate in _every_gate(milestone, path):
            if here not in own and isinstance(gate, KpiGate) and _empty([gate]):
                message = "the gate can never hold: no value satisfies these bounds together"
                self.findings.warning((*here, "kpi"), message, "widen one of the bounds")

    def _blocked(self, milestone: Milestone, path: Path) -> bool:
        """Whether a gate of the milestone can never hold, or its fee never be computed; said once, of the first."""
        if isinstance(milestone.fee, Success) and _apart([milestone.fee.measure, *_musts(milestone, milestone.fee)]):
            message = f"the milestone can never bill: no value of {milestone.fee.kpi} counts for the fee and its gates"
            fix = "let the fee and requires admit the same sources, status and unit"
            self.findings.warning((*path, "fee", "success", "kpi"), message, fix)
            return True
        for here, gate in _own_gates(milestone, path):
            if isinstance(gate, KpiGate) and _empty([gate]):
                message = "the milestone can never bill: no value satisfies these bounds together"
                self.findings.warning((*here, "kpi"), message, "widen one of the bounds")
                return True
            if isinstance(gate, KpiGate) and milestone.repeats == "monthly" and _shorter_than_a_month(gate):
                message = f"the milestone can never bill: a month's value has a period of {_MONTH_DAYS} days or more"
                self.findings.warning((*here, "kpi", "period"), message, "admit a whole month, or leave period out")
                return True
            if not self._possible(milestone, gate):
                reason, fix = self._reason(milestone, gate)
                self.findings.warning(here, f"the milestone can never bill: {reason}", fix)
                return True
        alike: dict[tuple[object, ...], list[KpiGate]] = {}
        for _, gate in _own_gates(milestone, path):
            if isinstance(gate, KpiGate):
                admitted = (gate.id, gate.status, gate.sources, gate.unit, gate.period_from, gate.period_to)
                alike.setdefault(admitted, []).append(gate)
        for gates in alike.values():
            if len(gates) > 1 and _empty(gates):
                message = f"the milestone can never bill: no value of {gates[0].id} satisfies its gates together"
                self.findings.warning(path, message, "widen one of the bounds")
                return True
        return False

    def _possible(self, milestone: Milestone, gate: Gate) -> bool:
        match gate:
            case KpiGate():
                return not _empty([gate])
            case MilestoneGate(milestone=needed):
                return needed not in self.never and not self._apart(milestone, needed)
            case AnyOf(gates=gates):
                return any(self._possible(milestone, inner) for inner in gates)
            case AllOf(gates=gates):
                return all(self._possible(milestone, inner) for inner in gates)
        return True

    def _apart(self, milestone: Milestone, needed: str) -> bool:
        """Whether both repeat, by different things: no occurrence of the one is one of the other."""
        ours, theirs = milestone.repeats, self.repeats.get(needed, "none")
        return "none" not in (ours, theirs) and ours != theirs

    def _reason(self, milestone: Milestone, gate: Gate) -> tuple[str, str]:
        """Why the gate can never hold, and what to do."""
        if not isinstance(gate, MilestoneGate):
            return "none of this can hold", "mend what is inside"
        needed = gate.milestone
        if needed in self.never:
            return f"it waits for {needed}, which cannot", f"mend {needed}"
        ways = f"it repeats {milestone.repeats} and {needed} {self.repeats[needed]}, so that they share no occurrence"
        return ways, "let both repeat alike, or take the dependency out"


def _shorter_than_a_month(gate: KpiGate) -> bool:
    since, until = gate.period_from, gate.period_to
    return since is not None and until is not None and (until - since).days + 1 < _MONTH_DAYS


def _musts(milestone: Milestone, fee: Success) -> list[KpiGate]:
    """The gates on the fee's value that have to hold for a claim: they admit what the fee is computed from."""
    return [gate for gate in musts(milestone.requires) if isinstance(gate, KpiGate) and gate.id == fee.kpi]


def _apart(gates: Sequence[KpiGate]) -> bool:
    """Whether no value is admitted by all of them, whatever it is."""
    sources = [set(gate.sources) for gate in gates if gate.sources]
    periods = [gate for gate in gates if gate.period_from or gate.period_to]
    starts = [gate.period_from for gate in periods if gate.period_from]
    ends = [gate.period_to for gate in periods if gate.period_to]
    return (
        (bool(sources) and not set.intersection(*sources))
        or len({gate.status for gate in gates} - {"any"}) > 1
        or len({gate.unit for gate in gates} - {None}) > 1
        or (bool(starts) and bool(ends) and max(starts) > min(ends))
    )


def _empty(gates: Sequence[KpiGate]) -> bool:
    """Whether no value lies within all bounds."""
    lower = [(money.ratio(gate.at_least), False) for gate in gates if gate.at_least is not None]
    lower += [(money.ratio(gate.above), True) for gate in gates if gate.above is not None]
    upper = [(money.ratio(gate.at_most), False) for gate in gates if gate.at_most is not None]
    upper += [(money.ratio(gate.below), True) for gate in gates if gate.below is not None]
    if not lower or not upper:
        return False
    lowest, above = max(lower)
    highest, below = min((bound, not strict) for bound, strict in upper)
    return lowest > highest or (lowest == highest and (above or not below))
