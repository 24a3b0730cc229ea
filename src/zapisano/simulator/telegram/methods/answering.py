"""Answers to pressed buttons and to checkouts."""

from zapisano.simulator.telegram.call import Call, Method
from zapisano.simulator.telegram.errors import bad_request
from zapisano.simulator.telegram.formatting import units
from zapisano.simulator.telegram.model import Json
from zapisano.simulator.telegram.store import chats

CALLBACK_SECONDS = 60
"""How long a pressed button may be answered. The real limit is not documented; it is short."""
CHECKOUT_SECONDS = 10
"""core.telegram.org/bots/api#answerprecheckoutquery: within 10 seconds."""
MAX_ANSWER = 200
TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


def answer_callback_query(call: Call) -> bool:
    """Answer a pressed button with nothing, a passing text, an alert or an address."""
    given = call.parameters
    number = given.integer("callback_query_id", 0)
    query = chats.find_query(call.world.database, call.bot.id, number, "callback")
    if query is None or query.at < call.world.now() - CALLBACK_SECONDS:
        raise bad_request(TOO_OLD)
    text = given.text("text") or None
    if text and units(text) > MAX_ANSWER:
        raise bad_request("MESSAGE_TOO_LONG")
    answer = {
        "text": text,
        "show_alert": given.flag("show_alert"),
        "url": given.text("url") or None,
    }
    settle(call, number, answer)
    return True


def answer_pre_checkout_query(call: Call) -> bool:
    """Let a payment happen, or say why not."""
    given = call.parameters
    number = given.integer("pre_checkout_query_id", 0)
    query = chats.find_query(call.world.database, call.bot.id, number, "checkout")
    if query is None or query.at < call.world.now() - CHECKOUT_SECONDS:
        raise bad_request(TOO_OLD)
    agreed = given.flag("ok")
    if not agreed and not given.has("error_message"):
        raise bad_request("error_message can't be empty")
    settle(call, number, {"ok": agreed, "error_message": given.text("error_message")})
    return True


def settle(call: Call, number: int, answer: Json) -> None:
    """Hand the answer to the phone that waits for it; only the first one counts."""
    waiting = call.world.answers.get(number)
    if waiting is not None and not waiting.done():
        waiting.set_result(answer)


METHODS: dict[str, Method] = {
    "answerCallbackQuery": answer_callback_query,
    "answerPreCheckoutQuery": answer_pre_checkout_query,
}
