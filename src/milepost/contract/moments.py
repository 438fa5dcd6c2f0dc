"""Moments at which retention is paid out: the sign-off, a time after it, a day, the later or earlier of several."""

from milepost.contract.durations import read_duration
from milepost.contract.findings import Path
from milepost.contract.keys import MOMENTS
from milepost.contract.tree import Value
from milepost.contract.values import Reader
from milepost.core import contract as terms

__all__ = ["read_moment"]

_EXPECTED = "a moment"
_FORMS = "write signoff, {signoff: P12M}, {date: 2027-06-30}, {later_of: [...]} or {earlier_of: [...]}"


def read_moment(read: Reader, value: Value, path: Path) -> terms.Moment | None:
    """The moment, or None where it has a fault."""
    if value == "signoff":
        return terms.OnSignoff()
    if not isinstance(value, dict):
        near = read.findings.nearest(value, ("signoff",)) if isinstance(value, str) else None
        read.wrong(value, path, _EXPECTED, 'did you mean "signoff"?' if near else _FORMS)
        return None
    fields = read.mapping(value, path, MOMENTS)
    kind = read.one_of(value, path, MOMENTS, "a moment")
    if fields is None or kind is None or len(value) != 1:
        return None
    here = (*path, kind)
    if kind == "signoff":
        after = read_duration(read, value[kind], here)
        return terms.OnSignoff(after) if after is not None else None
    if kind == "date":
        on = read.day(value[kind], here)
        return terms.OnDate(on) if on is not None else None
    items = read.sequence(value[kind], here, "a list of moments")
    found = [read_moment(read, item, (*here, place)) for place, item in enumerate(items)]
    moments = tuple(moment for moment in found if moment is not None)
    if not moments or len(moments) != len(items):
        return None
    return terms.LaterOf(moments) if kind == "later_of" else terms.EarlierOf(moments)
