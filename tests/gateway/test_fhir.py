"""What FHIR servers send: encounters and payers' answers to claims."""

from typing import Any

import pytest

from tests.gateway.delivered import changed, events, found, only, payload, translated

ENCOUNTER, CLAIM = "fhir/encounter.json", "fhir/claim-response.json"


def test_a_finished_encounter_is_a_report() -> None:
    assert events(translated(ENCOUNTER)) == [
        (
            "milestone-events",
            {
                "event_id": "Encounter/f001/3",
                "source": "ehr",
                "engagement_id": "clinic-north",
                "milestone_id": "encounter",
                "occurrence_id": "f001",
                "kind": "REPORTED",
                "completion": "100",
                "occurred_at": "2026-02-03T15:00:00.000000Z",
                "reported_by": "Practitioner/f001",
                "attributes": {"procedure_code": "270427003"},
            },
        )
    ]


@pytest.mark.parametrize("status", ["planned", "arrived", "triaged", "in-progress", "onleave", "unknown"])
def test_an_encounter_that_goes_on_says_nothing(status: str) -> None:
    translation = translated(ENCOUNTER, changed(ENCOUNTER, "status", status))
    assert (events(translation), len(translation.passed_over)) == ([], 1)


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_an_encounter_that_never_was_is_withdrawn(status: str) -> None:
    event = only(translated(ENCOUNTER, changed(ENCOUNTER, "status", status)))
    assert (event["kind"], event["occurred_at"]) == ("WITHDRAWN", "2026-02-03T15:05:12.431000Z")


def test_an_encounter_without_an_end_or_of_an_unknown_status_is_a_finding() -> None:
    assert found(translated(ENCOUNTER, changed(ENCOUNTER, "period.end"))) == [
        "/period/end: is missing; expected a dateTime"
    ]
    assert found(translated(ENCOUNTER, changed(ENCOUNTER, "status", "done"))) == [
        '/status: is "done"; expected a status of a FHIR R4 Encounter'
    ]


def test_versions_tell_events_apart_and_a_hash_does_where_there_are_none() -> None:
    unversioned = changed(ENCOUNTER, "meta")
    first, again = (only(translated(ENCOUNTER, unversioned))["event_id"] for _ in range(2))
    other = only(translated(ENCOUNTER, unversioned | {"priority": {}}))["event_id"]
    assert first == again != other


def test_where_the_engagement_and_the_price_stand_is_for_the_endpoint_to_say() -> None:
    event = only(
        translated(
            ENCOUNTER,
            engagement={"pointer": "/serviceProvider/reference", "map": {"Organization/f001": "burgers"}},
            attributes={
                "payer_id": "BLUE",
                "charge": {"pointer": "/length/value"},
                "ward": {"pointer": "/w", "optional": True},
            },
        )
    )
    assert (event["engagement_id"], event["attributes"]) == ("burgers", {"payer_id": "BLUE", "charge": "140"})


def test_a_settled_claim_is_the_payers_acceptance() -> None:
    assert events(translated(CLAIM)) == [
        (
            "regulator-acceptances",
            {
                "event_id": "ClaimResponse/R3500/1",
                "source": "ehr",
                "engagement_id": "clinic-north",
                "filing_id": "15476332402",
                "regulator": "555123",
                "decision": "ACCEPTED",
                "confirmation_id": "R3500",
                "decided_at": "2026-08-16T09:15:00.000000Z",
            },
        )
    ]


def amounts(eligible: float, benefit: float, paid: float) -> dict[str, Any]:
    total = [
        {"category": {"coding": [{"code": code}]}, "amount": {"value": amount}}
        for code, amount in (("submitted", 135.57), ("eligible", eligible), ("benefit", benefit))
    ]
    return {"total": total, "payment": {"amount": {"value": paid}}}


@pytest.mark.parametrize(
    ("change", "decision"),
    [
        ({"outcome": "queued"}, "RECEIVED"),
        ({"outcome": "partial"}, "VALIDATED"),
        ({"outcome": "error"}, "REJECTED"),
        ({"status": "cancelled"}, "REVOKED"),
        ({"status": "entered-in-error"}, "REVOKED"),
        (amounts(0, 0, 0), "REJECTED"),  # denied: the processing is complete all the same
        (amounts(135.57, 0, 0), "ACCEPTED"),  # it went into the deductible
        (amounts(0, 90.47, 0), "ACCEPTED"),
        ({"total": [], "payment": {}}, "VALIDATED"),
        ({"total": [], "payment": {}, "preAuthRef": "P-7"}, "VALIDATED"),
        ({"total": [], "payment": {}, "use": "preauthorization", "preAuthRef": "P-7"}, "ACCEPTED"),
        ({"total": [], "payment": {}, "use": "preauthorization"}, "VALIDATED"),
    ],
)
def test_the_rungs_of_a_claim(change: dict[str, Any], decision: str) -> None:
    assert only(translated(CLAIM, payload(CLAIM) | change))["decision"] == decision


def test_a_claim_is_dated_by_its_version_so_that_the_later_one_governs() -> None:
    queued = payload(CLAIM) | {"outcome": "queued", "meta": {"versionId": "1", "lastUpdated": "2026-08-16T08:00:00Z"}}
    assert only(translated(CLAIM, queued))["decided_at"] < only(translated(CLAIM))["decided_at"]
    undated = only(translated(CLAIM, changed(CLAIM, "meta"), timezone="America/New_York"))
    assert undated["decided_at"] == "2026-08-16T04:00:00.000000Z"


def test_a_draft_and_other_resources_say_nothing_and_a_bundle_all_that_is_in_it() -> None:
    assert events(translated(CLAIM, payload(CLAIM) | {"status": "draft"})) == []
    entries = [{"resource": payload(name)} for name in (ENCOUNTER, CLAIM)] + [{"resource": {"resourceType": "Patient"}}]
    translation = translated(CLAIM, {"resourceType": "Bundle", "type": "history", "entry": entries})
    assert [topic for topic, _ in events(translation)] == ["milestone-events", "regulator-acceptances"]
    entries[0]["resource"]["status"] = "ended"
    findings = found(translated(CLAIM, {"resourceType": "Bundle", "entry": entries}))
    assert findings == ['/entry/0/resource/status: is "ended"; expected a status of a FHIR R4 Encounter']


def test_a_claim_that_names_nobody_is_a_finding() -> None:
    findings = found(translated(CLAIM, payload(CLAIM) | {"insurer": {}, "request": {}, "outcome": "done"}))
    assert [one.partition(":")[0] for one in findings] == ["/outcome", "/request", "/insurer"]
