"""Why a line exists: gates, signatures, dates and every fee's arithmetic; from files, and from records alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from milepost.audit.explaining import explain_line
from tests.cli.explained import (
    Told,
    approval,
    change,
    contract,
    decision,
    evidence,
    report,
    tick,
    usage,
    value,
)

DUAL = {
    "people": {"lead": ["maria"], "ap": ["ana"]},
    "approvals": {"dual": {"steps": [{"role": "lead"}, {"role": "ap"}]}},
    "amendments": {"approval": "dual"},
}
RELEASED = {"rate": "10", "release": [{"id": "h", "when": "signoff"}]}


def plain(name: str, fee: Any = "100.00", **more: Any) -> dict[str, Any]:
    priced = {"fixed": fee} if isinstance(fee, str) else fee
    return {"id": name, "fee": priced, "requires": ["completed"], "approval": "none", **more}


@pytest.fixture
def gated(tmp_path: Path) -> Told:
    """Every kind of gate, two tiers, each signed by two."""
    requires = [
        "completed",
        {"evidence": ["pdf"]},
        {"kpi": {"id": "k", "at_least": "3"}},
        {"any_of": [{"date": "2026-02-01"}, {"regulator": {"by": ["F"], "filing": "N"}}]},
    ]
    a = plain("a", "1000.00", partial=["50", "100"], depends_on=["b"])
    terms = contract(plain("b"), {**a, "requires": requires, "approval": "dual"}, **DUAL, retention=RELEASED)
    events = [
        report("e4", "b", "2026-01-05T10:00:00Z", reported_by="bob"),
        value("e5", "k", "4", "2026-01-10T10:00:00Z"),
        decision("e6", "N", "F", "ACCEPTED", "2026-01-11T10:00:00Z", confirmation_id="c1"),
        report("e7", "a", "2026-01-12T10:00:00Z", completion="50", evidence=evidence("a")),
        approval("e8", "a", "lead", "maria", "2026-01-13T10:00:00Z"),
        approval("e9", "a", "ap", "ana", "2026-01-14T10:00:00Z"),
        report("e10", "a", "2026-01-20T10:00:00Z", evidence=evidence("c")),
        approval("e11", "a", "lead", "maria", "2026-01-23T10:00:00Z"),
        approval("e12", "a", "ap", "ana", "2026-01-24T10:00:00Z"),
    ]
    return Told(tmp_path, terms, events)


def test_every_gate_is_listed_with_what_it_looked_at_and_since_when(gated: Told) -> None:
    confirmed = "2026-01-11T10:00:00Z"
    assert gated.line(0)["Gates"] == ["completed: 100 % reported by bob (t/e4), since 2026-01-05T10:00:00Z"]
    assert gated.line(1)["Gates"] == [
        "completed: 50 % reported (t/e7), since 2026-01-12T10:00:00Z",
        "evidence pdf: carried by report t/e7, since 2026-01-12T10:00:00Z",
        "k at least 3: was 4 (revision 1, t/e5, observed 2026-01-10T10:00:00Z), since 2026-01-10T10:00:00Z",
        "any of: date 2026-02-01: has not come, does not hold",
        f"any of: F on N at least accepted: ACCEPTED confirmed as c1 (t/e6, decided {confirmed}), since {confirmed}",
        "b accepted to at least 100 %: accepted to 100 %, since 2026-01-05T10:00:00Z",
    ]


def test_the_ledger_names_the_gates_too_and_says_what_it_lacks(gated: Told) -> None:
    said = gated.recorded(1)["Gates"]
    assert [gate.split(":")[0] for gate in said] == [
        "completed",
        "evidence pdf",
        "k at least 3",
        "any of",
        "any of",
        "b accepted to at least 100 %",
    ]
    assert "was 4 (revision 1)" in said[2]
    assert "the ledger keeps no time of it" in said[2]
    assert "had not come" in said[3]
    assert "confirmed as c1" in said[4]
    assert said[5].endswith("accepted to 100 %, since 2026-01-05T10:00:00Z")


@pytest.mark.parametrize("place", [1, 2])
def test_only_the_signatures_of_the_lines_own_submission_are_listed(gated: Told, place: int) -> None:
    granted = [
        f"submission {place}, step 1: lead (maria) granted",
        f"submission {place}, step 2: ap (ana) granted",
    ]
    assert gated.recorded(place)["Signatures"] == granted
    said = gated.line(place)["Signatures"]
    assert said[:2] == granted
    days = {1: ("13", "14"), 2: ("23", "24")}[place]
    signed = [f"2026-01-{day}T10:00:00Z" for day in days]
    assert [at in sentence for at, sentence in zip(signed, said[2:], strict=True)] == [True, True]
    assert all(f"submission {place}" in sentence for sentence in said)


def test_a_credit_is_not_said_to_be_signed(tmp_path: Path) -> None:
    events = [
        report("e1", "a", "2026-01-12T10:00:00Z"),
        approval("e2", "a", "lead", "maria", "2026-01-13T10:00:00Z"),
        approval("e3", "a", "ap", "ana", "2026-01-13T10:00:00Z"),
        report("e4", "a", "2026-01-20T10:00:00Z", kind="WITHDRAWN"),
    ]
    told = Told(tmp_path, contract(plain("a", approval="dual"), **DUAL), events)
    assert told.line(1)["Signatures"] == told.recorded(1)["Signatures"] == []
    assert told.line(1)["Gates"] == ["completed: withdrawn (t/e4), does not hold"]
    assert told.line(1)["Arithmetic"][0] == "nothing is accepted any more"


def test_a_decision_that_was_revoked_is_shown_as_what_holds_no_longer(tmp_path: Path) -> None:
    requires = [{"regulator": {"by": ["F"], "filing": "N"}}]
    events = [
        decision("e1", "N", "F", "ACCEPTED", "2026-01-11T10:00:00Z", confirmation_id="c1"),
        decision("e2", "N", "F", "REVOKED", "2026-01-12T10:00:00Z", confirmation_id="c1"),
    ]
    told = Told(tmp_path, contract({**plain("a"), "requires": requires}), events)
    (gate,) = told.line(1)["Gates"]
    assert gate.endswith("REVOKED confirmed as c1 (t/e2, decided 2026-01-12T10:00:00Z), does not hold")


def test_two_sources_may_use_the_same_event_id(tmp_path: Path) -> None:
    events = [
        report("s1/7", "a", "2026-02-01T10:00:00Z"),
        report("s2/7", "b", "2026-03-01T10:00:00Z"),
    ]
    told = Told(tmp_path, contract(plain("a"), plain("b", depends_on=["a"])), events)
    assert told.line(0)["Because of"] == ["s1/7: applied, dated 2026-02-01T10:00:00Z"]
    assert told.line(1)["Because of"] == ["s2/7: applied, dated 2026-03-01T10:00:00Z"]
    # the audit trail has no sources: what it cannot tell apart it does not decide
    assert told.recorded(0)["Because of"] == ["s1/7: applied, dated 2026-02-01T10:00:00Z"]
    (said,) = told.recorded(1)["Because of"]
    assert "2026-02-01T10:00:00Z or 2026-03-01T10:00:00Z" in said
    assert "keeps no source" in said


SUCCESS = {
    "kpi": {"id": "rev"},
    "baseline": "1000",
    "mode": "marginal",
    "tiers": [{"up_to": "100", "rate": "10"}, {"up_to": "500", "rate": "15"}, {"rate": "20"}],
    "floor": "5.00",
    "cap": "75.00",
    "to_date": True,
}


def growth(tmp_path: Path, *values: str, **differences: Any) -> Told:
    milestone = {**plain("s", {"success": {**SUCCESS, **differences}}), "requires": [{"kpi": {"id": "rev"}}]}
    events = [value(f"e{n}", "rev", what, f"2026-0{n}-01T10:00:00Z") for n, what in enumerate(values, 1)]
    return Told(tmp_path, contract(milestone), events)


def test_a_success_fee_is_shown_tier_by_tier(tmp_path: Path) -> None:
    told = growth(tmp_path, "1450", "1400")
    steps = [
        "gain 1450 - baseline 1000 = 450",
        "100 x 10 % + 350 x 15 % = 62.50 EUR (marginal)",
        "floor 5.00 EUR, cap 75.00 EUR: it stays",
        "to date: the value is cumulative, what is billed is subtracted",
        "entitled to date 62.50 EUR - billed before 0.00 EUR",
        "= gross 62.50 EUR",
    ]
    assert told.line(0)["Arithmetic"][1:7] == told.recorded(0)["Arithmetic"][1:7] == steps
    assert "100 x 10 % + 300 x 15 % = 55.00 EUR (marginal)" in told.line(1)["Arithmetic"]
    assert "entitled to date 55.00 EUR - billed before 62.50 EUR" in told.line(1)["Arithmetic"]


def test_floor_and_cap_say_what_they_make_of_it(tmp_path: Path) -> None:
    told = growth(tmp_path, "1010", "2000", "900")
    assert "floor 5.00 EUR, cap 75.00 EUR: it is 5.00 EUR" in told.line(0)["Arithmetic"]
    assert "floor 5.00 EUR, cap 75.00 EUR: it is 75.00 EUR" in told.line(1)["Arithmetic"]
    assert "gain 900 - baseline 1000 = -100" in told.line(2)["Arithmetic"]
    assert "no positive gain, no fee" in told.line(2)["Arithmetic"]


def test_a_slab_applies_one_rate_and_is_rounded_once(tmp_path: Path) -> None:
    told = growth(tmp_path, "1033.35", mode="slab", floor="0.00", cap="75.00")
    assert "33.35 x 10 % = 3.335 EUR, rounded half up 3.34 EUR (slab)" in told.line(0)["Arithmetic"]


CARDS = {"p": {"A": {"percent_of_charge": "80", "pays_after": "P30D"}, "B": {"procedures": {"99213": "195.99"}}}}


def test_a_rate_card_shows_the_share_of_the_charge_or_the_procedures_amount(tmp_path: Path) -> None:
    events = [
        report("e1", "e", "2026-02-01T10:00:00Z", occurrence_id="1", attributes={"payer_id": "A", "charge": "250.01"}),
        report(
            "e2",
            "e",
            "2026-02-02T10:00:00Z",
            occurrence_id="2",
            attributes={"payer_id": "B", "procedure_code": "99213"},
        ),
    ]
    milestone = plain("e", {"rate_card": "p"}, repeats="per_occurrence")
    told = Told(tmp_path, contract(milestone, rate_cards=CARDS), events)
    assert told.line(0)["Arithmetic"][:2] == [
        "card p: payer A pays 80 % of the charge, P30D after the invoice's date",
        "charge 250.01 x 80 % = 200.008 EUR, rounded half up 200.01 EUR",
    ]
    fixed = "card p: payer B pays 195.99 EUR for procedure 99213"
    assert told.line(1)["Arithmetic"][0] == told.recorded(1)["Arithmetic"][0] == fixed
    # the line carries no charge
    assert told.recorded(0)["Arithmetic"][:2] == [
        "card p: payer A pays 80 % of the charge, P30D after the invoice's date",
        "the ledger keeps no charge: explain with --contract and --events",
    ]


@pytest.mark.parametrize(
    ("basis", "formula"),
    [
        ("linear", "40 % x (6 - 2) / 6 = 13333.333333... EUR, rounded half up 13333.33 EUR taken back"),
        ("flat", "40 % = 20000.00 EUR taken back"),
    ],
)
def test_a_clawback_shows_its_window_and_its_share(tmp_path: Path, basis: str, formula: str) -> None:
    clawback = {"when": {"kpi": {"id": "ad", "below": "60"}}, "within": "P6M", "share": "40", "basis": basis}
    requires = [{"kpi": {"id": "ad", "at_least": "80"}}]
    events = [
        value("e1", "ad", "85", "2026-01-31T12:00:00+01:00"),
        value("e2", "ad", "50", "2026-04-29T12:00:00+02:00"),
    ]
    told = Told(tmp_path, contract({**plain("b", "50000.00"), "requires": requires, "clawback": clawback}), events)
    for said in (told.line(1)["Arithmetic"], told.recorded(1)["Arithmetic"]):
        assert any("the window of P6M is from 2026-01-31 to 2026-07-31, the last day included" in one for one in said)
        assert f"gross less credits 50000.00 EUR x {formula}" in said
    (gate,) = told.line(1)["Gates"]
    assert gate.startswith("ad below 60: was 50 (revision 1, t/e2, observed 2026-04-29T10:00:00Z), since")


HOURS = {"bill": "monthly", "rates": {"s": {"price": "133.33", "unit": "HUR"}}}


def test_hours_are_added_up_and_multiplied(tmp_path: Path) -> None:
    events = [usage(f"u{day}", "0.25", f"2026-01-0{day}T10:00:00Z") for day in (5, 6, 7)]
    told = Told(tmp_path, contract(time_and_materials=HOURS), [*events, tick("2026-02-02T00:00:00Z")])
    assert told.line(0)["Arithmetic"][:2] == [
        "3 entries of s: 0.25 + 0.25 + 0.25 = 0.75 HUR",
        "0.75 HUR x 133.33 EUR = 99.9975 EUR, rounded half up 100.00 EUR",
    ]
    assert told.line(0)["Gates"] == ["2026-01 is over, since 2026-01-31T23:00:00Z"]
    recorded = told.recorded(0)["Arithmetic"]
    assert recorded[0] == "0.75 HUR x 133.33 EUR = 100.00 EUR"
    assert "the ledger keeps no entries of hours" in recorded[1]


def test_hours_that_were_corrected_count_what_was_billed_before(tmp_path: Path) -> None:
    events = [
        usage("u5", "1", "2026-01-05T10:00:00Z"),
        tick("2026-02-02T00:00:00Z"),
        usage("u6", "2", "2026-01-06T10:00:00Z"),
        tick("2026-03-02T00:00:00Z"),
    ]
    limited = {**HOURS, "not_to_exceed": "300.00"}
    told = Told(tmp_path, contract(time_and_materials=limited), events)
    said = told.line(1)["Arithmetic"]
    assert "3 HUR x 133.33 EUR = 399.99 EUR" in said
    assert any(one.startswith("not to exceed 300.00 EUR - 0.00 EUR billed before it") for one in said)
    assert "entitled to date 300.00 EUR - billed before 133.33 EUR" in said
    assert "entitled to date 300.00 EUR - billed before 133.33 EUR" in told.recorded(1)["Arithmetic"]


def test_retention_of_hours_is_part_of_the_gross_to_date(tmp_path: Path) -> None:
    retention = {**RELEASED, "exempt": []}
    rates = {"bill": "monthly", "rates": {"s": {"price": "10.00", "unit": "HUR"}}}
    events = [
        usage("u5", "1.50", "2026-01-05T10:00:00Z"),
        tick("2026-02-02T00:00:00Z"),
        report("e1", "a", "2026-02-05T10:00:00Z"),
    ]
    told = Told(tmp_path, contract(plain("a"), time_and_materials=rates, retention=retention), events)
    expected = [
        "10 % of 15.00 EUR gross to date = 1.50 EUR, held to date 0.00 EUR",
        "10 % of 115.00 EUR gross to date = 11.50 EUR, held to date 1.50 EUR",
    ]
    for place, step in enumerate(expected):
        assert step in told.line(place)["Arithmetic"]
        assert step in told.recorded(place)["Arithmetic"]


def test_a_release_shows_its_rule_and_its_share(tmp_path: Path) -> None:
    rules = [{"id": "h", "share": "50", "when": "signoff"}, {"id": "w", "share": "50", "when": {"signoff": "P1M"}}]
    events = [
        report("e1", "a", "2026-02-05T10:00:00Z"),
        change("e2", "SIGNED_OFF", "2026-02-06T10:00:00Z"),
        tick("2026-03-07T00:00:00Z"),
    ]
    told = Told(tmp_path, contract(plain("a"), retention={"rate": "10", "release": rules}), events)
    assert told.line(1)["Gates"][:2] == [
        "rule h, the sign-off: since 2026-02-06T10:00:00Z",
        "signed off, since 2026-02-06T10:00:00Z",
    ]
    assert told.line(1)["Arithmetic"][:2] == [
        "shares to date 50 % x 10.00 EUR held to date on lines accepted by then = 5.00 EUR",
        "less 0.00 EUR released before",
    ]
    assert told.line(2)["Gates"][0] == "rule w, P1M after the sign-off: since 2026-03-05T23:00:00Z"
    assert told.line(2)["Arithmetic"][0] == "every rule's moment has come: all that is held is paid out"
    assert told.recorded(1)["Gates"] == ["rule h, the sign-off: 50 % of what is held"]


def test_a_percentage_of_the_value_shows_the_value(tmp_path: Path) -> None:
    events = [report("e1", "a", "2026-02-05T10:00:00Z"), report("e2", "b", "2026-02-06T10:00:00Z")]
    shares = [plain(name, {"percent_of_value": "33.335"}) for name in ("a", "b")]
    told = Told(tmp_path, contract(*shares, value="100.00"), events)
    rounded = "33.335 % of the value 100.00 EUR = 33.335 EUR, {} EUR as all percentages together are rounded once"
    assert told.line(0)["Arithmetic"][:2] == [
        rounded.format("33.34"),
        "fee 33.34 EUR x 100 % accepted = 33.34 EUR",
    ]
    assert told.line(1)["Arithmetic"][0] == rounded.format("33.33")


def test_a_dispute_says_whose_credit_it_is(tmp_path: Path) -> None:
    first = Told(tmp_path, contract(plain("a")), [report("e1", "a", "2026-02-05T10:00:00Z")])
    line = first.lines()[0].line_id
    said = {"dispute_id": "d", "line_id": line, "kind": "UPHELD", "amount_minor": 1000}
    dispute = {"source": "t", "event_id": "e2", "engagement_id": "x", "occurred_at": "2026-02-06T10:00:00Z", **said}
    events = [report("e1", "a", "2026-02-05T10:00:00Z"), {"topic": "dispute-events", "value": dispute}]
    told = Told(tmp_path, contract(plain("a")), events)
    assert told.line(1)["Arithmetic"][0] == f"dispute d was upheld: 10.00 EUR of line {line}, for good"
    assert f"a dispute was upheld: 10.00 EUR of line {line}, for good" in told.recorded(1)["Arithmetic"]


def test_without_its_version_of_the_contract_a_line_says_what_is_lacking(tmp_path: Path) -> None:
    told = Told(tmp_path, contract(plain("a")), [report("e1", "a", "2026-02-05T10:00:00Z")])
    said = dict(explain_line(told.material(), told.lines()[0], None).sections)
    assert said["Gates"] == ["version 1 of the contract is not at hand: explain with --contract"]
    assert said["Arithmetic"][0] == "the amount to date cannot be recomputed from what is at hand"


def test_a_version_that_governs_all_is_computed_anew(tmp_path: Path) -> None:
    first = contract(plain("a", {"percent_of_value": "25"}), value="1000.00")
    second = {**first, "version": 2, "value": "1200.00", "amendment": {"mode": "catch_up", "from": "2026-05-15"}}
    events = [
        report("e1", "a", "2026-05-01T10:00:00Z"),
        change("e2", "AMENDED", "2026-05-10T10:00:00Z", contract=json.dumps(second)),
        tick("2026-05-25T00:00:00Z"),
    ]
    assert Told(tmp_path, first, events).line(1)["Arithmetic"][:3] == [
        "25 % of the value 1200.00 EUR = 300.00 EUR",
        "fee 300.00 EUR x 100 % accepted = 300.00 EUR",
        "entitled to date 300.00 EUR - billed before 250.00 EUR",
    ]


def test_a_fee_that_shares_what_is_left_of_a_new_value_says_so(tmp_path: Path) -> None:
    shares = [plain(name, {"percent_of_value": share}) for name, share in (("a", "25"), ("b", "50"), ("c", "25"))]
    first = contract(*shares, value="100000.00")
    amendment = {"mode": "prospective", "from": "2026-05-15"}
    events = [
        report("e1", "a", "2026-05-01T10:00:00Z"),
        change(
            "e2",
            "AMENDED",
            "2026-05-10T10:00:00Z",
            contract=json.dumps(
                {
                    **first,
                    "version": 2,
                    "value": "120000.00",
                    "amendment": amendment,
                }
            ),
        ),
        tick("2026-05-25T00:00:00Z"),
        report("e3", "b", "2026-05-26T10:00:00Z"),
    ]
    shared, fee = Told(tmp_path, first, events).line(1)["Arithmetic"][:2]
    assert shared.startswith("50 % of the value 120000.00 EUR in version 2 (prospective), ")
    assert shared.endswith("the others share the rest by their percentages: 63333.33 EUR")
    assert fee == "fee 63333.33 EUR x 100 % accepted = 63333.33 EUR"
