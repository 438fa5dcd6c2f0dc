"""The document as it travels: JSON text with sorted keys (but rates) and no spaces, equal for equal documents."""

import json
import re
from typing import cast

from milepost.contract.findings import Finding, Path, dotted
from milepost.contract.parse import quick_document, read_document
from milepost.contract.tree import MAX_DEPTH, Document, Real, Value, describe, quoted

__all__ = ["NotJsonError", "to_wire"]

_ORDERED = ("time_and_materials", "rates")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


class NotJsonError(ValueError):
    """The text is no single document of plain values; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text("contract"))
        self.finding = finding


def to_wire(text: str) -> str:
    """YAML or JSON as canonical JSON text, whether or not the contract is a good one.

    Raises NotJsonError for what is unreadable, or has no plain JSON form: keys that repeat, anchors, tags, .inf.
    """
    document = quick_document(text) or read_document(text)
    if document.findings:
        raise _not_json(*document.findings[0])
    pieces: list[str] = []
    _write(document.value, (), document, pieces)
    return "".join(pieces)


def _not_json(path: Path, line: int | None, message: str, fix: str) -> NotJsonError:
    return NotJsonError(Finding(severity="error", path=dotted(path), line=line, message=message, fix=fix))


def _write(value: Value, path: Path, document: Document, pieces: list[str]) -> None:
    if len(path) > MAX_DEPTH:
        # The careful reader keeps to it; the quick one stops at the interpreter's own limit only.
        raise _not_json(path[:3], None, f"nested deeper than {MAX_DEPTH}", "a contract nests 8 deep at most")
    if isinstance(value, dict):
        # A limit on hours is used up in the order of the rates, so that it is part of what was signed.
        for place, key in enumerate(value if path == _ORDERED else sorted(value)):
            pieces.append(f"{',' if place else '{'}{_string(key)}:")
            _write(value[key], (*path, key), document, pieces)
        pieces.append("}" if value else "{}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            pieces.append("," if place else "[")
            _write(item, (*path, place), document, pieces)
        pieces.append("]" if value else "[]")
    elif isinstance(value, str):
        pieces.append(_string(value))
    elif isinstance(value, Real):
        if not _JSON_NUMBER.fullmatch(value.text):
            message = f"{describe(value)} has no JSON form"
            raise _not_json(path, document.lines.get(path), message, f"write {quoted(value)}")
        pieces.append(value.text)
    elif isinstance(value, int) and not isinstance(value, bool):
        pieces.append(str(int(value)))
    else:
        pieces.append({None: "null", True: "true", False: "false"}[cast(bool | None, value)])


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
