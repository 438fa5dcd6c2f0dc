"""What random engagements are made of beyond one fixed fee: named groups, so that each can be left out or asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

import msgspec

from milepost.core.contract import (
    AllOf,
    AnyOf,
    Card,
    Clawback,
    Completed,
    Duration,
    EarlierOf,
    Escalation,
    EvidenceGate,
    Fee,
    Gate,
    KpiGate,
    LaterOf,
    Milestone,
    Moment,
    OnDate,
    OnSignoff,
    Policy,
    RateCard,
    RegulatorGate,
    Step,
    StepDown,
    Success,
    Tier,
)

GROUPS = frozenset(
    {
        "alternatives",
        "amendments",
        "amounts",
        "clawback",
        "conflicts",
        "deadlines",
        "disputes",
        "exempt",
        "hours",
        "moments",
        "nesting",
        "occurrences",
        "rate_cards",
        "regulators",
        "signer_evidence",
        "signoff",
        "step_down",
        "success",
    }
)

FIRST_DAY = date(2026, 3, 25)  # the clocks of Berlin change four days later
REGULATORS, FILINGS = ("FDA", "EMA"), ("F1", "F2")
OCCURRENCES = {
    "none": (None,),
    "monthly": ("2026-01", "2026-02"),
    "per_filing": FILINGS,
    "per_occurrence": ("o1", "o2"),
}
PERIODS = (
    (date(2026, 1, 1), date(2026, 1, 31)),
    (date(2026, 1, 1), date(2026, 1, 31)),
    (date(2026, 2, 1), date(2026, 2, 28)),
    (date(2026, 1, 17), date(2026, 2, 16)),  # its middle is on 1 February
    (date(2026, 1, 16), date(2026, 2, 15)),  # its middle is on 31 January
    (date(2026, 1, 3), date(2026, 1, 29)),  # 27 days
    (date(2026, 1, 3), date(2026, 1, 28)),  # 26 days
    (date(2026, 1, 1), date(2026, 2, 1)),  # 32 days
    (date(2026, 1, 1), date(2026, 2, 2)),  # 33 days
)
WITHIN = (
    Duration("P1D", days=1),
    Duration("P2D", days=2),
    Duration("PT12H", seconds=43_200),
    Duration("P1B", business_days=1),
    Duration("P3B", business_days=3),
)
HOLIDAYS = (date(2026, 4, 3), date(2026, 4, 6))  # of Germany, in the weeks of the engagements
CARDS = {
    "A": Card(percent_of_charge="80"),
    "B": Card(procedures={"p1": 9_250, "p2": 0}),
    "C": Card(procedures={"p1": 12_000}, otherwise_minor=19_599),
}


@dataclass
class Features:
    """What one engagement has of the groups, by the choices of `rng`."""

    rng: Random
    groups: frozenset[str]
    calm: bool

    @classmethod
    def some(
        cls, rng: Random, calm: bool, without: frozenset[str] = frozenset(), always: frozenset[str] = frozenset()
    ) -> "Features":
        """A few groups at a time: what they do together shows in few, too. `always` are there besides."""
        every = sorted(GROUPS - without)
        chosen = rng.sample(every, min(len(every), rng.choice((0, 1, 1, 2, 2, 3))))
        groups = always.union(chosen)
        # regulators' decisions are what conflicts
        return cls(rng, groups | {"regulators"} if "conflicts" in groups else groups, calm)

    def has(self, group: str, percent: int = 100) -> bool:
        """Whether the engagement has the group, and this time."""
        return group in self.groups and self.rng.randrange(100) < percent

    # -- gates

    def repeats(self) -> str:
        """How a milestone repeats."""
        if not self.has("occurrences", 60):
            return "none"
        kinds = ["monthly", "per_occurrence", *(["per_filing"] * 2 if "regulators" in self.groups else [])]
        return self.rng.choice(kinds)

    def own_gates(self, repeats: str) -> list[Gate]:
        """The gate that makes the occurrences of a milestone that repeats."""
        rng = self.rng
        if repeats == "monthly":
            least, status = rng.choice(("0.85", "0.9")), rng.choice(("any", "any", "final"))
            uptime: Gate = KpiGate(id="uptime", at_least=least, status=status)
            found = [uptime] if rng.randrange(4) else []
            return [*found, Completed()] if not found or rng.randrange(3) == 0 else found
        if repeats == "per_filing":
            return [self.regulator_gate(None), *([Completed()] if rng.randrange(4) == 0 else [])]
        return [Completed()]

    def regulator_gate(self, filing: str | None) -> RegulatorGate:
        """A gate on one regulator or on both."""
        by = self.rng.choice((REGULATORS[:1], REGULATORS[:1], REGULATORS[1:], REGULATORS))
        return RegulatorGate(by, filing, self.rng.choice(("accepted", "accepted", "accepted", "validated", "received")))

    def nested(self, gates: Sequence[Gate], spare: Gate) -> tuple[Gate, ...]:
        """Some of the gates inside `any_of` or `all_of`, beside a spare one."""
        found = list(gates)
        if not found or not self.has("nesting", 60):
            return tuple(found)
        place = self.rng.randrange(len(found))
        first = found[place]
        if not self.may_nest(first):
            return tuple(found)
        found[place] = self.rng.choice(
            (
                AnyOf((first, spare)),
                AnyOf((spare, first)),
                AllOf((first, spare)),
                AnyOf((AllOf((first, spare)), first)),
                AllOf((AnyOf((first, spare)),)),
            )
        )
        return tuple(found)

    def may_nest(self, gate: Gate) -> bool:
        """Whether a gate may be one of several alternatives."""
        return self.has("alternatives") or not isinstance(gate, Completed | EvidenceGate)

    # -- signatures

    def policy(self, policy: Policy, roles: Sequence[str]) -> Policy:
        """A policy whose steps may ask for evidence, begin at an amount, or end by a deadline."""
        return msgspec.structs.replace(policy, steps=tuple(self._step(step, roles) for step in policy.steps))

    def _step(self, step: Step, roles: Sequence[str]) -> Step:
        rng = self.rng
        if self.has("signer_evidence", 40):
            step = msgspec.structs.replace(step, evidence=(rng.choice(("report", "minutes")),))
        if self.has("amounts", 50):
            least = rng.choice((1, 333, 50_000, 100_005, 100_006))
            step = msgspec.structs.replace(step, amount_at_least_minor=least)
        if not self.has("deadlines", 70):
            return step
        escalations = tuple(
            Escalation(role, rng.choice(WITHIN))
            for role in rng.sample(roles, rng.choice((0, 0, 1, 2)))
            if role != step.role
        )
        on_timeout = rng.choice(("reject", "accept", "accept", None))
        return msgspec.structs.replace(
            step,
            within=rng.choice(WITHIN),
            grace=rng.choice((None, *WITHIN)) if on_timeout == "accept" else None,
            remind_every=rng.choice((None, WITHIN[0])),
            escalations=escalations,
            on_timeout=on_timeout,
        )

    # -- retention

    def step_down(self) -> tuple[StepDown, ...]:
        """Lower rates from a part of the value on."""
        choices = (StepDown("10", "2.5"), StepDown("50", "1"), StepDown("100", "0"))
        if not self.has("step_down", 80):
            return ()
        return tuple(sorted(self.rng.sample(choices, self.rng.choice((1, 2))), key=choices.index))

    def moment(self) -> Moment:
        """When a release is due."""
        rng = self.rng
        if not self.has("moments", 70):
            return OnSignoff()
        after = rng.choice((None, *WITHIN, Duration("P1M", months=1)))
        simple: tuple[Moment, ...] = (OnSignoff(after), OnDate(self.day()))
        both = (rng.choice(simple), rng.choice(simple))
        return rng.choice((*simple, LaterOf(both), EarlierOf(both)))

    def exempt(self) -> tuple[str, ...]:
        """What nothing is withheld from."""
        if self.has("exempt", 50):
            kinds = ("milestones", "success_fees", "time_and_materials")
            return tuple(self.rng.sample(kinds, self.rng.choice((0, 1, 1, 2, 3))))
        return ("time_and_materials",)

    # -- fees

    def clawback(self) -> Clawback | None:
        """What a lower value takes back."""
        rng = self.rng
        if not self.has("clawback", 70):
            return None
        when = KpiGate(
            id=rng.choice(("churn", "churn", "reading", "monthly")),
            below=rng.choice(("0.88", "0.9")),
            status=rng.choice(("any", "any", "final")),
        )
        share = rng.choice(("100", "50", "33.3"))
        if rng.randrange(3) == 0:
            return Clawback(
                when, rng.choice((Duration("P1M", months=1), Duration("P3M", months=3))), share, linear=True
            )
        return Clawback(when, rng.choice((*WITHIN[:2], Duration("P1M", months=1))), share)

    def fee(self, milestone: Milestone) -> Fee | None:
        """A fee that follows facts, or None for one that the contract says."""
        if self.has("success", 50):
            return self._success(milestone.repeats)
        if self.has("rate_cards", 60):
            return RateCard("payers")
        return None

    def _success(self, repeats: str) -> Success:
        rng = self.rng
        tiers = rng.choice(
            (
                (Tier("10"),),
                (Tier("10", "500"), Tier("20")),
                (Tier("10", "500"), Tier("15", "1000"), Tier("20.5")),
                (Tier("10", "500"), Tier("15", "1000")),
            )
        )
        return Success(
            kpi="revenue",
            tiers=tiers,
            baseline=rng.choice(("0", "1000", "999.995")),
            marginal=rng.randrange(3) > 0,
            floor_minor=rng.choice((None, None, 5_000)),
            cap_minor=rng.choice((None, None, 12_000)),
            to_date=repeats == "none" and rng.randrange(2) == 0,
            sources=rng.choice(((), (), ("finance",))),
        )

    def success_gates(self, gates: tuple[Gate, ...], repeats: str) -> tuple[Gate, ...]:
        """The gates of a success fee: one on its own value, as a rule."""
        rng = self.rng
        own = KpiGate(
            id="revenue",
            status=rng.choice(("any", "any", "final")),
            at_least=rng.choice((None, None, None, "1200")),
            sources=rng.choice(((), (), ("finance",))),
        )
        # Only a report says that there is an occurrence; a month follows from the value.
        needless = repeats != "per_occurrence" and rng.randrange(4) > 0
        kept = tuple(gate for gate in gates if not isinstance(gate, Completed)) if needless else gates
        return (own, *kept) if rng.randrange(6) else kept or (own,)

    def attributes(self) -> dict[str, str]:
        """Of a report that a rate card may price."""
        rng = self.rng
        found = {
            "payer_id": rng.choice(("A", "A", "B", "C", "X", None)),
            "procedure_code": rng.choice(("p1", "p1", "p2", "p9", None)),
            "charge": rng.choice(("250.00", "250.00", "99.99", "100.015", "0", "free", None)),
            "ward": rng.choice((None, None, "7")),
        }
        return {name: value for name, value in found.items() if value is not None}

    # -- days

    def day(self) -> date:
        """One of the days on which things happen."""
        return FIRST_DAY + timedelta(days=self.rng.randrange(9))
