"""`milepost config`, as somebody meets it in a terminal."""

import json

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
    ],
)
def test_check_says_what_does_not_go_together(
    given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    checked = run.invoke(app, ["config", "check"])
    assert (checked.exit_code, named in checked.stderr) == (1, True)


@pytest.mark.parametrize("command", ["show", "check"])
def test_unusable_settings_exit_with_2(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_MAX_RECORDS", "-1")
    failed = run.invoke(app, ["config", command])
    assert failed.exit_code == 2
    assert "max_records" in failed.stderr
    assert failed.stdout == ""
