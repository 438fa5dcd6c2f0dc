"""`milepost dead-letters`: look at what could not become an event, send it again, or put it aside with a reason."""

import getpass
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from milepost import settings
from milepost.cli.database import reading_ledger
from milepost.cli.registry import adopted
from milepost.codec.json_forms import output_to_json
from milepost.codec.wire import Record
from milepost.core.calendar import instant_text
from milepost.core.money import format_minor
from milepost.kafka.publishing import Publisher, PublishError
from milepost.kafka.scanning import ScanError
from milepost.kafka.schemas import Schemas
from milepost.operations import dead_letters as handling
from milepost.operations.dead_letters import DISCARDED, OPEN, REPLAYED, Letter, Outlook
from milepost.sql import actions
from milepost.sql.engine import Engine

__all__ = ["app"]

app = typer.Typer(help="Records that could not become an event, as the ledger has them.", no_args_is_help=True)

IDS = typer.Argument(None, metavar="[ID]...", help="Dead letters by id; its first characters are enough.")
REASON = typer.Option(None, "--reason", help="Only those with this error code, such as CONTRACT_INVALID.")
TOPIC = typer.Option(None, "--topic", help="Only those that came from this topic.")
ENGAGEMENT = typer.Option(None, "--engagement", help="Only those whose key is this engagement.")
ALL = typer.Option(False, "--all", help="Also those that were sent again or put aside.")
DRY = typer.Option(False, "--dry-run", help="Say what would be billed; send nothing.")
PACE = typer.Option(100, "--per-second", min=1, max=100_000, help="At most so many records a second.")
ACTOR = typer.Option(None, "--by", help="Who does it, for the audit trail; default: the user's name here.")
WHY = typer.Option(..., "--reason", help="Why it is put aside; goes to the audit trail.")
SERVERS = typer.Option(None, "--bootstrap-servers", help="Brokers; default: MILEPOST_BOOTSTRAP_SERVERS.")
JSON = typer.Option(False, "--json", help="Print JSON instead of text.")

HEX_BYTES = 512
SHORT = 12  # of an id: enough to tell a million apart


@app.command("list")
def list_(
    reason: str | None = REASON,
    topic: str | None = TOPIC,
    engagement: str | None = ENGAGEMENT,
    everything: bool = ALL,
    as_json: bool = JSON,
) -> None:
    """Print dead letters, the first that came first: id, when, state, reason, where from, whose, what was wrong."""
    with reading_ledger() as ledger:
        found = _filtered(handling.letters(ledger.engine), reason, topic, engagement, everything)
    for letter in found:
        if as_json:
            typer.echo(json.dumps(_summary(letter), ensure_ascii=False))
            continue
        summary = letter.summary
        place = f"{summary.original_topic}[{summary.original_partition}] {summary.original_offset}"
        head = f"{letter.id[:SHORT]}  {_instant(summary.recorded_at)}  {letter.state:<9}  {summary.reason}"
        typer.echo(f"{head}  {place}  {summary.engagement_key or '-'}  {summary.message}")
    if not as_json:
        typer.echo(f"{len(found)} dead letters")


@app.command()
def show(ids: list[str] = IDS, bootstrap_servers: str | None = SERVERS, as_json: bool = JSON) -> None:
    """Print whole dead letters: why, the event as far as it can be read, the bytes in hex, and what was done about it.

    Exit status 1: there is no such dead letter, or its bytes are not kept any more; 2: broker, database or schema
    registry cannot be read.
    """
    with _handling(bootstrap_servers) as (chosen, engine, schemas):
        for letter in _named(handling.letters(engine), ids):
            record = handling.original(chosen, letter, schemas)
            if isinstance(record, str):
                raise _refused(record)
            shown = {**_summary(letter), **_content(record)}
            if as_json:
                typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
                continue
            for name, value in shown.items():
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
                typer.echo(f"{name}: {text}")


@app.command()
def replay(
    ids: list[str] = IDS,
    reason: str | None = REASON,
    topic: str | None = TOPIC,
    engagement: str | None = ENGAGEMENT,
    dry_run: bool = DRY,
    per_second: int = PACE,
    by: str | None = ACTOR,
    bootstrap_servers: str | None = SERVERS,
    as_json: bool = JSON,
) -> None:
    """Send open dead letters again, byte for byte, to the topics they came from; name them, or filter.

    With --dry-run: fold them over the state as it is now and say what would be billed. What would be a dead letter
    again is never sent. Sending twice changes nothing. Exit status 1: something was left; 2: broker, database or schema
    registry cannot be read.
    """
    with _handling(bootstrap_servers) as (chosen, engine, schemas):
        if not ids and not (reason or topic or engagement):
            raise typer.BadParameter("name dead letters, or filter by --reason, --topic or --engagement")
        known = handling.letters(engine)
        found = _named(known, ids) if ids else _filtered(known, reason, topic, engagement, everything=False)
        records = [(letter, handling.original(chosen, letter, schemas)) for letter in found]
        ready = [(letter, record) for letter, record in records if isinstance(record, Record)]
        outlooks = handling.foresee(chosen, ready)
        sent = {outlook.letter.id for outlook in outlooks if outlook.dead is None}
        if not dry_run:
            _send(chosen, engine, [one for one in ready if one[0].id in sent], per_second, by)
    for letter, record in records:
        if isinstance(record, str):
            typer.echo(f"{letter.id[:SHORT]}: left: {record}", err=True)
    for outlook in outlooks:
        _print_outlook(outlook, dry_run, as_json)
    if len(sent) < len(found):
        raise typer.Exit(1)


@app.command()
def discard(ids: list[str] = IDS, reason: str = WHY, by: str | None = ACTOR, as_json: bool = JSON) -> None:
    """Put dead letters aside; they stay readable, and the reason goes to the audit trail.

    Exit status 1: one of them was sent again or put aside already; then none is.
    """
    if not reason.strip():
        raise typer.BadParameter("--reason is empty; say why nobody needs it")
    with reading_ledger() as ledger:
        chosen = _named(handling.letters(ledger.engine), ids)
        for letter in chosen:
            if letter.state != OPEN:
                raise _refused(
                    f"{letter.id[:SHORT]} is {letter.state} already; `milepost dead-letters list` has the open"
                )
        for letter in chosen:
            entry = actions.record(ledger.engine, _now(), by or getpass.getuser(), DISCARDED, letter.id, reason)
            typer.echo(json.dumps(entry._asdict()) if as_json else f"{letter.id[:SHORT]}: put aside ({reason})")


def _send(
    chosen: settings.Settings, engine: Engine, ready: list[tuple[Letter, Record]], per_second: int, by: str | None
) -> None:
    publisher, actor = Publisher(chosen), by or getpass.getuser()
    for letter, record in ready:
        # Noted before it is sent: what was sent and not noted would be nobody's.
        actions.record(engine, _now(), actor, REPLAYED, letter.id, None)
        try:
            publisher.resend(handling.again(letter, record), record.partition)
            publisher.flush()
        except PublishError as error:
            actions.record(engine, _now(), actor, "REPLAY_FAILED", letter.id, str(error))
            raise _refused(str(error)) from None
        time.sleep(1 / per_second)


def _print_outlook(outlook: Outlook, dry_run: bool, as_json: bool) -> None:
    if as_json:
        value = {
            "id": outlook.letter.id,
            "sent": outlook.dead is None and not dry_run,
            "dead": outlook.dead,
            "outcomes": outlook.outcomes,
            "lines": [output_to_json(line) for line in outlook.lines],
            "retention_events": [output_to_json(event) for event in outlook.retention],
        }
        typer.echo(json.dumps(value, ensure_ascii=False))
        return
    name = outlook.letter.id[:SHORT]
    if outlook.dead is not None:
        typer.echo(f"{name}: left: it would be a dead letter again: {outlook.dead}")
        return
    verb = "would be" if dry_run else "sent;"
    typer.echo(f"{name}: {verb} {', '.join(outlook.outcomes) or 'without effect'}, {len(outlook.lines)} lines")
    for line in outlook.lines:
        gross, payable = (format_minor(m, line.currency_exponent) for m in (line.gross_minor, line.payable_minor))
        where = "/".join(filter(None, (line.engagement_id, line.milestone_id, line.occurrence_id)))
        typer.echo(f"  {where}  {line.kind}  gross {gross}  payable {payable} {line.currency}")


def _filtered(
    known: list[Letter], reason: str | None, topic: str | None, engagement: str | None, everything: bool
) -> list[Letter]:
    wanted = {"reason": reason, "original_topic": topic, "engagement_key": engagement}
    return [
        letter
        for letter in known
        if (everything or letter.state == OPEN)
        and all(value is None or getattr(letter.summary, name) == value for name, value in wanted.items())
    ]


def _named(known: list[Letter], ids: list[str] | None) -> list[Letter]:
    if not ids:
        raise typer.BadParameter("name at least one dead letter; `milepost dead-letters list` prints their ids")
    found = []
    for name in ids:
        fitting = [letter for letter in known if letter.id.startswith(name)]
        if len(fitting) != 1:
            many = f"{len(fitting)} dead letters begin" if fitting else "no dead letter begins"
            raise _refused(f"{many} with {name!r}; `milepost dead-letters list --all` prints their ids")
        found += fitting
    return found


def _summary(letter: Letter) -> dict[str, Any]:
    summary = letter.summary
    return {
        "id": letter.id,
        "state": letter.state,
        "reason": summary.reason,
        "message": summary.message,
        "topic": summary.original_topic,
        "partition": summary.original_partition,
        "offset": summary.original_offset,
        "engagement_key": summary.engagement_key,
        "size_bytes": summary.size_bytes,
        "recorded_at": _instant(summary.recorded_at),
        "actions": [
            {"action": one.action, "actor": one.actor, "at": _instant(one.occurred_at), "reason": one.reason}
            for one in letter.done
        ],
    }


def _content(record: Record) -> dict[str, Any]:
    value = record.value or b""
    return {
        "key": None if record.key is None else record.key.decode(errors="backslashreplace"),
        "headers": {name: (content or b"").decode(errors="backslashreplace") for name, content in record.headers},
        "event": handling.decoded(record),
        "hex": value[:HEX_BYTES].hex(" ") + ("" if len(value) <= HEX_BYTES else f" ... {len(value)} bytes"),
    }


def _instant(at: int) -> str:
    return instant_text(at)


def _now() -> int:
    return int(time.time() * 1_000_000)


def _refused(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(1)


@contextmanager
def _handling(servers: str | None) -> Iterator[tuple[settings.Settings, Engine, Schemas | None]]:
    try:
        chosen = settings.load(bootstrap_servers=servers)
        schemas = adopted(chosen)
        with reading_ledger() as ledger:
            yield chosen, ledger.engine, schemas
    except (settings.SettingsError, ScanError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
