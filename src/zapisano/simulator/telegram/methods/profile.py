"""What a bot says about itself: name, descriptions, commands, menu button. And whom it talks to."""

import json
import re
from collections.abc import Callable
from typing import Any, cast

from zapisano.simulator.telegram.call import Call, Method, recipient
from zapisano.simulator.telegram.errors import bad_request
from zapisano.simulator.telegram.formatting import units
from zapisano.simulator.telegram.markup import check_web_app
from zapisano.simulator.telegram.model import Json, bot_user, private_chat
from zapisano.simulator.telegram.store import accounts, chats

COMMAND = re.compile(r"[a-z0-9_]{1,32}")
MAX_COMMANDS = 100
MAX_COMMAND_DESCRIPTION = 256
LANGUAGE = re.compile(r"([a-z]{2})?")
NO_GIFTS = {
    "unlimited_gifts": False,
    "limited_gifts": False,
    "unique_gifts": False,
    "premium_subscription": False,
    "gifts_from_channels": False,
}


def get_me(call: Call) -> Json:
    """Tell the bot about itself."""
    return {
        **bot_user(call.bot),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
        "can_manage_bots": call.bot.can_manage_bots,
    }


def get_chat(call: Call) -> Json:
    """Tell about a person the bot talks to, in the fields that ChatFullInfo must have."""
    return {
        **private_chat(recipient(call)),
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": NO_GIFTS,
    }


def language(call: Call) -> str:
    """Read the language a setting is for; none means every other language."""
    code = call.parameters.text("language_code")
    if LANGUAGE.fullmatch(code) is None:
        raise bad_request("invalid language code specified")
    return code


def commands_field(scope: Json | None) -> str:
    """Name the place where the commands of a scope are kept."""
    return f"commands {json.dumps(scope or {'type': 'default'}, sort_keys=True)}"


def set_my_commands(call: Call) -> bool:
    """Say which commands the menu shows, for one scope and one language."""
    given = call.parameters.find_list("commands") or []
    if len(given) > MAX_COMMANDS:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    commands = [checked_command(item) for item in given]
    keep_commands(call, json.dumps(commands, ensure_ascii=False) if commands else "")
    return True


def delete_my_commands(call: Call) -> bool:
    """Forget the commands of one scope and language."""
    keep_commands(call, "")
    return True


def keep_commands(call: Call, value: str) -> None:
    """Store a scope's commands and show them."""
    field = commands_field(call.parameters.find_object("scope"))
    accounts.set_profile(call.world.database, call.bot.id, field, language(call), value)
    call.world.profile_changed(call.bot.id)


def checked_command(item: object) -> Json:
    """Check one command of the menu."""
    given = cast("Json", item) if isinstance(item, dict) else {}
    name = str(given.get("command", "")).removeprefix("/")
    text = str(given.get("description", ""))
    if COMMAND.fullmatch(name) is None:
        raise bad_request("BOT_COMMAND_INVALID")
    if not 1 <= units(text) <= MAX_COMMAND_DESCRIPTION:
        raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return {"command": name, "description": text}


def get_my_commands(call: Call) -> list[Any]:
    """Tell the commands of exactly this scope and language."""
    field = commands_field(call.parameters.find_object("scope"))
    value = accounts.find_profile(call.world.database, call.bot.id, field, language(call))
    return json.loads(value) if value else []


def setter(field: str, longest: int) -> Method:
    """Make the method that sets one text of the profile."""

    def set_text(call: Call) -> bool:
        value = call.parameters.text(field)
        if units(value) > longest:
            raise bad_request(f"{field} is too long")
        code = language(call)
        if field == "name" and not code:
            if not value:
                raise bad_request("name can't be empty")
            accounts.set_name(call.world.database, call.bot.id, value)
        else:
            accounts.set_profile(call.world.database, call.bot.id, field, code, value)
        call.world.profile_changed(call.bot.id)
        return True

    return set_text


def getter(field: str) -> Callable[[Call], Json]:
    """Make the method that tells one text of the profile, in the language or in the default."""

    def get_text(call: Call) -> Json:
        database, bot = call.world.database, call.bot
        value = accounts.find_profile(database, bot.id, field, language(call))
        if value is None:
            value = accounts.find_profile(database, bot.id, field, "")
        default = bot.name if field == "name" else ""
        return {field: value or default}

    return get_text


def set_chat_menu_button(call: Call) -> bool:
    """Say what the button beside the text field does, in one chat or in all."""
    button = call.parameters.find_object("menu_button") or {"type": "default"}
    if button.get("type") not in ("commands", "web_app", "default"):
        raise bad_request("menu button has unsupported type")
    if button["type"] == "web_app":
        check_web_app(button.get("web_app"))
    accounts.set_profile(
        call.world.database, call.bot.id, menu_field(call), "", chats.encode(button)
    )
    call.world.profile_changed(call.bot.id)
    return True


def get_chat_menu_button(call: Call) -> Json:
    """Tell what the button beside the text field does."""
    for field in (menu_field(call), "menu_button"):
        value = accounts.find_profile(call.world.database, call.bot.id, field, "")
        if value is not None:
            return json.loads(value)
    return {"type": "commands"}


def menu_field(call: Call) -> str:
    """Name the place where a chat's menu button, or everybody's, is kept."""
    if not call.parameters.has("chat_id"):
        return "menu_button"
    return f"menu_button {recipient(call).id}"


METHODS: dict[str, Method] = {
    "getMe": get_me,
    "getChat": get_chat,
    "setMyCommands": set_my_commands,
    "deleteMyCommands": delete_my_commands,
    "getMyCommands": get_my_commands,
    "setMyName": setter("name", 64),
    "getMyName": getter("name"),
    "setMyDescription": setter("description", 512),
    "getMyDescription": getter("description"),
    "setMyShortDescription": setter("short_description", 120),
    "getMyShortDescription": getter("short_description"),
    "setChatMenuButton": set_chat_menu_button,
    "getChatMenuButton": get_chat_menu_button,
}
