"""A link opens one decision for one person, and neither the database nor the secret alone gives one away."""

import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from milepost.settings import SettingsError, load
from milepost.sql.engine import Engine, reading, writing
from milepost.sql.link_tokens import LinkKeys, LinkSecretError, parse
from milepost.sql.links import Link, Links
from milepost.sql.tables import approval_links
from tests.ledger import made

NOW = made.NOON
DAY = 86_400_000_000
SECRET, OTHER = "s" * 32, "o" * 32
REQUEST = made.request()


def links(engine: Engine, *secrets: str) -> Links:
    return Links(engine, LinkKeys(secrets or (SECRET,)), 30)


def stored(engine: Engine) -> list[str]:
    """Every cell of the table, as text."""
    with reading(engine) as connection:
        return [str(cell) for row in connection.execute(select(approval_links)) for cell in row]


def test_a_link_says_what_it_is_for(engine: Engine) -> None:
    issued = links(engine).issue(REQUEST, "ann", NOW)
    found = links(engine).look_up(issued.token)
    assert found == issued.link
    assert found is not None
    assert found.scope == ("erp-rollout", "assessment", None, 1, "b" * 64, 1, "sponsor", "ann")
    assert (found.issued_at, found.expires_at) == (NOW, NOW + 30 * DAY)
    assert (found.decision, found.decided_at, found.published_at) == (None, None, None)


def test_a_link_outlives_the_deadline(engine: Engine) -> None:
    due = links(engine).issue(made.request(due_at=NOW + 90 * DAY), "ann", NOW)
    assert due.link.expires_at == NOW + 120 * DAY


def test_issuing_again_gives_the_same_link_and_a_reminder_a_longer_one(engine: Engine) -> None:
    first = links(engine).issue(REQUEST, "ann", NOW)
    assert links(engine).issue(REQUEST, "ann", NOW) == first
    reminder = made.request(request_id="reminder", kind="REMINDED")
    again = links(engine).issue(reminder, "ann", NOW + DAY)
    assert again.token == first.token
    assert again.link.expires_at == first.link.expires_at + DAY
    # One for each person, role, step, submission and occurrence.
    others = [
        links(engine).issue(REQUEST, "bob", NOW),
        links(engine).issue(made.request(request_id="r2", submission=2), "ann", NOW),
        links(engine).issue(made.request(request_id="r3", step=2), "ann", NOW),
        links(engine).issue(made.request(request_id="r4", role="client_ap"), "ann", NOW),
        links(engine).issue(made.request(request_id="r5", occurrence_id="2026-05"), "ann", NOW),
        links(engine).issue(made.request(request_id="r6", submission_hash="c" * 64), "ann", NOW),
    ]
    assert len({first.token, *(other.token for other in others)}) == 7


def test_what_was_decided_once_is_asked_anew_by_a_new_request_only(engine: Engine) -> None:
    """A signature taken back reopens the step: that request is a new one, and so is its link."""
    used = links(engine).issue(REQUEST, "ann", NOW)
    links(engine).decide(used.link.link_id, "APPROVED", "{}", NOW)
    assert links(engine).issue(REQUEST, "ann", NOW).token == used.token
    anew = links(engine).issue(made.request(request_id="second"), "ann", NOW)
    assert anew.token != used.token
    assert anew.link.decision is None


def test_who_was_not_asked_gets_none(engine: Engine) -> None:
    with pytest.raises(ValueError, match="asks ann, bob, not 'eve'"):
        links(engine).issue(REQUEST, "eve", NOW)
    for kind in ("GRANTED", "DEEMED", "REJECTED", "EXPIRED", "SUPERSEDED"):
        with pytest.raises(ValueError, match=f"is {kind}"):
            links(engine).issue(made.request(kind=kind), "ann", NOW)
    assert stored(engine) == []


def test_two_processes_issue_one(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: links(engine).issue(REQUEST, "ann", NOW).token, range(16)))
    assert len(tokens) == 1


def test_a_decision_is_taken_once_whoever_comes_at_the_same_time(engine: Engine) -> None:
    link_id = links(engine).issue(REQUEST, "ann", NOW).link.link_id

    def decide(number: int) -> Link:
        return links(engine).decide(link_id, "APPROVED" if number % 2 else "REJECTED", f'{{"n": {number}}}', number)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(decide, range(1, 17)))
    assert len({(link.decision, link.event, link.decided_at) for link in found}) == 1
    with pytest.raises(KeyError):
        links(engine).decide("f" * 32, "APPROVED", "{}", NOW)


def test_what_was_decided_waits_until_the_topic_has_it(engine: Engine) -> None:
    several = [links(engine).issue(made.request(milestone=name), "ann", NOW).link for name in ("a", "b", "c")]
    for number, link in enumerate(several):
        links(engine).decide(link.link_id, "APPROVED", "{}", NOW + number)
    waiting = [link.link_id for link in links(engine).unpublished(NOW + 2)]
    assert waiting == [several[0].link_id, several[1].link_id]
    assert [link.link_id for link in links(engine).unpublished(NOW + 9, limit=1)] == waiting[:1]
    done = links(engine).published(waiting[0], NOW + 5)
    assert links(engine).published(waiting[0], NOW + 6) == done
    assert [link.link_id for link in links(engine).unpublished(NOW + 2)] == waiting[1:]
    assert [link.link_id for link in links(engine).decided("erp-rollout", "a", None)] == waiting[:1]
    assert links(engine).decided("erp-rollout", "a", "2026-05") == []


def test_what_is_not_decided_cannot_be_published(engine: Engine) -> None:
    link = links(engine).issue(REQUEST, "ann", NOW).link
    assert links(engine).published(link.link_id, NOW).published_at is None


def test_a_dump_of_the_database_opens_nothing(engine: Engine) -> None:
    issued = links(engine).issue(REQUEST, "ann", NOW)
    cells = stored(engine)
    mac = parse(issued.token)
    assert mac is not None
    assert not any(issued.token in cell or mac.mac.hex() in cell for cell in cells)
    assert not any(links(engine).look_up(cell) for cell in cells)
    assert issued.token not in repr(issued)


def test_the_secret_alone_opens_nothing(engine: Engine) -> None:
    """Who knows secret, id and scope lacks the random bits."""
    link = links(engine).issue(REQUEST, "ann", NOW).link
    forged = LinkKeys([SECRET]).token(link.key_id, link.link_id, "0" * 64, link.scope)
    assert links(engine).look_up(forged) is None
    right = LinkKeys([SECRET]).token(link.key_id, link.link_id, link.nonce, link.scope)
    assert links(engine).look_up(right) == link


@pytest.mark.parametrize("name", ["engagement_id", "milestone_id", "role", "person", "submission_hash", "nonce"])
def test_a_row_that_somebody_changed_opens_nothing(engine: Engine, name: str) -> None:
    token = links(engine).issue(REQUEST, "ann", NOW).token
    assert links(engine).look_up(token) is not None
    with writing(engine) as connection:
        connection.execute(update(approval_links).values({name: "other"}))
    assert links(engine).look_up(token) is None


def test_the_scope_is_all_that_a_link_is_for() -> None:
    """Whoever adds a column decides here whether the token signs it."""
    unsigned = {"link_id", "request_id", "key_id", "nonce", "issued_at", "expires_at"}
    outcome = {"decision", "decided_at", "event", "published_at"}
    named = {field.name for field in fields(Link)}
    assert named == {column.name for column in approval_links.columns}
    assert len(named - unsigned - outcome) == len(Link(**dict.fromkeys(named)).scope)


def test_rotation(engine: Engine) -> None:
    old = links(engine, SECRET).issue(REQUEST, "ann", NOW)
    assert links(engine, OTHER, SECRET).look_up(old.token) is not None
    assert links(engine, OTHER, SECRET).issue(REQUEST, "ann", NOW).token == old.token
    new = links(engine, OTHER, SECRET).issue(REQUEST, "bob", NOW)
    assert links(engine, OTHER).look_up(new.token) is not None
    # Retired: what it signed opens nothing, and who is asked again gets a link that opens.
    assert links(engine, OTHER).look_up(old.token) is None
    again = links(engine, OTHER).issue(REQUEST, "ann", NOW)
    assert again.token != old.token
    assert links(engine, OTHER).look_up(again.token) == again.link


def changed(token: str, place: int) -> str:
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


def test_no_other_token_opens_it(engine: Engine) -> None:
    token = links(engine).issue(REQUEST, "ann", NOW).token
    wrong: list[str] = [changed(token, place) for place in range(len(token))]
    wrong += [token[:-1], token + "A", "", "A" * 64, token.swapcase(), "ü" * 64, f"{token[:-1]}\n", token + "=" * 4]
    wrong += ["' OR 1=1 --".ljust(64, "-"), "../" * 21 + "a", "\x00" * 64]
    assert [found for found in wrong if links(engine).look_up(found) is not None] == []
    standard = base64.b64encode(base64.urlsafe_b64decode(token)).decode()
    assert standard == token or links(engine).look_up(standard) is None


@given(st.text(max_size=80) | st.text(alphabet="ABCabc012-_=+/\n ", min_size=64, max_size=64))
def test_whatever_comes_as_a_token_is_one_or_none(token: str) -> None:
    found = parse(token)
    assert found is None or (len(found.link_id), len(found.mac)) == (32, 32)


def test_no_secret_no_link() -> None:
    with pytest.raises(LinkSecretError, match="MILEPOST_LINK_SECRET is not set"):
        LinkKeys.of(load())


def test_short_secrets_are_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_LINK_SECRET", f"{SECRET},hunter2")
    with pytest.raises(SettingsError, match="32 characters or more") as refused:
        load()
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("MILEPOST_LINK_SECRET", f" {SECRET} , {OTHER},")
    assert LinkKeys.of(load()).current == LinkKeys([SECRET]).current
