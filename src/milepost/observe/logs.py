"""Logs: one event a line on stderr, because stdout belongs to what a command prints.

An entry names what happened in the past tense or present ("batch committed") and carries its particulars as fields:
engagement_id, topic, partition, offset, correlation_id. Amounts and names never appear together.
"""

import logging
import sys
import time
from typing import IO, Any, Literal

import structlog

__all__ = ["Format", "Level", "configure", "logger"]

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

# Loggers of libraries that repeat, at INFO, what our own entries say better.
_CHATTY = ("aiokafka", "kafka", "alembic", "sqlalchemy", "faust", "mode")
# How long one of them may not say the same again: a client without its broker says it three hundred times a second.
_AGAIN_S = 10.0
_REMEMBERED = 1_000


class _Repetitions(logging.Filter):
    """Lets a chatty library's sentence through once in `_AGAIN_S`, with the number of times that it was held back."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # when last let through, held back since

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in _CHATTY:
            return True
        key, now = (record.name, record.getMessage()), time.monotonic()
        before, held_back = self._said.get(key, (now - _AGAIN_S, 0))
        if now - before < _AGAIN_S:
            self._said[key] = before, held_back + 1
            return False
        if len(self._said) >= _REMEMBERED:
            self._said = {one: said for one, said in self._said.items() if now - said[0] < _AGAIN_S}
        self._said[key] = now, 0
        if held_back:
            record.msg, record.args = f"{key[1]} (and {held_back} times before)", ()
        return True


def configure(level: Level = "info", format: Format = "auto", stream: IO[str] | None = None) -> None:  # noqa: A002
    """Send structlog's and the standard library's entries to `stream` (default: stderr) in one form.

    `auto` is `console` on a terminal, `json` elsewhere. May be called again; the last call wins.
    """
    out = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    as_json = format == "json" or (format == "auto" and not out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    tail: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        tail += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    else:
        # The default shows every frame's variables, keys and secrets among them, and takes a second to do so.
        plain = structlog.dev.plain_traceback
        tail += [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.addFilter(_Repetitions())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=tail))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def logger(name: str, **fields: Any) -> structlog.stdlib.BoundLogger:
    """Logger of a module (`logger(__name__)`), with fields that every entry of it carries."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name, **fields)
    return bound
