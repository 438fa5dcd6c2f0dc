"""Fees that follow from facts: what a signature is for, what a line says, and that no order of arrival matters."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from milepost.core import ids
from milepost.core.contract import Contract, RateCard, Success, Tier
from milepost.core.events import ApprovalDecision, EngagementEvent, Event, KpiEvent, MilestoneEvent, Received
from milepost.core.fold import fold
from milepost.core.outputs import ApprovalRequest, InvoiceLine, MilestoneStatus, Output
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from milepost.core.rules.fees import charge_of, price, success_minor
from tests.core.scenario import BASE, contract_of, events

SCENARIOS = Path(__file__).parent / "scenarios"
DAY = 86_400_000_000
NOON = 1_767_265_200_000_000  # 2026-01-01 at noon in Berlin


def opened(**differences: Any) -> tuple[Contract, EngagementEvent]:
    terms = contract_of({**BASE, **differences})
    return terms, EngagementEvent("e0", "test", "eng", "OPENED", NOON, terms=terms)


def told(*given: Event) -> list[Output]:
    staged = Staged(Empty())
    return [output for event in given for output in fold(staged, Received(event, "test", None, None, 0))]


def growth(**success: Any) -> dict[str, Any]:
    fee = {"success": {"kpi": {"id": "revenue"}, "rate": "10", **success}}
    return {"id": "growth", "fee": fee, "requires": [{"kpi": {"id": "revenue"}}], "approval": "single"}


def measured(value: str, day: int, **more: Any) -> KpiEvent:
    return KpiEvent(f"k{day}", "finance", "eng", "revenue", value, NOON + day * DAY, **more)


def visit(day: int, kind: Any = "REPORTED", **attributes: str) -> MilestoneEvent:
    return MilestoneEvent(f"m{day}", "clinic", "eng", "visit", kind, NOON + day * DAY, "v1", attributes=attributes)


VISITS: dict[str, Any] = {
    "milestones": [
        {
            "id": "visit",
            "repeats": "per_occurrence",
            "fee": {"rate_card": "payers"},
            "requires": ["completed"],
            "approval": "single",
        }
    ],
    "rate_cards": {
        "payers": {
            "A": {"percent_of_charge": "80", "pays_after": "P30D"},
            "B": {"procedures": {"99213": "92.50"}, "otherwise": "10.00", "pays_after": "P14D"},
        }
    },
    "customer": {"id": "clinic", "metadata": {"payer_id": "B"}},
}


def hashed(**differences: Any) -> str:
    content = {
        "attributes": {},
        "completion": "100",
        "criteria": None,
        "evidence": [],
        "milestone": "growth",
        "occurrence": None,
        "values": [],
    }
    return ids.digest({**content, **differences})


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ({}, None, None),
        (
            {"period_start": NOON, "period_end": NOON + DAY},
            "2026-01-01T11:00:00.000000Z",
            "2026-01-02T11:00:00.000000Z",
        ),
    ],
)
def test_a_signature_on_a_success_fee_is_for_its_values(period: dict[str, Any], start: str, end: str) -> None:
    _, opening = opened(milestones=[growth()])
    outputs = told(opening, measured("1000.50", 2, revision=3, **period))
    (request,) = (output for output in outputs if isinstance(output, ApprovalRequest))
    values = [["revenue", "finance", start, end, 3, "1000.5"]]
    assert request.submission_hash == hashed(values=values)
    assert request.gross_minor == 10_005


def test_a_signature_on_a_rate_is_for_the_attributes_that_price() -> None:
    _, opening = opened(**VISITS)
    outputs = told(opening, visit(2, payer_id="A", charge="250.00", procedure_code="99213", room="7"))
    (request,) = (output for output in outputs if isinstance(output, ApprovalRequest))
    attributes = {"charge": "250", "payer_id": "A"}
    assert request.submission_hash == hashed(attributes=attributes, milestone="visit", occurrence="v1")
    assert request.gross_minor == 20_000


def test_a_line_says_who_pays_for_what_and_when() -> None:
    signed = ApprovalDecision("a1", "test", "eng", "visit", "ap", "ana", "APPROVED", NOON + 3 * DAY, "v1")
    _, opening = opened(**VISITS)
    outputs = told(
        opening,
        visit(2, procedure_code="99213"),
        signed,
        visit(4, "CORRECTED", procedure_code="1"),
        visit(5, "WITHDRAWN"),
    )
    lines = [output for output in outputs if isinstance(output, InvoiceLine)]
    assert [(line.gross_minor, line.due_after) for line in lines] == [(9250, "P14D"), (-8250, "P14D"), (-1000, "P14D")]
    assert [line.attributes for line in lines] == [
        {"payer_id": "B", "procedure_code": "99213"},
        {"payer_id": "B", "procedure_code": "1"},
        {"payer_id": "B", "procedure_code": "99213"},
    ]


def test_a_line_names_the_value_that_it_is_computed_from() -> None:
    _, opening = opened(milestones=[{**growth(to_date=True), "approval": "none"}])
    outputs = told(opening, measured("1000", 2), measured("900.0", 3))
    lines = [output for output in outputs if isinstance(output, InvoiceLine)]
    assert [(line.gross_minor, line.attributes["kpi_value"]) for line in lines] == [(10_000, "1000"), (-1_000, "900.0")]
    assert lines[1].corrects_line_id == lines[0].line_id
    assert lines[1].accepted_at == NOON + 3 * DAY


def test_what_is_at_stake_is_what_the_facts_would_give() -> None:
    _, opening = opened(milestones=[growth(to_date=True)])
    signed = ApprovalDecision("a1", "test", "eng", "growth", "ap", "ana", "APPROVED", NOON + 3 * DAY)
    outputs = told(opening, measured("1000", 2), signed, measured("1500", 4))
    statuses = [output for output in outputs if isinstance(output, MilestoneStatus)]
    assert [(status.state, status.at_stake_minor) for status in statuses] == [
        ("PENDING", 0),
        ("SUBMITTED", 10_000),
        ("BILLED", 0),
        ("SUBMITTED", 5_000),
    ]


def test_nothing_is_at_stake_of_a_report_that_has_no_rate() -> None:
    """Not what the customer's own payer would pay either."""
    _, opening = opened(**VISITS)
    unknown = {"payer_id": "nobody"}
    outputs = told(
        opening,
        visit(2, **unknown),
        visit(3, "CORRECTED", procedure_code="99213"),
        visit(4, "CORRECTED", **unknown),
        visit(5, "WITHDRAWN"),
        visit(6, **unknown),
    )
    statuses = [output for output in outputs if isinstance(output, MilestoneStatus) and output.reported_at]
    rate = [any(missing.gate == "rate" for missing in status.missing) for status in statuses]
    assert list(zip(rate, [status.at_stake_minor for status in statuses], strict=True)) == [
        (True, 0),
        (False, 9250),
        (True, 9250),  # still put up for signing
        (False, 1000),
        (True, 0),
    ]


@pytest.mark.parametrize(
    ("gain", "minor"),
    [("620000", 75000_00), ("30000", 5000_00), ("100000", 10000_00), ("0.01", 5000_00), ("0", 0), ("-5", 0)],
)
def test_tiers_floor_and_cap(gain: str, minor: int) -> None:
    tiers = (Tier("10", "100000"), Tier("15", "500000"), Tier("20"))
    fee = Success("gain", tiers, floor_minor=5000_00, cap_minor=75000_00)
    assert success_minor(fee, gain, 2) == minor


def test_a_gain_beyond_the_last_tier_counts_up_to_its_end() -> None:
    tiers = (Tier("10", "100"), Tier("20", "200"))
    assert success_minor(Success("gain", tiers), "900", 2) == 30_00
    assert success_minor(Success("gain", tiers, marginal=False), "900", 2) == 40_00


def test_a_rate_that_a_card_gets_later_prices_what_waited() -> None:
    before, _ = opened(**VISITS)
    payers = {**VISITS["rate_cards"]["payers"], "X": {"otherwise": "7.00"}}
    after, _ = opened(**{**VISITS, "rate_cards": {"payers": payers}})
    assert price(before, RateCard("payers"), {"payer_id": "X"}) is None
    found = price(after, RateCard("payers"), {"payer_id": "X"})
    assert found is not None
    assert found.minor == 700


@pytest.mark.parametrize("text", ["", "free", "NaN", "Infinity", "-0.01", "1e999999999", "12,50", "1" * 41])
def test_what_is_no_charge(text: str) -> None:
    assert charge_of(text) is None


def totals(order: list[Event]) -> tuple[dict[str, int], int, int]:
    """Gross by milestone, held and retained to date."""
    lines = [output for output in told(*order) if isinstance(output, InvoiceLine)]
    gross: dict[str, int] = {}
    for line in lines:
        name = f"{line.milestone_id}#{line.occurrence_id}"
        gross[name] = gross.get(name, 0) + line.gross_minor
    names = {name for name, minor in gross.items() if minor}
    return {name: gross[name] for name in names}, sum(line.retained_minor for line in lines), len(names)


def interleavings(topics: list[list[Event]], most: int) -> list[list[Event]]:
    """Ways to merge the topics, each in its own order: one topic after the other, and one event of each in turn."""
    found: list[list[Event]] = []
    for order in permutations(topics):
        found.append([event for topic in order for event in topic])
        turns = [topic[turn : turn + 1] for turn in range(max(map(len, order))) for topic in order]
        found.append([event for turn in turns for event in turn])
    return found[:most]


@pytest.mark.parametrize(
    "name",
    [path.stem for path in sorted(SCENARIOS.glob("fees-*.txt"))] + ["W22", "W24", "W69"],
)
def test_the_order_across_topics_does_not_matter(name: str) -> None:
    told_ = events(SCENARIOS / f"{name}.txt")
    topics = [
        [event for event in told_ if isinstance(event, kind)]
        for kind in (EngagementEvent, MilestoneEvent, KpiEvent, ApprovalDecision)
    ]
    expected = totals(told_)
    for order in interleavings([topic for topic in topics if topic], 48):
        assert totals(order) == expected
