"""`milepost notices`: the delivery log, endpoints and people from the command line."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from milepost.cli import app
from milepost.sql.engine import connect
from milepost.sql.migrations import migrate
from milepost.sql.notices import Ending, claim, end, owe
from tests.notices.test_rows import NOW, owed

MASTER = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'notices.db'}"
    monkeypatch.setenv("MILEPOST_DATABASE_URL", url)
    monkeypatch.setenv("MILEPOST_ENDPOINT_SECRET", MASTER)
    return url


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["notices", *words])


def answer(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def log(database: str) -> str:
    """Three deliveries: one owed, one sent, one failed."""
    engine = connect(database)
    migrate(engine)
    owe(engine, [owed(1), owed(2, engagement_id="other"), owed(3, channel="webhook", recipient="ep_1")])
    first, second, _ = claim(engine, "test", NOW, NOW + 1, 10, 10, (), ("email", "webhook"))
    end(engine, first, Ending("SENT", "250 OK"), NOW + 5)
    end(engine, second, Ending("FAILED", "550 no such user"), NOW + 5)
    engine.dispose()
    return database


def test_the_log_is_listed_and_shown(log: str) -> None:
    assert {(one["delivery_id"], one["state"]) for one in answer("list")} == {
        ("d-000001", "SENT"),
        ("d-000002", "FAILED"),
        ("d-000003", "OWED"),
    }
    assert [one["delivery_id"] for one in answer("list", "--engagement", "other")] == ["d-000002"]
    assert [
        one["delivery_id"] for one in answer("list", "--state", "SENT", "--state", "OWED", "--channel", "email")
    ] == ["d-000001"]
    shown = answer("show", "d-000002")
    assert (shown["reason"], shown["payload"], shown["owed_at"]) == (
        "550 no such user",
        {"n": 2},
        "1970-01-01T00:00:01.000000Z",
    )
    assert [(one["attempt"], one["outcome"], one["answer"]) for one in shown["tries"]] == [
        (1, "FAILED", "550 no such user")
    ]
    text = run("show", "d-000003").stdout
    assert "cut off: whether it arrived is unknown" in text
    assert "d-000002  1970-01-01T00:00:01Z  FAILED" in run("list").stdout


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (("d-000001", "d-000003"), {"d-000001"}),
        (("--since", "1970-01-01T00:00:00Z"), {"d-000002"}),
        (("--recipient", "person-1", "--state", "SENT"), {"d-000001"}),
        (("--until", "1970-01-01T00:00:02Z", "--engagement", "other"), {"d-000002"}),
    ],
)
def test_a_replay_takes_ids_or_a_range(log: str, words: tuple[str, ...], again: set[str]) -> None:
    result = run("replay", *words)
    assert (result.exit_code, result.stdout.split()[0]) == (0, "1"), result.output
    assert {one["delivery_id"] for one in answer("list", "--state", "OWED")} == {"d-000003", *again}


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("replay",), 2, "name deliveries, or select some"),
        (("replay", "nothing"), 1, "nothing that has ended was selected"),
        (("replay", "--since", "yesterday"), 2, "--since yesterday: expected an ISO 8601 instant"),
        (("list", "--state", "LOST"), 2, "--state LOST: there are OWED, BUNDLED, SENT"),
        (("list", "--channel", "fax"), 2, "--channel fax"),
        (("show", "nothing"), 1, "there is no delivery 'nothing'"),
        (("prune", "--days", "7"), 2, "MILEPOST_NOTICES_MAX_AGE_MS is 604800000"),
    ],
)
def test_what_is_asked_wrongly_says_so(log: str, words: tuple[str, ...], status: int, told: str) -> None:
    result = run(*words)
    assert result.exit_code == status
    assert told in " ".join(result.output.replace("│", " ").split())


def test_old_deliveries_are_pruned(log: str) -> None:
    assert run("prune", "--days", "8").stdout == "2 forgotten.\n"
    assert [one["delivery_id"] for one in answer("list")] == ["d-000003"]


def test_an_endpoints_secret_is_shown_once(database: str) -> None:
    added = answer("endpoints", "add", "https://hooks.example.org/in?token=geheim", "--type", "retention.*")
    assert len(base64.b64decode(added["secret"].removeprefix("whsec_"))) == 32
    (listed,) = answer("endpoints", "list")
    assert (listed["endpoint_id"], listed["types"], listed["engagements"]) == (
        added["endpoint_id"],
        ["retention.*"],
        ["*"],
    )
    text = run("endpoints", "list").stdout + json.dumps(listed)
    assert added["secret"] not in text
    assert "geheim" not in text
    assert "https://hooks.example.org/in?********" in text


def test_a_rotation_keeps_the_old_secret_for_a_while(database: str) -> None:
    added = answer("endpoints", "add", "https://hooks.example.org/")
    rotated = answer("endpoints", "rotate", added["endpoint_id"], "--ed25519")
    assert rotated["secret"].startswith("whpk_")
    assert answer("endpoints", "list")[0]["signatures"] == ["v1a", "v1"]
    again = answer("endpoints", "rotate", added["endpoint_id"], "--keep-hours", "0")
    assert again["secret"] != added["secret"]
    assert answer("endpoints", "list")[0]["signatures"] == ["v1"]


def test_an_endpoint_is_disabled_enabled_and_removed(database: str) -> None:
    endpoint_id = answer("endpoints", "add", "https://hooks.example.org/")["endpoint_id"]
    assert run("endpoints", "disable", endpoint_id, "--why", "moves on Friday").exit_code == 0
    assert "moves on Friday" in run("endpoints", "list").stdout
    assert run("endpoints", "enable", endpoint_id).exit_code == 0
    assert answer("endpoints", "list")[0]["disabled_at"] is None
    assert run("endpoints", "remove", endpoint_id).exit_code == 0
    assert answer("endpoints", "list") == []
    for command in ("enable", "disable", "remove", "rotate"):
        result = run("endpoints", command, endpoint_id)
        assert (result.exit_code, "there is no endpoint" in result.output) == (1, True)


@pytest.mark.parametrize(
    "url", ["http://hooks.example.org/", "https://10.0.0.1/", "https://localhost/", "ftp://x.org/", "nonsense"]
)
def test_s23_an_endpoint_inside_cannot_be_added(database: str, url: str) -> None:
    result = run("endpoints", "add", url)
    assert result.exit_code == 1, result.output
    assert run("endpoints", "list", "--json").exit_code == 2  # no database was made for it


def test_no_endpoint_without_a_secret_to_derive_from(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILEPOST_ENDPOINT_SECRET")
    result = run("endpoints", "add", "https://hooks.example.org/")
    assert (result.exit_code, "MILEPOST_ENDPOINT_SECRET is not set" in result.output) == (1, True)


def test_people_come_from_the_command_line_and_from_a_file(database: str, tmp_path: Path) -> None:
    assert run("people", "add", "ana", "ana@client.test", "--name", "Ana A.").exit_code == 0
    file = tmp_path / "people.csv"
    file.write_text('﻿person,address,name\r\nana,ana@new.test,"Ana ""A"" Ä."\r\nbob,bob@client.test,\r\n\r\n', "utf-8")
    assert run("people", "import", str(file)).stdout == "2 people are in the directory.\n"
    assert [(one["person"], one["address"], one["name"]) for one in answer("people", "list")] == [
        ("ana", "ana@new.test", 'Ana "A" Ä.'),
        ("bob", "bob@client.test", None),
    ]
    assert run("people", "remove", "bob").exit_code == 0
    assert run("people", "remove", "bob").exit_code == 1
    assert run("people", "list").stdout == 'ana  ana@new.test  Ana "A" Ä.\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ana,ana@x.test\n", "line 1: found 'ana,ana@x.test'; the first line is person,address,name"),
        ("person,address\nana\n,x@y.z\n", "line 2: found 1 cells"),
        ("person,address\nana,x@y.z\nana,y@y.z\n", "line 3: 'ana' stands there twice"),
        ("person,address\nana,x@y.z\\r\\nBcc: all@x\n", "is no e-mail address"),
        ("", "line 1: found ''"),
    ],
)
def test_a_file_with_a_wrong_line_changes_nothing(database: str, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(text)
    result = run("people", "import", str(file))
    assert result.exit_code == 2
    assert told in result.output
    assert run("people", "import", str(tmp_path / "nowhere.csv")).exit_code == 2
    assert run("people", "add", "ana", "not an address").exit_code == 2
