"""Who a request comes from, and what its answer may show. Pure."""

from ipaddress import ip_network

import pytest

from zapisano.settings import YOOKASSA_NETWORKS, Network
from zapisano.web.sender import is_in, read_address, sender

PROXIES: tuple[Network, ...] = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
YOOKASSA: tuple[Network, ...] = tuple(ip_network(one) for one in YOOKASSA_NETWORKS.split(","))


@pytest.mark.parametrize(
    ("peer", "hops", "expected"),
    [
        ("185.71.76.1", [], "185.71.76.1"),
        ("203.0.113.9", ["185.71.76.1"], "203.0.113.9"),  # a stranger's header means nothing
        ("10.0.0.1", ["185.71.76.1"], "185.71.76.1"),
        ("10.0.0.1", ["185.71.76.1", "203.0.113.9"], "203.0.113.9"),  # the left-most is a lie
        ("10.0.0.1", ["203.0.113.9", "185.71.76.1", "10.0.0.2"], "185.71.76.1"),
        ("::ffff:10.0.0.1", ["::ffff:185.71.76.1"], "185.71.76.1"),
        ("10.0.0.1", ["", " 185.71.76.1 "], "185.71.76.1"),
        ("10.0.0.1", ["185.71.76.1", "nonsense"], None),
        ("10.0.0.1", [], "10.0.0.1"),
        ("", ["185.71.76.1"], None),
    ],
)
def test_only_what_trusted_proxies_wrote_counts(
    peer: str, hops: list[str], expected: str | None
) -> None:
    assert sender(peer, hops, PROXIES) == (read_address(expected) if expected else None)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("185.71.76.31", True),
        ("185.71.76.32", False),
        ("77.75.156.35", True),
        ("77.75.156.36", False),
        ("2a02:5180::1", True),
        ("::ffff:77.75.153.1", True),
        ("127.0.0.1", False),
        ("unknown", False),
    ],
)
def test_yookassas_published_networks(address: str, known: bool) -> None:
    assert is_in(read_address(address), YOOKASSA) is known
