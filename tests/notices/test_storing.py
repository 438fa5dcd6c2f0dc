"""What is news and what is not: a first start reads topics from their beginning."""

import pytest

from milepost.codec.wire import Record
from milepost.core.outputs import Output
from milepost.ledger.rows import rows_of
from milepost.sql.engine import Engine
from milepost.sql.writing import store
from tests.ledger import made
from tests.notices.world import World, settings_with

DAY_S = 86_400


@pytest.fixture
def world(local: Engine) -> World:
    return World(local, settings_with(smtp_host="127.0.0.1", notices_dead_letters_to="ops@x.test"))


def kinds(world: World) -> set[str]:
    return {row.kind for row in world.rows()}


def old(world: World, *outputs: Output | Record) -> list[Record]:
    """Records of eight days ago."""
    world.pass_time(-8 * DAY_S)
    records = world.records(*outputs)
    world.pass_time(8 * DAY_S)
    return records


def test_what_is_old_is_told_to_nobody(world: World) -> None:
    line = made.line()
    assert world.storing.store(old(world, made.request(kind="GRANTED"))) == 0
    assert world.storing.store(old(world, made.dead_letter(0))) == 0
    assert world.storing.store(old(world, made.retention(line))) == 0
    assert world.owe(made.dead_letter(1)) == 1
    assert kinds(world) == {"UNDECODABLE"}


def test_who_is_still_to_sign_is_told_however_old_the_request_is(world: World) -> None:
    assert world.storing.store(old(world, made.request())) == 2
    settled = made.request("other"), made.request("other", kind="GRANTED", request_id="r2")
    requests = old(world, *settled)
    rows = rows_of(requests)
    store(world.engine, rows.added, rows.statuses, [])
    assert world.storing.store(requests) == 0
    assert {row.engagement_id for row in world.rows()} == {"erp-rollout"}


def test_one_batch_may_ask_and_take_back(world: World) -> None:
    """Whoever was asked in this batch already counts as asked."""
    taken_back = made.request(kind="SUPERSEDED", people=(), request_id="r2")
    assert world.owe(made.request(people=("ann",)), taken_back) == 2
    assert {(row.recipient, row.kind) for row in world.rows()} == {("ann", "REQUESTED"), ("ann", "SUPERSEDED")}
