"""Every sentence of the specification that states behaviour is shown by a test, and docs/COVERAGE.md says by which."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.coverage.listing import ROOT, as_markdown, exists, sentences


def test_the_page_is_current(golden: Callable[[Path, str], None]) -> None:
    golden(ROOT / "docs" / "COVERAGE.md", as_markdown(sentences()))


def test_every_test_that_is_named_exists() -> None:
    named = {test for sentence in sentences() for test in sentence.shown_by}
    assert sorted(test for test in named if not exists(test)) == []


def test_every_sentence_names_a_test() -> None:
    found = sentences()
    assert len(found) > 250
    assert [sentence.name for sentence in found if not sentence.shown_by] == []


def test_no_sentence_stands_twice() -> None:
    assert [name for name, times in Counter(s.name for s in sentences()).items() if times > 1] == []


def test_a_name_that_is_none_is_noticed() -> None:
    assert not exists("no-such-scenario")
    assert not exists("tests/core/test_money.py::test_no_such_test")
    assert not exists("tests/core/no_such_module.py::test_anything")
