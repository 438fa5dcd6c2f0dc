"""An empty ledger, which the command line finds too."""

from pathlib import Path

import pytest

from milepost.sql.engine import Engine, connect
from milepost.sql.migrations import migrate
from tests.audit.anchoring import PUBLIC


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("MILEPOST_DATABASE_URL", url)
    monkeypatch.setenv("MILEPOST_ANCHOR_TRUSTED_KEYS", PUBLIC)
    found = connect(url)
    migrate(found)
    return found
