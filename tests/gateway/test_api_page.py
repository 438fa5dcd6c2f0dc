"""docs/API.md is true: its commands work in their order, its tables are the code's, its limits the defaults."""

import asyncio
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from milepost.cli import app
from milepost.gateway.actions import ACTIONS
from milepost.gateway.idempotency import KEPT_HOURS
from milepost.gateway.paging import DEFAULT_ITEMS, MAX_ITEMS
from milepost.gateway.service import KEPT_DAYS
from milepost.kafka.async_publishing import MAX_RECORD_BYTES
from milepost.settings import Settings
from tests.gateway.running import ROOT
from tests.gateway.serving import body, sqlite
from tests.gateway.test_pipeline import harbour

PAGE = (ROOT / "docs" / "API.md").read_text(encoding="utf-8")
BASE = "http://127.0.0.1:8080"


def lines(program: str) -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    found = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in found if words[0].endswith(program)]


def curl(words: list[str], keys: dict[str, str]) -> dict[str, Any]:
    """A line of curl as a request: `-H`, `-d`, `--data-binary @FILE` and an address are all that the page uses."""
    request: dict[str, Any] = {"method": "GET", "headers": {}}
    rest = iter(words)
    for word in rest:
        if word == "-H":
            name, _, value = next(rest).partition(": ")
            request["headers"][name] = re.sub(r"\$([A-Z]+)", lambda found: keys[found[1]], value)
        elif word in ("-d", "--data-binary"):
            given = next(rest)
            data = (ROOT / given[1:]).read_bytes() if given.startswith("@") else given.encode()
            request |= {"method": "POST", "content": data}
        else:
            assert word.startswith(BASE), word
            request["path"] = word.removeprefix(BASE)
    return request


async def test_the_commands_of_the_page_work_in_their_order(
    embedded_broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_DATABASE_URL", sqlite(tmp_path))
    async with harbour(embedded_broker, tmp_path) as gate:
        made = {}
        for words in lines("milepost"):
            run = await asyncio.to_thread(CliRunner().invoke, app, words)
            assert run.exit_code == 0, run.output
            if words[1] == "create":
                made[words[2]] = run.stdout.strip()
        assert made.keys() == {"integration", "jira", "ana"}
        keys = {"KEY": made["integration"], "ANA": made["ana"]}
        said = []
        for words in lines("curl"):
            request = curl(words, keys)
            if "erp-rollout" in request["path"] and request["method"] == "GET":
                await gate.until(  # what was sent is in the ledger a moment later
                    "/v1/engagements/erp-rollout/milestones", keys["KEY"],
                    lambda found: len(found["items"]) >= (1 if len(said) > 2 else 0),
                )  # fmt: skip
                await gate.until("/v1/engagements/erp-rollout", keys["KEY"], lambda found: found["state"] == "OPEN")
            answer = await gate.ask(request.pop("method"), request.pop("path"), **request)
            assert answer.status_code in (200, 202), (words, answer.text)
            said.append(answer)
    assert [answer.status_code for answer in said] == [202, 200, 202, 200, 202, 200]
    told = " ".join(sentence for section in body(said[3])["sections"] for sentence in section["sentences"])
    assert "build" in told
    assert "uat_pass_rate" in told
    assert said[-1].text.startswith("line_id,engagement_id,")


def rows(first: str) -> list[list[str]]:
    """The rows of the table whose first column is named so."""
    table = PAGE.split(f"| {first} |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_page_names_every_action() -> None:
    named = {word for cells in rows("action") for word in re.findall(r"`([a-z:*A-Z-]+)`", cells[0])}
    patterns = {word.replace("TOPIC", "*") for word in named}
    plain = {word for word in named if not word.startswith("events:")}
    assert plain == {action for action in ACTIONS.values() if not action.startswith("events:")}
    assert "events:*" in patterns


def test_the_limits_of_the_page_are_the_defaults() -> None:
    settings = Settings()
    said = {cells[0]: cells[1] for cells in rows("limit")}
    assert f"{settings.gateway_max_body_bytes:,}" in said["body"]
    assert f"{settings.gateway_max_events:,}" in said["events in a request"]
    assert f"{MAX_RECORD_BYTES:,} bytes" in said["one event as a record"]
    assert f"{settings.gateway_body_timeout_ms // 1000} s" in said["head, and each 100 kB of body"]
    assert f"{settings.gateway_requests_per_s}, twice" in said["requests of a key, on each gateway"]
    assert f"{settings.gateway_max_requests:,}" in said["requests at a time"]
    assert f"{settings.gateway_ack_timeout_ms // 1000} s" in said["wait for the brokers"]
    assert f"for {KEPT_HOURS} hours" in PAGE
    assert f"for {KEPT_DAYS} days" in PAGE
    assert f"(1 to {MAX_ITEMS:,}; {DEFAULT_ITEMS})" in PAGE
