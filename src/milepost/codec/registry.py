"""The schemas of `schemas/`: by id, by GUID, by record. Everything is read once and never changes.

A file's id is its number in `ids.toml`. Its GUID, for producers that put one in a header instead, is the UUIDv5 of the
SHA-256 of the schema's canonical JSON (sorted keys, no spaces) in the namespace uuid5(NAMESPACE_OID, "milepost"): it
follows from the file alone. A registry that gives out GUIDs or ids of its own overrides both.
"""

import json
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import milepost

__all__ = ["Registry", "RegistryError", "Schema", "installed", "schemas_dir"]

_NAMESPACE = uuid5(NAMESPACE_OID, "milepost")
_FILE = re.compile(r"([A-Za-z]+)-([0-9]+)\.avsc")


class RegistryError(Exception):
    """The schemas folder is missing or contradicts itself; the message names the file."""


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
