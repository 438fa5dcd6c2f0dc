"""`milepost webhooks create|change|list|rotate|revoke|reseal|preview|sign`: who may send webhooks, what they mean."""

import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from milepost import settings
from milepost.cli.database import migrated_database
from milepost.codec import standard_webhooks
from milepost.codec.json_forms import event_to_json
from milepost.gateway.adapters import ADAPTERS
from milepost.gateway.adapters.deliveries import Delivery
from milepost.gateway.endpoints import EndpointError, check_id, options_of, read_endpoint
from milepost.gateway.proofs import PROOFS, SecretTextError, check_secret, new_secret
from milepost.sql import webhooks
from milepost.sql.engine import Engine
from milepost.sql.sealing import Seal, SealError
from milepost.sql.webhooks import Endpoint, Secret

__all__ = ["app"]

app = typer.Typer(help="Endpoints that take webhooks of other systems.", no_args_is_help=True)

ENDPOINT = typer.Argument(..., metavar="ENDPOINT", help="The endpoint's id: what stands in its address.")
CONFIG = typer.Option(..., "--config", metavar="FILE", help="What the endpoint is, in TOML (docs/WEBHOOKS.md).")
CONFIG_FILE = typer.Argument(..., metavar="CONFIG", help="What an endpoint is, in TOML (docs/WEBHOOKS.md).")
PAYLOAD = typer.Argument(..., metavar="PAYLOAD", help="What its sender sends, in a file.")
HEADER = typer.Option([], "--header", metavar="NAME:VALUE", help="A header that comes with it; repeatable.")
SECRET = typer.Option(None, "--secret-file", metavar="FILE", help="The secret, or public key, that the sender gave.")
OVERLAP = typer.Option(24, "--overlap-hours", min=0, max=24 * 90, help="How long the old secrets still count.")
SIGNING = typer.Option(..., "--secret-file", metavar="FILE", help="The secret (whsec_...) or private key (whsk_...).")
MESSAGE_ID = typer.Option(None, "--id", help="The message's id; default: a new one.")
JSON = typer.Option(False, "--json", help="Print JSON instead of text.")

_HOUR_US = 3_600_000_000


@app.command()
def create(endpoint_id: str = ENDPOINT, config: Path = CONFIG, secret_file: Path | None = SECRET) -> None:
    """Make an endpoint and print its secret, once. Exit status 1: there is one of that id."""
    endpoint = _read(endpoint_id, config)
    secret = _secret(endpoint.proof, endpoint_id, secret_file)
    with migrated_database() as engine:
        try:
            webhooks.add_endpoint(engine, endpoint, secret, _seal())
        except webhooks.EndpointExistsError as error:
            raise _failed(str(error)) from None
    _print_secret(secret, secret_file)
    typer.echo(f"Its address: {settings.load().public_url}/v1/webhooks/{endpoint_id}", err=True)


@app.command()
def change(endpoint_id: str = ENDPOINT, config: Path = CONFIG) -> None:
    """Give an endpoint other settings; its secrets stay. Exit status 1: there is none, or its secrets do not fit."""
    endpoint = _read(endpoint_id, config)
    with migrated_database() as engine:
        found = webhooks.find_endpoint(engine, endpoint_id)
        if found is not None and found[0].proof != endpoint.proof:
            raise _failed(f"{endpoint_id} has secrets for {found[0].proof}; make another endpoint for {endpoint.proof}")
        if not webhooks.change_endpoint(engine, endpoint):
            raise _failed(_unknown(endpoint_id))
    typer.echo(f"{endpoint_id} is changed.")


@app.command("list")
def every(as_json: bool = JSON) -> None:
    """Print every endpoint, and its secrets by their number and the beginning of their hash."""
    with migrated_database() as engine:
        found = [_shown(engine, endpoint) for endpoint in webhooks.endpoints(engine)]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for one in found:
        state = "revoked" if one["revoked_at"] else "in force"
        what = f"{one['tenant']} / {' '.join(one['engagements'])}: {' '.join(one['topics'])}"
        typer.echo(f"{one['endpoint_id']}  {state}  {one['adapter']} by {one['proof']}  {what}")
        for secret in one["secrets"]:
            until = f"until {secret['expires_at']}" if secret["expires_at"] else "in force"
            typer.echo(f"  secret {secret['number']}  {secret['mark']}  since {secret['created_at']}  {until}")


@app.command()
def rotate(endpoint_id: str = ENDPOINT, overlap_hours: int = OVERLAP, secret_file: Path | None = SECRET) -> None:
    """Give an endpoint another secret and print it, once; the old ones count for a while. Exit status 1: it cannot."""
    now = _now()
    with migrated_database() as engine:
        found = webhooks.find_endpoint(engine, endpoint_id)
        if found is None:
            raise _failed(_unknown(endpoint_id))
        secret = _secret(found[0].proof, endpoint_id, secret_file)
        until = now + overlap_hours * _HOUR_US
        try:
            added, old = webhooks.add_secret(engine, endpoint_id, secret, _seal(), now, until)
        except KeyError:
            raise _failed(_unknown(endpoint_id)) from None
        except webhooks.TooManySecretsError as error:
            raise _failed(str(error)) from None
    _print_secret(secret, secret_file)
    numbers = ", ".join(str(one.number) for one in old) or "none"
    typer.echo(f"Secret {added.number} ({added.mark}); until {_text(until)} also: {numbers}.", err=True)


@app.command()
def revoke(endpoint_id: str = ENDPOINT) -> None:
    """Take nothing from an endpoint any more, on every gateway. Exit status 1: there is none in force."""
    with migrated_database() as engine:
        if not webhooks.revoke_endpoint(engine, endpoint_id, _now()):
            raise _failed(_unknown(endpoint_id))
    typer.echo(f"{endpoint_id} is revoked.")


@app.command()
def reseal() -> None:
    """Encrypt the stored secrets with the newest MILEPOST_LINK_SECRET, so that the older ones can be taken away."""
    with migrated_database() as engine:
        try:
            count = webhooks.reseal(engine, _seal())
        except SealError as error:
            raise _failed(str(error)) from None
    typer.echo(f"{count} {'secret' if count == 1 else 'secrets'} encrypted anew.")


@app.command()
def preview(config: Path = CONFIG_FILE, payload: Path = PAYLOAD, headers: list[str] = HEADER) -> None:
    """Print the events that an endpoint would make of what its sender sends. Exit status 1: it has findings."""
    endpoint = _read("preview", config)
    pairs = [header.partition(":") for header in headers]
    named = {"content-type": "application/json"} | {name.strip().lower(): value.strip() for name, _, value in pairs}
    try:
        body = payload.read_bytes()
    except OSError as error:
        raise _unusable(f"{payload}: cannot be read: {error.strerror}") from None
    translation = ADAPTERS[endpoint.adapter].translate(options_of(endpoint), Delivery(body, named))
    for topic, event in translation.events:
        typer.echo(json.dumps({"topic": topic, "value": event_to_json(event)}))
    for why in translation.passed_over:
        typer.echo(f"passed over: {why}", err=True)
    for pointer, message in translation.findings:
        typer.echo(f"{payload}{pointer and ': ' + pointer}: {message}", err=True)
    if translation.findings:
        raise typer.Exit(1)


@app.command()
def sign(payload: Path = PAYLOAD, secret_file: Path = SIGNING, message_id: str | None = MESSAGE_ID) -> None:
    """Print the three headers of Standard Webhooks for a file, for `curl -H @-`: to try an endpoint out."""
    try:
        key = standard_webhooks.read_key(secret_file.read_text(encoding="utf-8").strip())
        body = payload.read_bytes()
        name = f"msg_{secrets.token_hex(16)}" if message_id is None else message_id
        headers = standard_webhooks.sign([key], name, int(time.time()), body)
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(f"cannot be read: {error}") from None
    except standard_webhooks.WebhookError as error:
        raise _unusable(str(error)) from None
    for header, value in headers.items():
        typer.echo(f"{header}: {value}")


def _read(endpoint_id: str, config: Path) -> Endpoint:
    try:
        return read_endpoint(check_id(endpoint_id), config.read_text(encoding="utf-8"), _now())
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(f"{config}: cannot be read: {error}") from None
    except EndpointError as error:
        raise _unusable("\n".join(f"{config}: {line}" for line in str(error).splitlines())) from None


def _secret(proof: str, endpoint_id: str, file: Path | None) -> str:
    if file is None and PROOFS[proof].generated:
        return new_secret(proof, endpoint_id)
    if file is None:
        raise typer.BadParameter(f"the secret of {proof} comes from the sender; give it with --secret-file")
    try:
        text = file.read_text(encoding="utf-8").strip()
        check_secret(proof, text)
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(f"{file}: cannot be read: {error}") from None
    except SecretTextError as error:
        raise _unusable(f"{file}: {error}") from None
    return text


def _print_secret(secret: str, file: Path | None) -> None:
    if file is None:
        typer.echo(secret)
        typer.echo("Give it to the sender now; it is not shown again.", err=True)


def _seal() -> Seal:
    try:
        return Seal.of(settings.load())
    except SealError as error:
        raise _unusable(str(error)) from None


def _shown(engine: Engine, endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint for people: of its secrets nothing that could be used."""
    return {
        **vars(endpoint),
        "created_at": _text(endpoint.created_at),
        "revoked_at": _text(endpoint.revoked_at),
        "secrets": [_shown_secret(secret) for secret in webhooks.secrets_of(engine, endpoint.endpoint_id)],
    }


def _shown_secret(secret: Secret) -> dict[str, Any]:
    return {
        "number": secret.number,
        "mark": secret.mark,
        "created_at": _text(secret.created_at),
        "expires_at": _text(secret.expires_at),
    }


def _unknown(endpoint_id: str) -> str:
    return f"there is no endpoint {endpoint_id!r} in force; `milepost webhooks list` shows them"


def _failed(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(1)


def _unusable(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def _now() -> int:
    return time.time_ns() // 1_000


def _text(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")
