"""A schema registry with the Confluent v7 REST API, beside the files: ids of our schemas, and schemas of others' ids.

Nothing is registered by a process that runs; `milepost schemas register` does that. What is behind an id never changes,
so it is asked for once. While the registry is away, known ids go on and unknown ones wait: an answer "not found" is an
answer, no answer is none.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from milepost.codec import records
from milepost.codec.registry import AwayError, Registry, RegistryError, installed
from milepost.codec.topics import TOPIC_OF_RECORD
from milepost.observe import logs
from milepost.outbound.calling import Answer, Caller, CallError
from milepost.settings import Settings

__all__ = ["SchemaRegistry", "UnregisteredError", "adopt", "schemas_of"]

_log = logs.logger(__name__)

_TIMEOUT_S = 10.0
# A schema has a few kilobytes; more is not one of ours.
_LIMIT_BYTES = 1 << 20
# How long "not found" is believed: a producer may register its schema a moment after it was asked for.
_ABSENT_S = 30.0
_PAUSE_S = 2.0
_OK, _NOT_FOUND, _CONFLICT = 200, 404, 409
_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


class UnregisteredError(Exception):
    """Our own schemas are not registered, or refused; the message says which."""


class SchemaRegistry:
    """Asks one registry, and tells the codec's."""

    def __init__(self, settings: Settings, registry: Registry | None = None) -> None:
        self._url = settings.schema_registry_url.rstrip("/")
        self._settings, self.registry = settings, installed() if registry is None else registry
        self._caller = Caller.of(settings, timeout_s=_TIMEOUT_S)
        self._absent: dict[int | UUID, float] = {}

    async def load(self) -> dict[tuple[str, int], int]:
        """The ids that the registry has for every schema of ours, by (record, version).

        Raises `AwayError`, and `UnregisteredError` where one is not registered.
        """
        found, missing = {}, []
        for schema in self.registry.all():
            if schema.version == 0:
                continue  # learnt from a registry before
            subject = self.subject(schema.record)
            answer = await self._post(f"/subjects/{subject}", {"schema": schema.text})
            if answer is None:
                missing.append(f"{subject} ({schema.record} version {schema.version})")
            else:
                found[schema.record, schema.version] = _number(answer, "id")
        if missing:
            unknown = ", ".join(missing)
            raise UnregisteredError(
                f"the schema registry at {self._url} does not know {unknown}; run `milepost schemas register`"
            )
        return found

    async def ensure(self, keys: Iterable[int | UUID]) -> None:
        """Know what stands behind ids and GUIDs, as far as the registry knows it. Raises `AwayError`."""
        now = time.monotonic()
        for key in set(keys):
            if self.registry.knows(key) or self._absent.get(key, -_ABSENT_S) + _ABSENT_S > now:
                continue
            path = f"/schemas/guids/{key}" if isinstance(key, UUID) else f"/schemas/ids/{key}"
            answer = await self._get(path)
            if answer is None:
                self._absent[key] = now
                continue
            try:
                self.registry.learn(key, str(answer["schema"]))
            except (KeyError, RegistryError):
                self._absent[key] = now  # JSON Schema, Protobuf, or another thing that no topic of ours carries

    async def register(self) -> dict[tuple[str, int], int]:
        """Register every version of our schemas, the oldest first, and say their ids.

        Raises `AwayError`, and `UnregisteredError` where the registry finds one incompatible.
        """
        found = {}
        for schema in sorted(self.registry.all(), key=lambda one: (one.record, one.version)):
            if schema.version:
                subject = self.subject(schema.record)
                answer = await self._post(f"/subjects/{subject}/versions", {"schema": schema.text}, subject)
                assert answer is not None
                found[schema.record, schema.version] = _number(answer, "id")
        return found

    def subject(self, record: str) -> str:
        """Where a record's schema is registered: by the topic's name, as clients do by default."""
        return f"{self._settings.topic(TOPIC_OF_RECORD[record])}-value"

    async def _get(self, path: str) -> dict[str, Any] | None:
        return self._read(path, await self._call("GET", path, b""))

    async def _post(self, path: str, body: Mapping[str, str], subject: str = "") -> dict[str, Any] | None:
        answer = await self._call("POST", path, json.dumps(body).encode())
        if subject and answer.status in (_CONFLICT, 422):
            raise UnregisteredError(f"the schema registry refuses {subject}: {_said(answer)}")
        return self._read(path, answer)

    async def _call(self, method: str, path: str, body: bytes) -> Answer:
        headers = {"accept": f"{_MEDIA_TYPE}, application/json", "content-type": _MEDIA_TYPE}
        credentials = self._settings.schema_registry_credentials.get_secret_value()
        if credentials:
            headers["authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        try:
            return await self._caller.call(
                method, self._url + path, body=body, headers=headers, limit_bytes=_LIMIT_BYTES
            )
        except CallError as error:
            raise AwayError(f"the schema registry at {self._url} is away: {error}") from error

    def _read(self, path: str, answer: Answer) -> dict[str, Any] | None:
        """The answer's JSON; None where the registry says that there is none."""
        if answer.status == _NOT_FOUND and _error_code(answer) is not None:
            return None  # a proxy's 404 has no error code: that is no answer of a registry
        if answer.status != _OK:
            raise AwayError(f"the schema registry at {self._url}{path} answers {answer.status}: {_said(answer)}")
        value = _json(answer)
        if not isinstance(value, dict):
            raise AwayError(f"the schema registry at {self._url}{path} answers something that is no JSON object")
        return value


def schemas_of(settings: Settings) -> SchemaRegistry | None:
    """The registry that the settings name; None where they name none."""
    return SchemaRegistry(settings) if settings.schema_registry_url else None


def adopt(
    settings: Settings, *, wait: bool = False, say: Callable[[str], None] = lambda why: None
) -> SchemaRegistry | None:
    """Read and write with the ids of the registry that the settings name, and answer it; None where they name none.

    Before anything is read or written, and not from within a running event loop. `wait`: for a registry that is away,
    and for our schemas in it, which `say` is told each time; without it raises `AwayError` or `UnregisteredError`.
    """
    registry = schemas_of(settings)
    while registry is not None:
        try:
            records.adopt(asyncio.run(registry.load()))
            break
        except (AwayError, UnregisteredError) as error:
            if not wait:
                raise
            say(str(error))
            _log.warning("waiting for the schema registry", found=str(error), again_in_s=_PAUSE_S)
            time.sleep(_PAUSE_S)
    return registry


def _number(answer: Mapping[str, Any], name: str) -> int:
    found = answer.get(name)
    if not isinstance(found, int) or not 0 <= found < 1 << 32:
        raise AwayError(f"the schema registry answers {name} {found!r}, which is no schema id")
    return found


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body) if answer.whole else None
    except ValueError:
        return None


def _error_code(answer: Answer) -> int | None:
    value = _json(answer)
    code = value.get("error_code") if isinstance(value, dict) else None
    return code if isinstance(code, int) else None


def _said(answer: Answer) -> str:
    value = _json(answer)
    message = value.get("message") if isinstance(value, dict) else None
    return str(message or answer.body[:200].decode(errors="replace"))[:500]
