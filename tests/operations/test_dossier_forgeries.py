"""Every forgery of a dossier is found by its own script, whoever lists the files anew and even signs the list."""

import base64
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.audit import anchors
from milepost.codec import records
from tests.operations.dossiers import KEY, MADE, PUBLIC, RICH, list_anew, rows, save, verified


def raise_a_line(folder: Path) -> None:
    lines = rows(folder, "invoice-lines.jsonl")
    for name in ("gross_minor", "payable_minor"):
        lines[0][name] += 1_000_000
    save(folder, "invoice-lines.jsonl", lines)


def raise_its_bytes_too(folder: Path) -> None:
    raise_a_line(folder)
    told = rows(folder, "records.jsonl")
    line = records.output_from_json("invoice-lines", rows(folder, "invoice-lines.jsonl")[0])
    told[0]["bytes"] = base64.b64encode(records.encode(line)).decode()
    save(folder, "records.jsonl", told)


def describe_otherwise(folder: Path) -> None:
    lines = rows(folder, "invoice-lines.jsonl")
    lines[0] |= {"description": "something else", "completion": "12.5"}
    save(folder, "invoice-lines.jsonl", lines)


def sign_by_another(folder: Path) -> None:
    events = rows(folder, "events.jsonl")
    decision = next(event for event in events if event["topic"] == "approvals")
    decision["value"]["approver"] = "somebody else"
    decision["bytes"] = "AAAA"
    save(folder, "events.jsonl", events)


def sign_by_another_in_bytes(folder: Path) -> None:
    events = rows(folder, "events.jsonl")
    decision = next(event for event in events if event["topic"] == "approvals")
    decision["value"]["approver"] = "somebody else"
    value = records.event_from_json("approvals", decision["value"])
    decision["bytes"] = base64.b64encode(records.encode_event(value)).decode()
    save(folder, "events.jsonl", events)


def say_an_event_is_unreadable(folder: Path) -> None:
    events = rows(folder, "events.jsonl")
    events[3]["value"] = {"undecodable": "no"}
    save(folder, "events.jsonl", events)


def date_an_event_otherwise(folder: Path) -> None:
    events = rows(folder, "events.jsonl")
    events[3]["timestamp_ms"] += 1
    save(folder, "events.jsonl", events)


def change_prices(folder: Path) -> None:
    path = folder / "contracts" / "version-1.json"
    path.write_text(re.sub(r'"(fee|amount|value)": "[0-9]+', r'"\1": "9', path.read_text()))
    assert path.read_text() != zipfile.ZipFile(io.BytesIO(MADE[RICH])).read("contracts/version-1.json").decode()


def empty(name: str) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        assert rows(folder, name)
        (folder / name).write_text("")

    tamper.__name__ = f"empty_{name}"
    return tamper


def empty_both(name: str) -> Callable[[Path], None]:
    """And the bytes of it."""

    def tamper(folder: Path) -> None:
        empty(f"{name}.jsonl")(folder)
        save(folder, "records.jsonl", [row for row in rows(folder, "records.jsonl") if row["topic"] != name])

    tamper.__name__ = f"empty_{name}_and_bytes"
    return tamper


def cut_the_end_off(folder: Path) -> None:
    """The trail with its last line and what belongs to it, and no anchor that could tell."""
    trail = rows(folder, "audit-trail.jsonl")
    last = max(place for place, entry in enumerate(trail) if entry["what"] == "LINE")
    gone = trail[last]["line_id"]
    kept = trail[: max(place for place in range(last) if trail[place]["what"] not in ("LINE", "RETENTION"))]
    save(folder, "audit-trail.jsonl", kept)
    places = {(entry["input_topic"], entry["input_partition"], entry["input_offset"]) for entry in kept}
    events = rows(folder, "events.jsonl")
    save(folder, "events.jsonl", [one for one in events if (one["topic"], one["partition"], one["offset"]) in places])
    told = rows(folder, "records.jsonl")
    for name in ("invoice-lines", "retention-events"):
        values = rows(folder, f"{name}.jsonl")
        own = [row for row in told if row["topic"] == name]
        stay = [place for place, value in enumerate(values) if value["line_id"] != gone]
        save(folder, f"{name}.jsonl", [values[place] for place in stay])
        told = [row for row in told if row["topic"] != name] + [own[place] for place in stay]
    save(folder, "records.jsonl", told)


def cut_off_and_unanchored(folder: Path) -> None:
    cut_the_end_off(folder)
    (folder / "anchors.jsonl").write_text("")


def forget_the_head(folder: Path) -> None:
    found = rows(folder, "anchors.jsonl")
    found[0] |= {"head": None, "path": None}
    save(folder, "anchors.jsonl", found)


def change_signed_contents(folder: Path) -> None:
    found = rows(folder, "anchors.jsonl")
    found[0]["head"][3]["invoice-lines"][0] -= 1
    save(folder, "anchors.jsonl", found)


def drop_signed_contents(folder: Path) -> None:
    found = rows(folder, "anchors.jsonl")
    found[0]["head"].pop()
    save(folder, "anchors.jsonl", found)


def date_an_anchor_otherwise(folder: Path) -> None:
    found = rows(folder, "anchors.jsonl")
    found[0]["anchor"]["signed_at"] = "2030-01-01T00:00:00.000000Z"
    save(folder, "anchors.jsonl", found)


def swap_names_in_a_schema(folder: Path) -> None:
    """The same bytes, read otherwise: what is payable becomes what is retained."""
    path, other = folder / "schemas.json", {"retained_minor": "payable_minor", "payable_minor": "retained_minor"}
    schemas = json.loads(path.read_text())
    for field in schemas["10"]["fields"]:
        field["name"] = other.get(field["name"], field["name"])
    path.write_text(json.dumps(schemas))
    lines = rows(folder, "invoice-lines.jsonl")
    save(folder, "invoice-lines.jsonl", [{**one, **{a: one[b] for a, b in other.items()}} for one in lines])


def drop_the_last(name: str) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        save(folder, name, rows(folder, name)[:-1])

    tamper.__name__ = f"drop_the_last_of_{name}"
    return tamper


def withhold_more(folder: Path) -> None:
    events = rows(folder, "retention-events.jsonl")
    events[0]["amount_minor"] += 1
    save(folder, "retention-events.jsonl", events)


def rewrite_the_trail(folder: Path) -> None:
    """Sound in itself, with another reason in an early entry."""
    trail, previous = rows(folder, "audit-trail.jsonl"), "0" * 64
    trail[1]["reason"] = "forged"
    for entry in trail:
        del entry["hash"]
        entry["previous_hash"] = previous
        previous = entry["hash"] = hashlib.sha256(anchors.canonical(entry)).hexdigest()
    save(folder, "audit-trail.jsonl", trail)


def name_twice(folder: Path) -> None:
    path = folder / "invoice-lines.jsonl"
    path.write_text(path.read_text().replace('"gross_minor":', '"gross_minor": 1, "gross_minor":', 1))


# Each with a word of the fault that finds it although whoever did it lists the files anew and has the manifest signed.
FORGERIES: list[tuple[Callable[[Path], None], str]] = [
    (raise_a_line, "its bytes say something else"),
    (raise_its_bytes_too, "invoice-lines are not the 10 that were signed"),
    (describe_otherwise, "its bytes say something else"),
    (sign_by_another, "its bytes cannot be read"),
    (sign_by_another_in_bytes, "the events are not those that were signed"),
    (say_an_event_is_unreadable, "its bytes say something else"),
    (date_an_event_otherwise, "the audit trail has another time"),
    (change_prices, "contracts/version-1.json is not what was sent"),
    (empty("retention-events.jsonl"), "the audit trail has 7 retention events"),
    (empty_both("retention-events"), "retention-events are not the 7 that were signed"),
    (empty("approval-requests.jsonl"), "approval-requests: 0 are told"),
    (empty_both("approval-requests"), "approval-requests are not the"),
    (empty("anchors.jsonl"), "audit trail: only the entries up to 0 of 51 are signed"),
    (cut_the_end_off, "is not what was signed"),
    (cut_off_and_unanchored, "audit trail: only the entries up to 0 of"),
    (forget_the_head, "audit trail: only the entries up to 0 of 51 are signed"),
    (change_signed_contents, "the head is not among those that were signed"),
    (drop_signed_contents, "the head is not among those that were signed"),
    (date_an_anchor_otherwise, "anchor 1 is not signed by its key"),
    (swap_names_in_a_schema, "no signed schema of this record has its id"),
    (drop_the_last("invoice-lines.jsonl"), "invoice-lines: 9 are told, 10 have bytes"),
    (drop_the_last("audit-trail.jsonl"), "is not what was signed"),
    (drop_the_last("events.jsonl"), "the dossier does not have it"),
    (withhold_more, "its bytes say something else"),
    (rewrite_the_trail, "is not what was signed"),
    (name_twice, "a name is there twice"),
]


@pytest.mark.parametrize(("tamper", "found"), FORGERIES, ids=lambda one: getattr(one, "__name__", ""))
def test_every_forgery_is_found(tamper: Callable[[Path], None], found: str, exported: Path) -> None:
    folder = exported / RICH
    tamper(folder)
    list_anew(folder, KEY)
    status, out = verified(folder, PUBLIC)
    assert (status, found in out, "the manifest" in out) == (1, True, False), out
    list_anew(folder, anchors.read_key(anchors.new_key()[0]))
    assert "the manifest (page, explanations, statuses, acknowledgements) is signed by" in verified(folder, PUBLIC)[1]
