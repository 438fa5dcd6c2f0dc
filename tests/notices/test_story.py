"""The consulting example, from its events to the e-mails that people get."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from milepost.cli import app
from milepost.codec.json_forms import output_from_json
from milepost.core.outputs import ApprovalRequest, Output
from milepost.sql.engine import Engine
from tests.notices.mailing import Mailbox, mailbox, text_of
from tests.notices.world import World, settings_with

EXAMPLE = Path(__file__).parents[2] / "examples" / "consulting"


@pytest.fixture(scope="module")
def outputs() -> list[Output]:
    """What the join raises, of the topics that notices read, in order."""
    result = CliRunner().invoke(app, ["simulate", str(EXAMPLE / "contract.yaml"), str(EXAMPLE / "events.jsonl")])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    found = [
        output_from_json(line["topic"], line["value"])
        for line in lines
        if line["topic"] in ("approval-requests", "retention-events")
    ]
    assert len(found) > 20
    return found


@pytest.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mailbox() as made_box:
        yield made_box


def world_of(engine: Engine, box: Mailbox) -> World:
    settings = settings_with(smtp_host="127.0.0.1", smtp_port=box.port, notices_retention_to="cfo@us.test")
    world = World(engine, settings)
    world.keep(ana="ana@client.test", maria="maria@us.test")
    return world


async def test_everybody_hears_of_what_happens_as_it_happens(
    local: Engine, box: Mailbox, outputs: list[Output]
) -> None:
    world = world_of(local, box)
    for output in outputs:
        world.owe(output)
        await world.deliver()
    requests = [output for output in outputs if isinstance(output, ApprovalRequest)]
    told = Counter({"cfo@us.test": len(outputs) - len(requests)})
    told.update(
        {"ana": "ana@client.test", "maria": "maria@us.test"}[person] for each in requests for person in each.people
    )
    assert Counter(envelope.rcpt_tos[0] for envelope in box.envelopes) == told
    asked = [message for message in box.received if "sign: " in message["Subject"]]
    assert len(asked) == sum(each.kind == "REQUESTED" for each in requests)
    assert all("https://sign.milepost.test/approve/" in text_of(message) for message in asked)


async def test_after_an_absence_people_are_asked_only_for_what_is_still_to_be_signed(
    local: Engine, box: Mailbox, outputs: list[Output]
) -> None:
    world = world_of(local, box)
    world.owe(*outputs)
    await world.deliver()
    asked = [message for message in box.received if "sign: " in message["Subject"]]
    assert [(message["To"], message["Subject"]) for message in asked] == [
        ("ana@client.test", "Please sign: training of erp-rollout, 7,500.00 EUR")
    ]
    (about_money,) = box.to("cfo@us.test")
    assert (
        about_money["Subject"]
        == f"{sum(not isinstance(each, ApprovalRequest) for each in outputs)} changes of retention"
    )
    assert {row.state for row in world.rows()} == {"SENT", "WITHDRAWN"}
