"""A gate with teeth: each fault here is put into a copy of the core, and the oracle has to notice it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent.parent


class Fault(NamedTuple):
    """What a module of the core says, what the fault says instead, and an engagement that showed it once.

    Where few engagements have what it is about, `groups` of features are asked for.
    """

    seed: int
    module: str
    right: str
    wrong: str
    groups: tuple[str, ...] = ()


FAULTS = {
    "retention is rounded line by line": Fault(
        12,
        "rules/retention.py",
        "wanted = target(terms, together(account.subject_by, parts), account.original_value_minor)",
        "wanted = account.held_minor + target(terms, parts, None)",
    ),
    "retention has no cap": Fault(12, "rules/retention.py", "if cap is None else", "if True else"),
    "the cap is a percentage of the fees": Fault(
        12,
        "terms.py",
        "return money.percentage_of(value or 0,",
        "return money.percentage_of(sum(self.fees.values()),",
    ),
    "equal remainders go to the latest milestone": Fault(
        109, "money.py", "(parts[i] - exact[i], i)", "(parts[i] - exact[i], -i)"
    ),
    "half even is half up": Fault(82, "money.py", "(rounding != HALF_EVEN or quotient & 1)", "True"),
    "a tier bills above itself only": Fault(0, "claims.py", "if tier <= completion", "if tier < completion"),
    "a correction waits for signatures": Fault(51, "entitlement.py", "if level < self.found.level:", "if False:"),
    "credits are never raised": Fault(27, "billing.py", "    if gross == 0:", "    if gross <= 0:"),
    "early signatures are lost": Fault(9, "entitlement.py", "NOT_OPEN if self.waits_no_more else WAITING", "NOT_OPEN"),
    "signatures for 90 % count for 100 %": Fault(
        235, "entitlement.py", "        return NOT_OPEN if self.waits_no_more else", "        return"
    ),
    "a rejection is no end": Fault(19, "entitlement.py", "submission.close(REJECTED, at)", "return"),
    "certified less is certified whole": Fault(
        5, "entitlement.py", "submission.level if least is None else", "submission.level if True else"
    ),
    "a settled claim is superseded": Fault(
        611,
        "entitlement.py",
        "if last is not None and last.alive and (self.unsigned or not last.ballot.complete or last is self.eased):",
        "if last is not None and last.alive:",
    ),
    "one person signs every step": Fault(
        24, "rules/approvals.py", "if self._policy.distinct and any(", "if False and any("
    ),
    "who reported may sign alone": Fault(6, "rules/approvals.py", "== {self._reporter}", "== {None}"),
    "a signature is for ever": Fault(71, "rules/approvals.py", "self._given.pop(key, None) is None and", "True and"),
    "a deputy's last day is not theirs": Fault(269, "terms.py", "day <= holder.until", "day < holder.until"),
    "dependencies do not matter": Fault(
        0, "entitlement.py", "and true_at(self.depends, seen, self.report, claimed)", ""
    ),
    "an older revision wins": Fault(
        9, "rules/kpis.py", "(known.revision, known.final) <", "(known.revision, known.final) >"
    ),
    "sources may disagree": Fault(
        14, "rules/kpis.py", "if len({money.canonical(v.value)", "if 0 > len({money.canonical(v.value)"
    ),
    "values are not left out by status": Fault(0, "rules/kpis.py", 'gate.status != "any" and', "False and"),
    "a sign-off waits for nobody": Fault(
        22, "signing.py", "_all_over(engagement) if place == SIGNOFF", "spans.ALWAYS if place == SIGNOFF"
    ),
    "what is accepted after the sign-off is withheld": Fault(
        332, "posting.py", "signed_off is not None and at >", "False and at >"
    ),
    "suspended engagements bill": Fault(2, "fold.py", "if not engagement.account.suspended:", "if True:"),
    "the termination ends nothing": Fault(
        170, "engagement.py", "if self.account.terminated_at is None else", "if True else"
    ),
    "an older report replaces a newer one": Fault(
        34, "reports.py", "last is not None and report.at < last.at", "False"
    ),
    "decisions of an instant count one by one": Fault(
        31,
        "entitlement.py",
        "            submission.close(REJECTED, at)\n",
        "            submission.close(REJECTED, at)\n        self.accept(at, at)\n",
    ),
    "an amendment governs what was accepted before it": Fault(
        935,
        "amended.py",
        "            elif at >= terms.since:\n                return i",
        "            else:\n                return i",
    ),
    "a retroactive amendment keeps the old retention": Fault(
        1810, "terms.py", 'if terms.mode == "catch_up" or at >= terms.since:', "if at >= terms.since:"
    ),
    "an amendment's policy waits for the next submission": Fault(
        549, "entitlement.py", "submission.ballot.govern(regime.policy, regime.since)", "pass"
    ),
    "an amendment needs no signatures": Fault(
        4,
        "amendments.py",
        "account.version < account.known_version and _sign(engagement, account.version + 1)",
        "account.version < account.known_version",
    ),
    "a deadline passes a day late": Fault(
        423,
        "rules/deadlines.py",
        "else start_of_day(last + _ONE_DAY, self.zone)",
        "else start_of_day(last + _ONE_DAY + _ONE_DAY, self.zone)",
    ),
    "holidays are business days": Fault(
        423,
        "rules/deadlines.py",
        "day.weekday() < _SATURDAY and day not in self.holidays",
        "day.weekday() < _SATURDAY",
    ),
    "grace is not given": Fault(1734, "rules/deadlines.py", "if grace is None or deadline >= END_OF_TIME:", "if True:"),
    "time goes on while suspended": Fault(
        1819, "rules/deadlines.py", "            if start < due and end > since:", "            if False:"
    ),
    "an escalation takes the step from its role": Fault(
        533,
        "rules/approvals.py",
        "return (terms.role, *(e.role for e in terms.escalations[: self.stage(step)]))",
        "return (terms.role, *(e.role for e in terms.escalations[: self.stage(step)]))[-1:]",
        ("deadlines",),
    ),
    "silence rejects what it should accept": Fault(
        423, "rules/approvals.py", 'elif terms.on_timeout == "accept":', 'elif terms.on_timeout == "never":'
    ),
    "a correction after the sign-off undoes it": Fault(
        3101,
        "signing.py",
        "accepted[i + 1][0] if i + 1 < len(accepted) else END_OF_TIME",
        "END_OF_TIME if i + 1 == len(accepted) else since",
    ),
    "percentages that were accepted before share again": Fault(
        428,
        "amended.py",
        "if at is not None and any(milestone.id in",
        "if False and any(milestone.id in",
        ("amendments",),
    ),
    "what governs everything governs from its day on": Fault(
        18, "amended.py", 'if i == 0 or terms.mode == "catch_up":', "if i == 0:", ("amendments",)
    ),
    "what was billed before keeps the rate of its line": Fault(
        15, "amendments.py", "    posting.recount(engagement)\n", "", ("amendments",)
    ),
    "an amendment stands once it was signed": Fault(
        35, "amendments.py", "kept = _take_back(engagement) if again else before", "kept = before", ("amendments",)
    ),
    "of two decisions of one time the first stands": Fault(
        8,
        "rules/regulators.py",
        "if len({decision.decision for decision in top}) > 1:",
        "if False:",
        ("conflicts",),
    ),
    "an acceptance without confirmation id pays": Fault(
        9,
        "rules/regulators.py",
        "decision is None or decision.confirmation_id is None or",
        "decision is None or",
        ("conflicts",),
    ),
    "what waits after an acceptance reverses": Fault(
        65,
        "rules/regulators.py",
        "if decision is not None and not ladder(decision.decision, at_least)",
        "if decision is None or not ladder(decision.decision, at_least)",
        ("conflicts",),
    ),
    "a deadline counts from the opening": Fault(
        4,
        "rules/approvals.py",
        "self._clock.timer(stand.key).asked, self._opened_at",
        "self._opened_at",
        ("deadlines",),
    ),
    "an escalation counts from the deadline": Fault(
        625, "rules/approvals.py", "stand.escalated.append(tick)", "stand.escalated.append(deadline)", ("deadlines",)
    ),
    "what was answered in time times out": Fault(
        0, "rules/approvals.py", "if idle or self.granted[i] is not None or", "if idle or", ("deadlines",)
    ),
    "a run that fell into a suspension is lost": Fault(
        23, "time_and_materials.py", "        if _is_missed(engagement, hours):", "        if False:", ("hours",)
    ),
}

ENOUGH = 1000  # engagements, when the generator has changed so that the seed of a fault shows it no more


def hunt(folder: Path, first: int, groups: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    """Look for a difference with the core of `folder`, at the engagement `first` before all others."""
    return subprocess.run(
        [sys.executable, "-m", "tests.properties.hunt", str(ENOUGH), str(folder), str(first), *groups],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
    )


@pytest.mark.parametrize("name", FAULTS)
def test_the_oracle_notices(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    for part in ("core", "sim"):
        shutil.copytree(ROOT / "src/milepost" / part, tmp_path / "milepost" / part)
    shutil.copy(ROOT / "src/milepost/__init__.py", tmp_path / "milepost")
    patched = tmp_path / "milepost/core" / fault.module
    text = patched.read_text(encoding="utf-8")
    assert text.count(fault.right) == 1, f"{fault.module} does not say {fault.right!r} once: say the fault anew"
    patched.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
    hunted = hunt(tmp_path, fault.seed, fault.groups)
    assert hunted.returncode == 1, f"no difference in {ENOUGH} engagements: {hunted.stdout}"
    assert hunted.stdout.startswith("seed "), hunted.stdout
