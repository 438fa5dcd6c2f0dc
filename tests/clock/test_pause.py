"""What a pause of the clock does: one tick after it fires what was due in the order of its dates, a stage a tick."""

from datetime import UTC, datetime
from typing import Any

from milepost.codec.event_files import Line
from milepost.codec.json_forms import event_or_problems
from milepost.contract import parse
from milepost.contract.opening import opened
from milepost.core.outputs import ApprovalRequest, InvoiceLine
from milepost.join.simulation import Raised, simulate

CONTRACT = """
milepost: 1
engagement: paused
version: 1
customer: {id: c, name: Customer}
supplier: {id: s, name: Supplier}
currency: EUR
timezone: UTC
value: "1000.00"
effective_from: 2026-01-01
people:
  client_ap: [ana]
  client_cfo: [cleo]
approvals:
  slow: {steps: [{role: client_ap, within: P5D, on_timeout: accept}]}
  quick: {steps: [{role: client_ap, within: P2D, on_timeout: accept}]}
  chain:
    steps:
      - {role: client_ap, within: P1D, on_timeout: {escalate_to: client_cfo, within: P3D, on_timeout: reject}}
milestones:
  - {id: late, fee: {fixed: "500.00"}, requires: [completed], approval: slow}
  - {id: early, fee: {fixed: "300.00"}, requires: [completed], approval: quick}
  - {id: chained, fee: {fixed: "200.00"}, requires: [completed], approval: chain}
"""


def played(*ticks: str) -> list[Raised]:
    """All three are reported on 2 March; then nothing happens but these ticks."""
    parsed = parse(CONTRACT)
    assert parsed.contract is not None, parsed.errors
    events: list[tuple[str, dict[str, Any]]] = [
        (
            "milestone-events",
            {
                "event_id": name, "source": "pm", "engagement_id": "paused", "milestone_id": name, "kind": "REPORTED",
                "occurred_at": "2026-03-02T09:00:00Z",
            },
        )
        for name in ("late", "early", "chained")
    ]  # fmt: skip
    events += [("clock-ticks", {"at": tick}) for tick in ("2026-03-02T10:00:00Z", *ticks)]
    lines = []
    for number, (topic, value) in enumerate(events, start=1):
        event, problems = event_or_problems(topic, value)
        assert event is not None, problems
        lines.append(Line(number, topic, value, event))
    return list(simulate(opened(parsed.contract, CONTRACT, "test"), lines))


def requests(found: list[Raised], kind: str) -> list[ApprovalRequest]:
    return [one.output for one in found if isinstance(one.output, ApprovalRequest) and one.output.kind == kind]


def day(instant: int | None) -> str:
    assert instant is not None
    return datetime.fromtimestamp(instant / 1e6, UTC).date().isoformat()


def test_deadlines_that_passed_fire_in_the_order_of_their_dates_and_with_them() -> None:
    found = played("2026-03-20T12:00:00Z")
    lines = [one.output for one in found if isinstance(one.output, InvoiceLine)]
    assert [(line.milestone_id, line.gross_minor) for line in lines] == [("early", 30_000), ("late", 50_000)]
    assert [day(line.accepted_at) for line in lines] == ["2026-03-05", "2026-03-08"], "as of the deadline, not the tick"


def test_whoever_is_asked_after_the_pause_has_all_of_his_time() -> None:
    """A tick for each hour of the pause would have let it run out before anybody was told."""
    found = played("2026-03-20T12:00:00Z", "2026-03-20T12:01:00Z", "2026-03-23T12:00:00Z")
    (escalated,) = requests(found, "ESCALATED")
    assert day(escalated.due_at) == "2026-03-24"
    assert requests(found, "EXPIRED") == []
    assert len(requests(played("2026-03-20T12:00:00Z", "2026-03-24T00:00:00Z"), "EXPIRED")) == 1


def test_the_same_is_billed_whether_the_clock_paused_or_not() -> None:
    paused = played("2026-03-20T12:00:00Z")
    ticked = played(*(f"2026-03-{number:02}T{hour:02}:00:00Z" for number in range(3, 21) for hour in (0, 12)))
    billed = [
        [
            (line.line_id, line.gross_minor, line.accepted_at)
            for one in found
            if isinstance(line := one.output, InvoiceLine)
        ]
        for found in (paused, ticked)
    ]
    assert len(billed[0]) == 2
    assert billed[0] == billed[1]
