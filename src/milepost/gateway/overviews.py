"""An engagement at a glance, from what was done with it and what the ledger adds up."""

from collections.abc import Sequence
from typing import Any

import msgspec

from milepost.core.calendar import instant_text
from milepost.core.currencies import EXPONENTS
from milepost.core.money import parse_minor
from milepost.gateway.access import Principal
from milepost.gateway.describing import COMPONENTS, ref
from milepost.gateway.showing import action, money
from milepost.sql.pages import Change
from milepost.sql.reading import LedgerReading

__all__ = ["overview", "sums", "terms_of"]

Json = dict[str, Any]

_PARTY: Json = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "name": {"type": ["string", "null"]}},
    "required": ["id", "name"],
}
_OVERVIEW: Json = {
    "type": "object",
    "properties": {
        "engagement_id": {"type": "string"},
        "state": {
            "enum": ["OPEN", "SUSPENDED", "TERMINATED"],
            "description": "Suspended: nothing bills until it is resumed. Terminated: what is accepted still bills.",
        },
        "latest_version": {"type": "integer", "description": "Of the contract; an amendment may wait for signatures."},
        "customer": _PARTY,
        "supplier": {"anyOf": [_PARTY, {"type": "null"}]},
        "purchase_order": {"type": ["string", "null"]},
        "currency": {"type": "string"},
        "value": {"anyOf": [ref("Money"), {"type": "null"}]},
        "opened_at": {"type": "string", "format": "date-time"},
        "available_actions": {"type": "array", "items": ref("AvailableAction")},
    },
    "required": ["engagement_id", "state", "latest_version", "customer", "currency", "opened_at", "available_actions"],
}
_SUM_NAMES = ("gross", "retained", "payable", "held", "reduced", "released", "balance")
COMPONENTS["EngagementOverview"] = _OVERVIEW
COMPONENTS["Sums"] = {
    "type": "object",
    "description": "Lines and retention of one currency, added up.",
    "properties": {
        "currency": {"type": "string"},
        "lines": {"type": "integer"},
        **{name: ref("Money") for name in _SUM_NAMES},
    },
    "required": ["currency", "lines", *_SUM_NAMES],
}


class _Party(msgspec.Struct):
    id: str
    name: str | None = None


class _Terms(msgspec.Struct):
    """What of a contract an overview shows."""

    version: int
    customer: _Party
    currency: str
    supplier: _Party | None = None
    purchase_order: str | None = None
    value: str | None = None


_decode = msgspec.json.Decoder(_Terms).decode


def terms_of(changes: Sequence[Change]) -> tuple[_Terms, str] | None:
    """The latest version that was taken, and its document; None for an engagement that is not open."""
    found = [(_decode(one.contract), one.contract) for one in changes if one.contract is not None]
    return max(found, key=lambda pair: pair[0].version, default=None)


def overview(changes: Sequence[Change], caller: Principal) -> Json:
    """An engagement that was opened; suspension counts by arrival (rule 26)."""
    latest = terms_of(changes)
    assert latest is not None
    terms, _ = latest
    name = changes[0].engagement_id
    state = "OPEN"
    for one in changes:
        if one.change in ("SUSPENDED", "RESUMED"):
            state = "SUSPENDED" if one.change == "SUSPENDED" else "OPEN"
    if any(one.change == "TERMINATED" for one in changes):
        state = "TERMINATED"
    exponent = EXPONENTS[terms.currency]
    value = None if terms.value is None else parse_minor(terms.value, exponent)
    return {
        "engagement_id": name,
        "state": state,
        "latest_version": terms.version,
        "customer": _party(terms.customer),
        "supplier": None if terms.supplier is None else _party(terms.supplier),
        "purchase_order": terms.purchase_order,
        "currency": terms.currency,
        "value": None if value is None else money(value, terms.currency, exponent),
        "opened_at": instant_text(min(one.occurred_at for one in changes)),
        "available_actions": [
            one for word in _POSSIBLE[state] for one in action(caller, word, _ROUTES[word], engagement_id=name)
        ],
    }


def _party(party: _Party) -> Json:
    return {"id": party.id, "name": party.name}


_ROUTES = {
    word: f"POST /v1/engagements/{{engagement_id}}/{path}"
    for word, path in (
        ("amend", "amendments"), ("sign-off", "sign-off"), ("suspend", "suspend"), ("resume", "resume"),
        ("terminate", "terminate"),
    )
}  # fmt: skip
_POSSIBLE = {
    "OPEN": ("amend", "sign-off", "suspend", "terminate"),
    "SUSPENDED": ("amend", "sign-off", "resume", "terminate"),
    "TERMINATED": ("sign-off",),
}


def sums(ledger: LedgerReading, engagement: str) -> list[Json]:
    """Lines and retention added up, by currency. Blocks."""
    balances = {one.currency: one for one in ledger.retention_balances(engagement)}
    found = []
    for one in ledger.totals(engagement):
        amounts = {"gross": one.gross_minor, "retained": one.retained_minor, "payable": one.payable_minor}
        kept = balances.get(one.currency)
        for name in ("held", "reduced", "released", "balance"):
            amounts[name] = getattr(kept, f"{name}_minor") if kept is not None else 0
        shown = {name: money(amount, one.currency, one.currency_exponent) for name, amount in amounts.items()}
        found.append({"currency": one.currency, "lines": one.lines, **shown})
    return found
