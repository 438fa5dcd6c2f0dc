"""Every reason that an event is given for not billing has a sentence, and no sentence is left over."""

import re
from pathlib import Path

from milepost.core import reasons

CORE = Path(reasons.__file__).parent
LISTED = Path(__file__).parents[1] / "coverage/events.txt"
# Reasons with a sentence of their own, which the list of events.md does not have: docs/RULES.md says why.
OURS = {"SUBMISSION_WAITING", "FOLD_FAILED", "OUTPUT_REJECTED"}


def listed() -> set[str]:
    """The codes of events.md, "What happens to an event that does not bill"."""
    text = LISTED.read_text(encoding="utf-8")
    said = text[text.index("events reasons.1\n") :]
    return set(re.findall(r"`([A-Z][A-Z_]+)`", said))


def test_each_reason_of_the_list_has_a_sentence_and_there_are_no_others() -> None:
    assert len(listed()) > 30
    assert set(reasons.SENTENCES) == listed() | OURS


def test_what_the_core_says_is_what_has_a_sentence() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in CORE.parent.rglob("*.py") if path.name != "reasons.py"
    )
    assert {reason for reason in reasons.SENTENCES if f'"{reason}"' not in source} == set()


def test_a_sentence_ends_and_needs_no_code_to_be_understood() -> None:
    for said in reasons.SENTENCES.values():
        assert said.endswith(".")
        assert not re.search(r"[A-Z]{3,}_", said)
    assert reasons.sentence("MILESTONE") == ""
