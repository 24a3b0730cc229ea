"""Who may show a page in a frame, as its headers say."""

import httpx
import pytest

from zapisano.simulator.pages.framing import headers_allow_framing


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"x-frame-options": "DENY"}, False),
        ({"x-frame-options": "SAMEORIGIN"}, False),
        ({"content-security-policy": "default-src 'self'"}, True),
        ({"content-security-policy": "frame-ancestors 'none'"}, False),
        ({"content-security-policy": "img-src *; frame-ancestors 'self'; base-uri 'none'"}, False),
        ({"content-security-policy": "frame-ancestors *"}, True),
        ({"content-security-policy": "frame-ancestors 'self' http://127.0.0.1:*"}, True),
        # The policy overrides the older header.
        ({"content-security-policy": "frame-ancestors *", "x-frame-options": "DENY"}, True),
    ],
)
def test_headers_decide(headers: dict[str, str], allowed: bool) -> None:
    assert headers_allow_framing(httpx.Headers(headers), ours=False) is allowed


@pytest.mark.parametrize(
    "headers",
    [{"x-frame-options": "SAMEORIGIN"}, {"content-security-policy": "frame-ancestors 'self'"}],
)
def test_a_page_of_our_own_may_ask_for_its_own_origin(headers: dict[str, str]) -> None:
    assert headers_allow_framing(httpx.Headers(headers), ours=True)
