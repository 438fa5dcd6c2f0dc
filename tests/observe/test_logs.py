"""Logs: one entry a line, ours and the libraries' alike."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from milepost.observe import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is the whole process's; give it back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("aiokafka", "alembic")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def entries(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_entry_is_one_json_object() -> None:
    stream = io.StringIO()
    logs.configure("info", "auto", stream)
    logs.logger("milepost.join", partition=3).info("batch committed", offset=17)
    (entry,) = entries(stream)
    assert str(entry.pop("timestamp")).endswith("Z")
    assert entry == {
        "event": "batch committed",
        "level": "info",
        "logger": "milepost.join",
        "partition": 3,
        "offset": 17,
    }


@pytest.mark.parametrize("form", ["json", "console"])
def test_s28_a_traceback_shows_where_it_was_and_no_variables(form: logs.Format) -> None:
    def fails(secret: str) -> int:
        return len(secret) // 0

    stream = io.StringIO()
    logs.configure("info", form, stream)
    canary = "-".join(["a", "canary"])  # in no line of the source, which a traceback may show
    try:
        fails(canary)
    except ZeroDivisionError:
        logs.logger("milepost").exception("it failed")
        logging.getLogger("uvicorn.error").exception("it failed")
    written = stream.getvalue()
    assert written.count("ZeroDivisionError") == 2
    assert written.count("in fails") == 2
    assert canary not in written


def test_a_library_speaks_in_the_same_form() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    logging.getLogger("aiokafka.consumer").info("said twice a second")
    logging.getLogger("aiokafka.consumer").warning("group %s lost its coordinator", "g")
    (entry,) = entries(stream)
    assert (entry["event"], entry["level"]) == ("group g lost its coordinator", "warning")


def test_a_library_that_repeats_itself_is_heard_once_in_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    for _ in range(300):
        logging.getLogger("aiokafka.conn").error("no %s: 100%% lost", "answer")
    logging.getLogger("aiokafka.conn").error("no %s", "leader")
    now[0] += 9.9
    logging.getLogger("aiokafka.conn").error("no %s: 100%% lost", "answer")
    now[0] += 0.2
    logging.getLogger("aiokafka.conn").error("no %s: 100%% lost", "answer")
    now[0] += 60
    logging.getLogger("aiokafka.conn").error("no %s: 100%% lost", "answer")
    assert [entry["event"] for entry in entries(stream)] == [
        "no answer: 100% lost",
        "no leader",
        "no answer: 100% lost (and 300 times before)",
        "no answer: 100% lost",
    ]


def test_what_milepost_says_itself_is_never_held_back() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    for _ in range(3):
        logs.logger("milepost.join").warning("partition failed")
    assert len(entries(stream)) == 3


def test_what_was_said_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    logs.configure("info", "json", io.StringIO())
    (held,) = logging.getLogger().handlers[0].filters
    assert isinstance(held, logs._Repetitions)
    for number in range(5_000):
        now[0] += 1
        logging.getLogger("aiokafka").error("no answer to %s", number)
    assert len(held._said) <= 1_000


def test_the_level_is_a_threshold() -> None:
    stream = io.StringIO()
    logs.configure("warning", "json", stream)
    log = logs.logger("milepost")
    log.info("not seen")
    log.warning("seen")
    assert [entry["event"] for entry in entries(stream)] == ["seen"]


def test_an_exception_stays_one_line() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    try:
        raise ValueError("no such engagement")
    except ValueError:
        logs.logger("milepost").exception("fold failed", engagement_id="e1")
    (entry,) = entries(stream)
    assert "ValueError: no such engagement" in str(entry["exception"])
    assert entry["engagement_id"] == "e1"


def test_the_console_form_is_for_people() -> None:
    stream = io.StringIO()
    logs.configure("debug", "console", stream)
    logs.logger("milepost").debug("restoring", partition=1)
    assert "restoring" in stream.getvalue()
    assert "partition=1" in stream.getvalue()


def test_configuring_again_replaces_the_form() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("info", "json", first)
    logs.configure("info", "json", second)
    logs.logger("milepost").info("once")
    assert (first.getvalue(), len(entries(second))) == ("", 1)
