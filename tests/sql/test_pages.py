"""The ledger page by page: every page and the whole list agree, for any size of page, on both databases."""

from typing import Any

import pytest

from milepost.core.outputs import AuditEntry, InvoiceLine
from milepost.ledger.rows import rows_of
from milepost.sql.engine import Engine
from milepost.sql.pages import Key, Page, Pages
from milepost.sql.reading import LedgerReading
from milepost.sql.tenants import add_tenants
from milepost.sql.writing import store
from tests.ledger import made
from tests.sql.test_gateway_storage import opened


def keep(engine: Engine, outputs: list[Any]) -> None:
    rows = rows_of(made.in_order(outputs, txseq=1))
    store(engine, rows.added, rows.statuses, [])


@pytest.fixture
def filled(engine: Engine) -> Engine:
    lines = [made.line(milestone="build", occurrence_id=f"{n:03}", revision=n + 1) for n in range(25)]
    outputs: list[Any] = [
        *lines,
        made.line(engagement="other"),
        *(made.retention(line) for line in lines),
        *(made.audit(sequence=n) for n in range(1, 26)),
        *(made.status(milestone="build", occurrence_id=f"{n:03}") for n in range(25)),
        made.status(milestone="assessment"),
    ]
    keep(engine, outputs)
    return engine


def walked(ask: Any, most: int) -> list[Any]:
    found: list[Any] = []
    after: Key | None = None
    while True:
        page: Page[Any] = ask(after, most)
        assert len(page.items) <= most
        found += page.items
        if page.end is None:
            return found
        after = page.end


@pytest.mark.parametrize("most", [1, 7, 25, 1_000])
def test_pages_are_the_list(filled: Engine, most: int) -> None:
    pages, whole = Pages(filled), LedgerReading(filled)
    name = "erp-rollout"
    assert walked(lambda a, m: pages.lines(name, a, m), most) == whole.lines(name)
    assert walked(lambda a, m: pages.retention(name, a, m), most) == whole.retention_events(name)
    assert walked(lambda a, m: pages.audit(name, a, m), most) == whole.audit(name)
    assert walked(lambda a, m: pages.statuses(name, a, m), most) == whole.statuses(name)
    assert len(whole.lines(name)) == 25


def test_filters_choose_and_never_widen(filled: Engine) -> None:
    pages = Pages(filled)
    [one] = walked(lambda a, m: pages.statuses("erp-rollout", a, m, milestone_id="build", occurrence_id="007"), 5)
    assert one.occurrence_id == "007"
    assert len(walked(lambda a, m: pages.statuses("erp-rollout", a, m, milestone_id="assessment"), 5)) == 1
    assert walked(lambda a, m: pages.lines("erp-rollout", a, m, kind="CLAWBACK"), 5) == []
    assert walked(lambda a, m: pages.lines("other", a, m, milestone_id="build"), 5) == []
    assert walked(lambda a, m: pages.audit("erp-rollout", a, m, reason="DUPLICATE"), 5) == []


def test_what_is_stored_between_two_pages_is_on_the_next(filled: Engine) -> None:
    pages = Pages(filled)
    page = pages.lines("erp-rollout", None, 20)
    assert isinstance(page.items[0], InvoiceLine)
    assert page.end is not None
    assert [line.occurrence_id for line in pages.lines("erp-rollout", page.end, 20).items] == [
        "020", "021", "022", "023", "024"
    ]  # fmt: skip
    assert pages.lines("erp-rollout", (10**9,), 20) == Page([], None)


def test_one_line_and_what_is_about_it(filled: Engine) -> None:
    pages = Pages(filled)
    lines = LedgerReading(filled).lines("erp-rollout")
    assert pages.line("erp-rollout", lines[3].line_id) == lines[3]
    assert pages.line("other", lines[3].line_id) is None
    assert pages.before(lines[3], 10) == lines[:4]
    assert pages.before(lines[3], 3) is None
    assert [event.line_id for event in pages.retention_of(lines[3].line_id)] == [lines[3].line_id]
    found = pages.entries_of(
        "erp-rollout", "none", {entry.event_id or "" for entry in pages.audit("erp-rollout", None, 2).items}
    )
    assert all(isinstance(entry, AuditEntry) for entry in found)
    assert found


@pytest.mark.parametrize(
    ("tenant", "patterns", "expected"),
    [
        (None, ["*"], ["A_b", "a.b", "a_b", "axb", "b"]),
        (None, ["a*"], ["a.b", "a_b", "axb"]),
        (None, ["a?b"], ["a.b", "a_b", "axb"]),
        (None, ["a_b"], ["a_b"]),
        (None, ["A_*", "b"], ["A_b", "b"]),
        (None, ["%", "a%"], []),
        ("acme", ["*"], ["axb"]),
        ("globex", ["*"], []),
    ],
)
def test_engagements_by_tenant_and_pattern(
    engine: Engine, tenant: str | None, patterns: list[str], expected: list[str]
) -> None:
    for offset, name in enumerate(("b", "axb", "a_b", "A_b", "a.b")):
        opened(engine, name, "{}", "APPLIED", offset)
    opened(engine, "refused", "{}", "REFUSED", 99)
    add_tenants(engine, "axb", ["acme"], 1)
    pages = Pages(engine)
    found = walked(lambda a, m: pages.engagements(a, m, tenant=tenant, patterns=patterns), 2)
    assert sorted(changes[0].engagement_id for changes in found) == expected
    assert [change.change for changes in found for change in changes] == ["OPENED"] * len(expected)
