"""Random contracts of the supported language: small, with gates that few values open."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from milepost.core.contract import (
    Cap,
    Completed,
    Contract,
    DateGate,
    EvidenceGate,
    Fixed,
    Gate,
    KpiGate,
    Milestone,
    MilestoneGate,
    PercentOfValue,
    Person,
    Policy,
    Release,
    Retention,
    Step,
    Success,
)
from tests.properties import hours
from tests.properties.features import CARDS, FILINGS, FIRST_DAY, HOLIDAYS, Features

PEOPLE = ("ana", "bob", "carol", "dave")
ROLES = ("lead", "ap", "cfo")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Chooser:
    """Choices and moments of one engagement, and its contract."""

    def __init__(self, rng: Random, only: dict[str, Any]) -> None:
        self.rng, self.only = rng, only
        self.calm = rng.randrange(100) < 65  # most things go well: there must be money for the rest to go wrong with
        self.zone = rng.choice(("Europe/Berlin", "Europe/Berlin", "America/New_York", "Asia/Tokyo"))
        self.instants = self._instants()
        self.features = Features.some(
            rng, self.calm, frozenset(only.get("without", ())), frozenset(only.get("always", ()))
        )

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def allowed(self, feature: str, percent: int) -> bool:
        wanted = self.chance(percent)
        return wanted and self.only.get(feature, True) is not False

    # -- time

    def _instants(self) -> list[int]:
        """A handful of moments on a handful of days; midnight is one of them."""
        found = set()
        for _ in range(self.rng.choice((4, 8, 14))):
            day = FIRST_DAY + timedelta(days=self.rng.randrange(8))
            found.add(self.at(day, self.rng.choice((0, 0, 9, 9, 10, 23))))
        return sorted(found)

    def at(self, day: date, hour: int) -> int:
        local = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(self.zone))
        return (local - _EPOCH) // timedelta(microseconds=1)

    def moment(self) -> int:
        return self.rng.choice(self.instants)

    # -- the contract

    def contract(self) -> Contract:
        rng = self.rng
        policies = {
            "dual": Policy((Step("lead"), Step("ap")), self.chance(30), not self.chance(25)),
            "single": Policy((Step(rng.choice(ROLES)),)),
            "quorum": Policy((Step("ap", 2), *([Step("cfo")] if self.chance(50) else [])), self.chance(30)),
        }
        policies = {name: self.features.policy(policy, ROLES) for name, policy in policies.items()}
        count = rng.choice((1, 1, 2, 2, 3, 4))
        made: list[Milestone] = []
        for place in range(1, count + 1):
            made.append(self._milestone(f"m{place}", made, sorted(policies)))
        milestones = tuple(made)
        if rng.randrange(3) == 0:
            milestones = tuple(rng.sample(milestones, count))  # what is depended on need not come first
        return Contract(
            engagement="eng",
            version=1,
            customer_id="acme",
            currency=rng.choice(("EUR", "EUR", "JPY", "KWD")),
            currency_exponent=2,
            timezone=self.zone,
            effective_from=FIRST_DAY + timedelta(days=rng.choice((0, 0, 0, 1))),
            milestones=milestones,
            value_minor=rng.choice((10_000, 10_001, 999_999)),
            rounding=rng.choice(("half_up", "half_even")),
            people=self.people(),
            policies=policies,
            retention=self._retention(),
            signoff_approval=rng.choice(sorted(policies)) if self.features.has("signoff", 80) else None,
            customer_metadata={"payer_id": "B"} if self.chance(30) else {},
            rate_cards={"payers": CARDS},
            calendar="DE",
            holidays=HOLIDAYS,
            time_and_materials=hours.terms(rng) if self.features.has("hours") else None,
            amendments_approval=rng.choice((None, *sorted(policies))) if self.features.has("amendments") else None,
        )

    def people(self) -> dict[str, tuple[Person, ...]]:
        """Who holds the roles; now and then a deputy for a few days."""
        people = {role: tuple(Person(name) for name in self.rng.sample(PEOPLE, 3)) for role in ROLES}
        if self.chance(20):
            deputy = Person(self.rng.choice(PEOPLE), FIRST_DAY + timedelta(days=2), FIRST_DAY + timedelta(days=4))
            people["ap"] = (*(p for p in people["ap"] if p.id != deputy.id), deputy)
        return people

    def _milestone(self, name: str, others: list[Milestone], policies: list[str]) -> Milestone:
        rng, features = self.rng, self.features
        amount = rng.choice((0, 1, 333, 100_005, 2_500_000)) if self.chance(60) else 100_005
        partial = rng.choice(("none", "tiers", "any"))
        repeats = features.repeats()
        needed = [other.id for other in others if other.repeats == "none" or other.repeats == repeats]
        gates = self._requires(needed) if repeats == "none" else self._repeated_gates(repeats, needed)
        made = Milestone(
            id=name,
            name=name,
            fee=Fixed(amount) if repeats != "none" or self.chance(60) else PercentOfValue(rng.choice(("33.33", "25"))),
            requires=features.nested(gates, self._spare(needed)),
            approval=rng.choice(policies) if self.chance(70) else None,
            criteria=rng.choice((None, "It works: ja, völlig.")),
            depends_on=features.nested(self._depends_on(needed), self._spare(needed)),
            tiers=("60", "90", "100") if partial == "tiers" else ("100",),
            partial_any=partial == "any",
            optional=self.chance(20),
            retained=not self.chance(15),
            repeats=repeats,
            clawback=features.clawback(),
        )
        fee = features.fee(made)
        if fee is None:
            return made
        made = msgspec.structs.replace(made, fee=fee, tiers=("100",), partial_any=False)
        if isinstance(fee, Success):
            return msgspec.structs.replace(made, requires=features.success_gates(made.requires, repeats))
        return made if Completed() in made.requires else msgspec.structs.replace(made, requires=(Completed(),))

    def _repeated_gates(self, repeats: str, others: list[str]) -> tuple[Gate, ...]:
        """The gate that makes the occurrences, and now and then another."""
        return (*self.features.own_gates(repeats), *(self._depends_on(others) if self.chance(20) else ()))

    def _spare(self, others: list[str]) -> Gate:
        """A gate that stands beside another in `any_of` or `all_of`."""
        choices: list[Gate] = [self._kpi_gate(), self._date_gate()]
        if self.features.has("alternatives"):
            choices += [Completed(), EvidenceGate(("report",))]
        if others:
            choices.append(self._milestone_gate(others))
        if "regulators" in self.features.groups:
            choices.append(self.features.regulator_gate(self.rng.choice(FILINGS)))
        return self.rng.choice(choices)

    def _requires(self, others: list[str]) -> tuple[Gate, ...]:
        gates: list[Gate] = [Completed()] if self.chance(90) else []
        if self.chance(20):
            gates.append(EvidenceGate(("report",)))
        if self.chance(15 if self.calm else 25):
            gates.append(self._kpi_gate())
        if self.chance(10):
            gates.append(self._date_gate())
        if others and self.chance(10):
            gates.append(self._milestone_gate(others))
        if self.features.has("regulators", 50):
            gates.append(self.features.regulator_gate(self.rng.choice(FILINGS)))
        return tuple(gates) or (self._kpi_gate(),)

    def _depends_on(self, others: list[str]) -> tuple[Gate, ...]:
        gates: list[Gate] = []
        if others and self.chance(40):
            gates.append(self._milestone_gate(others))
        if self.chance(15 if self.calm else 25):
            gates.append(self._kpi_gate())
        if self.chance(15):
            gates.append(self._date_gate())
        if self.features.has("regulators", 20):
            gates.append(self.features.regulator_gate(self.rng.choice(FILINGS)))
        return tuple(gates)

    def _milestone_gate(self, others: list[str]) -> MilestoneGate:
        return MilestoneGate(self.rng.choice(others), self.rng.choice(("100", "100", "60", "50")))

    def _date_gate(self) -> DateGate:
        return DateGate(self.features.day())

    def _kpi_gate(self) -> KpiGate:
        rng = self.rng
        if self.calm and self.chance(50):
            return KpiGate(id="reading", at_least="0.85")
        bound = rng.choice(({"at_least": "0.85"}, {"above": "0.85"}, {"at_most": "0.9", "at_least": "0.85"}, {}))
        name = rng.choice(("reading", "monthly"))
        periods = name == "monthly"
        return KpiGate(
            id=name,
            status=rng.choice(("any", "any", "final", "provisional")),
            sources=rng.choice(((), (), ("grafana",), ("grafana", "finance"))),
            unit=rng.choice((None, None, None, "P1")),
            period_from=date(2026, 1, 1) if periods and self.chance(20) else None,
            period_to=date(2026, 1, 31) if periods and self.chance(20) else None,
            **bound,
        )

    def _retention(self) -> Retention | None:
        rng = self.rng
        if self.chance(10):
            return None
        cap = rng.choice((None, None, Cap(amount_minor=5_001), Cap(percent_of_value="0.5", basis="original")))
        shares: tuple[str, ...] = rng.choice((("100",), ("50", "50"), ("33", "67"), ()))
        return Retention(
            rate=rng.choice(("10", "5", "7.5")),
            cap=cap,
            exempt=self.features.exempt(),
            release=tuple(Release(f"r{place}", share, self.features.moment()) for place, share in enumerate(shares, 1)),
            step_down=self.features.step_down(),
        )
