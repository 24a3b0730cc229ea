"""May the phone's own browser show an address in a frame? Only the page's headers know."""

import re

import httpx

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
FRAME_ANCESTORS = re.compile(r"frame-ancestors\s+([^;]*)", re.IGNORECASE)


def headers_allow_framing(headers: httpx.Headers, *, ours: bool) -> bool:
    """Read X-Frame-Options and CSP frame-ancestors as a browser would; `ours`: our own origin.

    Source: https://www.w3.org/TR/CSP3/#directive-frame-ancestors (it overrides X-Frame-Options).
    """
    ancestors = FRAME_ANCESTORS.search(headers.get("content-security-policy", ""))
    if ancestors:
        sources = set(ancestors.group(1).split())
        allowing = {"*", "http:", "'self'"} if ours else {"*", "http:"}
        return any(source in allowing or "127.0.0.1" in source for source in sources)
    same = headers.get("x-frame-options", "").upper() == "SAMEORIGIN"
    return (ours and same) or "x-frame-options" not in headers


async def may_be_framed(client: httpx.AsyncClient, url: str, *, own_port: int) -> bool:
    """Ask the page itself when it lives on this machine; any other site opens in its own tab."""
    try:
        address = httpx.URL(url)
        if address.host not in LOOPBACK:
            return False
        async with client.stream("GET", url) as response:
            return headers_allow_framing(response.headers, ours=address.port == own_port)
    except (httpx.InvalidURL, httpx.TransportError):
        return False
