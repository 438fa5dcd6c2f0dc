"""A dossier of the real join's work: complete, checked offline by its own script, and every tampering is found."""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from milepost.audit import anchors
from milepost.cli import app
from milepost.demo import play
from milepost.demo.examples import alone, examples_dir, read_examples
from milepost.demo.pipeline import Pipeline
from milepost.operations.anchoring import Signer, anchor
from milepost.settings import Settings
from milepost.sql.engine import connect

NOON = 1_780_056_000_000_000
PEM, PUBLIC = anchors.new_key()
EXAMPLES = [example for example in read_examples(examples_dir()) if not alone(example)][:3]


@pytest.fixture
def exported(chosen: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The unpacked dossier of the engagement with the most lines."""
    monkeypatch.setenv("MILEPOST_EVIDENCE_DIR", str(tmp_path / "evidence"))

    async def run() -> str:
        async with Pipeline(chosen) as pipeline:
            found = await play.play(chosen, pipeline, EXAMPLES, lambda count: None)
            assert await pipeline.stored(lambda: True)
        names = [line.engagement_id for line in found.picture.lines]
        return max(sorted(set(names)), key=names.count)

    engagement = asyncio.run(run())
    engine = connect(chosen.database_url.get_secret_value())
    assert anchor(Signer(engine, anchors.read_key(PEM)), None, None, NOON) == 1
    engine.dispose()
    out = tmp_path / "dossier.zip"
    result = CliRunner().invoke(app, ["audit", "export", engagement, "--out", str(out)], catch_exceptions=False)
    # The examples name evidence that nobody uploaded: said, and counted against it.
    assert result.exit_code == 1
    assert "is not in the evidence store" in result.stderr
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(out) as archive:
        archive.extractall(folder)
    return folder


def verified(folder: Path, *keys: str) -> tuple[int, str]:
    command = [sys.executable, "-I", "-B", str(folder / "verify.py"), *keys]
    result = subprocess.run(command, capture_output=True, text=True, cwd="/", env={}, timeout=60)
    assert result.stderr == ""
    return result.returncode, result.stdout


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def rewrite(folder: Path, name: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change a file, and the manifest with it: only what is inside can show it."""
    values = rows(folder, name)
    change(values)
    content = "".join(json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n" for value in values).encode()
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_it_is_whole_and_every_tampering_is_found(exported: Path) -> None:
    status, out = verified(exported, PUBLIC)
    assert (status, "0 faults" in out) == (0, True), out
    lines, trail = rows(exported, "invoice-lines.jsonl"), rows(exported, "audit-trail.jsonl")
    assert f"entries up to {len(trail)} of {len(trail)} are signed" in out
    events = rows(exported, "events.jsonl")
    assert len({(event["topic"], event["offset"]) for event in events}) == len(events) > 3
    _page_tells_it(exported, lines)
    others = {example.opening.engagement_id for example in EXAMPLES} - {lines[0]["engagement_id"]}
    assert others
    assert not [name for name in others if any(name in path.read_text() for path in exported.glob("*.*"))]
    status, out = verified(exported)
    assert (status, "the signed heads were not checked" in out) == (0, True)
    status, out = verified(exported, anchors.new_key()[1])
    assert (status, "which you do not trust" in out) == (1, True)
    _tampered(exported)


def _page_tells_it(folder: Path, lines: list[dict[str, Any]]) -> None:
    page = (folder / "dossier.html").read_text(encoding="utf-8")
    assert all(line["line_id"] in page for line in lines)
    assert "<script" not in page
    assert not re.search(r"<(img|link|iframe|a|form)\b|url\(|@import", page)


def _tampered(folder: Path) -> None:
    def more(name: str, value: int) -> Callable[[list[dict[str, Any]]], None]:
        def change(found: list[dict[str, Any]]) -> None:
            found[0][name] += value

        return change

    def drop(found: list[dict[str, Any]]) -> None:
        found.pop()

    def forge(found: list[dict[str, Any]]) -> None:
        found[0]["anchor"]["signed_at"] = "2030-01-01T00:00:00.000000Z"

    tamperings: list[tuple[str, Callable[[list[dict[str, Any]]], None]]] = [
        ("invoice-lines.jsonl", more("gross_minor", 1)),
        ("invoice-lines.jsonl", drop),
        ("retention-events.jsonl", more("amount_minor", 1)),
        ("audit-trail.jsonl", drop),
        ("audit-trail.jsonl", more("sequence", 1)),
        ("events.jsonl", drop),
        ("anchors.jsonl", forge),
    ]
    for name, change in tamperings:
        kept, manifest = (folder / name).read_bytes(), (folder / "manifest.json").read_bytes()
        rewrite(folder, name, change)
        status, out = verified(folder, PUBLIC)
        assert (status, "FAULT" in out) == (1, True), name
        (folder / name).write_bytes(kept)
        (folder / "manifest.json").write_bytes(manifest)
    (folder / "contracts" / "version-1.json").write_text("{}")
    (folder / "surprise.txt").write_text("x")
    status, out = verified(folder, PUBLIC)
    assert "version-1.json was changed" in out
    assert "surprise.txt was added" in out


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
