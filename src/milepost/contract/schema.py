"""The contract language as JSON Schema (2020-12), for editors: generated from the tables that the reader reads by.

It says what one value may be; what only the whole document shows (references, sums, cycles) is for `contract lint`.
"""

import json
from typing import Any

from milepost.contract import keys, words
from milepost.contract.durations import DURATION_PATTERN
from milepost.contract.keys import Shape
from milepost.contract.schema_texts import TEXTS
from milepost.contract.values import (
    DAY_PATTERN,
    DECIMAL_PATTERN,
    ID_PATTERN,
    MAX_COUNT,
    MAX_DECIMAL_LENGTH,
    MAX_NAME_LENGTH,
    MAX_TEXT_LENGTH,
)
from milepost.core.currencies import EXPONENTS

__all__ = ["schema", "schema_text"]

Json = dict[str, Any]

_AMOUNT = DECIMAL_PATTERN.removeprefix("-?")
_PERCENTAGE = r"(?:100(?:\.0+)?|(?:0|[1-9][0-9]?)(?:\.[0-9]+)?)"
# At least one part, and of two kinds none: P and PT alone, and days beside hours, are refused by a second pattern.
_SPELLED = "P(?!$)(?!T$)(?![^T]+T)"


def schema() -> Json:
    """The schema of one contract document as plain values."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:milepost:contract:1",
        "title": "Milepost contract, version 1",
        **_object(keys.CONTRACT, "contract", _contract()),
        "allOf": [
            {
                "if": {"not": {"required": ["time_and_materials"]}},
                "then": {"required": ["milestones"], "properties": {"milestones": {"minItems": 1}}},
            },
            {
                "if": {"required": ["approvals"], "properties": {"approvals": {"minProperties": 1}}},
                "then": {"required": ["people"]},
            },
        ],
        "$defs": _definitions(),
    }


def schema_text() -> str:
    """The schema as it is checked in under `schemas/contract.schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _object(shape: Shape, texts: str, properties: Json, **more: Any) -> Json:
    """A mapping with exactly the keys of the shape, each with its description."""
    assert properties.keys() == shape.keys, sorted(properties.keys() ^ shape.keys)
    described = {key: {**value, "description": TEXTS[f"{texts}.{key}"]} for key, value in properties.items()}
    made: Json = {"type": "object", "properties": described, "additionalProperties": False}
    if shape.required:
        made["required"] = list(shape.required)
    return made | more


def _of(name: str, **more: Any) -> Json:
    return {"$ref": f"#/$defs/{name}", **more}


def _words(options: tuple[str, ...], default: str | None = None) -> Json:
    made: Json = {"enum": list(options)}
    return made if default is None else made | {"default": default}


def _list(item: Json, at_least: int = 1, **more: Any) -> Json:
    return {"type": "array", "items": item, "minItems": at_least, **more}


def _named(item: Json, at_least: int = 0) -> Json:
    """A mapping whose keys are names of the document's own."""
    made: Json = {"type": "object", "additionalProperties": item, "propertyNames": _of("name")}
    return made | {"minProperties": at_least} if at_least else made


def _exactly_one(*choices: str) -> Json:
    return {"oneOf": [{"required": [choice]} for choice in choices]}


def _contract() -> Json:
    return {
        "milepost": {"const": 1},
        "engagement": _of("identifier"),
        "version": _of("count"),
        "amendment": _object(keys.AMENDMENT, "amendment", {"mode": _words(words.AMENDMENT_MODES), "from": _of("day")}),
        "customer": _object(
            keys.CUSTOMER, "customer", {"id": _of("name"), "name": _of("text"), "metadata": _of("metadata")}
        ),
        "supplier": _object(keys.SUPPLIER, "supplier", {"id": _of("name"), "name": _of("text")}),
        "purchase_order": _of("name"),
        "buyer_reference": _of("name"),
        "currency": {"enum": sorted(EXPONENTS)},
        "value": _of("amount"),
        "timezone": _of("name", examples=["Europe/Berlin", "America/New_York", "UTC"]),
        "calendar": _of("name", examples=["DE", "DE-BY", "US", "US-NY"]),
        "effective_from": _of("day"),
        "rounding": _words(words.ROUNDINGS, "half_up"),
        "bill_on": _words(words.BILL_ON, "next_invoice"),
        "people": _named(_list({"anyOf": [_of("name"), _of("person")]})),
        "sides": _object(keys.SIDES, "sides", {"supplier": _of("names"), "customer": _of("names")}),
        "approvals": _named(_of("policy")),
        "amendments": _of("approval_of"),
        "signoff": _of("approval_of"),
        "retention": _of("retention"),
        "milestones": _list(_of("milestone"), 0),
        "time_and_materials": _hours(),
        "rate_cards": _named(_named(_of("card"), 1)),
        "metadata": _of("metadata"),
    }


def _hours() -> Json:
    rate = _object(keys.RATE, "rate", {"price": _of("amount"), "unit": _words(words.HOUR_UNITS, "HUR")})
    hours: Json = {"bill": _words(words.BILL), "rates": _named(rate, 1), "not_to_exceed": _of("amount")}
    return _object(keys.TIME_AND_MATERIALS, "time_and_materials", hours)


def _definitions() -> Json:
    return _values() | _signing() | _withheld() | _delivered() | _gates()


def _values() -> Json:
    """Single values, as the reader of values takes them."""

    def text(pattern: str, most: int, **more: Any) -> Json:
        return {"type": "string", "pattern": f"^{pattern}$", "maxLength": most, **more}

    business_days = _object(keys.BUSINESS_DAYS, "duration", {"business_days": _of("count")})
    name: Json = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH, "pattern": r"^\S(?:[^\r\n\t]*\S)?$"}
    decimal = text(DECIMAL_PATTERN, MAX_DECIMAL_LENGTH)
    spelled = {"type": "string", "allOf": [{"pattern": f"^{DURATION_PATTERN}$"}, {"pattern": f"^{_SPELLED}"}]}
    return {
        "identifier": {"type": "string", "pattern": f"^{ID_PATTERN}$"},
        "name": name,
        "names": _list(_of("name"), uniqueItems=True),
        "text": {"type": "string", "pattern": r"\S", "maxLength": MAX_TEXT_LENGTH},
        "metadata": _named({"type": "string"}),
        "count": {"type": "integer", "minimum": 1, "maximum": MAX_COUNT},
        "decimal": decimal,
        "amount": text(_AMOUNT, MAX_DECIMAL_LENGTH, examples=["50000.00"]),
        "percentage": text(_PERCENTAGE, MAX_DECIMAL_LENGTH, examples=["10"]),
        "share": {**_of("percentage"), "not": {"pattern": r"^0(?:\.0+)?$"}},
        "day": {"type": "string", "pattern": f"^{DAY_PATTERN}$", "format": "date", "examples": ["2026-03-31"]},
        "duration": {"anyOf": [{**spelled, "examples": ["P10D", "P6M", "PT24H"]}, business_days]},
        "dates": {**spelled, "pattern": "^P[^T]+$", "examples": ["P30D", "P6M"]},
    }


def _signing() -> Json:
    deadline: Json = {"within": _of("duration"), "on_timeout": _of("on_timeout")}
    both = {"dependentRequired": {"on_timeout": ["within"]}}
    step: Json = {
        "role": _of("name"),
        "quorum": _of("count", default=1),
        "evidence": _list(_of("name"), 0, uniqueItems=True),
        **deadline,
        "grace": _of("duration"),
        "remind_every": _of("duration"),
        "amount_at_least": _of("amount"),
    }
    policy: Json = {
        "order": _words(words.ORDERS, "parallel"),
        "distinct": {"type": "boolean", "default": True},
        "steps": _list(_of("step"), maxItems=10),
    }
    escalation = _object(keys.ESCALATION, "escalation", {"escalate_to": _of("name"), **deadline}, **both)
    person: Json = {"id": _of("name"), "from": _of("day"), "until": _of("day")}
    return {
        "person": _object(keys.PERSON, "person", person),
        "policy": _object(keys.POLICY, "policy", policy),
        "step": _object(keys.STEP, "step", step, **both),
        "on_timeout": {"anyOf": [_words(words.OUTCOMES), escalation]},
        "approval_of": _object(keys.APPROVAL_OF, "approval_of", {"approval": _of("name", default="none")}),
    }


def _withheld() -> Json:
    cap: Json = {
        "amount": _of("amount"),
        "percent_of_value": _of("percentage"),
        "basis": _words(words.CAP_BASES),
    }
    one_cap: Json = {
        "oneOf": [
            {"required": ["amount"], "properties": {"basis": False, "percent_of_value": False}},
            {"required": ["percent_of_value", "basis"], "properties": {"amount": False}},
        ]
    }
    step_down: Json = {"from_percent_billed": _of("percentage"), "rate": _of("percentage")}
    release: Json = {"id": _of("name"), "share": _of("share", default="100"), "when": _of("moment")}
    retention: Json = {
        "rate": _of("percentage"),
        "cap": _object(keys.CAP, "cap", cap, **one_cap),
        "step_down": _list(_object(keys.STEP_DOWN, "step_down", step_down), 0),
        "exempt": _list(_words(words.EXEMPT), 0, default=["time_and_materials"]),
        "release": _list(_object(keys.RELEASE, "release", release), 0),
    }
    moments: Json = {
        "signoff": _of("duration"),
        "date": _of("day"),
        "later_of": _list(_of("moment")),
        "earlier_of": _list(_of("moment")),
    }
    one = _object(keys.MOMENTS, "moment", moments, minProperties=1, maxProperties=1)
    return {
        "retention": _object(keys.RETENTION, "retention", retention),
        "moment": {"anyOf": [{"const": "signoff"}, one]},
    }


def _delivered() -> Json:
    milestone: Json = {
        "id": _of("identifier"),
        "name": _of("text"),
        "criteria": _of("text"),
        "fee": _of("fee"),
        "partial": {"anyOf": [{"const": "any"}, _list(_of("share"))]},
        "depends_on": _list(_of("dependency"), 0),
        "requires": _list(_of("gate")),
        "approval": _of("name"),
        "planned_on": _of("day"),
        "optional": {"type": "boolean", "default": False},
        "retention": {"const": "none"},
        "repeats": _words(words.REPEATS, "none"),
        "clawback": _clawback(),
        "metadata": _of("metadata"),
        "item": _object(
            keys.ITEM,
            "item",
            {"id": _of("name"), "tax_category": _of("name"), "unit_code": _of("name", default="LS")},
        ),
        "bill_on": _words(words.BILL_ON),
    }
    fee: Json = {
        "fixed": _of("amount"),
        "percent_of_value": _of("percentage"),
        "success": _success(),
        "rate_card": _of("name"),
    }
    card: Json = {
        "procedures": _named(_of("amount")),
        "otherwise": {"anyOf": [{"const": "refuse"}, _of("amount")], "default": "refuse"},
        "percent_of_charge": _of("percentage"),
        "pays_after": _of("dates"),
    }
    by_charge: Json = {
        "oneOf": [
            {"required": ["percent_of_charge"], "properties": {"procedures": False, "otherwise": False}},
            {"required": ["procedures"], "properties": {"percent_of_charge": False}},
            {
                "required": ["otherwise"],
                "not": {"required": ["procedures"]},
                "properties": {"percent_of_charge": False},
            },
        ]
    }
    return {
        "milestone": _object(keys.MILESTONE, "milestone", milestone),
        "fee": _object(keys.FEE, "fee", fee, minProperties=1, maxProperties=1),
        "card": _object(keys.CARD, "card", card, **by_charge),
    }


def _clawback() -> Json:
    clawback: Json = {
        "when": _object(keys.CLAWBACK_WHEN, "clawback_when", {"kpi": _of("kpi")}),
        "within": _of("dates"),
        "share": _of("share"),
        "basis": _words(words.CLAWBACK_BASES, "flat"),
    }
    return _object(keys.CLAWBACK, "clawback", clawback)


def _success() -> Json:
    kpi: Json = {
        "id": _of("name"),
        "sources": _of("names"),
        "unit": _of("name"),
        "status": _words(words.STATUSES, "any"),
    }
    success: Json = {
        "kpi": _object(keys.SUCCESS_KPI, "kpi", kpi),
        "baseline": _of("decimal", default="0"),
        "mode": _words(words.SUCCESS_MODES, "marginal"),
        "rate": _of("percentage"),
        "tiers": _list(_object(keys.TIER, "tier", {"up_to": _of("amount"), "rate": _of("percentage")})),
        "floor": _of("amount"),
        "cap": _of("amount"),
        "to_date": {"type": "boolean", "default": False},
    }
    return _object(keys.SUCCESS, "success", success, **_exactly_one("rate", "tiers"))


def _gates() -> Json:
    bounds: Json = {key: _of("decimal") for key in ("at_least", "above", "at_most", "below")}
    kpi: Json = {
        "id": _of("name"),
        **bounds,
        "between": _list(_of("decimal"), 2, maxItems=2),
        "status": _words(words.STATUSES, "any"),
        "sources": _of("names"),
        "unit": _of("name"),
        "period": _object(keys.PERIOD, "period", {"from": _of("day"), "to": _of("day")}, minProperties=1),
    }
    alone = {"dependentSchemas": {"between": {"properties": dict.fromkeys(bounds, False)}}}
    regulator: Json = {"by": _of("names"), "filing": _of("name"), "at_least": _words(words.RUNGS, "accepted")}
    return {
        "kpi": _object(keys.KPI, "kpi", kpi, **alone),
        "regulator": _object(keys.REGULATOR, "regulator", regulator),
        "gate": {"anyOf": [{"const": "completed"}, _gate("gate")]},
        "dependency": {"anyOf": [_of("identifier"), _gate("dependency")]},
    }


def _gate(inside: str) -> Json:
    """A gate that is a mapping; `inside` is what its groups hold."""
    gate: Json = {
        "evidence": _of("names"),
        "kpi": _of("kpi"),
        "regulator": _of("regulator"),
        "date": _of("day"),
        "milestone": _of("identifier"),
        "any_of": _list(_of(inside)),
        "all_of": _list(_of(inside)),
    }
    made = _object(keys.GATES, "gate", gate, **_exactly_one(*gate))
    made["properties"]["at_least"] = _of("share", default="100", description=TEXTS["gate.at_least"])
    return made | {"dependentRequired": {"at_least": ["milestone"]}}
