"""A fault in a file of events is said with its line, its path, what was found and what is expected."""

import json
from collections.abc import Callable
from pathlib import Path

from milepost.codec.event_files import MAX_LINE_BYTES, TOPICS_OF_EVENTS, EventFile, read_events, read_lines
from milepost.core.events import ClockTick, KpiEvent

REPORT = {
    "event_id": "r1",
    "source": "tracker",
    "engagement_id": "e1",
    "milestone_id": "m1",
    "kind": "REPORTED",
    "occurred_at": "2026-03-31T16:00:00Z",
}


def read(*lines: str | bytes) -> EventFile:
    return read_lines("events.jsonl", [line if isinstance(line, bytes) else line.encode() for line in lines])


def line(topic: str = "milestone-events", **changes: object) -> str:
    return json.dumps({"topic": topic, "value": {k: v for k, v in {**REPORT, **changes}.items() if v is not None}})


def test_events_come_with_their_lines() -> None:
    tick = '{"topic": "clock-ticks", "value": {"at": "2026-03-01T00:00:00+01:00"}}'
    found = read(line() + "\r\n", "\n", "  \t\n", tick)
    assert found.faults == []
    assert [(one.number, one.topic) for one in found.lines] == [(1, "milestone-events"), (4, "clock-ticks")]
    assert found.lines[0].value == REPORT
    assert found.lines[1].event == ClockTick(at=1_772_319_600_000_000)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert read(b"\xef\xbb\xbf" + line().encode()).faults == []


def test_the_topics_are_those_that_take_events() -> None:
    assert len(TOPICS_OF_EVENTS) == 9
    assert {"engagements", "clock-ticks", "invoice-acknowledgements"} < set(TOPICS_OF_EVENTS)
    assert "invoice-lines" not in TOPICS_OF_EVENTS


WRONG: dict[str, str | bytes] = {
    "no JSON": "{",
    "no object": "[1, 2]",
    "a number": "7",
    "no UTF-8": b'{"topic": "\xff"}',
    "a key twice": '{"topic": "a", "topic": "b"}',
    "not a number": '{"topic": "kpi-events", "value": NaN}',
    "too long": '"' + "x" * MAX_LINE_BYTES + '"',
    "too deep": "[" * 100_000,
    "no topic": '{"value": {}}',
    "no value": '{"topic": "clock-ticks"}',
    "another key": '{"topic": "clock-ticks", "value": {"at": "2026-01-01T00:00:00Z"}, "key": "e1"}',
    "an unknown topic": line("milestone-event"),
    "an output's topic": line("invoice-lines"),
    "the value is no object": '{"topic": "milestone-events", "value": "x"}',
    "an unknown field": line(completed="60"),
    "a missing field": line(milestone_id=None),
    "a number for a decimal": line(completion=60),
    "a float for a decimal": line(completion=60.50),
    "a wrong word": line(kind="Reported"),
    "an instant without an offset": line(occurred_at="2026-03-31T16:00:00"),
    "evidence without its hash": line(evidence=[{"name": "report", "media_type": "a/b", "size_bytes": "1", "uri": ""}]),
    "several at once": line(completion=60, kind="X", event_id=None),
}


def test_a_fault_says_where_what_and_what_instead(golden: Callable[[Path, str], None]) -> None:
    said = []
    for case, text in WRONG.items():
        found = read(text)
        assert found.lines == [], case
        assert found.faults, case
        said.append("\n  ".join([case, *(fault.text() for fault in found.faults)]))
    golden(Path(__file__).parent / "event_file_faults.txt", "\n".join(said) + "\n")


def test_every_fault_of_every_line_is_said() -> None:
    found = read(line(completion=60, kind="X", event_id=None), line(), "{", line(extra=1))
    assert [(fault.line, fault.path) for fault in found.faults] == [
        (1, "event_id"),
        (1, "kind"),
        (1, "completion"),
        (3, ""),
        (4, "extra"),
    ]
    assert [one.number for one in found.lines] == [2]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    found = read_events(tmp_path / "none.jsonl")
    assert [fault.text() for fault in found.faults] == [
        f"{tmp_path}/none.jsonl: cannot be read: No such file or directory; expected a file of JSON Lines"
    ]
    assert read_events(tmp_path).faults[0].message.startswith("cannot be read: Is a directory")


def test_values_are_not_judged_here() -> None:
    found = read(line(completion="120"))
    assert found.faults == []
    kpi = {**REPORT, "kpi_id": "k", "value": "1", "observed_at": REPORT["occurred_at"]}
    kept = {key: kpi[key] for key in ("event_id", "source", "engagement_id", "kpi_id", "value", "observed_at")}
    assert isinstance(read(json.dumps({"topic": "kpi-events", "value": kept})).lines[0].event, KpiEvent)
