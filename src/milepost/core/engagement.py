"""One engagement while one event is folded: its parts, loaded as they are needed, and the outputs raised so far."""

from collections.abc import Callable, Iterator
from urllib.parse import unquote

from milepost.core import gates as gating
from milepost.core import ids
from milepost.core.amended import Amended, amended, last_accepted
from milepost.core.calendar import END_OF_TIME, instant_text, start_of_day
from milepost.core.claims import Assessment, Regime
from milepost.core.contract import DateGate, Gate, KpiGate, Milestone, MilestoneGate, RateCard, RegulatorGate, Success
from milepost.core.entitlement import assess
from milepost.core.events import ClockTick, Evidence, Received, cause_of, dated
from milepost.core.facts import (
    Account,
    Filing,
    KpiFacts,
    KpiValue,
    Occurrence,
    Place,
    Report,
    account_key,
    buckets_key,
    clock_key,
    contract_key,
    filing_key,
    filings_of,
    kpi_key,
    occurrence_key,
    occurrences_of,
    void_key,
)
from milepost.core.outputs import AuditEntry, Output
from milepost.core.parts import Staged
from milepost.core.pricing import Agreed, ByCard, BySuccess, ByVersion, Pricing, admitting
from milepost.core.rules import kpis, regulators, spans
from milepost.core.rules.deadlines import Clock, Pace
from milepost.core.rules.fees import Price, price
from milepost.core.rules.spans import Span
from milepost.core.terms import Terms, compiled

__all__ = ["Engagement"]


class Engagement:
    """The parts of one engagement, and what this event raises."""

    def __init__(self, staged: Staged, name: str, received: Received) -> None:
        self.staged = staged
        self.name = name
        self.received = received
        self.at = dated(received.event)
        self.cause = cause_of(received.event)
        tick = staged.load(clock_key(), int)
        self.last_tick = -END_OF_TIME if tick is None else tick  # the partition's clock, or the beginning of time
        self.outputs: list[Output] = []
        self.account = staged.load(account_key(name), Account) or Account()
        self.terms: Terms | None = None
        self._occurrences: dict[Place, Occurrence] = {}
        self._forces: dict[tuple[KpiGate, str | None], list[kpis.InForce]] = {}
        self.load_terms()

    def load_terms(self) -> None:
        """Read the signed contract, with the versions before it if it was amended, if the engagement is open."""
        void = range(1, self.account.void + 1)
        self.terms = self.up_to(self.account.version, tuple(self._document(void_key(self.name, n)) for n in void))

    def up_to(self, version: int, void: tuple[bytes, ...] = ()) -> Terms | None:
        """The terms of the signed versions up to one; `void`: documents that were in force and are not any more."""
        versions = tuple(self.version(number) for number in range(self.account.first_version, version + 1) if number)
        return amended(versions, void) if void or len(versions) > 1 else compiled(versions[0]) if versions else None

    def version(self, version: int) -> bytes:
        """A version of the contract, encoded."""
        return self._document(contract_key(self.name, version))

    def _document(self, key: bytes) -> bytes:
        encoded = self.staged.raw(key)
        assert encoded is not None, f"{self.name}: the state has no {key.decode()}"
        return encoded

    @property
    def agreed(self) -> Terms:
        """The terms in force of an engagement that is open."""
        assert self.terms is not None
        return self.terms

    @property
    def until(self) -> int:
        """The last instant whose facts count: the termination, if there was one."""
        return END_OF_TIME if self.account.terminated_at is None else self.account.terminated_at

    @property
    def reached(self) -> int:
        """By when days have come: the last tick, or the signature of an amendment that is dated later."""
        signed = self.account.amended_at
        return self.last_tick if signed is None else max(signed, self.last_tick)

    def occurrence(self, place: Place) -> Occurrence:
        """The part of an occurrence; a new one until it is saved."""
        part = self._occurrences.get(place)
        if part is None:
            key = occurrence_key(self.name, place)
            part = self._occurrences[place] = self.staged.load(key, Occurrence) or Occurrence()
        return part

    def save_occurrence(self, place: Place, part: Occurrence) -> None:
        """Write the part with this batch."""
        self.staged.save(occurrence_key(self.name, place), part)

    def places(self, milestone: str) -> list[Place]:
        """Every occurrence of the milestone that something is known of; the one of a milestone that does not repeat.

        It costs what there is: for what concerns the engagement as a whole only.
        """
        if self.agreed.milestones[milestone].repeats == "none":
            return [Place(milestone)]
        keys = self.staged.keys(*occurrences_of(self.name, milestone))
        return [Place(milestone, unquote(key.decode().rpartition("/")[2])) for key in keys]

    def known(self, milestone: str) -> list[Place]:
        """Those places, and those that only values or decisions name that no gate looked at before an amendment."""
        found, definition = self.places(milestone), self.agreed.milestones[milestone]
        if definition.repeats == "monthly":
            kpi_ids = [kpi for kpi, users in self.agreed.measured.items() if milestone in users]
            months = {kpis.month(v, self.agreed.zone) for kpi in kpi_ids for v in self.values(kpi, None)}
            found += [Place(milestone, month) for month in sorted(month for month in months if month is not None)]
        elif definition.repeats == "per_filing":
            for key in self.staged.keys(*filings_of(self.name)):
                place = Place(milestone, unquote(key.decode().rpartition("/")[2]))
                wanted = [gate for gate in gating.leaves(definition.requires) if isinstance(gate, RegulatorGate)]
                if any(in_force for gate in wanted for in_force in self.rulings(gate, place).values()):
                    found.append(place)
        return list(dict.fromkeys(found))

    def dependants(self, place: Place) -> Iterator[Place]:
        """The occurrences with a dependency on this one: the same of a milestone that repeats, or all there are."""
        repeats = self.agreed.milestones[place.milestone].repeats != "none"
        for name in self.agreed.dependants.get(place.milestone, ()):
            yield from (Place(name, place.occurrence),) if repeats else self.places(name)

    def sharing(self, place: Place, before: list[tuple[int, str]], now: list[tuple[int, str]]) -> list[Place]:
        """The occurrences whose fee is another because of when this one was accepted: an amendment made them share."""
        terms = self.agreed
        names = terms.sharing(place.milestone, before, now) if isinstance(terms, Amended) else ()
        return [Place(name) for name in names]

    def filing(self, filing: str) -> Filing:
        """The decisions on a filing; none until one is saved."""
        return self.staged.load(filing_key(self.name, filing), Filing) or Filing()

    def save(self) -> None:
        """Write the account with this batch."""
        self.staged.save(account_key(self.name), self.account)

    def evidence(self) -> tuple[Evidence, ...]:
        """What the event itself carries."""
        return () if isinstance(self.received.event, ClockTick) else self.received.event.evidence

    def forces(self, gate: KpiGate, place: Place) -> list[kpis.InForce]:
        """The values that are in force for a gate one after another, the event's own included."""
        month = self.month(place)
        found = self._forces.get((gate, month))
        if found is None:
            found = kpis.in_force(gate, self.values(gate.id, month), self.agreed.zone, self.until)
            self._forces[gate, month] = found
        return found

    def month(self, place: Place) -> str | None:
        """The month whose values an occurrence looks at; None: any."""
        definition = self.agreed.milestones.get(place.milestone)
        return place.occurrence if definition is not None and definition.repeats == "monthly" else None

    def buckets(self, kpi: str) -> list[str]:
        """The names of the parts in which a KPI's values are."""
        return self.staged.load(buckets_key(self.name, kpi), list[str]) or []

    def values(self, kpi: str, month: str | None) -> list[KpiValue]:
        """A KPI's values: those of a month, or all of them."""
        buckets = self.buckets(kpi) if month is None else kpis.buckets(month)
        keys = [kpi_key(self.name, kpi, bucket) for bucket in buckets]
        kept = [facts for facts in (self.staged.load(key, KpiFacts) for key in keys) if facts is not None]
        values = [value for facts in kept for value in facts.values]
        return values if month is None else [v for v in values if kpis.month(v, self.agreed.zone) == month]

    def gate_spans(self, gate: Gate, place: Place) -> tuple[Span, ...]:
        """When a gate holds; gates that look at the occurrence's own reports hold always here."""
        if isinstance(gate, KpiGate):
            return kpis.spans(gate, self.forces(gate, place))
        if isinstance(gate, DateGate):
            since = start_of_day(gate.on, self.agreed.zone)
            return ((since, END_OF_TIME),) if since <= min(self.last_tick, self.until) else spans.NEVER
        if isinstance(gate, MilestoneGate):
            return gating.accepted_spans(gate, self.occurrence(self.needed(gate, place)).accepted)
        if isinstance(gate, RegulatorGate):
            held = spans.ALWAYS
            for in_force in self.rulings(gate, place).values():
                held = spans.both(held, regulators.spans(in_force, gate.at_least))
            return held
        return spans.ALWAYS

    def rulings(self, gate: RegulatorGate, place: Place) -> dict[str, list[regulators.Ruling]]:
        """The decisions in force one after another, by regulator, on the filing that the gate looks at.

        Where several milestones want a regulator's decision on each filing, a decision is for the one that it names.
        """
        filing = self.filing(gate.filing if gate.filing is not None else place.occurrence or "").decisions
        found = {}
        for regulator in gate.by:
            alone = gate.filing is not None or len(self.agreed.deciders.get(regulator, ())) == 1
            seen = [d for d in filing if d.regulator == regulator and (alone or d.milestone == place.milestone)]
            found[regulator] = regulators.rulings(seen, self.until)
        return found

    def needed(self, gate: MilestoneGate, place: Place) -> Place:
        """The occurrence that a dependency looks at: the same one, or the only one."""
        repeats = self.agreed.milestones[gate.milestone].repeats != "none"
        return Place(gate.milestone, place.occurrence if repeats else None)

    def assess(self, place: Place) -> Assessment:
        """What follows from the facts of the occurrence."""
        terms, part = self.agreed, self.occurrence(place)
        regimes = self.regimes(place.milestone)
        # nothing is claimed before the contract takes effect, not even where no gate names a time
        in_effect = gating.During(((terms.starts_at, END_OF_TIME),))
        return assess(
            regimes[0].milestone,
            regimes[0].policy,
            place.occurrence,
            terms.holds_role,
            gating.Every((in_effect, self.gates(place, lambda milestone: milestone.requires))),
            self.gates(place, lambda milestone: milestone.depends_on),
            part.reports,
            part.decisions,
            self.pricing(place),
            self.clock(place),
            self.until,
            regimes[1:],
        )

    def gates(self, place: Place, gates_of: Callable[[Milestone], tuple[Gate, ...]]) -> gating.Condition:
        """The occurrence's gates, resolved; those of each version of the contract as long as it is in force."""

        def spans_of(gate: Gate) -> tuple[Span, ...]:
            return self.gate_spans(gate, place)

        def reversals_of(gate: RegulatorGate) -> tuple[int, ...]:
            return regulators.reversals(self.rulings(gate, place).values(), gate.at_least)

        terms = self.agreed
        if not isinstance(terms, Amended):
            return gating.resolve(gates_of(terms.reigns[0].terms.milestones[place.milestone]), spans_of, reversals_of)
        return gating.Either(
            tuple(
                gating.Under(
                    reign.since,
                    reign.until,
                    reign.since <= self.reached,
                    gating.resolve(gates_of(reign.terms.milestones[place.milestone]), spans_of, reversals_of),
                )
                for reign in terms.reigns
                if place.milestone in reign.terms.milestones
            )
        )

    def regimes(self, milestone: str) -> list[Regime]:
        """What the milestone is, and how it is signed, one version of the contract after another."""
        found = [
            Regime(reign.since, reign.terms.milestones[milestone], reign.terms.policies[milestone])
            for reign in self.agreed.reigns
            if milestone in reign.terms.milestones
        ]
        if found and milestone in self.agreed.dropped:
            found.append(found[-1]._replace(since=self.agreed.dropped[milestone], over=True))
        # a version that was overtaken before it began leaves a milestone that nothing is ever accepted of
        return found or [Regime(END_OF_TIME, self.agreed.milestones[milestone], self.agreed.policies[milestone])]

    def clock(self, place: Place) -> Clock:
        """How time passes here, and what ticks did to the occurrence's requests."""
        pace = Pace(self.agreed.zone, self.agreed.holidays, self.account.pauses)
        return Clock(pace, self.last_tick, self.occurrence(place).timers)

    def pricing(self, place: Place) -> Pricing:
        """What the occurrence's fee is computed by."""
        terms = self.agreed
        if not isinstance(terms, Amended):
            return self._pricing(place, terms, terms.fees.get(place.milestone, 0))

        def pricing_at(at: int) -> Pricing:
            assert isinstance(terms, Amended)
            priced = terms.price(place.milestone, at, self.last_accepted)
            return self._pricing(place, priced.terms, priced.fee_minor)

        known = [self._pricing(place, version, 0) for version in terms.naming(place.milestone)]
        return ByVersion(pricing_at, known, terms.rounding)

    def _pricing(self, place: Place, terms: Terms, fee_minor: int) -> Pricing:
        """What the fee is computed by in one version of the contract; `fee_minor` is what it is if it is an amount."""
        definition, agreed = terms.milestones[place.milestone], self.agreed
        fee = definition.fee
        if isinstance(fee, Success):
            gates_ = admitting(definition, fee)
            values = [
                value
                for value in self.values(fee.kpi, self.month(place))
                if value.at <= self.until and all(kpis.admits(gate, value, agreed.zone) for gate in gates_)
            ]
            return BySuccess(fee, values, agreed.zone, terms.contract.currency_exponent, agreed.rounding)
        if isinstance(fee, RateCard):
            return ByCard(lambda report: self.price(place, report), agreed.rounding)
        return Agreed(fee_minor, agreed.rounding)

    def definition(self, place: Place, at: int | None = None) -> Milestone:
        """The milestone as agreed at the instant (now, if None); as agreed last, where it is not agreed then."""
        terms = self.agreed
        if len(terms.versions) > 1:
            found = terms.at(self.reached if at is None else at).milestones.get(place.milestone)
            if found is not None:
                return found
        return terms.milestones[place.milestone]

    def governing(self, place: Place, found: Assessment) -> Terms:
        """The version of the contract whose terms govern the occurrence's amount."""
        terms = self.agreed
        if not isinstance(terms, Amended):
            return terms
        at = self.at if found.governed_at is None else found.governed_at
        version = terms.price(place.milestone, at, self.last_accepted).terms
        report = found.governing.report if found.governing else None
        if isinstance(version.milestones[place.milestone].fee, RateCard) and report is not None:
            return terms.pricing(place.milestone, report.at)
        return version

    def dropped(self, place: Place) -> bool:
        """Whether an amendment left the milestone out, and its day has come."""
        since = self.agreed.dropped.get(place.milestone)
        return since is not None and since <= self.reached

    def last_accepted(self, milestone: str, before: int) -> int | None:
        """When more of a milestone was accepted last before the instant; None if nothing of it was accepted by then."""
        return last_accepted(self.occurrence(Place(milestone)).accepted, before)

    def price(self, place: Place, report: Report | None) -> Price | None:
        """What the rate card in force at the report's time pays for it; None where there is no rate."""
        terms = self.agreed.pricing(place.milestone, report.at if report else self.at)
        fee = terms.milestones[place.milestone].fee
        if not isinstance(fee, RateCard):
            return None
        return price(terms.contract, fee, report.attributes if report else {})

    def audit(self, what: str, reason: str | None = None, line_id: str | None = None) -> None:
        """Add a link to the engagement's hash chain."""
        event, account = self.received.event, self.account
        account.sequence += 1
        entry = {
            "engagement_id": self.name,
            "sequence": account.sequence,
            "what": what,
            "reason": reason,
            "event_id": None if isinstance(event, ClockTick) else event.event_id,
            "input_topic": None if self.received.offset is None else self.received.topic,
            "input_partition": self.received.partition,
            "input_offset": self.received.offset,
            "line_id": line_id,
            "occurred_at": instant_text(self.at),
            "recorded_at": instant_text(self.received.recorded_at),
            "previous_hash": account.head,
        }
        previous, account.head = account.head, ids.digest(entry)
        self.outputs.append(
            AuditEntry(
                engagement_id=self.name,
                sequence=account.sequence,
                what=what,
                reason=reason,
                event_id=None if isinstance(event, ClockTick) else event.event_id,
                input_topic=None if self.received.offset is None else self.received.topic,
                input_partition=self.received.partition,
                input_offset=self.received.offset,
                line_id=line_id,
                occurred_at=self.at,
                recorded_at=self.received.recorded_at,
                previous_hash=previous,
                hash=account.head,
            )
        )
