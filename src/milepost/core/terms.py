"""A contract's version, compiled once for the fold: fees as amounts, who depends on whom, what is due when."""

from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeVar

import msgspec

from milepost.core import money
from milepost.core.calendar import END_OF_TIME, local_date, start_of_day
from milepost.core.contract import (
    Completed,
    Contract,
    DateGate,
    Fixed,
    Gate,
    KpiGate,
    Milestone,
    MilestoneGate,
    PercentOfValue,
    Policy,
    RegulatorGate,
    Retention,
    Success,
)
from milepost.core.gates import leaves

__all__ = [
    "AMENDMENT",
    "NO_POLICY",
    "SIGNOFF_NAME",
    "Reign",
    "Terms",
    "compiled",
    "gates",
    "is_success",
    "is_to_date",
    "measuring",
    "ordered",
]

_Key = TypeVar("_Key")

NO_POLICY = Policy(steps=())  # `approval: none`: a submission that is settled as it opens

# What is signed beside milestones: the engagement as a whole, and its next contract.
SIGNOFF_NAME, AMENDMENT = "@signoff", "@amendment"


class Reign(NamedTuple):
    """The version in force in `[since, until)`."""

    since: int
    until: int
    terms: "Terms"


class Terms:
    """One version of an engagement's contract with what the fold looks up."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.zone = contract.timezone
        self.rounding = contract.rounding
        self.starts_at = start_of_day(contract.effective_from, contract.timezone)
        self.milestones = {milestone.id: milestone for milestone in contract.milestones}
        self.fees = _fees(contract)
        self.signable = {
            **self.milestones,
            SIGNOFF_NAME: _pseudo(SIGNOFF_NAME, "Final sign-off", contract.signoff_approval),
            AMENDMENT: _pseudo(AMENDMENT, "Amendment", contract.amendments_approval),
        }
        self.policies = {
            name: contract.policies[m.approval] if m.approval else NO_POLICY for name, m in self.signable.items()
        }
        self.ordered = _ordered(contract.milestones)
        self.versions: tuple[Terms, ...] = (self,)
        self.reigns: tuple[Reign, ...] = (Reign(-END_OF_TIME, END_OF_TIME, self),)
        self.dropped: dict[str, int] = {}  # a milestone that an amendment left out -> since when
        self.place = {milestone: place for place, milestone in enumerate(self.ordered)}
        self.dependants: dict[str, list[str]] = {}
        self.measured: dict[str, list[str]] = {}
        self.filed: dict[tuple[str, str], list[str]] = {}  # (filing, regulator) -> who names the two
        self.deciders: dict[str, list[str]] = {}  # regulator -> who wants its decision on each filing
        self.due: list[tuple[int, str]] = []
        for name in self.ordered:
            for measure in measuring(self.milestones[name]):
                _append(self.measured, measure.id, name)
            for gate in leaves(gates(self.milestones[name])):
                if isinstance(gate, MilestoneGate):
                    _append(self.dependants, gate.milestone, name)
                elif isinstance(gate, RegulatorGate):
                    for regulator in gate.by:
                        if gate.filing is None:
                            _append(self.deciders, regulator, name)
                        else:
                            _append(self.filed, (gate.filing, regulator), name)
                elif isinstance(gate, DateGate):
                    self.due.append((start_of_day(gate.on, self.zone), name))
        self.due.sort()

    @cached_property
    def since(self) -> int:
        """From when on it is in force as an amendment: the start of its day; always, if it is none."""
        amendment = self.contract.amendment
        return -END_OF_TIME if amendment is None else start_of_day(amendment.since, self.zone)

    @property
    def mode(self) -> str | None:
        """How it follows the version before: prospective, catch_up or separate; None for the first."""
        return self.contract.amendment.mode if self.contract.amendment else None

    def at(self, instant: int) -> "Terms":
        """The version in force at the instant."""
        return self

    def pricing(self, milestone: str, at: int) -> "Terms":
        """The version whose fee, rates and cards an acceptance (or a report) of that instant follows."""
        return self

    @cached_property
    def awaited(self) -> tuple[str, ...]:
        """The milestones that the sign-off waits for (rule 23)."""
        return tuple(m.id for m in self.contract.milestones if not (m.optional or m.repeats != "none" or is_to_date(m)))

    @cached_property
    def holidays(self) -> frozenset[date]:
        """The weekdays that are no business days."""
        return frozenset(self.contract.holidays)

    def cap_minor(self, original_value_minor: int | None) -> int | None:
        """The most that is withheld, or None; a percentage is of the value first agreed or of this version's."""
        agreed = [version.contract.retention for version in self.versions if version.contract.retention is not None]
        if not agreed or agreed[-1].cap is None:
            return None
        retention = agreed[-1]
        assert retention.cap is not None
        if retention.cap.amount_minor is not None:
            return retention.cap.amount_minor
        value = original_value_minor if retention.cap.basis == "original" else self.contract.value_minor
        return money.percentage_of(value or 0, money.ratio(retention.cap.percent_of_value or "0"), self.rounding)

    @cached_property
    def rates(self) -> tuple[tuple[Fraction | None, Fraction], ...]:
        """What is withheld: (gross subject to date in minor units up to which, None without end; percentage)."""
        retention = self.contract.retention
        if retention is None:
            return ()
        rate, found = money.ratio(retention.rate), []
        for step in retention.step_down:
            until = money.ratio(step.from_percent_billed) * (self.contract.value_minor or 0) / 100
            found.append((until, rate))
            rate = money.ratio(step.rate)
        return (*found, (None, rate))

    def withholding(self, at: int) -> "Terms":
        """The version whose retention applies to gross accepted at the instant; of an engagement's terms."""
        found = self.versions[0]
        for terms in self.versions[1:]:
            if terms.mode == "catch_up" or at >= terms.since:
                found = terms
        return found

    def subject(self, milestone: Milestone) -> bool:
        """Whether retention is withheld from the milestone's lines."""
        return milestone.retained and not self.exempts("success_fees" if is_success(milestone) else "milestones")

    def exempts(self, kind: str) -> bool:
        """Whether nothing is ever withheld from lines of a kind; without retention it is as if its rate were 0."""
        return kind in (self.contract.retention or Retention(rate="0")).exempt

    def holds_role(self, person: str, role: str, at: int) -> bool:
        """Whether the person holds the role at that instant; `from` and `until` are local days, both included."""
        day = None
        for holder in self.contract.people.get(role, ()):
            if holder.id == person:
                if holder.since is None and holder.until is None:
                    return True
                day = day or local_date(at, self.zone)
                if (holder.since is None or holder.since <= day) and (holder.until is None or day <= holder.until):
                    return True
        return False

    def holders(self, role: str, at: int) -> tuple[str, ...]:
        """Who holds the role at the instant, in the contract's order."""
        people = dict.fromkeys(holder.id for holder in self.contract.people.get(role, ()))
        return tuple(person for person in people if self.holds_role(person, role, at))


def is_success(milestone: Milestone) -> bool:
    """Whether the fee is a share of a gain: retention may exempt it."""
    return isinstance(milestone.fee, Success)


def _pseudo(name: str, title: str, approval: str | None) -> Milestone:
    return Milestone(id=name, name=title, fee=Fixed(0), requires=(Completed(),), approval=approval)


def is_to_date(milestone: Milestone) -> bool:
    """Whether the fee follows a cumulative value, so that there is no last acceptance."""
    return isinstance(milestone.fee, Success) and milestone.fee.to_date


def gates(milestone: Milestone) -> tuple[Gate, ...]:
    """Every gate of the milestone: `requires`, then `depends_on`."""
    return milestone.requires + milestone.depends_on


def measuring(milestone: Milestone, kpi: str | None = None) -> Iterator[KpiGate]:
    """Whatever of the milestone looks at the values of a KPI, or of any: its fee, its clawback, its gates."""
    fee, clawback = milestone.fee, milestone.clawback
    looking = [fee.measure] if isinstance(fee, Success) else []
    looking += [] if clawback is None else [clawback.when]
    looking += [gate for gate in leaves(gates(milestone)) if isinstance(gate, KpiGate)]
    return (gate for gate in looking if kpi in (None, gate.id))


def _append(lists: dict[_Key, list[str]], key: _Key, name: str) -> None:
    names = lists.setdefault(key, [])
    if name not in names:
        names.append(name)


def _fees(contract: Contract) -> dict[str, int]:
    shared = [m for m in contract.milestones if isinstance(m.fee, PercentOfValue)]
    shares = [money.percent(m.fee.percent) for m in shared if isinstance(m.fee, PercentOfValue)]
    amounts = money.allocate(contract.value_minor or 0, shares, contract.rounding)
    fees = {m.id: m.fee.amount_minor for m in contract.milestones if isinstance(m.fee, Fixed)}
    fees.update({m.id: amount for m, amount in zip(shared, amounts, strict=True)})
    return fees


def _ordered(milestones: tuple[Milestone, ...]) -> list[str]:
    """The contract's order, but what is depended on first; lint has refused cycles."""
    needs = {m.id: {g.milestone for g in leaves(gates(m)) if isinstance(g, MilestoneGate)} for m in milestones}
    return ordered([m.id for m in milestones], needs)


def ordered(names: list[str], needs: dict[str, set[str]]) -> list[str]:
    """The names as given, but what others need first; the given order decides where they need each other."""
    found: list[str] = []
    placed: set[str] = set()
    waiting = list(names)
    while waiting:
        ready = next((name for name in waiting if placed.issuperset(needs[name])), waiting[0])
        waiting.remove(ready)
        placed.add(ready)
        found.append(ready)
    return found


_contract_decoder = msgspec.msgpack.Decoder(Contract)


@lru_cache(maxsize=4096)
def compiled(encoded: bytes) -> Terms:
    """The terms of an encoded contract; the same bytes compile once."""
    return Terms(_contract_decoder.decode(encoded))
