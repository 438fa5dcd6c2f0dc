"""Timestamps of records are those of sending, whatever the events' own times are."""

import time

from milepost.kafka.stamps import LEAD_MS, Stamps

HOUR_MS = 3_600_000


def test_they_are_of_the_clock_and_rise_within_an_engagement() -> None:
    stamps, before = Stamps(), time.time() * 1000
    given = [stamps.of("erp") for _ in range(1_000)]
    assert int(before) <= given[0] <= time.time() * 1000 + 1
    assert given == sorted(set(given))


def test_a_tick_comes_after_everything_that_was_sent_before_it() -> None:
    stamps = Stamps()
    sent = [stamps.of(name) for name in ("erp", "erp", "crm", "erp")]
    ticked = stamps.tick()
    assert ticked > max(sent)
    assert stamps.of("crm") > ticked


def test_they_do_not_run_so_far_ahead_that_a_broker_refuses_them() -> None:
    stamps = Stamps()
    stamps._last["erp"] = int(time.time() * 1000) + 5 * HOUR_MS  # as a clock that was set back leaves it
    stamp = stamps.of("erp")
    assert time.time() * 1000 + LEAD_MS - 5_000 < stamp < time.time() * 1000 + HOUR_MS
