"""Disputes over HTTP: opened, seen on their line with what can be done, ended once, and only where there is one."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from milepost.codec import records
from milepost.codec.wire import Record
from milepost.core.events import DisputeEvent
from milepost.ledger.rows import rows_of
from milepost.sql.disputes import disputes_of
from milepost.sql.engine import Engine
from milepost.sql.writing import store
from tests.gateway.serving import body, serving, sqlite
from tests.gateway.test_pipeline import CONTRACT, YAML, Harbour, harbour
from tests.ledger import made

DISPUTES = "/v1/engagements/harbour/disputes"
LINES = "/v1/engagements/harbour/lines"
ENDS = ["withdraw", "uphold", "dismiss"]


async def billed(gate: Harbour, key: str) -> str:
    """The id of a line of 400.00 EUR."""
    contract = CONTRACT.replace("depends_on: [design], ", "")
    assert (await gate.ask("POST", "/v1/engagements", key, content=contract, headers=YAML)).status_code == 202
    path = "/v1/engagements/harbour/milestones/build/trigger"
    assert (await gate.ask("POST", path, key, json={"occurred_at": "2026-03-02T10:00:00Z"})).status_code == 202
    found = await gate.until(LINES, key, lambda it: len(it["items"]) == 1)
    line_id: str = found["items"][0]["line_id"]
    return line_id


def ends(line: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["name"], one["href"]) for one in line["available_actions"] if one["name"] != "dispute"]


async def test_an_open_dispute_is_seen_on_its_line_and_ended_by_what_stands_there(
    embedded_broker: str, tmp_path: Path
) -> None:
    """Whatever its id holds."""
    async with harbour(embedded_broker, tmp_path) as gate:
        key = gate.key()
        line_id = await billed(gate, key)
        customer = gate.key("disputes:open", "lines:read", tenant="acme")
        for name in ("d/1", "q?#% \u00fc"):
            value = {"dispute_id": name, "line_id": line_id, "amount_minor": 100}
            assert (await gate.ask("POST", DISPUTES, customer, json=value)).status_code == 202
        found = await gate.until(LINES, key, lambda it: len(ends(it["items"][0])) == 6)
        hrefs = [f"{DISPUTES}/{quote(name, safe='')}" for name in ("d/1", "q?#% \u00fc")]
        assert ends(found["items"][0]) == [(end, f"{href}/{end}") for href in hrefs for end in ENDS]
        # Who may not decide is shown what is left for them.
        seen = body(await gate.ask("GET", LINES, customer))["items"][0]
        assert ends(seen) == [("withdraw", f"{href}/withdraw") for href in hrefs]
        first, second = hrefs
        withdrawal = {"line_id": line_id, "event_id": "w-1"}
        assert (await gate.ask("POST", f"{first}/withdraw", customer, json=withdrawal)).status_code == 202
        assert (await gate.ask("POST", f"{second}/uphold", key, json={"line_id": line_id})).status_code == 202
        found = await gate.until(LINES, key, lambda it: len(it["items"]) == 2 and not ends(it["items"][0]))
        assert [line["gross_minor"] for line in found["items"]] == [40_000, -100]
        # The same again is a repeat; anything else has nothing to end.
        again = await gate.ask("POST", f"{first}/withdraw", customer, json=withdrawal)
        assert (again.status_code, body(again)["repeated"]) == (202, 1)
        for href in hrefs:
            for end in ENDS:
                answer = await gate.ask("POST", f"{href}/{end}", key, json={"line_id": line_id})
                assert (answer.status_code, body(answer)["code"]) == (409, "NOT_OPEN"), (href, end)


async def test_what_nobody_disputed_cannot_be_withdrawn_or_dismissed(embedded_broker: str, tmp_path: Path) -> None:
    async with harbour(embedded_broker, tmp_path) as gate:
        key = gate.key()
        line_id = await billed(gate, key)
        for end in ("withdraw", "dismiss"):
            answer = await gate.ask("POST", f"{DISPUTES}/nope/{end}", key, json={"line_id": line_id})
            assert (answer.status_code, body(answer)["code"]) == (404, "UNKNOWN_DISPUTE")
            assert "'nope'" in body(answer)["detail"]
        # Rule 25: only upholding needs no opening before it.
        upheld = await gate.ask("POST", f"{DISPUTES}/nope/uphold", key, json={"line_id": line_id, "amount_minor": 5})
        assert upheld.status_code == 202
        found = await gate.until(LINES, key, lambda it: len(it["items"]) == 2)
        assert [line["gross_minor"] for line in found["items"]] == [40_000, -5]


@pytest.mark.parametrize("dispute_id", [".", "..", ""])
async def test_an_id_that_no_address_can_hold_is_refused_at_the_opening(
    embedded_broker: str, tmp_path: Path, dispute_id: str
) -> None:
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        answer = await served.ask("POST", DISPUTES, served.key(), json={"dispute_id": dispute_id, "line_id": "l-1"})
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in body(answer)["errors"]] == ["/dispute_id"]


def said(offset: int, dispute_id: str, kind: Any, line_id: str = "l-1") -> Record:
    event = DisputeEvent(f"e{offset}", "crm", "erp-rollout", dispute_id, line_id, kind, made.NOON)
    key, value = records.key_of(event), records.encode_event(event)
    return Record("dispute-events", 0, offset, 1_780_000_000_000, key, value)


def test_a_dispute_stands_where_the_join_left_it(engine: Engine) -> None:
    """Not where something that was sent would have it."""

    def entry(sequence: int, offset: int, what: str) -> Any:
        place = {"input_topic": "dispute-events", "input_partition": 0, "input_offset": offset}
        return made.audit(sequence=sequence, what=what, event_id=f"e{offset}", line_id=None, **place)

    events = [
        said(0, "open", "OPENED"),
        said(1, "closed", "OPENED"),
        said(2, "closed", "DISMISSED"),
        said(3, "open", "WITHDRAWN"),
        said(4, "refused", "OPENED"),
        said(5, "parked", "OPENED", "l-2"),
        said(6, "unheard", "OPENED"),
        said(7, "parked", "WITHDRAWN", "l-2"),
    ]
    whats = [(0, "APPLIED"), (1, "APPLIED"), (2, "APPLIED"), (3, "REFUSED"), (4, "REFUSED"), (5, "PARKED"),
             (7, "PARKED"), (5, "APPLIED"), (7, "APPLIED")]  # fmt: skip
    entries = [entry(number, *what) for number, what in enumerate(whats, 1)]
    rows = rows_of([*events, *made.in_order(entries, txseq=1)])
    store(engine, rows.added, rows.statuses, [])
    known = disputes_of(engine, "erp-rollout", ["l-1", "l-2", "l-3"])
    assert known == {"l-1": {"open": "OPENED", "closed": "DISMISSED"}, "l-2": {"parked": "WITHDRAWN"}}
    assert disputes_of(engine, "another", ["l-1"]) == disputes_of(engine, "erp-rollout", []) == {}
