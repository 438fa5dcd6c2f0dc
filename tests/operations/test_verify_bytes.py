"""The dossier's own reader says of every record what Milepost says, without sharing any code with it."""

import copy
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from milepost.audit import anchors, contents
from milepost.codec.registry import installed
from milepost.codec.topics import TOPIC_OF_RECORD, TOPICS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "src/milepost/operations/dossier_files/verify_bytes.py"
KEPT = sorted((ROOT / "tests/schemas/golden").glob("*/*.json"))


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_bytes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OWN = loaded()
DEFINITIONS: dict[str, Any] = {str(schema.id): schema.definition for schema in installed().all()}
READ = [path for path in KEPT if TOPIC_OF_RECORD[path.parent.name.rpartition("-")[0]] in OWN.RECORD_OF]


def test_it_knows_the_record_of_every_topic_that_a_dossier_holds() -> None:
    assert {topic: TOPICS[topic].record for topic in OWN.RECORD_OF} == OWN.RECORD_OF
    inputs = {name for name, topic in TOPICS.items() if topic.direction == "in"} - {"invoice-acknowledgements"}
    assert OWN.RECORD_OF.keys() == inputs | set(OWN.OUTPUTS)
    assert OWN.OUTPUTS == contents.TOPICS


@pytest.mark.parametrize("path", READ, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_reads_what_milepost_writes_in_both_framings(path: Path) -> None:
    kept, topic = json.loads(path.read_text(encoding="utf-8")), TOPIC_OF_RECORD[path.parent.name.rpartition("-")[0]]
    value, schemas = bytes.fromhex(kept["bytes"]), OWN.Schemas(DEFINITIONS, None)
    guid = installed().current(TOPICS[topic].record).guid
    for read in (
        schemas.read(topic, value, None),
        schemas.read(topic, value[5:], value[:5]),
        schemas.read(topic, value[5:], b"\x01" + guid.bytes),
    ):
        assert read == kept["value"]
        assert schemas.same(topic, read, kept["value"])
        for name in kept["value"]:
            assert not schemas.same(topic, read, kept["value"] | {name: ["forged"]})
            assert not schemas.same(topic, read, {one: kept["value"][one] for one in kept["value"] if one != name})
    for wrong in (value[:-1], value + b"\x00", b"\x01" + value[1:], b""):
        with pytest.raises((ValueError, LookupError)):
            schemas.read(topic, wrong, None)
    with pytest.raises(ValueError, match="no signed schema"):
        OWN.Schemas(DEFINITIONS, set()).read(topic, value, None)


def test_a_field_that_a_version_adds_has_its_default_or_was_forged() -> None:
    path = next(path for path in READ if path.parent.name.startswith("InvoiceLine-"))
    kept = json.loads(path.read_text(encoding="utf-8"))
    old = next(one for one in installed().all() if one.record == "InvoiceLine")
    newer = copy.deepcopy(old.definition)
    newer["fields"].append({"name": "channel", "type": "string", "default": "post"})
    schemas = OWN.Schemas({**DEFINITIONS, "9001": newer}, None)
    value = bytes.fromhex(kept["bytes"])
    read = schemas.read("invoice-lines", value, None)
    assert schemas.same("invoice-lines", read, kept["value"] | {"channel": "post"})
    assert not schemas.same("invoice-lines", read, kept["value"] | {"channel": "mail"})
    later = schemas.read("invoice-lines", b"\x00" + (9001).to_bytes(4, "big") + value[5:] + b"\x08mail", None)
    assert later["channel"] == "mail"
    assert schemas.same("invoice-lines", later, kept["value"])  # told by a release that does not know it
    assert not schemas.same("invoice-lines", later, kept["value"] | {"channel": "post"})


def test_it_judges_signatures_as_the_library_does() -> None:
    for number in range(5):
        key, message = Ed25519PrivateKey.generate(), b"x" * number
        public, signature = key.public_key().public_bytes_raw(), key.sign(message)
        assert OWN.signed_by(public, message, signature)
        assert not OWN.signed_by(public, message + b"y", signature)
        assert not OWN.signed_by(public, message, signature[:32] + bytes(32))
        assert not OWN.signed_by(public, message, signature[:-1])


def test_it_computes_the_digests_that_are_signed() -> None:
    hashes = [contents.event_hash(b"%d" % one, b"") for one in range(4)]
    assert OWN.rolled(hashes) == [contents.rolled(hashes[:count]) for count in range(5)]
    assert contents.rolled(hashes[2:], contents.rolled(hashes[:2])) == contents.rolled(hashes)
    assert contents.event_hash(b"b", b"a") == OWN.sha256(b"ab")
    assert OWN.canonical({"ü": [1, None], "a": "\x07"}) == anchors.canonical({"a": "\x07", "ü": [1, None]})
