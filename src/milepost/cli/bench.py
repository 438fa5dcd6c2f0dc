"""`milepost bench join`: the join's speed beside its peers, in one run, each host on a broker of its own.

`milepost bench gateway`: what the gateway acknowledges, beside a bare FastAPI route and `milepost publish`.

`milepost bench ledger`: the ledger on PostgreSQL beside the join.

`milepost bench fold`: what one more event costs in a small and in a large engagement, in one run.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Measure, beside something else run in the same minute.", no_args_is_help=True)

ALL = "milepost,milepost-embedded,raw,kafka-streams"


@app.callback()
def bench() -> None:
    """Benchmarks run from a checkout; real Kafka needs Java and Maven."""


@app.command()
def join(
    events: Annotated[int, typer.Option(min=100, help="Events for milepost's join.")] = 64_000,
    peer_events: Annotated[int, typer.Option(min=100, help="Events for each peer; they are faster.")] = 300_000,
    hosts: Annotated[str, typer.Option(help="Which, comma-separated.")] = ALL,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Events a second through the join, and the ratio to each peer."""
    _checkout()
    from bench.hosts import HOSTS
    from bench.join import measure, table

    names = [name.strip() for name in hosts.split(",")]
    unknown = [name for name in names if name not in HOSTS]
    if unknown:
        typer.echo(f"--hosts: {', '.join(unknown)} not known; there are {', '.join(HOSTS)}", err=True)
        raise typer.Exit(2)
    report = measure(names, events, peer_events)
    typer.echo(json.dumps(report) if as_json else table(report))


@app.command()
def fold(
    small: Annotated[int, typer.Option(min=1, help="Events of its kind in the small engagement.")] = 10,
    large: Annotated[int, typer.Option(min=1, help="Events of its kind in the large one.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="Events measured on top of each.")] = 500,
) -> None:
    """Microseconds of one more event, and the ratio of the large engagement to the small one."""
    _checkout()
    from bench.fold import KINDS, measure, table

    typer.echo(table(measure(small, large, rounds, list(KINDS)), small, large))


@app.command()
def gateway(
    singles: Annotated[int, typer.Option(min=10, help="Events sent one by one.")] = 2_000,
    batched: Annotated[int, typer.Option(min=10, help="Events sent in batches, and from a file.")] = 20_000,
    batch: Annotated[int, typer.Option(min=2, max=5_000, help="Events in a batch.")] = 500,
    connections: Annotated[int, typer.Option(min=1, max=500, help="Clients at a time.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each is measured; the medians count.")] = 3,
    embedded: Annotated[bool, typer.Option("--embedded", help="On the embedded broker: says less.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Events a second that the gateway acknowledges, beside a bare FastAPI route and `milepost publish`."""
    _checkout()
    from bench.gateway import measure, table

    report = measure(singles, batched, batch, connections, rounds, embedded=embedded)
    typer.echo(json.dumps(report) if as_json else table(report))


@app.command()
def ledger(
    events: Annotated[int, typer.Option(min=100, help="Events that are joined, then stored.")] = 64_000,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Whether the ledger keeps up with the join: what came of the same events, stored in an empty PostgreSQL."""
    _checkout()
    from bench.ledger import measure, table

    report = measure(events)
    typer.echo(json.dumps(report) if as_json else table(report))


def _checkout() -> None:
    """Make `bench` importable; it is not installed."""
    if not (Path.cwd() / "bench" / "join.py").exists():
        typer.echo("milepost bench: run it in a checkout of milepost, which has bench/", err=True)
        raise typer.Exit(2)
    sys.path.insert(0, str(Path.cwd()))
