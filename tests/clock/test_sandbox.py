"""Time in a sandbox: advanced by hand, kept by the clock, refused elsewhere; and what fires on the way."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from milepost import cli, settings
from milepost.clock.sandbox import DurationError, later
from milepost.core.calendar import instant_text
from milepost.kafka.ticking import Ticks, machine_ms
from milepost.settings import Settings
from tests.clock.instances import instance, ticks, until

SECOND, DAY = 1_000_000, 86_400_000_000
MARCH_31 = 1_774_958_400_000_000  # 2026-03-31T12:00:00Z


def milepost(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


@pytest.fixture
def sandbox(embedded_broker: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The command line speaks to an embedded broker, where time may be advanced."""
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", embedded_broker)
    monkeypatch.setenv("MILEPOST_SANDBOX", "1")
    assert milepost("topics", "apply").exit_code == 0
    return settings.load(clock_interval_ms=500)


@pytest.fixture
def reader(sandbox: Settings) -> Iterator[Ticks]:
    found = Ticks(sandbox)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        ("P10D", "2026-04-10T12:00:00.000000Z"),
        ("P1M", "2026-04-30T12:00:00.000000Z"),  # the last day, where the month is shorter
        ("P1Y2M", "2027-05-31T12:00:00.000000Z"),
        ("P2W", "2026-04-14T12:00:00.000000Z"),
        ("PT36H", "2026-04-02T00:00:00.000000Z"),
        ("P1DT12H30S", "2026-04-02T00:00:30.000000Z"),
    ],
)
def test_durations_follow_the_calendar(duration: str, text: str) -> None:
    assert instant_text(later(MARCH_31, duration)) == text


@pytest.mark.parametrize("duration", ["", "P", "PT", "P1DT", "10d", "P0D", "-P1D", "P9999Y", "P999999W", "P1H"])
def test_what_is_no_duration_is_named(duration: str) -> None:
    with pytest.raises(DurationError, match="write"):
        later(MARCH_31, duration)


def test_elsewhere_advance_is_refused_with_a_sentence(sandbox: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILEPOST_SANDBOX")
    refused = milepost("clock", "advance", "P10D")
    assert refused.exit_code == 2
    assert "this is not a sandbox" in refused.stderr
    assert "MILEPOST_SANDBOX=1" in refused.stderr
    assert ticks(sandbox) == {}
    assert milepost("clock", "show").exit_code == 0


def test_advance_goes_through_the_time_hour_by_hour(sandbox: Settings) -> None:
    started = machine_ms() * 1000
    done = milepost("clock", "advance", "P10D", "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["ticks"], said["partitions"]) == (240, 4)
    found = ticks(sandbox)
    assert sorted(found) == [0, 1, 2, 3]
    for sent in found.values():
        assert len(sent) == 240
        assert {after - before for before, after in pairwise(sent)} == {3_600 * SECOND}
        assert instant_text(sent[-1]) == said["after"]
        assert sent[-1] >= started + 10 * DAY


def test_advancing_again_adds_up(sandbox: Settings, reader: Ticks) -> None:
    started = machine_ms() * 1000
    for duration, step in (("P10D", "P10D"), ("PT36H", "PT7H")):
        assert milepost("clock", "advance", duration, "--step", step).exit_code == 0
    stand = reader.stand()
    assert stand.told is not None
    assert stand.told - started >= 11 * DAY + DAY // 2
    assert [len(sent) for sent in ticks(sandbox).values()] == [1 + 6] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("P100Y",), "876576 ticks, at most 100000; give a longer step"),
        (("P1D", "--step", "1h"), "'1h' is no duration"),
        (("ten days",), "'ten days' is no duration"),
    ],
)
def test_a_wrong_length_is_refused_and_nothing_is_sent(
    sandbox: Settings, arguments: tuple[str, ...], message: str
) -> None:
    refused = milepost("clock", "advance", *arguments)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert ticks(sandbox) == {}


def test_show_says_what_was_told_and_how_far_ahead_it_is(sandbox: Settings, reader: Ticks) -> None:
    assert "none yet" in milepost("clock", "show").stdout
    assert milepost("clock", "advance", "P10D", "--step", "P10D").exit_code == 0
    shown = milepost("clock", "show").stdout
    assert "every partition was told" in shown
    assert "9 d 23 h" in shown or "10 d 0 h" in shown
    reader.send([(reader.stand().told or 0) + SECOND], [1])
    assert "3 of 4 partitions were not told" in milepost("clock", "show").stdout
    assert json.loads(milepost("clock", "show", "--json").stdout)["sandbox"]["ahead_ms"] >= 10 * DAY // 1000 - 60_000


def test_no_broker_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.kafka.ticking.ANSWER_S", 1.0)
    failed = milepost("clock", "show", "--bootstrap-servers", "127.0.0.1:1")
    assert failed.exit_code == 1
    assert "127.0.0.1:1" in failed.stderr
    assert "MILEPOST_BOOTSTRAP_SERVERS" in failed.stderr


@pytest.mark.slow
def test_the_clock_goes_on_from_where_time_was_advanced_to(sandbox: Settings, reader: Ticks, tmp_path: Path) -> None:
    with instance(sandbox, tmp_path, "only") as only:
        until(lambda: reader.stand().told is not None)
        assert (reader.stand().told or 0) < machine_ms() * 1000 + 60 * SECOND
        assert milepost("clock", "advance", "P10D").exit_code == 0
        advanced = reader.stand().told or 0
        until(lambda: (reader.stand().told or 0) > advanced + SECOND)
        only.process.terminate()
        assert only.process.wait(30) == 0
    told = reader.stand().told or 0
    with instance(sandbox, tmp_path, "again"):
        until(lambda: (reader.stand().told or 0) > told + SECOND)
    lead = (reader.stand().told or 0) - machine_ms() * 1000
    assert abs(lead - 10 * DAY) < 60 * SECOND, "it neither falls back nor creeps ahead over restarts"
    for sent in ticks(sandbox).values():
        later_ones = [at for at in sent if at > advanced]
        assert later_ones == sorted(later_ones)
        assert later_ones
