"""`milepost run join|...`: starts a long-running process and stays until it is asked to end.

A command a process: `_host` with the makers of its services. `run all` is the same with all of them.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from milepost.observe import hosting
from milepost.settings import Settings

__all__ = ["app"]

app = typer.Typer(help="Run a process until SIGTERM or Ctrl-C.", no_args_is_help=True)


@app.command()
def join() -> None:
    """Join events with contracts: lines, retention, requests, statuses and audit entries, exactly once.

    Run it as often as there are partitions; the workers share them. Exit status 1: a worker that cannot be right
    stopped and says why.
    """
    _host(_join)


@app.command()
def ledger() -> None:
    """Keep lines, retention, requests, statuses and audit entries in MILEPOST_DATABASE_URL, each exactly once.

    Waits while the broker, a topic or the database is away. Run it as often as there are partitions; the ledgers share
    them. Exit status 1: a record or an offset that cannot be right; nothing of it is stored.
    """
    _host(_ledger)


@app.command()
def clock() -> None:
    """Send a tick to every partition each MILEPOST_CLOCK_INTERVAL_MS: deadlines fire by them.

    Run it more than once: one leads, another takes over. Does not tick while this machine's time is more than
    MILEPOST_CLOCK_SKEW_LIMIT_MS away from the broker's.
    """
    _host(_clock)


@app.command()
def gateway() -> None:
    """Take events, contracts and decisions over HTTP, and answer from the ledger.

    Listens on MILEPOST_GATEWAY_HOST and MILEPOST_GATEWAY_PORT; keys are made by `milepost keys create`. Answers 503
    while the broker or the database is away. Run as many as you like behind a load balancer.
    """
    _host(_gateway)


@app.command()
def notices() -> None:
    """Tell people by e-mail and systems by signed webhooks what is to be signed, withheld, paid out or put right.

    Each notice is stored in MILEPOST_DATABASE_URL before its record counts as read, and sent at least once. Run as many
    as you like: they share the work. `milepost notices` shows what was sent, and to whom it goes.
    """
    _host(_notices)


@app.command("all")
def everything(
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="One that runs elsewhere; repeatable: join, ledger, clock, gateway, notices."
        ),
    ] = None,
) -> None:
    """Join, ledger, clock, gateway and notices in one process, for one machine; one that ends takes all along."""
    services = {"join": _join, "ledger": _ledger, "clock": _clock, "gateway": _gateway, "notices": _notices}
    left_out = without or []
    if unknown := [name for name in left_out if name not in services]:
        raise typer.BadParameter(f"--without {unknown[0]}: not known; there are {', '.join(services)}")
    chosen = [maker for name, maker in services.items() if name not in left_out]
    if not chosen:
        raise typer.BadParameter("--without names everything; leave one to run")
    _host(*chosen)


def _join(chosen: Settings) -> hosting.Service:
    from milepost.join.wiring import join_service

    return join_service(chosen)


def _ledger(chosen: Settings) -> hosting.Service:
    from milepost.ledger.wiring import ledger_service

    return ledger_service(chosen)


def _clock(chosen: Settings) -> hosting.Service:
    from milepost.clock.wiring import clock_service

    return clock_service(chosen)


def _gateway(chosen: Settings) -> hosting.Service:
    from milepost.gateway.wiring import gateway_service

    return gateway_service(chosen)


def _notices(chosen: Settings) -> hosting.Service:
    from milepost.notices.wiring import notices_service

    return notices_service(chosen)


def _host(*makers: Callable[[Settings], hosting.Service]) -> None:
    from milepost.processes import serve

    raise typer.Exit(serve(*makers))
