"""`milepost run join|...`: starts a long-running process and stays until it is asked to end.

A command a process: `_host` with the makers of its services. `run all` is the same with all of them.
"""

from collections.abc import Callable

import typer

from milepost import settings
from milepost.observe import hosting, logs

__all__ = ["app"]

app = typer.Typer(help="Run a process until SIGTERM or Ctrl-C.", no_args_is_help=True)


@app.command()
def join() -> None:
    """Join events with contracts: lines, retention, requests, statuses and audit entries, exactly once.

    Run it as often as there are partitions; the workers share them. Exit status 1: a worker that cannot be right
    stopped and says why.
    """
    from milepost.join.wiring import join_service

    _host(join_service)


@app.command()
def ledger() -> None:
    """Keep lines, retention, requests, statuses and audit entries in MILEPOST_DATABASE_URL, each exactly once.

    Waits while the broker, a topic or the database is away. Run it as often as there are partitions; the ledgers share
    them. Exit status 1: a record or an offset that cannot be right; nothing of it is stored.
    """
    from milepost.ledger.wiring import ledger_service

    _host(ledger_service)


@app.command()
def gateway() -> None:
    """Take events, contracts and decisions over HTTP, and answer from the ledger.

    Listens on MILEPOST_GATEWAY_HOST and MILEPOST_GATEWAY_PORT; keys are made by `milepost keys create`. Answers 503
    while the broker or the database is away. Run as many as you like behind a load balancer.
    """
    from milepost.gateway.wiring import gateway_service

    _host(gateway_service)


@app.command("all")
def everything() -> None:
    """The join, the ledger and the gateway in one process, for one machine; one that ends takes the others with it."""
    from milepost.gateway.wiring import gateway_service
    from milepost.join.wiring import join_service
    from milepost.ledger.wiring import ledger_service

    _host(join_service, ledger_service, gateway_service)


def _host(*makers: Callable[[settings.Settings], hosting.Service]) -> None:
    try:
        chosen = settings.load()
    except settings.SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    logs.configure(chosen.log_level, chosen.log_format)
    services = [lambda maker=maker: maker(chosen) for maker in makers]
    address = (chosen.metrics_host, chosen.metrics_port) if chosen.metrics_port else None
    status = hosting.host(services, metrics_address=address, shutdown_timeout_s=chosen.shutdown_timeout_ms / 1000)
    raise typer.Exit(status)
