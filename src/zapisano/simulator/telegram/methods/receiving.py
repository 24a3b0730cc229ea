"""How a bot hears of things: webhook or long polling. And files it may fetch."""

import asyncio
import re
from typing import cast
from urllib.parse import SplitResult, urlsplit

from zapisano.simulator.telegram.call import Call, Method, Told
from zapisano.simulator.telegram.errors import ApiError, bad_request
from zapisano.simulator.telegram.markup import LOOPBACK
from zapisano.simulator.telegram.methods.sending import file_object
from zapisano.simulator.telegram.model import Json, present
from zapisano.simulator.telegram.store import accounts, chats, updates
from zapisano.simulator.telegram.store.database import transaction
from zapisano.simulator.telegram.world import Poll

SECRET = re.compile(r"[A-Za-z0-9_-]{0,256}")
DEFAULT_CONNECTIONS = 40
MAX_CONNECTIONS = 100
MAX_UPDATES = 100
MAX_POLL_SECONDS = 50
HOOKED = (
    "Conflict: can't use getUpdates method while webhook is active;"
    " use deleteWebhook to delete the webhook first"
)
ANOTHER = (
    "Conflict: terminated by other getUpdates request;"
    " make sure that only one bot instance is running"
)


def set_webhook(call: Call) -> object:
    """Post updates to an address from now on; an empty address means long polling."""
    given, world, bot = call.parameters, call.world, call.bot
    if not given.has("url"):
        return delete_webhook(call)
    url = given.text("url")
    check_address(urlsplit(url))
    secret = given.text("secret_token")
    if SECRET.fullmatch(secret) is None:
        raise bad_request("secret token contains unallowed characters")
    connections = given.integer("max_connections", DEFAULT_CONNECTIONS)
    kinds = wanted_updates(call)
    world.take_turn({("webhook", bot.id): world.limits.webhook})
    if kinds is not None:
        accounts.set_allowed_updates(world.database, bot.id, kinds)
    accounts.set_webhook(
        world.database,
        bot.id,
        url=url,
        secret_token=secret,
        max_connections=min(max(connections, 1), MAX_CONNECTIONS),
    )
    drop_if_asked(call)
    world.end_poll(bot.id, ApiError(409, "Conflict: terminated by setWebhook request"))
    world.deliveries.hurry(bot.id)
    return Told(result=True, description="Webhook was set")


def check_address(url: SplitResult) -> None:
    """Check where a webhook shall be.

    The real one wants HTTPS on ports 443, 80, 88 or 8443. This one posts to this machine only, by
    plain HTTP on any port, so that nothing ever leaves it.

    Raises:
        ApiError: the address is none of this machine's.
    """
    if url.scheme not in ("http", "https") or not url.hostname:
        raise bad_request("bad webhook: HTTPS url must be provided for webhook")
    if url.hostname not in LOOPBACK:
        raise bad_request("bad webhook: Failed to resolve host: Name or service not known")
    if url.scheme != "http":
        raise bad_request("bad webhook: this simulator speaks plain HTTP to this machine")


def delete_webhook(call: Call) -> object:
    """Go back to long polling."""
    known = accounts.find_webhook(call.world.database, call.bot.id)
    accounts.delete_webhook(call.world.database, call.bot.id)
    drop_if_asked(call)
    word = "Webhook was deleted" if known else "Webhook is already deleted"
    return Told(result=True, description=word)


def drop_if_asked(call: Call) -> None:
    """Forget the updates that wait, if the call says so."""
    if call.parameters.flag("drop_pending_updates"):
        updates.drop(call.world.database, call.bot.id)


def wanted_updates(call: Call) -> list[str] | None:
    """Read which updates the bot wants; nothing means as before."""
    given = call.parameters.find_list("allowed_updates")
    if given is None:
        return None
    return sorted({str(kind) for kind in cast("list[object]", given)})


def get_webhook_info(call: Call) -> Json:
    """Tell how the delivery goes."""
    world, bot = call.world, call.bot
    updates.expire(world.database, bot.id, world.now())
    webhook = accounts.find_webhook(world.database, bot.id)
    info: Json = {
        "url": webhook.url if webhook else "",
        "has_custom_certificate": False,
        "pending_update_count": updates.count(world.database, bot.id),
    }
    if webhook is not None:
        info |= present(
            ip_address="127.0.0.1",
            max_connections=webhook.max_connections,
            last_error_date=webhook.last_error_at,
            last_error_message=webhook.last_error,
        )
    if bot.allowed_updates:
        info["allowed_updates"] = list(bot.allowed_updates)
    return info


def get_file(call: Call) -> Json:
    """Tell where to fetch a file."""
    file = chats.find_file(call.world.database, call.parameters.text("file_id"))
    if file is None or file.bot_id != call.bot.id:
        raise bad_request("invalid file_id")
    return {**file_object(file), "file_path": file.path}


async def get_updates(call: Call) -> list[Json]:
    """Wait for updates, up to the given seconds; a newer getUpdates sends this one away.

    Raises:
        ApiError: 409, the bot has a webhook or polls elsewhere.
    """
    world, bot, given = call.world, call.bot, call.parameters
    with transaction(world.database):
        begin_poll(call)
    limit = min(max(given.integer("limit", MAX_UPDATES), 1), MAX_UPDATES)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(max(given.integer("timeout", 0), 0), MAX_POLL_SECONDS)
    world.end_poll(bot.id, ApiError(409, ANOTHER))
    poll = world.polls[bot.id] = Poll()
    try:
        while poll.ended is None:
            poll.news.clear()
            found = updates.pending(world.database, bot.id, limit)
            left = deadline - loop.time()
            if found or left <= 0 or world.stopping:
                return [update.body for update in found]
            try:
                async with asyncio.timeout(left):
                    await poll.news.wait()
            except TimeoutError:
                continue
        raise poll.ended
    finally:
        if world.polls.get(bot.id) is poll:
            del world.polls[bot.id]


def begin_poll(call: Call) -> None:
    """Check that the bot may poll, keep its wishes and forget what it has confirmed."""
    database, bot_id = call.world.database, call.bot.id
    if accounts.find_webhook(database, bot_id) is not None:
        raise ApiError(409, HOOKED)
    kinds = wanted_updates(call)
    if kinds is not None:
        accounts.set_allowed_updates(database, bot_id, kinds)
    updates.expire(database, bot_id, call.world.now())
    offset = call.parameters.integer("offset", 0)
    if offset > 0:
        updates.confirm_before(database, bot_id, offset)
    elif offset < 0:
        updates.keep_last(database, bot_id, -offset)


METHODS: dict[str, Method] = {
    "setWebhook": set_webhook,
    "deleteWebhook": delete_webhook,
    "getWebhookInfo": get_webhook_info,
    "getFile": get_file,
}
