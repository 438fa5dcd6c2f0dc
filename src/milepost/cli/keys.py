"""`milepost keys create|list|revoke`: who may use the gateway, and for what."""

import difflib
import json
import re
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import typer

from milepost.cli.database import migrated_database
from milepost.gateway import keys as secrets
from milepost.gateway.actions import ACTIONS
from milepost.gateway.tenancy import EVERY
from milepost.sql import api_keys

__all__ = ["app"]

app = typer.Typer(help="Make, list and revoke the API keys of the gateway.", no_args_is_help=True)

NAME = typer.Argument(..., metavar="NAME", help="What it is for; two keys of one name may be active, for a rotation.")
KEY_ID = typer.Argument(..., metavar="KEY_ID", help="The id, as `keys list` shows it (the part after mp_).")
TENANT = typer.Option(..., "--tenant", help="A party of the contracts it may see (customer or supplier id); '*': any.")
ENGAGEMENT = typer.Option(["*"], "--engagement", help="Engagements it is for, as a pattern like 'erp-*'; repeatable.")
ACTION = typer.Option(..., "--action", help="What it may do, such as 'events:*' or 'lines:read'; repeatable.")
PERSON = typer.Option(None, "--person", help="An approver's key: the person who decides with it.")
ROLE = typer.Option([], "--role", help="Roles that the person may decide in; repeatable, needs --person.")
DAYS = typer.Option(90, "--days", min=1, max=3_650, help="How long it is valid.")
JSON = typer.Option(False, "--json", help="Print JSON instead of text.")

MAX_NAME_LENGTH = 100
_TENANT = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_PATTERN = re.compile(r"[A-Za-z0-9._:*?-]{1,128}")


@app.command()
def create(
    name: str = NAME,
    tenant: str = TENANT,
    engagements: list[str] = ENGAGEMENT,
    actions: list[str] = ACTION,
    person: str | None = PERSON,
    roles: list[str] = ROLE,
    days: int = DAYS,
    as_json: bool = JSON,
) -> None:
    """Make a key and print it, once: only a hash is stored. Exit status 1: two keys of that name are active."""
    _checked(name, tenant, engagements, actions)
    if bool(roles) != (person is not None):
        raise typer.BadParameter("--role and --person belong together: a person decides in roles")
    secret, now = secrets.new_secret(), datetime.now(UTC)
    key = api_keys.ApiKey(
        secret.key_id,
        name,
        tenant,
        tuple(engagements),
        tuple(actions),
        person,
        tuple(roles),
        secrets.sha256_of(secret.text),
        _instant(now),
        _instant(now + timedelta(days=days)),
    )
    with migrated_database() as engine:
        try:
            api_keys.add_key(engine, key)
        except api_keys.TooManyKeysError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"key": secret.text, **_shown(key)}, indent=2))
    else:
        typer.echo(secret.text)
        typer.echo(f"Keep it now, it is not stored. Valid until {_text(key.expires_at)}.", err=True)


def _checked(name: str, tenant: str, engagements: list[str], actions: list[str]) -> None:
    """Refuse what would open nothing: a key that is wrong is found out when it is needed."""
    if not (name.isprintable() and 1 <= len(name) <= MAX_NAME_LENGTH):
        raise typer.BadParameter(f"the name has to be 1 to {MAX_NAME_LENGTH} printable characters")
    if tenant != EVERY and not _TENANT.fullmatch(tenant):
        raise typer.BadParameter(f"{tenant!r} is no id of a customer or supplier; '*' is every tenant")
    for pattern in engagements:
        if not _PATTERN.fullmatch(pattern):
            raise typer.BadParameter(f"{pattern!r} is no pattern of engagements: letters, digits, . _ : - and * and ?")
    known = sorted(set(ACTIONS.values()))
    for action in actions:
        if not any(fnmatchcase(one, action) for one in known):
            groups = {f"{one.partition(':')[0]}:*" for one in known}
            near = difflib.get_close_matches(action, [*known, *sorted(groups)], n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise typer.BadParameter(f"no route needs the action {action!r}{hint} There are: {', '.join(known)}")


@app.command("list")
def every(as_json: bool = JSON) -> None:
    """Print every key that was ever made, without what is secret."""
    with migrated_database() as engine:
        found = [_shown(key) for key in api_keys.keys(engine)]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for key in found:
        state = "revoked" if key["revoked_at"] else f"until {key['expires_at']}"
        what = f"{key['tenant']} / {' '.join(key['engagements'])}: {' '.join(key['actions'])}"
        person = f" as {key['person']} ({' '.join(key['roles'])})" if key["person"] else ""
        typer.echo(
            f"{key['key_id']}  {key['name']}  {state}  last used {key['last_used_at'] or 'never'}  {what}{person}"
        )


@app.command()
def revoke(key_id: str = KEY_ID) -> None:
    """Make a key worthless at once, on every gateway. Exit status 1: there is none of that id."""
    with migrated_database() as engine:
        known = api_keys.revoke_key(engine, key_id.removeprefix("mp_"), _instant(datetime.now(UTC)))
    if not known:
        typer.echo(f"there is no key {key_id!r}; `milepost keys list` shows them", err=True)
        raise typer.Exit(1)
    typer.echo(f"{key_id} is revoked.")


def _shown(key: api_keys.ApiKey) -> dict[str, Any]:
    """A key for people: everything but the hash, instants as ISO 8601."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "engagements": key.engagements,
        "actions": key.actions,
        "person": key.person,
        "roles": key.roles,
        **{name: _text(getattr(key, name)) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")},
    }


def _instant(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def _text(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")
