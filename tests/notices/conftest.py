"""One authority for the servers of all tests here, and a migrated SQLite for those whose subject is no database."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.sql.engine import Engine, connect
from milepost.sql.migrations import migrate
from tests.receiving import Certificates, make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "notices.db"
    engine = connect(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture
def local(migrated_file: Path, tmp_path: Path) -> Iterator[Engine]:
    """An empty database; `engine` is the same on both kinds, for tests whose subject it is."""
    engine = connect(f"sqlite:///{shutil.copy(migrated_file, tmp_path)}")
    yield engine
    engine.dispose()


@pytest.fixture
def on_postgresql(postgresql_url: str) -> Iterator[Engine]:
    """An empty database on a server that a test may stop."""
    engine = connect(postgresql_url)
    migrate(engine)
    yield engine
    engine.dispose()
