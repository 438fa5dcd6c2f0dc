"""FHIR R4: an Encounter reports a milestone's occurrence, a ClaimResponse is a payer's decision on a claim.

A body is one resource or a Bundle of them; resources of other types are passed over. The id of an event is the
resource's type, id and version (a hash of it where there are no versions): what is sent again is the same event.

Encounter: `finished` is a report of 100 %, at the end of its period; `cancelled` and `entered-in-error` withdraw it;
every other status has no event yet. `procedure_code` is the code of its first type unless the endpoint says otherwise.

ClaimResponse, a decision of the insurer on the claim it answers, dated by the version's `meta.lastUpdated`:

    status cancelled, entered-in-error            REVOKED
    outcome queued                                RECEIVED
    outcome partial                               VALIDATED
    outcome error                                 REJECTED
    outcome complete, something is paid           ACCEPTED
    outcome complete, all is zero                 REJECTED: in R4 a denied claim is complete too
    outcome complete, no amount is given          ACCEPTED for an authorised preauthorization, else VALIDATED

"Something is paid" looks at the payment's amount and at the totals `benefit` and `eligible`: what went into the
patient's deductible was accepted.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from milepost.codec.json_forms import shown
from milepost.core.calendar import instant_text, start_of_day
from milepost.core.ids import digest
from milepost.gateway.adapters.deliveries import Delivery, Finding, Gathering, Options, Translation, pointer_to
from milepost.gateway.adapters.expressions import Expression, Scope, evaluate
from milepost.gateway.adapters.periods import check_zone, day, instant

__all__ = ["FhirOptions", "translate"]

_WITHDRAWN = ("cancelled", "entered-in-error")
_RUNNING = ("planned", "arrived", "triaged", "in-progress", "onleave", "unknown")
_OUTCOMES = ("queued", "complete", "error", "partial")
_PAID = ("benefit", "eligible")
_Rung = Literal["RECEIVED", "VALIDATED", "ACCEPTED", "REJECTED", "REVOKED"]


def _codes() -> dict[str, Expression]:
    return {"procedure_code": Expression(pointer="/type/0/coding/0/code", optional=True)}


class FhirOptions(Options):
    """Where in a resource the engagement and the rest stand. `timezone`: for dates that have no time."""

    engagement: Expression
    milestone: Expression = Expression(constant="encounter")
    attributes: dict[str, Expression] = Field(default_factory=_codes)
    reported_by: Expression = Expression(pointer="/participant/0/individual/reference", optional=True)
    filing: Expression = Expression(pointer="/request/identifier/value", optional=True)
    regulator: Expression = Expression(pointer="/insurer/identifier/value", optional=True)
    timezone: Annotated[str, AfterValidator(check_zone)] = "UTC"


def translate(options: FhirOptions, delivery: Delivery) -> Translation:
    """The reports and decisions in a resource or a Bundle."""
    gathering = Gathering()
    document = gathering.document(delivery.body)
    if document is None:
        return gathering.result()
    for at, resource in _resources(document, gathering):
        kind = resource.get("resourceType")
        scope = Scope(document, resource, delivery.headers, at)
        if kind == "Encounter":
            _encounter(options, resource, scope, gathering)
        elif kind == "ClaimResponse":
            _claim_response(options, resource, scope, gathering)
        elif isinstance(kind, str) and kind:
            gathering.pass_over(f"{at or 'the document'}: a {shown(kind)} makes no event")
        else:
            gathering.finding(f"{at}/resourceType", "is missing; expected a FHIR R4 resource")
    return gathering.result()


def _resources(document: Any, gathering: Gathering) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(document, dict):
        gathering.finding("", f"is {shown(document)}; expected a FHIR R4 resource")
    elif document.get("resourceType") != "Bundle":
        yield "", document
    else:
        entries = document.get("entry", [])
        if not isinstance(entries, list):
            gathering.finding("/entry", f"is {shown(entries)}; expected a list")
            return
        for place, entry in enumerate(entries):
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict):
                yield pointer_to("entry", place, "resource"), resource
            else:
                gathering.finding(pointer_to("entry", place), "has no resource")


def _encounter(options: FhirOptions, resource: Mapping[str, Any], scope: Scope, gathering: Gathering) -> None:
    status = resource.get("status")
    if status in _RUNNING:
        gathering.pass_over(f"{scope.at or 'the document'}: the encounter is {status}")
        return
    if status != "finished" and status not in _WITHDRAWN:
        gathering.finding(f"{scope.at}/status", f"is {shown(status)}; expected a status of a FHIR R4 Encounter")
        return
    withdrawn = status in _WITHDRAWN
    reading = _Reading(scope, gathering)
    at = ("meta", "lastUpdated") if withdrawn else ("period", "end")
    value = {
        "event_id": reading.version(),
        "source": options.source,
        "engagement_id": reading.text("engagement", options.engagement),
        "milestone_id": reading.text("milestone", options.milestone),
        "occurrence_id": reading.member("id"),
        "kind": "WITHDRAWN" if withdrawn else "REPORTED",
        "completion": "0" if withdrawn else "100",
        "occurred_at": reading.instant(*at, zone=options.timezone),
        "reported_by": reading.text("reported_by", options.reported_by),
        "attributes": {
            name: text
            for name, expression in options.attributes.items()
            if (text := reading.text(name, expression)) is not None
        },
    }
    if not reading.failed:
        gathering.event("milestone-events", value, scope.at)


def _claim_response(options: FhirOptions, resource: Mapping[str, Any], scope: Scope, gathering: Gathering) -> None:
    reading = _Reading(scope, gathering)
    status, outcome = resource.get("status"), resource.get("outcome")
    if status == "draft":
        gathering.pass_over(f"{scope.at or 'the document'}: the answer to the claim is a draft")
        return
    if status not in ("active", *_WITHDRAWN):
        reading.fail("/status", f"is {shown(status)}; expected active, cancelled, draft or entered-in-error")
    if status == "active" and outcome not in _OUTCOMES:
        reading.fail("/outcome", f"is {shown(outcome)}; expected {', '.join(_OUTCOMES)}")
    filing = reading.text("filing", options.filing) or _reference(resource.get("request"))
    regulator = reading.text("regulator", options.regulator) or _named(resource.get("insurer"))
    if not filing:
        reading.fail("/request", "names no claim; expected an identifier or a reference")
    if not regulator:
        reading.fail("/insurer", "names nobody; expected an identifier, a display or a reference")
    updated = instant(_member(resource.get("meta"), "lastUpdated"))
    value = {
        "event_id": reading.version(),
        "source": options.source,
        "engagement_id": reading.text("engagement", options.engagement),
        "filing_id": filing,
        "regulator": regulator,
        "confirmation_id": _confirmation(resource),
        "decided_at": instant_text(updated)
        if updated is not None
        else reading.instant("created", zone=options.timezone),
    }
    if not reading.failed:
        gathering.event("regulator-acceptances", value | {"decision": _rung(resource)}, scope.at)


def _rung(resource: Mapping[str, Any]) -> _Rung:
    if resource["status"] in _WITHDRAWN:
        return "REVOKED"
    match resource["outcome"]:
        case "queued":
            return "RECEIVED"
        case "partial":
            return "VALIDATED"
        case "error":
            return "REJECTED"
    amounts = list(_amounts(resource))
    if amounts:
        return "ACCEPTED" if any(amount > 0 for amount in amounts) else "REJECTED"
    authorised = resource.get("use") == "preauthorization" and resource.get("preAuthRef")
    return "ACCEPTED" if authorised else "VALIDATED"


def _amounts(resource: Mapping[str, Any]) -> Iterator[Decimal]:
    """What the payment and the totals say is paid or eligible."""
    found = [_member(_member(resource.get("payment"), "amount"), "value")]
    for total in _listed(resource.get("total")):
        codes = [_member(coding, "code") for coding in _listed(_member(_member(total, "category"), "coding"))]
        if any(code in _PAID for code in codes):
            found.append(_member(_member(total, "amount"), "value"))
    yield from (Decimal(value) for value in found if isinstance(value, int | Decimal) and not isinstance(value, bool))


def _confirmation(resource: Mapping[str, Any]) -> str | None:
    """How the payer calls its decision: the preauthorization's number, else the answer's own first identifier."""
    first = next(iter(_listed(resource.get("identifier"))), None)
    named = [resource.get("preAuthRef"), _member(first, "value"), _reference({"reference": resource.get("id")})]
    return next((text for text in named if isinstance(text, str) and text), None)


def _named(reference: object) -> str | None:
    display = _member(reference, "display")
    return display if isinstance(display, str) and display else _reference(reference)


def _reference(reference: object) -> str | None:
    """The id at the end of a reference, relative ("Claim/100150") or absolute."""
    text = _member(reference, "reference")
    return text.partition("/_history/")[0].rsplit("/", 1)[-1] or None if isinstance(text, str) else None


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


class _Reading:
    """Reads one resource; `failed` once something is wrong with it."""

    def __init__(self, scope: Scope, gathering: Gathering) -> None:
        self._scope, self._gathering, self.failed = scope, gathering, False

    def fail(self, pointer: str, message: str) -> None:
        """Something is wrong at this pointer of the resource."""
        self._gathering.finding(self._scope.at + pointer, message)
        self.failed = True

    def text(self, name: str, expression: Expression) -> str | None:
        """What the endpoint's expression finds."""
        found = evaluate(expression, self._scope)
        if isinstance(found, Finding):
            self._gathering.finding(found.pointer, f"{found.message} (for {name})")
            self.failed = True
            return None
        return found

    def member(self, name: str) -> str:
        """A text that the resource must have."""
        found = self._scope.item.get(name)
        if not (isinstance(found, str) and found):
            self.fail(pointer_to(name), f"is {shown(found)}; expected a text")
            return ""
        return found

    def version(self) -> str:
        """Type, id and version of the resource; where its server counts no versions, what it says stands for one."""
        meta = self._scope.item.get("meta")
        named = [_member(meta, "versionId"), _member(meta, "lastUpdated")]
        version = next((text for text in named if isinstance(text, str) and text), None) or digest(self._scope.item)
        return f"{self._scope.item['resourceType']}/{self.member('id')}/{version}"

    def instant(self, *names: str, zone: str) -> str:
        """An instant, or the start of a day."""
        found = self._scope.item
        for name in names:
            found = _member(found, name)
        at, date = instant(found), day(found)
        if at is None and date is not None:
            at = start_of_day(date, zone)
        if at is None:
            self.fail(pointer_to(*names), f"is {'missing' if found is None else shown(found)}; expected a dateTime")
            return ""
        return instant_text(at)
