"""Dossiers of the real join's work, and what a forger does with one."""

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from milepost.audit import anchors
from milepost.cli import app
from milepost.demo import play
from milepost.demo.examples import alone, examples_dir, read_examples
from milepost.demo.pipeline import Pipeline
from milepost.operations.anchoring import Signer, anchor, hashes_of
from milepost.settings import Settings
from milepost.sql.engine import connect

NOON = 1_780_056_000_000_000
PEM, PUBLIC = anchors.new_key()
KEY = anchors.read_key(PEM)
EXAMPLES = [example for example in read_examples(examples_dir()) if not alone(example)][:3]


MADE: dict[str, bytes] = {}
# The one with the most lines; its events name evidence that nobody uploaded. The other one is whole.
RICH, WHOLE = "warehouse-7", "intranet"
Rows = list[dict[str, Any]]


def make(chosen: Settings, tmp_path: Path) -> None:
    """The zips of both."""

    async def run() -> None:
        async with Pipeline(chosen) as pipeline:
            await play.play(chosen, pipeline, EXAMPLES, lambda count: None)
            assert await pipeline.stored(lambda: True)

    asyncio.run(run())
    engine = connect(chosen.database_url.get_secret_value())
    assert anchor(Signer(engine, KEY, hashes_of(chosen)), None, None, NOON) == 1
    engine.dispose()
    out, key = tmp_path / "dossier.zip", tmp_path / "key.pem"
    key.write_bytes(PEM)
    for engagement, status in ((RICH, 1), (WHOLE, 0)):
        arguments = ["audit", "export", engagement, "--out", str(out), "--key", str(key)]
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        # Evidence that is not there is said, and counted against it.
        assert (result.exit_code, "is not in the evidence store" in result.stderr) == (status, status == 1)
        MADE[engagement] = out.read_bytes()
    unsigned = CliRunner().invoke(app, ["audit", "export", WHOLE, "--out", str(out)], catch_exceptions=False)
    assert (unsigned.exit_code, "the dossier is not signed" in unsigned.stderr) == (0, True)
    no_key = CliRunner().invoke(app, ["audit", "export", WHOLE, "--out", str(out), "--key", str(out)])
    assert (no_key.exit_code, "MILEPOST_ANCHOR_KEY_FILE or --key" in no_key.stderr) == (2, True)


def verified(folder: Path, *keys: str) -> tuple[int, str]:
    command = [sys.executable, "-I", "-B", str(folder / "verify.py"), *keys]
    result = subprocess.run(command, capture_output=True, text=True, cwd="/", env={}, timeout=60)
    assert result.stderr == ""
    return result.returncode, result.stdout


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def save(folder: Path, name: str, values: Rows) -> None:
    text = "".join(json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n" for value in values)
    (folder / name).write_text(text, encoding="utf-8")


def list_anew(folder: Path, key: Any = None) -> None:
    """The manifest over what is there now; signed only by whoever has the key."""
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    kept = sorted(set(names) - {"manifest.json"})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in kept}
    if key is not None:
        told = {name: manifest[name] for name in ("engagement_id", "files")}
        manifest = anchors.endorsed(key, told)
    (folder / "manifest.json").write_text(json.dumps(manifest))
