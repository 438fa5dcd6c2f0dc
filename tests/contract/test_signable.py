"""Whether a policy can be completed, compared with trying every way to hand out its signatures."""

from collections.abc import Mapping
from datetime import date
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from milepost.contract.signable import Lack, holders, lack_of_people
from milepost.core.contract import Escalation, Person, Policy, Step

HELD = st.fixed_dictionaries({role: st.frozensets(st.sampled_from("vwxyz"), max_size=4) for role in "abc"})
STEPS = st.builds(
    Step,
    st.sampled_from("abc"),
    st.integers(1, 3),
    escalations=st.lists(st.builds(Escalation, st.sampled_from("abc")), max_size=2).map(tuple),
    on_timeout=st.sampled_from([None, "reject", "accept"]),
)
POLICIES = st.builds(
    Policy,
    st.lists(STEPS, min_size=1, max_size=4).map(tuple),
    st.booleans(),
    st.booleans(),
)


def can_sign(steps: tuple[Step, ...], held: Mapping[str, frozenset[str]], distinct: bool) -> bool:
    if not steps:
        return True
    step, rest = steps[0], steps[1:]
    able = held[step.role].union(*(held[one.role] for one in step.escalations))
    for signers in combinations(sorted(able), step.quorum):
        left = {role: people - set(signers) if distinct else people for role, people in held.items()}
        if can_sign(rest, left, distinct):
            return True
    return False


@given(POLICIES, HELD, st.booleans())
def test_a_policy_lacks_people_exactly_when_no_way_to_sign_it_exists(
    policy: Policy, held: dict[str, frozenset[str]], silence: bool
) -> None:
    lack = lack_of_people(policy, held, silence=silence)
    signed = tuple(step for step in policy.steps if not (silence and step.on_timeout == "accept"))
    assert (lack is None) == can_sign(signed, held, policy.distinct)
    if lack is not None:
        needed = [policy.steps[place] for place in lack.steps if policy.steps[place] in signed]
        assert lack.people < lack.needed == sum(step.quorum for step in needed)


def test_one_person_in_two_roles_is_not_two() -> None:
    policy = Policy((Step("a"), Step("b")))
    held = {"a": frozenset({"anna"}), "b": frozenset({"anna"})}
    assert lack_of_people(policy, held) == Lack((0, 1), 2, 1)
    assert lack_of_people(Policy(policy.steps, distinct=False), held) is None


def test_who_left_before_the_contract_began_cannot_sign() -> None:
    people = {"a": (Person("x", None, date(2026, 1, 31)), Person("y", date(2026, 5, 1)), Person("y"))}
    assert holders(people, date(2026, 2, 1)) == {"a": frozenset({"y"})}
    assert holders(people, date(2026, 1, 31)) == {"a": frozenset({"x", "y"})}
    assert holders(people, None) == {"a": frozenset({"x", "y"})}
