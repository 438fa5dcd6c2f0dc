#!/usr/bin/env python3
"""Checks a dossier without Milepost: python3 verify.py [PUBLIC_KEY ...], in the folder of the unpacked dossier.

Looks at every file's hash, the audit trail's chain, sums and retention of the lines, the ids of lines and retention
events, the evidence, and, given public keys (hex), the signed heads. Exit status 0: all is sound; 1: something is not.
"""

import hashlib
import json
import pathlib
import sys
import uuid

HERE = pathlib.Path(__file__).resolve().parent
faults, said = [], []


def canonical(value):
    """JSON as it was hashed: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(content):
    """In hex."""
    return hashlib.sha256(content).hexdigest()


def rows(name):
    """The lines of a file, read as JSON."""
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


# ---- ed25519 (RFC 8032), verifying only

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    """The sum of two points of the curve."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, point):
    """A multiple of a point."""
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def decompress(raw):
    """The point that 32 bytes stand for."""
    y, sign = int.from_bytes(raw, "little") & (1 << 255) - 1, raw[31] >> 7
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if x * x % P != x2:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != x2 or (x == 0 and sign):
        raise ValueError("no point of the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed_by(key, message, signature):
    """Whether the signature is that key's over the message."""
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    left, right = times(s, BASE), add(decompress(r), times(k, decompress(key)))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


# ---- the checks


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


def check_lines(trail, lines, retention):
    """Ids, sums and balances of what was billed and withheld."""
    told = {entry["line_id"] for entry in trail if entry["what"] == "LINE"}
    held = {}
    for event in retention:
        minus = event["kind"] != "HELD"
        key = (event["engagement_id"], event["currency"])
        held[key] = held.get(key, 0) + (-event["amount_minor"] if minus else event["amount_minor"])
        if event["balance_minor"] != held[key]:
            faults.append(f"retention event {event['retention_event_id']}: the balance is {held[key]}")
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
    said.append(f"{len(lines)} lines, {len(retention)} retention events")


def check_events(trail, events):
    """Every event that the audit trail names is here."""
    named = {
        (entry["input_topic"], entry["input_partition"], entry["input_offset"])
        for entry in trail
        if entry["input_offset"] is not None
    }
    there = {(event["topic"], event["partition"], event["offset"]) for event in events}
    for place in sorted(named - there):
        faults.append(f"event {place}: the audit trail names it, the dossier does not have it")
    said.append(f"{len(events)} events")


def check_evidence():
    """Every document is what its name says."""
    folder = HERE / "evidence"
    documents = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in documents:
        if sha256(path.read_bytes()) != path.name:
            faults.append(f"evidence/{path.name} is not what its name says")
    said.append(f"{len(documents)} pieces of evidence")


def check_anchors(engagement, trail, anchors, keys):
    """The trail contains what trusted keys signed."""
    hashes, previous, covered = {entry["sequence"]: entry["hash"] for entry in trail}, "0" * 64, 0
    for number, row in enumerate(anchors, start=1):
        anchor = row["anchor"]
        if anchor["number"] != number or anchor["previous"] != previous:
            faults.append(f"anchor {number} does not follow the one before it")
        unsigned = canonical({name: value for name, value in anchor.items() if name != "signature"})
        if anchor["public_key"] not in keys:
            faults.append(f"anchor {number} is signed by {anchor['public_key']}, which you do not trust")
        elif not signed_by(bytes.fromhex(anchor["public_key"]), unsigned, bytes.fromhex(anchor["signature"])):
            faults.append(f"anchor {number} is not signed by its key")
        previous = sha256(canonical(anchor))
        if row["head"] is None:
            continue
        node = hashlib.sha256(b"\x00" + canonical(row["head"])).digest()
        for side, beside in row["path"]:
            pair = bytes.fromhex(beside) + node if side == "left" else node + bytes.fromhex(beside)
            node = hashlib.sha256(b"\x01" + pair).digest()
        name, sequence, digest = row["head"]
        if node.hex() != anchor["root"] or name != engagement:
            faults.append(f"anchor {number}: the head is not among those that were signed")
        if hashes.get(sequence) != digest:
            faults.append(f"anchor {number}: audit entry {sequence} is not what was signed")
        covered = max(covered, sequence)
    said.append(f"{len(anchors)} anchors; entries up to {covered} of {len(trail)} are signed")


def main(keys):
    """Check everything; the exit status."""
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    engagement = manifest["engagement_id"]
    check_files(manifest)
    trail = rows("audit-trail.jsonl")
    check_trail(engagement, trail)
    check_events(trail, rows("events.jsonl"))
    check_lines(trail, rows("invoice-lines.jsonl"), rows("retention-events.jsonl"))
    check_evidence()
    if keys:
        check_anchors(engagement, trail, rows("anchors.jsonl"), keys)
    else:
        said.append("no public key was given: the signed heads were not checked")
    for fault in faults:
        print("FAULT", fault)
    print(f"{engagement}: {'; '.join(said)}; {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
