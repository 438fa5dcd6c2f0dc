"""`milepost trigger-urls create|list|revoke`: addresses that report one milestone, once, when they are called."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import typer

from milepost import settings
from milepost.cli.database import migrated_database
from milepost.core.checks import check
from milepost.core.events import MilestoneEvent
from milepost.sql.link_tokens import TRIGGER, LinkKeys, LinkSecretError
from milepost.sql.trigger_urls import TriggerUrl, TriggerUrls

__all__ = ["app"]

app = typer.Typer(help="Addresses that report a milestone when they are called.", no_args_is_help=True)

ENGAGEMENT = typer.Argument(..., metavar="ENGAGEMENT", help="The engagement's id.")
MILESTONE = typer.Argument(..., metavar="MILESTONE[/OCCURRENCE]", help="The milestone, and which time if it repeats.")
COMPLETION = typer.Option("100", "--completion", help="What is reported, in percent.")
SOURCE = typer.Option("trigger-url", "--source", help="The name under which the report is known.")
REPORTER = typer.Option(None, "--reported-by", metavar="PERSON", help="Who reports; may then not be the only signer.")
DAYS = typer.Option(30, "--days", min=1, max=366, help="How long it works.")
TRIGGER_ID = typer.Argument(..., metavar="ID", help="As `trigger-urls list` shows it.")
JSON = typer.Option(False, "--json", help="Print JSON instead of text.")

_DAY_US = 86_400_000_000
# Nothing is signed or verified by commands that only look; any key will do.
_UNUSED = LinkKeys(["-"], TRIGGER)


@app.command()
def create(
    engagement: str = ENGAGEMENT,
    milestone: str = MILESTONE,
    completion: str = COMPLETION,
    source: str = SOURCE,
    reported_by: str | None = REPORTER,
    days: int = DAYS,
) -> None:
    """Make an address and print it, once: only what verifies it is stored."""
    milestone_id, _, occurrence = milestone.partition("/")
    now = time.time_ns() // 1_000
    scope = (engagement, milestone_id, occurrence or None, completion, source, reported_by)
    wrong = check(
        MilestoneEvent(
            "x", source, engagement, milestone_id, "REPORTED", now, occurrence or None, completion, reported_by
        )
    )
    if wrong is not None:
        raise typer.BadParameter(wrong)
    try:
        chosen = settings.load()
        keys = LinkKeys.of(chosen, TRIGGER)
    except (settings.SettingsError, LinkSecretError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    with migrated_database() as engine:
        url, token = TriggerUrls(engine, keys).create(*scope, now, now + days * _DAY_US)
    typer.echo(f"{chosen.public_url}/t/{token}")
    typer.echo(f"Keep it now, it is not shown again. POST to it, once, until {_text(url.expires_at)}.", err=True)


@app.command("list")
def every(as_json: bool = JSON) -> None:
    """Print every address that was made, without its token."""
    with migrated_database() as engine:
        found = [_shown(url) for url in TriggerUrls(engine, _UNUSED).every()]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for one in found:
        used, revoked = one["used_at"], one["revoked_at"]
        state = f"used {used}" if used else f"revoked {revoked}" if revoked else f"until {one['expires_at']}"
        place = "/".join(one[name] for name in ("engagement_id", "milestone_id", "occurrence_id") if one[name])
        typer.echo(f"{one['trigger_id']}  {place} {one['completion']} %  {state}")


@app.command()
def revoke(trigger_id: str = TRIGGER_ID) -> None:
    """Make an address worthless. Exit status 1: there is none of that id that still could do something."""
    with migrated_database() as engine:
        known = TriggerUrls(engine, _UNUSED).revoke(trigger_id, time.time_ns() // 1_000)
    if not known:
        typer.echo(
            f"there is no trigger URL {trigger_id!r} to revoke; `milepost trigger-urls list` shows them", err=True
        )
        raise typer.Exit(1)
    typer.echo(f"{trigger_id} is revoked.")


def _shown(url: TriggerUrl) -> dict[str, Any]:
    """A URL for people: nothing that its token is made of."""
    shown = {name: value for name, value in vars(url).items() if name not in ("key_id", "nonce")}
    instants = ("created_at", "expires_at", "revoked_at", "used_at", "published_at")
    return shown | {name: _text(shown[name]) for name in instants}


def _text(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")
