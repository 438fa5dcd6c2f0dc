"""`milepost clock show|advance`: what time the ticks say it is, and a sandbox's time moved on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from milepost import settings
from milepost.cli.registry import adopted
from milepost.core.calendar import instant_text

if TYPE_CHECKING:
    from milepost.clock.sandbox import Advanced, Showing
    from milepost.kafka.ticking import Ticks

__all__ = ["app"]

app = typer.Typer(help="Show what time the ticks say it is; move a sandbox's time on.", no_args_is_help=True)

DURATION = typer.Argument(metavar="DURATION", help="ISO 8601: P10D, P1M, PT36H. Days and months are those of UTC.")
STEP = typer.Option("PT1H", "--step", metavar="DURATION", help="Time between the ticks on the way.")
SERVERS = typer.Option(None, "--bootstrap-servers", help="Brokers; default: MILEPOST_BOOTSTRAP_SERVERS.")
JSON = typer.Option(False, "--json", help="Print one JSON object.")


@app.command()
def show(bootstrap_servers: str | None = SERVERS, as_json: bool = JSON) -> None:
    """Print the last tick, this machine's time, and in a sandbox how far it was advanced.

    Exit status 1: the brokers do not answer; 2: the schema registry, where one is named, is away.
    """
    from milepost.clock import sandbox
    from milepost.kafka.ticking import machine_ms

    chosen = _load(bootstrap_servers)
    with _ticks(chosen) as ticks:
        found = sandbox.show(ticks, machine_ms)
    if as_json:
        typer.echo(json.dumps(_as_json(found, chosen.sandbox), indent=2))
        return
    told = found.stand.told
    behind = sum(last != told for last in found.stand.latest.values())
    where = f"{behind} of {len(found.stand.latest)} partitions were not told" if behind else "every partition was told"
    typer.echo(f"last tick     {'none yet' if told is None else f'{_text(told)} ({where})'}")
    typer.echo(f"this machine  {_text(found.machine)}")
    if chosen.sandbox:
        typer.echo(f"sandbox       {_text(found.time)} ({_ahead(found.time - found.machine)})")


@app.command()
def advance(
    duration: str = DURATION, step: str = STEP, bootstrap_servers: str | None = SERVERS, as_json: bool = JSON
) -> None:
    """In a sandbox (MILEPOST_SANDBOX=1), let time pass: deadlines fire as if nobody had done anything meanwhile.

    Exit status 1: the brokers do not take the ticks; 2: this is no sandbox, or no duration, or the schema registry,
    where one is named, is away.
    """
    chosen = _load(bootstrap_servers)
    if not chosen.sandbox:
        typer.echo(
            "clock advance: this is not a sandbox: deadlines would fire for good, on whatever is billed here. "
            "Where nothing real is billed, set MILEPOST_SANDBOX=1, for the clock and the gateway too",
            err=True,
        )
        raise typer.Exit(2)
    from milepost.clock import sandbox
    from milepost.kafka.ticking import machine_ms

    with _ticks(chosen) as ticks:
        try:
            done = sandbox.advance(ticks, machine_ms, duration, step)
        except sandbox.DurationError as error:
            typer.echo(f"clock advance: {error}", err=True)
            raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(_advanced(done), indent=2))
    else:
        many = f"{done.ticks} ticks" if done.ticks > 1 else "1 tick"
        typer.echo(f"It is {_text(done.after)} now; it was {_text(done.before)}.")
        typer.echo(f"{many} went to each of {done.partitions} partitions.")


def _load(servers: str | None) -> settings.Settings:
    try:
        return settings.load(bootstrap_servers=servers)
    except settings.SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@contextmanager
def _ticks(chosen: settings.Settings) -> "Iterator[Ticks]":
    from milepost.kafka.ticking import Ticks, TicksError

    adopted(chosen)
    ticks = Ticks(chosen)
    try:
        yield ticks
    except TicksError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    finally:
        ticks.close()


def _as_json(found: "Showing", sandbox: bool) -> dict[str, object]:
    latest = found.stand.latest.items()
    return {
        "last_tick": None if found.stand.told is None else instant_text(found.stand.told),
        "partitions": {str(number): None if at is None else instant_text(at) for number, at in latest},
        "machine": instant_text(found.machine),
        "sandbox": {"time": instant_text(found.time), "ahead_ms": (found.time - found.machine) // 1000}
        if sandbox
        else None,
    }


def _advanced(done: "Advanced") -> dict[str, object]:
    times = {"before": instant_text(done.before), "after": instant_text(done.after)}
    return {**times, "ticks": done.ticks, "partitions": done.partitions}


def _text(instant: int) -> str:
    """To the second, which is what people read."""
    return instant_text(instant)[:19] + "Z"


def _ahead(lead: int) -> str:
    seconds = lead // 1_000_000
    days, rest = divmod(seconds, 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if not seconds:
        return "not advanced"
    return f"{days} d {hours} h {minutes} min ahead"
