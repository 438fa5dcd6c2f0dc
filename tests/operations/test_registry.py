"""The operator's commands beside a schema registry: they understand what the processes understood, alone."""

import asyncio
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from milepost.cli import app
from milepost.codec import records
from milepost.codec.registry import Registry, installed, schemas_dir
from milepost.codec.wire import Outgoing, frame
from milepost.demo.pipeline import Pipeline
from milepost.join.dead_letters import dead_letter
from milepost.join.partition import TXSEQ_HEADER
from milepost.kafka.publishing import Place as Stored
from milepost.kafka.publishing import Publisher
from milepost.kafka.scanning import Place, Scan
from milepost.outbound.schema_registry import SchemaRegistry, adopt
from milepost.settings import Settings
from milepost.sql.engine import connect
from milepost.sql.reading import LedgerReading
from tests.operations.test_dead_letters import opening, report
from tests.schemas.stub_registry import StubRegistry

Raw = tuple[int, bytes]  # the schema's id, and a body of a milestone event


def forget() -> None:
    """A process of its own knows what is in its files, and nothing that another one learnt."""
    installed.cache_clear()
    records._readers.clear()
    records._encoders.clear()


@pytest.fixture
def stub() -> Iterator[StubRegistry]:
    with StubRegistry() as found:
        yield found
    forget()


@pytest.fixture
def registered(chosen: Settings, stub: StubRegistry, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a registry that has our schemas, which the command line finds in the environment too."""
    named = {"schema_registry_url": f"http://{stub.address}", "outbound_admitted_hosts": stub.address}
    for name, value in named.items():
        monkeypatch.setenv(f"MILEPOST_{name.upper()}", value)
    monkeypatch.setenv("MILEPOST_SANDBOX", "1")
    found = chosen.model_copy(update=named)
    asyncio.run(SchemaRegistry(found, Registry(schemas_dir())).register())
    return found


def newer(field: str) -> str:
    """The schema of a milestone event by a producer who added a field."""
    found = json.loads(Registry(schemas_dir()).current("MilestoneEvent").text)
    found["fields"].append({"name": field, "type": ["null", "string"], "default": None, "doc": "A producer's own."})
    return json.dumps(found)


def body(number: int) -> bytes:
    """A report under a producer's newer schema, without its prefix."""
    return records.encode_event(report(number))[5:] + b"\x00"


def played(chosen: Settings, *raw: Raw) -> None:
    """An opening, a report and raw records of milestone-events, and what the processes make of them."""
    forget()
    adopt(chosen)
    publisher = Publisher(chosen)
    publisher.send("engagements", opening())
    publisher.send("milestone-events", report(1))
    places = publisher.flush()
    for number, content in raw:
        publisher.resend(Outgoing("milestone-events", b"e", frame(number) + content, []), places[0].partition)
    processed(chosen, [place for place in [*places, *publisher.flush()] if place.offset >= 0])


def processed(chosen: Settings, places: Sequence[Stored] = (), holds: Callable[[], bool] = lambda: True) -> None:
    """Join and ledger with the registry, until these records are folded and the ledger is as wanted; then forgotten."""
    forget()
    adopt(chosen)

    async def run() -> None:
        async with Pipeline(chosen) as pipeline:
            await pipeline.folded(places)
            assert await pipeline.stored(holds)

    asyncio.run(run())
    forget()


def milepost(*arguments: str) -> Result:
    forget()
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def found_by(*arguments: str) -> dict[str, Any]:
    result = milepost(*arguments, "--json")
    assert result.exit_code == 0, (result.stdout, result.stderr)
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    return value


def reports(stub: StubRegistry) -> tuple[Raw, Raw]:
    """One of a schema that the registry has, and one of a schema that it will have as the next."""
    known = stub.add("milestone-events-value", newer("mood"))
    return (known, body(2)), (known + 1, body(3))


def billed(chosen: Settings) -> list[int]:
    engine = connect(chosen.database_url.get_secret_value())
    found = [line.gross_minor for line in LedgerReading(engine).lines()]
    engine.dispose()
    return found


def test_everything_folds_again_to_the_same_bytes(registered: Settings, stub: StubRegistry) -> None:
    known, _ = reports(stub)
    played(registered, known)
    assert billed(registered) == [1000, 1000]
    compared = found_by("reconcile")
    assert compared["differences"] == []
    assert compared["records"]["invoice-lines"] == 2
    rebuilt = found_by("reconcile", "--rebuild")
    assert rebuilt["differences"] == []
    assert rebuilt["events"] == 3


def test_a_dead_letter_is_sent_again_once_its_schema_is_registered(registered: Settings, stub: StubRegistry) -> None:
    known, unknown = reports(stub)
    played(registered, known, unknown)
    result = milepost("dead-letters", "replay", "--reason", "UNKNOWN_SCHEMA")
    assert (result.exit_code, "it would be a dead letter again: UNKNOWN_SCHEMA" in result.stdout) == (1, True)
    [letter] = [json.loads(line) for line in milepost("dead-letters", "list", "--json").stdout.splitlines()]
    assert stub.add("milestone-events-value", newer("weather")) == unknown[0]
    assert found_by("dead-letters", "show", letter["id"])["event"]["event_id"] == "r3"
    sent = found_by("dead-letters", "replay", "--reason", "UNKNOWN_SCHEMA")
    assert (sent["dead"], sent["sent"], len(sent["lines"])) == (None, True, 1)
    again = milepost("tail", "dead-letters", "--from-beginning", "--until-idle", "0.5")
    assert json.loads(again.stdout)["value"]["event"]["event_id"] == "r3"


def test_dead_letters_of_what_was_not_known_then_are_dead_letters_again(
    registered: Settings, stub: StubRegistry
) -> None:
    known, unknown = reports(stub)
    played(registered, known, unknown)
    assert found_by("reconcile", "--rebuild")["differences"] == []
    assert stub.add("milestone-events-value", newer("weather")) == unknown[0]
    rebuilt = found_by("reconcile", "--rebuild")
    assert (rebuilt["differences"], rebuilt["events"]) == ([], 4)
    assert milepost("dead-letters", "replay", "--reason", "UNKNOWN_SCHEMA").exit_code == 0
    processed(registered, holds=lambda: billed(registered) == [1000, 1000, 1000])
    rebuilt = found_by("reconcile", "--rebuild")
    assert (rebuilt["differences"], rebuilt["events"]) == ([], 5)


def test_no_dead_letter_excuses_what_was_billed(registered: Settings, stub: StubRegistry) -> None:
    known, _ = reports(stub)
    played(registered, known)
    places = [Place(topic, number) for topic in ("milestone-events", "invoice-lines") for number in range(4)]
    with Scan(registered, places) as scan:
        *_, event, _, line = [record for place in places for record in scan.all(place)]
    assert (event.topic, event.offset, line.topic) == ("milestone-events", 1, "invoice-lines")
    letter = dead_letter(event, "UNKNOWN_SCHEMA", "nobody knew it")
    transaction = [(name, value) for name, value in line.headers if name == TXSEQ_HEADER]
    publisher = Publisher(registered)
    publisher.resend(letter._replace(headers=[*letter.headers, *transaction]), event.partition)
    publisher.flush()
    result = milepost("reconcile", "--rebuild", "--json")
    assert result.exit_code == 1
    differences = [(one["kind"], one["topic"]) for one in json.loads(result.stdout)["differences"]]
    assert ("strange", "invoice-lines") in differences
    assert ("strange", "dead-letters") not in differences  # it was believed, and what it cannot explain is found


def test_what_is_looked_at_is_read(registered: Settings, stub: StubRegistry, tmp_path: Path) -> None:
    known, _ = reports(stub)
    played(registered, known)
    shown = milepost("tail", "milestone-events", "--from-beginning", "--until-idle", "0.5").stdout
    assert [json.loads(line)["value"].get("event_id") for line in shown.splitlines()] == ["r1", "r2"]
    out = tmp_path / "e.zip"
    assert found_by("audit", "export", "e", "--out", str(out))["missing"] == []
    with zipfile.ZipFile(out) as archive:
        events = [json.loads(line) for line in archive.read("events.jsonl").splitlines()]
    assert [event["value"].get("event_id") for event in events] == ["open", "r1", "r2"]


def test_what_is_sent_is_sent_under_the_registrys_ids(registered: Settings, stub: StubRegistry, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps({"topic": "milestone-events", "value": records.event_to_json(report(1))}))
    assert found_by("publish", str(file))["published"] == {"milestone-events": 1}
    assert found_by("clock", "advance", "P1D", "--step", "P1D")["ticks"] >= 1
    assert found_by("clock", "show")["last_tick"] is not None
    places = [Place(topic, number) for topic in ("milestone-events", "clock-ticks") for number in range(4)]
    with Scan(registered, places) as scan:
        ids = {int.from_bytes((record.value or b"")[1:5], "big") for place in places for record in scan.all(place)}
    assert ids == {*stub.subjects[registered.topic("milestone-events") + "-value"]} | {
        *stub.subjects[registered.topic("clock-ticks") + "-value"]
    }


COMMANDS = [
    ["publish", "events.jsonl"],
    ["tail", "milestone-events", "--until-idle", "0.1"],
    ["reconcile"],
    ["reconcile", "--rebuild"],
    ["dead-letters", "show", "x"],
    ["dead-letters", "replay", "x"],
    ["audit", "export", "e", "--out", "e.zip"],
    ["clock", "show"],
    ["clock", "advance", "P1D"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_registry_that_is_away_or_empty_is_named(
    command: list[str], registered: Settings, stub: StubRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    value = {"topic": "milestone-events", "value": records.event_to_json(report(1))}
    Path("events.jsonl").write_text(json.dumps(value))
    stub.trouble = "500"
    result = milepost(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"the schema registry at {registered.schema_registry_url}" in result.stderr
    assert "the store is away" in result.stderr
    stub.trouble = None
    stub.subjects.clear()
    result = milepost(*command)
    assert (result.exit_code, "milepost schemas register" in result.stderr) == (2, True)


def test_a_registry_that_goes_away_meanwhile_is_named(
    registered: Settings, stub: StubRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that nobody here knows is not taken for one that does not exist."""
    known, unknown = reports(stub)
    played(registered, known, unknown)
    [letter] = [json.loads(line) for line in milepost("dead-letters", "list", "--json").stdout.splitlines()]
    answer = stub.answer

    def away(method: str, path: str, value: Any) -> tuple[int, Any]:
        return (500, {"message": "gone for lunch"}) if method == "GET" else answer(method, path, value)

    monkeypatch.setattr(stub, "answer", away)
    for command in (
        ["reconcile", "--rebuild"],
        ["tail", "milestone-events", "--from-beginning", "--until-idle", "2"],
        ["dead-letters", "show", letter["id"]],
        ["dead-letters", "replay", letter["id"]],
        ["audit", "export", "e", "--out", "e.zip"],
    ):
        result = milepost(*command)
        assert (result.exit_code, "gone for lunch" in result.stderr) == (2, True), (command, result.stderr)
