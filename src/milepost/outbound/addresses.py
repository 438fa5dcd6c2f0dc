"""Which addresses are the public internet. The list is our own: what `ipaddress` calls global changes with Python.

An IPv4 address inside an IPv6 one counts as the IPv4 address. Of IPv6, only what IANA has given out as global unicast
is public, less what is reserved inside it. RFC 6890 and IANA's special-purpose registries of both families.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["Address", "refusal"]

Address = IPv4Address | IPv6Address

_IPV4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared by a carrier's customers",
    "127.0.0.0/8": "this machine",
    "168.63.129.16/32": "a cloud's own service",  # Azure's, a public address in name only
    "169.254.0.0/16": "link-local, where clouds keep their metadata",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved for protocols",
    "192.0.2.0/24": "for documentation",
    "192.88.99.0/24": "a retired relay",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
_IPV6 = {
    "2001::/23": "reserved for protocols",  # Teredo among them, which hides an IPv4 address
    "2001:db8::/32": "for documentation",
    "2002::/16": "6to4, which hides an IPv4 address",
    "3fff::/20": "for documentation",
}
_REFUSED_4 = [(IPv4Network(network), why) for network, why in _IPV4.items()]
_REFUSED_6 = [(IPv6Network(network), why) for network, why in _IPV6.items()]
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# What a network without IPv4 makes of a public IPv4 address.
_TRANSLATED = IPv6Network("64:ff9b::/96")


def refusal(address: str | Address) -> str | None:
    """Why an address is not the public internet, or None where it is. Raises ValueError for text that is none."""
    parsed = ip_address(address) if isinstance(address, str) else address
    if isinstance(parsed, IPv6Address):
        inner = parsed.ipv4_mapped
        if inner is None and parsed in _TRANSLATED:
            inner = IPv4Address(int(parsed) & 0xFFFF_FFFF)
        if inner is None:
            return _refusal_6(parsed)
        parsed = inner
    return next((why for network, why in _REFUSED_4 if parsed in network), None)


def _refusal_6(address: IPv6Address) -> str | None:
    if address.scope_id is not None or address not in _GLOBAL_UNICAST:
        return "not global unicast"
    return next((why for network, why in _REFUSED_6 if address in network), None)
