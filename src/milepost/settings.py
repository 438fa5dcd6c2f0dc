"""Every setting of every process, in one place: `MILEPOST_*`.

Precedence: an argument > the environment > a file in the secrets folder (`MILEPOST_SECRETS_DIR`; one file a setting,
named as its variable in lower case) > the TOML file (`MILEPOST_CONFIG`, keys as below) > the default. Durations and
sizes carry their unit as the last word of their name.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

__all__ = ["PREFIX", "Settings", "SettingsError", "is_address", "load", "shown", "unknown_variables"]

PREFIX = "MILEPOST_"
# Read by this module itself, before there are settings.
_OWN_VARIABLES = ("MILEPOST_CONFIG", "MILEPOST_SECRETS_DIR")
# Kafka's own rule for a topic's name, less the dot: prefix and name are joined without one.
_TOPIC_PREFIX = r"^[A-Za-z0-9._-]{0,64}$"
# 32 characters of a random text in base64 hold 192 bits.
_LINK_SECRET_LENGTH = 32
_NAME = r"^[A-Za-z0-9._-]{1,128}$"


# What mail servers take without an extension; a domain in other scripts is written with its xn-- labels.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class SettingsError(Exception):
    """A setting that cannot be used; the message names the setting, the value unless secret, and the way out."""


class Settings(BaseSettings):
    """The settings of one process; immutable once read.

    Raises pydantic's `ValidationError` when constructed from something unusable; `load()` turns that into one message.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    bootstrap_servers: str = Field("localhost:9092", min_length=1, description="host:port[,...] of the brokers")
    database_url: SecretStr = Field(
        SecretStr("sqlite:///milepost.db"),
        description="the ledger's database, sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
    )
    app: str = Field("milepost", pattern=_NAME, description="first part of every transactional id")
    group: str = Field("milepost-join", pattern=_NAME, description="consumer group of the join's workers")
    ledger_group: str = Field("milepost-ledger", pattern=_NAME, description="consumer group of the ledger's workers")
    topic_prefix: str = Field("", pattern=_TOPIC_PREFIX, description="put before the name of every topic")
    replication_factor: int = Field(
        -1, ge=-1, le=32_767, description="copies of every topic that `topics apply` creates; -1: as the broker has it"
    )

    clock_interval_ms: int = Field(
        60_000, ge=100, le=86_400_000, description="time between two ticks, so how late a deadline may fire"
    )
    clock_skew_limit_ms: int = Field(
        30_000, ge=100, le=3_600_000, description="most by which a machine that ticks may differ from the broker's time"
    )
    sandbox: bool = Field(
        False, description="time may be advanced with `milepost clock advance`; never where money is billed"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the lowest level logged")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: console on a terminal, JSON lines elsewhere"
    )
    metrics_host: str = Field("127.0.0.1", min_length=1, description="address that /metrics listens on")
    metrics_port: int = Field(0, ge=0, le=65535, description="port that /metrics listens on; 0: none")

    session_timeout_ms: int = Field(
        10_000, ge=1_000, le=1_800_000, description="silence after which the group gives a worker's partitions away"
    )
    heartbeat_interval_ms: int = Field(3_000, ge=100, le=600_000, description="pause between a worker's heartbeats")
    max_poll_interval_ms: int = Field(
        300_000, ge=1_000, le=3_600_000, description="longest time between two polls before the worker leaves the group"
    )
    request_timeout_ms: int = Field(40_000, ge=1_000, le=600_000, description="longest wait for one answer of a broker")
    transaction_timeout_ms: int = Field(
        60_000, ge=1_000, le=900_000, description="age at which the broker aborts an open transaction"
    )
    send_timeout_ms: int = Field(30_000, ge=100, le=600_000, description="longest wait for a batch to be acknowledged")
    shutdown_timeout_ms: int = Field(20_000, ge=100, le=600_000, description="hard limit of a graceful shutdown")
    ready_lag_records: int = Field(
        100_000, ge=0, le=1_000_000_000, description="with more records to do a join or a ledger is not ready"
    )
    gauges_interval_s: int = Field(
        30, ge=1, le=3_600, description="pause between two looks of the ledger at money, approvals and dead letters"
    )
    max_records: int = Field(8_000, ge=1, le=1_000_000, description="most records in one poll, so in one transaction")
    poll_timeout_ms: int = Field(100, ge=1, le=60_000, description="longest wait of one poll for records")

    gateway_host: str = Field("127.0.0.1", min_length=1, description="address that the gateway listens on")
    gateway_port: int = Field(8080, ge=0, le=65535, description="port that the gateway listens on; 0: a free one")
    gateway_docs: bool = Field(False, description="whether the gateway serves its OpenAPI description at /openapi.json")
    gateway_ack_timeout_ms: int = Field(
        10_000, ge=100, le=600_000, description="longest wait of a request for the brokers' acknowledgement"
    )
    gateway_max_body_bytes: int = Field(
        8_000_000, ge=1_000, le=100_000_000, description="largest body of a request, but for evidence"
    )
    gateway_max_events: int = Field(5_000, ge=1, le=100_000, description="most events in one request")
    gateway_body_timeout_ms: int = Field(
        30_000, ge=100, le=600_000, description="longest wait for a request's head, or for the next 100 kB of its body"
    )
    gateway_max_requests: int = Field(
        1_000, ge=1, le=100_000, description="most requests that one gateway answers at the same time"
    )
    gateway_requests_per_s: int = Field(
        100, ge=0, le=1_000_000, description="requests a second that one API key may send to one gateway; 0: any number"
    )

    public_url: str = Field(
        "http://127.0.0.1:8080",
        description="where people and systems reach the gateway; begins approval links and evidence's addresses",
    )
    link_secret: SecretStr = Field(
        SecretStr(""),
        description="signs approval links and trigger URLs, and encrypts the stored secrets of webhooks; several with "
        "commas, the newest first, each at least 32 characters; "
        "empty: no links",
    )
    link_lifetime_days: int = Field(
        30, ge=1, le=366, description="how long an approval link opens after it was issued or its deadline has passed"
    )

    evidence_dir: str = Field(
        "milepost-evidence", min_length=1, description="folder of uploaded evidence, and of uploads on their way"
    )
    evidence_url: str = Field(
        "", description="object store for evidence instead of the folder, s3://BUCKET/PATH, gs:// or az://; empty: none"
    )
    evidence_max_bytes: int = Field(
        25 << 20, ge=1, le=1 << 30, description="most bytes of one uploaded file; a larger one is refused"
    )
    evidence_timeout_ms: int = Field(
        120_000, ge=1_000, le=3_600_000, description="longest time that one upload may take"
    )
    evidence_media_types: str = Field(
        "", description="media types that are kept, with commas; empty: all that can be recognised by content"
    )

    outbound_admitted_hosts: str = Field(
        "",
        description="HOST or HOST:PORT[,...] that calls to others may go to although they are private or without TLS",
    )
    outbound_only_hosts: str = Field(
        "",
        description="if not empty: calls to others go to these hosts alone, and to admitted ones; *.example.org[,...]",
    )
    outbound_ca_file: str = Field(
        "", description="PEM file of authorities that are trusted for calls to others, beside the system's"
    )

    schema_registry_url: str = Field(
        "", description="schema registry with the Confluent v7 REST API; empty: the files of schemas/ and their ids"
    )
    schema_registry_credentials: SecretStr = Field(
        SecretStr(""), description="USER:PASSWORD for the schema registry; empty: none"
    )

    anchor_key_file: str = Field("", description="PEM file of the ed25519 key that signs audit heads; empty: none")
    anchor_file: str = Field("", description="file that signed audit heads are appended to; empty: the topic only")
    anchor_interval_s: int = Field(900, ge=1, le=86_400, description="pause between two signings of audit heads")
    anchor_trusted_keys: str = Field("", description="public keys in hex, with commas, that `audit verify` trusts")

    notices_group: str = Field("milepost-notices", pattern=_NAME, description="consumer group of notices")
    notices_retention_to: str = Field(
        "", description="e-mail addresses, with commas, that are told of money withheld and paid out"
    )
    notices_dead_letters_to: str = Field("", description="e-mail addresses, with commas, that are told of dead letters")
    notices_bundle_ms: int = Field(
        60_000, ge=0, le=86_400_000, description="how long those e-mails wait, so that one tells of what came together"
    )
    notices_max_age_ms: int = Field(
        604_800_000,
        ge=1_000,
        le=31_622_400_000,
        description="age from which a record is told to nobody, but to signers",
    )
    notices_timeout_ms: int = Field(
        20_000, ge=100, le=30_000, description="longest time that one e-mail or webhook may take"
    )
    notices_concurrency: int = Field(16, ge=1, le=200, description="most e-mails and webhooks under way at once")
    endpoint_secret: SecretStr = Field(
        SecretStr(""),
        description="what the signing secrets of webhook endpoints follow from; several with commas, the newest first, "
        "each at least 32 characters; empty: no webhooks go out",
    )
    smtp_host: str = Field("", description="mail server that takes e-mails; empty: none are sent")
    smtp_port: int = Field(587, ge=1, le=65535, description="port of the mail server")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the way to the mail server is protected; none: not at all"
    )
    smtp_user: str = Field("", description="user at the mail server; empty: none is needed")
    smtp_password: SecretStr = Field(SecretStr(""), description="password at the mail server")
    smtp_ca_file: str = Field("", description="PEM file of authorities for the mail server, beside the system's")
    smtp_from: str = Field("", description="sender of e-mails: billing@example.org or Billing <billing@example.org>")

    @field_validator("bootstrap_servers")
    @classmethod
    def _hosts_have_ports(cls, value: str) -> str:
        for server in value.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"{server.strip()!r} is not HOST:PORT; for example localhost:9092")
        return ",".join(server.strip() for server in value.split(","))

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, value: SecretStr) -> SecretStr:
        scheme = urlsplit(value.get_secret_value()).scheme
        if scheme in ("postgres", "postgresql"):
            return SecretStr("postgresql+psycopg" + value.get_secret_value()[len(scheme) :])
        if scheme not in ("sqlite", "postgresql+psycopg"):
            raise ValueError(f"{scheme!r} is not a database this program knows; use sqlite:///FILE or postgresql://...")
        return value

    @field_validator("public_url")
    @classmethod
    def _address_is_one(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in value:
            raise ValueError("is no address of a gateway; write https://HOST or https://HOST/PATH")
        return value.rstrip("/")

    @field_validator("schema_registry_url")
    @classmethod
    def _registry_is_an_address(cls, value: str) -> str:
        if value and not (urlsplit(value).scheme in ("http", "https") and urlsplit(value).hostname):
            raise ValueError("is no address of a registry; write https://HOST or https://HOST/PATH")
        return value

    @field_validator("notices_retention_to", "notices_dead_letters_to")
    @classmethod
    def _addresses_are_addresses(cls, value: str) -> str:
        for address in value.split(",") if value.strip() else ():
            if not is_address(address.strip()):
                raise ValueError(f"{address.strip()!r} is no e-mail address; write ops@example.org[,...]")
        return value

    @field_validator("smtp_from")
    @classmethod
    def _sender_is_an_address(cls, value: str) -> str:
        if value and not (is_address(parseaddr(value)[1]) and value.isprintable()):
            raise ValueError("is no sender; write billing@example.org or Billing <billing@example.org>")
        return value

    @field_validator("link_secret", "endpoint_secret")
    @classmethod
    def _link_secrets_are_long(cls, value: SecretStr) -> SecretStr:
        secrets = [secret.strip() for secret in value.get_secret_value().split(",") if secret.strip()]
        if any(len(secret) < _LINK_SECRET_LENGTH for secret in secrets):
            raise ValueError(
                f"each secret needs {_LINK_SECRET_LENGTH} characters or more; for example "
                "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        return value

    @model_validator(mode="after")
    def _mail_can_be_sent(self) -> "Settings":
        if self.smtp_host and not self.smtp_from:
            raise ValueError("smtp_host needs smtp_from, the sender of e-mails; set MILEPOST_SMTP_FROM")
        if self.smtp_user and self.smtp_security == "none":
            raise ValueError(
                "smtp_user with smtp_security none would send the password in clear; set MILEPOST_SMTP_SECURITY"
            )
        return self

    @model_validator(mode="after")
    def _timeouts_fit(self) -> "Settings":
        heartbeat, session, request = self.heartbeat_interval_ms, self.session_timeout_ms, self.request_timeout_ms
        for name, wrong, how, other in (
            # Kafka's rule of thumb: three heartbeats may be lost before a worker counts as gone.
            ("heartbeat_interval_ms", heartbeat * 3 > session, "at most a third of", "session_timeout_ms"),
            # aiokafka takes the session timeout as its rebalance timeout; a JoinGroup waits that long for its answer.
            ("session_timeout_ms", session >= request, "below", "request_timeout_ms"),
            ("send_timeout_ms", self.send_timeout_ms >= self.transaction_timeout_ms, "below", "transaction_timeout_ms"),
        ):
            if wrong:
                raise ValueError(
                    f"{name} must be {how} {other} (found {getattr(self, name)} and {getattr(self, other)}); set "
                    f"{PREFIX}{name.upper()} or {PREFIX}{other.upper()}"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Give the sources in order of precedence; both folders are named by variables, so they are read here."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, EnvSettingsSource(settings_cls)]
        if secrets := os.environ.get("MILEPOST_SECRETS_DIR"):
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=secrets))
        if config := os.environ.get("MILEPOST_CONFIG"):
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=config))
        return tuple(sources)

    def topic(self, name: str) -> str:
        """Name of a topic as the broker knows it: `topic_prefix` + name."""
        return self.topic_prefix + name


def is_address(text: str) -> bool:
    """Whether mail can be sent to it: one plain e-mail address in ASCII, without a name."""
    # Neither part begins or ends with a dot, or has two in a row.
    dots = f".{text.replace('@', '.@.')}."
    return _ADDRESS.fullmatch(text) is not None and ".." not in dots


def load(**overrides: Any) -> Settings:
    """Read the settings; `overrides` (what the command line gave; None: not given) win.

    Raises `SettingsError` with every fault, one a line.
    """
    for variable, kind in (("MILEPOST_CONFIG", "file"), ("MILEPOST_SECRETS_DIR", "folder")):
        named = os.environ.get(variable)
        if named and not (Path(named).is_file() if kind == "file" else Path(named).is_dir()):
            raise SettingsError(f"{variable}={named!r} is not a {kind}; correct it or unset it")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_fault(dict(detail)) for detail in error.errors())) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"MILEPOST_CONFIG={os.environ.get('MILEPOST_CONFIG')!r} is not TOML: {error}") from None


def _fault(detail: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        near = get_close_matches(name, Settings.model_fields, n=1)
        return f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "; see `milepost config show`")
    if not name:
        return message
    secret = name in Settings.model_fields and Settings.model_fields[name].annotation is SecretStr
    found = "" if secret else f" (found {detail['input']!r})"
    return f"{name}: {message}{found}; set {PREFIX}{name.upper()}"


def shown(settings: Settings) -> dict[str, str | int]:
    """Every setting by name, fit for the eyes of others: of a secret only what is harmless.

    A database URL keeps its scheme, host and path; user, password and query are masked.
    """
    values: dict[str, str | int] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        values[name] = _masked(value.get_secret_value()) if isinstance(value, SecretStr) else value
    return values


def _masked(secret: str) -> str:
    if not secret:
        return ""  # that nothing is set is no secret
    parts = urlsplit(secret)
    if not parts.scheme:
        return "********"
    credentials, at, host = parts.netloc.rpartition("@")
    masked = f"{parts.scheme}://{'********@' if at and credentials else ''}{host}{parts.path}"
    return masked + ("?********" if parts.query else "")


def unknown_variables(environment: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """`MILEPOST_*` variables that no setting reads, each with the nearest one that exists (None: nothing near)."""
    # Compared without the prefix, which would make any two of them look alike.
    known = [name.upper() for name in Settings.model_fields] + [name.removeprefix(PREFIX) for name in _OWN_VARIABLES]
    unknown: dict[str, str | None] = {}
    for variable in sorted(os.environ if environment is None else environment):
        name = variable.upper().removeprefix(PREFIX)
        if variable.upper().startswith(PREFIX) and name not in known:
            near = get_close_matches(name, known, n=1)
            unknown[variable] = PREFIX + near[0] if near else None
    return unknown
