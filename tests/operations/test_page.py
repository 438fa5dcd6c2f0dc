"""docs/OPERATIONS.md, typed from top to bottom on what the join and the ledger left: each command does what it says."""

import asyncio
import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from milepost.cli import app
from milepost.codec.wire import Outgoing
from milepost.demo import play
from milepost.demo.examples import examples_dir, read_examples
from milepost.demo.pipeline import Pipeline
from milepost.kafka.publishing import Publisher
from milepost.settings import Settings
from tests.schemas.stub_registry import StubRegistry

PAGE = Path(__file__).parents[2] / "docs/OPERATIONS.md"
EXAMPLE = next(one for one in read_examples(examples_dir()) if one.opening.engagement_id == "erp-rollout")
# What has something to say on this day: topics of a broker that has its own settings, evidence that nobody uploaded.
FINDS = {"topics plan", "topics apply", "audit export"}


def commands() -> list[list[str]]:
    found = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line) for block in found for line in block.splitlines()]
    assert all(words[0] == ".venv/bin/milepost" for words in lines)
    return [words[1:] for words in lines]


def run(words: list[str]) -> Result:
    return CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.slow
def test_every_command_of_the_page_does_what_it_says(
    chosen: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILEPOST_EVIDENCE_DIR", str(tmp_path / "evidence"))

    async def play_it() -> None:
        publisher = Publisher(chosen)
        publisher.resend(Outgoing("milestone-events", b"erp-rollout", b"no avro", []), 0)
        publisher.flush()
        async with Pipeline(chosen) as pipeline:
            await play.play(chosen, pipeline, [EXAMPLE], lambda count: None)
            assert await pipeline.stored(lambda: True)

    asyncio.run(play_it())
    [letter] = [json.loads(line) for line in run(["dead-letters", "list", "--json"]).stdout.splitlines()]
    known = {"ID": letter["id"]}
    looked = 0
    with StubRegistry() as registry:
        for words in commands():
            with monkeypatch.context() as patch:
                if words[0] == "schemas":
                    patch.setenv("MILEPOST_SCHEMA_REGISTRY_URL", f"http://{registry.address}")
                    patch.setenv("MILEPOST_OUTBOUND_ADMITTED_HOSTS", registry.address)
                    if words[1] == "check":
                        run(["schemas", "register"])
                done = run([known.get(word, word) for word in words])
            allowed = {0, 1} if " ".join(words[:2]) in FINDS else {0}
            assert done.exit_code in allowed, (words, done.output)
            if words[:2] == ["audit", "new-key"]:
                known["PUBLIC_KEY"] = done.stdout.strip()
            looked += 1
    assert looked > 15
    assert (tmp_path / "erp-rollout.zip").is_file()
    assert run(["dead-letters", "list", "--json"]).stdout == ""
