"""What a filing system acknowledges, rung by rung."""

from tests.gateway.delivered import events, found, only, payload, translated

FILING = "filing/acknowledgement.json"


def test_an_acknowledgement_is_the_regulators_decision() -> None:
    assert events(translated(FILING)) == [
        (
            "regulator-acceptances",
            {
                "event_id": "5b1f7c9e-4a52-4f0e-9a31-2c5a0f6d7e10",
                "source": "esg",
                "engagement_id": "submissions",
                "filing_id": "ci1772117400123.448210@fdsul08640_te2",
                "regulator": "FDA",
                "decision": "ACCEPTED",
                "confirmation_id": "ci1772117400123.448210@fdsul08640_te2",
                "decided_at": "2026-03-04T14:30:00.000000Z",
            },
        )
    ]


def test_the_ladder() -> None:
    for kind, outcome, decision in (
        ("ACK1", "SUCCESS", "RECEIVED"),
        ("ACK2", "SUCCESS", "VALIDATED"),
        ("ACK3", "SUCCESS", "ACCEPTED"),
        ("ACK2", "FAILURE", "REJECTED"),
        ("ACK3", "FAILURE", "REJECTED"),
    ):
        assert only(translated(FILING, payload(FILING) | {"type": kind, "outcome": outcome}))["decision"] == decision
    words = {"ladder": {"filed": "ACCEPTED"}, "outcomes": {"ok": True, "suspended": False}}
    assert (
        only(translated(FILING, payload(FILING) | {"type": "filed", "outcome": "suspended"}, **words))["decision"]
        == "REJECTED"
    )


def test_what_is_wrong_with_an_acknowledgement() -> None:
    document = payload(FILING) | {"type": "ACK9", "outcome": "MAYBE", "acknowledged_at": "yesterday"}
    del document["core_id"]
    assert found(translated(FILING, document)) == [
        "/core_id: is missing (for filing)",
        "/core_id: is missing (for confirmation)",
        '/type: is "ACK9"; expected ACK1, ACK2, ACK3, ACK4',
        '/outcome: is "MAYBE"; expected SUCCESS, FAILURE',
        '/acknowledged_at: is "yesterday"; expected an RFC 3339 instant',
    ]
