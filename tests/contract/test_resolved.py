"""What a good document becomes: defaults filled in, money in minor units, names in one order."""

from datetime import date

import pytest

from milepost import contract
from milepost.core import contract as terms

SMALLEST = """
milepost: 1
engagement: a
version: 1
customer: {id: c}
currency: JPY
timezone: UTC
effective_from: 2026-01-01
milestones:
  - {id: m, fee: {fixed: "100"}, requires: [completed], approval: none}
"""


def read(text: str) -> terms.Contract:
    parsed = contract.parse(text)
    assert parsed.errors == ()
    assert parsed.contract is not None
    return parsed.contract


def test_the_smallest_contract_has_every_default() -> None:
    milestone = terms.Milestone(
        id="m", name="m", fee=terms.Fixed(100), requires=(terms.Completed(),), approval=None, tiers=("100",)
    )
    assert contract.parse(SMALLEST).findings == ()
    assert read(SMALLEST) == terms.Contract(
        engagement="a",
        version=1,
        customer_id="c",
        customer_name="c",
        currency="JPY",
        currency_exponent=0,
        timezone="UTC",
        effective_from=date(2026, 1, 1),
        milestones=(milestone,),
    )


def test_a_supplier_need_not_have_an_id_and_is_called_by_it_if_it_has() -> None:
    assert read(f"{SMALLEST}supplier: {{id: s}}\n").supplier_name == "s"
    nameless = read(f"{SMALLEST}supplier: {{name: S}}\n")
    assert (nameless.supplier_id, nameless.supplier_name) == (None, "S")


def test_a_single_release_pays_out_everything_and_releases_without_an_id_are_numbered() -> None:
    one = read(f'{SMALLEST}retention: {{rate: "10", release: [{{when: signoff}}]}}\n').retention
    assert one == terms.Retention(rate="10", release=(terms.Release("r1", "100"),))
    two = read(
        f'{SMALLEST}retention: {{rate: "10", exempt: [], release: '
        f'[{{id: x, share: "1", when: signoff}}, {{share: "99", when: signoff}}]}}\n'
    ).retention
    assert two is not None
    assert [rule.id for rule in two.release] == ["x", "r2"]
    assert two.exempt == ()


def test_a_cap_is_an_amount_in_minor_units_or_a_percentage_with_its_basis() -> None:
    amount = read(
        f'{SMALLEST}retention: {{rate: "10", cap: {{amount: "7"}}, release: [{{when: signoff}}]}}\n'
    ).retention
    assert amount is not None
    assert amount.cap == terms.Cap(amount_minor=7)


@pytest.mark.parametrize(
    ("gate", "resolved"),
    [
        ("completed", terms.Completed()),
        ("{evidence: [a, b]}", terms.EvidenceGate(("a", "b"))),
        ("{date: 2026-02-03}", terms.DateGate(date(2026, 2, 3))),
        ("{milestone: n}", terms.MilestoneGate("n")),
        ('{milestone: n, at_least: "40"}', terms.MilestoneGate("n", "40")),
        ("{kpi: {id: k}}", terms.KpiGate("k")),
        ('{kpi: {id: k, between: ["0.10", "2"]}}', terms.KpiGate("k", at_least="0.10", at_most="2")),
        (
            '{kpi: {id: k, above: "-1", below: "1", status: final, sources: [s], unit: "%", period: {to: 2026-02-03}}}',
            terms.KpiGate(
                "k", above="-1", below="1", status="final", sources=("s",), unit="%", period_to=date(2026, 2, 3)
            ),
        ),
    ],
)
def test_gates(gate: str, resolved: terms.Gate) -> None:
    other = '  - {id: n, fee: {fixed: "1"}, requires: [completed], approval: none}\n'
    text = SMALLEST.replace("requires: [completed]", f"requires: [{gate}]") + other
    assert read(text).milestones[0].requires == (resolved,)


def test_depends_on_names_milestones_and_may_hold_any_gate() -> None:
    text = SMALLEST + (
        '  - {id: n, fee: {fixed: "1"}, requires: [completed], approval: none,\n'
        "     depends_on: [m, {date: 2026-05-06}, {kpi: {id: k}}]}\n"
    )
    expected = (terms.MilestoneGate("m"), terms.DateGate(date(2026, 5, 6)), terms.KpiGate("k"))
    assert read(text).milestones[1].depends_on == expected


@pytest.mark.parametrize(
    ("partial", "tiers", "anything"),
    [
        ('["60", "90", "100"]', ("60", "90", "100"), False),
        ("any", ("100",), True),
        ('["12.50", "100.0"]', ("12.5", "100"), False),
    ],
)
def test_partial(partial: str, tiers: tuple[str, ...], anything: bool) -> None:
    milestone = read(SMALLEST.replace("approval: none", f"approval: none, partial: {partial}")).milestones[0]
    assert (milestone.tiers, milestone.partial_any) == (tiers, anything)


def test_a_milestone_bills_when_the_contract_says_unless_it_says_otherwise() -> None:
    text = SMALLEST + "bill_on: immediately\n"
    assert read(text).milestones[0].bill_on == "immediately"
    own = text.replace("approval: none", "approval: none, bill_on: next_invoice")
    assert read(own).milestones[0].bill_on == "next_invoice"


def test_two_orders_of_the_same_document_are_the_same_contract() -> None:
    people = "people: {b: [x], a: [y]}\nmetadata: {z: '1', a: '2'}\n"
    swapped = "metadata: {a: '2', z: '1'}\npeople: {a: [y], b: [x]}\n"
    one, two = read(SMALLEST + people), read(SMALLEST + swapped)
    assert one == two
    assert list(one.people) == list(two.people) == ["a", "b"]
    assert list(one.metadata) == ["a", "z"]
    assert contract.to_wire(SMALLEST + people) == contract.to_wire(SMALLEST + swapped)


def test_numbers_of_yaml_are_read_by_the_core_schema() -> None:
    assert read(SMALLEST.replace("version: 1", "version: 0x1F")).version == 31
    assert read(SMALLEST.replace("version: 1", "version: 0o17")).version == 15
    assert read(SMALLEST.replace("version: 1", "version: 007")).version == 7
    # Dates, yes, no and on are text in YAML 1.2.
    assert read(SMALLEST.replace("customer: {id: c}", "customer: {id: no}")).customer_id == "no"
