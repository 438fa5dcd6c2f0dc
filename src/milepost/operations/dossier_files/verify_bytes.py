"""What `verify.py` reads and judges bytes with: JSON, hashes, Merkle paths, ed25519, Avro. It needs only Python."""

import datetime
import hashlib
import json
import uuid

# ---- JSON and hashes


def canonical(value):
    """JSON as it was hashed: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(content):
    """In hex."""
    return hashlib.sha256(content).hexdigest()


def unique(pairs):
    """An object in which no name is there twice: two readers could see two values."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name is there twice in one object")
    return dict(pairs)


def parsed(text):
    """What is JSON."""
    return json.loads(text, object_pairs_hook=unique)


def rolled(hashes):
    """The digests over the first none, one, two ... of the hashes."""
    found = ["0" * 64]
    for one in hashes:
        found.append(sha256((found[-1] + one).encode()))
    return found


def is_member(row):
    """Whether the way from a head leads to the root that was signed."""
    node = hashlib.sha256(b"\x00" + canonical(row["head"])).digest()
    for side, beside in row["path"]:
        pair = bytes.fromhex(beside) + node if side == "left" else node + bytes.fromhex(beside)
        node = hashlib.sha256(b"\x01" + pair).digest()
    return node.hex() == row["anchor"]["root"]


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


# ---- Avro, as far as the records use it

RECORD_OF = {
    "engagements": "EngagementEvent",
    "milestone-events": "MilestoneEvent",
    "kpi-events": "KpiEvent",
    "regulator-acceptances": "RegulatorDecision",
    "approvals": "ApprovalDecision",
    "usage-events": "UsageEvent",
    "dispute-events": "DisputeEvent",
    "clock-ticks": "ClockTick",
    "invoice-lines": "InvoiceLine",
    "retention-events": "RetentionEvent",
    "approval-requests": "ApprovalRequest",
}
OUTPUTS = ("invoice-lines", "retention-events", "approval-requests")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)  # noqa: UP017 (Python 3.9)


def instant(micros):
    """ISO 8601; the number itself where no calendar has that year."""
    try:
        return (EPOCH + datetime.timedelta(microseconds=micros)).isoformat(timespec="microseconds")[:-6] + "Z"
    except OverflowError:
        return micros


class Body:
    """Bytes, read from their beginning by a schema into what JSON says of them."""

    def __init__(self, data):
        """At the beginning."""
        self.data, self.at, self.named = data, 0, {}

    def take(self, count):
        """The next bytes."""
        self.at += count
        if count < 0 or self.at > len(self.data):
            raise ValueError("the bytes end too early")
        return self.data[self.at - count : self.at]

    def number(self):
        """A zigzag number."""
        found = shift = 0
        while True:
            byte = self.take(1)[0]
            found, shift = found | (byte & 127) << shift, shift + 7
            if byte < 128:
                return found >> 1 ^ -(found & 1)

    def value(self, schema):
        """The next value."""
        if isinstance(schema, list):
            return self.value(schema[self.number()])
        if isinstance(schema, str):
            schema = self.named.get(schema.rpartition(".")[2], {"type": schema})
        kind = schema["type"]
        if "name" in schema:
            self.named[schema["name"]] = schema
        if kind == "null":
            return None
        if kind == "string":
            return self.take(self.number()).decode()
        if kind in ("int", "long"):
            number, logical = self.number(), schema.get("logicalType")
            if logical == "date":
                return (EPOCH + datetime.timedelta(days=number)).date().isoformat()
            return instant(number) if logical == "timestamp-micros" else number
        if kind == "enum":
            return schema["symbols"][self.number()]
        if kind == "record":
            return {field["name"]: self.value(field["type"]) for field in schema["fields"]}
        if kind in ("array", "map"):
            return self.blocks(schema)
        return self.value(kind)

    def blocks(self, schema):
        """A list, or an object of strings."""
        found = []
        while count := self.number():
            if count < 0:
                count, _ = -count, self.number()
            for _ in range(count):
                name = self.take(self.number()).decode() if schema["type"] == "map" else None
                found.append((name, self.value(schema["values" if schema["type"] == "map" else "items"])))
        return dict(found) if schema["type"] == "map" else [one for _, one in found]


class Schemas:
    """The schemas of the dossier by id; with `vouched`, pairs of id and SHA-256, only those that were signed."""

    def __init__(self, definitions, vouched):
        """From schemas.json."""
        self.known, self.guids = {}, {}
        for number, definition in definitions.items():
            digest = sha256(canonical(definition))
            if vouched is None or (number, digest) in vouched:
                self.known[number] = definition
                self.guids[uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_OID, "milepost"), digest)] = definition

    def read(self, topic, value, header):
        """What the value of a record says, and the schema."""
        if header is not None and header[:1] == b"\x01":
            schema, body = self.guids.get(uuid.UUID(bytes=header[1:])), value
        else:
            prefix, body = (value[:5], value[5:]) if header is None else (header, value)
            if prefix[:1] != b"\x00" or len(prefix) != 5:
                raise ValueError("no schema is named")
            schema = self.known.get(str(int.from_bytes(prefix[1:], "big")))
        if schema is None or schema["name"] != RECORD_OF[topic]:
            raise ValueError("no signed schema of this record has its id")
        found = Body(body)
        read = found.value(schema)
        if found.at != len(body):
            raise ValueError("bytes are left over")
        return read

    def same(self, topic, read, told):
        """Whether that is what is told; a version may lack fields of another one, which have their default then."""
        versions = [
            {field["name"]: field.get("default") for field in schema["fields"]}
            for schema in self.known.values()
            if schema["name"] == RECORD_OF[topic]
        ]
        if not isinstance(told, dict):
            return False
        for name in read.keys() | told.keys():
            defaults = [version[name] for version in versions if name in version]
            if name in read and name in told:
                sound = canonical(read[name]) == canonical(told[name])
            elif name in told:
                sound = any(canonical(told[name]) == canonical(default) for default in defaults)
            else:
                sound = len(defaults) < len(versions)
            if not sound:
                return False
        return True
