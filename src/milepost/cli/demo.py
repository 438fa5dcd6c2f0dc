"""`milepost demo`: the examples billed end to end by the real pipeline in one process, read back from the ledger."""

from pathlib import Path

import typer

from milepost import settings
from milepost.observe import logs

__all__ = ["demo"]

SERVE = typer.Option(False, "--serve", help="Then run everything until Ctrl-C: a sandbox, with lines to try it.")
SERVERS = typer.Option(
    None, "--bootstrap-servers", help="Brokers; default: MILEPOST_BOOTSTRAP_SERVERS, else an embedded one."
)
EXAMPLES = typer.Option(None, "--examples", metavar="FOLDER", help="Engagements to play; default: those of Milepost.")
JSON = typer.Option(False, "--json", help="Print one JSON object instead of tables.")

# What a shell answers for a process that Ctrl-C ended.
INTERRUPTED = 130


def demo(
    serve: bool = SERVE,
    bootstrap_servers: str | None = SERVERS,
    examples: Path | None = EXAMPLES,
    as_json: bool = JSON,
) -> None:
    """Bill the example engagements: brokers, join, ledger, and tables of what the ledger says in the end.

    The ledger's rows go to a temporary file unless MILEPOST_DATABASE_URL is set. With --serve, gateway, notices, clock
    and a mail server run beside them, and what is printed is to be tried with curl. Exit status 1: the pipeline failed,
    the reason is the last line on stderr.
    """
    try:
        chosen = settings.load(bootstrap_servers=bootstrap_servers)
    except settings.SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    from milepost.demo import session
    from milepost.demo.examples import examples_dir

    logs.configure(chosen.log_level if "log_level" in chosen.model_fields_set else "error", chosen.log_format)
    try:
        session.run(chosen, examples or examples_dir(), serve=serve, as_json=as_json)
    except session.FAILURES as error:
        typer.echo(f"milepost: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(0 if serve else INTERRUPTED) from None
