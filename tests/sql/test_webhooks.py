"""Endpoints and their secrets, on both databases."""

from dataclasses import replace

import pytest

from milepost.sql.engine import Engine
from milepost.sql.sealing import Seal, SealError
from milepost.sql.webhooks import (
    Endpoint,
    EndpointExistsError,
    TooManySecretsError,
    add_endpoint,
    add_secret,
    change_endpoint,
    endpoints,
    find_endpoint,
    opened,
    reseal,
    revoke_endpoint,
    secrets_of,
)

HOUR_US = 3_600_000_000
SEAL = Seal(["s" * 32])
ENDPOINT = Endpoint(
    "monitor", "lakeside", "alertmanager", "bearer", ("hosting*",), ("kpi-events",), {"source": "m"}, 10
)


def in_force(engine: Engine, now: int) -> list[str]:
    return opened(secrets_of(engine, "monitor"), SEAL, now)


def test_an_endpoint_is_kept_with_its_secret(engine: Engine) -> None:
    add_endpoint(engine, ENDPOINT, "first", SEAL)
    found = find_endpoint(engine, "monitor")
    assert found is not None
    assert found[0] == ENDPOINT == endpoints(engine)[0]
    assert opened(found[1], SEAL, 11) == ["first"]
    assert find_endpoint(engine, "other") is None


def test_an_id_is_given_away_once(engine: Engine) -> None:
    add_endpoint(engine, ENDPOINT, "first", SEAL)
    assert revoke_endpoint(engine, "monitor", 20)
    assert not revoke_endpoint(engine, "monitor", 30)
    with pytest.raises(EndpointExistsError):
        add_endpoint(engine, ENDPOINT, "second", SEAL)
    assert [one.revoked_at for one in endpoints(engine)] == [20]
    with pytest.raises(KeyError):
        add_secret(engine, "monitor", "x", SEAL, 40, 50)
    assert not change_endpoint(engine, ENDPOINT)


def test_an_endpoint_changes_and_its_secrets_stay(engine: Engine) -> None:
    add_endpoint(engine, ENDPOINT, "first", SEAL)
    changed = replace(ENDPOINT, engagements=("*",), options={"source": "other"})
    assert change_endpoint(engine, changed)
    assert endpoints(engine) == [changed]
    assert in_force(engine, 11) == ["first"]


def test_old_secrets_end_and_no_more_than_three_are_in_force(engine: Engine) -> None:
    add_endpoint(engine, ENDPOINT, "first", SEAL)
    added, old = add_secret(engine, "monitor", "second", SEAL, 100, 100 + HOUR_US)
    assert (added.number, [one.number for one in old]) == (2, [1])
    assert in_force(engine, 100) == ["first", "second"]
    assert in_force(engine, 100 + HOUR_US) == ["second"]
    add_secret(engine, "monitor", "third", SEAL, 200, 200 + 2 * HOUR_US)
    assert in_force(engine, 100 + HOUR_US) == ["second", "third"]  # the first was not prolonged
    with pytest.raises(TooManySecretsError):
        add_secret(engine, "monitor", "fourth", SEAL, 300, 300 + HOUR_US)
    add_secret(engine, "monitor", "fourth", SEAL, 300, 300)
    assert in_force(engine, 300) == ["fourth"]
    assert len({one.mark for one in secrets_of(engine, "monitor")}) == 4


def test_secrets_are_sealed_anew(engine: Engine) -> None:
    add_endpoint(engine, ENDPOINT, "first", SEAL)
    both = Seal(["n" * 32, "s" * 32])
    assert (reseal(engine, both), reseal(engine, both)) == (1, 0)
    assert opened(secrets_of(engine, "monitor"), Seal(["n" * 32]), 11) == ["first"]
    with pytest.raises(SealError):
        reseal(engine, Seal(["x" * 32]))
