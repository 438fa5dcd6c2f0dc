"""Everything about one engagement in one zip: what an auditor, or the other side of a dispute, checks without Milepost.

It holds the terms, the events as they were sent, decisions, evidence, lines with their arithmetic, the audit trail and
the signed heads, one page to read, and `verify.py`, which needs Python and nothing else. Other engagements are not in
it.
"""

import asyncio
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from milepost.audit import anchors
from milepost.audit.explaining import Explanation, Material, explain_line, explain_milestone
from milepost.codec import records
from milepost.codec.json_forms import output_to_json
from milepost.codec.registry import installed
from milepost.contract import parse_wire
from milepost.kafka.schemas import Schemas
from milepost.operations.dossier_page import page
from milepost.operations.dossier_records import event_row, record_rows, sent
from milepost.settings import Settings
from milepost.sql import anchors as storing
from milepost.sql.reading import LedgerReading
from milepost.store.evidence.port import EvidenceStore, MissingError

__all__ = ["Dossier", "Included", "gather", "write"]

# A zip's members have a date; the same dossier is the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Dossier:
    """What goes into the zip: texts by name, evidence by hash (None: the store does not have it), and the page."""

    engagement_id: str
    texts: dict[str, str]
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Included:
    """What a dossier holds: files, evidence that is there, and evidence that the store does not have."""

    files: int
    evidence: int
    missing: tuple[str, ...]


def gather(
    settings: Settings,
    ledger: LedgerReading,
    engagement: str,
    made_at: str,
    progress: Callable[[int], None],
    schemas: Schemas | None = None,
) -> Dossier:
    """Collect it from the ledger and from the topics; `schemas` is asked for what events name and nobody here knows.

    Raises `ScanError`, `UnavailableError`.
    """
    material = Material(
        ledger.lines(engagement),
        ledger.retention_events(engagement),
        ledger.requests(engagement),
        ledger.statuses(engagement),
        ledger.audit(engagement),
    )
    contracts = ledger.contracts(engagement)
    events = [event_row(record) for record in sent(settings, material.audit, progress, schemas)]
    stored = storing.places(ledger.engine, engagement)
    explained = _explained(material, contracts)
    texts = {f"contracts/version-{version}.json": _pretty(json.loads(text)) for version, text in contracts.items()}
    texts |= {
        "events.jsonl": _lines(events),
        "audit-trail.jsonl": _lines(map(output_to_json, material.audit)),
        "invoice-lines.jsonl": _lines(map(output_to_json, material.lines)),
        "retention-events.jsonl": _lines(map(output_to_json, material.retention)),
        "approval-requests.jsonl": _lines(map(output_to_json, material.requests)),
        "milestone-status.jsonl": _lines(map(output_to_json, material.statuses)),
        "invoice-acknowledgements.jsonl": _lines(map(records.event_to_json, ledger.acknowledgements(engagement))),
        "records.jsonl": _lines(record_rows(settings, stored, progress)),
        "schemas.json": _pretty({str(schema.id): schema.definition for schema in installed().all()}),
        "anchors.jsonl": _lines(_proofs(engagement, ledger.anchors())),
        "explanations.txt": "\n\n".join(found.text() for _, found in explained),
    }
    evidence = sorted(
        {e["sha256"] for one in (*events, *_parsed(texts["invoice-lines.jsonl"])) for e in _evidence(one)}
    )
    texts["dossier.html"] = page(engagement, made_at, contracts, material, events, explained)
    return Dossier(engagement, texts, tuple(evidence))


def write(dossier: Dossier, store: EvidenceStore | None, to: Path, key: Ed25519PrivateKey | None = None) -> Included:
    """Write the zip, with what the evidence store has of it; the key signs for what no anchor covers, as the page.

    Raises `OSError`, `StoreError`.
    """
    contents = {name: text.encode() for name, text in dossier.texts.items()}
    for name in ("verify.py", "verify_bytes.py", "README.txt"):
        contents[name] = files("milepost.operations").joinpath("dossier_files", name).read_bytes()
    missing = []
    for sha256 in dossier.evidence:
        content = None if store is None else asyncio.run(_read(store, sha256))
        if content is None:
            missing.append(sha256)
        else:
            contents[f"evidence/{sha256}"] = content
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    told = {"engagement_id": dossier.engagement_id, "files": manifest}
    contents["manifest.json"] = _pretty(told if key is None else anchors.endorsed(key, told)).encode()
    partial = to.with_name(to.name + ".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(contents.items()):
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
    partial.replace(to)
    return Included(len(contents), len(dossier.evidence) - len(missing), tuple(missing))


async def _read(store: EvidenceStore, sha256: str) -> bytes | None:
    try:
        return b"".join([piece async for piece in store.read(sha256)])
    except MissingError:
        return None


def _explained(material: Material, contracts: dict[int, str]) -> list[tuple[str, Explanation]]:
    parsed = {version: parse_wire(text, source="contract").contract for version, text in contracts.items()}
    found = [(line.line_id, explain_line(material, line, parsed.get(line.contract_version))) for line in material.lines]
    return found + [
        ("/".join(filter(None, (status.milestone_id, status.occurrence_id))), explain_milestone(material, status))
        for status in material.statuses
    ]


def _proofs(engagement: str, lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    """Every anchor without the heads of others: where this engagement's head is, the way from it to the root."""
    for line in lines:
        value = json.loads(line)
        heads = [tuple(head) for head in value["heads"]]
        own = next((head for head in heads if head[0] == engagement), None)
        path = None if own is None else anchors.path(heads, own)
        yield {"anchor": value["anchor"], "head": own, "path": path}


def _evidence(value: dict[str, Any]) -> list[dict[str, Any]]:
    inner = value.get("value", value)
    found = inner.get("evidence") if isinstance(inner, dict) else None
    return found if isinstance(found, list) else []


def _parsed(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def _lines(values: Iterable[Any]) -> str:
    return "".join(json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n" for value in values)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
