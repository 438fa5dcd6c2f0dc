"""`milepost notices list|show|replay|prune`: the delivery log. Endpoints and people are groups of their own."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from milepost import settings
from milepost.cli import endpoints, people
from milepost.cli.database import migrated_database, now_us, reading_engine
from milepost.codec.json_forms import parse_instant
from milepost.core.calendar import instant_text
from milepost.sql.notice_log import Delivery, Selection, attempts_of, deliveries
from milepost.sql.notice_log import replay as owe_again
from milepost.sql.notices import ENDED
from milepost.sql.notices import prune as forget

__all__ = ["app"]

app = typer.Typer(help="What people and systems were told, and whom to tell.", no_args_is_help=True)
app.add_typer(endpoints.app, name="endpoints")
app.add_typer(people.app, name="people")

_DAY_MS = 86_400_000
_STATES = ("OWED", "BUNDLED", *ENDED)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Recipient = Annotated[str | None, typer.Option(help="A person's id, an address of the settings, an endpoint's id.")]
Engagement = Annotated[str | None, typer.Option(help="About this engagement.")]
Channel = Annotated[str | None, typer.Option(help="email or webhook.")]
Since = Annotated[str | None, typer.Option(metavar="INSTANT", help="Owed since then, as 2026-03-31T16:00:00Z.")]
Until = Annotated[str | None, typer.Option(metavar="INSTANT", help="Owed before then.")]
State = Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(_STATES)}; repeatable.")]


@app.command("list")
def every(
    state: State = None,
    recipient: Recipient = None,
    engagement: Engagement = None,
    channel: Channel = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most that are shown, newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Print deliveries, newest first."""
    chosen = _selection((), state, recipient, engagement, channel, since, until)
    with reading_engine() as engine:
        found = deliveries(engine, chosen, limit)
    if as_json:
        typer.echo(json.dumps([_shown(one) for one in found], indent=2, ensure_ascii=False))
        return
    for one in found:
        typer.echo(
            f"{one.delivery_id}  {instant_text(one.owed_at)[:19]}Z  {one.state:<9} {one.channel:<7} "
            f"{one.recipient}  {one.kind} {one.engagement_id or '-'}  {one.reason or ''}".rstrip()
        )


@app.command()
def show(
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY_ID")],
    as_json: AsJson = False,
) -> None:
    """Print a delivery, what it says, and every attempt with its answer. Exit status 1: there is none of that id."""
    with reading_engine() as engine:
        found = deliveries(engine, Selection(delivery_ids=[delivery_id]), 1)
        attempts = attempts_of(engine, delivery_id)
    if not found:
        typer.echo(f"there is no delivery {delivery_id!r}; `milepost notices list` shows them", err=True)
        raise typer.Exit(1)
    tries = [_instants(asdict(one)) for one in attempts]
    shown = {**_shown(found[0]), "payload": json.loads(found[0].payload), "tries": tries}
    if as_json:
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for name, value in shown.items():
        if name not in ("payload", "tries"):
            typer.echo(f"{name:<14} {'-' if value is None else value}")
    for one in tries:
        following = f", next at {one['next_attempt_at']}" if one["next_attempt_at"] else ""
        outcome = one["outcome"] or "cut off: whether it arrived is unknown"
        typer.echo(f"attempt {one['attempt']:<6} {one['attempted_at']}  {outcome}{following}  {one['answer'] or ''}")
    typer.echo(json.dumps(shown["payload"], indent=2, ensure_ascii=False))


@app.command()
def replay(
    delivery_ids: Annotated[list[str] | None, typer.Argument(metavar="[DELIVERY_ID]...")] = None,
    state: State = None,
    recipient: Recipient = None,
    engagement: Engagement = None,
    channel: Channel = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Send again what had ended, under the same ids: the deliveries that are named, or what the options select.

    Without --state, options select what has FAILED. Requests to sign that are settled by now are not sent again. Exit
    status 1: nothing was selected.
    """
    ids = delivery_ids or []
    if not (ids or recipient or engagement or since or until):
        raise typer.BadParameter("name deliveries, or select some with --recipient, --engagement, --since or --until")
    chosen = _selection(ids, state or ([] if ids else ["FAILED"]), recipient, engagement, channel, since, until)
    with migrated_database() as engine:
        count = owe_again(engine, chosen, now_us())
    if not count:
        typer.echo("nothing that has ended was selected; `milepost notices list` shows what there is", err=True)
        raise typer.Exit(1)
    typer.echo(f"{count} owed again; `milepost run notices` sends them.")


@app.command()
def prune(
    days: Annotated[int, typer.Option(min=1, help="Deliveries that ended longer ago are forgotten.")],
) -> None:
    """Forget old deliveries with their attempts: those of records so old that they are told to nobody any more."""
    with migrated_database() as engine:
        if days * _DAY_MS <= (least_ms := settings.load().notices_max_age_ms):
            raise typer.BadParameter(
                f"--days {days}: MILEPOST_NOTICES_MAX_AGE_MS is {least_ms}, so that records of the last "
                f"{least_ms / _DAY_MS:g} days may be read again; what was sent of them must be known until then"
            )
        count = forget(engine, now_us() - days * _DAY_MS * 1_000)
    typer.echo(f"{count} forgotten.")


def _selection(
    ids: list[str] | tuple[()],
    states: list[str] | None,
    recipient: str | None,
    engagement: str | None,
    channel: str | None,
    since: str | None,
    until: str | None,
) -> Selection:
    if unknown := [state for state in states or () if state not in _STATES]:
        raise typer.BadParameter(f"--state {unknown[0]}: there are {', '.join(_STATES)}")
    if channel not in (None, "email", "webhook"):
        raise typer.BadParameter(f"--channel {channel}: there are email and webhook")
    return Selection(
        delivery_ids=ids,
        states=states or (),
        recipient=recipient,
        engagement=engagement,
        channel=channel,
        since=_instant("--since", since),
        until=_instant("--until", until),
    )


def _instant(option: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_instant(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text}: {error}") from None


def _shown(delivery: Delivery) -> dict[str, Any]:
    return {name: value for name, value in _instants(asdict(delivery)).items() if name != "payload"}


def _instants(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: instant_text(value) if name.endswith("_at") and value is not None else value
        for name, value in values.items()
    }
