"""Bots that manage bots (Bot API 9.6 and later).

Telegram documents these methods but not their refusals: the wording of the errors is ours.
"""

from typing import cast

from zapisano.simulator.telegram.call import Call, Method
from zapisano.simulator.telegram.errors import ApiError, bad_request
from zapisano.simulator.telegram.model import Bot, Json, bot_user, new_token, person_user
from zapisano.simulator.telegram.store import accounts
from zapisano.simulator.telegram.world import World

MAX_ADDED_USERS = 10


def managed(call: Call) -> Bot:
    """Find the bot a call is about.

    Raises:
        ApiError: there is none, or another bot manages it.
    """
    bot_id = call.parameters.integer("user_id", 0)
    bot = accounts.find_bot(call.world.database, bot_id)
    if bot is None:
        raise bad_request("user not found")
    if bot.manager_id != call.bot.id or not call.bot.can_manage_bots:
        raise bad_request("the bot isn't managed by the current bot")
    return bot


def get_managed_bot_token(call: Call) -> str:
    """Tell a managed bot's token to its manager."""
    return managed(call).token


def replace_managed_bot_token(call: Call) -> str:
    """Give a managed bot a new token; the old one is refused from now on."""
    return rotate(call.world, managed(call))


def rotate(world: World, bot: Bot) -> str:
    """Change a bot's token, and let its manager hear of it."""
    token = new_token(bot.id)
    accounts.set_token(world.database, bot.id, token)
    world.end_poll(bot.id, ApiError(401, "Unauthorized"))
    tell_manager(world, bot)
    return token


def tell_manager(world: World, bot: Bot) -> None:
    """Send `Update.managed_bot`: a bot was created, or its token or owner changed."""
    manager = accounts.find_bot(world.database, bot.manager_id or 0)
    owner = accounts.find_person(world.database, bot.owner_id or 0)
    if manager is not None and owner is not None:
        event = {"user": person_user(owner), "bot": bot_user(bot)}
        world.emit(manager, owner.id, "managed_bot", event)


def get_access_settings(call: Call) -> Json:
    """Tell who may use a managed bot."""
    bot = managed(call)
    if not bot.restricted:
        return {"is_access_restricted": False}
    found = (accounts.find_person(call.world.database, one) for one in bot.added_users)
    users = [person_user(person) for person in found if person is not None]
    return {"is_access_restricted": True, "added_users": users}


def set_access_settings(call: Call) -> bool:
    """Close a managed bot to all but its owner and a few, or open it."""
    bot = managed(call)
    restricted = call.parameters.flag("is_access_restricted")
    given = call.parameters.find_list("added_user_ids") or [] if restricted else []
    if len(given) > MAX_ADDED_USERS or not all(isinstance(one, int) for one in given):
        raise bad_request("added_user_ids must be up to 10 user identifiers")
    users = cast("list[int]", given)
    if any(accounts.find_person(call.world.database, one) is None for one in users):
        raise bad_request("user not found")
    accounts.set_access(call.world.database, bot.id, restricted=restricted, added_users=users)
    return True


METHODS: dict[str, Method] = {
    "getManagedBotToken": get_managed_bot_token,
    "replaceManagedBotToken": replace_managed_bot_token,
    "getManagedBotAccessSettings": get_access_settings,
    "setManagedBotAccessSettings": set_access_settings,
}
