"""What is owed is owed once, claimed by one at a time, and ends as it went: on SQLite and on PostgreSQL."""

import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from milepost.sql import notices
from milepost.sql.endpoints import disable_endpoint, enable_endpoint, endpoint_of, pause_endpoint, remove_endpoint
from milepost.sql.engine import Engine
from milepost.sql.notice_log import Selection, attempts_of, deliveries, replay
from milepost.sql.notices import BUNDLE_LIMIT, Claimed, Ending, Owed, claim, end, owe, owed_now, prune
from milepost.sql.people import Person, keep_people, people, person_of, remove_person
from tests.notices.world import World, settings_with

NOW = 1_000_000
BOTH = ("email", "webhook")


def owed(number: int, **changes: object) -> Owed:
    values = {
        "delivery_id": f"d-{number:06}",
        "output_id": f"o-{number}",
        "topic": "approval-requests",
        "kind": "REQUESTED",
        "engagement_id": "erp",
        "step_id": "erp/a//1.1",
        "channel": "email",
        "recipient": f"person-{number}",
        "address": None,
        "payload": f'{{"n":{number}}}',
        "record_partition": 0,
        "record_offset": number,
        "recorded_at": number,
        "owed_at": NOW,
        "due_at": NOW,
    }
    return Owed(**{**values, **changes})  # type: ignore[arg-type]


def take(engine: Engine, name: str = "one", now: int = NOW, limit: int = 100, each: int = 100) -> list[Claimed]:
    return claim(engine, name, now, now + 50, limit, each, (), BOTH)


def row(engine: Engine, delivery_id: str = "d-000001") -> dict[str, object]:
    (found,) = deliveries(engine, Selection(delivery_ids=[delivery_id]), 10)
    return dataclasses.asdict(found)


def test_what_is_owed_twice_is_owed_once(engine: Engine) -> None:
    owe(engine, [owed(1), owed(2)])
    (first, _) = take(engine)
    assert end(engine, first, Ending("SENT", "250 OK"), NOW + 1)
    owe(engine, [owed(1), owed(2), owed(3)])
    assert row(engine)["state"] == "SENT"
    assert len(deliveries(engine, Selection(), 10)) == 3


def test_a_claim_is_one_instances_until_it_runs_out(engine: Engine) -> None:
    owe(engine, [owed(1)])
    (claimed,) = take(engine, "one")
    assert (claimed.attempt, claimed.tries, claimed.payload) == (1, 1, '{"n":1}')
    assert take(engine, "two", NOW + 49) == []
    (again,) = take(engine, "two", NOW + 50)  # "one" died
    assert again.attempt == 2
    assert not end(engine, claimed, Ending("SENT", "late"), NOW + 60)  # it was only slow: noted, and no more
    assert row(engine)["state"] == "OWED"
    assert end(engine, again, Ending("SENT", "250 OK"), NOW + 61)
    assert [(one.attempt, one.outcome, one.answer) for one in attempts_of(engine, "d-000001")] == [
        (1, "SENT", "late"),
        (2, "SENT", "250 OK"),
    ]


def test_an_attempt_that_was_cut_off_stays_in_the_log(engine: Engine) -> None:
    owe(engine, [owed(1)])
    take(engine)
    (cut,) = attempts_of(engine, "d-000001")
    assert (cut.attempted_at, cut.ended_at, cut.outcome) == (NOW, None, None)


def test_instances_share_the_work(engine: Engine) -> None:
    """Many at once, on two databases that lock in two ways: nothing is claimed twice, nothing is left."""
    owe(engine, [owed(number) for number in range(200)])

    def work(name: str) -> list[str]:
        mine: list[str] = []
        while claimed := take(engine, name, limit=7):
            mine += [one.delivery_id for one in claimed]
            for one in claimed:
                end(engine, one, Ending("SENT", "ok"), NOW)
        return mine

    with ThreadPoolExecutor(4) as pool:
        done = [each for mine in pool.map(work, ["a", "b", "c", "d"]) for each in mine]
    left = take(engine, "e")  # SKIP LOCKED may have passed over the last ones
    assert Counter(done + [one.delivery_id for one in left]) == Counter(f"d-{number:06}" for number in range(200))


def test_what_is_not_due_or_rests_is_left(engine: Engine) -> None:
    world = World(engine, settings_with())
    endpoint, _ = world.add_endpoint("https://a.test/")
    to_endpoint = {"channel": "webhook", "recipient": endpoint.endpoint_id}
    owe(engine, [owed(1, due_at=NOW + 1), owed(2, **to_endpoint)])
    pause_endpoint(engine, endpoint.endpoint_id, NOW + 30)
    pause_endpoint(engine, endpoint.endpoint_id, NOW + 20)  # an earlier end does not shorten it
    assert take(engine) == []
    assert [one.delivery_id for one in take(engine, now=NOW + 1)] == ["d-000001"]
    assert take(engine, now=NOW + 29) == []
    assert claim(engine, "one", NOW + 30, NOW + 80, 10, 10, [endpoint.endpoint_id], BOTH) == []
    assert claim(engine, "one", NOW + 30, NOW + 80, 10, 10, [], ["email"]) == []
    assert [one.delivery_id for one in take(engine, now=NOW + 30)] == ["d-000002"]


def test_one_recipient_does_not_hide_the_others(engine: Engine) -> None:
    owe(engine, [owed(number, recipient="slow") for number in range(20)] + [owed(30, due_at=NOW)])
    claimed = take(engine, limit=8, each=3)
    assert Counter(one.recipient for one in claimed) == {"slow": 3, "person-30": 1}


def test_a_disabled_endpoint_fails_what_it_is_owed_and_a_replay_brings_it_back(engine: Engine) -> None:
    world = World(engine, settings_with())
    endpoint, _ = world.add_endpoint("https://a.test/")
    to_endpoint = {"channel": "webhook", "recipient": endpoint.endpoint_id}
    owe(engine, [owed(number, **to_endpoint) for number in range(3)] + [owed(9)])
    (under_way,) = claim(engine, "one", NOW, NOW + 50, 1, 1, ["person-9"], BOTH)
    assert disable_endpoint(engine, endpoint.endpoint_id, "410 Gone", NOW) == 2
    assert disable_endpoint(engine, endpoint.endpoint_id, "another reason", NOW + 5) == 0
    found = endpoint_of(engine, endpoint.endpoint_id)
    assert found is not None
    assert (found.disabled_at, found.disabled_why) == (NOW, "410 Gone")
    assert end(engine, under_way, Ending("OWED", "500", NOW), NOW)
    assert [one.recipient for one in take(engine)] == ["person-9"]
    assert enable_endpoint(engine, endpoint.endpoint_id)
    assert replay(engine, Selection(recipient=endpoint.endpoint_id, states=["FAILED"]), NOW + 1) == 2
    assert len(take(engine, now=NOW + 60)) == 4
    assert not enable_endpoint(engine, "nobody")


def test_a_removed_endpoint_is_owed_nothing(engine: Engine) -> None:
    world = World(engine, settings_with())
    endpoint, _ = world.add_endpoint("https://a.test/")
    owe(engine, [owed(1, channel="webhook", recipient=endpoint.endpoint_id)])
    assert remove_endpoint(engine, endpoint.endpoint_id, NOW)
    assert (row(engine)["state"], endpoint_of(engine, endpoint.endpoint_id)) == ("WITHDRAWN", None)
    assert not remove_endpoint(engine, endpoint.endpoint_id, NOW)


def test_what_goes_to_one_address_goes_together(engine: Engine) -> None:
    to = {"recipient": "ops@x.test", "address": "ops@x.test", "topic": "dead-letters"}
    other = {**to, "topic": "retention-events"}
    owe(engine, [owed(number, **to) for number in range(BUNDLE_LIMIT + 2)] + [owed(900, **other), owed(901)])
    first, second, third, fourth = take(engine, limit=200)
    assert [len(one.joined) for one in (first, second, third, fourth)] == [BUNDLE_LIMIT - 1, 1, 0, 0]
    assert first.joined[:2] == ('{"n":1}', '{"n":2}')
    assert end(engine, first, Ending("OWED", "450 later", NOW + 5), NOW)
    (again,) = take(engine, now=NOW + 5)
    assert (again.delivery_id, again.joined) == (first.delivery_id, first.joined)  # the same e-mail, not a longer one
    assert end(engine, again, Ending("SENT", "250 OK"), NOW + 6)
    states = Counter(one.state for one in deliveries(engine, Selection(recipient="ops@x.test"), 1_000))
    assert states == {"SENT": BUNDLE_LIMIT, "BUNDLED": 1, "OWED": 2}


def test_a_replay_starts_the_schedule_again_and_keeps_the_id(engine: Engine) -> None:
    owe(engine, [owed(1), owed(2), owed(3, owed_at=NOW + 100)])
    for one in take(engine):
        end(engine, one, Ending("FAILED", "550"), NOW)
    assert replay(engine, Selection(since=NOW, until=NOW + 100), NOW + 7) == 2
    assert replay(engine, Selection(since=NOW, until=NOW + 100), NOW + 7) == 0  # owed already
    (again, _) = take(engine, now=NOW + 7)
    assert (again.delivery_id, again.attempt, again.tries) == ("d-000001", 2, 1)


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (Selection(delivery_ids=["d-000002", "nothing"]), {2}),
        (Selection(recipient="person-1"), {1}),
        (Selection(engagement="other"), {2}),
        (Selection(channel="webhook"), {3}),
        (Selection(since=NOW + 1), {2, 3}),
        (Selection(until=NOW + 1), {1}),
        (Selection(states=["FAILED"], since=NOW), {3}),
        (Selection(recipient="person-1", channel="webhook"), set()),
        (Selection(), {1, 2, 3}),
    ],
)
def test_a_selection_is_all_of_its_conditions(engine: Engine, selection: Selection, found: set[int]) -> None:
    three = owed(3, channel="webhook", owed_at=NOW + 2, state="FAILED", reason="disabled")
    owe(engine, [owed(1), owed(2, engagement_id="other", owed_at=NOW + 1), three])
    assert {int(one.delivery_id[2:]) for one in deliveries(engine, selection, 10)} == found


def test_the_oldest_that_is_owed_shows(engine: Engine) -> None:
    assert owed_now(engine) == {}
    owe(engine, [owed(1, owed_at=7), owed(2, owed_at=5), owed(3, channel="webhook", owed_at=9)])
    assert owed_now(engine) == {"email": (2, 5), "webhook": (1, 9)}


def test_pruning_takes_what_has_ended_long_ago(engine: Engine) -> None:
    owe(engine, [owed(1), owed(2), owed(3)])
    first, second, _ = take(engine)
    end(engine, first, Ending("SENT", "ok"), NOW)
    end(engine, second, Ending("SENT", "ok"), NOW + 10)
    assert prune(engine, NOW + 5) == 1
    assert {one.delivery_id for one in deliveries(engine, Selection(), 10)} == {"d-000002", "d-000003"}
    assert (attempts_of(engine, "d-000001"), len(attempts_of(engine, "d-000002"))) == ([], 1)


def test_any_text_can_be_stored(engine: Engine) -> None:
    odd = "a\x00b\u202e\U0001f4a5'; DROP TABLE notices; --"
    owe(engine, [owed(1, engagement_id=odd, recipient=odd)])
    (claimed,) = take(engine)
    assert end(engine, claimed, Ending("FAILED", odd), NOW)
    assert row(engine)["recipient"] == odd.replace("\x00", "\ufffd")
    assert notices.ENDED == ("SENT", "FAILED", "WITHDRAWN")


def test_people_are_kept_changed_and_forgotten(engine: Engine) -> None:
    owe(engine, [owed(1, recipient="ana", due_at=NOW + 1_000), owed(2, recipient="bob", due_at=NOW + 1_000)])
    keep_people(engine, [Person("ana", "ana@x.test", "Ana", NOW), Person("cy", "cy@x.test", None, NOW)], NOW)
    assert [one.recipient for one in take(engine)] == ["ana"]  # it waited for the address
    keep_people(engine, [Person("ana", "ana@y.test", None, NOW + 1)], NOW)
    assert person_of(engine, "ana") == Person("ana", "ana@y.test", None, NOW + 1)
    assert [person.person_id for person in people(engine)] == ["ana", "cy"]
    assert remove_person(engine, "ana")
    assert not remove_person(engine, "ana")
    assert person_of(engine, "ana") is None
