"""What the state of a fold says of a line that was just raised: the core's functions are asked once more.

Nothing is said of an amount unless it ends in what was billed: where one event raised several lines, the state is that
after all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from milepost.audit.held import Looking, gate_at, gates_at, missing_since, value_text
from milepost.audit.telling_hours import tell_hours
from milepost.audit.telling_releases import tell_release
from milepost.audit.told import Told, Withheld, belongs
from milepost.audit.wording import Money, instant
from milepost.audit.worth import agreed_steps, card_steps, clawback_steps, priced_steps, success_steps
from milepost.core import money
from milepost.core.amended import Amended
from milepost.core.billing import taken
from milepost.core.calendar import END_OF_TIME
from milepost.core.claims import Assessment, Submission
from milepost.core.clawing import clawed
from milepost.core.contract import RateCard, Success
from milepost.core.engagement import Engagement
from milepost.core.facts import Occurrence, Place, Report
from milepost.core.outputs import InvoiceLine, MilestoneStatus
from milepost.core.pricing import Basis
from milepost.core.rules.clawbacks import Fired
from milepost.core.signing import SIGNOFF
from milepost.core.terms import Terms

__all__ = ["tell_line", "tell_missing"]

_WHOLE = Decimal(100)


def tell_line(engagement: Engagement, line: InvoiceLine, before: Sequence[InvoiceLine]) -> Told:
    """Gates, signatures and worth of a line; `before`: the engagement's earlier lines, in order."""
    account = engagement.account
    withheld = Withheld(engagement.agreed, account.original_value_minor, account.excess_minor, account.signoff_at)
    if line.kind == "RETENTION_RELEASE":
        gates, worth = tell_release(engagement, line, before)
        return Told(gates, worth, frozenset(), [], withheld)
    if line.milestone_id is None:
        gates, worth = tell_hours(engagement, line, before)
        return Told(gates, worth, frozenset(), [], withheld)
    teller = _Teller(engagement, line, before)
    claim = teller.claim
    numbers = frozenset({claim.number}) if claim is not None else frozenset()
    return Told(list(teller.gates()), teller.worth(), numbers, _signed(claim), withheld)


def tell_missing(engagement: Engagement, status: MilestoneStatus, noticed: Mapping[str, int]) -> dict[str, str]:
    """Of what the status misses, by its gate: the dated facts that it is missing in spite of.

    `noticed`: since when each missing gate has been said, of what has no date of its own: a limit, disputes.
    """
    place = Place(status.milestone_id, status.occurrence_id)
    said: dict[str, list[str]] = {}
    if engagement.terms is not None and place.milestone in engagement.agreed.milestones:
        said = missing_since(engagement, place, engagement.assess(place))
    elif place == SIGNOFF and status.reported_at is not None:
        waits = f"the sign-off has waited for it since {instant(status.reported_at)}"
        said = {one.gate: [waits] for one in status.missing if one.gate.startswith("milestone:")}
    pauses = engagement.account.pauses
    if engagement.account.suspended and pauses and pauses[-1][1] >= END_OF_TIME:
        said["suspended"] = [f"since {instant(pauses[-1][0])}"]
    if "disputes" in noticed:
        said["disputes"] = [f"since {instant(noticed['disputes'])}"]
    if "not_to_exceed" in noticed and status.accepted_at is not None:
        over = f"{status.occurrence_id} is over since {instant(status.accepted_at)}"
        said["not_to_exceed"] = [f"since the run of {instant(noticed['not_to_exceed'])}", over]
    return {name: "; ".join(dict.fromkeys(dated)) for name, dated in said.items()}


def _signed(claim: Submission | None) -> list[str]:
    if claim is None:
        return []
    return [
        f"{person} as {role} signed submission {claim.number}, {instant(decision.at)} ({decision.cause})"
        + (f", certifies {decision.certified} %" if decision.certified is not None else "")
        for (person, role), (_, decision) in claim.ballot.signatures.items()
    ]


class _Teller:
    """One line of a milestone and the state after it."""

    def __init__(self, engagement: Engagement, line: InvoiceLine, before: Sequence[InvoiceLine]) -> None:
        self.engagement = engagement
        self.line = line
        known = {one.line_id: one for one in before}
        self.before = [one for one in before if belongs(one, line, known)]
        self.place = Place(line.milestone_id or "", line.occurrence_id)
        self.part: Occurrence = engagement.occurrence(self.place)
        self.found: Assessment = engagement.assess(self.place)
        self.claim = self._claim() if line.gross_minor > 0 else None
        self.dispute = self._dispute()

    def _claim(self) -> Submission | None:
        """The submission whose acceptance is billed."""
        accepted = (s for s in reversed(self.found.submissions) if s.accepted_at == self.line.accepted_at)
        return next(accepted, self.found.governing)

    def _dispute(self) -> str | None:
        """The dispute that the line credits, if it is a dispute's."""
        name, line = self.engagement.name, self.line
        for dispute in self.part.dispute_lines:
            if self.place.identify("line", name, f"dispute:{dispute}", line.revision) == line.line_id:
                return dispute
        return None

    def _report(self) -> Report | None:
        if self.claim is not None:
            return self.claim.report
        at = max(self.line.accepted_at, self.engagement.at)
        return next((report for report in reversed(self.part.reports) if report.at <= at), None)

    def gates(self) -> Iterator[str]:
        """Every gate at the time of the line; of a clawback what fired it, of a dispute none."""
        engagement, line = self.engagement, self.line
        clawback = engagement.definition(self.place, line.accepted_at).clawback
        if self.dispute is not None:
            return
        if line.kind == "CLAWBACK" and clawback is not None:
            yield gate_at(Looking(engagement, self.place, line.accepted_at, None, _WHOLE), clawback.when)
            return
        level = self.claim.level if self.claim is not None else self.found.level
        if not level:
            level = self.found.submissions[-1].level if self.found.submissions else _WHOLE
        charge = line.gross_minor > 0
        yield from gates_at(Looking(engagement, self.place, line.accepted_at, self._report(), level, charge))

    def worth(self) -> list[str]:
        """How much the milestone is worth to date after the line; nothing if that is not what was billed."""
        line, unit = self.line, self._unit()
        billed = sum(one.gross_minor for one in self.before)
        if self.dispute is not None:
            what = f"dispute {self.dispute} was upheld: {unit.text(-line.gross_minor)} of line {line.corrects_line_id}"
            return [f"{what}, for good"]
        taken_minor = taken(self.engagement, self.part)
        clawed_before = -sum(one.gross_minor for one in self.before if one.kind == "CLAWBACK")
        for level, basis, at in self._bases():
            gross = self.engagement.pricing(self.place).amount(level, basis, at)
            for clawed_minor in dict.fromkeys((self.part.clawed_minor, clawed_before)):
                if max(0, gross - clawed_minor - taken_minor) == billed + line.gross_minor:
                    steps = self._fee(level, basis, at) if level else ["nothing is accepted any more"]
                    return [*steps, *self._less(gross, taken_minor, clawed_minor, clawed_before)]
        return []

    def _bases(self) -> Iterator[tuple[Decimal, Basis, int]]:
        """What may have been billed: (percent, basis, the time whose terms govern), the likeliest first."""
        found = self.found
        governed = self.engagement.at if found.governed_at is None else found.governed_at
        if self.claim is not None and self.claim is not found.governing:
            yield money.percent(self.line.completion), self.claim.basis, self.line.accepted_at
        yield found.level, found.basis, governed

    def _terms(self) -> Terms:
        """The version that the line names."""
        terms = self.engagement.agreed
        named = (version for version in terms.versions if version.contract.version == self.line.contract_version)
        return next(named, terms)

    def _unit(self) -> Money:
        return Money.of(self.engagement.agreed.contract)._replace(rounding=self.engagement.agreed.rounding)

    def _fee(self, level: Decimal, basis: Basis, at: int) -> list[str]:
        terms, agreed, unit = self._terms(), self.engagement.agreed, self._unit()
        definition = terms.milestones.get(self.place.milestone) or agreed.milestones[self.place.milestone]
        if isinstance(definition.fee, Success) and basis.value is not None:
            said = f"{definition.fee.kpi} {value_text(basis.value)}"
            return [said, *success_steps(definition.fee, basis.value.value, level, unit)]
        if isinstance(definition.fee, RateCard):
            return self._card(definition.fee, level, basis, unit)
        if isinstance(agreed, Amended):
            priced = agreed.price(self.place.milestone, at, self.engagement.last_accepted)
            return agreed_steps(priced.terms, self.place.milestone, priced.fee_minor, level)
        return agreed_steps(terms, self.place.milestone, agreed.fees.get(self.place.milestone, 0), level)

    def _card(self, fee: RateCard, level: Decimal, basis: Basis, unit: Money) -> list[str]:
        report, last = self._report(), basis.shares[-1].price if basis.shares else None
        steps: list[str] = []
        if report is not None and last is not None and self.engagement.price(self.place, report) == last:
            contract = self.engagement.agreed.pricing(self.place.milestone, report.at).contract
            steps = card_steps(contract, fee, report.attributes)
        elif last is not None:
            steps = [f"card {fee.card}: payer {last.payer} pays {unit.text(last.minor)} for the whole"]
        return [*steps, *priced_steps(basis.shares, level, unit)]

    def _less(self, gross: int, taken_minor: int, clawed_minor: int, clawed_before: int) -> list[str]:
        """What disputes and clawbacks take of it."""
        unit, steps = self._unit(), []
        if self.line.kind == "CLAWBACK":
            steps += self._clawback(clawed_minor - clawed_before)
        if clawed_minor:
            steps.append(f"less {unit.text(clawed_minor)} clawed back to date")
        if taken_minor:
            steps.append(f"less {unit.text(taken_minor)} that disputes took, for good")
        if clawed_minor + taken_minor > gross:
            steps.append("never below zero")
        return steps

    def _clawback(self, took: int) -> list[str]:
        """Those that fired last and together took what the line takes."""
        clawback = self.engagement.agreed.milestones[self.place.milestone].clawback
        fires = clawed(self.engagement, self.place, self.part, self.found)
        recent: list[Fired] = []
        while fires and sum(fire.amount_minor for fire in recent) < took:
            recent.insert(0, fires.pop())
        if clawback is None or sum(fire.amount_minor for fire in recent) != took:
            return []
        return [said for fire in recent for said in clawback_steps(clawback, fire, self._unit())]
