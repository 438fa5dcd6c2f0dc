"""Which version of the contract governs what, and what a milestone's fee is under it (rules 2, 3 and amendments)."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from milepost.core.contract import Completed, Contract, Fixed, Milestone, PercentOfValue, Person, Policy
from milepost.sim.oracle_days import start_of
from milepost.sim.oracle_facts import AMENDMENT, SIGNOFF, exact

__all__ = ["Terms", "fees", "rounded", "shared"]

# By milestone: when how many percent of it were accepted. Of several occurrences a fee that is a share has none.
Steps = Mapping[str, Sequence[tuple[int, Fraction]]]


def rounded(amount: Fraction, rounding: str) -> int:
    """To a whole minor unit: half away from zero, or half to even."""
    if rounding == "half_even":
        return round(amount)
    whole = int(abs(amount) + Fraction(1, 2))
    return whole if amount >= 0 else -whole


def shared(whole: int, parts: Mapping[str, Fraction]) -> dict[str, int]:
    """A whole amount in proportion to `parts`: largest remainder, ties to the earliest (rule 3)."""
    total = sum(parts.values(), Fraction(0))
    shares = {name: whole * part / total if total else Fraction(0) for name, part in parts.items()}
    found = {name: share.numerator // share.denominator for name, share in shares.items()}
    left = whole - sum(found.values()) if total else 0
    for name in sorted(shares, key=lambda name: found[name] - shares[name])[:left]:  # the sort is stable: ties
        found[name] += 1
    return found


def fees(contract: Contract) -> dict[str, int]:
    """Each fixed fee and each percentage of the value as an amount, by the contract alone."""
    found = {m.id: m.fee.amount_minor for m in contract.milestones if isinstance(m.fee, Fixed)}
    return found | shared(_whole(contract, _percentages(contract)), _percentages(contract))


def _percentages(contract: Contract) -> dict[str, Fraction]:
    return {m.id: exact(m.fee.percent) for m in contract.milestones if isinstance(m.fee, PercentOfValue)}


def _whole(contract: Contract, percentages: Mapping[str, Fraction]) -> int:
    total = sum(percentages.values(), Fraction(0))
    return rounded(total * (contract.value_minor or 0) / 100, contract.rounding)


class Terms:
    """The versions of a contract that took effect, in order; each from the start of its day on."""

    def __init__(self, versions: Sequence[Contract], clock: int | None) -> None:
        self.versions, self.clock = list(versions), clock  # by which each of them has begun, or not yet
        self.first, self.latest = versions[0], versions[-1]
        self.zone, self.rounding = self.first.timezone, self.first.rounding

    def since(self, place: int) -> int:
        """The first instant of a version's time."""
        amendment = self.versions[place].amendment
        if not place or amendment is None:
            return start_of(self.first.effective_from, self.zone)
        return start_of(amendment.since, self.zone)

    def mode(self, place: int) -> str:
        """The mode of the version at this place; the first has none."""
        amendment = self.versions[place].amendment
        return amendment.mode if place and amendment is not None else ""

    def starts(self) -> list[int]:
        """When each amendment begins."""
        return [self.since(place) for place in range(1, len(self.versions))]

    def milestones(self) -> list[str]:
        """Every milestone of every version: those of the latest in its order, then those that were dropped."""
        names = [milestone.id for version in reversed(self.versions) for milestone in version.milestones]
        return list(dict.fromkeys(names))

    # -- who and what, at an instant

    def at(self, at: int) -> Contract:
        """The version in force at an instant: people, policies, cards, prices."""
        return self.versions[max(place for place in range(len(self.versions)) if not place or self.since(place) <= at)]

    def milestone_at(self, name: str, at: int) -> Milestone | None:
        """A milestone as it is at an instant; None before it came and after it was dropped."""
        if name in (SIGNOFF, AMENDMENT):
            return _claimed(name, self.at(at) if name == SIGNOFF else self.latest)
        return _milestone(self.at(at), name)

    def ever(self, name: str) -> Milestone:
        """A milestone as its latest version has it."""
        return next(m for version in reversed(self.versions) for m in version.milestones if m.id == name)

    def policy_at(self, milestone: Milestone, at: int) -> Policy | None:
        """A milestone's policy as it is at an instant; an amendment is signed under the version before it."""
        version = self.latest if milestone.id == AMENDMENT else self.at(at)
        return None if milestone.approval is None else version.policies.get(milestone.approval)

    def people_at(self, role: str, at: int) -> Iterable[Person]:
        """Who is named for a role at an instant."""
        return self.at(at).people.get(role, ())

    # -- money

    def governing(self, name: str, at: int) -> int:
        """The place of the version whose fee an acceptance of this instant has; a catch-up governs everything."""
        found, existed = 0, False
        for place, version in enumerate(self.versions):
            if _milestone(version, name) is None:
                continue
            new, mode = not existed, self.mode(place)
            if new or mode == "catch_up" or (mode == "prospective" and self.since(place) <= at):
                found = place
            existed = True
        return found

    def place_at(self, at: int) -> int:
        """The place of the version that governs what is withheld from a line accepted at an instant."""
        places = range(len(self.versions))
        return max(p for p in places if not p or self.mode(p) == "catch_up" or self.since(p) <= at)

    def fee_terms(self, name: str, at: int) -> Milestone:
        """The milestone whose fee governs an acceptance of this instant."""
        found = (
            _claimed(name, self.first)
            if name in (SIGNOFF, AMENDMENT)
            else _milestone(self.versions[self.governing(name, at)], name)
        )
        assert found is not None
        return found

    def fees_by_place(self, name: str, places: Iterable[int], steps: Steps) -> dict[int, int]:
        """The whole fee by the place of the version that governs; nothing where the contract has no amount."""
        found: dict[int, int] = {}
        for place in places:
            milestone = _milestone(self.versions[place], name)
            if milestone is not None and isinstance(milestone.fee, Fixed):
                found[place] = milestone.fee.amount_minor
            elif milestone is not None and isinstance(milestone.fee, PercentOfValue):
                found[place] = self._shares(place, steps)[name]
        return found

    def _shares(self, place: int, steps: Steps) -> dict[str, int]:
        """The percentages of the value as amounts, in a version."""
        version = self.versions[place]
        wanted = _percentages(version)
        if not place:
            return shared(_whole(version, wanted), wanted)
        before = self._shares(place - 1, steps)
        mode = self.mode(place)
        kept: dict[str, int] = {}
        if mode == "separate":
            kept = before
            new = {name: percent for name, percent in wanted.items() if name not in before}
            return kept | shared(_whole(version, new), new)
        if mode == "prospective":
            since = self.since(place)
            single = [m.id for m in version.milestones if m.repeats == "none" and m.id in wanted and m.id in before]
            kept = {name: before[name] for name in single if _accepted_before(steps.get(name, ()), since)}
        rest = {name: percent for name, percent in wanted.items() if name not in kept}
        return before | kept | shared(_whole(version, wanted) - sum(kept.values()), rest)


def _claimed(name: str, contract: Contract) -> Milestone:
    """What the sign-off, or an amendment, is claimed as: all or nothing, and no money."""
    approval = contract.signoff_approval if name == SIGNOFF else contract.amendments_approval
    return Milestone(name, name, Fixed(0), (Completed(),), approval)


def _milestone(contract: Contract, name: str) -> Milestone | None:
    return next((milestone for milestone in contract.milestones if milestone.id == name), None)


def _accepted_before(steps: Sequence[tuple[int, Fraction]], instant: int) -> bool:
    """Whether something was accepted when the amendment began."""
    before = [percent for at, percent in steps if at < instant]
    return bool(before) and before[-1] > 0
