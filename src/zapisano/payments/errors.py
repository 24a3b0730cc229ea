"""Count the provider's errors where every process sees them."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from zapisano.db import CONNECTION_LOST, Database
from zapisano.errors import Busy
from zapisano.payments import store
from zapisano.telemetry import get_logger

log = get_logger("zapisano.payments")


def counting_errors(
    database: Database, now: Callable[[], datetime]
) -> Callable[[str], Awaitable[None]]:
    """Return what a provider's client tells its errors to.

    It is called between transactions, as the network is: a transaction of its own is no trap. A
    count that cannot be kept is not worth a failure.
    """

    async def count(code: str) -> None:
        try:
            async with database.shared() as conn:
                await store.count_error(conn, code, now())
        except (Busy, *CONNECTION_LOST) as error:
            log.warning("error_not_counted", code=code, reason=type(error).__name__)

    return count
