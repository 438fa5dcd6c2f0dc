"""What a sender delivered, and what becomes of it: events, or everything that keeps it from becoming events.

An adapter is a pure function of the delivery and the endpoint's options. It answers with all events of the delivery or
with findings; what it understood and has no event for, it says too. An event's id is made of what the sender itself
calls the thing, so that the same thing sent again is the same event.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from milepost.codec.json_forms import event_or_problems, shown
from milepost.codec.json_values import NotJsonError, read_json
from milepost.core.checks import check
from milepost.core.events import Event, InvoiceAcknowledgement

__all__ = [
    "MAX_EVENTS",
    "Delivery",
    "Finding",
    "Gathering",
    "Options",
    "Sent",
    "Translation",
    "media_type",
    "pointer_to",
]

# Of one delivery; a thousand take a second to accept, and no sender here groups more.
MAX_EVENTS = 1_000

Sent = tuple[str, Event | InvoiceAcknowledgement]
"""An input topic and the event for it."""


class Delivery(NamedTuple):
    """A request whose sender is known: its bytes, and its headers by their names in lower case."""

    body: bytes
    headers: Mapping[str, str]


class Finding(NamedTuple):
    """What is wrong: where in the sender's document (RFC 6901, "" is all of it), what was found, what is expected."""

    pointer: str
    message: str


class Translation(NamedTuple):
    """What a delivery means. With findings there are no events; `passed_over` says why parts of it have none."""

    events: tuple[Sent, ...]
    findings: tuple[Finding, ...]
    passed_over: tuple[str, ...]


class Options(BaseModel):
    """What an endpoint says to its adapter; `source` is the name under which its events are known to contracts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1, max_length=512)


class Gathering:
    """Collects what a delivery means."""

    def __init__(self) -> None:
        self._events: list[Sent] = []
        self._findings: list[Finding] = []
        self._passed_over: list[str] = []

    def document(self, body: bytes) -> Any:
        """The JSON in a body, an object or a list; None, with a finding, for anything else."""
        try:
            value = read_json(body)
        except NotJsonError as error:
            self.finding("", f"{error}; expected a JSON document")
            return None
        if not isinstance(value, dict | list):
            self.finding("", f"holds {shown(value)}; expected an object")
            return None
        return value

    def event(self, topic: str, value: Mapping[str, Any], at: str = "") -> None:
        """An event in its JSON form; `at` is where in the sender's document it comes from."""
        event, problems = event_or_problems(topic, value)
        if event is not None:
            problems = [message] if (message := check(event)) else []
        for problem in problems:
            self.finding(at, f"makes no event for {topic}: {problem}")
        if event is not None and not problems:
            if len(self._events) < MAX_EVENTS:
                self._events.append((topic, event))
            elif len(self._events) == MAX_EVENTS and not self._findings:
                self.finding("", f"makes more than {MAX_EVENTS} events; send less at once")

    def finding(self, at: str, message: str) -> None:
        """Something is wrong at this pointer."""
        self._findings.append(Finding(at, message))

    def pass_over(self, why: str) -> None:
        """A part was understood and there is no event for it."""
        self._passed_over.append(why)

    def result(self) -> Translation:
        """All events, or all findings."""
        events = () if self._findings else tuple(self._events)
        return Translation(events, tuple(self._findings), tuple(self._passed_over))


def pointer_to(*parts: str | int) -> str:
    """A JSON Pointer of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of `content-type` in lower case, without its parameters; "" without one."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
