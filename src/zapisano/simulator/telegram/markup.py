"""Keyboards: what a bot may put under a message or under the chat."""

import re
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from zapisano.simulator.telegram.call import Call
from zapisano.simulator.telegram.errors import bad_request
from zapisano.simulator.telegram.model import Json

MAX_CALLBACK_DATA_BYTES = 64
INLINE_ACTIONS = frozenset(
    {
        *("url", "callback_data", "web_app", "login_url", "switch_inline_query"),
        *("switch_inline_query_current_chat", "switch_inline_query_chosen_chat"),
        *("copy_text", "callback_game", "pay", "disabled"),
    }
)
ADDRESS = re.compile(r"tg://\S+|https?://(?:[\w-]+\.)*[\w-]+(?::\d{1,5})?(?:[/?#]\S*)?")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Markup:
    """What `reply_markup` asked for; at most one of these is there."""

    inline: Json | None = None
    keyboard: Json | None = None
    removes: bool = False
    forces_reply: bool = False

    @property
    def editable(self) -> bool:
        """Tell whether the message may be edited later: not when it carried another keyboard."""
        return self.keyboard is None and not self.removes and not self.forces_reply


def read_markup(call: Call) -> Markup:
    """Read and check `reply_markup`.

    Raises:
        ApiError: a button is not one.
    """
    given = call.parameters.find_object("reply_markup")
    if not given:
        return Markup()
    if "inline_keyboard" in given:
        rows = [[inline_button(b) for b in row] for row in rows_of(given["inline_keyboard"])]
        rows = [row for row in rows if row]
        return Markup(inline={"inline_keyboard": rows} if rows else None)
    if "keyboard" in given:
        rows = [[reply_button(call, b) for b in row] for row in rows_of(given["keyboard"])]
        return Markup(keyboard={**given, "keyboard": [row for row in rows if row]})
    return Markup(
        removes=bool(given.get("remove_keyboard")), forces_reply=bool(given.get("force_reply"))
    )


def rows_of(value: object) -> list[list[Any]]:
    """Check that a keyboard is a list of lists."""
    if not isinstance(value, list):
        raise bad_request("object expected as reply markup")
    rows = cast("list[object]", value)
    if not all(isinstance(row, list) for row in rows):
        raise bad_request("can't parse keyboard: expected an Array of Array")
    return cast("list[list[Any]]", rows)


def inline_button(given: object) -> Json:
    """Check a button under a message: a text, and exactly one thing that it does."""
    if not isinstance(given, dict):
        raise bad_request("can't parse inline keyboard button: expected an Object")
    button = cast("Json", given)
    if not isinstance(button.get("text"), str) or not button["text"]:
        raise bad_request("can't parse inline keyboard button: can't find field \"text\"")
    if len(INLINE_ACTIONS & button.keys()) != 1:
        raise bad_request(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
        )
    data = button.get("callback_data")
    if data is not None and not 0 < len(str(data).encode()) <= MAX_CALLBACK_DATA_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")
    if "url" in button:
        button["url"] = checked_url(str(button["url"]))
    if "web_app" in button:
        check_web_app(button["web_app"])
    return button


def checked_url(url: str) -> str:
    """Check a button's address; a missing scheme is http, as in the real one."""
    full = url if "://" in url else f"http://{url}"
    if ADDRESS.fullmatch(full) is None:
        raise bad_request(f"inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")
    return full


def check_web_app(given: object) -> None:
    """Check a Mini App's address: HTTPS, or (only here) plain HTTP to this machine itself."""
    url = str(cast("Json", given).get("url", "")) if isinstance(given, dict) else ""
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not local and parts.scheme != "https":
        raise bad_request(
            f"inline keyboard button Web App URL '{url}' is invalid: Only HTTPS links are allowed"
        )


def reply_button(call: Call, given: object) -> Json:
    """Check a button under the chat; a bare string is a button that says itself."""
    given = {"text": given} if isinstance(given, str) else given
    button = cast("Json", given) if isinstance(given, dict) else {}
    if not isinstance(button.get("text"), str):
        raise bad_request("can't parse keyboard button: can't find field \"text\"")
    if not button["text"]:
        raise bad_request("can't parse keyboard button: text must be non-empty")
    wish = button.get("request_managed_bot")
    if wish is not None:
        if not isinstance(wish, dict) or not isinstance(cast("Json", wish).get("request_id"), int):
            raise bad_request("can't parse keyboard button: can't find field \"request_id\"")
        if not call.bot.can_manage_bots:
            raise bad_request("the bot can't manage other bots")
    if "web_app" in button:
        check_web_app(button["web_app"])
    return button
