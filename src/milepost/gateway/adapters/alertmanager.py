"""Prometheus Alertmanager's webhook, version 4: an alert that stands for a period says its value when it is over.

A rule that bills is one alert for each engagement, KPI and period, active as long as the period runs. Its labels are
what it is, and change with the period; its annotation is the value so far (docs/WEBHOOKS.md has the rule):

    labels       milepost_engagement, milepost_kpi, and milepost_month ("2026-10") or milepost_period_start and _end
    annotations  milepost_value; milepost_unit, milepost_revision if needed

When the next period begins, the alert of the last one ends, and Alertmanager sends it as resolved with the annotations
of its last evaluation: the value of the whole period. That becomes the FINAL value. An alert that is still firing says
nothing yet. Nor does one that ended before its period did: Prometheus was away, or somebody deleted the series, and
half a month's value must not bill a month.

With the annotation milepost_final_when = "firing" it is the other way round: the alert begins after the period and its
first notification is the value; its end says nothing.

The event's id is fingerprint, startsAt and status: Alertmanager repeats a notification with the same three.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from milepost.codec.json_forms import shown
from milepost.core.calendar import instant_text
from milepost.gateway.adapters.deliveries import Delivery, Gathering, Options, Translation, pointer_to
from milepost.gateway.adapters.periods import check_zone, day, end_of_day, instant, month

__all__ = ["AlertmanagerOptions", "translate"]

_PREFIX = "milepost_"
_STATUSES = ("firing", "resolved")
_EXAMPLE = 'milepost_month "2026-10", or milepost_period_start and milepost_period_end'


class AlertmanagerOptions(Options):
    """`timezone`: whose days and months the labels mean."""

    timezone: Annotated[str, AfterValidator(check_zone)] = "UTC"


def translate(options: AlertmanagerOptions, delivery: Delivery) -> Translation:
    """The values of the periods that are over, of one notification."""
    gathering = Gathering()
    document = gathering.document(delivery.body)
    if document is None:
        return gathering.result()
    alerts = document.get("alerts") if isinstance(document, dict) else None
    if not isinstance(document, dict) or document.get("version") != "4" or not isinstance(alerts, list):
        gathering.finding("", 'is no notification of Alertmanager; expected version "4" and a list of alerts')
        return gathering.result()
    if truncated := document.get("truncatedAlerts"):
        gathering.pass_over(f"{shown(truncated)} alerts that Alertmanager left out: set max_alerts: 0 in its receiver")
    for place, alert in enumerate(alerts):
        _translate_one(options, alert, pointer_to("alerts", place), gathering)
    return gathering.result()


def _translate_one(options: AlertmanagerOptions, alert: Any, at: str, gathering: Gathering) -> None:
    if not isinstance(alert, dict):
        gathering.finding(at, f"is {shown(alert)}; expected an alert")
        return
    labels, annotations = _texts(alert.get("labels")), _texts(alert.get("annotations"))
    if not any(name.startswith(_PREFIX) for name in (*labels, *annotations)):
        gathering.pass_over(f"{at}: the alert has no label {_PREFIX}...")
        return
    identity = {name: alert.get(name) for name in ("fingerprint", "startsAt", "status")}
    missing = [f"{at}/{name}" for name, text in identity.items() if not (isinstance(text, str) and text)]
    missing += [f"{at}/labels/{_PREFIX}{name}" for name in ("engagement", "kpi") if f"{_PREFIX}{name}" not in labels]
    if f"{_PREFIX}value" not in annotations:
        missing.append(f"{at}/annotations/{_PREFIX}value")
    for pointer in missing:
        gathering.finding(pointer, "is missing")
    period = _period(labels, at, gathering, options.timezone)
    if alert.get("status") not in _STATUSES:
        gathering.finding(f"{at}/status", f"is {shown(alert.get('status'))}; expected firing or resolved")
    elif period is not None and not missing:
        start, end, over_at = period
        said_at = _said_at(alert, annotations, over_at, at, gathering)
        if said_at is not None:
            value = {
                "event_id": ":".join(map(str, identity.values())),
                "source": options.source,
                "engagement_id": labels[f"{_PREFIX}engagement"],
                "kpi_id": labels[f"{_PREFIX}kpi"],
                "value": annotations[f"{_PREFIX}value"],
                "unit": annotations.get(f"{_PREFIX}unit"),
                "period_start": start,
                "period_end": end,
                "observed_at": instant_text(said_at),
                "revision": _whole(annotations.get(f"{_PREFIX}revision", "1")),
                "status": "FINAL",
            }
            gathering.event("kpi-events", value, at)


def _texts(value: object) -> dict[str, str]:
    """Labels or annotations; what Alertmanager does not send counts as missing."""
    if not isinstance(value, Mapping):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str) and text}


def _period(labels: dict[str, str], at: str, gathering: Gathering, zone: str) -> tuple[str, str, int] | None:
    """The period's two ends as they go into the event, and the instant at which it is over."""
    named = month(labels.get(f"{_PREFIX}month"))
    if named is not None:
        return named[0].isoformat(), named[1].isoformat(), end_of_day(named[1], zone)
    ends = [labels.get(f"{_PREFIX}period_{end}", "") for end in ("start", "end")]
    days = [date for text in ends if (date := day(text)) is not None]
    instants = [found for text in ends if (found := instant(text)) is not None]
    if len(days) == 2:
        return days[0].isoformat(), days[1].isoformat(), end_of_day(days[1], zone)
    if len(instants) == 2:
        return instant_text(instants[0]), instant_text(instants[1]), instants[1]
    gathering.finding(f"{at}/labels", f"name no period; expected {_EXAMPLE}")
    return None


def _said_at(
    alert: Mapping[str, Any], annotations: dict[str, str], over_at: int, at: str, gathering: Gathering
) -> int | None:
    """When the value of the whole period was said, or None if this alert does not say it."""
    when = annotations.get(f"{_PREFIX}final_when", "resolved")
    if when not in _STATUSES:
        gathering.finding(f"{at}/annotations/{_PREFIX}final_when", f"is {shown(when)}; expected firing or resolved")
        return None
    if alert["status"] != when:
        gathering.pass_over(f"{at}: {alert['status']}; the value counts when the alert is {when}")
        return None
    name = "endsAt" if when == "resolved" else "startsAt"
    said_at = instant(alert.get(name))
    if said_at is None:
        gathering.finding(f"{at}/{name}", f"is {shown(alert.get(name))}; expected an RFC 3339 instant")
    elif said_at < over_at:
        gathering.pass_over(f"{at}: {name} is before the period is over, {instant_text(over_at)}")
        return None
    return said_at


def _whole(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text
