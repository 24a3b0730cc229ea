"""Where YooKassa sends notifications, as far as a program may say: by a partner's OAuth token.

An ordinary shop has no such token; its owner enters address and events in the cabinet. Facts:
https://yookassa.ru/developers/api#webhook (checked October 2026): one webhook for each event.
"""

import uuid
from dataclasses import dataclass
from typing import Any, cast

import httpx
from pydantic_core import from_json

from zapisano.payments.provider import ProviderRefused, ProviderUnavailable
from zapisano.payments.yookassa import TIMEOUT
from zapisano.settings import Settings

PATH = "/webhook/yookassa"
# What we want to hear of; everything else would be kept and ignored.
EVENTS = (
    "payment.waiting_for_capture",
    "payment.succeeded",
    "payment.canceled",
    "refund.succeeded",
)


@dataclass(frozen=True)
class Webhook:
    """A registered webhook."""

    id: str
    event: str
    url: str


class Partner:
    """The few requests that take a partner's token. Close it when done."""

    def __init__(self, settings: Settings) -> None:
        """Speak as the application of the settings."""
        token = settings.yookassa_oauth_token.get_secret_value()
        self._http = httpx.AsyncClient(
            base_url=settings.yookassa_api_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def webhooks(self) -> list[Webhook]:
        """Return what is registered.

        Raises:
            ProviderUnavailable, ProviderRefused: with what to do about it.
        """
        page = await self._ask("GET", "/webhooks")
        items = cast("list[dict[str, Any]]", page.get("items", []))
        return [_webhook(item) for item in items]

    async def add(self, event: str, url: str) -> Webhook:
        """Register one event.

        Raises:
            ProviderUnavailable, ProviderRefused: with what to do about it.
        """
        return _webhook(await self._ask("POST", "/webhooks", {"event": event, "url": url}))

    async def remove(self, webhook: Webhook) -> None:
        """Forget one.

        Raises:
            ProviderUnavailable, ProviderRefused: with what to do about it.
        """
        await self._ask("DELETE", f"/webhooks/{webhook.id}")

    async def _ask(
        self, method: str, path: str, body: dict[str, str] | None = None
    ) -> dict[str, Any]:
        # A key of its own each time: repeating looks at the list first, and adds nothing twice.
        headers = {} if method == "GET" else {"Idempotence-Key": str(uuid.uuid4())}
        try:
            answer = await self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise ProviderUnavailable from error
        if answer.status_code in {401, 403}:
            raise ProviderRefused(
                f"YOOKASSA_OAUTH_TOKEN: YooKassa refuses it ({answer.status_code}); it has to be "
                "an OAuth token of a partner's application, not the shop's secret key"
            )
        if 400 <= answer.status_code < 500:
            raise ProviderRefused(f"YooKassa refuses the address ({answer.status_code}): {path}")
        if not answer.is_success:
            raise ProviderUnavailable
        try:
            return cast("dict[str, Any]", from_json(answer.content or b"{}"))
        except ValueError as error:
            raise ProviderUnavailable from error


def _webhook(item: dict[str, Any]) -> Webhook:
    return Webhook(str(item.get("id")), str(item.get("event")), str(item.get("url")))
