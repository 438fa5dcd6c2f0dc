"""Where a setting's value comes from, and what somebody is told whose setting is wrong."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from milepost import settings


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("MILEPOST_SECRETS_DIR", str(folder))
    return folder


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "milepost.toml"
    monkeypatch.setenv("MILEPOST_CONFIG", str(path))
    return path


def test_defaults_are_those_of_a_laptop() -> None:
    found = settings.load()
    assert found.bootstrap_servers == "localhost:9092"
    assert found.database_url == SecretStr("sqlite:///milepost.db")
    assert (found.app, found.group, found.topic_prefix) == ("milepost", "milepost-join", "")
    assert found.metrics_port == 0


def test_precedence(secrets: Path, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument > the environment > a secret > the TOML file > the default; each one hides the next."""
    toml.write_text('group = "toml"\napp = "toml"\nmax_records = 7\ntopic_prefix = "toml-"\n')
    (secrets / "milepost_group").write_text("secret\n")
    (secrets / "milepost_app").write_text("secret")
    (secrets / "milepost_topic_prefix").write_text("secret-")
    monkeypatch.setenv("MILEPOST_GROUP", "environment")
    monkeypatch.setenv("MILEPOST_APP", "environment")
    found = settings.load(group="argument", app=None)
    assert (found.group, found.app, found.topic_prefix, found.max_records, found.poll_timeout_ms) == (
        "argument",
        "environment",
        "secret-",
        7,
        100,
    )


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_GROUP", "")
    assert settings.load().group == "milepost-join"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("MILEPOST_BOOTSTRAP_SERVERS", "kafka", "bootstrap_servers: 'kafka' is not HOST:PORT"),
        ("MILEPOST_BOOTSTRAP_SERVERS", "a:9092,b:99999", "'b:99999' is not HOST:PORT"),
        ("MILEPOST_MAX_RECORDS", "0", "max_records: Input should be greater than or equal to 1 (found '0')"),
        ("MILEPOST_LOG_LEVEL", "loud", "(found 'loud'); set MILEPOST_LOG_LEVEL"),
        ("MILEPOST_DATABASE_URL", "mysql://root:geheim@h/d", "'mysql' is not a database this program knows"),
        ("MILEPOST_GROUP", "two words", "group: "),
        ("MILEPOST_METRICS_PORT", "70000", "metrics_port: "),
        ("MILEPOST_HEARTBEAT_INTERVAL_MS", "9000", "at most a third of session_timeout_ms"),
        ("MILEPOST_HEARTBEAT_INTERVAL_MS", "9000", "set MILEPOST_HEARTBEAT_INTERVAL_MS or MILEPOST_SESSION_TIMEOUT_MS"),
        ("MILEPOST_SESSION_TIMEOUT_MS", "60000", "session_timeout_ms must be below request_timeout_ms"),
        ("MILEPOST_SESSION_TIMEOUT_MS", "60000", "(found 60000 and 40000); set MILEPOST_SESSION_TIMEOUT_MS or"),
        ("MILEPOST_SCHEMA_REGISTRY_URL", "nonsense", "(found 'nonsense'); set MILEPOST_SCHEMA_REGISTRY_URL"),
        ("MILEPOST_SCHEMA_REGISTRY_URL", "ftp://x", "is no address of a registry; write https://HOST"),
        ("MILEPOST_SEND_TIMEOUT_MS", "60000", "send_timeout_ms must be below transaction_timeout_ms"),
        ("MILEPOST_SMTP_HOST", "mail.example.org", "smtp_host needs smtp_from"),
        ("MILEPOST_SMTP_FROM", "Billing", "smtp_from: is no sender"),
        ("MILEPOST_SMTP_FROM", "a@x.org\nBcc: b@x.org", "smtp_from: is no sender"),
        ("MILEPOST_NOTICES_RETENTION_TO", "a@x.org, b@", "notices_retention_to: 'b@' is no e-mail address"),
        ("MILEPOST_ENDPOINT_SECRET", "geheim", "endpoint_secret: each secret needs 32 characters"),
        ("MILEPOST_CONFIG", "/nowhere.toml", "MILEPOST_CONFIG='/nowhere.toml' is not a file"),
        ("MILEPOST_SECRETS_DIR", "/nowhere", "MILEPOST_SECRETS_DIR='/nowhere' is not a folder"),
    ],
)
def test_a_wrong_setting_is_named(variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(settings.SettingsError) as caught:
        settings.load()
    assert told in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_key_that_the_file_misspells_is_named(toml: Path) -> None:
    toml.write_text('bootstrap_server = "a:1"\n')
    with pytest.raises(settings.SettingsError, match="bootstrap_server: no such setting; did you mean bootstrap_serv"):
        settings.load()


def test_a_file_that_is_not_toml(toml: Path) -> None:
    toml.write_text("group: milepost\n")
    with pytest.raises(settings.SettingsError, match="is not TOML"):
        settings.load()


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_MAX_RECORDS", "many")
    monkeypatch.setenv("MILEPOST_LOG_FORMAT", "xml")
    with pytest.raises(settings.SettingsError) as caught:
        settings.load()
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["log_format", "max_records"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_gets_its_driver(scheme: str) -> None:
    found = settings.load(database_url=f"{scheme}://ana:geheim@db/milepost")
    assert found.database_url.get_secret_value() == "postgresql+psycopg://ana:geheim@db/milepost"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("sqlite:///milepost.db", "sqlite:///milepost.db"),
        ("postgresql://ana:ge:h@im@db:5432/m?password=x", "postgresql+psycopg://********@db:5432/m?********"),
        ("postgresql://db/m", "postgresql+psycopg://db/m"),
    ],
)
def test_shown_hides_what_is_secret(url: str, seen: str) -> None:
    found = settings.load(database_url=url)
    assert settings.shown(found)["database_url"] == seen
    assert "ana" not in repr(found)


def test_topics_carry_the_prefix() -> None:
    assert settings.load(topic_prefix="test.").topic("invoice-lines") == "test.invoice-lines"


def test_variables_that_nothing_reads_are_found() -> None:
    environment = {
        "MILEPOST_GRUOP": "a",
        "MILEPOST_GROUP": "b",
        "MILEPOST_CONFIG": "c",
        "MILEPOST_ZZZ": "",
        "HOME": "/",
    }
    assert settings.unknown_variables(environment) == {"MILEPOST_GRUOP": "MILEPOST_GROUP", "MILEPOST_ZZZ": None}


def test_every_setting_says_what_it_is() -> None:
    assert len(settings.Settings.model_fields) > 15
    assert [name for name, field in settings.Settings.model_fields.items() if not field.description] == []


def test_a_password_is_not_sent_in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_SMTP_USER", "milepost")
    assert settings.load().smtp_security == "starttls"
    monkeypatch.setenv("MILEPOST_SMTP_SECURITY", "none")
    with pytest.raises(settings.SettingsError, match="would send the password in clear"):
        settings.load()


@pytest.mark.parametrize(
    ("text", "mail_can_be_sent"),
    [
        ("ana@example.org", True),
        ("a.b+c@localhost", True),
        ("ana@xn--bcher-kva.example", True),
        ("ana", False),
        ("Ana <ana@example.org>", False),
        ("a@b@c", False),
        ("a..b@example.org", False),
        ("a@example..org", False),
        (".a@example.org", False),
        ("a@-example.org", False),
        ("a@example.org\r\nBcc: b@example.org", False),
        ("änä@example.org", False),
        ("", False),
    ],
)
def test_addresses(text: str, mail_can_be_sent: bool) -> None:
    assert settings.is_address(text) == mail_can_be_sent
