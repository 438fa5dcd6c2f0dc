"""Pipelines of a test's own: prefix, groups, transactional ids and database."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost import settings
from milepost.demo import play
from milepost.settings import Settings
from tests.operations.dossiers import MADE, make


@pytest.fixture
def settings_for(tmp_path: Path, topic_prefix: str) -> Callable[[str], Settings]:
    """Settings for the brokers at an address that share nothing with another test."""

    def make(bootstrap_servers: str) -> Settings:
        return settings.load(
            bootstrap_servers=bootstrap_servers,
            topic_prefix=topic_prefix,
            group=f"{topic_prefix}join",
            ledger_group=f"{topic_prefix}ledger",
            app=topic_prefix.strip("-"),
            database_url=f"sqlite:///{tmp_path}/ledger.db",
            poll_timeout_ms=20,
        )

    return make


@pytest.fixture
def chosen(embedded_broker: str, settings_for: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings for an embedded broker with its topics, which the command line finds in the environment too."""
    found = settings_for(embedded_broker)
    for name in ("bootstrap_servers", "topic_prefix"):
        monkeypatch.setenv(f"MILEPOST_{name.upper()}", getattr(found, name))
    monkeypatch.setenv("MILEPOST_DATABASE_URL", found.database_url.get_secret_value())
    play.apply_topics(found)
    return found


@pytest.fixture
def exported(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both dossiers unpacked; what the pipeline costs is paid once for all the forgeries."""
    monkeypatch.setenv("MILEPOST_EVIDENCE_DIR", str(tmp_path / "evidence"))
    if not MADE:
        make(request.getfixturevalue("chosen"), tmp_path)
    for engagement, content in MADE.items():
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(tmp_path / engagement)
    return tmp_path
