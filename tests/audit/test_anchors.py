"""Signed heads convict who cuts a trail off or writes it anew; and who tampers with the heads themselves."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from milepost.audit import anchors
from milepost.audit.chain import entry_hash
from milepost.cli import app
from milepost.demo.play import apply_topics
from milepost.kafka.publishing import Publisher
from milepost.kafka.scanning import Place, Scan
from milepost.operations.anchoring import TOPIC, AnchorError, Signer, anchor
from milepost.settings import Settings
from milepost.sql import actions
from milepost.sql.engine import Engine, writing
from milepost.sql.reading import LedgerReading
from tests.audit.anchoring import KEY, NOON, PEM, PUBLIC, execute, hashes, keep, verified
from tests.audit.test_chain import chained

Texts = list[str]


def test_only_what_moved_is_signed_again(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    trail, other = chained(5), chained(2, "another")
    keep(engine, trail[:3])
    assert anchor(Signer(engine, KEY, hashes), None, file, NOON) == 1
    assert anchor(Signer(engine, KEY, hashes), None, file, NOON + 1) == 0
    keep(engine, [*trail[3:], *other], start=3)
    assert anchor(Signer(engine, KEY, hashes), None, file, NOON + 2) == 1
    texts = file.read_text().splitlines()
    assert texts == LedgerReading(engine).anchors()
    heads, faults = anchors.anchored(texts, [PUBLIC])
    assert faults == []
    assert {name: [one[:3] for one in signed] for name, signed in heads.items()} == {
        "erp-rollout": [(3, trail[2].hash, 1), (5, trail[4].hash, 2)],
        "another": [(2, other[1].hash, 2)],
    }
    assert verified()[0] == 0
    assert verified("--anchors", str(file))[0] == 0


def cut_off(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM audit_entries WHERE sequence >= 3"))


def remove(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM audit_entries"))


def write_anew(engine: Engine) -> None:
    remove(engine)
    keep(engine, [*chained(4, start=NOON + 5)])


@pytest.mark.parametrize("tamper", [cut_off, remove, write_anew])
def test_what_a_chain_cannot_show_the_heads_do(tamper: Callable[[Engine], None], engine: Engine) -> None:
    keep(engine, chained(4))
    anchor(Signer(engine, KEY, hashes), None, None, NOON)
    assert verified()[0] == 0
    tamper(engine)
    status, out = verified()
    assert status == 1
    assert "the trail was" in out


def operate(engine: Engine, count: int, reason: str = "a test") -> None:
    for number in range(count):
        actions.record(engine, NOON + number, "olga", "DISCARDED", f"dead-letters/0/{number}", reason)


@pytest.mark.parametrize("removed", ["1 = 1", "sequence > 2"])
def test_removed_actions_of_operators_are_found(removed: str, engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    keep(engine, chained(2))
    operate(engine, 5)
    assert anchor(Signer(engine, KEY, hashes), None, file, NOON) == 1
    assert anchor(Signer(engine, KEY, hashes), None, file, NOON) == 0
    assert verified("--anchors", str(file)) == verified()
    status, out = verified()
    assert (status, "operators" in out) == (0, False)
    execute(engine, f"DELETE FROM operator_actions WHERE {removed}")  # noqa: S608 (the test's own)
    for arguments in ([], ["--anchors", str(file)]):
        status, out = verified(*arguments)
        assert (status, "operator actions: entry 5 was signed in anchor 1 and is gone" in out) == (1, True)
    operate(engine, 6, "forged")  # the same numbers anew: found, and not signed
    assert "operator actions: entry 5 is not what was signed in anchor 1" in verified()[1]
    with pytest.raises(AnchorError, match="what operators did: entry 5 is not what was signed"):
        anchor(Signer(engine, KEY, hashes), None, file, NOON + 1)


def test_actions_that_are_new_are_signed_alone(engine: Engine) -> None:
    operate(engine, 1)
    assert anchor(Signer(engine, KEY, hashes), None, None, NOON) == 1
    operate(engine, 1)
    assert anchor(Signer(engine, KEY, hashes), None, None, NOON + 1) == 1
    heads, faults = anchors.anchored(LedgerReading(engine).anchors(), [PUBLIC])
    assert (faults, [signed.sequence for signed in heads[anchors.OPERATORS]]) == ([], [1, 2])
    assert verified()[0] == 0


def test_a_key_that_is_trusted_while_nothing_is_signed_is_a_fault(engine: Engine, tmp_path: Path) -> None:
    keep(engine, chained(4))
    file = tmp_path / "anchors.jsonl"
    anchor(Signer(engine, KEY, hashes), None, file, NOON)
    execute(engine, "DELETE FROM audit_anchors")
    cut_off(engine)
    status, out = verified("--trust", PUBLIC)
    assert (status, "no head is signed although a key is trusted" in out) == (1, True)
    assert verified("erp-rollout")[0] == 1
    with pytest.raises(AnchorError, match="other anchors than the database"):
        anchor(Signer(engine, KEY, hashes), None, file, NOON + 1)
    assert LedgerReading(engine).anchors() == []


def insert_one(engine: Engine) -> None:
    """The whole trail written anew with an entry more, sound in itself."""
    remove(engine)
    keep(engine, chained(5, start=NOON + 5))


def replace_the_last(engine: Engine) -> None:
    """Entries that go on from another last one."""
    trail = chained(5)
    forged = msgspec.structs.replace(trail[3], reason="forged", hash="")
    forged = msgspec.structs.replace(forged, hash=entry_hash(forged))
    after = msgspec.structs.replace(trail[4], previous_hash=forged.hash)
    remove(engine)
    keep(engine, [*trail[:3], forged, msgspec.structs.replace(after, hash=entry_hash(after))])


def break_the_chain(engine: Engine) -> None:
    """A next entry whose content is not what was hashed."""
    keep(engine, [msgspec.structs.replace(chained(5)[4], reason="forged")], start=4)


def skip_one(engine: Engine) -> None:
    keep(engine, chained(6)[5:], start=5)


def change_an_anchor(engine: Engine) -> None:
    keep(engine, chained(5)[4:], start=4)
    execute(engine, "UPDATE audit_anchors SET body = replace(body, '.000000Z', '.000001Z')")


@pytest.mark.parametrize("tamper", [insert_one, replace_the_last, break_the_chain, skip_one, change_an_anchor])
def test_a_forged_head_is_not_signed(tamper: Callable[[Engine], None], engine: Engine) -> None:
    keep(engine, chained(4))
    kept, fresh = Signer(engine, KEY, hashes), Signer(engine, KEY, hashes)
    anchor(kept, None, None, NOON)
    before = LedgerReading(engine).anchors()
    tamper(engine)
    for signer in (kept, fresh):
        with pytest.raises(AnchorError, match="nothing was signed"):
            anchor(signer, None, None, NOON + 10)
    assert len(LedgerReading(engine).anchors()) == len(before) == 1


def test_who_keeps_on_signing_notices_removed_anchors(engine: Engine) -> None:
    keep(engine, chained(4))
    signer = Signer(engine, KEY, hashes)
    anchor(signer, None, None, NOON)
    execute(engine, "DELETE FROM audit_anchors")
    with pytest.raises(AnchorError, match="anchor 1 is gone"):
        anchor(signer, None, None, NOON + 10)


def remove_the_anchors(engine: Engine) -> None:
    insert_one(engine)
    execute(engine, "DELETE FROM audit_anchors")


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (insert_one, "erp-rollout: entry 4 is not what was signed"),
        (remove_the_anchors, "audit-anchors holds 1 anchors that the database does not"),
    ],
)
def test_the_command_refuses_to_sign_a_forged_head(
    tamper: Callable[[Engine], None],
    found: str,
    engine: Engine,
    embedded_broker: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", embedded_broker)
    apply_topics(Settings(bootstrap_servers=embedded_broker))
    (tmp_path / "key.pem").write_bytes(PEM)
    keep(engine, chained(4))
    arguments = ["audit", "anchor", "--key", str(tmp_path / "key.pem")]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    before = LedgerReading(engine).anchors()
    tamper(engine)
    refused = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert (refused.exit_code, found in refused.stderr) == (1, True), refused.stderr
    assert LedgerReading(engine).anchors() == (before if tamper is insert_one else [])


def flip(texts: Texts) -> None:
    value = json.loads(texts[1])
    value["heads"][0][2] = "1" * 64
    texts[1] = json.dumps(value)


def raise_the_number(texts: Texts) -> None:
    value = json.loads(texts[1])
    value["anchor"]["signed_at"] = "2026-05-29T12:00:02.500000Z"
    texts[1] = json.dumps(value)


def drop(texts: Texts) -> None:
    del texts[1]


def swap(texts: Texts) -> None:
    texts[0], texts[1] = texts[1], texts[0]


def sign_by_another(texts: Texts) -> None:
    stranger = anchors.read_key(anchors.new_key()[0])
    texts[2] = anchors.signed(stranger, 3, texts[1], "2026-05-29T12:00:09.000000Z", [("e", 1, "0" * 64)])


def turn_the_clock_back(texts: Texts) -> None:
    texts[2] = anchors.signed(KEY, 3, texts[1], "2026-05-29T11:59:59.000000Z", [("e", 3, "0" * 64)])


def forget_the_one_before(texts: Texts) -> None:
    texts[2] = anchors.signed(KEY, 3, texts[0], "2026-05-29T12:00:09.000000Z", [("e", 3, "0" * 64)])


def garble(texts: Texts) -> None:
    texts[1] = "{"


@pytest.mark.parametrize(
    "tamper", [flip, raise_the_number, drop, swap, sign_by_another, turn_the_clock_back, forget_the_one_before, garble]
)
def test_tampering_with_the_heads_is_found(tamper: Callable[[Texts], None]) -> None:
    texts: Texts = []
    for number in (1, 2, 3):
        at = f"2026-05-29T12:00:0{number}.000000Z"
        texts.append(anchors.signed(KEY, number, texts[-1] if texts else None, at, [("e", number, "0" * 64)]))
    assert anchors.anchored(texts, [PUBLIC])[1] == []
    tamper(texts)
    assert anchors.anchored(texts, [PUBLIC])[1] != []


def test_a_clock_that_went_back_signs_nothing(engine: Engine) -> None:
    keep(engine, chained(2))
    anchor(Signer(engine, KEY, hashes), None, None, NOON)
    keep(engine, chained(3)[2:], start=2)
    with pytest.raises(AnchorError, match="set it right first"):
        anchor(Signer(engine, KEY, hashes), None, None, NOON - 1)
    assert len(LedgerReading(engine).anchors()) == 1


def test_several_that_sign_at_once_leave_no_gap(engine: Engine) -> None:
    keep(engine, chained(4))
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: anchor(Signer(engine, KEY, hashes), None, None, NOON), range(4)))
    assert sum(counts) == 1
    assert anchors.anchored(LedgerReading(engine).anchors(), [PUBLIC])[1] == []


def test_a_file_that_says_otherwise_is_not_written_over(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    file.write_text("another story\n")
    keep(engine, chained(2))
    with pytest.raises(AnchorError, match="other anchors than the database"):
        anchor(Signer(engine, KEY, hashes), None, file, NOON)
    assert file.read_text() == "another story\n"


@pytest.mark.parametrize("kept_bytes", [0, 1, 200, -1])
def test_a_line_that_a_full_disk_cut_off_is_completed(kept_bytes: int, engine: Engine, tmp_path: Path) -> None:
    whole, file = tmp_path / "whole", tmp_path / "anchors"
    anchor(Signer(engine, KEY, hashes), None, whole, NOON)
    file.write_bytes(whole.read_bytes()[:kept_bytes])
    assert anchor(Signer(engine, KEY, hashes), None, file, NOON + 1) == 0
    assert file.read_bytes() == whole.read_bytes()


def test_the_command_signs_onto_the_topic_and_into_the_file(
    engine: Engine, embedded_broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", embedded_broker)
    apply_topics(Settings(bootstrap_servers=embedded_broker))
    run = CliRunner()
    made_key = run.invoke(app, ["audit", "new-key", str(tmp_path / "key.pem")])
    assert made_key.exit_code == 0
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
    assert run.invoke(app, ["audit", "new-key", str(tmp_path / "key.pem")]).exit_code == 2
    keep(engine, chained(3))
    file = tmp_path / "anchors.jsonl"
    arguments = ["audit", "anchor", "--key", str(tmp_path / "key.pem"), "--file", str(file)]
    signed = run.invoke(app, arguments, catch_exceptions=False)
    assert (signed.exit_code, "1 anchors signed by" in signed.stdout) == (0, True)
    place = Place(TOPIC, 0)
    chosen: Any = Settings(bootstrap_servers=embedded_broker)
    with Scan(chosen, [place]) as scan:
        told = [(record.value or b"").decode() for record in scan.all(place)]
    assert told == file.read_text().splitlines() == LedgerReading(engine).anchors()
    trusted = ["--anchors", str(file), "--trust", made_key.stdout.strip()]
    assert verified("erp-rollout", *trusted)[0] == 0
    assert verified("erp-rollout", "--anchors", str(file))[0] == 1  # by a key that nobody trusts
    wrong = run.invoke(app, ["audit", "anchor", "--key", str(tmp_path / "nowhere.pem")])
    assert (wrong.exit_code, "MILEPOST_ANCHOR_KEY_FILE" in wrong.stderr) == (2, True)
    unnamed = run.invoke(app, ["audit", "anchor"])
    assert (unnamed.exit_code, "--key: no file is named" in unnamed.stderr) == (2, True)
    nowhere = run.invoke(app, [*arguments[:4], "--file", str(tmp_path / "nowhere/anchors.jsonl")])
    assert (nowhere.exit_code, nowhere.stderr.startswith("MILEPOST_ANCHOR_FILE or --file: ")) == (2, True)


def test_a_crash_between_database_and_topic_is_made_up_for(engine: Engine, embedded_broker: str) -> None:
    chosen = Settings(bootstrap_servers=embedded_broker)
    keep(engine, chained(3))
    anchor(Signer(engine, KEY, hashes), None, None, NOON)  # as if it ended before the broker heard of it
    assert anchor(Signer(engine, KEY, hashes), Publisher(chosen), None, NOON + 1) == 0
    with Scan(chosen, [Place(TOPIC, 0)]) as scan:
        assert len(list(scan.all(Place(TOPIC, 0)))) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 13])
def test_every_head_has_a_path_to_the_root(count: int) -> None:
    heads = [(f"e{number}", number, "a" * 64) for number in range(count)]
    anchor = json.loads(anchors.signed(KEY, 1, None, "2026-05-29T12:00:00.000000Z", heads))["anchor"]
    for head in heads:
        found = hashlib.sha256(b"\x00" + anchors.canonical(list(head))).digest()
        for side, beside in anchors.path(heads, head):
            pair = bytes.fromhex(beside) + found if side == "left" else found + bytes.fromhex(beside)
            found = hashlib.sha256(b"\x01" + pair).digest()
        assert found.hex() == anchor["root"]
