"""`zapisano payments webhook-register`: where YooKassa sends its notifications."""

from urllib.parse import urlsplit

from zapisano.errors import BrokenSetting, Conflict
from zapisano.ops import screen
from zapisano.payments.partner import EVENTS, PATH, Partner, Webhook
from zapisano.settings import Settings

CABINET = "https://yookassa.ru/my/merchant/integration/http-notifications"
PORTS = (None, 443, 8443)  # YooKassa's
HERE = {"127.0.0.1", "localhost"}


def address(settings: Settings) -> str:
    """Return the address that YooKassa has to know; the simulated one reaches the port itself.

    Raises:
        BrokenSetting: there is none that YooKassa could reach.
    """
    base = settings.public_url or settings.webhook_url
    parts = urlsplit(base)
    is_simulated = urlsplit(settings.yookassa_api_url).hostname in HERE
    if is_simulated and (not base or parts.hostname in HERE):
        return f"http://127.0.0.1:{settings.webhook_port}{PATH}"  # no proxy stands before it
    if not base or not (is_simulated or (parts.scheme == "https" and parts.port in PORTS)):
        raise BrokenSetting(
            "ZAPISANO_PUBLIC_URL: YooKassa sends notifications to https:// on port 443 or 8443 "
            "only; set it to such as https://booking.example.com"
        )
    return base + PATH


async def register(settings: Settings, *, replace: bool) -> None:
    """Register our address, or tell the operator what to enter where no program may.

    Raises:
        BrokenSetting: there is no address.
        Conflict: an event goes elsewhere, and `replace` does not say that it may be moved.
        ProviderRefused, ProviderUnavailable: YooKassa does not do it.
    """
    url = address(settings)
    if not settings.yookassa_oauth_token.get_secret_value():
        _tell_cabinet(url)
        return
    partner = Partner(settings)
    try:
        await _register(partner, url, replace=replace)
    finally:
        await partner.close()


def _tell_cabinet(url: str) -> None:
    """An ordinary shop: its cabinet is the only place."""
    screen.say(f"Open {CABINET} and enter:")
    screen.say(f"  URL      {url}")
    for number, event in enumerate(EVENTS):
        screen.say(f"  {'events' if number == 0 else '':<8} {event}")
    screen.note(
        "YooKassa lets no program do this for an ordinary shop. Payments arrive without it, too: "
        "we ask after each, only later."
    )


async def _register(partner: Partner, url: str, *, replace: bool) -> None:
    there = {one.event: one for one in await partner.webhooks() if one.event in EVENTS}
    foreign = [one for one in there.values() if one.url != url]
    if foreign and not replace:
        told = ", ".join(f"{one.event} goes to {one.url}" for one in foreign)
        raise Conflict(f"{told}. To move it here: zapisano payments webhook-register --replace")
    for event in EVENTS:
        screen.say(f"{event}: {await _put(partner, event, url, there.get(event))}")


async def _put(partner: Partner, event: str, url: str, there: Webhook | None) -> str:
    if there and there.url == url:
        return "was registered"
    if there:
        await partner.remove(there)
    await partner.add(event, url)
    return f"registered at {url}"
