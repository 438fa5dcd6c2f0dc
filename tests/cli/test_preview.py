"""`milepost contract preview`: what an amendment would bill, before it is signed (W62 in its three modes)."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from milepost.cli import app

OLD = """\
milepost: 1
engagement: works
version: 1
customer: {id: acme}
currency: EUR
value: "100000.00"
timezone: Europe/Berlin
effective_from: 2026-01-01
people: {lead: [maria]}
approvals: {one: {steps: [{role: lead}]}}
amendments: {approval: one}
milestones:
  - {id: M1, fee: {percent_of_value: "25"}, requires: [completed], approval: none}
  - {id: M2, fee: {percent_of_value: "50"}, requires: [completed], approval: none}
  - {id: M3, fee: {percent_of_value: "25"}, requires: [completed], approval: none}
"""
REPORT = {
    "topic": "milestone-events",
    "value": {
        "event_id": "r1",
        "source": "tracker",
        "engagement_id": "works",
        "milestone_id": "M1",
        "kind": "REPORTED",
        "occurred_at": "2026-02-02T10:00:00+01:00",
    },
}


def preview(folder: Path, new: str, *options: str) -> tuple[int, str, str]:
    (folder / "old.yaml").write_text(OLD, encoding="utf-8")
    (folder / "new.yaml").write_text(new, encoding="utf-8")
    (folder / "events.jsonl").write_text(json.dumps(REPORT) + "\n", encoding="utf-8")
    files = [str(folder / name) for name in ("old.yaml", "new.yaml", "events.jsonl")]
    result = CliRunner().invoke(app, ["contract", "preview", *files, *options], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def amended(mode: str) -> str:
    new = OLD.replace("version: 1", "version: 2").replace("100000.00", "120000.00")
    return f"{new}amendment: {{mode: {mode}, from: 2026-03-01}}\n"


def test_catch_up_bills_the_difference_at_once(tmp_path: Path) -> None:
    status, out, _ = preview(tmp_path, amended("catch_up"))
    assert status == 0
    assert "M1: ADJUSTMENT gross 5000.00 EUR, payable 5000.00 EUR" in out
    assert "M2: 50000.00 -> 60000.00 EUR" in out
    assert "M3: 25000.00 -> 30000.00 EUR" in out


def test_prospective_leaves_what_is_billed_and_shares_the_rest(tmp_path: Path) -> None:
    status, out, _ = preview(tmp_path, amended("prospective"))
    assert status == 0
    assert "The amendment raises no line by itself" in out
    assert "M2: 50000.00 -> 63333.33 EUR" in out
    assert "M3: 25000.00 -> 31666.67 EUR" in out


def test_separate_changes_nothing_but_what_is_new(tmp_path: Path) -> None:
    extra = '  - {id: M4, fee: {fixed: "20000.00"}, requires: [completed], approval: none}\n'
    status, out, _ = preview(tmp_path, amended("separate").replace("amendment:", f"{extra}amendment:"))
    assert status == 0
    assert "M4: new, 20000.00 EUR" in out
    assert "->" not in out


def test_as_json_it_is_what_the_join_would_raise(tmp_path: Path) -> None:
    status, out, _ = preview(tmp_path, amended("catch_up"), "--json")
    assert status == 0
    raised = [json.loads(line) for line in out.splitlines()]
    lines = [one["value"] for one in raised if one["topic"] == "invoice-lines"]
    assert [(line["milestone_id"], line["gross_minor"]) for line in lines] == [("M1", 500_000)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("version: 2", "version: 3"), "AMENDMENT_INVALID"),
        (("currency: EUR", "currency: USD"), "AMENDMENT_INVALID"),
    ],
    ids=["a skipped version", "another currency"],
)
def test_what_would_be_refused_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    status, _, err = preview(tmp_path, amended("catch_up").replace(*change))
    assert status == 1
    assert said in err


def event(topic: str, number: int, **value: object) -> str:
    shown = {"event_id": f"e{number}", "source": "tracker", "engagement_id": "works", **value}
    return json.dumps({"topic": topic, "value": shown}) + "\n"


def previewed(folder: Path, old: str, new: str, events: str) -> tuple[int, str, str]:
    (folder / "old.yaml").write_text(old, encoding="utf-8")
    (folder / "new.yaml").write_text(new, encoding="utf-8")
    (folder / "events.jsonl").write_text(events, encoding="utf-8")
    files = [str(folder / name) for name in ("old.yaml", "new.yaml", "events.jsonl")]
    result = CliRunner().invoke(app, ["contract", "preview", *files], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def third() -> str:
    new = OLD.replace("version: 1", "version: 3").replace("100000.00", "140000.00")
    return f"{new}amendment: {{mode: catch_up, from: 2026-05-01}}\n"


def second(*signers: str) -> str:
    document = json.dumps(YAML(typ="safe", pure=True).load(amended("prospective")), default=str)
    sent = event("engagements", 2, change="AMENDED", occurred_at="2026-03-01T00:00:00Z", contract=document)
    for number, signer in enumerate(signers, 3):
        sent += event(
            "approvals", number, milestone_id="@amendment", occurrence_id="2", role="lead", approver=signer,
            decision="APPROVED", decided_at="2026-03-02T00:00:00Z",
        )  # fmt: skip
    return json.dumps(REPORT) + "\n" + sent


def test_the_third_version_is_previewed_on_what_the_second_left(tmp_path: Path) -> None:
    """M1 keeps its 25,000 under the second, which was signed; the third catches up to 35,000."""
    status, out, err = previewed(tmp_path, OLD, third(), second("maria"))
    assert (status, err) == (0, "")
    assert "M1: ADJUSTMENT gross 10000.00 EUR" in out


def test_an_amendment_that_waits_for_another_one_is_said_to(tmp_path: Path) -> None:
    status, out, err = previewed(tmp_path, OLD, third(), second())
    assert status == 0
    assert "raises no line by itself" in out
    assert "version 1 is in force after EVENTS: version 3 waits until 2 is signed" in err


def test_an_old_contract_that_is_an_amendment_is_doubted(tmp_path: Path) -> None:
    _, _, err = previewed(tmp_path, amended("prospective"), third(), json.dumps(REPORT) + "\n")
    assert "OLD is version 2: what the versions before it billed is not known here" in err


def test_a_limit_of_hours_that_is_raised_shows_what_it_frees(tmp_path: Path) -> None:
    hours = OLD[: OLD.index("milestones:")] + (
        "milestones: []\ntime_and_materials:\n  bill: monthly\n  rates: {s: {price: '100.00', unit: HUR}}\n"
        "  not_to_exceed: '1000.00'\n"
    )
    new = hours.replace("version: 1", "version: 2").replace("'1000.00'", "'2000.00'")
    sent = event("usage-events", 1, usage_id="u", meter="s", started_at="2026-01-10T10:00:00Z", quantity="13")
    sent += json.dumps({"topic": "clock-ticks", "value": {"at": "2026-02-02T00:00:00Z"}}) + "\n"
    status, out, _ = previewed(tmp_path, hours, f"{new}amendment: {{mode: catch_up, from: 2026-01-01}}\n", sent)
    assert status == 0
    assert "What the next run of hours bills" in out
    assert "2026-01: 0.00 -> 300.00 EUR" in out


def test_an_amendment_that_was_sent_already_is_previewed_all_the_same(tmp_path: Path) -> None:
    status, out, err = previewed(tmp_path, OLD, amended("catch_up"), second())
    assert (status, err) == (0, "")
    assert "M1: ADJUSTMENT gross 5000.00 EUR" in out


def test_an_amendment_after_the_end_is_refused_in_words(tmp_path: Path) -> None:
    ended = event("engagements", 2, change="TERMINATED", occurred_at="2026-02-03T00:00:00Z")
    later = event("kpi-events", 3, kpi_id="none", value="1", observed_at="2026-03-01T00:00:00Z")
    status, _, err = previewed(tmp_path, OLD, amended("catch_up"), json.dumps(REPORT) + "\n" + ended + later)
    assert status == 1
    assert "ENGAGEMENT_CLOSED: It is dated after the engagement was terminated." in err
