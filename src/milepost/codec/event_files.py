"""Files of events in JSON Lines: one `{"topic": ..., "value": {...}}` a line, for `simulate`, `publish` and the demo.

A file is read to its end, and every fault is said: the line, the path of the field, what was found, what was expected.
Empty lines are passed over. Whether a value makes sense (a percentage above 100, say) is for whoever reads to ask
`core.checks`.
"""

import difflib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from milepost.codec.json_forms import event_or_problems
from milepost.codec.json_values import NotJsonError, read_json
from milepost.codec.topics import TOPICS
from milepost.core.events import Event, InvoiceAcknowledgement

__all__ = ["MAX_LINE_BYTES", "TOPICS_OF_EVENTS", "EventFile", "Fault", "Line", "read_events", "read_lines"]

# More than a record may hold once it is Avro; a broker takes about a million bytes.
MAX_LINE_BYTES = 2_000_000
_FORM = 'one object a line: {"topic": "milestone-events", "value": {...}}'

TOPICS_OF_EVENTS: tuple[str, ...] = tuple(name for name, topic in TOPICS.items() if topic.direction == "in")
"""The topics that a line may name: every input topic of events.md."""


class Line(NamedTuple):
    """A line that is an event. `value` is what stood in the file, `event` what it means."""

    number: int
    topic: str
    value: dict[str, Any]
    event: Event | InvoiceAcknowledgement


class Fault(NamedTuple):
    """What is wrong with a file. `line` counts from 1 (None: the file itself), `path` is empty for the whole line."""

    file: str
    line: int | None
    path: str
    message: str

    def text(self) -> str:
        """`file:line: path: found; expected`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class EventFile(NamedTuple):
    """A file as read: its events in order, and every fault, also in order."""

    name: str
    lines: list[Line]
    faults: list[Fault]


def read_events(path: Path) -> EventFile:
    """Read a file. Never raises: a file that cannot be opened has one fault."""
    try:
        with path.open("rb") as stream:
            return read_lines(str(path), stream)
    except OSError as error:
        message = f"cannot be read: {error.strerror}; expected a file of JSON Lines"
        return EventFile(str(path), [], [Fault(str(path), None, "", message)])


def read_lines(name: str, stream: Iterable[bytes]) -> EventFile:
    """Read lines of bytes; `name` stands for the file in messages."""
    found = EventFile(name, [], [])
    for number, raw in enumerate(stream, start=1):
        text = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if text.strip():
            read = _line(number, text)
            if isinstance(read, Line):
                found.lines.append(read)
            else:
                found.faults.extend(Fault(name, number, path, message) for path, message in read)
    return found


def _line(number: int, raw: bytes) -> Line | list[tuple[str, str]]:
    """The event in a line, or what is wrong with it as (path, message)."""
    try:
        if len(raw) > MAX_LINE_BYTES:
            raise ValueError(f"has {len(raw)} bytes; expected {MAX_LINE_BYTES} at most")
        envelope = read_json(raw.strip())
    except NotJsonError as error:
        return [("", f"{error}; expected {_FORM}")]
    except ValueError as error:
        return [("", str(error))]
    problems = list(_envelope_problems(envelope))
    if problems:
        return problems
    event, wrong = event_or_problems(envelope["topic"], envelope["value"])
    if event is None:
        return [_split(problem) for problem in wrong]
    return Line(number, envelope["topic"], envelope["value"], event)


def _envelope_problems(envelope: object) -> Iterator[tuple[str, str]]:
    if not isinstance(envelope, dict):
        yield "", f"{_kind(envelope)} found; expected {_FORM}"
        return
    for key in envelope.keys() - {"topic", "value"}:
        yield key, "no key of a line; expected topic and value"
    for key in ("topic", "value"):
        if key not in envelope:
            yield key, f"missing; expected {_FORM}"
    topic = envelope.get("topic")
    if "topic" in envelope and topic not in TOPICS_OF_EVENTS:
        shown = json.dumps(topic)[:80] if isinstance(topic, str) else _kind(topic)
        near = difflib.get_close_matches(str(topic)[:64], TOPICS_OF_EVENTS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        yield "topic", f"{shown} found; expected one of {', '.join(TOPICS_OF_EVENTS)}{hint}"


def _split(problem: str) -> tuple[str, str]:
    path, _, message = problem.partition(": ")
    return path, message


def _kind(value: object) -> str:
    words = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return words.get(type(value), "a number")
