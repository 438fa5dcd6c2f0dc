"""Clawbacks become lines (rule 21): what they took is billed less, for good."""

import msgspec

from milepost.core.calendar import local_date
from milepost.core.claims import Assessment
from milepost.core.contract import KpiGate
from milepost.core.engagement import Engagement
from milepost.core.facts import Occurrence, Place
from milepost.core.gates import leaves
from milepost.core.outputs import InvoiceLine
from milepost.core.posting import credit, post, subject_of
from milepost.core.rules.clawbacks import Fired, fired
from milepost.core.terms import gates

__all__ = ["claw", "clawed"]


def clawed(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> list[Fired]:
    """Every clawback of the occurrence, as it follows from the facts."""
    definition = engagement.agreed.milestones[place.milestone]
    clawback = definition.clawback
    if clawback is None or not found.worth:
        return []
    own = [g for g in leaves(gates(definition)) if isinstance(g, KpiGate) and g.id == clawback.when.id]
    gate = own[0] if own else clawback.when

    def hit_at(accepted_at: int) -> int:
        forces = engagement.forces(gate, place)
        value = next((value for since, value in reversed(forces) if since <= accepted_at), None)
        return accepted_at if value is None else value.at

    credited = [(at, amount) for at, amount in part.taken if at <= engagement.until]
    terms = engagement.agreed
    forces = engagement.forces(clawback.when, place)
    return fired(clawback, found.worth, credited, forces, hit_at, terms.zone, terms.rounding)


def claw(engagement: Engagement, place: Place, part: Occurrence, line: InvoiceLine, last: Fired, gross: int) -> None:
    """Raise the credit of a clawback: `line` is as a difference of the fee would be."""
    zone = engagement.agreed.zone
    day, value = local_date(last.at, zone), last.value
    definition = engagement.agreed.milestones[place.milestone]
    clawback = definition.clawback
    assert clawback is not None
    line = msgspec.structs.replace(
        line,
        kind="CLAWBACK",
        description=f"{definition.name} ({clawback.when.id} was {value.value}: clawed back)",
        service_from=day,
        service_to=day,
        accepted_at=last.at,
        caused_by=(value.cause,),
        evidence=value.evidence,
        attributes={
            **line.attributes,
            "kpi_id": clawback.when.id,
            "kpi_value": value.value,
            "kpi_revision": str(value.revision),
        },
    )
    subject = subject_of(engagement, True, part.billed_minor, part.subject_minor, gross, last.at)
    post(engagement, place, "fee", line, subject, ("fee", part.lines))
    credit(engagement, place, "fee", part.lines - 1, -gross)
    part.billed_minor += gross
    part.subject_minor += subject
