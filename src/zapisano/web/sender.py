"""Who really sent a request."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from fastapi import Request

from zapisano.settings import Network

Address = IPv4Address | IPv6Address


def sender_of(request: Request, trusted_proxies: Sequence[Network]) -> Address | None:
    """Return the sender's address, or None when it cannot be told.

    `X-Forwarded-For` counts only as far as trusted proxies wrote it: from the right, past every
    trusted address. What stands to the left of that was written by the sender.
    """
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    return sender(request.client.host if request.client else "", hops, trusted_proxies)


def sender(peer: str, hops: Sequence[str], trusted_proxies: Sequence[Network]) -> Address | None:
    """Return the first address from the right that is not a trusted proxy's; pure."""
    address = read_address(peer)
    for hop in reversed([hop for hop in hops if hop.strip()]):
        if address is None or not is_in(address, trusted_proxies):
            break
        address = read_address(hop)
    return address


def read_address(text: str) -> Address | None:
    """Read an address; `::ffff:a.b.c.d` is the IPv4 address it maps."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_in(address: Address | None, networks: Sequence[Network]) -> bool:
    """Say whether an address belongs to one of the networks; an unknown one never does."""
    return address is not None and any(address in network for network in networks)
