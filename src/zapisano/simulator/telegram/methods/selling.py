"""Telegram Stars: the only money inside this Telegram (currency XTR, no provider token)."""

from typing import cast

from zapisano.simulator.telegram.call import Call, Method, recipient
from zapisano.simulator.telegram.errors import bad_request
from zapisano.simulator.telegram.methods.sending import deliver
from zapisano.simulator.telegram.model import Json, message_object, person_user
from zapisano.simulator.telegram.store import accounts, chats, stars

STARS = "XTR"
MOST_TRANSACTIONS = 100


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
    paid = stars.find(call.world.database, call.bot.id, person_id, charge)
    if paid is None:
        raise bad_request("CHARGE_NOT_FOUND")
    if paid.refunded_at is not None:
        raise bad_request("CHARGE_ALREADY_REFUNDED")
    stars.set_refunded(call.world.database, charge, call.world.now())
    tell_of_refund(call, paid)
    return True


def tell_of_refund(call: Call, paid: stars.Charge) -> None:
    """Put the service message into the chat; the bot hears of it, as of any message."""
    world, bot = call.world, call.bot
    person = accounts.find_person(world.database, paid.person_id)
    if person is None:
        return
    refunded = {
        "currency": STARS,
        "total_amount": paid.amount,
        "invoice_payload": paid.payload,
        "telegram_payment_charge_id": paid.charge_id,
    }
    message = chats.add_message(
        world.database,
        bot_id=bot.id,
        person_id=person.id,
        from_bot=False,
        date=world.now(),
        content={"refunded_payment": refunded},
    )
    world.emit(bot, person.id, "message", message_object(message, bot, person))
    world.changed(bot.id, person.id)


def get_star_transactions(call: Call) -> Json:
    """List what has come and gone, in the order in which it did; a refund has its payment's id.

    core.telegram.org/bots/api#getstartransactions
    """
    offset = call.parameters.integer("offset", 0)
    limit = call.parameters.integer("limit", MOST_TRANSACTIONS)
    if offset < 0 or not 1 <= limit <= MOST_TRANSACTIONS:
        raise bad_request("STARS_TRANSACTIONS_RANGE_INVALID")
    moves = [
        move
        for paid in stars.of_bot(call.world.database, call.bot.id)
        for move in transactions(call, paid)
    ]
    moves.sort(key=lambda move: move["date"])
    return {"transactions": moves[offset : offset + limit]}


def transactions(call: Call, paid: stars.Charge) -> list[Json]:
    """Write a payment down as the Bot API's StarTransaction, and its refund as another."""
    person = accounts.find_person(call.world.database, paid.person_id)
    if person is None:
        return []
    partner: Json = {"type": "user", "user": person_user(person)}
    partner |= {"transaction_type": "invoice_payment", "invoice_payload": paid.payload}
    move: Json = {"id": paid.charge_id, "amount": paid.amount}
    moves = [{**move, "date": paid.at, "source": partner}]
    if paid.refunded_at is not None:
        moves.append({**move, "date": paid.refunded_at, "receiver": partner})
    return moves


METHODS: dict[str, Method] = {
    "sendInvoice": send_invoice,
    "createInvoiceLink": create_invoice_link,
    "refundStarPayment": refund_star_payment,
    "getStarTransactions": get_star_transactions,
}
