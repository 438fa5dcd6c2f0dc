"""`milepost publish`: whole files or nothing, and what stands on the topics afterwards."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from typer.testing import CliRunner, Result

from milepost import settings
from milepost.cli import app
from milepost.cli.tail import shown
from milepost.codec.event_files import read_events
from milepost.codec.json_forms import event_to_json
from milepost.codec.topics import INPUTS, PARTITIONS
from milepost.codec.wire import Record
from milepost.kafka.admin import Topics
from milepost.kafka.clients import KafkaLog
from milepost.kafka.log import Span, TopicPartition
from milepost.kafka.tailing import Tail

ROOT = Path(__file__).parents[2]
CONSULTING = ROOT / "examples/consulting"


@pytest.fixture
def broker(embedded_broker: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An embedded broker with all topics, which every command of the test finds."""
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", embedded_broker)
    Topics(settings.load()).apply()
    return embedded_broker


def publish(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["publish", *map(str, arguments)])


def stored(topic: str) -> list[Record]:
    """Everything on a topic of the settings' broker, by partition and offset."""
    chosen = settings.load()
    with Tail(chosen, topic, from_beginning=True) as tail:
        waiting = sum(span.end - span.begin for span in spans(chosen, topic))
        found: list[Record] = []
        until = time.monotonic() + 20
        while len(found) < waiting and time.monotonic() < until:
            found += tail.poll(0.1)
    assert len(found) == waiting
    return sorted(found, key=lambda record: (record.partition, record.offset))


def spans(chosen: settings.Settings, topic: str) -> list[Span]:
    async def ask() -> list[Span]:
        log = KafkaLog(chosen)
        await log.start()
        try:
            return list((await log.spans([TopicPartition(topic, number) for number in range(PARTITIONS)])).values())
        finally:
            await log.stop()

    return asyncio.run(ask())


def nothing_is_stored() -> bool:
    return all(stored(topic) == [] for topic in INPUTS)


def report(event_id: str, **more: Any) -> str:
    value = {"event_id": event_id, "source": "t", "engagement_id": "e1", "milestone_id": "m1", "kind": "REPORTED"}
    return json.dumps({"topic": "milestone-events", "value": {**value, "occurred_at": "2026-02-01T12:00:00Z", **more}})


def write(folder: Path, *lines: str) -> Path:
    path = folder / "events.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_a_contract_and_its_events_arrive_as_they_were_written(broker: str) -> None:
    done = publish(CONSULTING / "contract.yaml", CONSULTING / "events.jsonl", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    lines = read_events(CONSULTING / "events.jsonl").lines
    assert told["skipped"] == 0
    for topic in ("milestone-events", "approvals", "kpi-events"):
        found = [shown(record) for record in stored(topic)]
        assert found == [event_to_json(line.event) for line in lines if line.topic == topic]
        assert told["published"][topic] == len(found) > 0
    opened, signed_off = (shown(record) for record in stored("engagements"))
    assert (opened["event_id"], opened["source"], opened["change"]) == ("open:erp-rollout:1", "cli", "OPENED")
    assert opened["occurred_at"] == "2025-12-31T23:00:00.000000Z"
    assert json.loads(opened["contract"])["engagement"] == "erp-rollout"
    assert signed_off["change"] == "SIGNED_OFF"


def test_an_engagement_is_one_partition_and_its_events_keep_their_order(broker: str) -> None:
    assert publish(CONSULTING / "contract.yaml", CONSULTING / "events.jsonl").exit_code == 0
    records = [record for topic in INPUTS for record in stored(topic)]
    assert len(records) > 20
    assert {record.key for record in records} == {b"erp-rollout"}
    assert {record.partition for record in records} == {(murmur2(b"erp-rollout") & 0x7FFFFFFF) % PARTITIONS}
    in_time = sorted(records, key=lambda record: record.timestamp)
    assert len({record.timestamp for record in records}) == len(records)
    written = [line.topic for line in read_events(CONSULTING / "events.jsonl").lines]
    assert [record.topic for record in in_time] == ["engagements", *written]


def test_headers_are_those_of_cloudevents(broker: str, tmp_path: Path) -> None:
    assert publish(write(tmp_path, report("r1"))).exit_code == 0
    [record] = stored("milestone-events")
    assert dict(record.headers) == {
        "content-type": b"application/avro",
        "ce_specversion": b"1.0",
        "ce_type": b"com.milepost.milestone_event.v1",
        "ce_id": b"r1",
        "ce_source": b"t",
        "ce_subject": b"e1",
        "ce_time": b"2026-02-01T12:00:00.000000Z",
    }


def test_a_tick_goes_to_every_partition(broker: str, tmp_path: Path) -> None:
    done = publish(write(tmp_path, '{"topic": "clock-ticks", "value": {"at": "2026-03-01T00:00:00Z"}}'))
    assert done.exit_code == 0, done.stderr
    assert "clock-ticks: 4 records" in done.stdout
    ticks = stored("clock-ticks")
    assert [tick.partition for tick in ticks] == [0, 1, 2, 3]
    assert {tick.key for tick in ticks} == {None}


def test_the_same_contract_is_the_same_event(broker: str) -> None:
    for option in ([], ["--contract"]):
        assert publish(*option, CONSULTING / "contract.yaml").exit_code == 0
    first, second = stored("engagements")
    assert first.value == second.value


WRONG = {
    "a wrong type": report("r2", completion=60),
    "no JSON": "{",
    "a value that means nothing": report("r2", completion="120"),
    "a contract that lint refuses": json.dumps(
        {
            "topic": "engagements",
            "value": {
                "event_id": "o1",
                "source": "t",
                "engagement_id": "e1",
                "change": "OPENED",
                "occurred_at": "2026-01-01T00:00:00Z",
                "contract": {"milepost": 1, "engagement": "e1"},
            },
        }
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_nothing_is_published_when_one_line_is_wrong(case: str, broker: str, tmp_path: Path) -> None:
    done = publish(CONSULTING / "contract.yaml", write(tmp_path, report("r1"), WRONG[case], report("r3")))
    assert done.exit_code == 2
    assert f"{tmp_path}/events.jsonl:2: " in done.stderr
    assert "Nothing is published." in done.stderr
    assert done.stdout == ""
    assert nothing_is_stored()


@pytest.mark.parametrize("case", WRONG)
def test_skip_errors_publishes_what_is_right(case: str, broker: str, tmp_path: Path) -> None:
    done = publish("--skip-errors", write(tmp_path, report("r1"), WRONG[case], report("r3")))
    assert done.exit_code == 0
    assert f"{tmp_path}/events.jsonl:2: " in done.stderr
    assert "1 skipped because of errors." in done.stderr
    assert [shown(record)["event_id"] for record in stored("milestone-events")] == ["r1", "r3"]
    assert stored("engagements") == []


def test_every_file_is_read_before_anything_is_sent(broker: str, tmp_path: Path) -> None:
    contract = tmp_path / "contract.yaml"
    contract.write_text((CONSULTING / "contract.yaml").read_text().replace("currency: EUR", "currency: EURO"))
    done = publish(write(tmp_path, report("r1")), contract, tmp_path / "none.jsonl")
    assert done.exit_code == 2
    assert "error: currency: " in done.stderr
    assert "none.jsonl: cannot be read" in done.stderr
    assert nothing_is_stored()
    assert publish(write(tmp_path, report("r1")), contract).exit_code == 1
    assert nothing_is_stored()


def test_json_lists_the_findings(broker: str, tmp_path: Path) -> None:
    done = publish("--json", write(tmp_path, report("r1", completion=60)))
    assert done.exit_code == 2
    told = json.loads(done.stdout)
    assert (told["published"], told["skipped"]) == ({}, 1)
    [finding] = told["findings"]
    assert (finding["line"], finding["severity"], finding["path"]) == (1, "error", "completion")


def test_no_file_is_a_usage_error_and_no_broker_a_failure(tmp_path: Path) -> None:
    assert publish().exit_code == 2
    path = write(tmp_path, report("r1"))
    assert publish(path, "--bootstrap-servers", "nonsense").exit_code == 2
    away = publish(path, "--bootstrap-servers", "127.0.0.1:1")
    assert away.exit_code == 1
    assert "no broker answers at 127.0.0.1:1" in away.stderr


@pytest.mark.kafka
def test_a_topic_that_is_missing_stops_all_of_it(
    real_kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", real_kafka)
    monkeypatch.setenv("MILEPOST_TOPIC_PREFIX", topic_prefix)
    path = write(tmp_path, report("r1"))
    done = publish(path)
    assert done.exit_code == 1
    assert f"topic {topic_prefix}milestone-events: " in done.stderr
    assert "`milepost topics apply`" in done.stderr
    Topics(settings.load()).apply()
    assert publish(path).exit_code == 0
    assert [record.key for record in stored("milestone-events")] == [b"e1"]
