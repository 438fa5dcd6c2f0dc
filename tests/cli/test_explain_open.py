"""What an open milestone misses, since when, and who may sign; from files, and from records alone."""

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from milepost.audit.signers import asked_now
from milepost.cli import app
from milepost.core.outputs import ApprovalRequest, MilestoneStatus
from milepost.demo.tables import still_to_sign
from tests.cli.explained import (
    Told,
    approval,
    change,
    contract,
    decision,
    report,
    tick,
    usage,
    value,
)

LEAD = {
    "people": {"lead": ["maria"]},
    "approvals": {"single": {"steps": [{"role": "lead"}]}},
    "amendments": {"approval": "single"},
}


def plain(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "fee": {"fixed": "100.00"}, "requires": ["completed"], "approval": "none", **more}


def test_a_value_and_a_decision_that_are_not_enough_are_dated(tmp_path: Path) -> None:
    requires = [{"kpi": {"id": "k", "at_least": "3"}}, {"regulator": {"by": ["F", "G"], "filing": "N"}}]
    events = [
        value("e2", "k", "2.5", "2026-01-13T10:00:00Z"),
        decision("e3", "N", "F", "ACCEPTED", "2026-01-14T10:00:00Z"),
    ]
    told = Told(tmp_path, contract(plain("a") | {"requires": requires}), events)
    kpi, first, second = told.asked("x/a")["Missing"]
    assert kpi == "kpi:k: k is 2.5, at least 3 is needed (observed 2026-01-13T10:00:00Z)"
    assert first.endswith("ACCEPTED without a confirmation id, accepted is needed (F decided 2026-01-14T10:00:00Z)")
    assert second.endswith("no decision yet, accepted is needed")
    # the ledger keeps neither: it says so where there is something to date
    kpi, first, second = told.recorded_milestone("a")["Missing"]
    assert "the ledger keeps no time of it" in kpi
    assert "the ledger keeps no time of it" in first
    assert second.endswith("no decision yet, accepted is needed")


def test_alternatives_are_dated_by_what_came_of_them(tmp_path: Path) -> None:
    either = {"any_of": [{"date": "2026-09-01"}, {"regulator": {"by": ["F", "G"], "filing": "N"}}]}
    events = [decision("e3", "N", "F", "REJECTED", "2026-01-14T10:00:00Z")]
    told = Told(tmp_path, contract(plain("a") | {"requires": [either]}), events)
    (said,) = told.asked("x/a")["Missing"]
    assert said.endswith("(F decided 2026-01-14T10:00:00Z)")
    (said,) = told.recorded_milestone("a")["Missing"]
    assert said.count("the ledger keeps no time of it") == 1


def test_a_dependency_is_dated_by_the_submission_that_waits_for_it(tmp_path: Path) -> None:
    terms = contract(plain("a", partial=["50", "100"]), plain("b", depends_on=["a"], approval="single"), **LEAD)
    events = [
        report("e1", "b", "2026-02-01T10:00:00Z"),
        report("e2", "a", "2026-02-02T10:00:00Z", completion="60"),
        approval("e3", "b", "lead", "maria", "2026-02-20T10:00:00Z"),
    ]
    unsigned = Told(tmp_path, terms, events[:2]).asked("x/b")["Missing"]
    assert unsigned[-1].endswith("(a at 50 % since 2026-02-02T10:00:00Z)")
    told = Told(tmp_path, terms, events)
    (said,) = told.asked("x/b")["Missing"]
    assert said.endswith(
        "(a at 50 % since 2026-02-02T10:00:00Z; submission 1 has waited for it since 2026-02-20T10:00:00Z)"
    )
    (said,) = told.recorded_milestone("b")["Missing"]
    assert said.endswith("(submission 1 opened 2026-02-01T10:00:00Z; a accepted 2026-02-02T10:00:00Z)")


def test_a_dependency_of_what_nobody_signs_is_dated_by_the_report(tmp_path: Path) -> None:
    terms = contract(plain("a"), plain("b", depends_on=["a", {"kpi": {"id": "k", "at_least": "3"}}]))
    told = Told(tmp_path, terms, [report("e1", "b", "2026-02-01T10:00:00Z")])
    waits = "(submission 1 has waited for it since 2026-02-01T10:00:00Z)"
    assert [said.endswith(waits) for said in told.asked("x/b")["Missing"]] == [True, True]


def test_a_suspension_is_dated(tmp_path: Path) -> None:
    events = [
        change("e1", "SUSPENDED", "2026-02-03T10:00:00Z"),
        report("e2", "a", "2026-02-02T10:00:00Z"),
    ]
    told = Told(tmp_path, contract(plain("a")), events)
    assert told.asked("x/a")["Missing"] == ["suspended: the engagement is suspended (since 2026-02-03T10:00:00Z)"]
    (said,) = told.recorded_milestone("a")["Missing"]
    assert "the ledger keeps no time of it" in said


def test_hours_above_the_limit_are_dated_by_their_run_and_their_month(tmp_path: Path) -> None:
    hours = {"bill": "monthly", "rates": {"s": {"price": "100.00", "unit": "HUR"}}, "not_to_exceed": "100.00"}
    events = [
        usage("u1", "3", "2026-01-10T10:00:00Z"),
        tick("2026-02-02T00:00:00Z"),
        usage("u2", "1", "2026-01-11T10:00:00Z"),
        tick("2026-03-02T00:00:00Z"),
    ]
    told = Told(tmp_path, contract(time_and_materials=hours), events)
    (said,) = told.asked("x/@time/2026-01")["Missing"]
    assert said == (
        "not_to_exceed: 300.00 is above the limit of 100.00 "
        "(since the run of 2026-02-02T00:00:00Z; 2026-01 is over since 2026-01-31T23:00:00Z)"
    )
    (said,) = told.recorded_milestone("@time", "2026-01")["Missing"]
    assert said.endswith("(2026-01 is over since 2026-01-31T23:00:00Z)")


def test_what_the_sign_off_waits_for_is_dated_by_the_claim(tmp_path: Path) -> None:
    told = Told(tmp_path, contract(plain("a")), [change("e1", "SIGNED_OFF", "2026-02-03T10:00:00Z")])
    (said,) = told.asked("x/@signoff")["Missing"]
    assert said.endswith("(the sign-off has waited for it since 2026-02-03T10:00:00Z)")


ESCALATED = {
    "people": {"ap": ["ana"], "cfo": ["carol"], "board": ["bea"]},
    "approvals": {
        "p": {
            "steps": [
                {
                    "role": "ap",
                    "within": "P10D",
                    "remind_every": "P3D",
                    "on_timeout": {
                        "escalate_to": "cfo",
                        "within": "P5D",
                        "on_timeout": {"escalate_to": "board", "within": "P5D", "on_timeout": "reject"},
                    },
                }
            ]
        }
    },
    "amendments": {"approval": "p"},
}


def waiting(tmp_path: Path, *events: dict[str, Any]) -> Told:
    return Told(tmp_path, contract(plain("a", approval="p"), **ESCALATED), events)


def column(told: Told) -> list[str]:
    status = [output for output in told.outputs if isinstance(output, MilestoneStatus)][-1]
    return still_to_sign(status, [output for output in told.outputs if isinstance(output, ApprovalRequest)])


def test_whom_an_escalation_added_is_asked_beside_the_original(tmp_path: Path) -> None:
    reported, first, second = (
        report("e1", "a", "2026-02-01T10:00:00Z"),
        tick("2026-02-12T00:00:00Z"),
        tick("2026-02-18T00:00:00Z"),
    )
    told = waiting(tmp_path, reported, first)
    assert [one.split(": ")[1].split(" ")[0] for one in told.asked("x/a")["Asked to sign"]] == ["ap", "cfo"]
    assert column(told) == ["ap (ana)", "cfo (carol)"]
    table = CliRunner().invoke(app, ["simulate", str(told.contract), str(told.events), "--table"])
    assert "ap (ana)" in table.stdout
    assert "cfo (carol)" in table.stdout
    assert column(waiting(tmp_path, reported, first, second)) == ["ap (ana)", "cfo (carol)", "board (bea)"]


def test_an_escalation_that_was_answered_asks_nobody_any_more(tmp_path: Path) -> None:
    told = waiting(
        tmp_path,
        report("e1", "a", "2026-02-01T10:00:00Z"),
        tick("2026-02-12T00:00:00Z"),
        approval("e2", "a", "cfo", "carol", "2026-02-13T10:00:00Z"),
    )
    assert column(told) == []
    assert told.asked("x/a")["Asked to sign"] == []


def test_a_request_that_begins_anew_forgets_whom_it_escalated_to(tmp_path: Path) -> None:
    told = waiting(tmp_path, report("e1", "a", "2026-02-01T10:00:00Z"), tick("2026-02-12T00:00:00Z"))
    status = [output for output in told.outputs if isinstance(output, MilestoneStatus)][-1]
    asked = [output for output in told.outputs if isinstance(output, ApprovalRequest)]
    assert [one.role for one in asked_now(status, [*asked, asked[0]])] == ["ap"]
