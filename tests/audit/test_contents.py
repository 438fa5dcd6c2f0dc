"""Anchors bind content: what was sent, billed, withheld and asked for, whenever the ledger reads it."""

import json

import pytest

from milepost.audit import anchors, contents
from milepost.ledger.rows import rows_of
from milepost.operations.anchoring import Signer, anchor
from milepost.sql import anchors as storing
from milepost.sql.engine import Engine
from milepost.sql.reading import LedgerReading
from milepost.sql.writing import store
from tests.audit.anchoring import KEY, NOON, PUBLIC, execute, hashes, keep, verified
from tests.audit.test_chain import chained
from tests.ledger import made


def signed_heads(engine: Engine) -> list[anchors.Signed]:
    heads, faults = anchors.anchored(LedgerReading(engine).anchors(), [PUBLIC])
    assert faults == []
    return heads["erp-rollout"]


def keep_lines(engine: Engine, count: int) -> None:
    rows = rows_of(made.in_order([made.line(line_id=f"line-{number}") for number in range(count)]))
    store(engine, rows.added, rows.statuses, [])


def test_a_line_that_came_after_its_audit_entry_is_signed_too(engine: Engine) -> None:
    trail = chained(4)
    keep(engine, trail[:3])
    assert anchor(Signer(engine, KEY, hashes), None, None, NOON) == 1
    keep_lines(engine, 2)
    assert anchor(Signer(engine, KEY, hashes), None, None, NOON + 1) == 1
    keep(engine, trail[3:], start=3)
    assert anchor(Signer(engine, KEY, hashes), None, None, NOON + 2) == 1
    first, second, third = [one.contents or {} for one in signed_heads(engine)]
    assert [one["invoice-lines"][0] for one in (first, second, third)] == [0, 2, 2]
    assert second["invoice-lines"] == third["invoice-lines"]
    assert [one["before"] for one in (first, second, third)] == [0, 1, 2]
    assert first["events"] == second["events"] != third["events"]
    assert third["events"] == contents.rolled(contents.event_hash(b"%d" % offset, b"") for offset in range(4))
    assert verified()[0] == 0


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM invoice_lines WHERE line_id = 'line-1'", "2 invoice-lines were signed in anchor 1, 1 are there"),
        ("UPDATE invoice_lines SET body_sha256 = 'a' WHERE line_id = 'line-0'", "the first 2 invoice-lines are not"),
    ],
)
def test_lines_that_were_removed_or_exchanged_are_found(statement: str, found: str, engine: Engine) -> None:
    keep(engine, chained(2))
    keep_lines(engine, 2)
    anchor(Signer(engine, KEY, hashes), None, None, NOON)
    assert verified()[0] == 0
    execute(engine, statement)
    status, out = verified()
    assert (status, found in out) == (1, True), out


def test_after_anchors_of_before_everything_is_signed_once_with_its_contents(engine: Engine) -> None:
    trail = chained(3)
    keep(engine, trail)
    keep_lines(engine, 1)
    old = anchors.signed(KEY, 1, None, "2026-05-29T12:00:00.000000Z", [("erp-rollout", 3, trail[2].hash)])
    assert storing.add(engine, NOON, storing.Draft(1, None, [], '{"0": 3}'), old)
    assert anchor(Signer(engine, KEY, hashes), None, None, NOON + 1) == 1
    assert anchor(Signer(engine, KEY, hashes), None, None, NOON + 2) == 0
    before, after = signed_heads(engine)
    assert before == (3, trail[2].hash, 1, None)
    assert after.contents is not None
    assert after.contents["before"] == 1
    assert after.contents["events"] == contents.rolled(contents.event_hash(b"%d" % one, b"") for one in range(3))
    assert after.contents["invoice-lines"][0] == 1
    assert verified()[0] == 0


def test_no_anchor_is_over_more_heads_than_fit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.operations.anchoring.HEADS_MOST", 2)
    for number in range(5):
        keep(engine, chained(3, f"e{number}"), start=3 * number)
    assert anchor(Signer(engine, KEY, hashes), None, None, NOON) == 3
    texts = LedgerReading(engine).anchors()
    assert [len(json.loads(one)["heads"]) for one in texts] == [2, 2, 1]
    assert len(texts[0]) < 2 * 1_000 + 1_500  # 1,000 of them stay below the megabyte of a record
