"""Not faster than the provider likes: a limit of our own, and the pause that it asks for.

Every process counts together where there is a Redis. YooKassa publishes no limit; when it answers
429 it says how long to wait, and until then nobody of this process asks: a settle for each of a
hundred notifications must not become a hundred refusals.
"""

import asyncio
import time

from zapisano.limits import Limiter, TooMany
from zapisano.payments.provider import ProviderUnavailable
from zapisano.settings import Settings

# A longer wait is a job's to bear, which waits without holding anything.
PATIENCE_SECONDS = 5.0
LONGEST_NAP_SECONDS = 1.0


class Pace:
    """When one shop may ask next. Close it when done."""

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing asked."""
        self._limiter = Limiter(settings)
        self._limit = settings.yookassa_pace
        self._shop = settings.yookassa_shop_id
        self._pause_until = 0.0

    async def turn(self) -> None:
        """Wait until it is our turn to ask.

        Raises:
            ProviderUnavailable: that is too far away; nothing was asked.
        """
        give_up = time.monotonic() + PATIENCE_SECONDS
        while (pause := await self._pause()) > 0:
            if time.monotonic() + pause > give_up:
                raise ProviderUnavailable(
                    "The payment service has asked for a pause.", retry_after_seconds=pause
                )
            await asyncio.sleep(min(pause, LONGEST_NAP_SECONDS))

    def pause(self, seconds: float) -> None:
        """Let nobody ask for so long; the longest of several pauses counts."""
        self._pause_until = max(self._pause_until, time.monotonic() + seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._limiter.close()

    async def _pause(self) -> float:
        """Return how long to wait before asking again whether one may, in seconds; 0: go on."""
        if (left := self._pause_until - time.monotonic()) > 0:
            return left
        try:
            await self._limiter.hit("yookassa", self._limit, self._shop, fail_open=True)
        except TooMany as error:
            return max(error.retry_after_seconds or 0.0, 0.01)
        return 0.0
