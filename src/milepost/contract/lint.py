"""What only the whole document shows: cycles, policies that nobody can satisfy, and what should be read twice."""

from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction

from milepost.contract.findings import Findings, Path
from milepost.contract.graph import cycles
from milepost.contract.signable import holders, lack_of_people
from milepost.contract.values import MAX_AMOUNT_MINOR, shown
from milepost.core import money
from milepost.core.contract import (
    Completed,
    Fixed,
    KpiGate,
    Milestone,
    MilestoneGate,
    PercentOfValue,
    Person,
    Policy,
    Retention,
)

__all__ = ["check_dependencies", "check_milestones", "check_policies", "check_retention", "check_total"]

MAX_TOTAL_MINOR = 10 * MAX_AMOUNT_MINOR

People = Mapping[str, tuple[Person, ...]]


def check_dependencies(findings: Findings, dependencies: Sequence[tuple[str, str, Path]]) -> None:
    """No milestone may wait for itself, however many lie between."""
    paths: dict[tuple[str, str], Path] = {}
    for source, target, path in dependencies:
        paths.setdefault((source, target), path)
    for cycle in cycles(paths):
        way = " -> ".join(cycle if len(cycle) <= 12 else [*cycle[:11], "...", cycle[-1]])
        path = paths[cycle[0], cycle[1]]
        findings.error(path, f"the milestones wait for each other: {way}", "take one of these dependencies out")


def check_policies(
    findings: Findings,
    policies: Mapping[str, Policy | None],
    people: People,
    sides: Mapping[str, tuple[str, ...]],
    effective_from: date | None,
) -> None:
    """Every policy can be completed, and where two sides are named it takes both."""
    held = holders(people, effective_from)
    for name, policy in policies.items():
        if policy is None or any(step.role not in held for step in policy.steps):
            continue
        path = ("approvals", name, "steps")
        lack = lack_of_people(policy, held)
        if lack is None:
            _check_sides(findings, name, policy, held, sides)
        elif len(lack.steps) == 1:
            role = policy.steps[lack.steps[0]].role
            message = f"nobody can complete it: {lack.needed} must sign as {role}, and {lack.people} can"
            findings.error((*path, lack.steps[0]), message, "lower the quorum, or add people to the role")
        else:
            roles = " and ".join(policy.steps[place].role for place in lack.steps)
            message = f"nobody can complete it: {roles} need {lack.needed} different people, and {lack.people} can sign"
            findings.error(path, message, "add people, or write distinct: false")


def _check_sides(
    findings: Findings,
    name: str,
    policy: Policy,
    held: Mapping[str, frozenset[str]],
    sides: Mapping[str, tuple[str, ...]],
) -> None:
    if len([side for side in sides.values() if side]) < 2:
        return
    for side, roles in sides.items():
        ours = frozenset().union(*(held.get(role, frozenset()) for role in roles))
        alone = {role: persons & ours for role, persons in held.items()}
        if lack_of_people(policy, alone) is None:
            fix = "add a step of the other side, unless that is what both agreed on"
            findings.warning(("approvals", name), f"the {side} side alone can complete the policy", fix)


def check_milestones(findings: Findings, milestones: Sequence[Milestone | None], *, amendments_signed: bool) -> None:
    """What can be signed and looks like a slip."""
    read = [milestone for milestone in milestones if milestone is not None]
    if len(read) == len(milestones):
        _check_percentages(findings, read)
    blocked: dict[str, None] = {}
    for place, milestone in enumerate(milestones):
        if milestone is not None and _never_holds(findings, milestone, ("milestones", place)):
            blocked[milestone.id] = None
    _check_blocked(findings, milestones, blocked)
    if not amendments_signed and any(milestone.approval is not None for milestone in read):
        message = "amendments need no approval, although milestones do"
        findings.warning(("amendments",), message, "name a policy as amendments.approval")


def check_total(findings: Findings, milestones: Sequence[Milestone | None], value_minor: int | None) -> None:
    """All fees together have to fit into the amounts of the lines, with room for corrections."""
    fees = [milestone.fee for milestone in milestones if milestone is not None]
    shares = [fee.percent for fee in fees if isinstance(fee, PercentOfValue)]
    total: int | Fraction = sum(fee.amount_minor for fee in fees if isinstance(fee, Fixed))
    # No percentage is above 100: what fits at 100 % each needs no fractions.
    if total + len(shares) * (value_minor or 0) <= MAX_TOTAL_MINOR:
        return
    total += _sum(shares) * (value_minor or 0) / 100
    if total > MAX_TOTAL_MINOR:
        message = f"the fees add up to more than {MAX_TOTAL_MINOR} minor units"
        findings.error(("milestones",), message, "split the contract: no invoice line holds such an amount")


def _sum(shares: Sequence[str]) -> Fraction:
    return sum((Fraction(money.percent(share)) for share in shares), Fraction(0))


def _check_percentages(findings: Findings, milestones: Sequence[Milestone]) -> None:
    shares = [milestone.fee.percent for milestone in milestones if isinstance(milestone.fee, PercentOfValue)]
    if not shares or len(shares) != len(milestones):
        return
    total = sum(map(money.ratio, shares), Fraction(0))
    if total != 100:
        message = f"all fees are percentages of the value, and they add up to {shown(total)} %"
        findings.warning(("milestones",), message, 'change one of them, so that they add up to "100"')


def _never_holds(findings: Findings, milestone: Milestone, path: Path) -> bool:
    """Whether a gate of the milestone's own can never hold; each is a warning."""
    found = False
    for key, gates in (("requires", milestone.requires), ("depends_on", milestone.depends_on)):
        for place, gate in enumerate(gates):
            if isinstance(gate, KpiGate) and _empty(gate):
                message = "the milestone can never bill: no value satisfies these bounds together"
                findings.warning((*path, key, place, "kpi"), message, "widen one of the bounds")
                found = True
    partial = milestone.partial_any or len(milestone.tiers) > 1
    if partial and not any(isinstance(gate, Completed) for gate in milestone.requires):
        message = "no part can ever bill: tiers are reached by completion, and requires does not ask for completed"
        findings.warning((*path, "partial"), message, "add completed to requires, or leave partial out")
    return found


def _empty(gate: KpiGate) -> bool:
    if (gate.at_least is None and gate.above is None) or (gate.at_most is None and gate.below is None):
        return False
    lower = [(money.ratio(bound), strict) for bound, strict in ((gate.at_least, False), (gate.above, True)) if bound]
    upper = [(money.ratio(bound), strict) for bound, strict in ((gate.at_most, False), (gate.below, True)) if bound]
    return any(low > high or (low == high and (a or b)) for low, a in lower for high, b in upper)


def _check_blocked(findings: Findings, milestones: Sequence[Milestone | None], blocked: dict[str, None]) -> None:
    """Warn of every milestone that waits, directly or not, for one that can never bill."""
    if not blocked:
        return
    waiting: dict[str, list[tuple[str, Path]]] = {}
    for place, milestone in enumerate(milestones):
        if milestone is None:
            continue
        for key, gates in (("requires", milestone.requires), ("depends_on", milestone.depends_on)):
            for number, gate in enumerate(gates):
                if isinstance(gate, MilestoneGate):
                    path: Path = ("milestones", place, key, number)
                    waiting.setdefault(gate.milestone, []).append((milestone.id, path))
    queue = list(blocked)
    while queue:
        needed = queue.pop()
        for name, path in waiting.get(needed, ()):
            if name not in blocked:
                message = f"the milestone can never bill: it waits for {needed}, which cannot"
                findings.warning(path, message, f"mend {needed}")
                blocked[name] = None
                queue.append(name)


def check_retention(findings: Findings, retention: Retention | None) -> None:
    """What is withheld has to be paid out some day."""
    if retention is not None and not retention.release and money.ratio(retention.rate) > 0:
        message = "what is withheld can never be released"
        findings.warning(("retention",), message, "add release: [{when: signoff}]")
