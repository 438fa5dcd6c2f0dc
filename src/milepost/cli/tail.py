"""`milepost tail`: a topic's committed records as JSON lines, in the form that `simulate` prints."""

import base64
import difflib
import json
import signal
import sys
import time
from typing import Any

import typer

from milepost import settings
from milepost.cli.files import as_json_line
from milepost.cli.registry import adopted
from milepost.codec.json_forms import event_to_json, output_to_json
from milepost.codec.records import read
from milepost.codec.registry import AwayError
from milepost.codec.topics import DEAD_LETTER_TOPIC, STATE_TOPIC, TOPICS
from milepost.codec.wire import Record, Undecodable, header
from milepost.core import outputs
from milepost.kafka.tailing import Tail, TailError

__all__ = ["shown", "tail"]

TOPIC = typer.Argument(..., metavar="TOPIC", help="A topic of events.md, without a prefix.")
BEGINNING = typer.Option(False, "--from-beginning", help="Start with the first record instead of the next one.")
IDLE = typer.Option(None, "--until-idle", metavar="SECONDS", min=0, help="End after so long without a record.")
SERVERS = typer.Option(None, "--bootstrap-servers", help="Brokers; default: MILEPOST_BOOTSTRAP_SERVERS.")
JSON = typer.Option(False, "--json", help="Print JSON lines; it always does.")

# How soon the end of the idle time is noticed; Ctrl-C waits no longer either.
POLL_S = 0.2
# Bytes that are no event are shown, but not a megabyte of them.
SHOWN_BYTES = 1024


def tail(
    topic: str = TOPIC,
    from_beginning: bool = BEGINNING,
    until_idle: float | None = IDLE,
    bootstrap_servers: str | None = SERVERS,
    as_json: bool = JSON,
) -> None:
    """Print committed records as {"topic": ..., "value": ...}, one a line, until Ctrl-C or the idle time is over.

    Exit status 1: the topic cannot be read; 2: the schema registry, where one is named, is away.
    """
    if topic not in TOPICS:
        near = difflib.get_close_matches(topic, TOPICS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(TOPICS)}"
        raise typer.BadParameter(f"no topic {topic!r}; {hint}")
    # The same way out for both: a `kill` is as good as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen = settings.load(bootstrap_servers=bootstrap_servers)
        schemas = adopted(chosen)
        with Tail(chosen, topic, from_beginning=from_beginning, schemas=schemas) as records:
            _print(records, until_idle)
    except (settings.SettingsError, AwayError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except TailError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _print(records: Tail, until_idle: float | None) -> None:
    last = time.monotonic()
    while until_idle is None or time.monotonic() - last < until_idle:
        wait = POLL_S if until_idle is None else min(POLL_S, until_idle)
        found = records.poll(wait)
        for record in found:
            sys.stdout.write(as_json_line(record.topic, shown(record)) + "\n")
        if found:
            sys.stdout.flush()
            last = time.monotonic()


def shown(record: Record) -> Any:
    """The value of a record as JSON: None for a deletion; what cannot be read has an `undecodable` beside its bytes."""
    if record.topic == DEAD_LETTER_TOPIC:
        return _dead_letter(record)
    if record.topic == STATE_TOPIC:
        return {"key": _text(record.key), "size_bytes": len(record.value or b"")}
    if record.value is None:
        return None
    if not TOPICS[record.topic].record:
        return _without_schema(record)
    try:
        return _decoded(record.topic, record)
    except Undecodable as error:
        return {"undecodable": error.message, **_raw(record)}


def _without_schema(record: Record) -> Any:
    """An anchor is JSON; the join's transactions and the clock's probes are bytes of their own."""
    try:
        value = json.loads(record.value or b"")
    except ValueError:
        return _raw(record)
    return value if isinstance(value, dict) else _raw(record)


def _dead_letter(record: Record) -> dict[str, Any]:
    """What `simulate` shows of a dead letter: the event in it as far as it can be read."""
    source = _text(header(record.headers, "x-original-topic"))
    event: Any = None
    try:
        event = _decoded(source, record) if source in TOPICS and TOPICS[source].record else _raw(record)
    except Undecodable:
        event = _raw(record)
    reason = _text(header(record.headers, "milepost-error-code"))
    return {
        "reason": reason,
        "message": _text(header(record.headers, "__connect.errors.exception.message")),
        "event": event,
    }


def _decoded(topic: str, record: Record) -> Any:
    if record.value is None:
        raise Undecodable("UNDECODABLE", "the value is null")
    value = read(topic, record.value, record.headers)
    return output_to_json(value) if isinstance(value, outputs.Output) else event_to_json(value)


def _raw(record: Record) -> dict[str, Any]:
    value = record.value
    shown_bytes = None if value is None else base64.b64encode(value[:SHOWN_BYTES]).decode()
    return {"key": _text(record.key), "size_bytes": len(value or b""), "base64": shown_bytes}


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="backslashreplace")
