"""What only policies, people and sides together show: who can complete a policy, and who alone."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date

import msgspec

from milepost.contract.findings import Findings, Path
from milepost.contract.signable import holders, lack_of_people
from milepost.core.contract import Milestone, Person, Policy, Step

__all__ = ["check_amendments", "check_policies"]

People = Mapping[str, tuple[Person, ...]]
Held = Mapping[str, frozenset[str]]


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
        if policy is None or any(role not in held for step in policy.steps for role in _roles(step)):
            continue
        path: Path = ("approvals", name, "steps")
        _check_grace(findings, policy, path)
        lack = lack_of_people(policy, held)
        said = () if lack is None or len(lack.steps) > 1 else lack.steps
        _check_roles(findings, policy, path, {role for role, people in held.items() if not people}, said)
        if lack is None:
            _check_sides(findings, name, policy, held, sides)
        elif len(lack.steps) == 1:
            role = " or ".join(_roles(policy.steps[lack.steps[0]]))
            message = f"nobody can complete it: {lack.needed} must sign as {role}, and {lack.people} can"
            findings.error((*path, lack.steps[0]), message, "lower the quorum, or add people to the role")
        else:
            roles = " and ".join(policy.steps[place].role for place in lack.steps)
            message = f"nobody can complete it: {roles} need {lack.needed} different people, and {lack.people} can sign"
            findings.error(path, message, "add people, or write distinct: false")


def _roles(step: Step) -> tuple[str, ...]:
    return (step.role, *(escalation.role for escalation in step.escalations))


def _check_roles(findings: Findings, policy: Policy, path: Path, empty: AbstractSet[str], said: Sequence[int]) -> None:
    """Roles that have people by name, all of whom leave before the contract takes effect."""
    for place, step in enumerate(policy.steps):
        for role in (role for role in _roles(step) if role in empty and place not in said):
            message = f"nobody holds {role} any more when the contract takes effect"
            findings.error((*path, place), message, "add people to the role, or let it be signed by another one")


def _check_grace(findings: Findings, policy: Policy, path: Path) -> None:
    for place, step in enumerate(policy.steps):
        if step.grace is not None and step.on_timeout != "accept":
            fix = "leave it out, or end on_timeout in accept"
            findings.warning((*path, place, "grace"), "changes nothing: it delays acceptance by silence only", fix)


def _check_sides(
    findings: Findings, name: str, policy: Policy, held: Held, sides: Mapping[str, tuple[str, ...]]
) -> None:
    if len([side for side in sides.values() if side]) < 2:
        return
    for side, roles in sides.items():
        ours = frozenset().union(*(held.get(role, frozenset()) for role in roles))
        alone = {role: persons & ours for role, persons in held.items()}
        for steps, silence, when in _ways(policy):
            if lack_of_people(msgspec.structs.replace(policy, steps=steps), alone, silence=silence) is None:
                fix = "add a step of the other side, unless that is what both agreed on"
                message = f"the {side} side alone can complete the policy{when}"
                findings.warning(("approvals", name), message, fix)
                break


def _ways(policy: Policy) -> Iterator[tuple[tuple[Step, ...], bool, str]]:
    """(steps that there are, whether silence accepts, when that is), from all steps to the fewest there can be."""
    amounts = sorted({step.amount_at_least_minor or 0 for step in policy.steps})
    fewest = tuple(step for step in policy.steps if (step.amount_at_least_minor or 0) <= amounts[0])
    below = " below the amounts from which others sign" if len(amounts) > 1 else ""
    yield policy.steps, False, ""
    yield fewest, False, below
    yield fewest, True, f"{below or ' '}{',' if below else ''}".rstrip() + " once a deadline has passed"


def check_amendments(findings: Findings, milestones: Sequence[Milestone | None], approval: str | None) -> None:
    """Where milestones are signed, what changes them should be."""
    if approval is None and any(milestone is not None and milestone.approval is not None for milestone in milestones):
        message = "amendments need no approval, although milestones do"
        findings.warning(("amendments",), message, "name a policy as amendments.approval")
