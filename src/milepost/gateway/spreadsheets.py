"""CSV that a spreadsheet opens without running it (RFC 4180; the formula rules are OWASP's "CSV Injection").

A cell whose text begins like a formula gets an apostrophe before it, which spreadsheets take for "this is text"; so
does what begins like one behind a semicolon or tab, at which a spreadsheet of another language splits. Plain numbers
keep their minus. Lists and objects are JSON in their cell.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["cell", "written"]

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
# The last ones are the full-width forms, which some spreadsheets fold to the first ones.
_STARTERS = "=+\\-@\t\r\n|%\uff1d\uff0b\uff0d\uff20"
# Where a cell may begin: at its start, and behind what separates fields elsewhere.
_SEPARATED = re.compile(rf"(\A|[;\t])(?= *[{_STARTERS}])")


def cell(value: Any) -> str:
    """A value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, dict) and "amount_minor" in value:
        # A number that a sheet can add up; the currency has a column of its own.
        value = str(value["text"]).rpartition(" ")[0]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if _NUMBER.fullmatch(text):
        return text
    return _SEPARATED.sub(lambda found: f"{found[1]}'", text)


def written(
    columns: Sequence[str], first: Iterable[Mapping[str, Any]], following: Iterator[Iterable[Mapping[str, Any]]]
) -> Iterator[str]:
    """The lines, a page at a time, below a line of the columns' names."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    rows = first
    while True:
        writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        found = next(following, None)
        if found is None:
            return
        rows = found
