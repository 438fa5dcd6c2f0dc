"""A dossier of the real join's work: complete, checked offline by its own script, and every tampering is found."""

import asyncio
import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from milepost.audit import anchors, contents
from milepost.cli import app
from milepost.demo.pipeline import Pipeline
from milepost.settings import Settings
from tests.operations.dossiers import EXAMPLES, KEY, PUBLIC, RICH, WHOLE, Rows, list_anew, rows, save, verified


def test_it_is_whole(exported: Path) -> None:
    folder = exported / WHOLE
    status, out = verified(folder, PUBLIC)
    assert (status, "0 faults" in out) == (0, True), out
    lines, trail = rows(folder, "invoice-lines.jsonl"), rows(folder, "audit-trail.jsonl")
    assert f"entries up to {len(trail)} of {len(trail)} are signed" in out
    events = rows(folder, "events.jsonl")
    assert len({(event["topic"], event["offset"]) for event in events}) == len(events) > 3
    _page_tells_it(folder, lines)
    others = {example.opening.engagement_id for example in EXAMPLES} - {WHOLE}
    assert others
    assert not [name for name in others if any(name in path.read_text() for path in folder.glob("*.*"))]
    status, out = verified(folder)
    assert (status, "no signature was checked" in out) == (0, True)
    status, out = verified(folder, anchors.new_key()[1])
    assert (status, "which you do not trust" in out) == (1, True)


def test_a_copy_of_the_script_checks_another_folder(exported: Path) -> None:
    (exported / RICH / "verify.py").write_text("print('0 faults')")
    status, out = verified(exported / WHOLE, str(exported / RICH), PUBLIC)
    assert (status, "FAULT verify.py was changed" in out) == (1, True)


def test_evidence_that_is_named_and_absent_is_a_fault(exported: Path) -> None:
    status, out = verified(exported / RICH, PUBLIC)
    assert (status, out.count("FAULT"), out.count("is named and is not here")) == (1, 2, 2), out
    assert "0 of 2 pieces of evidence" in out


def _page_tells_it(folder: Path, lines: list[dict[str, Any]]) -> None:
    page = (folder / "dossier.html").read_text(encoding="utf-8")
    assert all(line["line_id"] in page for line in lines)
    assert "<script" not in page
    assert not re.search(r"<(img|link|iframe|a|form)\b|url\(|@import", page)


@pytest.mark.parametrize(
    "name",
    ["explanations.txt", "dossier.html", "milestone-status.jsonl", "invoice-acknowledgements.jsonl", "README.txt"],
)
def test_what_no_anchor_covers_the_manifest_does(name: str, exported: Path) -> None:
    folder = exported / WHOLE
    (folder / name).write_text("another story")
    assert f"FAULT {name} was changed" in verified(folder, PUBLIC)[1]
    list_anew(folder)
    status, out = verified(folder, PUBLIC)
    assert (status, "the manifest (page" in out, out.count("FAULT")) == (1, True, 1), out
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({one: manifest[one] for one in ("engagement_id", "files")}))
    status, out = verified(folder, PUBLIC)
    assert (status, "is signed by nobody" in out) == (1, True)


def test_a_file_more_is_found(exported: Path) -> None:
    (exported / WHOLE / "surprise.txt").write_text("x")
    assert "surprise.txt was added" in verified(exported / WHOLE, PUBLIC)[1]


def anchored_in_steps(folder: Path, steps: list[tuple[int, bool]]) -> None:
    """Anchors over the trail up to an entry each, with contents or, as it was before, without."""
    trail, told = rows(folder, "audit-trail.jsonl"), rows(folder, "records.jsonl")
    bytes_of = {
        (one["topic"], one["partition"], one["offset"]): base64.b64decode(one["bytes"])
        for one in rows(folder, "events.jsonl")
    }
    schemas = json.loads((folder / "schemas.json").read_text())
    digests = {name: hashlib.sha256(anchors.canonical(value)).hexdigest() for name, value in schemas.items()}
    line, found, known, before, done = None, [], None, 0, 0
    for number, (upto, whole) in enumerate(steps, start=1):
        head: anchors.Head = (WHOLE, upto, trail[upto - 1]["hash"])
        if whole:
            places = [tuple(one[f"input_{part}"] for part in ("topic", "partition", "offset")) for one in trail]
            sent = [contents.event_hash(bytes_of[place], b"") for place in places[done:upto]]
            bodies = {topic: [] for topic in contents.TOPICS} if upto < len(trail) else bodies_of(told)
            known, done = contents.grown(before, known, sent, bodies), upto
            head = (*head, known)
        heads = sorted([head, ("another", 1, "a" * 64)], key=str)
        line = anchors.signed(
            KEY, number, line, f"2026-05-29T12:00:0{number}.000000Z", heads, digests if whole else None
        )
        found.append({"anchor": json.loads(line)["anchor"], "head": list(head), "path": anchors.path(heads, head)})
        before = number
    save(folder, "anchors.jsonl", found)


def bodies_of(told: Rows) -> dict[str, list[str]]:
    return {
        topic: [hashlib.sha256(base64.b64decode(one["bytes"])[5:]).hexdigest() for one in told if one["topic"] == topic]
        for topic in contents.TOPICS
    }


def test_anchors_of_before_vouch_for_what_they_covered(exported: Path) -> None:
    folder = exported / WHOLE
    count = len(rows(folder, "audit-trail.jsonl"))
    anchored_in_steps(folder, [(2, False), (4, True), (6, True), (count, True)])
    list_anew(folder, KEY)
    assert verified(folder, PUBLIC)[0] == 0, verified(folder, PUBLIC)
    left_out = rows(folder, "anchors.jsonl")
    left_out[1] |= {"head": None, "path": None}
    save(folder, "anchors.jsonl", left_out)
    list_anew(folder, KEY)
    status, out = verified(folder, PUBLIC)
    assert (status, "anchor 3: the head in anchor 2 was left out" in out) == (1, True), out
    anchored_in_steps(folder, [(2, False), (count, False)])
    list_anew(folder, KEY)
    status, out = verified(folder, PUBLIC)
    assert (status, f"events: only those up to audit entry 0 of {count} are signed" in out) == (1, True)
    assert (f"entries up to {count} of {count} are signed" in out, "was not what" in out) == (True, False)
    anchored_in_steps(folder, [(2, False), (count - 1, True)])
    list_anew(folder, KEY)
    assert f"audit trail: only the entries up to {count - 1} of {count} are signed" in verified(folder, PUBLIC)[1]


def test_an_engagement_that_nobody_knows_is_said(chosen: Settings, tmp_path: Path) -> None:
    async def run() -> None:
        async with Pipeline(chosen) as pipeline:
            assert await pipeline.stored(lambda: True)

    asyncio.run(run())
    out = tmp_path / "x.zip"
    result = CliRunner().invoke(app, ["audit", "export", "nobody", "--out", str(out)])
    assert result.exit_code == 1
    assert "no audit entry of engagement 'nobody'" in result.stderr
    assert not out.exists()
