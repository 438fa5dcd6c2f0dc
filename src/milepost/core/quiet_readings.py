"""Readings that nobody can tell from the one before: a meter that is read for years costs what its first readings cost.

Nothing is looked at for such a reading; it is kept, and counts as soon as something else is looked at.
"""

from collections.abc import Sequence

from milepost.core.contract import Completed, EvidenceGate, KpiGate, Milestone, Success
from milepost.core.engagement import Engagement
from milepost.core.facts import KpiFacts, KpiValue, Place, kpi_key
from milepost.core.gates import leaves, musts
from milepost.core.rules import kpis
from milepost.core.terms import gates

__all__ = ["is_quiet"]


def is_quiet(engagement: Engagement, users: Sequence[str], kpi: str, value: KpiValue) -> bool:
    """Whether a value, not kept yet, leaves everything as it is: each gate of the milestones that use the KPI holds by
    the newest value so far and by this one, and it is no new claim after a rejection or a time-out."""
    if engagement.account.version != engagement.account.first_version:
        return False  # an amendment's gates are others; rare enough
    before = _newest(engagement, kpi, value)
    return before is not None and all(
        _stays(engagement, engagement.agreed.milestones[name], kpi, before, value) for name in users
    )


def _newest(engagement: Engagement, kpi: str, value: KpiValue) -> KpiValue | None:
    """The newest reading, if this one is newer, and all are readings."""
    if value.start is not None or value.end is not None:
        return None
    names = engagement.buckets(kpi)
    if not names or any(name[0] != "r" for name in names):
        return None
    facts = engagement.staged.load(kpi_key(engagement.name, kpi, max(names)), KpiFacts)
    known = facts.values if facts is not None else []
    last = max((one.at for one in known), default=value.at)
    newest = [one for one in known if one.at == last]
    return newest[0] if last < value.at and len(newest) == 1 else None


def _stays(engagement: Engagement, milestone: Milestone, kpi: str, before: KpiValue, value: KpiValue) -> bool:
    fee, clawback, zone = milestone.fee, milestone.clawback, engagement.agreed.zone
    if (isinstance(fee, Success) and fee.kpi == kpi) or (clawback is not None and clawback.when.id == kpi):
        return False
    for gate in leaves(gates(milestone)):
        if not isinstance(gate, KpiGate) or gate.id != kpi or not kpis.admits(gate, value, zone):
            continue
        if not all(kpis.admits(gate, one, zone) and kpis.satisfies(gate, one) for one in (before, value)):
            return False
    return _claims_nothing(engagement, milestone)


def _claims_nothing(engagement: Engagement, milestone: Milestone) -> bool:
    """Whether no new value can claim again what was rejected, timed out or certified for less: only reports do that
    where one is needed."""
    if any(isinstance(gate, Completed | EvidenceGate) for gate in musts(milestone.requires)):
        return True
    if milestone.repeats != "none":
        return False
    part = engagement.occurrence(Place(milestone.id, None))
    ends = any(decision.decision == "REJECTED" or decision.certified is not None for decision in part.decisions)
    return not part.timers and not ends
