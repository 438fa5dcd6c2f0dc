"""The command line: one module a command group, registered here by name."""

import typer

from milepost.cli import (
    audit,
    bench,
    broker,
    clock,
    config,
    contract,
    dead_letters,
    demo,
    evidence,
    explain,
    keys,
    migrate,
    notices,
    preview,
    publish,
    reconcile,
    run,
    schemas,
    simulate,
    tail,
    topics,
    trigger_urls,
    webhooks,
)

__all__ = ["app", "main"]

app = typer.Typer(
    name="milepost",
    help="Bills outcomes: events joined with a contract become invoice lines, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets in a help text are brackets: `MILESTONE[/OCCURRENCE]` is no markup
)
app.add_typer(config.app, name="config")
app.add_typer(run.app, name="run")
contract.app.command("preview")(preview.preview)
app.add_typer(contract.app, name="contract")
app.command("broker")(broker.broker)
app.add_typer(topics.app, name="topics")
app.add_typer(schemas.app, name="schemas")
app.add_typer(clock.app, name="clock")
app.add_typer(bench.app, name="bench")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(trigger_urls.app, name="trigger-urls")
app.add_typer(notices.app, name="notices")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(evidence.app, name="evidence")
app.command("migrate")(migrate.migrate)
app.command("demo")(demo.demo)
app.command("simulate")(simulate.simulate)
app.command("explain")(explain.explain)
app.command("publish")(publish.publish)
app.command("tail")(tail.tail)
app.command("reconcile")(reconcile.reconcile)


def main() -> None:
    """Run `milepost`; exit status 0, 1 for findings, 2 for usage or a file that cannot be read or parsed."""
    app()
