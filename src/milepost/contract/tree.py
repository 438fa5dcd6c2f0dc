"""A document as plain values, whichever syntax it came in: dicts, lists, strings, numbers as written, booleans, null.

Both syntaxes feed one `Builder`, so that depth, duplicate keys, keys that are no text, control characters and line
numbers are treated alike. Nothing here recurses.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Final, cast

from milepost.contract.findings import Path, printable

__all__ = [
    "BROKEN",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "Broken",
    "Builder",
    "Document",
    "Real",
    "TooDeepError",
    "Value",
    "Whole",
    "describe",
    "quoted",
    "written",
]

# A record on Kafka holds 1 MiB, and the contract is one field of it; 2,000 milestones fit into this.
MAX_BYTES = 512 * 1024
# The language itself nests 8 deep.
MAX_DEPTH = 32
# No whole number of the language is longer; int() of a long one costs quadratic time.
MAX_DIGITS = 18

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN = 60


class Real:
    """A number that is no whole number, as it was written: 50000.00, 1e3, .inf, or too many digits."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Whole(int):
    """A whole number written otherwise than Python would: 007, 0x1F, +5."""

    text: str

    def __new__(cls, value: int, text: str) -> "Whole":
        """Of `value`, as `text` in the document."""
        made = super().__new__(cls, value)
        made.text = text
        return made


class Broken:
    """Stands where the syntax had already to be refused, so that nothing is said about it twice."""


BROKEN: Final = Broken()

Value = dict[str, "Value"] | list["Value"] | str | int | bool | Real | Broken | None


class TooDeepError(Exception):
    """The document nests deeper than MAX_DEPTH; `line` is where."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class Document:
    """A text that could be read: its values, the line of each path, and what its syntax may not contain."""

    __slots__ = ("findings", "lines", "readable", "value")

    def __init__(self) -> None:
        self.value: Value = None
        self.lines: dict[Path, int] = {}
        # (path, line, message, fix) of each finding; all are errors.
        self.findings: list[tuple[Path, int | None, str, str]] = []
        self.readable = True

    def refuse(self, path: Path, line: int | None, message: str, fix: str) -> None:
        """Add one error."""
        self.findings.append((path, line, message, fix))

    def unreadable(self, line: int | None, message: str, fix: str) -> "Document":
        """There is no document: only this is said."""
        self.value, self.readable = BROKEN, False
        self.findings = [((), line, message, fix)]
        return self


class _Frame:
    """A container being filled. In a mapping `key` is the pending key, None while one is awaited or dropped."""

    __slots__ = ("awaits_key", "container", "key", "path")

    def __init__(self, container: dict[str, Value] | list[Value], path: Path) -> None:
        self.container, self.path = container, path
        self.awaits_key = isinstance(container, dict)
        self.key: str | None = None


class Builder:
    """Builds a document from what a syntax reads, one token after the other."""

    def __init__(self) -> None:
        self.document = Document()
        self._stack: list[_Frame] = []

    def open(self, container: dict[str, Value] | list[Value], line: int) -> Path:
        """A mapping or list begins; returns its path. Raises TooDeepError."""
        if len(self._stack) >= MAX_DEPTH:
            raise TooDeepError(line)
        path = self._place(container, line)
        self._stack.append(_Frame(container, path))
        return path

    def close(self) -> None:
        """The innermost mapping or list ends."""
        self._stack.pop()

    def scalar(self, value: Value, line: int) -> Path:
        """A key, where one is awaited, or a value; returns its path."""
        frame = self._stack[-1] if self._stack else None
        awaited = frame if frame is not None and frame.awaits_key else None
        path = self._key(awaited, value, line) if awaited is not None else self._place(value, line)
        if isinstance(value, str) and (odd := _CONTROL.search(value)):
            character = f"U+{ord(odd.group()):04X}"
            self.document.refuse(path, line, f"holds the character {character}", "leave control characters out")
        return path

    def _key(self, frame: _Frame, value: Value, line: int) -> Path:
        frame.awaits_key, frame.key = False, None
        if isinstance(value, list | dict):
            self.document.refuse(frame.path, line, "a list or mapping as a key; keys are text", "give the key a name")
            return frame.path
        if not isinstance(value, str):
            if value is not BROKEN:
                bare = quoted(value)
                fix = f"write {bare}" if bare else "give the key a name"
                self.document.refuse(frame.path, line, f"{describe(value)} as a key; keys are text", fix)
            return frame.path
        path = (*frame.path, value)
        if value in cast(dict[str, Value], frame.container):
            first = self.document.lines.get(path)
            self.document.refuse(path, line, f"the key stands twice, first in line {first}", "leave one of the two")
        else:
            frame.key = value
            self.document.lines[path] = line
        return path

    def _place(self, value: Value, line: int) -> Path:
        if not self._stack:
            self.document.value = value
            self.document.lines[()] = line
            return ()
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            path: Path = (*frame.path, len(frame.container))
            frame.container.append(value)
        elif frame.awaits_key:
            # A mapping or list as a key: it is read to its end and dropped, and so is its value.
            self._key(frame, value, line)
            return (*frame.path, "?")
        else:
            frame.awaits_key = True
            if frame.key is None:
                return (*frame.path, "?")
            path = (*frame.path, frame.key)
            frame.container[frame.key] = value
        self.document.lines.setdefault(path, line)
        return path


def written(number: int | Real) -> str:
    """A number as it stands in the document."""
    if isinstance(number, Real | Whole):
        return number.text
    # str() of a number of thousands of digits raises.
    return str(int(number)) if number.bit_length() <= 4 * _SHOWN else f"of {number.bit_length()} bits"


def describe(value: Value) -> str:
    """A value for a message: `the number 50000.00`, `"P10D"`, `null`, `a list`; long ones are cut."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | Real():
            return f"the number {_cut(written(value))}"
        case str():
            return f'"{_cut(value)}"' if value else "an empty string"
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case _:
            return "what could not be read"


def _cut(text: str) -> str:
    return printable(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


_PLAIN_REAL = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)")


def quoted(value: Value) -> str | None:
    """How a bare number or boolean is written as a string: 50000.00 is "50000.00", 5e4 is "50000"; else None."""
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    if not isinstance(value, int | Real):
        return None
    text = written(value)
    if "inf" in text.lower() or "nan" in text.lower():
        return None
    if "e" in text.lower() and len(text) <= _SHOWN:
        try:
            exact = Decimal(text)
        except InvalidOperation:
            return f'"{text}"'
        if exact.is_finite() and abs(exact.adjusted()) <= MAX_DIGITS:
            text = format(exact, "f")
    if _PLAIN_REAL.fullmatch(text):  # .5, 5. and +1.5 are numbers in YAML, and no decimal strings here
        whole, _, fraction = text.removeprefix("+").partition(".")
        text = f"{whole if whole.strip('-') else f'{whole}0'}{'.' if fraction else ''}{fraction}"
    return f'"{_cut(text)}"'
