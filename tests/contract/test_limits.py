"""A hostile document costs little: it is too long, too deep, or has more findings than anybody reads."""

import json

from milepost import contract
from milepost.contract.findings import MAX_FINDINGS
from milepost.contract.tree import MAX_BYTES, MAX_DEPTH

HEADER = {
    "milepost": 1,
    "engagement": "a",
    "version": 1,
    "customer": {"id": "c"},
    "currency": "EUR",
    "timezone": "UTC",
    "effective_from": "2026-01-01",
}


def milestone(name: str, **more: object) -> dict[str, object]:
    return {"id": name, "fee": {"fixed": "1.00"}, "requires": ["completed"], "approval": "none"} | more


def test_a_text_beyond_the_limit_is_not_read() -> None:
    for filler in ("x", "ü"):
        parsed = contract.parse("# " + filler * MAX_BYTES)
        assert not parsed.readable
        assert "bytes long" in parsed.findings[0].message
    assert not contract.parse('{"a": "' + "x" * MAX_BYTES + '"}').readable


def test_depth_is_limited_in_both_syntaxes() -> None:
    for text in ("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, '{"a": ' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}"):
        assert "nested deeper" in contract.parse(text).findings[0].message
    fits = contract.parse('{"a": ' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}")
    assert fits.readable


def test_findings_are_limited_and_say_that_there_are_more() -> None:
    document = HEADER | {"milestones": [milestone(f"m{place}", approvel="x") for place in range(2000)]}
    findings = contract.parse(json.dumps(document)).findings
    assert len(findings) == MAX_FINDINGS + 1
    assert findings[-1].message == f"{2000 - MAX_FINDINGS} more findings are not shown"


def test_two_thousand_milestones_that_wait_for_each_other_in_a_row_are_one_contract() -> None:
    stones = [milestone("m0"), *(milestone(f"m{place}", depends_on=[f"m{place - 1}"]) for place in range(1, 2000))]
    parsed = contract.parse(json.dumps(HEADER | {"milestones": stones}))
    assert parsed.findings == ()
    assert parsed.contract is not None
    assert len(parsed.contract.milestones) == 2000


def test_fees_that_no_invoice_line_can_hold_are_refused() -> None:
    stones = [milestone(f"m{place}", fee={"fixed": "999999999999999.99"}) for place in range(11)]
    messages = [finding.message for finding in contract.parse(json.dumps(HEADER | {"milestones": stones})).errors]
    assert messages == ["the fees add up to more than 1000000000000000000 minor units"]


def test_text_cannot_act_on_a_terminal() -> None:
    text = json.dumps(
        HEADER | {"milestones": [milestone("m")], "\x1b[2J\u009b": "\x1b[31m", "customer": {"id": "\u202e"}}
    )
    for finding in contract.parse(text).findings:
        assert finding.text("f").isprintable()
