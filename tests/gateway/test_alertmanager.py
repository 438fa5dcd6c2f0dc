"""What Alertmanager sends: an alert for each month, whose end is the month's value."""

import copy

import pytest

from tests.gateway.delivered import changed, events, found, only, payload, translated

MONTH = "alertmanager/month-resolved.json"


def test_a_month_that_resolved_is_its_final_value() -> None:
    assert events(translated(MONTH)) == [
        (
            "kpi-events",
            {
                "event_id": "c4ee1a55bb2dbf0b:2026-10-01T00:00:14.123456789Z:resolved",
                "source": "monitoring",
                "engagement_id": "hosting",
                "kpi_id": "availability",
                "value": "99.912345",
                "observed_at": "2026-11-01T00:00:14.123000Z",
                "unit": "percent",
                "period_start": "2026-10-01",
                "period_end": "2026-10-31",
                "revision": 1,
                "status": "FINAL",
            },
        )
    ]


def test_an_alert_that_fires_says_nothing_yet() -> None:
    translation = translated(MONTH, changed(MONTH, "alerts.0.status", "firing"))
    assert (events(translation), len(translation.passed_over)) == ([], 1)


@pytest.mark.parametrize(
    ("ends_at", "zone", "counts"),
    [
        ("2026-10-31T23:59:59.999999999Z", "UTC", False),
        ("2026-11-01T00:00:00Z", "UTC", True),
        ("2026-10-31T22:59:59Z", "Europe/Berlin", False),
        ("2026-10-31T23:00:00Z", "Europe/Berlin", True),
        ("2026-11-01T04:59:59Z", "America/Chicago", False),
        ("2026-11-01T05:00:00Z", "America/Chicago", True),
        ("2026-10-14T12:00:00Z", "UTC", False),
    ],
)
def test_a_month_that_ends_before_it_is_over_says_nothing(ends_at: str, zone: str, counts: bool) -> None:
    """Prometheus was away, and Alertmanager took its silence for an end: half a month bills nothing."""
    translation = translated(MONTH, changed(MONTH, "alerts.0.endsAt", ends_at), timezone=zone)
    assert (len(events(translation)), len(translation.passed_over)) == ((1, 0) if counts else (0, 1))


def test_a_statement_after_the_period_counts_when_it_fires() -> None:
    document = changed(MONTH, "alerts.0.status", "firing")
    alert = document["alerts"][0]
    alert["annotations"]["milepost_final_when"] = "firing"
    assert events(translated(MONTH, document)) == []  # it began in the month it speaks of
    alert["startsAt"] = "2026-11-01T06:00:00Z"
    event = only(translated(MONTH, document))
    assert (event["observed_at"], event["status"]) == ("2026-11-01T06:00:00.000000Z", "FINAL")
    alert["status"] = "resolved"
    assert events(translated(MONTH, document)) == []


def test_periods_other_than_months() -> None:
    document = payload(MONTH)
    labels = document["alerts"][0]["labels"]
    del labels["milepost_month"]
    for ends, wanted in (
        (("2026-10-05", "2026-10-11"), ("2026-10-05", "2026-10-11")),
        (
            ("2026-10-01T00:00:00.123456789-05:00", "2026-10-31T23:00:00Z"),
            ("2026-10-01T05:00:00.123456Z", "2026-10-31T23:00:00.000000Z"),
        ),
    ):
        labels["milepost_period_start"], labels["milepost_period_end"] = ends
        event = only(translated(MONTH, document))
        assert (event["period_start"], event["period_end"]) == wanted


def test_what_is_wrong_with_an_alert_is_said_of_every_member() -> None:
    document = payload(MONTH)
    alert = document["alerts"][0]
    del alert["labels"]["milepost_kpi"], alert["annotations"]["milepost_value"], alert["fingerprint"]
    alert["labels"]["milepost_month"] = "2026-13"
    assert found(translated(MONTH, document)) == [
        "/alerts/0/fingerprint: is missing",
        "/alerts/0/labels/milepost_kpi: is missing",
        "/alerts/0/annotations/milepost_value: is missing",
        (
            '/alerts/0/labels: name no period; expected milepost_month "2026-10", '
            "or milepost_period_start and milepost_period_end"
        ),
    ]


def test_a_value_that_is_no_number_is_a_finding() -> None:
    for value in ("NaN", "+Inf", "99,9", "ninety"):
        document = changed(MONTH, "alerts.0.annotations.milepost_value", value)
        assert "is not a decimal" in found(translated(MONTH, document))[0]


def test_alerts_of_others_are_passed_over_and_one_bad_alert_takes_the_delivery_with_it() -> None:
    document = payload(MONTH)
    document["alerts"].append({"status": "firing", "labels": {"alertname": "DiskFull"}, "annotations": {}})
    assert len(events(translated(MONTH, document))) == 1
    document["alerts"].append(copy.deepcopy(document["alerts"][0]))
    document["alerts"][2]["annotations"] = {}
    assert found(translated(MONTH, document)) == ["/alerts/2/annotations/milepost_value: is missing"]


def test_what_is_no_notification_is_a_finding() -> None:
    for document in ({}, [], {"version": "3", "alerts": []}, {"version": "4", "alerts": {}}):
        assert len(found(translated(MONTH, document))) == 1
    assert len(translated(MONTH, payload(MONTH) | {"truncatedAlerts": 3}).passed_over) == 1
