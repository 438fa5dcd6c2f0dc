"""What an event's values must be before a fact is made of them. A pure look at one event, without any state.

`check` answers None, or a message that names the field, the value that was found and what is expected; the fold makes
an `INVALID_VALUE` dead letter of it. Whether the value makes sense for an engagement is for the rules to say, not here.
"""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from milepost.core.calendar import instant_text
from milepost.core.events import (
    ApprovalDecision,
    ClockTick,
    DisputeEvent,
    EngagementEvent,
    Evidence,
    InvoiceAcknowledgement,
    KpiEvent,
    MilestoneEvent,
    RegulatorDecision,
    UsageEvent,
)

__all__ = ["INSTANT_MAX", "INSTANT_MIN", "MAX_DECIMAL_LENGTH", "MAX_ID_LENGTH", "check", "check_decimal"]

# Long enough for a URN or a path, short enough that a status or an audit entry which repeats it stays small.
MAX_ID_LENGTH = 512
# 34 digits are decimal128; more is not a measurement but an attempt to make arithmetic slow.
MAX_DECIMAL_LENGTH = 40
# "1e999999999" is a short string and a gigabyte of digits.
MAX_DECIMAL_EXPONENT = 30
# A thousand people's minutes of a thousand years, and far from amounts that no record holds.
MAX_QUANTITY = 1_000_000_000
# The years 1900 to 9998, so that a window or a time zone's offset added to an instant still is a date.
INSTANT_MIN = -2_208_988_800_000_000
INSTANT_MAX = 253_370_764_800_000_000
_YEAR_1, _YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000
DAY_MIN, DAY_MAX = date(1900, 1, 1), date(9998, 12, 31)

_engagement_id = lru_cache(maxsize=1 << 16)(re.compile(r"[A-Za-z0-9._:-]{1,128}").fullmatch)
_sha256 = re.compile(r"[0-9a-fA-F]{64}").fullmatch
_decimal = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE]([+-]?[0-9]{1,3}))?").fullmatch
# The percentages that nearly every report carries; the rest takes the long way.
_PERCENTAGES = frozenset(map(str, range(101)))


def check(event: object) -> str | None:
    """What is wrong with the values of one event (any of `core.events`), or None."""
    return _CHECKS[type(event)](event)


def check_decimal(field: str, text: str) -> str | None:
    """None if `text` is a finite decimal of at most 40 characters; an exponent may be at most 30 either way."""
    match = _decimal(text) if len(text) <= MAX_DECIMAL_LENGTH else None
    if match is not None and (match[1] is None or abs(int(match[1])) <= MAX_DECIMAL_EXPONENT):
        return None
    return (
        f'{field}: {_show(text)} is not a decimal; expected digits like "99.8981", '
        f"at most {MAX_DECIMAL_LENGTH} characters, no NaN or Infinity"
    )


def _show(value: object) -> str:
    """The value for a message: short, on one line, quoted if it is text."""
    text = ascii(value) if isinstance(value, str) else str(value)
    text = f'"{text[1:-1]}"' if isinstance(value, str) else text
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _percentage(field: str, text: str) -> str | None:
    if text in _PERCENTAGES:
        return None
    wrong = check_decimal(field, text)
    if wrong is not None:
        return wrong
    digits, _, exponent = text.lower().partition("e")
    whole, _, fraction = digits.lstrip("+").partition(".")
    if exponent or not _within_100(whole, fraction):
        return f'{field}: {_show(text)} is not a percentage; expected a decimal string from "0" to "100", no exponent'
    return None


def _within_100(whole: str, fraction: str) -> bool:
    if whole.startswith("-"):
        return not (whole + fraction).strip("-0")  # -0 and -0.00 are zero
    return int(whole) < 100 or (int(whole) == 100 and not fraction.strip("0"))


def _ids(**fields: str | None) -> str | None:
    """Each given id is 1 to 512 printable characters; an optional one may be null."""
    for field, value in fields.items():
        if value is not None and not (value and len(value) <= MAX_ID_LENGTH and value.isprintable()):
            return f"{field}: {_show(value)} is no id; expected 1 to {MAX_ID_LENGTH} printable characters"
    return None


def _texts(**fields: str | None) -> str | None:
    for field, value in fields.items():
        if value is not None and "\0" in value:
            return f"{field}: contains a NUL character, which no database stores; remove it"
    return None


def _instants(**fields: object) -> str | None:
    for field, value in fields.items():
        if isinstance(value, int) and not INSTANT_MIN <= value <= INSTANT_MAX:
            return f"{field}: {_time(value)} is outside the years 1900 to 9998"
    return None


def _time(instant: int) -> str:
    """An instant for a message: as people write it, if their calendar has it."""
    return instant_text(instant) if _YEAR_1 <= instant < _YEAR_10000 else f"{instant} microseconds since 1970"


def _bound(bound: date | int) -> str:
    return bound.isoformat() if isinstance(bound, date) else _time(bound)


def _at_least(field: str, value: int | None, least: int) -> str | None:
    if value is None or value >= least:
        return None
    return f"{field}: {value} is too small; expected {least} or more"


def _head(event: Any) -> str | None:
    """What all events but ticks share, and their evidence."""
    engagement_id, event_id, source = event.engagement_id, event.event_id, event.source
    if _engagement_id(engagement_id) is None:
        return f"engagement_id: {_show(engagement_id)} is no engagement id; expected 1 to 128 of A-Z a-z 0-9 . _ : -"
    if not (0 < len(event_id) <= MAX_ID_LENGTH and event_id.isprintable()) or not (
        0 < len(source) <= MAX_ID_LENGTH and source.isprintable()
    ):
        return _ids(event_id=event_id, source=source)
    return None


def _evidence(items: tuple[Evidence, ...]) -> str | None:
    for place, item in enumerate(items):
        at = f"evidence[{place}]"
        if _sha256(item.sha256) is None:
            return f"{at}.sha256: {_show(item.sha256)} is no SHA-256; expected 64 hexadecimal digits"
        if item.size_bytes < 0:
            return f"{at}.size_bytes: {item.size_bytes} is negative; expected 0 or more"
        wrong = _ids(name=item.name) or _texts(media_type=item.media_type, uri=item.uri)
        if wrong is not None:
            return f"{at}.{wrong}"
    return None


def _plain(joined: str) -> bool:
    """True if ids, joined, are short and printable: then each of them is. One look for the usual record."""
    return len(joined) <= MAX_ID_LENGTH and joined.isprintable()


def _engagement(event: EngagementEvent) -> str | None:
    return (
        _head(event) or _instants(occurred_at=event.occurred_at) or _ids(actor=event.actor) or _evidence(event.evidence)
    )


def _milestone(event: MilestoneEvent) -> str | None:
    event_id, source, milestone_id = event.event_id, event.source, event.milestone_id
    occurrence_id, reporter = event.occurrence_id, event.reported_by
    if (
        not event.attributes
        and not event.evidence
        and event.completion in _PERCENTAGES
        and INSTANT_MIN <= event.occurred_at <= INSTANT_MAX
        and _engagement_id(event.engagement_id)
        and "" not in (event_id, source, milestone_id, occurrence_id, reporter)
        and _plain(f"{event_id}{source}{milestone_id}{occurrence_id}{reporter}")
    ):
        return None
    return _milestone_in_full(event)


def _milestone_in_full(event: MilestoneEvent) -> str | None:
    wrong = (
        _head(event)
        or _ids(milestone_id=event.milestone_id, occurrence_id=event.occurrence_id, reported_by=event.reported_by)
        or _percentage("completion", event.completion)
        or _instants(occurred_at=event.occurred_at)
        or (_evidence(event.evidence) if event.evidence else None)
    )
    if wrong is None and event.attributes:
        for name, value in event.attributes.items():
            wrong = _ids(attributes=name) or _texts(**{f"attributes.{name}": value})
            if wrong is not None:
                return wrong
    return wrong


def _kpi(event: KpiEvent) -> str | None:
    event_id, source, kpi_id, unit = event.event_id, event.source, event.kpi_id, event.unit
    if (
        not event.evidence
        and event.revision >= 1
        and INSTANT_MIN <= event.observed_at <= INSTANT_MAX
        and _engagement_id(event.engagement_id)
        and "" not in (event_id, source, kpi_id, unit)
        and _plain(f"{event_id}{source}{kpi_id}{unit}")
    ):
        return check_decimal("value", event.value) or _period(event)
    return _kpi_in_full(event)


def _kpi_in_full(event: KpiEvent) -> str | None:
    return (
        _head(event)
        or _ids(kpi_id=event.kpi_id, unit=event.unit)
        or check_decimal("value", event.value)
        or _at_least("revision", event.revision, 1)
        or _instants(observed_at=event.observed_at)
        or _period(event)
        or (_evidence(event.evidence) if event.evidence else None)
    )


def _period(event: KpiEvent) -> str | None:
    start, end = event.period_start, event.period_end
    if start is None and end is None:
        return None
    if start is None or end is None:
        found, lacks = ("period_end", "period_start") if start is None else ("period_start", "period_end")
        return f"{lacks}: null beside {found}; expected both ends of the period, or neither for a reading"
    if isinstance(start, int) is not isinstance(end, int):
        ends, starts = _bound(end), _bound(start)
        return f"period_end: {ends} and period_start {starts} are of two kinds; expected two dates or two instants"
    if end < start:  # type: ignore[operator]
        return f"period_end: {_bound(end)} is before period_start {_bound(start)}; expected the same or later"
    for field, value in (("period_start", start), ("period_end", end)):
        if isinstance(value, date) and not DAY_MIN <= value <= DAY_MAX:
            return f"{field}: {value} is outside the years 1900 to 9998"
    return _instants(period_start=start, period_end=end)


def _regulator(event: RegulatorDecision) -> str | None:
    return (
        _head(event)
        or _ids(
            filing_id=event.filing_id,
            regulator=event.regulator,
            confirmation_id=event.confirmation_id,
            milestone_id=event.milestone_id,
        )
        or _at_least("sequence", event.sequence, 0)
        or _instants(decided_at=event.decided_at)
        or (_evidence(event.evidence) if event.evidence else None)
    )


def _approval(event: ApprovalDecision) -> str | None:
    event_id, source, milestone_id = event.event_id, event.source, event.milestone_id
    occurrence_id, role, approver = event.occurrence_id, event.role, event.approver
    if (
        event.submission_hash is None
        and event.certified_completion is None
        and event.submission is None
        and event.comment is None
        and not event.evidence
        and INSTANT_MIN <= event.decided_at <= INSTANT_MAX
        and _engagement_id(event.engagement_id)
        and "" not in (event_id, source, milestone_id, occurrence_id, role, approver)
        and _plain(f"{event_id}{source}{milestone_id}{occurrence_id}{role}{approver}")
    ):
        return None
    return _approval_in_full(event)


def _approval_in_full(event: ApprovalDecision) -> str | None:
    wrong = (
        _head(event)
        or _ids(
            milestone_id=event.milestone_id,
            occurrence_id=event.occurrence_id,
            role=event.role,
            approver=event.approver,
        )
        or _at_least("submission", event.submission, 1)
        or _instants(decided_at=event.decided_at)
        or _texts(comment=event.comment)
        or (_evidence(event.evidence) if event.evidence else None)
    )
    if wrong is None and event.submission_hash is not None and _sha256(event.submission_hash) is None:
        return f"submission_hash: {_show(event.submission_hash)} is no SHA-256; expected 64 hexadecimal digits or null"
    if wrong is None and event.certified_completion is not None:
        return _percentage("certified_completion", event.certified_completion)
    return wrong


def _usage(event: UsageEvent) -> str | None:
    wrong = (
        _head(event)
        or _ids(
            usage_id=event.usage_id,
            meter=event.meter,
            worker=event.worker,
            timesheet_id=event.timesheet_id,
            milestone_id=event.milestone_id,
        )
        or _at_least("revision", event.revision, 1)
        or _instants(started_at=event.started_at, ended_at=event.ended_at)
        or (_evidence(event.evidence) if event.evidence else None)
    )
    if wrong is not None:
        return wrong
    if event.ended_at is not None and event.ended_at < event.started_at:
        ends, starts = _time(event.ended_at), _time(event.started_at)
        return f"ended_at: {ends} is before started_at {starts}; expected the same or later"
    if event.quantity is None:
        return None if event.ended_at is not None else "quantity: null beside ended_at null; expected one of the two"
    wrong = check_decimal("quantity", event.quantity)
    if wrong is None and abs(Decimal(event.quantity)) > MAX_QUANTITY:
        return f"quantity: {_show(event.quantity)} is no quantity of hours or minutes; expected {MAX_QUANTITY} at most"
    return wrong


def _dispute(event: DisputeEvent) -> str | None:
    return (
        _head(event)
        or _ids(dispute_id=event.dispute_id, line_id=event.line_id, actor=event.actor)
        or _at_least("amount_minor", event.amount_minor, 0)
        or _instants(occurred_at=event.occurred_at)
        or _texts(reason=event.reason)
        or (_evidence(event.evidence) if event.evidence else None)
    )


def _acknowledgement(event: InvoiceAcknowledgement) -> str | None:
    return (
        _head(event)
        or _ids(line_id=event.line_id, document_number=event.document_number)
        or _instants(occurred_at=event.occurred_at)
        or _texts(reason=event.reason)
    )


def _tick(event: ClockTick) -> str | None:
    return _instants(at=event.at)


_CHECKS: dict[type, Callable[[Any], str | None]] = {
    EngagementEvent: _engagement,
    MilestoneEvent: _milestone,
    KpiEvent: _kpi,
    RegulatorDecision: _regulator,
    ApprovalDecision: _approval,
    UsageEvent: _usage,
    DisputeEvent: _dispute,
    InvoiceAcknowledgement: _acknowledgement,
    ClockTick: _tick,
}
