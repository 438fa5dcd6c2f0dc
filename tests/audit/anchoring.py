"""A ledger with audit trails whose heads are signed, for the tests of both."""

from collections.abc import Mapping, Set

from sqlalchemy import text
from typer.testing import CliRunner

from milepost.audit import anchors, contents
from milepost.cli import app
from milepost.core.outputs import AuditEntry
from milepost.kafka.scanning import Place
from milepost.ledger.rows import rows_of
from milepost.sql.engine import Engine, writing
from milepost.sql.writing import store
from tests.ledger import made

NOON = 1_780_056_000_000_000
PEM, PUBLIC = anchors.new_key()
KEY = anchors.read_key(PEM)


def hashes(wanted: Mapping[Place, Set[int]]) -> dict[tuple[Place, int], str]:
    """As if each record held its own offset."""
    return {
        (place, offset): contents.event_hash(b"%d" % offset, b"")
        for place, offsets in wanted.items()
        for offset in offsets
    }


def keep(engine: Engine, entries: list[AuditEntry], start: int = 0) -> None:
    batch = [record._replace(offset=start + place) for place, record in enumerate(made.in_order(entries))]
    rows = rows_of(batch)
    store(engine, rows.added, rows.statuses, [])


def verified(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", "verify", *arguments], catch_exceptions=False)
    return result.exit_code, result.stdout


def execute(engine: Engine, statement: str) -> None:
    with writing(engine) as connection:
        connection.execute(text(statement))
