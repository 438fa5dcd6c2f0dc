"""Evidence over HTTP: S24 (uploads), S25 (downloads), and nobody reads what is not theirs (S15)."""

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from milepost.gateway.doors import now
from milepost.sql.evidence import uses_of
from milepost.sql.tenants import add_tenants
from tests.gateway.serving import Served, body, serving, sqlite
from tests.store.samples import DOCX, EXE, HTML, PDF, PNG, SVG, bomb

HASH = hashlib.sha256(PDF).hexdigest()
LIMIT_BYTES = 100_000


@pytest.fixture
async def served(embedded_broker: str, tmp_path: Path) -> AsyncIterator[Served]:
    settings: dict[str, Any] = {
        "evidence_dir": str(tmp_path / "evidence"),
        "evidence_max_bytes": LIMIT_BYTES,
        "public_url": "https://bills.example",
    }
    async with serving(embedded_broker, sqlite(tmp_path), **settings) as found:
        for engagement, tenant in (("erp-rollout", "acme"), ("warehouse-7", "globex")):
            add_tenants(found.doors.engine, engagement, {tenant}, now())
        yield found


def key(served: Served, tenant: str = "acme", **given: Any) -> str:
    return served.key("evidence:*", tenant=tenant, **given)


def upload(
    served: Served, key: str, content: Any = PDF, media_type: str = "application/pdf", query: str = "", **headers: str
) -> Any:
    path = f"/v1/evidence?engagement_id=erp-rollout{query}"
    headers = {"Content-Type": media_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return served.ask("POST", path, key, content=content, headers=headers)


async def test_what_was_uploaded_is_what_is_downloaded(served: Served) -> None:
    """S25: to be saved, never shown or run."""
    sender = key(served)
    first = await upload(served, sender, query="&name=final_report")
    again = await upload(served, sender, query="&name=final_report")
    assert (first.status_code, again.status_code) == (201, 200)
    assert (
        body(first)
        == body(again)
        == {
            "name": "final_report",
            "media_type": "application/pdf",
            "size_bytes": len(PDF),
            "sha256": HASH,
            "uri": f"https://bills.example/v1/evidence/{HASH}",
        }
    )
    assert first.headers["location"] == body(first)["uri"]
    answer = await served.ask("GET", f"/v1/evidence/{HASH}", sender)
    assert (answer.status_code, answer.content) == (200, PDF)
    expected = {
        "content-type": "application/pdf",
        "content-length": str(len(PDF)),
        "content-disposition": "attachment; filename*=UTF-8''final_report.pdf",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "private, no-store",
        "repr-digest": f"sha-256=:{base64.b64encode(bytes.fromhex(HASH)).decode()}:",
    }
    assert {name: answer.headers.get(name) for name in expected} == expected


async def test_the_item_goes_into_an_event_as_it_is(served: Served) -> None:
    item = body(await upload(served, key(served), query="&name=final_report"))
    report = {
        "event_id": "r-1", "source": "jira", "engagement_id": "erp-rollout", "milestone_id": "assessment",
        "kind": "REPORTED", "occurred_at": "2026-02-20T12:00:00Z", "evidence": [item],
    }  # fmt: skip
    sender = served.key("events:milestone-events")
    answer = await served.ask("POST", "/v1/events/milestone-events", sender, json=report)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        pytest.param(EXE, "application/pdf", 422, "CONTENT_MISMATCH", id="exe renamed pdf"),
        pytest.param(PDF + bomb(), "application/pdf", 422, "CONTENT_MISMATCH", id="polyglot"),
        pytest.param(SVG, "image/svg+xml", 415, "MEDIA_TYPE_UNKNOWN", id="SVG script"),
        pytest.param(SVG, "application/xml", 422, "CONTENT_MISMATCH", id="SVG script as XML"),
        pytest.param(HTML, "text/html", 415, "MEDIA_TYPE_UNKNOWN", id="page"),
        pytest.param(bomb(), DOCX, 422, "CONTENT_MISMATCH", id="zip bomb"),
        pytest.param(bomb(), "application/zip", 415, "MEDIA_TYPE_UNKNOWN", id="archive"),
        pytest.param(b"", "application/pdf", 422, "EMPTY", id="0 byte"),
        pytest.param(b"x" * (LIMIT_BYTES + 1), "text/plain", 413, "BODY_TOO_LARGE", id="size+1"),
    ],
)
async def test_what_is_refused_is_kept_nowhere(
    served: Served, tmp_path: Path, content: bytes, media_type: str, status: int, code: str
) -> None:
    answer = await upload(served, key(served), content, media_type)
    assert (answer.status_code, body(answer)["code"]) == (status, code)
    assert [path for path in (tmp_path / "evidence").rglob("*") if path.is_file()] == []
    assert uses_of(served.doors.engine, hashlib.sha256(content).hexdigest()) == []


async def test_the_largest_file_is_taken(served: Served) -> None:
    answer = await upload(served, key(served), b"x" * LIMIT_BYTES, "text/plain; charset=utf-8")
    assert (answer.status_code, body(answer)["media_type"]) == (201, "text/plain")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..%2f",
        "/etc/passwd",
        "C:\\boot.ini",
        "a\x00b",
        "a\nb",
        "a\x1b[31mb",
        ".",
        "..",
        " ",
        "",
        "x" * 201,
        "\u202efdp.exe",
    ],
)
async def test_a_name_is_no_path(served: Served, tmp_path: Path, name: str) -> None:
    path = "/v1/evidence"
    given = {"engagement_id": "erp-rollout", "name": name.replace("%2f", "/")}
    answer = await served.ask(
        "POST", path, key(served), params=given, content=PDF, headers={"Content-Type": "application/pdf"}
    )
    refusals = {(422, "INVALID_NAME"), (400, "INVALID_REQUEST"), (400, "NUL_IN_ADDRESS")}
    assert (answer.status_code, body(answer)["code"]) in refusals
    assert not (tmp_path / "evidence" / "objects").exists()


async def test_the_declared_hash_is_compared(served: Served) -> None:
    sender = key(served)
    wrong, right = (base64.b64encode(raw).decode() for raw in (bytes(32), bytes.fromhex(HASH)))
    for digest in (
        *("sha-256=:AAAA:", f"sha-256=:{wrong}:", "sha-256=:!!:"),
        # S24: who tried to say it believes that it is compared
        *(f"sha-256={right}", f"sha-256=:{right}", f"SHA-256=:{right}:", f"sha256=:{right}:"),
        "md5=:AAAA:",
    ):
        answer = await upload(served, sender, Content_Digest=digest)
        assert answer.status_code == (201 if "md5" in digest else 422), answer.text
        if "md5" not in digest:
            assert body(answer)["code"] in {"INVALID_HASH", "HASH_MISMATCH"}
    right = f"md5=:AAAA:, sha-256=:{base64.b64encode(bytes.fromhex(HASH)).decode()}:"
    assert (await upload(served, sender, Content_Digest=right)).status_code == 200
    wrong = await served.ask(
        "PUT", f"/v1/evidence/{'0' * 64}?engagement_id=erp-rollout", sender, content=PDF,
        headers={"Content-Type": "application/pdf"},
    )  # fmt: skip
    assert (wrong.status_code, body(wrong)["code"]) == (422, "HASH_MISMATCH")


async def test_a_second_put_changes_nothing(served: Served) -> None:
    sender, path = key(served), f"/v1/evidence/{HASH}?engagement_id=erp-rollout"
    headers = {"Content-Type": "application/pdf"}
    answers = await asyncio.gather(
        *(served.ask("PUT", path, sender, content=PDF, headers=headers) for _ in range(6)),
        *(served.ask("PUT", path, sender, content=PDF + b" ", headers=headers) for _ in range(3)),
        served.ask("PUT", path, sender, content=PNG, headers=headers),
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201] + [422] * 4
    found = await served.ask("GET", f"/v1/evidence/{HASH}", sender)
    assert found.content == PDF
    for wrong in (HASH.upper(), "..", "x", HASH + "0"):
        answer = await served.ask("PUT", f"/v1/evidence/{wrong}?engagement_id=erp-rollout", sender, content=PDF)
        assert answer.status_code in {404, 405, 422}


async def test_nobody_reads_what_is_not_theirs(served: Served) -> None:
    """S15, other key: not by tenant, not by pattern, and not by naming the hash in an event of one's own."""
    assert (await upload(served, key(served))).status_code == 201
    other = key(served, "globex")
    report = {
        "event_id": "r-1", "source": "x", "engagement_id": "warehouse-7", "milestone_id": "m", "kind": "REPORTED",
        "occurred_at": "2026-02-20T12:00:00Z",
        "evidence": [{"name": "n", "media_type": "application/pdf", "size_bytes": 1, "sha256": HASH, "uri": "x"}],
    }  # fmt: skip
    sender = served.key("events:milestone-events", tenant="globex")
    assert (await served.ask("POST", "/v1/events/milestone-events", sender, json=report)).status_code == 202
    for stranger in (other, key(served, engagements=("warehouse-*",))):
        answer = await served.ask("GET", f"/v1/evidence/{HASH}", stranger)
        assert (answer.status_code, body(answer)["code"]) == (404, "UNKNOWN_EVIDENCE")
        for method, path in (("POST", "/v1/evidence"), ("PUT", f"/v1/evidence/{HASH}")):
            answer = await served.ask(
                method, f"{path}?engagement_id=erp-rollout", stranger, content=PDF,
                headers={"Content-Type": "application/pdf"},
            )  # fmt: skip
            assert (answer.status_code, body(answer)["code"]) == (404, "UNKNOWN_ENGAGEMENT")
    # Who has the bytes may upload them for an engagement of their own, and reads them there.
    headers = {"Content-Type": "application/pdf"}
    mine = await served.ask("POST", "/v1/evidence?engagement_id=warehouse-7", other, content=PDF, headers=headers)
    assert mine.status_code == 201  # as if nobody else had it
    assert (await served.ask("GET", f"/v1/evidence/{HASH}", other)).content == PDF


async def test_reading_and_writing_are_two_actions(served: Served) -> None:
    assert (await upload(served, served.key("evidence:read"))).status_code == 403
    assert (await upload(served, served.key("evidence:write"))).status_code == 201
    assert (await served.ask("GET", f"/v1/evidence/{HASH}", served.key("evidence:write"))).status_code == 403
    assert (await served.ask("GET", f"/v1/evidence/{HASH}")).status_code == 401
    assert (await served.ask("GET", f"/v1/evidence/{HASH}", served.key("evidence:read"))).status_code == 200


@pytest.mark.parametrize(
    "wrong", ["../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "x", HASH.upper(), "%00", "a" * 5000]
)
async def test_whatever_is_asked_for_is_a_hash_or_not_there(served: Served, wrong: str) -> None:
    answer = await served.ask("GET", f"/v1/evidence/{wrong}", key(served))
    assert answer.status_code == (400 if wrong == "%00" else 404)


def damage(folder: Path, sha256: str) -> None:
    (path,) = folder.rglob(sha256)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"Catalog", b"catalog"))


async def test_a_damaged_file_is_never_delivered_and_the_check_names_it(served: Served, tmp_path: Path) -> None:
    sender = key(served)
    await upload(served, sender)
    await upload(served, sender, PNG, "image/png")
    sound = await asyncio.to_thread(check, tmp_path)
    assert (sound.returncode, json.loads(sound.stdout)["files"]) == (0, 2), sound.stderr
    damage(tmp_path / "evidence", HASH)
    answer = await served.ask("GET", f"/v1/evidence/{HASH}", sender)
    assert (answer.status_code, body(answer)["code"]) == (503, "EVIDENCE_DAMAGED")
    (lost,) = (tmp_path / "evidence" / "objects").rglob(hashlib.sha256(PNG).hexdigest())
    lost.unlink()
    answer = await served.ask("GET", f"/v1/evidence/{lost.name}", sender)
    assert (answer.status_code, "is missing from the store" in body(answer)["detail"]) == (503, True)
    found = await asyncio.to_thread(check, tmp_path)
    assert found.returncode == 1
    faults = json.loads(found.stdout)["faults"]
    assert {(fault["sha256"], fault["fault"]) for fault in faults} == {(HASH, "DAMAGED"), (lost.name, "MISSING")}
    # The original heals both.
    assert (await upload(served, sender)).status_code == 200
    assert (await upload(served, sender, PNG, "image/png")).status_code == 200
    assert (await served.ask("GET", f"/v1/evidence/{HASH}", sender)).content == PDF
    assert (await asyncio.to_thread(check, tmp_path)).returncode == 0


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "MILEPOST_DATABASE_URL": sqlite(folder),
        "MILEPOST_EVIDENCE_DIR": str(folder / "evidence"),
    }
    program = Path(sys.executable).with_name("milepost")
    return subprocess.run(
        [program, "evidence", "check", "--json"], capture_output=True, text=True, env=environment, timeout=60
    )


async def test_a_store_that_is_away_is_not_the_senders_fault(served: Served, tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file where the folder belongs")
    answer = await upload(served, key(served))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert str(tmp_path) not in answer.text
