"""docs/asyncapi.json and docs/EVENTS.md are generated from the schemas; the standard's parser takes the first."""

import json
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from milepost.audit.anchors import new_key, read_key, signed
from milepost.codec.asyncapi import ANCHOR_FIELDS, DEAD_LETTER_HEADERS, document
from milepost.codec.registry import installed
from milepost.codec.topics import TOPICS
from milepost.codec.wire import Record
from milepost.core.reasons import GROUPS
from milepost.join.dead_letters import dead_letter

DOCS = Path(__file__).parents[2] / "docs"
HERE = Path(__file__).parent

CHECK = """
const { Parser } = require('@asyncapi/parser');
const { AvroSchemaParser } = require('@asyncapi/avro-schema-parser');
const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
parser.parse(require('fs').readFileSync(process.argv[2], 'utf8')).then(({ document, diagnostics }) => {
  const errors = diagnostics.filter((one) => one.severity === 0);
  for (const error of errors) console.log(error.path.join('.') + ': ' + error.message);
  process.exit(errors.length || !document ? 1 : 0);
});
"""


def test_the_asyncapi_document_is_generated(golden: Callable[[Path, str], None]) -> None:
    found = document(version("milepost"))
    carrying = {name for name, topic in TOPICS.items() if topic.record}
    assert set(found["channels"]) == carrying | {"dead-letters", "audit-anchors"}
    golden(DOCS / "asyncapi.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def test_what_a_dead_letter_and_an_anchor_carry_is_described() -> None:
    large = Record("kpi-events", 0, 1, 0, b"k" * 1_000_000, b"v" * 1_000_000, (("own", b"h" * 1_000_000),))
    added = {name for name, _ in dead_letter(large, "UNDECODABLE", "x").headers}
    assert added == set(DEAD_LETTER_HEADERS) - {"milepost-replay-of"}
    line = json.loads(signed(read_key(new_key()[0]), 1, None, "2026-05-29T12:00:00Z", [("e", 1, "a" * 64)]))
    payload = document("1")["components"]["messages"]["AuditAnchor"]["payload"]
    jsonschema.Draft7Validator(payload).validate(line)  # whose superset AsyncAPI has
    assert (set(line), set(line["anchor"])) == (set(payload["properties"]), set(ANCHOR_FIELDS))


@pytest.mark.asyncapi
@pytest.mark.slow
def test_the_standards_parser_takes_it_and_not_a_wrong_one(tmp_path: Path) -> None:
    packages = ["@asyncapi/parser@3.6.3", "@asyncapi/avro-schema-parser@3.0.24"]
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", *packages]
    subprocess.run(npm, cwd=tmp_path, check=True, timeout=170)
    (tmp_path / "check.js").write_text(CHECK)

    def checked(path: Path) -> tuple[int, str]:
        run = subprocess.run(["node", "check.js", path], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return run.returncode, run.stdout + run.stderr

    assert checked(DOCS / "asyncapi.json") == (0, "")
    wrong = document("1")
    wrong["operations"]["sendInvoiceLine"]["action"] = "shout"
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    assert checked(tmp_path / "wrong.json")[0] == 1


def kind(schema: Any) -> str:
    """A field's type in words."""
    if isinstance(schema, list):
        return " or ".join(kind(branch) for branch in schema)
    if isinstance(schema, str):
        return schema
    if schema["type"] == "enum":
        return ", ".join(schema["symbols"])
    if schema["type"] == "array":
        return f"list of {kind(schema['items'])}"
    if schema["type"] == "map":
        return f"map of {kind(schema['values'])}"
    return str(schema.get("logicalType") or schema.get("name") or schema["type"])


def test_the_events_page_is_generated(golden: Callable[[Path, str], None]) -> None:
    parts = [(HERE / "events_page.md").read_text(encoding="utf-8").rstrip()]
    parts.append("## What becomes of an event that does not bill")
    for heading, reasons in GROUPS.items():
        rows = [f"| `{reason}` | {said} |" for reason, said in reasons.items()]
        parts.append("\n".join([f"{heading}.\n", "| reason | |", "|---|---|", *rows]))
    for heading, direction in (("Events that come in", "in"), ("Facts that are stated", "out")):
        parts.append(f"## {heading}")
        for topic in TOPICS.values():
            if topic.direction != direction or not topic.record:
                continue
            schema = installed().current(topic.record).definition
            parts.append(f"### `{topic.name}`: {topic.record}\n\n{schema['doc']}\n\nKey: {topic.key}. {topic.why}")
            rows = ["| field | type | default | |", "|---|---|---|---|"]
            for field in schema["fields"]:
                default = json.dumps(field["default"]) if "default" in field else ""
                doc = field["doc"].replace("|", "\\|").replace("\n", " ")
                rows.append(f"| `{field['name']}` | {kind(field['type'])} | {default} | {doc} |")
            parts.append("\n".join(rows))
    for topic_name, fields in (("dead-letters", DEAD_LETTER_HEADERS), ("audit-anchors", ANCHOR_FIELDS)):
        what = {"dead-letters": "header", "audit-anchors": "field of `anchor`"}[topic_name]
        parts.append(f"### `{topic_name}`\n\nKey: {TOPICS[topic_name].key}. {TOPICS[topic_name].why}")
        parts.append(
            "\n".join([f"| {what} | |", "|---|---|", *(f"| `{n}` | {f['description']} |" for n, f in fields.items())])
        )
    parts.append("`heads` has a list for each audit trail: engagement, sequence and hash of its newest entry.")
    assert len(parts) > 14
    golden(DOCS / "EVENTS.md", "\n\n".join(parts) + "\n")
