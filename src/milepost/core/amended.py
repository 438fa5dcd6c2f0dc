"""The terms of an engagement that was amended: every signed version, each governing from its own day on.

What is asked of an instant (gates, policies, people) is answered by the version in force then: the highest of those
that have begun. What is asked of an amount depends on the amendment's mode:

- prospective: governs acceptances from its day on; percentages of the value share what is left of it;
- catch_up: governs everything;
- separate: governs what is new in it; existing milestones keep their fees and their base.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import NamedTuple

from msgspec.structs import replace

from milepost.core import money
from milepost.core.calendar import END_OF_TIME
from milepost.core.contract import Contract, Milestone, MilestoneGate, PercentOfValue
from milepost.core.gates import leaves
from milepost.core.terms import Reign, Terms, compiled, gates, ordered

__all__ = ["Amended", "Priced", "amended", "last_accepted"]

# When a milestone was accepted last before an instant; None if nothing of it was accepted just before that.
LastAccepted = Callable[[str, int], int | None]


class Priced(NamedTuple):
    """The version whose terms govern an amount, and the fee in minor units (0 where it is no amount)."""

    terms: Terms
    fee_minor: int


class Amended(Terms):
    """All signed versions as one: what any of them names is known, the newest one's words come first."""

    def __init__(self, versions: tuple[Terms, ...], void: tuple[Terms, ...] = ()) -> None:
        """`void`: versions whose signatures were taken back: nothing is accepted of what only they name."""
        contract, dropped = _merged(versions, void)
        super().__init__(contract)
        self.versions = versions
        self.void = void
        self.voided = {name for name in dropped if not any(name in terms.milestones for terms in versions)}
        self.reigns = _reigns(versions)
        self.dropped = {name: self._gone(name) for name in dropped}
        for terms in versions[:-1]:
            self._add(terms)
        self.ordered = _ordered(versions, self.ordered)
        self.place = {milestone: place for place, milestone in enumerate(self.ordered)}

    @cached_property
    def awaited(self) -> tuple[str, ...]:
        """The milestones that the sign-off waits for: the newest version's."""
        return self.versions[-1].awaited

    def at(self, instant: int) -> Terms:
        """The version in force at the instant: the highest that has begun."""
        return next(reign.terms for reign in reversed(self.reigns) if reign.since <= instant)

    def holds_role(self, person: str, role: str, at: int) -> bool:
        """Whether the person holds the role at that instant, under the version in force then."""
        return self.at(at).holds_role(person, role, at)

    def holders(self, role: str, at: int) -> tuple[str, ...]:
        """Who holds the role at that instant, under the version in force then."""
        return self.at(at).holders(role, at)

    def pricing(self, milestone: str, at: int) -> Terms:
        """The version whose fee, rates and cards an acceptance (or a report) of that instant follows."""
        if milestone in self.voided:
            return self.naming(milestone)[-1]
        return self.versions[self._pricing(milestone, at, len(self.versions))]

    def naming(self, milestone: str) -> tuple[Terms, ...]:
        """The versions that name a milestone; those that are void, if no other does."""
        naming = self.void if milestone in self.voided else self.versions
        return tuple(terms for terms in naming if milestone in terms.milestones)

    def price(self, milestone: str, at: int, last_accepted: LastAccepted) -> Priced:
        """The fee of a milestone whose latest acceptance is at the instant, and the version that it comes from."""
        if milestone in self.voided:
            return Priced(self.naming(milestone)[-1], 0)
        return self._price(milestone, at, len(self.versions), last_accepted)

    def sharing(self, milestone: str, before: list[tuple[int, str]], now: list[tuple[int, str]]) -> list[str]:
        """Whose fees follow from whether this milestone was accepted when a version began, if that has changed."""
        found: list[str] = []
        for terms in self.versions[1:]:
            shared = [m.id for m in _percentages(terms) if m.repeats == "none"]
            kept = last_accepted(before, terms.since), last_accepted(now, terms.since)
            if terms.mode == "prospective" and milestone in shared and kept[0] != kept[1]:
                found.extend(shared)
        return found

    def _pricing(self, milestone: str, at: int, below: int) -> int:
        """The place of the version among those before `below`."""
        known = [i for i in range(below) if milestone in self.versions[i].milestones]
        for i in reversed(known):
            terms = self.versions[i]
            if i == 0 or terms.mode == "catch_up":
                return i
            if terms.mode == "separate":
                if i == known[0]:
                    return i
            elif at >= terms.since:
                return i
        return known[0]

    def _price(self, milestone: str, at: int, below: int, last_accepted: LastAccepted) -> Priced:
        i = self._pricing(milestone, at, below)
        terms = self.versions[i]
        definition = terms.milestones[milestone]
        if i == 0 or not isinstance(definition.fee, PercentOfValue) or terms.mode == "catch_up":
            return Priced(terms, terms.fees.get(milestone, 0))
        if terms.mode == "separate":
            new = [m for m in _percentages(terms) if not any(m.id in v.milestones for v in self.versions[:i])]
            return Priced(terms, _shared(new, terms.contract.value_minor or 0, terms)[milestone])
        kept = self._kept(i, last_accepted)
        if milestone in kept:
            return kept[milestone]
        everyone = _percentages(terms)
        whole = _total(everyone, terms.contract.value_minor or 0, terms)
        rest = whole - sum(priced.fee_minor for priced in kept.values())
        sharing = [m for m in everyone if m.id not in kept]
        weights = [money.ratio(m.fee.percent) for m in sharing if isinstance(m.fee, PercentOfValue)]
        amounts = money.distribute(rest, weights)
        return Priced(terms, next(amount for m, amount in zip(sharing, amounts, strict=True) if m.id == milestone))

    def _kept(self, i: int, last_accepted: LastAccepted) -> dict[str, Priced]:
        """The percentages of version `i` that were accepted, even in part, before it began: they keep their fee."""
        kept: dict[str, Priced] = {}
        for milestone in _percentages(self.versions[i]):
            if milestone.repeats != "none":
                continue
            at = last_accepted(milestone.id, self.versions[i].since)
            if at is not None and any(milestone.id in terms.milestones for terms in self.versions[:i]):
                kept[milestone.id] = self._price(milestone.id, at, i, last_accepted)
        return kept

    def _gone(self, milestone: str) -> int:
        """Since when no version in force names the milestone."""
        return max((r.until for r in self.reigns if milestone in r.terms.milestones), default=-END_OF_TIME)

    def _add(self, terms: Terms) -> None:
        """Know what an older version made depend on what, for its facts are looked at again too."""
        for key, names in (*terms.dependants.items(), *((f"kpi/{k}", n) for k, n in terms.measured.items())):
            known = self.measured if key.startswith("kpi/") else self.dependants
            mine = known.setdefault(key.removeprefix("kpi/"), [])
            mine.extend(name for name in names if name not in mine)
        for named, users in terms.filed.items():
            wanted = self.filed.setdefault(named, [])
            wanted.extend(name for name in users if name not in wanted)
        self.due = sorted({*self.due, *terms.due})


def last_accepted(accepted: list[tuple[int, str]], before: int) -> int | None:
    """When more was accepted last before the instant; None if nothing was accepted just before it."""
    found, level = None, money.percent("0")
    for at, text in accepted:
        if at >= before:
            break
        found, level = (at if money.percent(text) > level else found), money.percent(text)
    return found if level > 0 else None


@lru_cache(maxsize=1024)
def amended(encoded: tuple[bytes, ...], void: tuple[bytes, ...] = ()) -> Amended:
    """The terms of an engagement's signed versions, encoded, oldest first; the same bytes compile once.

    `void`: versions that were signed and are not any more.
    """
    return Amended(tuple(map(compiled, encoded)), tuple(map(compiled, void)))


def _merged(versions: tuple[Terms, ...], void: tuple[Terms, ...]) -> tuple[Contract, list[str]]:
    """The newest contract with the milestones that it lacks, as they were agreed last, and their names."""
    newest = versions[-1].contract
    known = {m.id for m in newest.milestones}
    policies, dropped = dict(newest.policies), list[Milestone]()
    for place, terms in enumerate((*reversed(versions[:-1]), *reversed(void))):
        for milestone in terms.contract.milestones:
            if milestone.id in known:
                continue
            known.add(milestone.id)
            # its policy under a name that no document can use
            name = f"{place}/{milestone.approval}" if milestone.approval else None
            if name is not None:
                policies[name] = terms.policies[milestone.id]
            dropped.append(replace(milestone, approval=name))
    merged = replace(
        newest,
        milestones=newest.milestones + tuple(dropped),
        policies=policies,
        effective_from=versions[0].contract.effective_from,
        rounding=versions[0].contract.rounding,  # one for the whole engagement (rule 2)
    )
    return merged, [m.id for m in dropped]


def _reigns(versions: tuple[Terms, ...]) -> tuple[Reign, ...]:
    """When which version is in force, in the order of time; one that a higher version overtook never is."""
    found: list[Reign] = []
    until = END_OF_TIME
    for i in reversed(range(len(versions))):
        since = versions[i].since if i else -END_OF_TIME
        if since < until:
            found.append(Reign(since, until, versions[i]))
            until = since
    return tuple(reversed(found))


def _ordered(versions: tuple[Terms, ...], newest: list[str]) -> list[str]:
    """What any version makes others depend on comes first; where versions contradict each other, the newest counts."""
    needs: dict[str, set[str]] = {name: set() for name in newest}
    for terms in versions:
        for milestone in terms.contract.milestones:
            for gate in leaves(gates(milestone)):
                if isinstance(gate, MilestoneGate):
                    needs[milestone.id].add(gate.milestone)
    return ordered(newest, needs)


def _percentages(terms: Terms) -> list[Milestone]:
    return [m for m in terms.contract.milestones if isinstance(m.fee, PercentOfValue)]


def _total(milestones: list[Milestone], value: int, terms: Terms) -> int:
    """round(sum of the percentages x value)."""
    return sum(_shared(milestones, value, terms).values())


def _shared(milestones: list[Milestone], value: int, terms: Terms) -> dict[str, int]:
    shares = [money.percent(m.fee.percent) for m in milestones if isinstance(m.fee, PercentOfValue)]
    return dict(zip((m.id for m in milestones), money.allocate(value, shares, terms.rounding), strict=True))
