"""An empty ledger, which the command line finds too."""

from collections.abc import Iterator

import pytest

from milepost.sql.engine import Engine, connect
from milepost.sql.migrations import migrate
from tests.audit.anchoring import PUBLIC


@pytest.fixture
def engine(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("MILEPOST_DATABASE_URL", database_url)
    monkeypatch.setenv("MILEPOST_ANCHOR_TRUSTED_KEYS", PUBLIC)
    found = connect(database_url)
    migrate(found)
    yield found
    found.dispose()
