"""Webhook signatures: the specification's vectors, PyPI's library as a second opinion, S2 to S4, S7, S8 and S10."""

import ast
import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from milepost.codec import standard_webhooks as webhooks
from milepost.codec.standard_webhooks import Key, Verified

# What the specification's implementations test themselves with; the ed25519 one is the Svix server's.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT_S = 1_614_265_330
BODY = b'{"test": 2432232314}'
HMAC_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
ED25519_SIGNATURE = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

OTHER = webhooks.secret_text(b"o" * 32)
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1, max_size=256)
keys = st.one_of(
    st.binary(min_size=24, max_size=64).map(webhooks.secret_text),
    st.binary(min_size=32, max_size=32).map(lambda seed: webhooks.key_pair(seed)[0]),
)


def key(text: str, expires_at_s: int | None = None) -> Key:
    return webhooks.read_key(text, expires_at_s)


def headers(**changed: str) -> list[tuple[str, str]]:
    """The vector's headers, some of them replaced (`id`, `timestamp`, `signature`)."""
    given = {"id": ID, "timestamp": str(AT_S), "signature": HMAC_SIGNATURE} | changed
    return [(f"webhook-{name}", value) for name, value in given.items()]


def verify(pairs: list[tuple[str, str]], body: bytes = BODY, now_s: int = AT_S, by: str = SECRET) -> Verified:
    return webhooks.verify([key(by)], pairs, body, now_s)


def test_the_specifications_vectors() -> None:
    assert webhooks.sign([key(SECRET)], ID, AT_S, BODY)["webhook-signature"] == HMAC_SIGNATURE
    assert webhooks.sign([key(PRIVATE)], ID, AT_S, BODY)["webhook-signature"] == ED25519_SIGNATURE
    assert verify(headers()) == Verified(ID, AT_S)
    for by in (PUBLIC, PRIVATE):
        assert verify(headers(signature=ED25519_SIGNATURE), by=by) == Verified(ID, AT_S)


def test_a_seed_makes_the_vectors_pair() -> None:
    seed = base64.b64decode(PRIVATE.removeprefix("whsk_"))[:32]
    assert webhooks.key_pair(seed) == (PRIVATE, PUBLIC)
    assert key("whsk_" + base64.b64encode(seed).decode()) == key(PRIVATE)


@given(st.lists(keys, min_size=1, max_size=4), ids, st.integers(0, 10**11), st.binary(max_size=200), st.data())
def test_what_is_signed_is_verified_by_each_of_its_keys(
    texts: list[str], message_id: str, at_s: int, body: bytes, data: st.DataObject
) -> None:
    signed = webhooks.sign([key(text) for text in texts], message_id, at_s, body)
    by = data.draw(st.sampled_from(texts))
    assert webhooks.verify([key(by)], signed.items(), body, at_s) == Verified(message_id, at_s)
    with pytest.raises(webhooks.NoMatchError):
        webhooks.verify([key(OTHER)], signed.items(), body, at_s)


@given(st.binary(min_size=24, max_size=64), ids, st.text(st.characters(codec="utf-8")))
def test_the_published_library_agrees_both_ways(secret: bytes, message_id: str, body: str) -> None:
    theirs, ours = standardwebhooks.Webhook(webhooks.secret_text(secret)), key(webhooks.secret_text(secret))
    now_s = int(time.time())
    signed = webhooks.sign([ours], message_id, now_s, body.encode())
    theirs.verify(body.encode(), signed, json_parse=False)
    signature = theirs.sign(message_id, datetime.fromtimestamp(now_s, UTC), body)
    assert signature == signed["webhook-signature"]
    found = webhooks.verify([ours], (signed | {"webhook-signature": signature}).items(), body.encode(), now_s)
    assert found == Verified(message_id, now_s)


def test_s2_one_changed_bit_is_refused() -> None:
    """Every bit of the body, the id and the timestamp."""
    for place, bit in product(range(len(BODY)), range(8)):
        changed = bytearray(BODY)
        changed[place] ^= 1 << bit
        with pytest.raises(webhooks.NoMatchError):
            verify(headers(), bytes(changed))
    looked = 0
    for name, value in (("id", ID), ("timestamp", str(AT_S))):
        for place, bit in product(range(len(value)), range(7)):
            text = value[:place] + chr(ord(value[place]) ^ 1 << bit) + value[place + 1 :]
            looked += 1
            with pytest.raises(webhooks.WebhookError):
                webhooks.verify([key(SECRET)], headers(**{name: text}), BODY, AT_S, tolerance_s=10**12)
    assert looked == 7 * (len(ID) + 10)


def test_s3_other_bytes_of_the_same_json_are_refused() -> None:
    with pytest.raises(webhooks.NoMatchError):
        verify(headers(), b'{"test":2432232314}')


def test_s4_the_timestamp_is_tolerated_300_seconds_either_way() -> None:
    with pytest.raises(webhooks.TooOldError):
        verify(headers(), now_s=AT_S + 301)
    with pytest.raises(webhooks.TooNewError):
        verify(headers(), now_s=AT_S - 301)
    for skew_s in (-300, -299, 299, 300):
        assert verify(headers(), now_s=AT_S + skew_s).timestamp_s == AT_S


def test_s7_a_key_in_rotation_verifies_until_it_expires() -> None:
    signed = webhooks.sign([key(SECRET), key(OTHER)], ID, AT_S, BODY).items()
    alone = webhooks.sign([key(SECRET)], ID, AT_S, BODY).items()
    old = key(SECRET, expires_at_s=AT_S + 10)
    for now_s, pairs in ((AT_S, signed), (AT_S, alone), (AT_S + 9, alone), (AT_S + 10, signed)):
        assert webhooks.verify([key(OTHER), old], pairs, BODY, now_s).message_id == ID
    with pytest.raises(webhooks.NoMatchError):
        webhooks.verify([key(OTHER), old], alone, BODY, AT_S + 10)
    with pytest.raises(webhooks.NoMatchError):
        webhooks.verify([], signed, BODY, AT_S)


def test_a_signature_counts_for_its_own_scheme_only() -> None:
    relabelled = HMAC_SIGNATURE.replace("v1,", "v9,")
    with pytest.raises(webhooks.NoMatchError):
        verify(headers(signature=relabelled))
    assert verify(headers(signature=f"{relabelled} {ED25519_SIGNATURE} {HMAC_SIGNATURE}")).message_id == ID
    # A public key is public: it is no HMAC secret, however the header is labelled.
    public = base64.b64decode(PUBLIC.removeprefix("whpk_"))
    forged = webhooks.sign([Key("v1", public)], ID, AT_S, BODY)
    with pytest.raises(webhooks.NoMatchError):
        verify(list(forged.items()), by=PUBLIC)


S8 = [
    ({"signature": ""}, webhooks.MissingHeaderError),
    ({"id": ""}, webhooks.MissingHeaderError),
    ({"timestamp": ""}, webhooks.MissingHeaderError),
    ({"signature": "v1"}, webhooks.SignatureHeaderError),
    ({"signature": "v1,"}, webhooks.SignatureHeaderError),
    ({"signature": ","}, webhooks.SignatureHeaderError),
    ({"signature": ",AAAA"}, webhooks.SignatureHeaderError),
    ({"signature": "v1,!!"}, webhooks.SignatureHeaderError),
    ({"signature": "v1,AAA"}, webhooks.SignatureHeaderError),
    ({"signature": "v1,AAAA"}, webhooks.SignatureHeaderError),
    ({"signature": "v1a,AAAA"}, webhooks.SignatureHeaderError),
    ({"signature": "v1,\u00e9\u00e9\u00e9\u00e9"}, webhooks.SignatureHeaderError),
    ({"signature": HMAC_SIGNATURE + "\0"}, webhooks.SignatureHeaderError),
    ({"signature": HMAC_SIGNATURE + " "}, webhooks.SignatureHeaderError),
    ({"signature": HMAC_SIGNATURE.replace(",", ",,")}, webhooks.SignatureHeaderError),
    ({"signature": " ".join([HMAC_SIGNATURE] * 10_000)}, webhooks.SignatureHeaderError),
    ({"signature": " ".join(["v9,A"] * 17)}, webhooks.SignatureHeaderError),
    ({"signature": "v2,AAAA"}, webhooks.NoMatchError),
    ({"signature": "v1," + "A" * 43 + "="}, webhooks.NoMatchError),
    ({"timestamp": "1614265330.0"}, webhooks.TimestampError),
    ({"timestamp": "NaN"}, webhooks.TimestampError),
    ({"timestamp": "inf"}, webhooks.TimestampError),
    ({"timestamp": "-1614265330"}, webhooks.TimestampError),
    ({"timestamp": "+1614265330"}, webhooks.TimestampError),
    ({"timestamp": " 1614265330"}, webhooks.TimestampError),
    ({"timestamp": "1_614_265_330"}, webhooks.TimestampError),
    ({"timestamp": "\u0661\u0666\u0661\u0664"}, webhooks.TimestampError),
    ({"timestamp": "9" * 5_000}, webhooks.TimestampError),
    ({"timestamp": "9" * 12}, webhooks.TooNewError),
    ({"timestamp": "0"}, webhooks.TooOldError),
    ({"id": "msg.1"}, webhooks.IdError),
    ({"id": "msg 1"}, webhooks.IdError),
    ({"id": "msg\0"}, webhooks.IdError),
    ({"id": "m" * 257}, webhooks.IdError),
    ({"id": "m\u00e9"}, webhooks.IdError),
]


@pytest.mark.parametrize(("changed", "error"), S8, ids=lambda value: repr(value)[:40])
def test_s8_each_malformed_header_is_an_error_of_its_own(changed: dict[str, str], error: type[Exception]) -> None:
    started_s = time.process_time()
    with pytest.raises(webhooks.WebhookError) as caught:
        verify(headers(**changed))
    assert type(caught.value) is error
    # Of the processor's time: how busy the machine is with other tests does not count.
    assert time.process_time() - started_s < 0.005
    assert all(value not in str(caught.value) for value in changed.values() if len(value) > 2)


def test_s8_a_header_that_is_missing_or_stands_there_twice() -> None:
    for place, name in enumerate(("webhook-id", "webhook-timestamp", "webhook-signature")):
        pairs = headers()
        missing = pairs[:place] + pairs[place + 1 :]
        with pytest.raises(webhooks.MissingHeaderError, match=name):
            verify(missing)
        with pytest.raises(webhooks.RepeatedHeaderError, match=name):
            verify([*pairs, (name.upper(), pairs[place][1])])


header_values = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["v1", "v1a", ",", " ", "=", HMAC_SIGNATURE, ED25519_SIGNATURE, str(AT_S), ID]),
    st.lists(st.sampled_from(["v1", "v1a", ",", " ", "=", "AAAA", "g0hM9SsE", "\0", "\udcff"]), max_size=30).map(
        "".join
    ),
)


@given(
    st.lists(st.tuples(st.sampled_from(["webhook-id", "Webhook-Timestamp", "webhook-signature"]), header_values)),
    st.binary(max_size=40),
)
def test_s34_whatever_the_headers_are_only_declared_errors_come_of_them(
    pairs: list[tuple[str, str]], body: bytes
) -> None:
    try:
        found = webhooks.verify([key(SECRET), key(PUBLIC)], pairs, body, AT_S)
    except webhooks.WebhookError:
        return
    assert (found, body) == (Verified(ID, AT_S), BODY)


@pytest.mark.parametrize(
    "text", ["", "whsec_", "secret", "whsec_!", "whsec_" + "A" * 31, "whpk_AAAA", "whsk_AAAA", "\u00e9_"]
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(webhooks.KeyTextError) as caught:
        key(text)
    assert len(text) < 7 or text not in str(caught.value)


def test_a_private_key_with_another_ones_public_half_is_refused() -> None:
    raw = bytearray(base64.b64decode(PRIVATE.removeprefix("whsk_")))
    raw[-1] ^= 1
    with pytest.raises(webhooks.KeyTextError):
        key("whsk_" + base64.b64encode(raw).decode())


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_are_a_public_key_that_refuses(raw: bytes) -> None:
    with pytest.raises(webhooks.NoMatchError):
        verify(headers(signature=ED25519_SIGNATURE), by="whpk_" + base64.b64encode(raw).decode())


def test_a_secret_of_the_wrong_length_is_not_made() -> None:
    for count in (0, 23, 65):
        with pytest.raises(webhooks.KeyTextError):
            webhooks.secret_text(b"x" * count)
    with pytest.raises(webhooks.KeyTextError):
        webhooks.key_pair(b"x" * 31)


def test_signing_needs_a_key_that_can_and_an_id_that_receivers_take() -> None:
    for unable in ([], [key(PUBLIC)]):
        with pytest.raises(webhooks.KeyTextError):
            webhooks.sign(unable, ID, AT_S, BODY)
    with pytest.raises(webhooks.IdError):
        webhooks.sign([key(SECRET)], "a.b", AT_S, BODY)


def test_keys_do_not_show_their_secret() -> None:
    assert "x" * 8 not in repr(Key("v1", b"x" * 32))


def test_s10_signatures_are_compared_in_constant_time() -> None:
    """By `hmac.compare_digest`, and by nothing else: no comparison in the module has a signature on one side."""
    module = ast.parse(Path(webhooks.__file__).read_text(encoding="utf-8"))
    calls = [ast.unparse(node) for node in ast.walk(module) if isinstance(node, ast.Call)]
    assert [call for call in calls if call.startswith("hmac.compare_digest")] == ["hmac.compare_digest(expected, raw)"]
    compared = [
        ast.unparse(side)
        for node in ast.walk(module)
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
    ]
    assert len(compared) > 20
    assert {"expected", "raw", "signature", "signatures"} & set(compared) == set()


def medians_ns(check: Callable[[bytes], object], runs: int) -> tuple[int, int]:
    """How long a check takes for a signature whose first byte is wrong, and for one whose last is, taken in turn."""
    right = base64.b64decode(HMAC_SIGNATURE.removeprefix("v1,"))
    wrong = (bytes([right[0] ^ 1]) + right[1:], right[:-1] + bytes([right[-1] ^ 1]))
    taken: tuple[list[int], list[int]] = ([], [])
    for _ in range(runs):
        for times, signature in zip(taken, wrong, strict=True):
            started_ns = time.perf_counter_ns()
            assert not check(signature)
            times.append(time.perf_counter_ns() - started_ns)
    return sorted(taken[0])[runs // 2], sorted(taken[1])[runs // 2]


def test_s10_the_place_of_the_wrong_byte_does_not_show_in_the_time() -> None:
    by = [key(SECRET)]

    def verified(signature: bytes) -> bool:
        try:
            webhooks.verify(by, headers(signature="v1," + base64.b64encode(signature).decode()), BODY, AT_S)
        except webhooks.NoMatchError:
            return False
        return True

    first_ns, last_ns = medians_ns(verified, 100_000)
    assert abs(first_ns - last_ns) < 0.05 * first_ns


def test_s10_a_comparison_that_stops_early_shows_in_the_time() -> None:
    """The control: what the measurement above would find."""
    right = base64.b64decode(HMAC_SIGNATURE.removeprefix("v1,"))
    first_ns, last_ns = medians_ns(lambda offered: all(a == b for a, b in zip(right, offered, strict=True)), 10_000)
    assert last_ns > 1.05 * first_ns
