#!/usr/bin/env python3
"""Checks a dossier without Milepost: python3 verify.py [FOLDER] [PUBLIC_KEY ...]; default: this script's folder.

Looks at every file's hash, the audit trail's chain, sums and retention of the lines, the ids of lines and retention
events, the terms, the evidence, and whether what is told of each record is what its bytes say. Given public keys (hex),
also at the signatures: of the heads, which vouch for the trail and the bytes, and of the manifest, which vouches for
the rest. Exit status 0: all is sound; 1: something is not. Better use a verify.py and verify_bytes.py that come from
somebody other than the dossier.
"""

import base64
import json
import pathlib
import sys
import uuid

BESIDE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(BESIDE))
from verify_bytes import OUTPUTS, Schemas, canonical, instant, is_member, parsed, rolled, sha256, signed_by  # noqa: E402

PATHS = [pathlib.Path(one).resolve() for one in sys.argv[1:] if len(one) != 64]
HERE = PATHS[0] if PATHS else BESIDE
faults, said = [], []


def rows(name):
    """The lines of a file, read as JSON."""
    return [parsed(line) for line in (HERE / name).read_text(encoding="utf-8").split("\n") if line]


# ---- the checks


def raw(row):
    """The bytes of a record."""
    return base64.b64decode(row["bytes"], validate=True)


def header_of(event):
    """The header that names an event's schema, or None."""
    return None if event["schema_header"] is None else bytes.fromhex(event["schema_header"])


def place_of(row):
    """Where a record is."""
    return row["topic"], row["partition"], row["offset"]


def input_of(entry):
    """Which record an audit entry is about, or None."""
    place = entry["input_topic"], entry["input_partition"], entry["input_offset"]
    return None if None in place else place


def check_files(manifest):
    """Every file is what the manifest says, and there are no others."""
    for name, digest in manifest["files"].items():
        path = HERE / name
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif sha256(path.read_bytes()) != digest:
            faults.append(f"{name} was changed")
    there = {str(path.relative_to(HERE)) for path in HERE.rglob("*") if path.is_file()}
    for name in sorted(there - set(manifest["files"]) - {"manifest.json"}):
        if not name.startswith("__pycache__"):
            faults.append(f"{name} was added")
    said.append(f"{len(manifest['files'])} files")


def check_trail(engagement, trail):
    """Each audit entry follows the one before it and is what was hashed."""
    previous = "0" * 64
    for number, entry in enumerate(trail, start=1):
        if entry["engagement_id"] != engagement or entry["sequence"] != number or entry["previous_hash"] != previous:
            faults.append(f"audit entry {entry['sequence']} does not follow the one before it")
        if sha256(canonical({name: value for name, value in entry.items() if name != "hash"})) != entry["hash"]:
            faults.append(f"audit entry {entry['sequence']} was changed")
        previous = entry["hash"]
    said.append(f"{len(trail)} audit entries")


def escape(part):
    """As in a line's id: percent-encoded but for letters, digits and -._~."""
    kept = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    return "".join(chr(b) if chr(b) in kept else f"%{b:02X}" for b in (part or "").encode())


def check_retention(trail, retention):
    """What was withheld is what the audit trail says, with its balances; what is held by currency."""
    told = [(entry["reason"], entry["line_id"]) for entry in trail if entry["what"] == "RETENTION"]
    if told != [(event["kind"], event["line_id"]) for event in retention]:
        faults.append(f"the audit trail has {len(told)} retention events, which are not the {len(retention)} here")
    held = {}
    for event in retention:
        minus = event["kind"] != "HELD"
        key = (event["engagement_id"], event["currency"])
        held[key] = held.get(key, 0) + (-event["amount_minor"] if minus else event["amount_minor"])
        if event["balance_minor"] != held[key]:
            faults.append(f"retention event {event['retention_event_id']}: the balance is {held[key]}")
    said.append(f"{len(retention)} retention events")
    return held


def check_lines(trail, lines, held):
    """Ids and sums of what was billed."""
    told = {entry["line_id"] for entry in trail if entry["what"] == "LINE"}
    sums = {}
    namespace = uuid.uuid5(uuid.NAMESPACE_OID, "milepost")
    seen = set()
    for line in lines:
        name = line["line_id"]
        if line["gross_minor"] != line["retained_minor"] + line["payable_minor"]:
            faults.append(f"line {name}: gross is not retained and payable together")
        if name not in told:
            faults.append(f"line {name}: the audit trail does not know it")
        if name in seen:
            faults.append(f"line {name} is there twice")
        seen.add(name)
        if line["kind"] in ("MILESTONE", "REVERSAL", "CLAWBACK"):
            parts = ("line", line["engagement_id"], line["milestone_id"], line["occurrence_id"], "fee")
            text = "/".join([*(part if part == "line" else escape(part) for part in parts), str(line["revision"])])
            if str(uuid.uuid5(namespace, text)) != name:
                faults.append(f"line {name}: its id is not that of what it is")
        key = (line["engagement_id"], line["currency"])
        gross, payable = sums.get(key, (0, 0))
        sums[key] = (gross + line["gross_minor"], payable + line["payable_minor"])
    for missing in sorted(told - {line["line_id"] for line in lines}):
        faults.append(f"line {missing}: the audit trail has it, the dossier does not")
    for key, (gross, payable) in sums.items():
        if gross != payable + held.get(key, 0):
            faults.append(f"{key[1]}: gross {gross} is not payable {payable} and held {held.get(key, 0)} together")
    said.append(f"{len(lines)} lines")


def check_events(trail, events):
    """The events are those that the audit trail names, at the time it names."""
    named = {}
    for entry in trail:
        if (place := input_of(entry)) is not None:
            named.setdefault(place, []).append(entry)
    for event in events:
        entries = named.pop(place_of(event), None)
        if entries is None:
            faults.append(f"event {place_of(event)}: the audit trail does not name it, or it is there twice")
        elif any(entry["recorded_at"] != instant(event["timestamp_ms"] * 1000) for entry in entries):
            faults.append(f"event {place_of(event)}: the audit trail has another time")
        elif any(entry["event_id"] not in (None, event["value"].get("event_id")) for entry in entries):
            faults.append(f"event {place_of(event)}: the audit trail has another event_id")
    for place in sorted(named):
        faults.append(f"event {place}: the audit trail names it, the dossier does not have it")
    said.append(f"{len(events)} events")


def check_contracts(trail, events):
    """The terms are those that were sent and taken, of a version the last."""
    taken = {input_of(entry) for entry in trail if entry["what"] in ("APPLIED", "WAITING")}
    sent = {}
    for event in sorted(events, key=lambda one: one["offset"]):
        if event["topic"] == "engagements" and event["value"].get("contract") and place_of(event) in taken:
            contract = json.loads(event["value"]["contract"])
            sent[f"version-{contract['version']}.json"] = contract
    folder = HERE / "contracts"
    there = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    for name in sorted(sent.keys() | there.keys()):
        if name not in there:
            faults.append(f"contracts/{name} is missing")
        elif canonical(json.loads(there[name].read_text(encoding="utf-8"))) != canonical(sent.get(name)):
            faults.append(f"contracts/{name} is not what was sent")
    said.append(f"{len(there)} versions of the terms")


def check_bytes(schemas, events, outputs, records):
    """What is told of each event and of what was billed, withheld and asked is what its bytes say."""
    told = [(event, event["value"], header_of(event)) for event in events]
    for topic in OUTPUTS:
        if len(records[topic]) != len(outputs[topic]):
            faults.append(f"{topic}: {len(outputs[topic])} are told, {len(records[topic])} have bytes")
        told += [(record, value, None) for record, value in zip(records[topic], outputs[topic])]  # noqa: B905
    for record, value, header in told:
        try:
            sound = schemas.same(record["topic"], schemas.read(record["topic"], raw(record), header), value)
            fault = "its bytes say something else"
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            sound, fault = False, f"its bytes cannot be read: {error}"
        if not sound:
            faults.append(f"{record['topic']}[{record['partition']}] offset {record['offset']}: {fault}")


def check_evidence(events, lines):
    """Every document that is named is here, and is what its name says."""
    folder = HERE / "evidence"
    there = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    named = {}
    for value in [event["value"] for event in events] + lines:
        for piece in value.get("evidence") or []:
            named.setdefault(piece["sha256"], piece["name"])
    for digest in sorted(named.keys() - there.keys()):
        faults.append(f"evidence/{digest} ({named[digest]}) is named and is not here")
    for name, path in sorted(there.items()):
        if sha256(path.read_bytes()) != name:
            faults.append(f"evidence/{name} is not what its name says")
        if name not in named:
            faults.append(f"evidence/{name} is named by no event and no line")
    said.append(f"{len(there)} of {len(named)} pieces of evidence")


# ---- what was signed


def is_sealed(value, keys, what):
    """Whether an object's signature over the rest of it is that of a trusted key; else that is a fault."""
    unsigned = canonical({name: part for name, part in value.items() if name != "signature"})
    key = value.get("public_key")
    if key not in keys:
        faults.append(f"{what} is signed by {key or 'nobody'}, which you do not trust")
    elif not signed_by(bytes.fromhex(key), unsigned, bytes.fromhex(value["signature"])):
        faults.append(f"{what} is not signed by its key")
    else:
        return True
    return False


class Contents:
    """Digests over what the dossier holds, to compare with those that were signed."""

    def __init__(self, trail, events, records):
        """From the bytes alone."""
        self.trail = trail
        by_place = {place_of(event): sha256((header_of(event) or b"") + raw(event)) for event in events}
        self.named = [entry["sequence"] for entry in trail if input_of(entry) is not None]
        self.events = rolled(by_place.get(input_of(entry), "0" * 64) for entry in trail if input_of(entry) is not None)
        self.outputs = {topic: rolled(sha256(raw(one)[5:]) for one in records[topic]) for topic in OUTPUTS}
        self.covered = dict.fromkeys(OUTPUTS, 0)
        self.events_to = 0

    def compare(self, number, sequence, signed):
        """Hold it against the contents of the head in an anchor."""
        if self.events[sum(one <= sequence for one in self.named)] != signed["events"]:
            faults.append(f"anchor {number}: the events are not those that were signed")
        for topic in OUTPUTS:
            count, digest = signed[topic]
            if count >= len(self.outputs[topic]) or self.outputs[topic][count] != digest:
                faults.append(f"anchor {number}: {topic} are not the {count} that were signed")
            self.covered[topic] = max(self.covered[topic], count)
        self.events_to = max(self.events_to, sequence)

    def uncovered(self):
        """What no anchor vouches for."""
        if self.events_to < len(self.trail):
            faults.append(f"events: only those up to audit entry {self.events_to} of {len(self.trail)} are signed")
        for topic, count in self.covered.items():
            if count < len(self.outputs[topic]) - 1:
                faults.append(f"{topic}: only {count} of {len(self.outputs[topic]) - 1} are signed")


def check_anchors(engagement, trail, anchors, keys, contents):
    """The dossier is what trusted keys signed, to its end; the schemas that they vouch for."""
    hashes, previous, covered, before = {entry["sequence"]: entry["hash"] for entry in trail}, "0" * 64, 0, 0
    vouched = set()
    for number, row in enumerate(anchors, start=1):
        anchor = row["anchor"]
        if anchor["number"] != number or anchor["previous"] != previous:
            faults.append(f"anchor {number} does not follow the one before it")
        previous = sha256(canonical(anchor))
        if not is_sealed(anchor, keys, f"anchor {number}"):
            continue
        vouched |= set(anchor.get("schemas", {}).items())
        if row["head"] is None:
            continue
        name, sequence, digest, *more = row["head"]
        if not is_member(row) or name != engagement:
            faults.append(f"anchor {number}: the head is not among those that were signed")
            continue
        if hashes.get(sequence) != digest:
            faults.append(f"anchor {number}: audit entry {sequence} is not what was signed")
        for signed in more:
            if signed["before"] != before:
                faults.append(f"anchor {number}: the head in anchor {signed['before']} was left out")
            contents.compare(number, sequence, signed)
        before, covered = number, max(covered, sequence)
    said.append(f"{len(anchors)} anchors; entries up to {covered} of {len(trail)} are signed")
    if anchors:
        said.append(f"this is what was so when anchor {len(anchors)} was signed, {anchors[-1]['anchor']['signed_at']}")
    if covered < len(trail):
        faults.append(f"audit trail: only the entries up to {covered} of {len(trail)} are signed")
    contents.uncovered()
    return vouched


def check(keys):
    """Everything; the engagement."""
    manifest = parsed((HERE / "manifest.json").read_text(encoding="utf-8"))
    engagement = manifest["engagement_id"]
    check_files(manifest)
    if keys:
        is_sealed(manifest, keys, "the manifest (page, explanations, statuses, acknowledgements)")
    trail, events = rows("audit-trail.jsonl"), rows("events.jsonl")
    outputs = {topic: rows(f"{topic}.jsonl") for topic in OUTPUTS}
    records = {topic: [one for one in rows("records.jsonl") if one["topic"] == topic] for topic in OUTPUTS}
    vouched = None
    if keys:
        contents = Contents(trail, events, records)
        vouched = check_anchors(engagement, trail, rows("anchors.jsonl"), keys, contents)
    else:
        said.append("no public key was given: no signature was checked")
    schemas = Schemas(parsed((HERE / "schemas.json").read_text(encoding="utf-8")), vouched)
    check_bytes(schemas, events, outputs, records)
    check_trail(engagement, trail)
    check_events(trail, events)
    check_contracts(trail, events)
    held = check_retention(trail, outputs["retention-events"])
    check_lines(trail, outputs["invoice-lines"], held)
    check_evidence(events, outputs["invoice-lines"])
    return engagement


def main(keys):
    """Check everything; the exit status."""
    try:
        engagement = check(keys)
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        engagement = "the dossier"
        faults.append(f"a file is not what it should be: {type(error).__name__}: {error}")
    for fault in faults:
        print("FAULT", fault)
    print(f"{engagement}: {'; '.join(said)}; {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main([one for one in sys.argv[1:] if len(one) == 64]))
