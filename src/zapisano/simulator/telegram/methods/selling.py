"""Telegram Stars: the only money inside this Telegram (currency XTR, no provider token)."""

from typing import cast

from zapisano.simulator.telegram.call import Call, Method, recipient
from zapisano.simulator.telegram.errors import bad_request
from zapisano.simulator.telegram.methods.sending import deliver
from zapisano.simulator.telegram.model import Json
from zapisano.simulator.telegram.store import chats

STARS = "XTR"


def send_invoice(call: Call) -> Json:
    """Ask a person for Stars."""
    person = recipient(call)
    return deliver(call, person, {"invoice": shown(invoice(call)), "sold": invoice(call)})


def create_invoice_link(call: Call) -> str:
    """Ask whoever opens the link for Stars."""
    slug = chats.add_invoice(call.world.database, call.bot.id, invoice(call))
    return f"https://t.me/${slug}"


def invoice(call: Call) -> Json:
    """Read what is sold.

    Raises:
        ApiError: something is missing, or the money is another than Stars: providers of other
            money are set up by hand in BotFather, and this one has none.
    """
    given = call.parameters
    for name, longest in (("title", 32), ("description", 255), ("payload", 128)):
        if not 1 <= len(given.text(name)) <= longest:
            raise bad_request(f"INVOICE_{name.upper()}_INVALID")
    if given.text("currency") != STARS or given.has("provider_token"):
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    return {
        "title": given.text("title"),
        "description": given.text("description"),
        "payload": given.text("payload"),
        "currency": STARS,
        "total_amount": price(call),
    }


def price(call: Call) -> int:
    """Read the one price that Stars may have, a positive whole number."""
    prices = call.parameters.find_list("prices") or []
    first = cast("Json", prices[0]) if prices and isinstance(prices[0], dict) else {}
    amount = first.get("amount")
    if len(prices) != 1 or not isinstance(amount, int) or amount <= 0:
        raise bad_request("STARS_INVOICE_INVALID")
    return amount


def shown(sold: Json) -> Json:
    """Write an invoice down as the Bot API's Invoice."""
    fields = ("title", "description", "currency", "total_amount")
    return {"start_parameter": "", **{name: sold[name] for name in fields}}


def refund_star_payment(call: Call) -> bool:
    """Give the Stars of one payment back."""
    charge = call.parameters.text("telegram_payment_charge_id")
    person_id = call.parameters.integer("user_id", 0)
    refunded = chats.find_refunded(call.world.database, call.bot.id, person_id, charge)
    if refunded is None:
        raise bad_request("CHARGE_NOT_FOUND")
    if refunded:
        raise bad_request("CHARGE_ALREADY_REFUNDED")
    chats.set_refunded(call.world.database, charge)
    return True


METHODS: dict[str, Method] = {
    "sendInvoice": send_invoice,
    "createInvoiceLink": create_invoice_link,
    "refundStarPayment": refund_star_payment,
}
