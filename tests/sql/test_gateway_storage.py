"""What gateways share in the database: ids, answers, keys, tenants. The same on SQLite and PostgreSQL."""

import random
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import insert, text

from milepost.gateway.keys import new_secret, sha256_of
from milepost.sql import api_keys, idempotency, tables, tenants
from milepost.sql.engine import Engine, reading, writing
from milepost.sql.remembering import Arrival, Ids, Known, Told, keep, prune

A, B = "a" * 64, "b" * 64
ONE = Arrival("event e s", "1", A)


def remember(engine: Engine, arrivals: Sequence[Arrival], now: int, request_id: int = 0) -> Known:
    [known] = keep(engine, [Told(request_id or now, now, arrivals)])
    return known


def acknowledge(engine: Engine, request_id: int, now: int, others: Collection[Ids] = ()) -> None:
    keep(engine, [Told(request_id, now, acknowledged=True, others=others)])


def test_the_first_stays_and_is_told_to_all_that_come_after(engine: Engine) -> None:
    first = remember(engine, [ONE, Arrival("event e s", "2", A)], 10)
    again = remember(engine, [ONE, Arrival("event e other", "1", B)], 20)
    assert first["event e s", "1"] == (A, 10, 10, False)
    assert again == {("event e s", "1"): (A, 10, 10, False), ("event e other", "1"): (B, 20, 20, False)}
    assert remember(engine, [ONE._replace(body_sha256=B)], 25)["event e s", "1"] == (A, 10, 10, False)
    acknowledge(engine, 20, 40, [("event e s", "1"), ("unknown", "1")])
    acknowledge(engine, 30, 50, [("event e s", "1")])
    after = remember(engine, [ONE, Arrival("event e s", "2", A), Arrival("event e other", "1", B)], 50)
    assert [found.acknowledged for found in after.values()] == [True, False, True]
    assert remember(engine, [], 60) == {}


def named(name: str, body_sha256: str = A) -> Arrival:
    return Arrival("event e s", name, body_sha256)


def test_a_request_that_contradicts_keeps_nothing_and_those_beside_it_keep_what_is_theirs(engine: Engine) -> None:
    remember(engine, [named("old")], 1)
    requests = [
        [named("new", B), named("old", B)],  # refused
        [named("new"), named("own")],  # as if the first had not come
        [named("more", B), named("new", B)],  # refused by the second
        [named("twice"), named("more"), named("twice", B)],  # by itself
        [named("more"), named("old")],
    ]
    answers = keep(engine, [Told(10 + place, 10 + place, one) for place, one in enumerate(requests)])
    contradicted = [
        any(answer[one.scope, one.event_id].body_sha256 != one.body_sha256 for one in request)
        for request, answer in zip(requests, answers, strict=True)
    ]
    assert contradicted == [True, False, True, True, False]
    names = ["old", "new", "own", "more", "twice"]
    found = remember(engine, [named(name) for name in names], 20)
    assert [found["event e s", name] for name in names] == [
        (A, 1, 1, False), (A, 11, 11, False), (A, 11, 11, False), (A, 14, 14, False), (A, 20, 20, False)
    ]  # fmt: skip


def test_what_is_acknowledged_stays_whoever_contradicts_it_at_the_same_moment(engine: Engine) -> None:
    remember(engine, [ONE], 1)
    _, known = keep(engine, [Told(1, 2, acknowledged=True), Told(2, 2, [ONE._replace(body_sha256=B)])])
    assert known["event e s", "1"] == (A, 1, 1, True)
    assert remember(engine, [ONE], 3)["event e s", "1"] == (A, 1, 1, True)


def test_what_may_be_sent_stays_whoever_is_refused_at_the_same_time(engine: Engine) -> None:
    def bring(number: int) -> tuple[list[Arrival], bool]:
        chance = random.Random(number)
        ids = [named(str(name), chance.choice("ab") * 64) for name in chance.sample(range(30), 3)]
        told = remember(engine, ids, number + 1)
        return ids, all(told[one.scope, one.event_id].body_sha256 == one.body_sha256 for one in ids)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(bring, range(120)))
    sent = {one for ids, taken in told if taken for one in ids}
    assert 0 < sum(taken for _, taken in told) < 120
    with reading(engine) as connection:
        rows = connection.execute(text("SELECT scope, event_id, body_sha256 FROM remembered_events")).all()
    assert {tuple(row) for row in rows} == {tuple(one) for one in sent}


def test_many_at_once_and_the_longest_ids_are_kept(engine: Engine) -> None:
    many = [Arrival("event e s", str(number), A) for number in range(2_500)]
    assert len(remember(engine, many, 1)) == 2_500
    acknowledge(engine, 1, 2)
    assert all(found.acknowledged for found in remember(engine, many, 3).values())
    face = "\N{GRINNING FACE}"
    long = [Arrival(face * 700, face * 512, A), Arrival(face * 700, face * 511, B)]
    found = remember(engine, long, 4)
    assert [found[one.scope, one.event_id].body_sha256 for one in long] == [A, B]
    acknowledge(engine, 5, 5, [(long[0].scope, long[0].event_id)])
    again = remember(engine, long, 6)
    assert [again[one.scope, one.event_id].acknowledged for one in long] == [True, False]


def test_of_many_who_bring_the_same_id_at_once_one_is_first_and_all_are_told_the_same(engine: Engine) -> None:
    def bring(number: int) -> Known:
        ids = [Arrival("event e s", str(place), f"{number:064}") for place in range(20)]
        return remember(engine, ids if number % 2 else ids[::-1], number + 1)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(bring, range(16)))
    assert all(one == told[0] for one in told)


def test_what_is_old_is_forgotten_and_nothing_else(engine: Engine) -> None:
    remember(engine, [ONE], 10)
    remember(engine, [ONE._replace(event_id="2")], 20)
    acknowledge(engine, 20, 21)
    assert prune(engine, 10) == 0
    assert prune(engine, 11) == 1
    assert remember(engine, [ONE], 30)["event e s", "1"].first_seen_at == 30
    kept = remember(engine, [ONE._replace(event_id="2")], 31)["event e s", "2"]
    assert (kept.first_seen_at, kept.acknowledged) == (20, True)


def hold(engine: Engine, now: int, sha: str = A, until: int | None = None) -> idempotency.Hold:
    return idempotency.hold(engine, "t n", "k", sha, now, until or now + 100, now + 1_000)


def test_a_key_is_held_answered_and_expires(engine: Engine) -> None:
    assert hold(engine, 1_000).ours
    running = hold(engine, 1_050)
    assert (running.ours, running.answer, running.held_until) == (False, None, 1_100)
    assert hold(engine, 1_050, B) == idempotency.Hold(False, A, 1_100, None)
    taken_over = hold(engine, 1_100, until=1_200)
    assert (taken_over.ours, taken_over.held_until) == (True, 1_200)
    answer = idempotency.Answer(202, "application/json", b"\x00\xff{}")
    idempotency.keep_answer(engine, "t n", "k", 1_100, answer)  # by the one that was too slow
    assert hold(engine, 1_150).answer is None
    idempotency.keep_answer(engine, "t n", "k", 1_200, answer)
    assert hold(engine, 1_500) == idempotency.Hold(False, A, 1_200, answer)
    idempotency.release(engine, "t n", "k", 1_200)  # what is answered stays
    assert hold(engine, 1_500).answer == answer
    assert idempotency.prune_answers(engine, 1_999) == 0
    assert hold(engine, 2_000, B).ours
    assert idempotency.prune_answers(engine, 9_999) == 1


def test_a_key_that_is_released_is_free(engine: Engine) -> None:
    assert hold(engine, 1_000).ours
    idempotency.release(engine, "t n", "k", 1_100)
    assert hold(engine, 1_001, B).ours


def test_of_many_who_take_a_key_one_has_it(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda _: hold(engine, 1_000), range(16)))
        over = list(pool.map(lambda number: hold(engine, 2_000 - 1, until=3_000 + number), range(16)))
    assert sum(one.ours for one in first) == 1
    assert sum(one.ours for one in over) == 1


def api_key(**given: Any) -> api_keys.ApiKey:
    secret = new_secret()
    values: dict[str, Any] = {
        "key_id": secret.key_id, "name": "jira", "tenant": "acme", "engagements": ("erp-*",),
        "actions": ("events:*", "lines:read"), "person": None, "roles": (), "secret_sha256": sha256_of(secret.text),
        "created_at": 100, "expires_at": 200,
    }  # fmt: skip
    return api_keys.ApiKey(**(values | given))


def test_keys_are_kept_found_revoked_and_two_of_a_name_may_be_active(engine: Engine) -> None:
    old, new, third = api_key(), api_key(created_at=101), api_key(created_at=102)
    api_keys.add_key(engine, old)
    api_keys.add_key(engine, new)
    with pytest.raises(api_keys.TooManyKeysError, match="revoke the older one first"):
        api_keys.add_key(engine, third)
    assert api_keys.keys(engine) == [old, new]
    assert api_keys.find_key(engine, new.key_id) == new
    assert api_keys.find_key(engine, "' OR 1=1") is None
    assert api_keys.revoke_key(engine, old.key_id, 150)
    assert api_keys.revoke_key(engine, old.key_id, 160)  # the first time stays
    assert not api_keys.revoke_key(engine, "nobody", 150)
    api_keys.add_key(engine, third)
    found = api_keys.find_key(engine, old.key_id)
    assert found is not None
    assert (found.revoked_at, found.active(149), new.active(199), new.active(200)) == (150, False, True, False)
    api_keys.add_key(engine, api_key(created_at=201, expires_at=300))  # the others have expired


def test_use_is_noted_and_never_goes_back(engine: Engine) -> None:
    key = api_key()
    api_keys.add_key(engine, key)
    for at in (10, 30, 20):
        api_keys.note_use(engine, key.key_id, at)
    found = api_keys.find_key(engine, key.key_id)
    assert found is not None
    assert found.last_used_at == 30


def opened(engine: Engine, engagement: str, contract: str, what: str, offset: int) -> None:
    sent = {
        "event_id": "o", "source": "s", "engagement_id": engagement, "change": "OPENED", "occurred_at": 0,
        "contract": contract, "actor": None, "evidence": [], "record_partition": 1, "record_offset": offset,
        "body_sha256": "",
    }  # fmt: skip
    entry = {
        "engagement_id": engagement, "sequence": 1, "what": what, "reason": None, "event_id": "o",
        "input_topic": "engagements", "input_partition": 1, "input_offset": offset, "line_id": None, "occurred_at": 0,
        "recorded_at": 0, "previous_hash": "", "hash": "", "record_partition": 1, "record_offset": offset,
        "body_sha256": "",
    }  # fmt: skip
    with writing(engine) as connection:
        connection.execute(insert(tables.engagement_events), [sent])
        connection.execute(insert(tables.audit_entries), [entry])


def test_an_engagement_belongs_to_the_parties_of_a_contract_that_was_taken(engine: Engine) -> None:
    opened(engine, "one", "{}", "APPLIED", 1)
    opened(engine, "two", "{}", "REFUSED", 2)
    opened(engine, "three", "{}", "APPLIED", 3)
    tenants.add_tenants(engine, "three", ["acme"], 1)
    assert tenants.without_tenants(engine, None, 10) == {"one": ["{}"]}
    assert tenants.without_tenants(engine, ["two", "three"], 10) == {}
    tenants.add_tenants(engine, "one", ["acme", "northwind"], 1)
    tenants.add_tenants(engine, "one", ["acme", "globex"], 2)
    assert tenants.tenants_of(engine, ["one", "two"]) == {"one": {"acme", "northwind", "globex"}}


def test_of_many_who_claim_a_name_one_gets_it(engine: Engine) -> None:
    def claim(number: int) -> bool:
        return tenants.claim(engine, "quay", f"t{number}", {f"t{number}", f"other{number}"}, 1)

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(claim, range(16)))
    assert sum(got) == 1
    winner = got.index(True)
    assert tenants.tenants_of(engine, ["quay"]) == {"quay": {f"t{winner}", f"other{winner}"}}
    assert tenants.claim(engine, "quay", f"t{winner}", {"late"}, 2)
