"""Acknowledgements of a filing system: the ladder of the FDA's Electronic Submissions Gateway (ESG).

ESG acknowledges a submission several times: ACK1 says that the gateway has it, ACK2 that the center has it, ACK3 (of
some centers ACK4) what the center's validation found. ESG is asked, it does not call: whoever asks it (a poller, the
firm's submission software) posts each acknowledgement once it is there, as ESG's API gives it (`core_id`,
`acknowledgement_id`, `type`, `esgngcode`, `esgngdescription`), with `outcome` and `acknowledged_at` beside it:

    {"core_id": "ci1764298800123.448210@fdsul08640_te2", "acknowledgement_id": "...", "type": "ACK3",
     "outcome": "SUCCESS", "acknowledged_at": "2026-11-28T09:30:00-05:00", ...}

Other systems have other words for the same: `ladder` says what each type of theirs means, `outcomes` which of their
words is a failure. A failure is REJECTED, whatever rung it was on the way to.
"""

from typing import Any, Literal

from pydantic import Field

from milepost.codec.json_forms import shown
from milepost.core.calendar import instant_text
from milepost.gateway.adapters.deliveries import Delivery, Finding, Gathering, Options, Translation
from milepost.gateway.adapters.expressions import Expression, Scope, evaluate
from milepost.gateway.adapters.periods import instant

__all__ = ["FilingOptions", "translate"]

_Rung = Literal["RECEIVED", "VALIDATED", "ACCEPTED"]


def _ladder() -> dict[str, _Rung]:
    return {"ACK1": "RECEIVED", "ACK2": "VALIDATED", "ACK3": "ACCEPTED", "ACK4": "ACCEPTED"}


class FilingOptions(Options):
    """Where in an acknowledgement the engagement, the filing and its confirmation stand, and what its words mean."""

    engagement: Expression
    filing: Expression = Expression(pointer="/core_id")
    regulator: Expression = Expression(constant="FDA")
    confirmation: Expression = Expression(pointer="/core_id")
    milestone: Expression = Expression(pointer="/milestone_id", optional=True)
    ladder: dict[str, _Rung] = Field(default_factory=_ladder, min_length=1)
    outcomes: dict[str, bool] = Field(default_factory=lambda: {"SUCCESS": True, "FAILURE": False}, min_length=1)


def translate(options: FilingOptions, delivery: Delivery) -> Translation:
    """The decision in one acknowledgement."""
    gathering = Gathering()
    document = gathering.document(delivery.body)
    if document is None:
        return gathering.result()
    if not isinstance(document, dict):
        gathering.finding("", f"is {shown(document)}; expected one acknowledgement")
        return gathering.result()
    found = {
        name: evaluate(expression, Scope(document, document, delivery.headers))
        for name, expression in (
            ("engagement", options.engagement),
            ("filing", options.filing),
            ("regulator", options.regulator),
            ("confirmation", options.confirmation),
            ("milestone", options.milestone),
            ("id", Expression(pointer="/acknowledgement_id")),
        )
    }
    findings = [
        Finding(one.pointer, f"{one.message} (for {name})") for name, one in found.items() if isinstance(one, Finding)
    ]
    findings += _unknown(document, "type", options.ladder) + _unknown(document, "outcome", options.outcomes)
    decided_at = instant(document.get("acknowledged_at"))
    if decided_at is None:
        wrong = f"is {shown(document.get('acknowledged_at'))}; expected an RFC 3339 instant"
        findings.append(Finding("/acknowledged_at", wrong))
    for finding in findings:
        gathering.finding(*finding)
    if decided_at is not None and not findings:
        succeeded = options.outcomes[document["outcome"]]
        value = {
            "event_id": found["id"],
            "source": options.source,
            "engagement_id": found["engagement"],
            "filing_id": found["filing"],
            "regulator": found["regulator"],
            "decision": options.ladder[document["type"]] if succeeded else "REJECTED",
            "confirmation_id": found["confirmation"],
            "decided_at": instant_text(decided_at),
            "milestone_id": found["milestone"],
        }
        gathering.event("regulator-acceptances", value)
    return gathering.result()


def _unknown(document: dict[str, Any], name: str, known: dict[str, Any]) -> list[Finding]:
    word = document.get(name)
    if isinstance(word, str) and word in known:
        return []
    found = "missing" if word is None else shown(word)
    return [Finding(f"/{name}", f"is {found}; expected {', '.join(known)}")]
