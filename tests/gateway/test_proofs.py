"""Senders that do not speak Standard Webhooks prove themselves in their own ways; tests S8, S10 and S34 for these."""

import ast
import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.codec import standard_webhooks
from milepost.gateway import proofs
from milepost.gateway.proofs import PROOFS, Request, SecretTextError, check_secret, new_secret

NOW_S = 1_772_000_000
BODY = b'{"id": 1}'
# GitHub's own example, "Validating webhook deliveries".
GITHUB_SECRET, GITHUB_BODY = "It's a Secret to Everybody", b"Hello, World!"
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
SECRET, OTHER = "a-secret-of-the-sender", "another-secret-of-the-sender"


def hexdigest(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def signed(proof: str, secret: str, body: bytes = BODY, at_s: int = NOW_S) -> list[tuple[str, str]]:
    """The headers with which a sender proves itself."""
    match proof:
        case "github":
            return [("X-Hub-Signature-256", f"sha256={hexdigest(secret, body)}")]
        case "stripe":
            return [("Stripe-Signature", f"t={at_s},v1={hexdigest(secret, f'{at_s}.'.encode() + body)},v0=0f")]
        case "bearer":
            return [("Authorization", f"Bearer {secret}")]
        case "basic":
            return [("Authorization", "Basic " + base64.b64encode(secret.encode()).decode())]
    return list(standard_webhooks.sign([standard_webhooks.read_key(secret)], "msg_1", at_s, body).items())


def verify(
    proof: str, headers: list[tuple[str, str]], body: bytes = BODY, *secrets: str, now_s: int = NOW_S
) -> str | None:
    return PROOFS[proof].verify(secrets or (SECRET,), Request([("accept", "*/*"), *headers], body), now_s)


def test_githubs_own_example() -> None:
    assert verify("github", [("X-Hub-Signature-256", GITHUB_SIGNATURE)], GITHUB_BODY, GITHUB_SECRET) is None
    with pytest.raises(standard_webhooks.NoMatchError):
        verify("github", [("X-Hub-Signature-256", GITHUB_SIGNATURE)], GITHUB_BODY + b"!", GITHUB_SECRET)


@pytest.mark.parametrize("proof", PROOFS)
def test_each_proof_takes_any_secret_in_force_and_no_other(proof: str) -> None:
    first, second, third = (new_secret(proof, "sender") for _ in range(3))
    assert verify(proof, signed(proof, second), BODY, first, second) == (
        "msg_1" if proof == "standard-webhooks" else None
    )
    with pytest.raises(standard_webhooks.NoMatchError):
        verify(proof, signed(proof, third), BODY, first, second)
    with pytest.raises(standard_webhooks.NoMatchError):
        PROOFS[proof].verify([], Request(signed(proof, first), BODY), NOW_S)


@pytest.mark.parametrize("proof", ["standard-webhooks", "github", "stripe"])
def test_a_signature_is_over_the_bytes(proof: str) -> None:
    secret = new_secret(proof, "sender")
    with pytest.raises(standard_webhooks.NoMatchError):
        verify(proof, signed(proof, secret), b'{"id":1}', secret)


def test_stripe_signs_its_time_and_several_signatures_are_one_rotation() -> None:
    for skew_s, error in ((301, standard_webhooks.TooOldError), (-301, standard_webhooks.TooNewError)):
        with pytest.raises(error):
            verify("stripe", signed("stripe", SECRET), now_s=NOW_S + skew_s)
    (header,) = signed("stripe", SECRET)
    old = hexdigest(OTHER, f"{NOW_S}.".encode() + BODY)
    assert verify("stripe", [(header[0], f"{header[1]},v1={old}")], BODY, OTHER) is None
    with pytest.raises(standard_webhooks.NoMatchError):
        verify("stripe", [(header[0], header[1].replace(f"t={NOW_S}", f"t={NOW_S + 1}"))])


S8 = [
    ("github", "", standard_webhooks.MissingHeaderError),
    ("github", "sha1=" + "a" * 64, standard_webhooks.SignatureHeaderError),
    ("github", "sha256=", standard_webhooks.SignatureHeaderError),
    ("github", "sha256=" + "A" * 64, standard_webhooks.SignatureHeaderError),
    ("github", "sha256=" + "a" * 63, standard_webhooks.SignatureHeaderError),
    ("github", "sha256=" + "a" * 64, standard_webhooks.NoMatchError),
    ("github", "\u00e9" * 10, standard_webhooks.SignatureHeaderError),
    ("stripe", "t", standard_webhooks.SignatureHeaderError),
    ("stripe", "t=,v1=", standard_webhooks.SignatureHeaderError),
    ("stripe", "v1=" + "a" * 64, standard_webhooks.TimestampError),
    ("stripe", f"t={NOW_S},t={NOW_S}", standard_webhooks.TimestampError),
    ("stripe", "t=NaN,v1=" + "a" * 64, standard_webhooks.TimestampError),
    ("stripe", f"t={NOW_S},v1=!!", standard_webhooks.SignatureHeaderError),
    ("stripe", f"t={NOW_S}", standard_webhooks.NoMatchError),
    ("stripe", f"t={NOW_S}" + ",v1=a" * 10_000, standard_webhooks.SignatureHeaderError),
    ("bearer", "Basic abc", standard_webhooks.SignatureHeaderError),
    ("bearer", "Bearer ", standard_webhooks.SignatureHeaderError),
    ("bearer", "Bearer a b", standard_webhooks.SignatureHeaderError),
    ("bearer", "Bearer " + SECRET[:-1], standard_webhooks.NoMatchError),
    ("basic", "Basic !!", standard_webhooks.SignatureHeaderError),
    ("basic", "Basic " + base64.b64encode(b"nobody").decode(), standard_webhooks.SignatureHeaderError),
    ("basic", "Basic " + base64.b64encode(b"\xff:\xff").decode(), standard_webhooks.SignatureHeaderError),
    ("basic", "Basic " + base64.b64encode(b"me:you").decode(), standard_webhooks.NoMatchError),
]
NAMES = {
    "github": "x-hub-signature-256",
    "stripe": "stripe-signature",
    "bearer": "authorization",
    "basic": "authorization",
}


@pytest.mark.parametrize(("proof", "value", "error"), S8, ids=lambda value: str(value)[:30])
def test_s8_malformed_headers(proof: str, value: str, error: type[Exception]) -> None:
    with pytest.raises(standard_webhooks.WebhookError) as caught:
        verify(proof, [(NAMES[proof], value)])
    assert type(caught.value) is error


@pytest.mark.parametrize("proof", PROOFS)
def test_s8_a_header_twice_is_refused(proof: str) -> None:
    secret = new_secret(proof, "sender")
    with pytest.raises(standard_webhooks.RepeatedHeaderError):
        verify(proof, signed(proof, secret) * 2, BODY, secret)


@given(
    st.sampled_from(sorted(NAMES)),
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(["t=", "v1=", ",", "sha256=", "Bearer ", "Basic ", "a" * 64, "YTpi", "\0", "=", "1772000000"])
    ).map("".join),
)
def test_s34_any_header_is_a_declared_error(proof: str, value: str) -> None:
    with pytest.raises(standard_webhooks.WebhookError):
        verify(proof, [(NAMES[proof], value)])


def test_s10_secrets_are_compared_in_constant_time() -> None:
    module = ast.parse(Path(proofs.__file__).read_text(encoding="utf-8"))
    calls = [ast.unparse(node) for node in ast.walk(module) if isinstance(node, ast.Call)]
    assert [call for call in calls if "compare_digest" in call] == ["hmac.compare_digest(one.encode(), other.encode())"]
    compared = {
        ast.unparse(side)
        for node in ast.walk(module)
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
    }
    assert (
        compared & {"expected", "offered", "one", "other", "signature", "signatures", "token", "texts", "text"} == set()
    )


@pytest.mark.parametrize("proof", PROOFS)
def test_a_made_secret_is_long_and_never_the_same(proof: str) -> None:
    made = {new_secret(proof, "sender") for _ in range(20)}
    assert len(made) == 20
    for text in made:
        check_secret(proof, text)
    assert min(map(len, made)) >= 43


@pytest.mark.parametrize(
    ("proof", "text"),
    [
        ("github", "short"),
        ("bearer", "with a space in between"),
        ("bearer", "x" * 513),
        ("basic", "user:short"),
        ("basic", "x" * 40),
        ("stripe", "\u00e9" * 20),
        ("standard-webhooks", "whsec_AAAA"),
    ],
)
def test_a_secret_that_is_none_is_refused_without_repeating_it(proof: str, text: str) -> None:
    with pytest.raises(SecretTextError) as caught:
        check_secret(proof, text)
    assert text not in str(caught.value)
