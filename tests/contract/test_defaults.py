"""What the smallest contract means where it says nothing."""

from milepost import contract
from milepost.core.contract import Completed, KpiGate, Step

SMALLEST = """
milepost: 1
engagement: erp-rollout
version: 1
customer: {id: acme}
currency: EUR
timezone: Europe/Berlin
effective_from: 2026-01-01
milestones:
  - {id: assessment, fee: {fixed: "50000.00"}, requires: [completed], approval: none}
"""


def test_what_is_left_out_has_its_default() -> None:
    parsed = contract.parse(SMALLEST)
    assert parsed.findings == ()
    terms = parsed.contract
    assert terms is not None
    (milestone,) = terms.milestones
    assert (milestone.name, milestone.repeats, milestone.requires) == ("assessment", "none", (Completed(),))
    assert (milestone.tiers, milestone.partial_any, milestone.optional) == (("100",), False, False)
    assert (terms.rounding, terms.bill_on, milestone.bill_on) == ("half_up", "next_invoice", "next_invoice")
    assert (terms.retention, terms.signoff_approval, terms.amendments_approval) == (None, None, None)
    assert (milestone.approval, milestone.depends_on, milestone.clawback) == (None, (), None)


def test_a_gate_on_a_value_admits_any_status_and_any_source() -> None:
    text = SMALLEST.replace("[completed]", "[{kpi: {id: uptime}}]")
    parsed = contract.parse(text)
    assert parsed.contract is not None
    (gate,) = parsed.contract.milestones[0].requires
    assert gate == KpiGate(id="uptime", status="any", sources=(), unit=None, period_from=None, period_to=None)


def test_a_policys_step_is_one_signature_without_a_deadline() -> None:
    text = SMALLEST.replace("approval: none", "approval: one")
    text += "people: {ap: [ana]}\napprovals: {one: {steps: [{role: ap}]}}\namendments: {approval: one}\n"
    parsed = contract.parse(text)
    assert parsed.findings == ()
    assert parsed.contract is not None
    policy = parsed.contract.policies["one"]
    assert (policy.sequential, policy.distinct, policy.steps) == (False, True, (Step("ap", quorum=1, within=None),))
