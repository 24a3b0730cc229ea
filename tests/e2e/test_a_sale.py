"""The story of the house, over HTTP: a stranger buys a bot, and a customer is booked in it."""

import json
import re
import uuid
from datetime import datetime, timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from people import Chat, Json, Person, until
from product import SALES_BOT, Product

pytestmark = pytest.mark.xdist_group("product")
PAID = "Оплата получена"
WORKS = "работает"
PROMPT = "Осталось одно нажатие"


class Page(HTMLParser):
    """A page as a person and a browser take it: its words, its links, its forms."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self._words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self.forms.append(values)
        elif tag == "a":
            self.links.append(values["href"] or "")

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._words).split())


def somebody_elses(product: Product) -> tuple[str, str]:
    """A tenant that the story does not concern, and everything in it."""
    body = {"name": "Барбершоп Борода", "owner_id": product.new_person("Глеб").id}
    made = product.master("POST", "/api/tenants", json=body)
    assert made.status_code == 201, made.text
    tenant = made.json()["id"]
    until(lambda: product.value("SELECT state FROM tenants WHERE id=$1", tenant) == "awaiting_bot")
    return tenant, product.contents(tenant)


def journal(product: Product, tenant: str, *subjects: str) -> list[str]:
    found = product.rows(
        "SELECT kind FROM journal WHERE tenant = $1 OR subject = ANY($2) ORDER BY id",
        tenant,
        subjects,
    )
    return [row["kind"] for row in found]


def times_said(chat: Chat, words: str) -> int:
    return sum(words in (message["text"] or "") for message in chat.answers())


def paid_order(product: Product, person: Person, company: str) -> tuple[str, str]:
    """An order that was just paid at YooKassa's: its id and the payment's."""
    order = product.order(person.with_bot(SALES_BOT), company)
    payment = product.checkout(order)
    product.pay(payment)
    return order, payment


def checkout_page(product: Product, order: str, tail: str = "") -> Page:
    answer = product.http.get(f"{product.api_url}/checkout/{order}{tail}")
    assert answer.status_code == 200
    return Page(answer.text)


def notified(product: Product, payment: str) -> Json | None:
    """The notification of a payment, once it was handled."""
    found = product.rows(
        "SELECT * FROM notifications WHERE object_id = $1 AND handled_at IS NOT NULL", payment
    )
    return found[0] if found else None


def test_a_stranger_buys_a_bot_and_a_customer_books_a_haircut(product: Product) -> None:
    other, before = somebody_elses(product)
    anna, boris = product.new_person("Анна"), product.new_person("Борис")
    sales = anna.with_bot(SALES_BOT)

    # What is bought, said before anything is paid.
    order = product.order(sales, "Студия Лён")
    page = checkout_page(product, order)
    for words in ("Студия Лён", "1 месяц", "30 дней", "299\N{NO-BREAK SPACE}₽", "ничего не спишем"):
        assert words in page.text.replace("299 ₽", "299\N{NO-BREAK SPACE}₽")
    (form,) = page.forms
    assert form["method"] == "post"
    assert str(form["action"]).startswith(f"/checkout/{order}/pay")

    # Paid at YooKassa's, and back.
    payment = product.checkout(order)
    theirs = product.world.get(f"/yookassa/pay/{payment}")
    assert "299,00" in Page(theirs.text).text
    product.pay(payment)
    tenant = product.tenant_of(anna, "awaiting_bot")
    until(lambda: "Готово: вернитесь в чат" in checkout_page(product, order, "/return").text)
    sales.wait_for(PAID)

    # One button, the bot, its greeting.
    sales.wait_for(PROMPT)
    keyboard = sales.show()["keyboard"]["rows"]
    assert [[bool(button["request_managed_bot"]) for button in row] for row in keyboard] == [[True]]
    made = sales.create_bot()
    assert product.tenant_of(anna, "active") == tenant
    welcome = sales.wait_for(WORKS)
    assert f"/{made['username']}" in welcome["text"]
    hers = anna.with_bot(made["username"])
    hers.start()

    # The customer.
    his = boris.with_bot(made["username"])
    at = his.book()
    card = his.wait_for("Вы записаны!")["text"]
    assert at in card
    his.wait_for("Оставите телефон")  # the last of what a booking brings, by jobs of their own
    his.say("/my")
    his.wait_for("Ваши записи")
    assert [one["text"] for one in his.buttons() if "Стрижка" in one["text"] and at in one["text"]]
    told = hers.wait_for("Новая запись")["text"]
    assert "Борис" in told
    assert at in told

    # What is written down.
    assert product.row(
        "SELECT status, amount::text, tenant_id, payment_id, source FROM orders WHERE id = $1",
        uuid.UUID(order),
    ) == {
        "status": "paid",
        "amount": "299.00",
        "tenant_id": tenant,
        "payment_id": payment,
        "source": "checkout",
    }
    assert until(lambda: notified(product, payment))["outcome"] == "paid"
    bot = product.row("SELECT * FROM bots WHERE tenant_id = $1", tenant)
    assert (bot["bot_id"], bot["username"], bot["managed"]) == (made["id"], made["username"], True)
    assert str(made["id"]).encode() not in bot["token"]
    booking = product.row("SELECT * FROM bookings", schema=tenant)
    assert (booking["user_id"], booking["status"]) == (boris.id, "active")
    assert f"{booking['time']:%H:%M}" == at
    assert (booking["duration_minutes"], str(booking["price"])) == (60, "1500.00")
    starts_at = datetime.combine(booking["date"], booking["time"], ZoneInfo(booking["time_zone"]))
    ahead = starts_at - datetime.now(starts_at.tzinfo)
    reminders = product.rows("SELECT at FROM due WHERE tenant = $1 ORDER BY at", tenant)
    assert [starts_at - row["at"] for row in reminders] == [
        timedelta(hours=hours) for hours in (24, 2) if ahead > timedelta(hours=hours)
    ]
    until(lambda: journal(product, tenant, order, payment)[-1] == "booking.owner_told")
    assert journal(product, tenant, order, payment) == [
        "order.created",
        "payment.created",
        "notification.received",
        "tenant.provisioning",
        "payment.settled",
        "subscription.extended",
        "tenant.schema_created",
        "tenant.awaiting_bot",
        "bot.attached",
        "tenant.active",
        "booking.created",
        "booking.owner_told",
    ]

    # The owner's day, with the booking in it.
    hers.say("/admin")
    hers.wait_for("сегодня")
    for _ in range((booking["date"] - datetime.now(starts_at.tzinfo).date()).days):
        shown = hers.last()["text"]
        hers.press("›")
        until(lambda shown=shown: hers.last()["text"] != shown)
    assert "Борис" in hers.last()["text"]
    hers.press(f"{at} · Стрижка")
    until(lambda: "Отменить и сообщить клиенту" in hers.buttons()[0]["text"])

    assert product.contents(other) == before


def test_paid_twice_and_notified_five_times_is_one_of_everything(product: Product) -> None:
    vera = product.new_person("Вера")
    sales = vera.with_bot(SALES_BOT)
    order = product.order(sales, "Ромашка")
    payment = product.checkout(order)
    assert product.checkout(order) == payment  # the button pressed twice
    product.pay(payment)
    again = product.world.post("/yookassa/control/pay", json={"payment_id": payment})
    assert again.status_code >= 400
    first = until(lambda: notified(product, payment))
    for _ in range(4):
        answer = product.http.post(
            f"{product.webhook_url}/webhook/yookassa", json=json.loads(first["body"])
        )
        assert answer.status_code == 200
    late = product.http.post(f"{product.api_url}/checkout/{order}/pay")
    assert late.headers["location"] == f"/checkout/{order}/return"

    tenant = product.tenant_of(vera, "awaiting_bot")
    made = sales.create_bot()
    product.tenant_of(vera, "active")
    sales.wait_for(WORKS)
    assert product.value("SELECT deliveries FROM notifications WHERE object_id = $1", payment) == 5
    counted = product.row(
        """SELECT (SELECT count(*) FROM orders WHERE buyer_id = $1 AND status = 'paid') AS paid,
                  (SELECT count(*) FROM orders WHERE buyer_id = $1) AS orders,
                  (SELECT count(*) FROM tenants WHERE owner_id = $1) AS tenants,
                  (SELECT count(*) FROM day_grants WHERE tenant_id = $2) AS periods,
                  (SELECT array_agg(bot_id) FROM bots WHERE tenant_id = $2) AS bots""",
        vera.id,
        tenant,
    )
    assert counted == {"paid": 1, "orders": 1, "tenants": 1, "periods": 1, "bots": [made["id"]]}
    assert times_said(sales, PAID) == 1
    assert times_said(sales, WORKS) == 1


def test_a_token_of_botfathers_is_taken_and_taken_out_of_the_chat(product: Product) -> None:
    olga, boris = product.new_person("Ольга"), product.new_person("Борис")
    sales = olga.with_bot(SALES_BOT)
    paid_order(product, olga, "Маникюр")
    sales.wait_for(PROMPT)
    made = olga.at_botfather("Маникюр", f"manicure_{olga.id}_bot")
    sales.say(f"{made['id']}:{'A' * 35}")
    sales.wait_for("По этому токену бот не находится")
    sales.say(made["token"])
    tenant = product.tenant_of(olga, "active")
    sales.wait_for(f"@{made['username']}")

    bot = product.row("SELECT * FROM bots WHERE tenant_id = $1", tenant)
    assert (bot["bot_id"], bot["managed"]) == (made["id"], False)
    secret = made["token"].partition(":")[2]
    assert secret.encode() not in bot["token"]
    assert secret not in json.dumps(sales.show(), ensure_ascii=False)
    written = product.contents("shared")
    assert secret not in written
    assert secret.encode().hex() not in written
    his = boris.with_bot(made["username"])
    his.start()
    his.wait_for("Маникюр")


def old_sale(product: Product, buyer: int, company: str, amount: str) -> str:
    """Pay as with the old sales bot: no order of ours, everything in the metadata."""
    body = {
        "amount": {"value": amount, "currency": "RUB"},
        "confirmation": {"type": "redirect", "return_url": "https://t.me/zapisano_sales_bot"},
        "capture": True,
        "description": "Подписка",
        "metadata": {"user_id": str(buyer), "company_name": company, "plan": "1m", "days": "30"},
    }
    secrets = product.secrets
    made = product.world.post(
        "/v3/payments",
        json=body,
        auth=(secrets["yookassa_shop_id"], secrets["yookassa_secret_key"]),
        headers={"Idempotence-Key": str(uuid.uuid4())},
    )
    payment = made.raise_for_status().json()["id"]
    product.pay(payment)
    return payment


def test_a_payment_of_the_old_sales_bot_is_honoured_at_the_plans_price(product: Product) -> None:
    pavel, roma = product.new_person("Павел"), product.new_person("Рома")
    sales = pavel.with_bot(SALES_BOT)
    sales.start()
    payment = old_sale(product, pavel.id, "Автомойка", "299.00")
    too_cheap = old_sale(product, roma.id, "Автомойка", "29.90")

    tenant = product.tenant_of(pavel, "awaiting_bot")
    order = product.row("SELECT source, status, tenant_id FROM orders WHERE payment_id=$1", payment)
    assert order == {"source": "legacy", "status": "paid", "tenant_id": tenant}
    sales.wait_for(PROMPT)
    assert until(lambda: notified(product, too_cheap))["outcome"] == "review"
    assert product.rows("SELECT id FROM tenants WHERE owner_id = $1", roma.id) == []
    assert product.value("SELECT reason FROM reviews WHERE payment_id = $1", too_cheap) == "amount"


def what_is_kept(product: Product) -> list[str]:
    """Tenants, bots, money and bookings, as text."""
    shared = product.rows(
        """SELECT t.id, t.state, b.username, o.status, s.paid_until
           FROM tenants t JOIN bots b ON b.tenant_id = t.id JOIN orders o ON o.tenant_id = t.id
           JOIN subscriptions s ON s.tenant_id = t.id WHERE t.owner_id <> 0 ORDER BY t.id"""
    )
    return [str(row) + product.contents(row["id"]) for row in shared]


def seconds_until_ready(product: Product) -> str:
    return re.findall(r"ready in ([0-9.]+ s)", product.screen())[-1]


def test_stopped_or_killed_it_comes_back_with_everything(own_product: Product) -> None:
    product = own_product
    anna, boris = product.new_person("Анна"), product.new_person("Борис")
    tenant, hers = product.sell(anna, "Студия «Лён»")
    hers.start()
    his = boris.with_bot(hers.bot)
    his.book()
    his.wait_for("Оставите телефон")
    his.share_contact()
    his.wait_for("Спасибо, сохранили")
    kept = what_is_kept(product)
    assert len(kept) == 1
    assert str(boris.id) in kept[0]

    assert product.stop() == 0
    assert product.left_over() == []
    product.start("--tenants", "5")
    print(f"a second start is ready in {seconds_until_ready(product)}")  # noqa: T201 # a figure
    until(lambda: "5 tenants are there" in product.screen(), product.screen)
    seeded = product.rows("SELECT id, state FROM tenants WHERE owner_id = 0 ORDER BY id")
    assert [row["state"] for row in seeded] == ["awaiting_bot"] * 5
    services = [product.value("SELECT name FROM services", schema=row["id"]) for row in seeded]
    assert services == ["Стрижка"] * 5
    assert what_is_kept(product) == kept
    his.say("/my")
    his.wait_for("Ваши записи")

    product.kill()
    until(lambda: not product.left_over(), lambda: f"an orphan lives: {product.left_over()}")
    product.start()
    print(f"after a kill it is ready in {seconds_until_ready(product)}")  # noqa: T201 # as above
    assert what_is_kept(product) == kept
    seen = his.last()["message_id"]
    his.say("/my")
    his.wait_for("Ваши записи", after=seen)
    assert tenant in what_is_kept(product)[0]
    assert product.leaks() == []
