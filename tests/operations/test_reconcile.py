"""`reconcile` on what the real join and ledger left: nothing to say of an honest run, and every kind of difference."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from milepost import settings
from milepost.cli import app
from milepost.codec import records
from milepost.core.events import InvoiceAcknowledgement
from milepost.core.outputs import InvoiceLine
from milepost.demo import play
from milepost.demo.examples import Example, alone, examples_dir, read_examples
from milepost.demo.pipeline import Pipeline
from milepost.kafka.embedded import EmbeddedBroker
from milepost.kafka.publishing import Publisher
from milepost.kafka.scanning import Place, Scan
from milepost.ledger.rows import TABLES
from milepost.operations.reconcile import Reconciliation, compare_ledger, places
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
        answer(second, 0, "REJECTED", reason="sent late, dated earlier"),
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


def test_an_erp_that_took_a_line_twice_or_says_it_badly_is_told(chosen: Settings) -> None:
    first, second, third, fourth, *_ = played(chosen, EXAMPLES[:3])
    acknowledged(
        chosen,
        answer(first, 1),
        answer(first, 2),  # in another document: it is invoiced twice
        answer(second, 3, document_number=None),
        msgspec.structs.replace(answer(third, 4), engagement_id="another"),
        answer(third, 5, "REJECTED", reason="closed"),
        answer(third, 6),  # in its second document after the first was refused: once
        answer(fourth, 7),
        msgspec.structs.replace(answer(fourth, 8), event_id="ack-7"),
        answer(fourth, 7),  # redelivered
    )
    status, found = reconciled("--grace-days", "100000")
    assert status == 1
    assert sorted((one["kind"], one["what"]) for one in found["differences"]) == sorted(
        [
            ("contradicted", fourth.line_id),
            ("elsewhere", third.line_id),
            ("twice", first.line_id),
            ("unnumbered", second.line_id),
        ]
    )
    assert any("RE-1, RE-2" in one["message"] for one in found["differences"])


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


TAMPERED = {
    "money": "UPDATE invoice_lines SET gross_minor = gross_minor + 100000, payable_minor = payable_minor + 100000",
    "a customer": "UPDATE invoice_lines SET customer_id = 'somebody-else'",
    "a description": "UPDATE invoice_lines SET description = 'Something else'",
    "what proves a line": "UPDATE invoice_lines SET caused_by = '[]'",
    "what is held": "UPDATE retention_events SET amount_minor = amount_minor + 1",
    "who is asked": """UPDATE approval_requests SET people = '["mallory"]'""",
    "where a milestone stands": "UPDATE milestone_status SET state = 'CANCELLED'",
    "a contract": "UPDATE engagement_events SET contract = '{}' WHERE contract IS NOT NULL",
    "why nothing came of it": "UPDATE dead_letters SET message = 'nothing to see'",
    "a dead letter": "DELETE FROM dead_letters",
    "a status": "DELETE FROM milestone_status",
    "an acknowledgement": "UPDATE invoice_acknowledgements SET document_number = 'RE-0'",
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Path]]:
    """A pipeline that has run, with something in every table, and its database."""
    folder = tmp_path_factory.mktemp("honest")
    with EmbeddedBroker() as broker:
        chosen = settings.load(
            bootstrap_servers=broker.bootstrap_servers,
            database_url=f"sqlite:///{folder}/ledger.db",
            poll_timeout_ms=20,
        )
        play.apply_topics(chosen)
        line, *_ = played(chosen, EXAMPLES[:2])
        publisher = Publisher(chosen)
        publisher._producer.produce(chosen.topic("kpi-events"), b"no event", key=line.engagement_id.encode())
        publisher.flush()
        acknowledged(chosen, answer(line, 1))
        yield chosen, folder / "ledger.db"


@pytest.mark.parametrize("statement", TAMPERED.values(), ids=TAMPERED)
def test_whatever_is_changed_in_a_row_is_found(
    statement: str, honest: tuple[Settings, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, database = honest
    copied = shutil.copy(database, tmp_path / "ledger.db")
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", chosen.bootstrap_servers)
    monkeypatch.setenv("MILEPOST_DATABASE_URL", f"sqlite:///{copied}")
    assert reconciled("--grace-days", "100000")[0] == 0
    engine = connect(f"sqlite:///{copied}")
    with writing(engine) as connection:
        changed = connection.execute(text(statement)).rowcount
    engine.dispose()
    status, found = reconciled("--grace-days", "100000")
    assert status == 1
    assert changed == len(found["differences"]) > 0
    assert {one["kind"] for one in found["differences"]} == {"missing" if statement.startswith("DELETE") else "other"}
    if "SET " in statement:
        column = statement.split("SET ")[1].split(" ", maxsplit=1)[0]
        assert column in found["differences"][0]["message"]


def test_a_record_at_which_the_ledger_stops_is_named(chosen: Settings) -> None:
    played(chosen, EXAMPLES[:1])
    publisher = Publisher(chosen)
    publisher._producer.produce(chosen.topic("invoice-lines"), None, key=b"erp-rollout")
    publisher.flush()
    status, found = reconciled()
    assert status == 1
    assert kinds(found) == [("unreadable", "invoice-lines")]
    assert "Only the join writes this topic" in found["differences"][0]["message"]


def test_a_ledger_that_has_not_come_so_far_is_behind(chosen: Settings, tmp_path: Path) -> None:
    played(chosen, EXAMPLES[:1])
    engine = connect(chosen.database_url.get_secret_value())
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM sink_offsets"))
        for table in {table.name for table in TABLES.values()}:
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


def test_dead_letters_that_the_topic_has_let_go_are_no_difference(chosen: Settings) -> None:
    line, *_ = played(chosen, EXAMPLES[:1])
    engine = connect(chosen.database_url.get_secret_value())
    place = Place("dead-letters", 0)
    old = (
        "dead-letters",
        0,
        -5,
        "INVALID_VALUE",
        "long ago",
        None,
        None,
        None,
        None,
        line.engagement_id,
        1,
        0,
        "0" * 64,
    )
    with writing(engine) as connection:
        connection.execute(tables.dead_letters.insert().values(old))
    found = Reconciliation()
    with Scan(chosen, places()) as scan:
        assert scan.begins[place] == 0
        compare_ledger(scan, engine, chosen.topic_prefix, found)
    engine.dispose()
    assert found.differences == []
