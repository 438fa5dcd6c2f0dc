"""`milepost notices endpoints`: where webhooks go. A secret is shown when it is made, and never again."""

import json
import secrets
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from milepost import settings
from milepost.cli.database import migrated_database, now_us, reading_engine
from milepost.core.calendar import instant_text
from milepost.notices.signing import EndpointSecretError, EndpointSecrets
from milepost.outbound.destinations import Destinations, RefusedError
from milepost.sql import endpoints as stored
from milepost.sql.endpoints import Endpoint
from milepost.sql.engine import Engine

__all__ = ["app"]

app = typer.Typer(help="Where webhooks go.", no_args_is_help=True)

_HOUR_US = 3_600_000_000

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT_ID", help="As `notices endpoints list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Ed25519 = Annotated[bool, typer.Option("--ed25519", help="Sign with ed25519: the receiver gets a public key.")]


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="https://..., a public host.")],
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type", help="Types it is sent, as a pattern like 'approval_request.*'; repeatable; default all."
        ),
    ] = None,
    engagements: Annotated[
        list[str] | None,
        typer.Option(
            "--engagement", help="Engagements it is sent, as a pattern like 'erp-*'; repeatable; default all."
        ),
    ] = None,
    ed25519: Ed25519 = False,
    as_json: AsJson = False,
) -> None:
    """Send webhooks to a URL from now on; prints the endpoint's id and the secret that verifies its signatures.

    Exit status 1: the URL is refused, as one that leads to a private network is.
    """
    chosen = _settings()
    try:
        Destinations.of(chosen).target(url)
        maker, endpoint_id, now = EndpointSecrets.of(chosen), f"ep_{secrets.token_hex(8)}", now_us()
        key = maker.new_key("v1a" if ed25519 else "v1", now, secrets.token_bytes)
    except (RefusedError, EndpointSecretError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    endpoint = Endpoint(endpoint_id, url, tuple(types or ["*"]), tuple(engagements or ["*"]), (key,), now)
    with migrated_database() as engine:
        stored.add_endpoint(engine, endpoint)
    _tell_secret(endpoint_id, maker.text(endpoint_id, key), as_json)


@app.command("list")
def every(as_json: AsJson = False) -> None:
    """Print every endpoint, without what is secret in its URL."""
    with reading_engine() as engine:
        found = [_shown(endpoint) for endpoint in stored.endpoints(engine)]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for one in found:
        state = f"disabled {one['disabled_at']}: {one['disabled_why']}" if one["disabled_at"] else "enabled"
        typer.echo(
            f"{one['endpoint_id']}  {one['url']}  {' '.join(one['types'])}  {' '.join(one['engagements'])}  {state}"
        )


@app.command()
def rotate(
    endpoint_id: EndpointId,
    keep_hours: Annotated[int, typer.Option(min=0, max=720, help="How long the old secret signs beside the new.")] = 24,
    ed25519: Ed25519 = False,
    as_json: AsJson = False,
) -> None:
    """Make a new secret and print it; for a while webhooks are signed by both. Exit status 1: no such endpoint."""
    maker, now = EndpointSecrets.of(_settings()), now_us()
    with migrated_database() as engine:
        endpoint = _endpoint(engine, endpoint_id)
        try:
            key = maker.new_key("v1a" if ed25519 else "v1", now, secrets.token_bytes)
        except EndpointSecretError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
        until = now + keep_hours * _HOUR_US
        old = [
            replace(each, expires_at=until if each.expires_at is None else min(each.expires_at, until))
            for each in endpoint.signing_keys
            if each.expires_at is None or each.expires_at > now
        ]
        stored.replace_keys(engine, endpoint_id, [key, *(each for each in old if each.expires_at != now)])
    _tell_secret(endpoint_id, maker.text(endpoint_id, key), as_json)


@app.command()
def enable(endpoint_id: EndpointId) -> None:
    """Send to it again. What failed meanwhile is sent by `milepost notices replay`. Exit status 1: no such endpoint."""
    with migrated_database() as engine:
        _endpoint(engine, endpoint_id)
        stored.enable_endpoint(engine, endpoint_id)
    typer.echo(f"{endpoint_id} is enabled; `milepost notices replay --recipient {endpoint_id}` sends what failed.")


@app.command()
def disable(
    endpoint_id: EndpointId,
    why: Annotated[str, typer.Option(help="The reason, for the delivery log.")] = "by an operator",
) -> None:
    """Send it nothing more until it is enabled; what it is owed has failed. Exit status 1: no such endpoint."""
    with migrated_database() as engine:
        _endpoint(engine, endpoint_id)
        count = stored.disable_endpoint(engine, endpoint_id, why, now_us())
    typer.echo(f"{endpoint_id} is disabled; {count} deliveries to it have failed.")


@app.command()
def remove(endpoint_id: EndpointId) -> None:
    """Forget it; what it is owed is withdrawn. Exit status 1: no such endpoint."""
    with migrated_database() as engine:
        _endpoint(engine, endpoint_id)
        stored.remove_endpoint(engine, endpoint_id, now_us())
    typer.echo(f"{endpoint_id} is removed.")


def _settings() -> settings.Settings:
    try:
        return settings.load()
    except settings.SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _endpoint(engine: Engine, endpoint_id: str) -> Endpoint:
    found = stored.endpoint_of(engine, endpoint_id)
    if found is None:
        typer.echo(f"there is no endpoint {endpoint_id!r}; `milepost notices endpoints list` shows them", err=True)
        raise typer.Exit(1)
    return found


def _tell_secret(endpoint_id: str, secret: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"endpoint_id": endpoint_id, "secret": secret}, indent=2))
    else:
        typer.echo(f"{endpoint_id}  {secret}")
        typer.echo("Give the secret to the receiver now: it is not shown again.", err=True)


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    parts = urlsplit(endpoint.url)
    instants = {name: getattr(endpoint, name) for name in ("created_at", "disabled_at", "paused_until")}
    return {
        "endpoint_id": endpoint.endpoint_id,
        # A token in the query would be a password to the receiver.
        "url": f"{parts.scheme}://{parts.netloc}{parts.path}" + ("?********" if parts.query else ""),
        "types": endpoint.types,
        "engagements": endpoint.engagements,
        "signatures": [key.scheme for key in endpoint.signing_keys],
        "disabled_why": endpoint.disabled_why,
        **{name: None if at is None else instant_text(at) for name, at in instants.items()},
    }
