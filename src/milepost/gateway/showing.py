"""Records of the ledger as answers: their JSON form, amounts of money beside their minor units, what can be done next.

Each `*_minor` of a record has a companion without the ending: `{"amount_minor", "currency", "currency_exponent",
"text"}`, so that nobody divides by a hundred what has three decimals or none.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from milepost.codec.json_forms import output_to_json
from milepost.codec.json_schema import record_schema
from milepost.core.lifecycle import STATES
from milepost.core.money import format_minor
from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus, RetentionEvent
from milepost.core.terms import SIGNOFF_NAME
from milepost.gateway.access import Principal
from milepost.gateway.actions import ACTIONS
from milepost.gateway.describing import COMPONENTS, ref
from milepost.sql.occurrences import ASKING

__all__ = ["action", "columns_of", "entry_json", "line_json", "money", "request_json", "retention_json", "status_json"]

Json = dict[str, Any]

_MONEY: Json = {
    "type": "object",
    "description": "An amount in minor units, and as people write it.",
    "properties": {
        "amount_minor": {"type": "integer"},
        "currency": {"type": "string", "examples": ["EUR"]},
        "currency_exponent": {"type": "integer", "minimum": 0, "maximum": 4},
        "text": {"type": "string", "examples": ["50,000.00 EUR"]},
    },
    "required": ["amount_minor", "currency", "currency_exponent", "text"],
}
_ACTION: Json = {
    "type": "object",
    "description": "What this key may do next, given the state.",
    "properties": {"name": {"type": "string"}, "method": {"type": "string"}, "href": {"type": "string"}},
    "required": ["name", "method", "href"],
}
ACTIONS_SCHEMA: Json = {"type": "array", "items": ref("AvailableAction")}
_SUFFIX = "_minor"

COMPONENTS["Money"] = _MONEY
COMPONENTS["AvailableAction"] = _ACTION


def _described(record: str, *, actions: bool) -> None:
    schema = record_schema(record)
    properties: Json = schema["properties"]
    required = list(properties)
    for name in [name for name in properties if name.endswith(_SUFFIX)]:
        properties[name.removesuffix(_SUFFIX)] = {"anyOf": [ref("Money"), {"type": "null"}]}
        required.append(name.removesuffix(_SUFFIX))
    if actions:
        properties["available_actions"] = ACTIONS_SCHEMA
        required.append("available_actions")
    COMPONENTS[record] = {**schema, "properties": properties, "required": required}


for _record, _has_actions in (
    ("InvoiceLine", True), ("RetentionEvent", False), ("ApprovalRequest", True), ("MilestoneStatus", True),
    ("AuditEntry", False),
):  # fmt: skip
    _described(_record, actions=_has_actions)


def money(amount_minor: int, currency: str | None, exponent: int | None) -> Json | None:
    """An amount; None where its currency is not known yet."""
    if currency is None or exponent is None:
        return None
    text = f"{format_minor(amount_minor, exponent)} {currency}"
    return {"amount_minor": amount_minor, "currency": currency, "currency_exponent": exponent, "text": text}


def columns_of(record: str) -> list[str]:
    """The columns of a record's CSV: its fields, each amount's text beside it."""
    found = []
    for name in record_schema(record)["properties"]:
        found.append(name)
        if name.endswith(_SUFFIX):
            found.append(name.removesuffix(_SUFFIX))
    return found


def _json(output: Any) -> Json:
    found = output_to_json(output)
    for name in [name for name in found if name.endswith(_SUFFIX)]:
        amount = money(found[name], output.currency, output.currency_exponent)
        found[name.removesuffix(_SUFFIX)] = amount
    return found


def action(caller: Principal, name: str, route: str, **parts: str) -> list[Json]:
    """An action by its route, as it stands in `actions.ACTIONS`; nothing where the key does not have it."""
    if not caller.may(ACTIONS[route]):
        return []
    method, _, path = route.partition(" ")
    return [{"name": name, "method": method, "href": path.format_map(parts)}]


_TRIGGER = "POST /v1/engagements/{engagement_id}/milestones/{milestone_id}/trigger"
_DECIDE = "POST /v1/engagements/{engagement_id}/milestones/{milestone_id}/approvals"
_DISPUTE = "POST /v1/engagements/{engagement_id}/disputes"
_ENDS = ("withdraw", "uphold", "dismiss")


def line_json(line: InvoiceLine, disputes: Mapping[str, str], caller: Principal) -> Json:
    """A line; one that charges may be disputed, and each of its open `disputes`, kinds by id, may be ended."""
    can = action(caller, "dispute", _DISPUTE, engagement_id=line.engagement_id) if line.gross_minor > 0 else []
    for dispute_id in (name for name, kind in disputes.items() if kind == "OPENED"):
        parts = {"engagement_id": line.engagement_id, "dispute_id": quote(dispute_id, safe="")}
        can += [one for end in _ENDS for one in action(caller, end, f"{_DISPUTE}/{{dispute_id}}/{end}", **parts)]
    return {**_json(line), "available_actions": can}


def retention_json(event: RetentionEvent) -> Json:
    """What was held, reduced or released, with the balance after it."""
    return _json(event)


def request_json(request: ApprovalRequest, caller: Principal) -> Json:
    """A request; whoever is asked may decide."""
    asked = request.kind in ASKING and caller.person in request.people and request.role in caller.roles
    parts = {"engagement_id": request.engagement_id, "milestone_id": request.milestone_id}
    return {**_json(request), "available_actions": action(caller, "decide", _DECIDE, **parts) if asked else []}


def status_json(status: MilestoneStatus, caller: Principal) -> Json:
    """Where an occurrence stands, what it misses, and what can be done in that state."""
    parts = {"engagement_id": status.engagement_id, "milestone_id": status.milestone_id}
    can: list[Json] = []
    if status.state in STATES and status.state != "CANCELLED" and not status.milestone_id.startswith("@"):
        can += action(caller, "trigger", _TRIGGER, **parts)
    if status.state == "SUBMITTED" and caller.person is not None:
        can += action(caller, "decide", _DECIDE, **parts)
    if status.milestone_id == SIGNOFF_NAME and status.state == "PENDING":
        can += action(caller, "sign-off", "POST /v1/engagements/{engagement_id}/sign-off", **parts)
    return {**_json(status), "available_actions": can}


def entry_json(entry: AuditEntry) -> Json:
    """What an event did."""
    return output_to_json(entry)
