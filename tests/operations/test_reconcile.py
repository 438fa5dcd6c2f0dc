"""`reconcile` on what the real join and ledger left: nothing to say of an honest run, and every kind of difference."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from milepost.cli import app
from milepost.codec import records
from milepost.core.events import InvoiceAcknowledgement
from milepost.core.outputs import InvoiceLine
from milepost.demo import play
from milepost.demo.examples import Example, alone, examples_dir, read_examples
from milepost.demo.pipeline import Pipeline
from milepost.kafka.publishing import Publisher
from milepost.settings import Settings
from milepost.sql import tables
from milepost.sql.engine import connect, writing

EXAMPLES = [example for example in read_examples(examples_dir()) if not alone(example)]


def played(chosen: Settings, examples: list[Example]) -> list[InvoiceLine]:
    async def run() -> list[InvoiceLine]:
        async with Pipeline(chosen) as pipeline:
            found = await play.play(chosen, pipeline, examples, lambda count: None)
            assert await pipeline.stored(lambda: True)
        return list(found.picture.lines)

    lines = asyncio.run(run())
    assert lines
    return lines


def acknowledged(chosen: Settings, *answers: InvoiceAcknowledgement) -> None:
    publisher = Publisher(chosen)
    for answer in answers:
        publisher.send("invoice-acknowledgements", answer)
    publisher.flush()

    async def run() -> None:
        async with Pipeline(chosen) as pipeline:
            assert await pipeline.stored(lambda: True)

    asyncio.run(run())


def reconciled(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["reconcile", "--json", *arguments], catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


def answer(line: InvoiceLine, number: int, status: Any = "ACCEPTED", **fields: Any) -> InvoiceAcknowledgement:
    values = {"document_number": f"RE-{number}", "occurred_at": line.accepted_at + number, **fields}
    return InvoiceAcknowledgement(f"ack-{number}", "erp", line.engagement_id, line.line_id, status, **values)


def kinds(found: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((one["kind"], one["topic"]) for one in found["differences"])


def test_an_honest_run_has_no_difference_and_folds_again_to_the_same_bytes(chosen: Settings) -> None:
    lines = played(chosen, EXAMPLES)
    status, found = reconciled()
    assert (status, found["differences"]) == (0, [])
    assert found["records"]["invoice-lines"] == len(lines)
    assert sum(one["raised_minor"] for one in found["sums"]) == sum(line.payable_minor for line in lines)
    assert all(one["raised_minor"] == one["stored_minor"] for one in found["sums"])
    status, found = reconciled("--rebuild")
    assert (status, found["differences"]) == (0, [])
    assert found["events"] > play.count(EXAMPLES)  # ticks go to every partition
    assert found["outputs"] > len(lines)


def test_the_erp_is_compared_line_by_line(chosen: Settings) -> None:
    first, second, third, *_ = played(chosen, EXAMPLES[:3])
    stranger = InvoiceAcknowledgement(
        "ack-9", "erp", first.engagement_id, "never-raised", "ACCEPTED", first.accepted_at
    )
    acknowledged(
        chosen,
        answer(first, 1, "REJECTED", reason="cost centre is closed"),
        answer(first, 2),  # taken back by what came later
        answer(second, 3),
        answer(second, 1, "REJECTED", reason="sent late, dated earlier"),
        answer(third, 4, "REJECTED", reason="no such purchase order"),
        stranger,
    )
    status, found = reconciled("--grace-days", "100000")
    assert status == 1
    assert [(one["kind"], one["what"]) for one in found["differences"]] == [
        ("rejected", third.line_id),
        ("unknown", "never-raised"),
    ]
    assert "no such purchase order" in found["differences"][0]["message"]
    accepted = sum(one["accepted_minor"] for one in found["sums"])
    assert accepted == first.payable_minor + second.payable_minor
    _, strict = reconciled("--grace-days", "0")
    assert ("unanswered", "invoice-lines") in kinds(strict)


def test_tampering_with_the_ledger_is_found(chosen: Settings) -> None:
    lines = played(chosen, EXAMPLES[:2])
    engine = connect(chosen.database_url.get_secret_value())
    with writing(engine) as connection:
        gone = connection.execute(text("DELETE FROM invoice_lines WHERE line_id = :id"), {"id": lines[0].line_id})
        changed = connection.execute(
            text("UPDATE invoice_lines SET body_sha256 = 'x' WHERE line_id = :id"), {"id": lines[1].line_id}
        )
        moved = connection.execute(
            text(
                "UPDATE retention_events SET record_offset = record_offset + 1000 WHERE retention_event_id ="
                " (SELECT min(retention_event_id) FROM retention_events)"
            )
        )
    engine.dispose()
    assert [gone.rowcount, changed.rowcount, moved.rowcount] == [1, 1, 1]
    status, found = reconciled()
    assert status == 1
    assert kinds(found) == [
        ("missing", "invoice-lines"),
        ("missing", "retention-events"),
        ("other", "invoice-lines"),
        ("strange", "retention-events"),
    ]


def test_a_ledger_that_has_not_come_so_far_is_behind(chosen: Settings, tmp_path: Path) -> None:
    played(chosen, EXAMPLES[:1])
    engine = connect(chosen.database_url.get_secret_value())
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM sink_offsets"))
        for table in ("invoice_lines", "retention_events", "approval_requests", "audit_entries"):
            connection.execute(tables.metadata.tables[table].delete())
    engine.dispose()
    status, found = reconciled()
    assert status == 1
    assert {one["kind"] for one in found["differences"]} == {"behind"}


def test_a_line_that_the_join_did_not_write_is_strange(chosen: Settings) -> None:
    lines = played(chosen, EXAMPLES[:2])
    forged = records.encode(lines[0])
    publisher = Publisher(chosen)
    publisher._producer.produce(
        chosen.topic("invoice-lines"), forged, key=lines[0].engagement_id.encode(), on_delivery=lambda *_: None
    )
    publisher._producer.flush(10)
    status, found = reconciled("--rebuild")
    assert status == 1
    assert kinds(found) == [("strange", "invoice-lines")]
    assert found["differences"][0]["key"] == lines[0].engagement_id


def test_without_a_broker_it_says_so(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    result = CliRunner().invoke(app, ["reconcile", "--rebuild"])
    assert result.exit_code == 2
    assert "MILEPOST_BOOTSTRAP_SERVERS" in result.stderr
