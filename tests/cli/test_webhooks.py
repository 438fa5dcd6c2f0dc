"""The commands that make endpoints and trigger URLs: what they print once, what they never print, how they fail."""

import json
import re
import shlex
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from milepost.cli import app
from milepost.codec import standard_webhooks

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "gateway" / "fixtures"
CONFIG = """
tenant = "lakeside"
engagements = ["hosting*"]
adapter = "alertmanager"
proof = "standard-webhooks"
[options]
source = "monitoring"
timezone = "America/Chicago"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILEPOST_DATABASE_URL", f"sqlite:///{tmp_path}/milepost.db")
    monkeypatch.setenv("MILEPOST_LINK_SECRET", "s" * 32)
    monkeypatch.setenv("MILEPOST_PUBLIC_URL", "https://bill.example")
    (tmp_path / "endpoint.toml").write_text(CONFIG)
    return tmp_path


def run(*words: object, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return result


def test_the_life_of_an_endpoint(folder: Path) -> None:
    config = folder / "endpoint.toml"
    created = run("webhooks", "create", "monitor", "--config", config)
    first = created.stdout.strip()
    assert standard_webhooks.read_key(first)
    assert "https://bill.example/v1/webhooks/monitor" in created.stderr
    second = run("webhooks", "rotate", "monitor", "--overlap-hours", 48).stdout.strip()
    listed = run("webhooks", "list")
    (shown,) = json.loads(run("webhooks", "list", "--json").stdout)
    assert (shown["endpoint_id"], shown["topics"], len(shown["secrets"])) == ("monitor", ["kpi-events"], 2)
    assert [secret["expires_at"] is None for secret in shown["secrets"]] == [False, True]
    for secret in (first, second):
        for text in (listed.output, json.dumps(shown)):
            assert secret not in text
            assert secret.removeprefix("whsec_")[:12] not in text
    config.write_text(CONFIG.replace("hosting*", "*"))
    run("webhooks", "change", "monitor", "--config", config)
    assert json.loads(run("webhooks", "list", "--json").stdout)[0]["engagements"] == ["*"]
    assert run("webhooks", "reseal").stdout == "0 secrets encrypted anew.\n"
    run("webhooks", "revoke", "monitor")
    assert "revoked" in run("webhooks", "list").stdout


def test_what_cannot_be_done_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = folder / "endpoint.toml"
    for command in (["rotate"], ["revoke"], ["change", "--config", config]):
        assert "there is no endpoint 'nobody'" in run("webhooks", command[0], "nobody", *command[1:], status=1).stderr
    run("webhooks", "create", "monitor", "--config", config)
    assert "there is an endpoint 'monitor'" in run("webhooks", "create", "monitor", "--config", config, status=1).stderr
    assert "is no id" in run("webhooks", "create", "Monitor!", "--config", config, status=2).stderr
    config.write_text(CONFIG.replace("standard-webhooks", "github"))
    assert "make another endpoint" in run("webhooks", "change", "monitor", "--config", config, status=1).stderr
    config.write_text(CONFIG.replace("standard-webhooks", "stripe"))
    assert "comes from the sender" in run("webhooks", "create", "s", "--config", config, status=2).output
    secret = folder / "secret"
    secret.write_text("short")
    refused = run("webhooks", "create", "s", "--config", config, "--secret-file", secret, status=2)
    assert "is no secret" in refused.stderr
    secret.write_text("whsec_of_the_senders_own\n")
    assert run("webhooks", "create", "s", "--config", config, "--secret-file", secret).stdout == ""
    monkeypatch.setenv("MILEPOST_LINK_SECRET", "")
    assert "MILEPOST_LINK_SECRET is not set" in run("webhooks", "rotate", "monitor", status=2).stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("tenant", "tenants"), "tenant: Field required"),
        (('"alertmanager"', '"nagios"'), "adapter: 'nagios' is none; expected one of alertmanager,"),
        (('"standard-webhooks"', '"trust"'), "proof: 'trust' is none"),
        (("[options]", 'topics = ["approvals"]\n[options]'), "makes no events for approvals; only kpi-events"),
        (("America/Chicago", "Chicago"), "options.timezone: 'Chicago' is no time zone"),
        (('source = "monitoring"', ""), "options.source: Field required"),
        (('"alertmanager"', '"cloudevents"'), "topics: say which"),
        (("[options]", "[options"), "is no TOML"),
    ],
)
def test_a_file_that_makes_no_endpoint_says_every_fault(folder: Path, change: tuple[str, str], message: str) -> None:
    config = folder / "endpoint.toml"
    config.write_text(CONFIG.replace(*change))
    refused = run("webhooks", "create", "monitor", "--config", config, status=2)
    assert message in refused.stderr
    assert refused.stderr.startswith(f"{config}: ")


def test_a_preview_needs_no_database(folder: Path) -> None:
    payload = FIXTURES / "alertmanager/month-resolved.json"
    assert "before the period is over" in run("webhooks", "preview", folder / "endpoint.toml", payload).stderr
    (folder / "endpoint.toml").write_text(CONFIG.replace("America/Chicago", "UTC"))
    shown = run("webhooks", "preview", folder / "endpoint.toml", payload)
    assert json.loads(shown.stdout)["value"]["value"] == "99.912345"
    assert not (folder / "milepost.db").exists()
    wrong = folder / "wrong.json"
    wrong.write_text(payload.read_text().replace("99.912345", "good"))
    assert (
        'value: "good" is not a decimal' in run("webhooks", "preview", folder / "endpoint.toml", wrong, status=1).stderr
    )
    firing = folder / "firing.json"
    firing.write_text(payload.read_text().replace("resolved", "firing"))
    assert "passed over" in run("webhooks", "preview", folder / "endpoint.toml", firing).stderr
    assert "cannot be read" in run("webhooks", "preview", folder / "endpoint.toml", folder / "none", status=2).stderr


def test_a_file_is_signed_for_a_try(folder: Path) -> None:
    secret, payload = folder / "secret", folder / "payload.json"
    secret.write_text(standard_webhooks.secret_text(b"s" * 32) + "\n")
    payload.write_bytes(b'{"a": 1}')
    printed = run("webhooks", "sign", payload, "--secret-file", secret, "--id", "msg_1").stdout
    headers = [tuple(line.split(": ", 1)) for line in printed.splitlines()]
    key = standard_webhooks.read_key(secret.read_text().strip())
    found = standard_webhooks.verify([key], headers, b'{"a": 1}', int(time.time()))  # type: ignore[arg-type]
    assert found.message_id == "msg_1"
    assert run("webhooks", "sign", payload, "--secret-file", secret).stdout != printed
    assert "whsec" not in run("webhooks", "sign", payload, "--secret-file", secret, "--id", "a.b", status=2).output
    secret.write_text("no key")
    assert "is no key" in run("webhooks", "sign", payload, "--secret-file", secret, status=2).stderr


def test_the_pages_commands_work_in_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/WEBHOOKS.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert len(lines) == 9
    for program, *words in lines:
        assert program == ".venv/bin/milepost"
        assert run(*words).stdout
    assert json.loads(run("webhooks", "list", "--json").stdout)[0]["revoked_at"] is not None


def test_the_pages_endpoint_is_one(folder: Path) -> None:
    [text] = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs/WEBHOOKS.md").read_text(), re.MULTILINE | re.DOTALL)
    (folder / "endpoint.toml").write_text(text)
    run("webhooks", "create", "monitor", "--config", folder / "endpoint.toml")


def test_the_life_of_a_trigger_url(folder: Path) -> None:
    created = run("trigger-urls", "create", "erp-rollout", "build/2026-10", "--completion", "60", "--days", 2)
    found = re.fullmatch(r"https://bill\.example/t/([A-Za-z0-9_-]{64})\n", created.stdout)
    assert found is not None
    assert found[1] not in run("trigger-urls", "list").stdout
    (shown,) = json.loads(run("trigger-urls", "list", "--json").stdout)
    assert (shown["milestone_id"], shown["occurrence_id"], shown["completion"]) == ("build", "2026-10", "60")
    assert shown.keys().isdisjoint({"nonce", "key_id"})
    run("trigger-urls", "revoke", shown["trigger_id"])
    assert "to revoke" in run("trigger-urls", "revoke", shown["trigger_id"], status=1).stderr
    assert "completion" in run("trigger-urls", "create", "erp-rollout", "build", "--completion", "101", status=2).output
