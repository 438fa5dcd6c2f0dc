"""What is usable by itself and does not go together, or leads nowhere: found before the start, by `config check`."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from milepost.settings import PREFIX, Settings
from milepost.store.evidence.opening import open_store
from milepost.store.evidence.port import StoreError

__all__ = ["gaps", "unknown_secrets"]

# Addresses that nobody else reaches, and those that stand for every address of a machine.
_HERE = {"127.0.0.1", "localhost", "::1"}
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not listened on
_GROUPS = ("group", "ledger_group", "notices_group")
# An ed25519 public key in hex.
_KEY_DIGITS = 64

Gap = tuple[str, str]


def gaps(chosen: Settings) -> dict[str, str]:
    """Why something would not work, by the variable to change; several of a variable are one sentence after another."""
    found: dict[str, str] = {}
    for look in (_files, _apart, _links, _registry, _keys, _mail, _evidence):
        for name, why in look(chosen):
            variable = PREFIX + name.upper()
            found[variable] = f"{found[variable]}; {why}" if variable in found else why
    return found


def unknown_secrets() -> dict[str, str | None]:
    """Files of MILEPOST_SECRETS_DIR that look like a setting's and are read by none, each with the nearest name."""
    folder = os.environ.get(f"{PREFIX}SECRETS_DIR")
    if not folder:
        return {}
    known = list(Settings.model_fields)
    found: dict[str, str | None] = {}
    for path in sorted(Path(folder).iterdir()):
        prefixed, name = path.name.lower().startswith(PREFIX.lower()), path.name.lower().removeprefix(PREFIX.lower())
        # A folder of secrets may hold those of others; they are not called as ours.
        if name in known if prefixed else name not in known:
            continue
        near = get_close_matches(name, known, n=1)
        found[str(path)] = PREFIX.lower() + near[0] if near else None
    return found


def _files(chosen: Settings) -> Iterator[Gap]:
    for name in ("anchor_key_file", "outbound_ca_file", "smtp_ca_file"):
        path = getattr(chosen, name)
        if path and not Path(path).is_file():
            yield name, f"{path!r} is not a file"
    if chosen.anchor_file and not Path(chosen.anchor_file).parent.is_dir():
        yield "anchor_file", f"{str(Path(chosen.anchor_file).parent)!r} is not a folder; make it first"


def _apart(chosen: Settings) -> Iterator[Gap]:
    """What two of ours may not share."""
    for place, name in enumerate(_GROUPS):
        for other in _GROUPS[:place]:
            if getattr(chosen, name) == getattr(chosen, other):
                yield name, f"{getattr(chosen, name)!r} is {PREFIX}{other.upper()} too; each needs a group of its own"
    hosts = {chosen.metrics_host, chosen.gateway_host}
    if chosen.metrics_port == chosen.gateway_port != 0 and (len(hosts) == 1 or hosts & _EVERYWHERE):
        yield "metrics_port", f"{chosen.metrics_port} is MILEPOST_GATEWAY_PORT too; only one of them can listen there"


def _links(chosen: Settings) -> Iterator[Gap]:
    has_links = bool(chosen.link_secret.get_secret_value())
    if chosen.smtp_host and not has_links:
        yield "link_secret", "is empty, so e-mails that ask for a signature would have no link to sign by"
    if chosen.gateway_host not in _HERE and urlsplit(chosen.public_url).hostname in _HERE and has_links:
        why = f"{chosen.public_url} is this machine, but MILEPOST_GATEWAY_HOST {chosen.gateway_host} serves others"
        yield "public_url", f"{why}: links would open nowhere"


def _registry(chosen: Settings) -> Iterator[Gap]:
    registry = urlsplit(chosen.schema_registry_url)
    admitted = {host.strip() for host in chosen.outbound_admitted_hosts.split(",")}
    if registry.scheme == "http" and not admitted & {registry.netloc, registry.hostname}:
        yield (
            "outbound_admitted_hosts",
            f"does not name {registry.netloc}, so MILEPOST_SCHEMA_REGISTRY_URL, which is without TLS, is not called",
        )
    credentials = chosen.schema_registry_credentials.get_secret_value()
    if credentials and ":" not in credentials:
        yield "schema_registry_credentials", "has no colon; write USER:PASSWORD"
    if credentials and not chosen.schema_registry_url:
        yield "schema_registry_url", "is empty, so MILEPOST_SCHEMA_REGISTRY_CREDENTIALS are for no registry"


def _keys(chosen: Settings) -> Iterator[Gap]:
    for key in filter(None, map(str.strip, chosen.anchor_trusted_keys.split(","))):
        if len(key) != _KEY_DIGITS or set(key) - set("0123456789abcdef"):
            yield (
                "anchor_trusted_keys",
                f"{key!r} is no public key; write the {_KEY_DIGITS} hex digits that `milepost audit new-key` prints",
            )


def _mail(chosen: Settings) -> Iterator[Gap]:
    for name in ("notices_retention_to", "notices_dead_letters_to"):
        if getattr(chosen, name).strip() and not chosen.smtp_host:
            yield name, "names addresses, but MILEPOST_SMTP_HOST is empty: nobody would be told"


def _evidence(chosen: Settings) -> Iterator[Gap]:
    try:
        open_store(chosen)
    except StoreError as unusable:
        yield "evidence_url", str(unusable).removeprefix(f"{PREFIX}EVIDENCE_URL ")
