"""A document in YAML 1.2 with the core schema: no anchors, no tags, one document, each key once."""

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from milepost.contract.findings import Path, printable
from milepost.contract.tree import BROKEN, MAX_DEPTH, MAX_DIGITS, Builder, Document, Real, TooDeepError, Value, Whole

__all__ = ["read_yaml"]

_CORE_TAG = "tag:yaml.org,2002:"
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_WHOLE = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_REAL = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


def read_yaml(text: str) -> Document:
    """The document with the lines of its paths; what is no YAML is unreadable. Never raises."""
    builder = Builder()
    document = builder.document
    documents = 0
    # The events, not the loader: the loader recurses, constructs, and knows no core schema.
    reader = YAML(typ="safe", pure=True)
    try:
        for event in reader.parse(text):
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    line = event.start_mark.line + 1
                    document.refuse((), line, "a second document begins", "one file holds one contract")
                    break
                _directives(event, document)
            else:
                _take(event, builder)
    except TooDeepError as deep:
        return document.unreadable(deep.line, f"nested deeper than {MAX_DEPTH}", "a contract nests 8 deep at most")
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"holds the character U+{error.character:04X}"
        return document.unreadable(line, message, "leave control characters out")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f" {error.context}" if error.context else ""
        message = f"is no YAML: {error.problem or 'not understood'}{context}"
        return document.unreadable(mark.line + 1 if mark else None, printable(message[:300]), "mend the syntax")
    except (YAMLError, ValueError, OverflowError, LookupError, AttributeError, NotImplementedError) as error:
        # What the scanner raises unmarked for escapes and tags beyond Unicode.
        return document.unreadable(None, printable(f"is no YAML: {error}"[:300]), "mend the syntax")
    return document


def _directives(event: Any, document: Document) -> None:
    if event.version is not None and tuple(event.version) != (1, 2):
        version = ".".join(map(str, event.version))
        document.refuse((), event.start_mark.line + 1, f"asks for YAML {version}", "contracts are YAML 1.2: drop %YAML")
    if event.tags:
        document.refuse((), event.start_mark.line + 1, "declares tags", "drop %TAG: contracts have no tags")


def _take(event: Any, builder: Builder) -> None:
    if isinstance(event, ScalarEvent):
        line = event.start_mark.line + 1
        value: Value = BROKEN if event.tag is not None else event.value
        if value is not BROKEN and event.style is None:
            value = _resolve(event.value)
        _check(event, builder.scalar(value, line), builder.document)
    elif isinstance(event, MappingStartEvent):
        _check(event, builder.open({}, event.start_mark.line + 1), builder.document)
    elif isinstance(event, SequenceStartEvent):
        _check(event, builder.open([], event.start_mark.line + 1), builder.document)
    elif isinstance(event, MappingEndEvent | SequenceEndEvent):
        builder.close()
    elif isinstance(event, AliasEvent):
        line = event.start_mark.line + 1
        path = builder.scalar(BROKEN, line)
        builder.document.refuse(
            path, line, f"refers to the anchor *{printable(event.anchor[:60])}", "write the value out"
        )


def _check(event: Any, path: Path, document: Document) -> None:
    line = event.start_mark.line + 1
    if event.anchor is not None:
        document.refuse(
            path, line, f"carries the anchor &{printable(event.anchor[:60])}", "leave it out: contracts have no anchors"
        )
    if event.tag is not None:
        document.refuse(
            path,
            line,
            f"carries the tag {printable(event.tag.replace(_CORE_TAG, '!!')[:60])}",
            "leave it out: contracts have no tags",
        )


def _resolve(text: str) -> Value:
    """A plain scalar by the core schema."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    first = text[0]
    if not (first.isdigit() or first in "+-."):
        return text
    if _WHOLE.fullmatch(text):
        return _whole(text, 10)
    if _BASED.fullmatch(text):
        return _whole(text, 0)
    return Real(text) if _REAL.fullmatch(text) else text


def _whole(text: str, base: int) -> Value:
    if len(text) > MAX_DIGITS:
        return Real(text)
    value = int(text, base)
    return value if str(value) == text else Whole(value, text)
