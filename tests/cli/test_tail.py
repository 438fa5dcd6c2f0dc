"""`milepost tail`: the committed records of a topic, in the form that `simulate` prints."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner, Result

from milepost import settings
from milepost.cli import app
from milepost.codec.event_files import read_lines
from milepost.codec.records import encode_event
from milepost.codec.topics import TOPICS
from milepost.demo import play
from milepost.demo.examples import alone, examples_dir, read_examples
from milepost.demo.pipeline import Pipeline
from milepost.kafka.admin import Topics
from milepost.kafka.publishing import Place
from milepost.settings import Settings

MILEPOST = Path(sys.executable).parent / "milepost"
VALUE = {
    "event_id": "r1",
    "source": "t",
    "engagement_id": "e1",
    "milestone_id": "m1",
    "kind": "REPORTED",
    "occurred_at": "2026-02-01T12:00:00Z",
}


@pytest.fixture
def broker(embedded_broker: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An embedded broker with all topics, which every command of the test finds."""
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", embedded_broker)
    Topics(settings.load()).apply()
    return embedded_broker


def tail(topic: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["tail", topic, "--from-beginning", "--until-idle", "0.5", *arguments])


def values(result: Result, topic: str) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(list(record) == ["topic", "value"] and record["topic"] == topic for record in records)
    return [record["value"] for record in records]


def event_bytes(**changes: str) -> bytes:
    text = json.dumps({"topic": "milestone-events", "value": {**VALUE, **changes}})
    [line] = read_lines("test", [text.encode()]).lines
    return encode_event(line.event)


async def produce(servers: str, topic: str, *records: tuple[bytes | None, bytes]) -> list[Place]:
    """Records on partition 0, whatever their keys."""
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        places = [await producer.send_and_wait(topic, value, key=key, partition=0) for key, value in records]
    return [Place(topic, 0, place.offset) for place in places]


async def test_what_the_join_wrote_reads_as_what_simulate_prints(broker: str, tmp_path: Path) -> None:
    chosen = settings.load(database_url=f"sqlite:///{tmp_path}/ledger.db")
    examples = [example for example in read_examples(examples_dir()) if not alone(example)]
    async with Pipeline(chosen) as pipeline:
        await play.play(chosen, pipeline, examples, lambda count: None)
    printed: list[dict[str, Any]] = []
    for folder in (examples_dir() / example.name for example in examples):
        done = CliRunner().invoke(app, ["simulate", str(folder / "contract.yaml"), str(folder / "events.jsonl")])
        printed += map(json.loads, done.stdout.splitlines())
    # The audit trail names offsets and times, which there are none of in `simulate`.
    for topic in ("invoice-lines", "retention-events", "approval-requests", "milestone-status"):
        found = values(tail(topic), topic)
        assert len(found) >= len(examples) - 1
        for name in (example.opening.engagement_id for example in examples):
            wanted = [one["value"] for one in printed if (one["topic"], one["value"]["engagement_id"]) == (topic, name)]
            assert [value for value in found if value["engagement_id"] == name] == wanted


async def test_dead_letters_show_reason_message_and_event(broker: str, tmp_path: Path) -> None:
    chosen = settings.load(database_url=f"sqlite:///{tmp_path}/ledger.db")
    records = [
        (b"e2", event_bytes()),
        (b"e1", b"no Avro"),
        (b"e1", event_bytes(completion="120")),
        (None, event_bytes()),
    ]
    async with Pipeline(chosen) as pipeline:
        await pipeline.folded(await produce(broker, "milestone-events", *records))
    mismatch, undecodable, invalid, keyless = values(tail("dead-letters"), "dead-letters")
    assert mismatch["reason"] == "KEY_MISMATCH"
    assert "'e2'" in mismatch["message"]
    assert mismatch["event"]["event_id"] == "r1"
    assert undecodable["reason"] == "UNDECODABLE"
    assert undecodable["event"] == {"key": "e1", "size_bytes": 7, "base64": "bm8gQXZybw=="}
    assert (invalid["reason"], invalid["event"]["completion"]) == ("INVALID_VALUE", "120")
    assert (keyless["reason"], keyless["event"]["engagement_id"]) == ("KEY_MISMATCH", "e1")


async def test_what_is_no_record_of_the_topic_is_shown_as_bytes(broker: str) -> None:
    await produce(broker, "kpi-events", (b"e1", b"\x00\x00\x00"), (b"e1", event_bytes()))
    short, other = values(tail("kpi-events"), "kpi-events")
    assert (short["key"], short["base64"]) == ("e1", "AAAA")
    assert "the value has 3 bytes" in short["undecodable"]
    assert "this topic carries KpiEvent" in other["undecodable"]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_can_be_read(topic: str, broker: str) -> None:
    assert values(tail(topic, "--json"), topic) == []


def test_an_unknown_topic_is_a_usage_error() -> None:
    done = tail("invoice-line")
    assert done.exit_code == 2
    assert "did you mean invoice-lines?" in done.stderr


def test_no_broker_is_a_failure() -> None:
    done = tail("invoice-lines", "--bootstrap-servers", "127.0.0.1:1")
    assert done.exit_code == 1
    assert "no broker answers at 127.0.0.1:1" in done.stderr


class Tailing:
    """`milepost tail` in a process of its own; `arrived` is set with the first line."""

    def __init__(self, topic: str, broker: str) -> None:
        command = [MILEPOST, "tail", topic, "--bootstrap-servers", broker]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.arrived = threading.Event()
        self.line = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.arrived.set()

    def end(self, number: signal.Signals) -> int:
        os.kill(self.process.pid, number)
        self._reader.join(20)
        with self.process:
            return self.process.wait(20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_without_the_beginning_only_what_comes_and_ctrl_c_is_a_good_end(
    number: signal.Signals, broker: str
) -> None:
    await produce(broker, "milestone-events", (b"e1", event_bytes(event_id="before")))
    tailing = Tailing("milestone-events", broker)
    # It does not say when it has begun: send until something comes.
    for _ in range(100):
        await produce(broker, "milestone-events", (b"e1", event_bytes(event_id="after")))
        if tailing.arrived.wait(0.3):
            break
    assert tailing.end(number) == 0
    assert json.loads(tailing.line)["value"]["event_id"] == "after"


@pytest.mark.kafka
async def test_what_was_aborted_is_not_shown(real_kafka: str, settings_for_tail: Callable[[], Settings]) -> None:
    chosen = settings_for_tail()
    Topics(chosen).apply()
    topic = chosen.topic("milestone-events")
    async with AIOKafkaProducer(bootstrap_servers=real_kafka, transactional_id=topic) as producer:
        for event_id, commit in (("kept-1", True), ("gone", False), ("kept-2", True)):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, event_bytes(event_id=event_id), key=b"e1", partition=0)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
    found = values(tail("milestone-events", "--until-idle", "3"), "milestone-events")
    assert [value["event_id"] for value in found] == ["kept-1", "kept-2"]


@pytest.fixture
def settings_for_tail(real_kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Settings]:
    """Settings for the real Kafka, which every command of the test finds too."""
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", real_kafka)
    monkeypatch.setenv("MILEPOST_TOPIC_PREFIX", topic_prefix)
    return settings.load


@pytest.mark.parametrize(
    ("topic", "value", "printed"),
    [
        ("audit-anchors", b'{"anchor":{"number":1},"heads":[]}', {"anchor": {"number": 1}, "heads": []}),
        ("join-transactions", b"\x01\x02", {"key": None, "size_bytes": 2, "base64": "AQI="}),
        ("clock-probes", b"", {"key": None, "size_bytes": 0, "base64": ""}),
    ],
)
def test_what_has_no_schema_is_printed_as_it_is(broker: str, topic: str, value: bytes, printed: object) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker)
        await producer.start()
        await producer.send_and_wait(topic, value)
        await producer.stop()

    asyncio.run(send())
    assert values(tail(topic), topic) == [printed]
