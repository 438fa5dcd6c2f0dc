"""The database is away, the disk under it and under evidence is full, or the registry is away: said, and got over."""

import asyncio
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from milepost.codec.registry import Registry, schemas_dir
from milepost.demo import play
from milepost.outbound.schema_registry import SchemaRegistry
from milepost.settings import load
from tests.bad_days.playing import MILEPOST, Playing, Running, environ, running
from tests.bad_days.small_disk import SmallDisk, small_disk
from tests.gateway.asking import event
from tests.postgres import running_postgres
from tests.schemas.stub_registry import StubRegistry
from tests.store.samples import PDF

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.postgres
def test_a_database_that_is_away_and_comes_back(embedded_broker: str, tmp_path: Path) -> None:
    play.apply_topics(load(bootstrap_servers=embedded_broker))
    with running_postgres() as server:
        url = server.create_database()
        with running(tmp_path, bootstrap_servers=embedded_broker, database_url=url) as milepost:
            playing = Playing.begun(milepost)
            server.stop()
            milepost.until_it_says("ledger: waiting for the database", "notices: waiting for the database")
            assert "join:" not in milepost.ready()[1]  # it needs none
            playing.send(1)
            server.start()
            milepost.until_ready()
            playing.check()


class Copies:
    """SQLite would follow the path of another namespace back into this one, so it is read in copies."""

    def __init__(self, disk: SmallDisk, folder: Path) -> None:
        self._disk, self._folder = disk, folder

    def __call__(self) -> str:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        for file in self._disk.seen.glob("ledger.db*"):
            shutil.copy(file, self._folder)
        return f"sqlite:///{self._folder}/ledger.db"


def made_key(disk: SmallDisk, milepost: Running) -> str:
    command = [*disk.on, MILEPOST, "keys", "create", "test", "--tenant", "*", "--action", "*", "--json"]
    url = milepost.settings.database_url.get_secret_value()
    made = subprocess.run(command, env=environ({"database_url": url}), capture_output=True, text=True, timeout=60)
    return f"Bearer {json.loads(made.stdout)['key']}"


class Door:
    """The gateway of a process, and a key."""

    def __init__(self, milepost: Running, key: str) -> None:
        self._url, self._headers = f"http://127.0.0.1:{milepost.settings.gateway_port}", {"Authorization": key}

    def upload(self, content: bytes) -> httpx2.Response:
        headers = {**self._headers, "Content-Type": "application/pdf"}
        return httpx2.post(
            f"{self._url}/v1/evidence?engagement_id=erp-rollout", content=content, headers=headers, timeout=60
        )

    def download(self, content: bytes) -> bytes:
        address = f"{self._url}/v1/evidence/{hashlib.sha256(content).hexdigest()}"
        return httpx2.get(address, headers=self._headers, timeout=60).raise_for_status().content

    def report(self, number: str) -> httpx2.Response:
        body = event("kpi-events", "erp-rollout", number)
        return httpx2.post(f"{self._url}/v1/events/kpi-events", json=body, headers=self._headers, timeout=60)


def test_a_full_disk_under_ledger_and_evidence(embedded_broker: str, tmp_path: Path) -> None:
    play.apply_topics(load(bootstrap_servers=embedded_broker))
    with small_disk(tmp_path / "disk", 16) as disk:
        there = {"database_url": f"sqlite:///{disk.folder}/ledger.db", "evidence_dir": f"{disk.folder}/evidence"}
        with running(tmp_path, disk.on, bootstrap_servers=embedded_broker, **there) as milepost:
            milepost.until_ready()
            door = Door(milepost, made_key(disk, milepost))
            playing = Playing.begun(milepost, Copies(disk, tmp_path / "copy"))
            assert door.upload(PDF).status_code == 201

            disk.fill()
            playing.send(1)
            milepost.until_it_says("ledger: waiting for the database: .*disk is full")
            larger = PDF.replace(b"%%EOF", b"% " + b"x" * 50_000 + b"\n%%EOF")
            for refused, code in ((door.upload(larger), "STORE_UNAVAILABLE"), (door.report("1"), "UNAVAILABLE")):
                assert (refused.status_code, refused.json()["code"]) == (503, code), refused.text
                assert "retry-after" in refused.headers
            assert door.download(PDF) == PDF
            assert list((disk.seen / "evidence" / "incoming").iterdir()) == []

            disk.empty()
            milepost.until_ready()
            playing.check()
            assert door.upload(larger).status_code == 201
            assert door.download(larger) == larger
            assert door.report("1").status_code == 202


def test_a_registry_that_is_away_at_the_start(embedded_broker: str, tmp_path: Path) -> None:
    with StubRegistry() as stub:
        chosen = {
            "bootstrap_servers": embedded_broker,
            "database_url": f"sqlite:///{tmp_path / 'ledger.db'}",
            "schema_registry_url": f"http://{stub.address}",
            "outbound_admitted_hosts": stub.address,
        }
        play.apply_topics(load(**chosen))
        stub.trouble = "500"
        with running(tmp_path, **chosen) as milepost:
            milepost.until_it_says("schema registry: waiting for the registry of MILEPOST_SCHEMA_REGISTRY_URL")
            stub.trouble = None  # it has none of our schemas yet
            milepost.until_it_says("schema registry: .* does not know .*InvoiceLine.*; run `milepost schemas register`")
            asyncio.run(SchemaRegistry(load(**chosen), Registry(schemas_dir())).register())
            milepost.until_ready()
            assert milepost.ready() == (200, "ready\n")
