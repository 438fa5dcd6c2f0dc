"""The audit trail's hash chain: what the core writes is sound, and every change to it is found."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from milepost.audit.chain import entry_hash, verify
from milepost.cli import app
from milepost.cli.files import Faults, read_contract, read_event_file
from milepost.core.outputs import AuditEntry
from milepost.join.simulation import simulate
from milepost.ledger.rows import rows_of
from milepost.sql.engine import connect
from milepost.sql.migrations import migrate
from milepost.sql.writing import store
from tests.ledger import made

EXAMPLES = sorted(path.parent for path in Path(__file__).parents[2].glob("examples/*/events.jsonl"))
run = CliRunner()


def trail(folder: Path) -> dict[str, list[AuditEntry]]:
    """The audit entries that the core raises for an example, by engagement."""
    faults = Faults()
    contract, events = read_contract(folder / "contract.yaml", faults), read_event_file(folder / "events.jsonl", faults)
    assert not faults.status
    found: dict[str, list[AuditEntry]] = {}
    for raised in simulate(contract.opening("test"), events.lines):
        if isinstance(raised.output, AuditEntry):
            found.setdefault(raised.output.engagement_id, []).append(raised.output)
    return found


def chained(count: int, engagement: str = "erp-rollout", start: int = made.NOON) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for sequence in range(1, count + 1):
        entry = made.audit(
            engagement,
            sequence,
            previous_hash=entries[-1].hash if entries else "0" * 64,
            reason="ü\n\x07",
            occurred_at=start,
        )
        entries.append(msgspec.structs.replace(entry, hash=entry_hash(entry)))
    return entries


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_what_the_core_writes_is_sound(folder: Path) -> None:
    trails = trail(folder)
    assert trails
    for engagement, entries in trails.items():
        report = verify(engagement, entries)
        assert report.faults == ()
        assert (report.entries, report.head) == (len(entries), entries[-1].hash)
        assert len(entries) > 5


def test_no_entries_are_sound() -> None:
    assert verify("e", []).head == "0" * 64


def change(entries: list[AuditEntry]) -> None:
    entries[2] = msgspec.structs.replace(entries[2], reason="DUPLICATE")


def change_and_hash_anew(entries: list[AuditEntry]) -> None:
    change(entries)
    entries[2] = msgspec.structs.replace(entries[2], hash=entry_hash(entries[2]))


def delete(entries: list[AuditEntry]) -> None:
    del entries[2]


def delete_the_first(entries: list[AuditEntry]) -> None:
    del entries[0]


def insert(entries: list[AuditEntry]) -> None:
    entries.insert(3, entries[2])


def swap(entries: list[AuditEntry]) -> None:
    entries[2], entries[3] = entries[3], entries[2]


def slip_in_anothers(entries: list[AuditEntry]) -> None:
    entries.append(chained(6, "another")[5])


TAMPERINGS = [change, change_and_hash_anew, delete, delete_the_first, insert, swap, slip_in_anothers]


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_every_tampering_is_found(tamper: Callable[[list[AuditEntry]], None]) -> None:
    entries = chained(5)
    assert verify("erp-rollout", entries).faults == ()
    tamper(entries)
    assert verify("erp-rollout", entries).faults != ()


def test_a_cut_or_rewritten_chain_has_another_head() -> None:
    """The chain itself is sound then; this is what a head kept elsewhere is for."""
    entries = chained(5)
    cut = verify("erp-rollout", entries[:-1])
    assert (cut.faults, cut.head == entries[-1].hash) == ((), False)


@pytest.fixture
def ledger_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("MILEPOST_DATABASE_URL", f"sqlite:///{path}")
    engine = connect(f"sqlite:///{path}")
    migrate(engine)
    rows = rows_of(made.in_order(chained(3)))
    store(engine, rows.added, rows.statuses, [])
    engine.dispose()
    return path


def test_audit_show_prints_the_entries(ledger_file: Path) -> None:
    shown = run.invoke(app, ["audit", "show", "erp-rollout"])
    assert shown.exit_code == 0
    assert "     3  2026-05-29T12:00:00.000000Z  REPORTED" in shown.stdout
    lines = run.invoke(app, ["audit", "show", "erp-rollout", "--json"]).stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2, 3]
    assert json.loads(lines[0])["hash"] == chained(1)[0].hash


def test_audit_verify_finds_a_changed_row(ledger_file: Path) -> None:
    sound = run.invoke(app, ["audit", "verify", "erp-rollout"])
    assert (sound.exit_code, "3 entries, 0 faults" in sound.stdout) == (0, True)
    engine = connect(f"sqlite:///{ledger_file}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audit_entries SET occurred_at = occurred_at + 1 WHERE sequence = 2")
    engine.dispose()
    found = run.invoke(app, ["audit", "verify", "erp-rollout", "--json"])
    assert found.exit_code == 1
    assert "entry 2 (REPORTED) was changed" in json.loads(found.stdout)["faults"][0]


def test_audit_says_what_is_not_there(ledger_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = run.invoke(app, ["audit", "show", "nobody"])
    assert (unknown.exit_code, "no audit entry of engagement 'nobody'" in unknown.stderr) == (1, True)
    monkeypatch.setenv("MILEPOST_DATABASE_URL", f"sqlite:///{ledger_file}x")
    absent = run.invoke(app, ["audit", "show", "erp-rollout"])
    assert (absent.exit_code, "`milepost run ledger` makes it" in absent.stderr) == (2, True)
    assert not Path(f"{ledger_file}x").exists()
