"""What the document on the language's own page becomes, part for part."""

from datetime import date
from pathlib import Path

import pytest

from milepost import contract
from milepost.core import contract as terms

PAGE = (Path(__file__).parent / "right" / "erp_rollout.yaml").read_text(encoding="utf-8")
TEN_DAYS = terms.Duration("P10D", days=10)
LAST = "{escalate_to: delivery_lead, within: P12M, on_timeout: accept}"
A_YEAR = terms.Duration("P12M", months=12)


def read(text: str) -> terms.Contract:
    parsed = contract.parse(text)
    assert [finding.text("page") for finding in parsed.errors] == []
    assert parsed.contract is not None
    return parsed.contract


def milestone(name: str) -> terms.Milestone:
    return next(one for one in read(PAGE).milestones if one.id == name)


def test_nothing_is_wrong_and_one_policy_is_worth_a_look() -> None:
    assert [finding.path for finding in contract.parse(PAGE).findings] == ["approvals.deemed", "approvals.deemed"]


def test_policies() -> None:
    assert read(PAGE).policies == {
        "dual": terms.Policy(
            (
                terms.Step("delivery_lead"),
                terms.Step(
                    "client_ap",
                    evidence=("signoff_pdf",),
                    within=TEN_DAYS,
                    remind_every=terms.Duration("P3D", days=3),
                    escalations=(terms.Escalation("client_cfo", terms.Duration("P5D", days=5)),),
                    on_timeout="reject",
                ),
                terms.Step("client_cfo", amount_at_least_minor=10_000_000),
            )
        ),
        "deemed": terms.Policy(
            (
                terms.Step(
                    "client_ap",
                    within=terms.Duration("5 business days", business_days=5),
                    grace=terms.Duration("PT24H", seconds=86_400),
                    on_timeout="accept",
                ),
            )
        ),
    }
    assert (read(PAGE).amendments_approval, read(PAGE).signoff_approval, read(PAGE).calendar) == (
        "dual",
        "dual",
        "DE-BY",
    )


def test_retention() -> None:
    assert read(PAGE).retention == terms.Retention(
        rate="10",
        cap=terms.Cap(percent_of_value="5", basis="revised"),
        step_down=(terms.StepDown("50", "5"),),
        exempt=("time_and_materials",),
        release=(
            terms.Release("handover", "50", terms.OnSignoff()),
            terms.Release("warranty", "50", terms.LaterOf((terms.OnSignoff(A_YEAR), terms.OnDate(date(2027, 6, 30))))),
        ),
    )


def test_fees() -> None:
    assert milestone("growth").fee == terms.Success(
        kpi="revenue",
        tiers=(terms.Tier("10", "100000"), terms.Tier("15", "500000"), terms.Tier("20")),
        baseline="1000000.00",
        floor_minor=500_000,
        cap_minor=7_500_000,
        to_date=True,
        sources=("finance",),
    )
    assert milestone("encounter").fee == terms.RateCard("payers")
    assert milestone("kickoff").fee == terms.PercentOfValue("10")


def test_repetition() -> None:
    repeats = {one.id: one.repeats for one in read(PAGE).milestones if one.repeats != "none"}
    assert repeats == {"uptime": "monthly", "filing": "per_filing", "encounter": "per_occurrence"}
    assert milestone("filing").requires == (terms.RegulatorGate(("FDA",), None, "accepted"),)


def test_the_bonus_and_its_clawback() -> None:
    bonus = milestone("adoption-bonus")
    assert (bonus.optional, bonus.retained) == (True, False)
    assert bonus.clawback == terms.Clawback(
        terms.KpiGate("adoption", below="60"), terms.Duration("P6M", months=6), share="40"
    )


def test_prices() -> None:
    assert read(PAGE).rate_cards == {
        "payers": {
            "AOK-BY": terms.Card({"99213": 9250}, pays_after=terms.Duration("P30D", days=30)),
            "BARMER": terms.Card(percent_of_charge="80", pays_after=terms.Duration("P14D", days=14)),
        }
    }
    hours = read(PAGE).time_and_materials
    assert hours == terms.TimeAndMaterials(
        {"senior": terms.Rate("180.00"), "junior": terms.Rate("110.00")}, not_to_exceed_minor=10_000_000
    )
    # In the document's order, also after the way over the wire: a limit is used up in it.
    wired = contract.parse_wire(contract.to_wire(PAGE)).contract
    assert wired is not None
    assert wired.time_and_materials is not None
    assert list(wired.time_and_materials.rates) == ["senior", "junior"]


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("P10D", terms.Duration("P10D", days=10)),
        ("P2W", terms.Duration("P2W", days=14)),
        ("P1Y6M", terms.Duration("P1Y6M", months=18)),
        ("P1M15D", terms.Duration("P1M15D", months=1, days=15)),
        ("PT90M", terms.Duration("PT90M", seconds=5400)),
        ("PT1H30M15S", terms.Duration("PT1H30M15S", seconds=5415)),
        ("{business_days: 1}", terms.Duration("1 business day", business_days=1)),
    ],
)
def test_durations(written: str, read_as: terms.Duration) -> None:
    step = read(PAGE.replace("within: P10D", f"within: {written}")).policies["dual"].steps[1]
    assert step.within == read_as


@pytest.mark.parametrize(
    ("written", "escalations", "ends_in"),
    [
        ("reject", (), "reject"),
        ("accept", (), "accept"),
        ("{escalate_to: client_cfo}", (terms.Escalation("client_cfo"),), None),
        (
            f"{{escalate_to: client_cfo, within: P10D, on_timeout: {LAST}}}",
            (terms.Escalation("client_cfo", TEN_DAYS), terms.Escalation("delivery_lead", A_YEAR)),
            "accept",
        ),
    ],
)
def test_what_follows_a_deadline(written: str, escalations: tuple[terms.Escalation, ...], ends_in: str | None) -> None:
    text = PAGE.replace("{escalate_to: client_cfo, within: P5D, on_timeout: reject}", written)
    step = read(text).policies["dual"].steps[1]
    assert (step.escalations, step.on_timeout) == (escalations, ends_in)


def test_gates_nest_and_a_bare_word_means_what_it_means_outside() -> None:
    text = PAGE.replace(
        "depends_on: [assessment]",
        "depends_on: [{any_of: [assessment, {all_of: [{date: 2026-05-06}, kickoff]}]}]",
    ).replace("[{date: 2026-02-01}]", "[{any_of: [completed, {date: 2026-02-01}]}]")
    stones = {one.id: one for one in read(text).milestones}
    assert stones["build"].depends_on == (
        terms.AnyOf(
            (
                terms.MilestoneGate("assessment"),
                terms.AllOf((terms.DateGate(date(2026, 5, 6)), terms.MilestoneGate("kickoff"))),
            )
        ),
    )
    assert stones["kickoff"].requires == (terms.AnyOf((terms.Completed(), terms.DateGate(date(2026, 2, 1)))),)


def test_hours_alone_are_a_contract() -> None:
    head = PAGE[: PAGE.index("milestones:\n  - id")]
    hours = PAGE[PAGE.index("time_and_materials:\n") : PAGE.index("rate_cards:\n")]
    for milestones in ("", "milestones: []\n"):
        assert read(head + milestones + hours).milestones == ()


def test_an_amendment_says_how_and_from_when() -> None:
    text = PAGE.replace("version: 1   ", "version: 2\namendment: {mode: catch_up, from: 2026-07-01}\n#", 1)
    amended = read(text)
    assert (amended.version, amended.amendment) == (2, terms.Amendment("catch_up", date(2026, 7, 1)))


def test_the_last_tier_of_a_success_fee_may_end_too() -> None:
    fee = {one.id: one for one in read(PAGE.replace('{rate: "20"}]', '{up_to: "900000", rate: "20"}]')).milestones}
    assert isinstance(fee["growth"].fee, terms.Success)
    assert fee["growth"].fee.tiers[-1] == terms.Tier("20", "900000")
