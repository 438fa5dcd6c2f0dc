"""When a delivery is tried again: the schedule of Standard Webhooks, and what a receiver may ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.notices.schedule import DELAYS_S, LONGEST_WAIT_S, next_attempt, retry_after

SECONDS = 1_000_000
NOW = 1_795_824_000 * SECONDS  # Sat, 28 Nov 2026 00:00:00 GMT


def waits(chance: float = 0.0) -> list[float]:
    found, tries = list[float](), 1
    while (following := next_attempt(tries, NOW, lambda: chance)) is not None:
        found.append((following - NOW) / SECONDS)
        tries += 1
    return found


def test_the_schedule_is_the_specifications() -> None:
    assert waits() == [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert DELAYS_S[0] == 0
    assert sum(waits()) == (75 * 60 + 35) * 60 + 5


@given(st.floats(0, 1))
def test_jitter_only_lengthens_a_little(chance: float) -> None:
    assert all(plain <= jittered <= plain * 1.1 for plain, jittered in zip(waits(), waits(chance), strict=True))


@pytest.mark.parametrize(
    ("asked_s", "wait_s"), [(-10, 5), (0, 5), (3, 5), (120, 120), (LONGEST_WAIT_S, LONGEST_WAIT_S), (10**9, 86_400)]
)
def test_a_receiver_may_ask_for_more_but_not_for_ever(asked_s: int, wait_s: int) -> None:
    assert next_attempt(1, NOW, lambda: 0.0, NOW + asked_s * SECONDS) == NOW + wait_s * SECONDS


def test_the_last_attempt_is_the_last_whatever_is_asked_for() -> None:
    assert next_attempt(len(DELAYS_S), NOW, lambda: 0.0, NOW + 5) is None


@pytest.mark.parametrize(
    ("header", "after_s"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sat, 28 Nov 2026 00:10:00 GMT", 600),
        ("Sat, 28 Nov 2026 00:10:00 -0000", 600),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("٣", None),
        ("99999999999999999999", None),
        ("Sat, 99 Nov 2026 00:10:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, after_s: int | None) -> None:
    assert retry_after(header, NOW) == (None if after_s is None else NOW + after_s * SECONDS)


@given(st.text())
def test_s34_any_header_is_a_time_or_none(text: str) -> None:
    assert isinstance(retry_after(text, NOW), int | None)
