"""`milepost keys`: made and shown once, listed without what is secret, revoked for good."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from milepost.cli import app
from milepost.gateway import keys


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MILEPOST_DATABASE_URL", f"sqlite:///{tmp_path}/keys.db")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["keys", *arguments])

    return invoke


CREATE = ("create", "jira", "--tenant", "acme", "--action", "events:*", "--action", "lines:read")


def test_a_key_is_shown_once_and_listed_without_its_secret(run: Any) -> None:
    made = run(*CREATE, "--engagement", "erp-*", "--days", "30")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    key_id = keys.parse(key)
    assert key_id is not None
    assert "it is not stored" in made.stderr
    listed = run("list")
    assert key_id in listed.stdout
    assert "acme / erp-*: events:* lines:read" in listed.stdout
    assert "last used never" in listed.stdout
    assert key not in listed.stdout
    [entry] = json.loads(run("list", "--json").stdout)
    assert entry["key_id"] == key_id
    assert (entry["tenant"], entry["engagements"], entry["revoked_at"]) == ("acme", ["erp-*"], None)
    assert "sha256" not in json.dumps(entry)


def test_two_of_a_name_may_be_active_and_a_revoked_one_makes_room(run: Any) -> None:
    first, second = (json.loads(run(*CREATE, "--json").stdout) for _ in range(2))
    assert first["key"] != second["key"]
    third = run(*CREATE)
    assert third.exit_code == 1
    assert "revoke the older one first" in third.stderr
    assert run("revoke", f"mp_{first['key_id']}").exit_code == 0
    assert run(*CREATE).exit_code == 0
    assert "revoked" in run("list").stdout
    unknown = run("revoke", "nobody")
    assert (unknown.exit_code, "keys list" in unknown.stderr) == (1, True)


def test_an_approvers_key_names_the_person_and_the_roles(run: Any) -> None:
    made = run(
        "create", "ana", "--tenant", "acme", "--action", "approvals:decide", "--person", "ana", "--role", "client"
    )
    assert made.exit_code == 0, made.output
    assert "as ana (client)" in run("list").stdout
    for wrong in (["--person", "ana"], ["--role", "client"]):
        assert run("create", "x", "--tenant", "acme", "--action", "approvals:decide", *wrong).exit_code == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["create", "x", "--tenant", "acme", "--action", "event:*"], "events:*"),
        (["create", "x", "--tenant", "acme", "--action", "lines:raed"], "lines:read"),
        (["create", "x", "--tenant", "acme", "--action", "lines:read", "--engagement", "[a-z]"], "* and ?"),
        (["create", "x" * 200, "--tenant", "acme", "--action", "lines:read"], "1 to 100"),
        (["create", "a\nb", "--tenant", "acme", "--action", "lines:read"], "1 to 100"),
        (["create", "x", "--tenant", "a b", "--action", "lines:read"], "customer or supplier"),
        (["create", "x", "--action", "lines:read"], "--tenant"),
        (["create", "x", "--tenant", "acme"], "--action"),
        (["create", "x", "--tenant", "acme", "--action", "lines:read", "--days", "0"], "days"),
    ],
)
def test_what_would_never_work_is_refused(run: Any, wrong: list[str], said: str) -> None:
    refused = run(*wrong)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_a_database_that_cannot_be_used_is_told(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_DATABASE_URL", "sqlite:////nowhere/at/all.db")
    refused = run("list")
    assert refused.exit_code == 2
    assert "MILEPOST_DATABASE_URL" in refused.stderr
