"""What one record has to tell: pure, from bytes to a message with a type, a payload and the people it names.

A webhook's payload is `{type, timestamp, data}`, `data` being the record's JSON form, and stays under 20 kB: fields
that are too long are left out, largest first, and named in `left_out`. The payload of e-mails is whole.
"""

import json
from dataclasses import dataclass
from typing import Any

from milepost.codec.json_forms import output_to_json
from milepost.codec.records import Undecodable, decode_output
from milepost.codec.topics import DEAD_LETTER_TOPIC
from milepost.codec.wire import Record, header
from milepost.core.calendar import instant_text
from milepost.core.ids import escape
from milepost.core.outputs import ApprovalRequest, RetentionEvent
from milepost.observe.hosting import StoppedError
from milepost.sql.occurrences import ASKING

__all__ = [
    "PAYLOAD_LIMIT_BYTES",
    "REQUESTS",
    "RETENTION",
    "TOPICS",
    "Message",
    "UnreadableError",
    "message_of",
    "step_id",
]

REQUESTS, RETENTION = "approval-requests", "retention-events"
TOPICS = (REQUESTS, RETENTION, DEAD_LETTER_TOPIC)
"""What notices read."""

PAYLOAD_LIMIT_BYTES = 20_000
"""Standard Webhooks' limit: what every receiver must be able to take."""

# What is left out first comes first when two are equally long; none of these says what happened to what.
_MAY_BE_LEFT_OUT = ("evidence", "criteria", "releases", "people", "message", "engagement_key")
_LAST_INSTANT = 253_402_300_799_000_000  # in the year 9999
# Longer than an engagement's id; a key may be any bytes.
_KEY_LENGTH = 512
_ORIGINAL = "__connect.errors."


class UnreadableError(StoppedError):
    """A record that this release cannot read; the message names its place and the way out."""


@dataclass(frozen=True)
class Message:
    """What there is to tell of a record.

    `people`: whom it names. `request` and `step_id` (the step of a submission that it is about): for requests alone.
    """

    output_id: str
    record: Record
    kind: str
    type: str
    engagement_id: str | None
    data: dict[str, Any]
    people: tuple[str, ...] = ()
    request: ApprovalRequest | None = None
    step_id: str | None = None

    @property
    def asks(self) -> bool:
        """Whether somebody is to sign."""
        return self.request is not None and self.kind in ASKING

    @property
    def to_all_asked(self) -> bool:
        """Whether it names nobody, so that everybody who was asked should know."""
        return self.request is not None and not self.people

    @property
    def recorded_at(self) -> int:
        """When the topic got the record, in microseconds; a stranger may claim any time."""
        return max(0, min(self.record.timestamp * 1000, _LAST_INSTANT))

    def payload(self) -> str:
        """The whole payload, as JSON."""
        return _json(self._body(self.data))

    def fitted_payload(self) -> str:
        """The payload under the limit, as JSON."""
        data = dict(self.data)
        left_out: list[str] = []
        candidates = [name for name in _MAY_BE_LEFT_OUT if data.get(name)]
        candidates.sort(key=lambda name: -len(_json(data[name])))
        text = _json(self._body(data))
        for name in candidates:
            if len(text.encode()) < PAYLOAD_LIMIT_BYTES:
                break
            del data[name]
            left_out.append(name)
            text = _json(self._body({**data, "left_out": left_out}))
        return text

    def _body(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"type": self.type, "timestamp": instant_text(self.recorded_at), "data": data}


def message_of(record: Record) -> Message:
    """The message of a record of one of `TOPICS`. Raises `UnreadableError`."""
    if record.topic == DEAD_LETTER_TOPIC:
        return _dead_letter(record)
    if record.value is None:
        raise _unreadable(record, "no value")
    try:
        output = decode_output(record.topic, record.value, record.headers)
    except Undecodable as error:
        raise _unreadable(record, error.message) from error
    if isinstance(output, ApprovalRequest):
        return _request(record, output)
    assert isinstance(output, RetentionEvent)
    kind = output.kind
    return Message(
        output_id=output.retention_event_id,
        record=record,
        kind=kind,
        type=f"retention.{kind.lower()}",
        engagement_id=output.engagement_id,
        data=output_to_json(output),
    )


def _request(record: Record, request: ApprovalRequest) -> Message:
    return Message(
        output_id=request.request_id,
        record=record,
        kind=request.kind,
        type=f"approval_request.{request.kind.lower()}",
        engagement_id=request.engagement_id,
        data=output_to_json(request),
        people=request.people,
        request=request,
        step_id=step_id(request),
    )


def step_id(request: ApprovalRequest) -> str:
    """What all requests about one step of one submission have in common."""
    place = (request.engagement_id, request.milestone_id, request.occurrence_id or "")
    return "/".join(map(escape, place)) + f"/{request.submission}.{request.step}"


def _dead_letter(record: Record) -> Message:
    def text(name: str) -> str | None:
        found = header(record.headers, name)
        return None if found is None else found.decode("utf-8", "replace")

    key = None if record.key is None else record.key.decode("utf-8", "backslashreplace")[:_KEY_LENGTH]
    reason = text("milepost-error-code") or "UNKNOWN"
    place = f"{record.topic}/{record.partition}/{record.offset}"
    data = {
        "dead_letter_id": text("milepost-dead-letter-id"),
        "reason": reason,
        "message": text(f"{_ORIGINAL}exception.message") or "",
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "original_topic": text("x-original-topic") or text(f"{_ORIGINAL}topic"),
        "original_partition": text(f"{_ORIGINAL}partition"),
        "original_offset": text(f"{_ORIGINAL}offset"),
        "engagement_key": key,
    }
    return Message(
        # By place: a stranger's dead letter may lack an id, or repeat one.
        output_id=place,
        record=record,
        kind=reason,
        type="dead_letter.raised",
        engagement_id=key,
        data=data,
    )


def _unreadable(record: Record, found: str) -> UnreadableError:
    return UnreadableError(
        f"{record.topic}[{record.partition}] offset {record.offset} cannot be read: {found}. Only the join writes this "
        "topic; run notices at least as new as the join, and take the right to write from everybody else"
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
