"""Which tick is due: on the boundary, one after a pause, never back, and in a sandbox with its lead."""

from hypothesis import given
from hypothesis import strategies as st

from milepost.clock.timing import boundary, untold
from milepost.kafka.ticking import Stand

MINUTE = 60_000_000
TIMES = st.integers(0, 4_000_000_000_000_000)


def test_a_tick_states_the_last_boundary() -> None:
    assert boundary(10 * MINUTE + 59_999_999, MINUTE) == 10 * MINUTE
    assert boundary(11 * MINUTE, MINUTE) == 11 * MINUTE


@given(TIMES, st.integers(100_000, 86_400_000_000))
def test_a_boundary_is_never_in_the_future_and_less_than_an_interval_ago(time: int, interval: int) -> None:
    at = boundary(time, interval)
    assert 0 <= time - at < interval
    assert boundary(at, interval) == at


def test_each_partition_is_told_what_is_news_to_it() -> None:
    latest = {0: 5 * MINUTE, 1: None, 2: 6 * MINUTE, 3: 4 * MINUTE}
    assert untold(5 * MINUTE, latest) == (1, 3)
    assert untold(4 * MINUTE - 1, {number: at for number, at in latest.items() if at is not None}) == ()


@given(st.lists(TIMES, min_size=1, max_size=20), st.integers(100_000, 86_400_000_000))
def test_whatever_the_machine_says_no_partition_is_told_an_earlier_time(times: list[int], interval: int) -> None:
    """The machine's time may jump as it likes."""
    told: list[int] = []
    for time in times:
        at = boundary(time, interval)
        if untold(at, {0: told[-1] if told else None}):
            told.append(at)
    assert told == sorted(set(told))
    assert told[-1] == boundary(max(times), interval)


@given(TIMES, st.integers(0, 10**15), st.none() | TIMES)
def test_a_sandbox_keeps_its_lead_and_never_goes_back(machine: int, lead: int, told: int | None) -> None:
    now = Stand({0: told}, lead).sandbox_time(machine)
    assert now >= machine + lead
    assert now >= (told or 0)
    assert Stand({0: now, 1: None}, now - machine).sandbox_time(machine + 1_000_000) == now + 1_000_000
