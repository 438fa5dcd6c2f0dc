"""Where calls may go: S23's list of spellings, and whatever else a URL can be."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milepost.outbound.addresses import refusal
from milepost.outbound.destinations import Destinations, RefusedError

PUBLIC = Destinations()

S23 = [
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://169.254.169.254/latest/meta-data/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:a00:1]/",
    "gopher://127.0.0.1:70/x",
    "file:///etc/passwd",
]
OTHERS = [
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://0x7f.0.0.1/",
    "https://127.0.0.1./",
    "https://1.2.3.4.5/",
    "https://localhost/",
    "https://localhost./",
    "https://intranet/",
    "https://example.org./",
    "https://10.0.0.1/",
    "https://example.com:0/",
    "https://100.100.100.200/",
    "https://192.168.1.1:8443/",
    "https://0.0.0.0/",
    "https://255.255.255.255/",
    "https://[::]/",
    "https://[fe80::1%25eth0]/",
    "https://[fd00:ec2::254]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://[0:0:0:0:0:ffff:7f00:0001]/",
    "https://user:secret@example.org/",
    "https://@example.org/",
    "https://example.org#@10.0.0.1/",
    "https://example.org\\@10.0.0.1/",
    "https://example.org\t.evil.test/",
    "https://ex%61mple.org/",
    "https://EXAMPLE.org\u3002test/",
    "https://\u2460\u2461\u2466.0.0.1/",
    "https://example.org:99999/",
    "https://example.org:0x50/",
    "https:///example.org/",
    "https://",
    "//example.org/",
    "http://example.org/",
    "ftp://example.org/",
    "https://exa_mple.org/",
    "https://-example.org/",
    "https://" + "a" * 64 + ".org/",
    "https://example.org/" + "a" * 2_000,
    "",
]


@pytest.mark.parametrize("url", S23 + OTHERS)
def test_s23_refused_by_its_spelling(url: str) -> None:
    with pytest.raises(RefusedError):
        PUBLIC.target(url)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.org", "example.org", 443),
        ("https://Hooks.Example.org:8443/in?token=a%2Fb", "hooks.example.org", 8443),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
        ("https://93.184.216.34/", "93.184.216.34", 443),
        ("https://[2606:2800:220:1::1]:444/x", "2606:2800:220:1::1", 444),
    ],
)
def test_what_is_public_may_be_called(url: str, host: str, port: int) -> None:
    target = PUBLIC.target(url)
    assert (target.host, target.port, target.admitted) == (host, port, False)
    assert str(target.url) == url


def test_the_operator_admits_hosts() -> None:
    admitting = Destinations(admitted=frozenset({"127.0.0.1:8080", "crm", "[::1]:9"}))
    assert admitting.target("http://127.0.0.1:8080/hook").admitted
    assert admitting.target("https://crm/hook").admitted
    assert admitting.target("http://[::1]:9/hook").admitted
    for url in ("http://127.0.0.1:8081/", "http://localhost:8080/", "https://[::1]/", "http://0x7f000001:8080/"):
        with pytest.raises(RefusedError):
            admitting.target(url)


def test_an_allow_list_leaves_nothing_else() -> None:
    only = Destinations(only=("*.example.org", "partner.test"), admitted=frozenset({"10.0.0.7:9000"}))
    for url in ("https://hooks.example.org/", "https://partner.test/", "http://10.0.0.7:9000/"):
        assert only.target(url)
    for url in ("https://example.com/", "https://example.org/", "https://evil.test/?hooks.example.org"):
        with pytest.raises(RefusedError, match="MILEPOST_OUTBOUND_ONLY_HOSTS"):
            only.target(url)


def test_a_refusal_names_the_way_out() -> None:
    with pytest.raises(RefusedError, match=r"add 10\.0\.0\.1:443 to MILEPOST_OUTBOUND_ADMITTED_HOSTS"):
        PUBLIC.target("https://10.0.0.1/")
    with pytest.raises(RefusedError, match=r"link-local.*add \[fe80::1\]:8 to|global unicast.*add \[fe80::1\]:8 to"):
        PUBLIC.target("https://[fe80::1]:8/")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert refusal(address) is None


@given(st.ip_addresses())
@example(ipaddress.ip_address("100.64.0.1"))
@example(ipaddress.ip_address("fec0::1"))
def test_nothing_special_counts_as_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Python's own judgement, of whatever version, never finds special what we call public."""
    inner = getattr(address, "ipv4_mapped", None)
    special = any(
        getattr(each, kind)
        for each in (address if inner is None else inner,)
        for kind in ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_reserved", "is_unspecified")
    )
    translated = address.version == 6 and address in ipaddress.ip_network("64:ff9b::/96")
    if special and not translated:
        assert refusal(address) is not None


@given(st.one_of(st.text(), st.text("https:/[]@.0123456789abcx%\\#?").map("https://".__add__)))
@example("https://[")
@example("https://[::1")
@example("https://a]b/")
@example("https://٣.example/")
def test_s34_no_text_does_anything_else_than_be_refused_or_lead_out(text: str) -> None:
    try:
        target = PUBLIC.target(text)
    except RefusedError as error:
        assert str(error)
    else:
        assert "." in target.host or ":" in target.host
        assert target.url.scheme == "https"
