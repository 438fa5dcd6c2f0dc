"""One run of `milepost demo`: surroundings where none are given, the pipeline, the examples, the tables."""

import asyncio
import json
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvloop
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from milepost.codec.json_forms import output_to_json
from milepost.demo import play, tables, walkthrough
from milepost.demo.examples import Example, ExamplesError, alone, read_examples
from milepost.demo.pipeline import Pipeline, PipelineError
from milepost.demo.sandbox import Sandbox, equipped, first
from milepost.kafka.admin import TopicsError
from milepost.kafka.embedded import EmbeddedBroker, EmbeddedBrokerError
from milepost.kafka.publishing import PublishError
from milepost.observe.hosting import StoppedError
from milepost.settings import Settings, shown
from milepost.sql.engine import DatabaseError, UnavailableError

__all__ = ["FAILURES", "run"]

FAILURES = (
    DatabaseError,
    EmbeddedBrokerError,
    ExamplesError,
    PipelineError,
    PublishError,
    StoppedError,
    TopicsError,
    UnavailableError,
)
"""What a run may raise; the message says what went wrong and the way out."""

# A poll that waits longer only makes the demonstration slower.
POLL_TIMEOUT_MS = 20


def run(chosen: Settings, folder: Path, *, serve: bool, as_json: bool) -> None:
    """Play the examples of a folder and print where their engagements stand; with `serve` stay until Ctrl-C.

    Of several, those that have to be played alone are left out.

    Without brokers or a database in the settings, an embedded broker and a temporary SQLite file serve, and are gone
    afterwards. Raises one of `FAILURES`, or KeyboardInterrupt.
    """
    found = read_examples(folder)
    together = [example for example in found if not alone(example)] if len(found) > 1 else found
    left_out = [example.name for example in found if example not in together]
    with _surroundings(chosen, serve=serve) as (settings, sandbox):
        try:
            uvloop.run(_run(settings, together, left_out, sandbox, as_json=as_json))
        except asyncio.CancelledError:  # by `_end_on_kill`; nobody else has the task
            raise KeyboardInterrupt from None


@contextmanager
def _surroundings(chosen: Settings, *, serve: bool) -> Iterator[tuple[Settings, Path | None]]:
    """The settings, with what nobody gave: a broker and a database for this run; and the sandbox's folder, if any."""
    # A group of its own: the ledger's offsets are in its database, and this one has to see every partition.
    changes: dict[str, Any] = {
        "ledger_group": f"{chosen.ledger_group}-demo-{uuid.uuid4().hex[:8]}",
        "poll_timeout_ms": POLL_TIMEOUT_MS,
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="milepost-demo-")))
        if "database_url" not in chosen.model_fields_set:
            changes["database_url"] = SecretStr(f"sqlite:///{folder}/milepost.db")
        if "bootstrap_servers" not in chosen.model_fields_set:
            changes["bootstrap_servers"] = stack.enter_context(EmbeddedBroker()).bootstrap_servers
        settings = chosen.model_copy(update=changes)
        yield (equipped(settings, folder), folder) if serve else (settings, None)


async def _run(
    settings: Settings, found: Sequence[Example], left_out: Sequence[str], sandbox: Path | None, *, as_json: bool
) -> None:
    _end_on_kill()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    values = shown(settings)
    console.print(f"Brokers:  {values['bootstrap_servers']}", f"Database: {values['database_url']}", sep="\n")
    await asyncio.to_thread(play.apply_topics, settings)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=play.count(found))
        _now(bar, task, "Starting the join and the ledger")
        async with Pipeline(settings) as pipeline:
            _now(bar, task, f"Playing {len(found)} engagements")
            played = await play.play(settings, pipeline, found, lambda count: bar.advance(task, count))
            bar.stop()
            _print(played, as_json=as_json)
            lines, engagements = len(played.picture.lines), len(found)
            console.print(
                f"{played.events} events of {engagements} engagements became {lines} invoice lines in "
                f"{played.seconds:.1f} s; the ledger says what `milepost simulate` says."
            )
            if left_out:
                console.print(
                    f"Left out: {', '.join(left_out)}: their lines depend on the clock; try `milepost simulate`."
                )
            if sandbox is not None:
                async with Sandbox(settings, sandbox) as running:
                    await asyncio.to_thread(walkthrough.prepare, settings, sandbox)
                    _explain(settings, sandbox, running.metrics_url, console)
                    await first(pipeline.ended(), running.ended())


def _end_on_kill() -> None:
    """A `kill` is as good as Ctrl-C. It does not go by way of SIGINT, which a script's background jobs ignore,
    and the second one is no more than the first: `make` and its group may each pass one on."""
    task = asyncio.current_task()
    assert task is not None

    def end() -> None:
        if not task.cancelling():
            task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)


def _now(bar: Progress, task: TaskID, description: str) -> None:
    """What goes on: at the progress bar, or as a line where there is none."""
    bar.update(task, description=description)
    if bar.disable:
        bar.console.print(f"{description} ...")


def _print(played: play.Played, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(_as_json(played.picture), indent=2, ensure_ascii=False) + "\n")
    else:
        tables.print_tables(played.picture, sys.stdout)
    sys.stdout.flush()


def _as_json(picture: tables.Picture) -> dict[str, Any]:
    return {
        "lines": [output_to_json(line) for line in picture.lines],
        "retention": [
            {
                "engagement_id": one.engagement_id,
                "held_minor": one.held_minor,
                "reduced_minor": one.reduced_minor,
                "released_minor": one.released_minor,
                "balance_minor": one.balance_minor,
                "currency": one.currency,
                "currency_exponent": one.currency_exponent,
            }
            for one in picture.balances
        ],
        "open": [
            {**output_to_json(status), "to_be_signed_by": tables.still_to_sign(status, picture.requests)}
            for status in tables.open_milestones(picture)
        ],
    }


def _explain(settings: Settings, sandbox: Path, metrics_url: str, console: Console) -> None:
    """Where everything is, and the lines to try; as they stand, so nothing is taken for markup."""
    places = {
        "API": f"{settings.public_url}/v1 (described at {settings.public_url}/docs)",
        "E-mails": str(sandbox / "outbox"),
        "Evidence": settings.evidence_dir,
        "Metrics": metrics_url,
        "Brokers": settings.bootstrap_servers,
    }
    said = ["", "A sandbox runs; Ctrl-C ends it, and nothing of it stays."]
    said += [f"  {name:<9} {place}" for name, place in places.items()]
    said += ["", "In another terminal, line by line:"]
    for one in walkthrough.lines(sandbox):
        said += [f"  # {one.does}", f"  {one.line}"]
    console.print("\n".join(said), markup=False)
