"""What the ledger knows of one occurrence, and of everything that waits for somebody; on both databases."""

from collections.abc import Iterable
from importlib import import_module
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select

from milepost.core.events import Evidence
from milepost.core.outputs import ApprovalRequest, Output
from milepost.ledger.rows import rows_of
from milepost.sql import tables
from milepost.sql.engine import Engine, writing
from milepost.sql.evidence import EvidenceUse, Reference, add_use, referenced, uploads_by, used_in, uses, uses_of
from milepost.sql.occurrences import Occurrences, latest
from milepost.sql.open_requests import open_requests
from milepost.sql.tenants import add_tenants
from milepost.sql.writing import store
from tests.ledger import made

FILL: str = import_module("milepost.sql.migrations.versions.0012_open_requests").FILL
NOON, HOUR_US = made.NOON, 3_600_000_000


def put(engine: Engine, outputs: Iterable[Output]) -> None:
    """Store outputs as the ledger would."""
    rows = rows_of(made.in_order(outputs))
    store(engine, rows.added, rows.statuses, [])


def asked(number: int, engagement: str = "erp-rollout", kind: str = "REQUESTED", **more: Any) -> ApprovalRequest:
    return made.request(engagement, request_id=f"r{number}", kind=kind, **more)


HISTORY = [
    asked(1, due_at=NOON + 2 * HOUR_US),
    asked(2, step=2, role="client_ap", people=("ana", "O'Hara")),
    asked(3, kind="GRANTED"),
    asked(4, "warehouse-7", due_at=NOON, people=("ben",)),
    asked(5, "warehouse-7", "ESCALATED", due_at=NOON + HOUR_US, people=("eve",), role="board"),
    asked(6, "warehouse-7", occurrence_id="2026-05", people=("ann",)),
    asked(7, "warehouse-7", "REJECTED", occurrence_id="2026-05", people=("ann",)),
    asked(8, "warehouse-7", occurrence_id="2026-06", people=("ann",)),
    asked(9, "Zoo_1", submission=2, people=("ann",)),
]


def ids(engine: Engine, most: int = 100, **given: Any) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = open_requests(engine, after, most, **{"tenant": None, "patterns": ("*",), **given})
        found += [one.request_id for one in page.items]
        assert len(page.items) <= most
        if page.end is None:
            return found
        after = page.end


def test_the_most_urgent_come_first_and_what_ended_is_left_out(engine: Engine) -> None:
    put(engine, HISTORY)
    assert ids(engine) == ["r4", "r5", "r9", "r2", "r8"]
    assert ids(engine, asking=False) == ["r3", "r7"]
    for most in (1, 2, 3):
        assert ids(engine, most) == ids(engine)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"person": "ana"}, ["r2"]),
        ({"person": "O'Hara"}, ["r2"]),
        ({"person": "an"}, []),
        ({"person": "ben"}, ["r4"]),  # it went on to somebody else, and may still be signed
        ({"person": "ann"}, ["r9", "r8"]),
        ({"role": "client_ap"}, ["r2"]),
        ({"role": "board", "person": "eve"}, ["r5"]),
        ({"engagement": "warehouse-7"}, ["r4", "r5", "r8"]),
        ({"engagement": "' OR 1=1 --"}, []),
        ({"person": "' OR 1=1 --"}, []),
        ({"patterns": ("erp-*",)}, ["r2"]),
        ({"patterns": ("zoo?1", "ware*")}, ["r4", "r5", "r8"]),
        ({"patterns": ("Zoo_1",)}, ["r9"]),
        ({"patterns": ("Zoo%",)}, []),
        ({"tenant": "acme"}, ["r4", "r5", "r8"]),
        ({"tenant": "acme", "patterns": ("erp-*",)}, []),
        ({"tenant": "globex"}, []),
    ],
)
def test_each_sees_what_is_theirs(engine: Engine, given: dict[str, Any], expected: list[str]) -> None:
    put(engine, HISTORY)
    add_tenants(engine, "warehouse-7", {"acme"}, NOON)
    assert ids(engine, **given) == expected


def test_one_occurrence_is_told_from_the_others(engine: Engine) -> None:
    lines = [made.line(gross_minor=700), made.line(revision=2, gross_minor=-200), made.line(milestone="other")]
    month = made.line(occurrence_id="2026-05", revision=3, line_id="may", gross_minor=11)
    put(engine, [*HISTORY, *lines, month, made.status(), made.status("erp-rollout", "@amendment", occurrence_id="2")])
    known = Occurrences(engine)
    assert [one.request_id for one in known.requests("warehouse-7", "assessment", "2026-05")] == ["r6", "r7"]
    assert [one.request_id for one in known.requests("warehouse-7", "assessment", None)] == ["r4", "r5"]
    assert known.requests("warehouse-7", "assessment", "") == []
    assert known.billed_minor("erp-rollout", "assessment", None) == 500
    assert known.billed_minor("erp-rollout", "assessment", "2026-05") == 11
    assert known.billed_minor("erp-rollout", "none", None) == 0
    assert known.status("erp-rollout", "assessment", None) == made.status()
    assert known.status("erp-rollout", "assessment", "2026-05") is None
    assert [one.occurrence_id for one in known.statuses("erp-rollout", "@amendment")] == ["2"]
    assert {key: one.request_id for key, one in latest(known.requests("erp-rollout", "assessment", None)).items()} == {
        (1, 1): "r3",
        (1, 2): "r2",
    }


def test_what_became_of_an_event_is_said_by_its_last_entry(engine: Engine) -> None:
    put(
        engine,
        [
            made.audit(sequence=1, what="PARKED", reason="NOT_IN_ROLE", event_id="link-1", input_topic="approvals"),
            made.audit(sequence=2, what="APPLIED", event_id="link-1", input_topic="approvals"),
            made.audit(sequence=3, what="LINE", event_id="link-1", input_topic="approvals"),
            made.audit(sequence=4, what="REFUSED", event_id="link-1", input_topic="kpi-events"),
        ],
    )
    found = Occurrences(engine).outcome("erp-rollout", "approvals", "link-1")
    assert found is not None
    assert (found.what, found.sequence) == ("APPLIED", 2)
    assert Occurrences(engine).outcome("erp-rollout", "approvals", "link-2") is None
    assert Occurrences(engine).outcome("other", "approvals", "link-1") is None


def use(engagement: str = "erp-rollout", sha256: str = "a" * 64, **more: Any) -> EvidenceUse:
    values = {
        "name": "report",
        "media_type": "text/plain",
        "size_bytes": 7,
        "uploaded_by": "key 1",
        "uploaded_at": NOON,
    }
    return EvidenceUse(engagement, sha256, **{**values, **more})  # type: ignore[arg-type]


def test_the_first_upload_of_a_file_for_an_engagement_stays(engine: Engine) -> None:
    for one in (
        use(),
        use(name="later"),
        use("other", uploaded_by="link 2", uploaded_at=NOON - 1),
        use(sha256="b" * 64),
    ):
        add_use(engine, one)
    assert uses_of(engine, "a" * 64) == [use("other", uploaded_by="link 2", uploaded_at=NOON - 1), use()]
    assert used_in(engine, "erp-rollout", {"a" * 64, "c" * 64}) == {"a" * 64: use()}
    assert used_in(engine, "erp-rollout", set()) == {}
    assert uploads_by(engine, "erp-rollout", "key 1") == 2
    assert uploads_by(engine, "other", "key 1") == 0
    assert [one.sha256[0] for one in uses(engine)] == ["a", "a", "b"]


def test_what_the_ledger_names_of_this_store_is_found(engine: Engine) -> None:
    def piece(mark: str, uri: str) -> Evidence:
        return Evidence("report", "text/plain", 7, mark * 64, uri)

    own = piece("c", f"https://bills.example/v1/evidence/{'c' * 64}")
    put(
        engine,
        [
            made.line(evidence=(own, piece("d", "https://documents.example/d"))),
            made.request(evidence=(own, piece("e", f"https://x/v1/evidence/{'f' * 64}"))),
        ],
    )
    line_id = made.line().line_id
    assert list(referenced(engine)) == [
        Reference("c" * 64, f"line {line_id}"),
        Reference("c" * 64, "request erp-rollout-assessment-1"),
    ]


def waiting(history: list[ApprovalRequest]) -> set[str]:
    """Who is asked now, by the words of rules 14 and 16: an escalation adds somebody, a reminder asks once more, and
    anything else is said of the whole step."""
    found: dict[tuple[Any, ...], dict[str, str]] = {}
    for one in history:
        step = (one.engagement_id, one.milestone_id, one.occurrence_id, one.submission, one.step)
        if one.kind not in ("REMINDED", "ESCALATED"):
            found[step] = {}
        if one.kind in ("REQUESTED", "REMINDED", "ESCALATED"):
            found.setdefault(step, {})[one.role] = one.request_id
    return {request for roles in found.values() for request in roles.values()}


def some_history(chance: Random, count: int) -> list[ApprovalRequest]:
    kinds = ["REQUESTED", "REMINDED", "ESCALATED", "GRANTED", "DEEMED", "REJECTED", "EXPIRED", "SUPERSEDED"]
    return [
        asked(
            number,
            chance.choice(["quay", "harbour"]),
            chance.choice(kinds),
            occurrence_id=chance.choice([None, "1"]),
            submission=chance.choice([1, 2]),
            step=chance.choice([1, 2]),
            role=chance.choice(["client", "board"]),
            due_at=chance.choice([None, NOON, NOON + HOUR_US]),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_in_whatever_batches_it_is_stored_the_same_ask(engine: Engine, seed: int) -> None:
    chance = Random(seed)
    history = some_history(chance, 120)
    batch = made.in_order(history)
    while batch:
        size = chance.randrange(1, 30)
        rows = rows_of(batch[:size])
        store(engine, rows.added, rows.statuses, [])
        batch = batch[size:]
    assert set(ids(engine, 7)) == waiting(history)
    # What a database of an older release is filled with is the same.
    with writing(engine) as connection:
        connection.execute(tables.open_requests.delete())
        connection.exec_driver_sql(FILL)
    assert set(ids(engine, 7)) == waiting(history)


def test_a_page_reads_what_waits_and_not_what_was_ever_asked(engine: Engine) -> None:
    old = [asked(number, kind="GRANTED", occurrence_id=str(number), due_at=NOON) for number in range(500)]
    put(engine, [*old, asked(1_000, due_at=NOON + HOUR_US)])
    with writing(engine) as connection:
        assert connection.execute(select(func.count()).select_from(tables.open_requests)).scalar_one() == 1
    assert ids(engine) == ["r1000"]
