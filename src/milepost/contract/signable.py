"""Whether a policy can be completed by given people: Hall's condition over the subsets of its steps."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from milepost.core.contract import Person, Policy, Step

__all__ = ["Lack", "holders", "lack_of_people"]


class Lack(NamedTuple):
    """Steps (from 0) that together need `needed` different people and have only `people`."""

    steps: tuple[int, ...]
    needed: int
    people: int


def holders(people: Mapping[str, tuple[Person, ...]], effective_from: date | None) -> dict[str, frozenset[str]]:
    """Role to the ids of those who hold it at some time on or after `effective_from`."""
    return {
        role: frozenset(
            person.id
            for person in persons
            if person.until is None or effective_from is None or person.until >= effective_from
        )
        for role, persons in people.items()
    }


def lack_of_people(policy: Policy, held: Mapping[str, frozenset[str]], *, silence: bool = True) -> Lack | None:
    """The smallest set of steps that cannot all be signed, or None when the policy can be completed.

    Whoever a step escalates to may sign it too. With `silence` a step that a deadline accepts needs nobody. With
    `distinct` one person signs one step at most, so steps together need their quorums' sum of people.
    """
    able = [_able(step, held) for step in policy.steps]
    quorums = [0 if silence and step.on_timeout == "accept" else step.quorum for step in policy.steps]
    for place, quorum in enumerate(quorums):
        if quorum > len(able[place]):
            return Lack((place,), quorum, len(able[place]))
    if not policy.distinct or len(able) == 1 or sum(map(len, able)) == len(frozenset().union(*able)):
        return None
    # How many people can sign exactly the steps of a mask; then, summed over subsets, only steps inside it.
    full = (1 << len(able)) - 1
    inside = [0] * (full + 1)
    for person in frozenset().union(*able):
        inside[sum(1 << place for place, people in enumerate(able) if person in people)] += 1
    for place in range(len(able)):
        for mask in range(full + 1):
            if mask >> place & 1:
                inside[mask] += inside[mask ^ (1 << place)]
    everybody = inside[full]
    for mask in sorted(range(1, full + 1), key=int.bit_count):
        steps = tuple(place for place in range(len(able)) if mask >> place & 1)
        needed = sum(quorums[place] for place in steps)
        people = everybody - inside[full ^ mask]
        if needed > people:
            return Lack(steps, needed, people)
    return None


def _able(step: Step, held: Mapping[str, frozenset[str]]) -> frozenset[str]:
    roles = (step.role, *(escalation.role for escalation in step.escalations))
    return frozenset().union(*(held.get(role, frozenset()) for role in roles))
