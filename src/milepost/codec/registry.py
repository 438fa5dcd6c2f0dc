"""The schemas of `schemas/`: by id, by GUID, by record. Files are read once and never change.

A file's id is its number in `ids.toml`. Its GUID, for producers that put one in a header instead, is the UUIDv5 of the
SHA-256 of the schema's canonical JSON (sorted keys, no spaces) in the namespace uuid5(NAMESPACE_OID, "milepost"): it
follows from the file alone. A registry service that gives out ids of its own overrides them: `adopt` before anything
is read or written, `learn` whenever somebody wrote with a schema that is not a file here.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import milepost

__all__ = ["AwayError", "Registry", "RegistryError", "Schema", "installed", "schemas_dir"]

_NAMESPACE = uuid5(NAMESPACE_OID, "milepost")
_FILE = re.compile(r"([A-Za-z]+)-([0-9]+)\.avsc")


class RegistryError(Exception):
    """The schemas folder is missing or contradicts itself; the message names the file."""


class AwayError(Exception):
    """A registry service does not answer, or not as one: what stands behind an id cannot be known now."""


@dataclass(frozen=True)
class Schema:
    """One released version of a record's schema. `version` counts from 1, `text` is the file as it stands."""

    id: int
    record: str
    version: int
    text: str = field(repr=False)

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The schema as parsed JSON; not to be changed."""
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed

    @cached_property
    def guid(self) -> UUID:
        """The GUID that names this schema in a `__value_schema_id` header."""
        canonical = json.dumps(self.definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return uuid5(_NAMESPACE, sha256(canonical.encode()).hexdigest())


class Registry:
    """The released schemas of one folder. Raises `RegistryError` if the folder cannot be read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            ids = tomllib.loads((root / "ids.toml").read_text(encoding="utf-8"))["ids"]
            schemas = [self._read(int(number), name) for number, name in ids.items()]
        except (OSError, KeyError, ValueError) as error:
            raise RegistryError(f"cannot read the schemas in {root}: {error}") from error
        self._by_id = {schema.id: schema for schema in schemas}
        self._current: dict[str, Schema] = {}
        for schema in sorted(schemas, key=lambda schema: schema.version):
            self._current[schema.record] = schema
        self._by_guid = {schema.guid: schema for schema in schemas}

    def _read(self, number: int, name: str) -> Schema:
        match = _FILE.fullmatch(name)
        if match is None:
            raise RegistryError(f"{self.root / 'ids.toml'}: {name!r} is no name of the form Record-VERSION.avsc")
        text = (self.root / "released" / name).read_text(encoding="utf-8")
        return Schema(number, match[1], int(match[2]), text)

    def adopt(self, ids: Mapping[tuple[str, int], int]) -> None:
        """Give the released schemas, by (record, version), the ids that a registry service has for them.

        A file's own id keeps its meaning only where the service gives it to no other schema.
        """
        renamed = {
            schema.id: replace(schema, id=ids[schema.record, schema.version])
            for schema in self._by_id.values()
            if (schema.record, schema.version) in ids
        }
        kept = {number: schema for number, schema in self._by_id.items() if number not in renamed}
        self._by_id = kept | {schema.id: schema for schema in renamed.values()}
        for schema in renamed.values():
            self._by_guid[schema.guid] = schema
            if self._current[schema.record].version == schema.version:
                self._current[schema.record] = schema

    def learn(self, key: int | UUID, text: str) -> Schema:
        """Know what a registry service has behind an id or GUID. Raises `RegistryError` for what is no record."""
        try:
            definition = json.loads(text)
            record = definition["name"].rpartition(".")[2]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RegistryError(f"schema {key} of the registry is no Avro record: {error}") from error
        schema = Schema(key if isinstance(key, int) else 0, record, 0, text)
        same = next((known for known in self._by_guid.values() if known.definition == definition), None)
        schema = schema if same is None else replace(same, id=schema.id or same.id)
        if isinstance(key, int):
            self._by_id[key] = schema
        else:
            self._by_guid[key] = schema
        return schema

    def knows(self, key: int | UUID) -> bool:
        """Whether the id or GUID is known."""
        return key in (self._by_guid if isinstance(key, UUID) else self._by_id)

    def by_id(self, number: int) -> Schema | None:
        """The schema with that id, or None."""
        return self._by_id.get(number)

    def by_guid(self, guid: UUID) -> Schema | None:
        """The schema with that GUID, or None."""
        return self._by_guid.get(guid)

    def current(self, record: str) -> Schema:
        """The newest version of a record's schema: what is written, and what readers are asked to become."""
        try:
            return self._current[record]
        except KeyError:
            raise RegistryError(f"{self.root / 'ids.toml'}: no schema of a record {record!r}") from None

    def all(self) -> list[Schema]:
        """Every schema, by id."""
        return [self._by_id[number] for number in sorted(self._by_id)]


def schemas_dir() -> Path:
    """`milepost/_schemas` of an installed wheel, else `schemas/` of the checkout. Raises `RegistryError`."""
    package = Path(milepost.__file__).parent
    for place in (package / "_schemas", package.parent.parent / "schemas"):
        if (place / "ids.toml").is_file():
            return place
    raise RegistryError(f"no schemas: neither {package / '_schemas'} nor schemas/ beside src/ holds an ids.toml")


@cache
def installed() -> Registry:
    """The registry of this installation."""
    return Registry(schemas_dir())
