"""Who may do what: S14 (keys), S15 (others' engagements), S17 (every route against every action)."""

import ast
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from milepost.gateway import access, keys, tenancy
from milepost.gateway.actions import ACTIONS
from milepost.gateway.doors import now
from milepost.ledger.rows import rows_of
from milepost.sql.api_keys import find_key, revoke_key
from milepost.sql.tenants import add_tenants
from milepost.sql.writing import store
from tests.gateway.asking import CONTRACT, Asked, event, requests
from tests.gateway.running import DAY_US
from tests.gateway.serving import Served, body, serving, sqlite
from tests.ledger import made

ALL = list(requests())


@pytest.fixture
async def served(embedded_broker: str, tmp_path: Path) -> AsyncIterator[Served]:
    folder = tmp_path / "evidence"
    async with serving(
        embedded_broker, sqlite(tmp_path), gateway_requests_per_s=0, evidence_dir=str(folder)
    ) as running:
        add_tenants(running.doors.engine, "harbour", {"acme", "northwind"}, now())
        yield running


async def ask(served: Served, asked: Asked, key: str | None) -> tuple[int, str]:
    answer = await served.ask(
        asked.method, asked.path, key, content=asked.body, headers={"content-type": asked.content_type}
    )
    document = body(answer) if answer.headers["content-type"] == "application/problem+json" else {}
    return answer.status_code, document.get("code", "")


async def test_s14_a_key_that_is_unknown_misspelt_revoked_or_expired_opens_nothing(served: Served) -> None:
    good = served.key()
    revoked, expired = served.key(), served.key(expires_at=now() - 1, created_at=now() - DAY_US)
    assert revoke_key(served.doors.engine, keys.parse(revoked) or "", now())
    wrong = {
        "unknown": keys.new_secret().text,
        "misspelt": good[:-1] + ("a" if good[-1] != "a" else "b"),
        "another's secret": good[:16] + keys.new_secret().text[16:],
        "revoked": revoked,
        "expired": expired,
        "empty": "x",
    }
    assert (await served.ask("GET", "/v1/whoami", good)).status_code == 200
    for what, key in wrong.items():
        answer = await served.ask("GET", "/v1/whoami", key)
        assert (what, answer.status_code, body(answer)["code"]) == (what, 401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for headers in ({}, {"Authorization": f"Basic {good}"}, {"Authorization": good}, {"Authorization": "Bearer"}):
        assert (await served.ask("GET", "/v1/whoami", headers=headers)).status_code == 401


async def test_s14_a_key_without_the_action_is_refused_and_told_what_it_has(served: Served) -> None:
    key = served.key("lines:read", "events:kpi-*")
    answer = await served.ask("GET", "/v1/engagements", key)
    assert (answer.status_code, body(answer)["code"]) == (403, "ACTION_NOT_ALLOWED")
    assert "lines:read, events:kpi-*" in body(answer)["detail"]
    sent = await served.ask("POST", "/v1/events/kpi-events", key, json=event("kpi-events", "harbour"))
    assert sent.status_code == 202


@pytest.mark.parametrize("query", ["api_key={key}", "x={key}", "access_token=abc", "a=1&b=before{key}after"])
async def test_s14_a_key_in_the_address_is_refused_even_beside_a_good_one(served: Served, query: str) -> None:
    key = served.key()
    answer = await served.ask("GET", f"/v1/whoami?{query.format(key=key)}", key)
    assert (answer.status_code, body(answer)["code"]) == (400, "KEY_IN_QUERY")
    assert key not in answer.text


def dumped(folder: Path) -> tuple[str, bytes]:
    """The database as SQL, and all its bytes."""
    with closing(sqlite3.connect(folder / "milepost.db")) as connection:
        dump = "\n".join(connection.iterdump())
    return dump, b"".join(path.read_bytes() for path in folder.glob("milepost.db*"))


async def test_s14_the_database_holds_no_key(served: Served, tmp_path: Path) -> None:
    key = served.key()
    assert (await served.ask("GET", "/v1/whoami", key)).status_code == 200
    dump, raw = dumped(tmp_path)
    secret = key.rpartition("_")[2]
    assert keys.parse(key) in dump
    assert keys.sha256_of(key) in dump
    assert secret not in dump
    assert secret.encode() not in raw


async def test_a_key_is_used_at_once_and_worthless_at_once(served: Served) -> None:
    key = served.key()
    key_id = keys.parse(key) or ""
    assert (await served.ask("GET", "/v1/whoami", key)).status_code == 200
    found = find_key(served.doors.engine, key_id)
    assert found is not None
    assert found.last_used_at is not None
    assert abs(found.last_used_at - now()) < 60_000_000
    assert revoke_key(served.doors.engine, key_id, now())
    assert (await served.ask("GET", "/v1/whoami", key)).status_code == 401


def test_secrets_are_random_checked_and_compared_in_constant_time() -> None:
    """S10 as far as it can be read: the comparison is the library's, and nothing else compares."""
    made = {keys.new_secret().text for _ in range(200)}
    assert len(made) == 200
    assert all(keys.parse(text) == text.split("_")[1] for text in made)
    one = keys.new_secret()
    assert keys.fits(one.text, keys.sha256_of(one.text))
    assert not keys.fits(one.text, keys.sha256_of(keys.new_secret().text))
    tree = ast.parse(Path(keys.__file__ or "").read_text())
    [fits] = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "fits"]
    assert "hmac.compare_digest" in ast.unparse(fits)
    used = ast.parse(Path(access.__file__ or "").read_text())
    assert not [n for n in ast.walk(used) if isinstance(n, ast.Compare) and "secret_sha256" in ast.unparse(n)]


async def test_s17_every_route_takes_exactly_the_keys_that_have_its_action(served: Served) -> None:
    actions = sorted(set(ACTIONS.values()))
    assert len(actions) > 15
    by_action = {action: served.key(action, person="ana", roles=("client",)) for action in actions}
    looked = 0
    for asked in ALL:
        assert (await ask(served, asked, None))[0] == 401, asked.route
        for action, key in by_action.items():
            status, code = await ask(served, asked, key)
            looked += 1
            refused = (status, code) == (403, "ACTION_NOT_ALLOWED")
            assert refused == (ACTIONS[asked.route] != action), (asked.route, action, status, code)
    assert looked == len(ACTIONS) * len(actions)


async def test_s15_what_is_anothers_does_not_exist_on_any_route(served: Served) -> None:
    """Every route that names an engagement, asked with a key of another tenant and with one of other engagements."""
    strangers = {
        "tenant": served.key(tenant="globex", person="ana", roles=("client",)),
        "patterns": served.key(tenant="acme", engagements=("quay-*", "harbou"), person="ana", roles=("client",)),
    }
    own = served.key(tenant="acme", engagements=("harb*",), person="ana", roles=("client",))
    named = [asked for asked in ALL if asked.named]
    unnamed = {asked.route for asked in ALL if not asked.named}
    assert unnamed == {"GET /v1/whoami", "GET /v1/engagements", "GET /v1/approvals", "GET /v1/evidence/{sha256}"}
    for asked in named:
        for what, key in strangers.items():
            status, code = await ask(served, asked, key)
            assert status in (403, 404), (asked.route, what, status, code)
            assert code in ("UNKNOWN_ENGAGEMENT", "NOT_A_PARTY"), (asked.route, what, code)
        # The control: whoever may see it is answered something else.
        status, code = await ask(served, asked, own)
        assert code not in ("UNKNOWN_ENGAGEMENT", "NOT_A_PARTY"), (asked.route, status, code)
    assert len(named) == len(ACTIONS) - len(unnamed)
    for key in strangers.values():
        assert body(await served.ask("GET", "/v1/engagements", key))["items"] == []


async def test_s15_of_many_events_one_that_is_for_anothers_engagement_refuses_all(
    served: Served, embedded_broker: str
) -> None:
    key = served.key(tenant="acme")
    values = [event("kpi-events", "harbour", "1"), event("kpi-events", "quay", "2")]
    answer = await served.ask("POST", "/v1/events/kpi-events", key, json=values)
    assert (answer.status_code, body(answer)["code"]) == (404, "UNKNOWN_ENGAGEMENT")
    sent = await served.ask("POST", "/v1/events/kpi-events", key, json=values[:1])
    assert body(sent) | {"events": []} == {"accepted": 1, "repeated": 0, "events": []}  # nothing was remembered


async def test_s15_a_line_of_another_engagement_is_not_found_under_ones_own(served: Served) -> None:
    """An id that exists, asked for under an address that one may see."""
    rows = rows_of(made.in_order([made.line(engagement="quay"), made.line(engagement="harbour")]))
    store(served.doors.engine, rows.added, rows.statuses, [])
    theirs, own = (made.line(engagement=name).line_id for name in ("quay", "harbour"))
    key = served.key(tenant="acme")
    for line_id, status in ((theirs, 404), (own, 200)):
        path = f"/v1/engagements/harbour/lines/{line_id}/explanation"
        assert (await served.ask("GET", path, key)).status_code == status
    for line_id, status in ((theirs, 404), (own, 202)):
        value = {"dispute_id": line_id, "line_id": line_id}
        answer = await served.ask("POST", "/v1/engagements/harbour/disputes", key, json=value)
        assert answer.status_code == status, answer.text


async def test_an_engagement_belongs_to_whoever_opened_it_first(served: Served) -> None:
    contract = CONTRACT | {"engagement": "quay", "customer": {"id": "acme"}, "supplier": {"id": "northwind"}}
    theirs = contract | {"customer": {"id": "globex"}, "supplier": {"id": "initech"}}
    assert (await served.ask("POST", "/v1/engagements", served.key(tenant="acme"), json=contract)).status_code == 202
    seen = await served.ask("GET", "/v1/engagements/quay/lines", served.key(tenant="northwind"))
    assert seen.status_code == 200
    for tenant in ("globex", "initech"):
        answer = await served.ask("POST", "/v1/engagements", served.key(tenant=tenant), json=theirs)
        assert (answer.status_code, body(answer)["code"]) == (403, "NOT_A_PARTY")
    stranger = await served.ask("POST", "/v1/engagements", served.key(tenant="umbrella"), json=theirs)
    assert stranger.status_code == 403


async def test_a_disputes_id_may_hold_a_slash(embedded_broker: str, tmp_path: Path) -> None:
    """What may be opened may be decided: ids are whatever the other side's system calls a dispute."""
    async with serving(embedded_broker, sqlite(tmp_path)) as served:
        answers = [
            await served.ask(
                "POST", f"/v1/engagements/harbour/disputes/2026%2F17/{how}", served.key(), json={"line_id": "l-1"}
            )
            for how in ("withdraw", "uphold", "dismiss", "shred")
        ]
    assert [body(one)["code"] for one in answers] == ["UNKNOWN_LINE"] * 3 + ["NOT_FOUND"]


@pytest.mark.parametrize("topic", ["approvals", "milestone-events", "engagements", "dispute-events"])
async def test_a_persons_key_speaks_for_that_person_alone(served: Served, topic: str) -> None:
    field = {"approvals": "approver", "milestone-events": "reported_by"}.get(topic, "actor")
    key = served.key(person="ana", roles=("client",))
    other = await served.ask("POST", f"/v1/events/{topic}", key, json=event(topic, "harbour") | {field: "ben"})
    assert (other.status_code, body(other)["code"]) == (403, "ANOTHER_PERSON")
    own = await served.ask("POST", f"/v1/events/{topic}", key, json=event(topic, "harbour") | {field: "ana"})
    assert own.status_code == 202


def test_patterns_are_globs_and_nothing_else() -> None:
    class Key:
        tenant, engagements = "*", ("erp-*", "quay")

    admitted = [name for name in ("erp-1", "erp-", "erp", "quay", "quays", "QUAY") if tenancy.covers(Key(), name)]
    assert admitted == ["erp-1", "erp-", "quay"]


def test_the_table_is_of_routes_that_exist() -> None:
    assert json.dumps(ACTIONS) == json.dumps({asked.route: ACTIONS[asked.route] for asked in ALL})
