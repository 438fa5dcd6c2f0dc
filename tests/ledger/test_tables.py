"""The tables say what the records say, and a migrated database has exactly these tables."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from milepost.codec.shapes import STRUCTS
from milepost.codec.topics import TOPICS as ALL_TOPICS
from milepost.ledger.rows import TABLES
from milepost.sql import migrations as versions
from milepost.sql import tables
from milepost.sql.engine import DatabaseError, Engine, connect, writing
from milepost.sql.migrations import migrate

VERSIONS = Path(versions.__file__ or "").parent / "versions"
HEAD = max(path.name for path in VERSIONS.glob("[0-9]*.py"))[:4]
RECORD_TABLES = {topic: table for topic, table in TABLES.items() if ALL_TOPICS[topic].record}


@pytest.mark.parametrize("topic", RECORD_TABLES)
def test_columns_are_the_fields_of_the_record(topic: str) -> None:
    fields = STRUCTS[ALL_TOPICS[topic].record].__struct_fields__
    columns = [column.name for column in RECORD_TABLES[topic].columns]
    fields = tuple(name for name in fields if name != "terms")  # not on the wire
    assert columns[: len(fields)] == list(fields)
    assert set(columns[len(fields) :]) <= {"record_partition", "record_offset", "body_sha256"}


def test_every_output_topic_has_a_table() -> None:
    assert set(TABLES) >= {name for name, topic in ALL_TOPICS.items() if topic.direction == "out"}
    assert set(TABLES) == {name for name, topic in ALL_TOPICS.items() if "ledger" in topic.consumers}


def test_money_and_instants_have_64_bits() -> None:
    amounts = [
        column for table in TABLES.values() for column in table.columns if column.name.endswith(("_minor", "_at"))
    ]
    assert len(amounts) > 10
    assert {str(column.type) for column in amounts} == {"BIGINT"}


def test_migrations_end_at_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        assert len(inspect(connection).get_table_names()) == len(tables.metadata.tables) + 1


def test_a_difference_would_be_seen(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE invoice_lines ADD COLUMN odd TEXT"))
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    assert [difference[0] for difference in found] == ["remove_column"]


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]


def test_ledgers_that_start_together_migrate_once(database_url: str) -> None:
    engines = [connect(database_url) for _ in range(4)]
    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(migrate, engines))
    with engines[0].connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]
    for engine in engines:
        engine.dispose()


def test_a_database_of_a_newer_release_is_refused(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"9999.*newer release"):
        migrate(engine)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("mysql://u:secret@h/d", "names 'mysql'"),
        ("no url at all secret", "not a database URL"),
        ("sqlite://", "in memory"),
        ("sqlite:////no/such/folder/x.db", "not a folder"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, found: str) -> None:
    with pytest.raises(DatabaseError, match=found) as caught:
        connect(url)
    assert "MILEPOST_DATABASE_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_sqlite_waits_for_locks_and_writes_ahead(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.connect() as connection:
        answers = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")
        }
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
    engine.dispose()
    assert answers == {"journal_mode": "wal", "foreign_keys": 1}
