"""With a schema registry beside the files: its ids count, others are asked for, and while it is away records wait."""

import asyncio
import json
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner

from milepost.cli import app
from milepost.codec import records
from milepost.codec.registry import AwayError, Registry, installed, schemas_dir
from milepost.codec.wire import frame
from milepost.core.events import KpiEvent
from milepost.demo import play
from milepost.demo.pipeline import Pipeline
from milepost.kafka.publishing import Publisher
from milepost.outbound.schema_registry import SchemaRegistry, UnregisteredError, adopt
from milepost.settings import Settings
from milepost.sql.engine import connect
from milepost.sql.reading import LedgerReading
from tests.demo.conftest import settings_for
from tests.operations.test_dead_letters import opening, report
from tests.schemas.stub_registry import StubRegistry

__all__ = ["settings_for"]

NOON = 1_780_056_000_000_000
run = CliRunner()


@pytest.fixture
def stub() -> Iterator[StubRegistry]:
    with StubRegistry() as found:
        yield found


@pytest.fixture
def own_ids() -> Iterator[None]:
    """What a test adopts is forgotten after it."""
    yield
    installed.cache_clear()
    records._readers.clear()
    records._encoders.clear()


def chosen_for(stub: StubRegistry, **more: object) -> Settings:
    return Settings(
        schema_registry_url=f"http://{stub.address}",
        outbound_admitted_hosts=stub.address,
        **more,  # type: ignore[arg-type]
    )


def registry_of(stub: StubRegistry, **more: object) -> SchemaRegistry:
    return SchemaRegistry(chosen_for(stub, **more), Registry(schemas_dir()))


def test_registering_twice_changes_nothing_and_gives_every_version_an_id(stub: StubRegistry) -> None:
    registry = registry_of(stub)
    with pytest.raises(UnregisteredError, match=r"invoice-lines-value.*milepost schemas register"):
        asyncio.run(registry.load())
    first = asyncio.run(registry.register())
    assert asyncio.run(registry.register()) == first == asyncio.run(registry.load())
    assert len(first) == len(registry.registry.all())
    assert min(first.values()) > 1000
    assert "invoice-lines-value" in stub.subjects
    assert not [call for call in stub.calls if "config" in call]


def test_what_the_registry_refuses_is_said(stub: StubRegistry) -> None:
    with pytest.raises(UnregisteredError, match="incompatible with an earlier schema"):
        asyncio.run(registry_of(stub, topic_prefix="refused-").register())


@pytest.mark.parametrize("trouble", ["down", "500", "wrong-id", "no-json", "proxy-404", "huge"])
def test_trouble_is_never_an_answer(trouble: str, stub: StubRegistry) -> None:
    registry = registry_of(stub)
    asyncio.run(registry.register())
    stub.trouble = trouble
    with pytest.raises(AwayError):
        asyncio.run(registry.load())
    if trouble != "wrong-id":
        with pytest.raises(AwayError):
            asyncio.run(registry.ensure({4711}))
    assert not registry.registry.knows(4711)
    stub.trouble = None
    assert asyncio.run(registry.load())


def test_an_id_is_asked_for_once_and_an_absent_one_not_at_every_record(stub: StubRegistry) -> None:
    registry = registry_of(stub)
    number = stub.add("x", json.dumps({"type": "record", "name": "org.other.Thing", "fields": []}))
    asyncio.run(registry.ensure({number, 4711}))
    asyncio.run(registry.ensure({number, 4711}))
    assert sorted(stub.calls) == [f"GET /schemas/ids/{number}", "GET /schemas/ids/4711"]
    found = registry.registry.by_id(number)
    assert found is not None
    assert found.record == "Thing"
    assert not registry.registry.knows(4711)


@pytest.mark.usefixtures("own_ids")
def test_with_a_registry_its_ids_are_written(stub: StubRegistry) -> None:
    event = KpiEvent("k", "s", "e", "uptime", "99.9", NOON)
    before = records.encode_event(event)
    ids = asyncio.run(registry_of(stub).register())
    adopt(chosen_for(stub))
    after = records.encode_event(event)
    assert after[:5] == frame(ids["KpiEvent", 1])
    assert after[5:] == before[5:]
    assert records.read("kpi-events", after) == event
    with pytest.raises(records.Undecodable, match="no registry"):
        records.read("kpi-events", frame(4711) + after[5:])


@pytest.mark.usefixtures("own_ids")
def test_a_producers_newer_schema_is_read_and_while_the_registry_is_away_it_waits(
    stub: StubRegistry, embedded_broker: str, settings_for: Callable[[str], Settings]
) -> None:
    chosen = settings_for(embedded_broker).model_copy(
        update={"schema_registry_url": f"http://{stub.address}", "outbound_admitted_hosts": stub.address}
    )
    play.apply_topics(chosen)
    asyncio.run(SchemaRegistry(chosen, Registry(schemas_dir())).register())
    adopt(chosen)
    newer = json.loads(installed().current("MilestoneEvent").text)
    newer["fields"].append({"name": "mood", "type": ["null", "string"], "default": None, "doc": "How it felt."})
    number = stub.add("milestone-events-value", json.dumps(newer))
    value = frame(number) + records.encode_event(report(1))[5:] + b"\x00"

    async def play_it() -> None:
        async with Pipeline(chosen) as pipeline:
            publisher = Publisher(chosen)
            publisher.send("engagements", opening())
            [place] = publisher.flush()
            stub.trouble = "500"
            publisher._producer.produce(
                chosen.topic("milestone-events"),
                value,
                key=b"e",
                partition=place.partition,
                on_delivery=lambda *_: None,
            )
            publisher._producer.flush(10)
            await asyncio.sleep(1.5)
            partition = pipeline.join.partitions[place.partition]
            assert partition.positions["milestone-events"] == 0
            assert "holding records back: the schema registry at" in str(pipeline.join.waits_for())
            stub.trouble = None
            await pipeline.folded([place._replace(topic="milestone-events", offset=0)])
            assert await pipeline.stored(lambda: True)
            assert pipeline.join.waits_for() is None

    asyncio.run(play_it())
    engine = connect(chosen.database_url.get_secret_value())
    reading = LedgerReading(engine)
    assert [line.gross_minor for line in reading.lines()] == [1000]
    assert reading.dead_letters() == []
    assert list(reading.contracts("e")) == [1]
    engine.dispose()


def test_the_commands(stub: StubRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    offline = run.invoke(app, ["schemas", "check"])
    assert (offline.exit_code, "14 schemas, 0 faults" in offline.stdout) == (0, True)
    unset = run.invoke(app, ["schemas", "register"])
    assert (unset.exit_code, "MILEPOST_SCHEMA_REGISTRY_URL" in unset.stderr) == (2, True)
    monkeypatch.setenv("MILEPOST_SCHEMA_REGISTRY_URL", f"http://{stub.address}")
    closed = run.invoke(app, ["schemas", "check"])
    assert closed.exit_code == 2  # nobody let it call this machine
    monkeypatch.setenv("MILEPOST_OUTBOUND_ADMITTED_HOSTS", stub.address)
    unregistered = run.invoke(app, ["schemas", "check"])
    assert (unregistered.exit_code, "milepost schemas register" in unregistered.stdout) == (1, True)
    registered = run.invoke(app, ["schemas", "register", "--json"])
    assert registered.exit_code == 0
    assert len(json.loads(registered.stdout)) == 14
    checked = run.invoke(app, ["schemas", "check"])
    assert (checked.exit_code, "14 registered" in checked.stdout) == (0, True)
