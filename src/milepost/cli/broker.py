"""`milepost broker`: keeps the embedded broker running, for development."""

import json
import signal
import time

import typer

from milepost.kafka.embedded import EmbeddedBroker, EmbeddedBrokerError

__all__ = ["broker"]

# How soon Ctrl-C is noticed is not up to this: a signal interrupts the sleep.
IDLE_S = 3600


def broker(as_json: bool = typer.Option(False, "--json", help="Print the address as one JSON object.")) -> None:
    """Keep an embedded broker running until Ctrl-C; memory only, exactly once is promised on real Kafka only."""
    # The same way out for both: a `kill` is as good as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with EmbeddedBroker() as running:
            if as_json:
                typer.echo(json.dumps({"bootstrap_servers": running.bootstrap_servers}))
            else:
                typer.echo(f"export MILEPOST_BOOTSTRAP_SERVERS={running.bootstrap_servers}")
                typer.echo("An embedded broker runs in memory; Ctrl-C ends it.", err=True)
            while True:
                time.sleep(IDLE_S)
    except EmbeddedBrokerError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
