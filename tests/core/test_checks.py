"""Values that an event may have, and the message for each that it may not."""

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.core import money
from milepost.core.checks import INSTANT_MAX, INSTANT_MIN, check, check_decimal
from milepost.core.events import (
    ApprovalDecision,
    ClockTick,
    DisputeEvent,
    EngagementEvent,
    Evidence,
    InvoiceAcknowledgement,
    KpiEvent,
    MilestoneEvent,
    RegulatorDecision,
    UsageEvent,
)

AT = 1_767_225_600_000_000
PDF = Evidence("report", "application/pdf", 10, "a" * 64, "s3://x/y")
GOOD: dict[str, Any] = {
    "engagement": EngagementEvent("e", "s", "erp", "OPENED", AT, actor="a", evidence=(PDF,)),
    "milestone": MilestoneEvent("e", "s", "erp", "m", "REPORTED", AT),
    "kpi": KpiEvent("e", "s", "erp", "k", "99.8981", AT),
    "regulator": RegulatorDecision("e", "s", "erp", "f", "FDA", "ACCEPTED", AT, confirmation_id="c", sequence=0),
    "approval": ApprovalDecision("e", "s", "erp", "m", "r", "a", "APPROVED", AT),
    "usage": UsageEvent("e", "s", "erp", "u", "senior", AT, ended_at=AT),
    "dispute": DisputeEvent("e", "s", "erp", "d", "l", "OPENED", AT, amount_minor=0),
    "acknowledgement": InvoiceAcknowledgement("e", "s", "erp", "l", "ACCEPTED", AT),
    "tick": ClockTick(AT),
}
BUT_TICKS = [kind for kind in GOOD if kind != "tick"]


def changed(kind: str, **fields: Any) -> Any:
    return msgspec.structs.replace(GOOD[kind], **fields)


@pytest.mark.parametrize("kind", GOOD)
def test_good_values_pass(kind: str) -> None:
    assert check(GOOD[kind]) is None


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("milestone", {"evidence": (PDF,), "attributes": {"charge": "1"}, "completion": "33.5", "occurrence_id": "o"}),
        ("milestone", {"completion": "0"}),
        ("milestone", {"completion": "100.00"}),
        ("milestone", {"completion": "-0.00"}),
        ("milestone", {"completion": "+7"}),
        ("milestone", {"engagement_id": "A.b_c:d-9" * 14}),
        ("kpi", {"value": "-1.5e-3"}),
        ("kpi", {"value": "1E30"}),
        ("kpi", {"period_start": date(2026, 5, 1), "period_end": date(2026, 5, 1)}),
        ("kpi", {"period_start": AT, "period_end": AT + 1, "evidence": (PDF,)}),
        ("approval", {"submission": 1, "submission_hash": "F" * 64, "certified_completion": "55.5", "comment": "a\nb"}),
        ("approval", {"milestone_id": "@signoff", "evidence": (PDF,)}),
        ("usage", {"quantity": "-7.5", "ended_at": None}),
        ("milestone", {"occurred_at": INSTANT_MIN}),
        ("milestone", {"occurred_at": INSTANT_MAX}),
        ("milestone", {"event_id": "é 試 \U0001f600"}),
    ],
)
def test_unusual_values_pass(kind: str, fields: dict[str, Any]) -> None:
    assert check(changed(kind, **fields)) is None


WRONG_DECIMALS = [
    "",
    " 1",
    "1 ",
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "sNaN",
    "1e400",
    "1e31",
    "1e-31",
    "9" * 41,
    "1,5",
    ".5",
]
WRONG_DECIMALS += ["5.", "1_000", "0x10", "--1", "1\n", "\uff11", "\u0661", "%", "1e", "1e999999999"]
WRONG_PERCENTAGES = [*WRONG_DECIMALS, "-1", "100.01", "101", "1e1", "1e-1"]
WRONG_ENGAGEMENTS = ["", "a b", "a/b", "é", "x" * 129]
WRONG_IDS = ["", "a\0", "x" * 513]
WRONG = [
    *(("kpi", {"value": text}, "value") for text in WRONG_DECIMALS),
    *(("usage", {"quantity": text}, "quantity") for text in WRONG_DECIMALS),
    *(("milestone", {"completion": text}, "completion") for text in WRONG_PERCENTAGES),
    *(("approval", {"certified_completion": text}, "certified_completion") for text in ("NaN", "100.1", "-0.1", "")),
    *((kind, {"engagement_id": text}, "engagement_id") for kind in BUT_TICKS for text in WRONG_ENGAGEMENTS),
    *((kind, {field: text}, field) for kind in BUT_TICKS for field in ("event_id", "source") for text in WRONG_IDS),
    ("milestone", {"milestone_id": ""}, "milestone_id"),
    ("milestone", {"occurrence_id": ""}, "occurrence_id"),
    ("milestone", {"reported_by": "a\nb"}, "reported_by"),
    ("milestone", {"attributes": {"": "1"}}, "attributes"),
    ("milestone", {"attributes": {"a": "b\0"}}, "attributes.a"),
    ("milestone", {"occurred_at": INSTANT_MAX + 1}, "occurred_at"),
    ("milestone", {"occurred_at": INSTANT_MIN - 1}, "occurred_at"),
    ("milestone", {"evidence": (PDF, msgspec.structs.replace(PDF, sha256="a" * 63))}, "evidence[1].sha256"),
    ("milestone", {"evidence": (msgspec.structs.replace(PDF, sha256="g" * 64),)}, "evidence[0].sha256"),
    ("approval", {"evidence": (msgspec.structs.replace(PDF, size_bytes=-1),)}, "evidence[0].size_bytes"),
    ("kpi", {"evidence": (msgspec.structs.replace(PDF, name=""),)}, "evidence[0].name"),
    ("dispute", {"evidence": (msgspec.structs.replace(PDF, uri="\0"),)}, "evidence[0].uri"),
    ("kpi", {"kpi_id": ""}, "kpi_id"),
    ("kpi", {"unit": ""}, "unit"),
    ("kpi", {"revision": 0}, "revision"),
    ("kpi", {"observed_at": 1 << 62}, "observed_at"),
    ("kpi", {"period_start": date(2026, 5, 2), "period_end": date(2026, 5, 1)}, "period_end"),
    ("kpi", {"period_start": AT, "period_end": AT - 1}, "period_end"),
    ("kpi", {"period_start": date(2026, 5, 1), "period_end": AT}, "period_end"),
    ("kpi", {"period_start": date(2026, 5, 1)}, "period_end"),
    ("kpi", {"period_end": date(2026, 5, 1)}, "period_start"),
    ("kpi", {"period_start": 0, "period_end": 1 << 62}, "period_end"),
    ("regulator", {"filing_id": ""}, "filing_id"),
    ("regulator", {"regulator": ""}, "regulator"),
    ("regulator", {"confirmation_id": ""}, "confirmation_id"),
    ("regulator", {"sequence": -1}, "sequence"),
    ("regulator", {"decided_at": 1 << 62}, "decided_at"),
    ("approval", {"role": ""}, "role"),
    ("approval", {"approver": ""}, "approver"),
    ("approval", {"submission": 0}, "submission"),
    ("approval", {"submission_hash": "x" * 64}, "submission_hash"),
    ("approval", {"comment": "\0"}, "comment"),
    ("approval", {"decided_at": 1 << 62}, "decided_at"),
    ("usage", {"usage_id": ""}, "usage_id"),
    ("usage", {"meter": ""}, "meter"),
    ("usage", {"revision": 0}, "revision"),
    ("usage", {"ended_at": AT - 1}, "ended_at"),
    ("usage", {"ended_at": None}, "quantity"),
    ("usage", {"started_at": -(1 << 62)}, "started_at"),
    ("dispute", {"dispute_id": ""}, "dispute_id"),
    ("dispute", {"line_id": ""}, "line_id"),
    ("dispute", {"amount_minor": -1}, "amount_minor"),
    ("dispute", {"reason": "\0"}, "reason"),
    ("engagement", {"actor": ""}, "actor"),
    ("engagement", {"occurred_at": 1 << 62}, "occurred_at"),
    ("acknowledgement", {"line_id": ""}, "line_id"),
    ("tick", {"at": 1 << 62}, "at"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "names"), WRONG)
def test_a_wrong_value_is_named_with_its_field(kind: str, fields: dict[str, Any], names: str) -> None:
    message = check(changed(kind, **fields))
    assert message is not None
    assert message.startswith(f"{names}: ")
    assert len(message) < 300
    assert message.isprintable()


def test_a_message_quotes_the_value_and_says_what_is_expected() -> None:
    assert check(changed("kpi", value="NaN")) == (
        'value: "NaN" is not a decimal; expected digits like "99.8981", at most 40 characters, no NaN or Infinity'
    )
    started, ended = 1_768_035_600_000_000, 1_768_032_000_000_000
    assert check(changed("usage", started_at=started, ended_at=ended)) == (
        "ended_at: 2026-01-10T08:00:00.000000Z is before started_at 2026-01-10T09:00:00.000000Z; "
        "expected the same or later"
    )


@given(st.one_of(st.text(max_size=45), st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]{1,10})?([eE][+-]?[0-9]{1,3})?")))
def test_s34_a_decimal_that_passes_is_one_that_the_rules_can_compute_with(text: str) -> None:
    if check_decimal("value", text) is None:
        assert len(money.canonical(text)) <= 80
        assert money.percent(text) == money.percent(money.canonical(text))
    else:
        assert check(changed("kpi", value=text)) is not None


@given(st.decimals(min_value=-200, max_value=200, allow_nan=False, allow_infinity=False, places=3))
def test_a_percentage_lies_between_0_and_100(value: Any) -> None:
    assert (check(changed("milestone", completion=f"{value:f}")) is None) == (0 <= value <= 100)
