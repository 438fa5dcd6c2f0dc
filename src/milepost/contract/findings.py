"""What is wrong with a contract: every finding names its place, what was found, what was expected, and the way out."""

import difflib
from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import Literal

import msgspec

from milepost.core.contract import Contract

__all__ = ["MAX_FINDINGS", "Finding", "Findings", "Parsed", "Path", "dotted", "printable"]

Path = tuple[str | int, ...]

# A document that is wrong in every line needs no longer list, and a hostile one gets none.
MAX_FINDINGS = 500
# Looking for the nearest name costs about 10 us a candidate; a hostile document may not buy more than a second of it.
_MAX_COMPARISONS = 50_000
_LONGEST_NAME_COMPARED = 64


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `path` is dotted ("milestones[2].fee.fixed"; "" is the document), `line` counts from 1."""

    severity: Literal["error", "warning"]
    path: str
    line: int | None
    message: str
    fix: str

    def text(self, source: str) -> str:
        """`source:line: severity: path: message; fix`, without the parts that there are not."""
        place = source if self.line is None else f"{source}:{self.line}"
        path = f"{self.path}: " if self.path else ""
        fix = f"; {self.fix}" if self.fix else ""
        return f"{place}: {self.severity}: {path}{self.message}{fix}"


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A document as read. `contract` is None as soon as one finding is an error.

    `readable` is False where the text is no YAML or JSON at all, or beyond a limit of size or depth.
    """

    source: str
    contract: Contract | None
    findings: tuple[Finding, ...]
    readable: bool = True

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that refuse the contract."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that somebody should read before signing."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")


def dotted(path: Path) -> str:
    """("milestones", 2, "fee") is "milestones[2].fee"; a key that is no plain name is quoted in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and part.replace("-", "_").isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{_clipped(part)}]"
    return text


def _clipped(key: str) -> str:
    return '"' + printable(key if len(key) <= 60 else key[:57] + "...") + '"'


def printable(text: str) -> str:
    """`text` with line breaks and whatever a terminal would act on written as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _likeness(name: str, candidate: str) -> float:
    """How alike two names are; slips are rarer at the beginning: EUX is EUR, not UGX."""
    alike = difflib.SequenceMatcher(None, candidate, name).ratio()
    begun = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, candidate, strict=False)))
    return alike + begun / (len(name) + len(candidate))


class Findings:
    """Collects findings while a document is read; knows which line a path is on."""

    def __init__(self, lines: Mapping[Path, int] | None = None) -> None:
        self._lines = lines
        self._found: list[tuple[int, Finding]] = []
        self._comparisons = 0
        self.failed = False
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    def error(self, path: Path, message: str, fix: str = "", *, line: int | None = None) -> None:
        """Refuse the contract."""
        self.failed = True
        self._add("error", path, message, fix, line)

    def warning(self, path: Path, message: str, fix: str = "") -> None:
        """Say what looks wrong and can be signed all the same."""
        self._add("warning", path, message, fix, None)

    def _add(self, severity: Literal["error", "warning"], path: Path, message: str, fix: str, line: int | None) -> None:
        if len(self._found) >= MAX_FINDINGS:
            self.dropped += 1
            return
        at = line or self._line(path)
        finding = Finding(severity=severity, path=dotted(path), line=at, message=message, fix=fix)
        self._found.append((at or 0, finding))

    def _line(self, path: Path) -> int | None:
        if self._lines is None:
            return None
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)

    def nearest(self, name: str, candidates: Collection[str]) -> str | None:
        """The candidate that `name` is most probably a slip of, or None."""
        self._comparisons += len(candidates)
        if len(name) > _LONGEST_NAME_COMPARED or self._comparisons > _MAX_COMPARISONS:
            return None
        # Sorted, so that a set's order never decides.
        known = sorted(candidate for candidate in candidates if len(candidate) <= _LONGEST_NAME_COMPARED)
        for candidate in known:
            if candidate.lower() == name.lower():
                return candidate
        near = difflib.get_close_matches(name, known, n=8, cutoff=0.6)
        return max(sorted(near), key=lambda candidate: _likeness(name, candidate), default=None)

    def all(self) -> tuple[Finding, ...]:
        """Everything found, in the order of the document's lines."""
        found = [finding for _, finding in sorted(self._found, key=lambda pair: pair[0])]
        if self.dropped:
            more = f"{self.dropped} more findings are not shown"
            found.append(Finding(severity="error", path="", line=None, message=more, fix="mend these first"))
        return tuple(found)
