"""`milepost config`, as somebody meets it in a terminal."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from milepost.cli import app

run = CliRunner()


def test_show_masks_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_DATABASE_URL", "postgresql://ana:geheim@db/m")
    shown = run.invoke(app, ["config", "show"])
    assert shown.exit_code == 0
    assert "MILEPOST_DATABASE_URL=postgresql+psycopg://********@db/m" in shown.stdout
    assert "geheim" not in shown.output


def test_show_as_json_has_every_setting() -> None:
    shown = run.invoke(app, ["config", "show", "--json"])
    assert json.loads(shown.stdout)["bootstrap_servers"] == "localhost:9092"


def test_what_show_prints_can_be_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_TOPIC_PREFIX", "stage.")
    shown = run.invoke(app, ["config", "show"]).stdout
    for line in shown.splitlines():
        if not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    assert run.invoke(app, ["config", "show"]).stdout == shown


def test_check_finds_the_misspelt_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run.invoke(app, ["config", "check"]).exit_code == 0
    monkeypatch.setenv("MILEPOST_GRUOP", "a")
    checked = run.invoke(app, ["config", "check"])
    assert checked.exit_code == 1
    assert "MILEPOST_GRUOP: no setting reads it; did you mean MILEPOST_GROUP?" in checked.stderr
    as_json = run.invoke(app, ["config", "check", "--json"])
    assert json.loads(as_json.stdout) == {"unknown": {"MILEPOST_GRUOP": "MILEPOST_GROUP"}, "gaps": {}}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"MILEPOST_ANCHOR_KEY_FILE": "/no/such/key"}, "MILEPOST_ANCHOR_KEY_FILE: '/no/such/key' is not a file"),
        ({"MILEPOST_SMTP_HOST": "mx", "MILEPOST_SMTP_FROM": "a@b.example"}, "MILEPOST_LINK_SECRET: is empty"),
        (
            {"MILEPOST_GATEWAY_HOST": "0.0.0.0", "MILEPOST_LINK_SECRET": "s" * 40},
            "MILEPOST_PUBLIC_URL: http://127.0.0.1:8080 is this machine",
        ),
        ({"MILEPOST_SCHEMA_REGISTRY_URL": "http://registry:8080"}, "MILEPOST_OUTBOUND_ADMITTED_HOSTS: does not name"),
        ({"MILEPOST_LEDGER_GROUP": "milepost-join"}, "MILEPOST_LEDGER_GROUP: 'milepost-join' is MILEPOST_GROUP too"),
        ({"MILEPOST_NOTICES_GROUP": "a", "MILEPOST_LEDGER_GROUP": "a"}, "MILEPOST_NOTICES_GROUP: 'a' is MILEPOST_L"),
        ({"MILEPOST_METRICS_PORT": "8080"}, "MILEPOST_METRICS_PORT: 8080 is MILEPOST_GATEWAY_PORT too"),
        ({"MILEPOST_ANCHOR_TRUSTED_KEYS": f"{'a' * 64},zzz"}, "MILEPOST_ANCHOR_TRUSTED_KEYS: 'zzz' is no public key"),
        ({"MILEPOST_EVIDENCE_URL": "http://foo"}, "MILEPOST_EVIDENCE_URL: 'http://foo' names no object store"),
        (
            {"MILEPOST_SCHEMA_REGISTRY_URL": "https://r", "MILEPOST_SCHEMA_REGISTRY_CREDENTIALS": "geheim"},
            "MILEPOST_SCHEMA_REGISTRY_CREDENTIALS: has no colon",
        ),
        ({"MILEPOST_SCHEMA_REGISTRY_CREDENTIALS": "a:geheim"}, "MILEPOST_SCHEMA_REGISTRY_URL: is empty"),
        ({"MILEPOST_ANCHOR_FILE": "/nope/dir/x"}, "MILEPOST_ANCHOR_FILE: '/nope/dir' is not a folder"),
        ({"MILEPOST_NOTICES_DEAD_LETTERS_TO": "a@b.example"}, "MILEPOST_NOTICES_DEAD_LETTERS_TO: names addresses, but"),
    ],
)
def test_check_says_what_does_not_go_together(
    given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    checked = run.invoke(app, ["config", "check"])
    assert (checked.exit_code, named in checked.stderr) == (1, True), checked.output
    assert "geheim" not in checked.output


def test_check_finds_the_misspelt_secret_and_leaves_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_SECRETS_DIR", str(tmp_path))
    for name in ("milepost_group", "anchor_key"):
        (tmp_path / name).write_text("a")
    assert run.invoke(app, ["config", "check"]).exit_code == 0
    for name in ("milepost_database_ulr", "link_secret"):
        (tmp_path / name).write_text("geheim")
    checked = run.invoke(app, ["config", "check"])
    assert checked.exit_code == 1
    assert (
        f"{tmp_path}/milepost_database_ulr: no setting reads it; did you mean milepost_database_url?" in checked.stderr
    )
    assert f"{tmp_path}/link_secret: no setting reads it; did you mean milepost_link_secret?" in checked.stderr


def test_ports_and_hosts_that_are_apart_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_METRICS_PORT", "8080")
    monkeypatch.setenv("MILEPOST_METRICS_HOST", "127.0.0.2")
    assert run.invoke(app, ["config", "check"]).exit_code == 0


@pytest.mark.parametrize("command", ["show", "check"])
def test_unusable_settings_exit_with_2(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_MAX_RECORDS", "-1")
    failed = run.invoke(app, ["config", command])
    assert failed.exit_code == 2
    assert "max_records" in failed.stderr
    assert failed.stdout == ""
