"""A bot is created or a token pasted: the tenant works, once, whatever fails in between."""

import asyncio
import secrets
from datetime import UTC, datetime

import pytest
from house import Buyer, House, found, journal_kinds
from telegram_bots import until
from waiting import somebody_waits

from zapisano.bots import store
from zapisano.bots.attach import claim, redirect
from zapisano.bots.errors import BotTaken
from zapisano.bots.inbox import without_tokens
from zapisano.bots.jobs import Attach, HandleUpdate
from zapisano.bots.model import suggest_username
from zapisano.errors import Upstream
from zapisano.settings import Settings
from zapisano.tenancy import (
    State,
    Suspension,
    TenantId,
    WrongState,
    archive,
    restore,
    resume,
    suspend,
)
from zapisano.tenancy import store as tenants

NOW = datetime(2026, 2, 14, 12, 0, tzinfo=UTC)


async def bot_row(house: House) -> dict[str, object]:
    row = await house.witness.fetchrow(
        """SELECT bot_id, tenant_id, username, managed, webhook_url, attached_at, token,
               unauthorized_times FROM shared.bots WHERE tenant_id = 'client_001'"""
    )
    assert row is not None
    return dict(row)


async def test_one_tap_makes_a_working_bot(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await buyer.hears(f"Подключаем @{made['username']}")
    await buyer.hears(f"Ваш бот @{made['username']} работает")
    _, button = await buyer.sees("Открыть @")
    assert button["url"] == f"https://t.me/{made['username']}"
    await house.idle()

    row = await bot_row(house)
    assert (row["bot_id"], row["managed"]) == (made["id"], True)
    said = [m["text"] for m in await buyer.phone.answers(buyer.sales)]
    assert sum("Подключаем" in text for text in said) == 1
    assert sum("работает" in text for text in said) == 1
    kinds = await journal_kinds(house.witness, "client_001")
    assert kinds[-2:] == ["bot.attached", "tenant.active"]
    bots = {bot["id"]: bot for bot in house.simulator.get("/telegram/bots")}
    assert [c["command"] for c in bots[made["id"]]["commands"]][:2] == ["start", "book"]
    assert bots[made["id"]]["description"].startswith("Здесь можно записаться")
    log = house.simulator.get("/telegram/control/log", bot=made["id"], method="setWebhook")
    assert len(log) == 1
    assert log[0]["params"]["url"] == row["webhook_url"]


async def test_both_events_and_their_redelivery_make_one_bot(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await house.bot_of(buyer.phone.person)
    person = {"id": buyer.phone.person, "is_bot": False, "first_name": "Вера"}
    bot = {"id": made["id"], "is_bot": True, "first_name": "x", "username": made["username"]}
    events = [{"update_id": 900 + n, "managed_bot": {"user": person, "bot": bot}} for n in range(3)]
    await asyncio.gather(*(house.do(HandleUpdate(buyer.sales, event)) for event in events))
    await house.idle()
    assert await house.witness.fetchval("SELECT count(*) FROM shared.bots") == 2
    said = [m["text"] for m in await buyer.phone.answers(buyer.sales)]
    assert sum("Подключаем" in text for text in said) == 1


async def test_of_two_paid_orders_the_one_that_the_button_names_gets_the_bot(
    house: House, buyer: Buyer
) -> None:
    for name in ("Первый", "Второй"):
        await house.pay(await buyer.orders(name))
        await buyer.hears(f"«{name}»: всё готово")
    assert (await buyer.offer())["suggested_name"] == "Второй"
    second = await buyer.creates()
    await buyer.hears("«Первый»: всё готово, ждём только бота")
    first = await buyer.creates()
    await buyer.hears(f"@{first['username']} работает")
    rows = await house.witness.fetch(
        "SELECT tenant_id, bot_id FROM shared.bots WHERE tenant_id IS NOT NULL ORDER BY tenant_id"
    )
    assert [tuple(row) for row in rows] == [
        ("client_001", first["id"]),
        ("client_002", second["id"]),
    ]


async def test_a_bot_that_nobody_has_paid_for_is_refused_kindly(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    path = buyer.phone.path(buyer.sales, "/managed-bots")
    wish = {"name": "Ещё", "username": f"more_{secrets.token_hex(5)}_bot"}
    (await buyer.phone.client.post(path, json=wish)).raise_for_status()
    await buyer.hears("Нет оплаченной подписки")
    assert await house.witness.fetchval("SELECT count(*) FROM shared.bots") == 2


async def test_a_pasted_token_works_and_leaves_the_chat(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    bot_id, token = house.simulator.new_bot(buyer.phone.person)
    await buyer.says(f"Done! Use this token to access the HTTP API:\n{token}\nKeep it secure")
    made = await house.bot_of(buyer.phone.person)
    assert made["bot_id"] == bot_id
    await house.idle()
    texts = [m["text"] for m in await buyer.phone.messages(buyer.sales)]
    assert not any(token in text for text in texts)
    row = await bot_row(house)
    assert row["managed"] is False
    assert token.encode() not in bytes(row["token"])  # pyright: ignore[reportArgumentType]  # bytea


@pytest.mark.parametrize("naming", [False, True])
@pytest.mark.parametrize(
    "token", ["123:abc", *(f"7712345678:{tail}" for tail in ("short", "A" * 34, "A" * 36))]
)
async def test_a_mistyped_token_leaves_the_chat_and_is_explained(
    house: House, buyer: Buyer, token: str, naming: bool
) -> None:
    await buyer.phone.start(buyer.sales)
    await buyer.hears("Бот для записи")
    if naming:
        await buyer.presses("Выбрать тариф")
        await buyer.presses("1 месяц")
        await buyer.hears("Как называется")
    await buyer.says(token)
    await buyer.hears("Это не весь токен")
    await house.idle()
    texts = [m["text"] for m in await buyer.phone.messages(buyer.sales)]
    assert not any(token.partition(":")[0] + ":" in text for text in texts)
    assert await house.witness.fetchval("SELECT count(*) FROM shared.orders") == 0


async def test_a_token_below_a_picture_is_one_too(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    await house.idle()
    await buyer.says("мой токен")
    said = (await buyer.phone.messages(buyer.sales))[-1]["message_id"]
    bot_id, token = house.simulator.new_bot(buyer.phone.person)
    person = {"id": buyer.phone.person, "is_bot": False, "first_name": "Вера"}
    picture = [{"file_id": "x", "file_unique_id": "x", "width": 1, "height": 1}]
    message = {
        "message_id": said,
        "date": 1795431600,
        "chat": {"id": buyer.phone.person, "type": "private"},
        "from": person,
        "photo": picture,
        "caption": f"Вот: {token}",
    }
    update = {"update_id": 900, "message": message}
    sealed = without_tokens(update, house.parts.bots.vault)
    assert token not in str(sealed)
    await house.do(HandleUpdate(buyer.sales, sealed))
    made = await house.bot_of(buyer.phone.person)
    assert made["bot_id"] == bot_id
    left = [m["message_id"] for m in await buyer.phone.messages(buyer.sales)]
    assert said not in left


async def test_a_token_is_never_stored_in_the_clear(house: House, buyer: Buyer) -> None:
    """Not even while its update waits in the queue."""
    await buyer.phone.start(buyer.sales)
    await buyer.hears("Бот для записи")
    await house.idle()
    _, token = house.simulator.new_bot(buyer.phone.person)
    house.simulator.fail("500", method="*", bot=int(token.partition(":")[0]), times=50)
    await buyer.says(token)

    async def queued() -> bytes | None:
        return await house.witness.fetchval(
            "SELECT payload FROM shared.pgqueuer WHERE entrypoint = 'bots.update'"
        )

    payload = await found(queued, "the update waits")
    assert b"sealed:" in payload
    assert token.encode() not in payload
    house.simulator.reset_knobs()
    await buyer.hears("Нет оплаченной подписки")


@pytest.mark.parametrize("kind", ["wrong", "forged", "sealed"])
async def test_a_wrong_token_is_said_to_be_wrong(house: House, buyer: Buyer, kind: str) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.creates()
    bot = await house.bot_of(buyer.phone.person)
    text = {
        "wrong": f"12345678:{'A' * 35}",
        "forged": f"{bot['bot_id']}:{'A' * 35}",
        "sealed": "sealed:" + "gAAAA" * 30,
    }[kind]
    for _ in range(3):
        await buyer.says(text)
    await buyer.hears("По этому токену бот не находится")
    await house.idle()
    assert (await bot_row(house))["unauthorized_times"] == 0


async def test_a_bot_of_another_business_is_refused(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    _, token = house.simulator.new_bot(buyer.phone.person)
    for person in (buyer, another_buyer):
        await house.pay(await person.orders("Ромашка"))
        await person.offer()
        await person.says(token)
        if person is buyer:
            await house.bot_of(buyer.phone.person)
    await another_buyer.hears("уже подключён к другому бизнесу")
    await another_buyer.says(house.simulator.sales_bot_token)
    await house.idle()
    rows = await house.witness.fetch("SELECT tenant_id FROM shared.bots ORDER BY tenant_id")
    assert [row["tenant_id"] for row in rows] == ["client_001", None]


async def test_one_token_sent_by_two_people_at_once_serves_the_first(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    bot_id, token = house.simulator.new_bot(buyer.phone.person)
    for person in (buyer, another_buyer):
        await house.pay(await person.orders("Ромашка"))
        await person.offer()

    async def claims(person: Buyer) -> None:
        async with house.database.shared() as conn:
            await claim(
                conn,
                house.parts.bots.vault,
                owner_id=person.phone.person,
                username="one_bot",
                token=token,
                managed=False,
            )
            if person is buyer:
                started.set()
                await until(waits, "the other one waits for this transaction")

    async def waits() -> bool:
        return await somebody_waits(house.witness)

    started = asyncio.Event()
    first = asyncio.create_task(claims(buyer))
    await started.wait()
    with pytest.raises(BotTaken):
        await claims(another_buyer)
    await first
    row = await house.witness.fetchrow(
        "SELECT tenant_id FROM shared.bots WHERE bot_id = $1", bot_id
    )
    assert row is not None
    assert row["tenant_id"] == "client_001"


async def test_a_late_attach_does_not_write_down_an_address_of_before(
    house: House, buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()
    async with house.database.shared() as conn:
        before = await store.of_tenant(conn, "client_001")
        assert before is not None
        await conn.execute("UPDATE shared.bots SET path = 'anew' WHERE bot_id = $1", before.bot_id)
        assert not await store.set_webhook(conn, before, "https://late/x")
        await store.forget_webhook(conn, before.bot_id)
        now = await store.of_tenant(conn, "client_001")
    assert now is not None
    assert now.webhook_url is None
    await house.do(Attach(before.bot_id))
    await house.idle()
    assert str((await bot_row(house))["webhook_url"]).endswith("/anew")


@pytest.mark.parametrize("fault", ["500", "reset", "lost_answer", "429"])
@pytest.mark.parametrize("method", ["getManagedBotToken", "setWebhook", "setMyCommands"])
async def test_attaching_survives_a_telegram_that_fails(
    house: House, buyer: Buyer, fault: str, method: str
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    house.simulator.fail(fault, method=method, times=2, retry_after=1)
    made = await buyer.creates()
    await buyer.hears(f"@{made['username']} работает")
    await house.idle()
    said = [m["text"] for m in await buyer.phone.answers(buyer.sales)]
    assert sum("работает" in text for text in said) == 1


async def test_an_address_that_telegram_cannot_reach_is_waited_for(
    house: House, buyer: Buyer
) -> None:
    """A fresh domain or certificate: nothing is lost that would need an operator."""
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    house.simulator.fail("bad_webhook", method="setWebhook", times=3)
    made = await buyer.creates()
    await buyer.hears(f"@{made['username']} работает")


@pytest.mark.parametrize("again", ["pasted", "restarted"])
async def test_a_bot_whose_connection_was_given_up_is_connected_anew(
    house: House, buyer: Buyer, again: str
) -> None:
    _, token = house.simulator.new_bot(buyer.phone.person)
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    async with house.database.shared() as conn:
        await store.insert(
            conn,
            bot_id=int(token.partition(":")[0]),
            tenant_id=TenantId("client_001"),
            username="given_up_bot",
            token=house.parts.bots.vault.lock(token),
            managed=False,
        )
    if again == "pasted":
        await buyer.says(token)
        await buyer.hears("Подключаем")
    else:
        await redirect(house.database, house.settings)
    await buyer.hears("работает")
    await house.bot_of(buyer.phone.person)


async def test_attach_may_be_repeated(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()
    before = await bot_row(house)
    await asyncio.gather(*(house.do(Attach(made["id"])) for _ in range(3)))
    await house.idle()
    assert await bot_row(house) == before
    log = house.simulator.get("/telegram/control/log", bot=made["id"], method="setWebhook")
    assert len(log) == 1
    kinds = await journal_kinds(house.witness, "client_001")
    assert kinds.count("bot.attached") == kinds.count("tenant.active") == 1


async def test_a_revoked_token_is_believed_after_two_and_a_new_one_helps(
    house: House, buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    bot_id, token = house.simulator.new_bot(buyer.phone.person)
    await buyer.offer()
    await buyer.says(token)
    await house.bot_of(buyer.phone.person)
    house.simulator.post("/telegram/control/revoke", {"bot": bot_id})
    await house.do(Attach(bot_id))
    # What this bot had to say waits for a new token, so the queue does not become empty.
    await buyer.hears("больше не принимает токен бота")
    assert (await bot_row(house))["unauthorized_times"] == 2
    assert (await journal_kinds(house.witness, "client_001")).count("bot.revoked") == 1
    said = [m["text"] for m in await buyer.phone.answers(buyer.sales)]
    assert sum("больше не принимает" in text for text in said) == 1

    other_id, other = house.simulator.new_bot(buyer.phone.person)
    await buyer.says(other)
    await buyer.hears("Подключаем")

    async def replaced() -> bool:
        row = await bot_row(house)
        return row["bot_id"] == other_id and row["attached_at"] is not None

    await until(replaced, "the new bot is attached")
    await buyer.hears("снова работает")


async def test_a_token_that_was_changed_is_fetched_and_the_bot_connected_anew(
    house: House, buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await buyer.hears("работает")
    await house.idle()
    manager, _ = await house.parts.bots.sales()
    token = await manager.replace_managed_bot_token(made["id"])

    async def renewed() -> bool:
        row = await bot_row(house)
        sealed = row["token"]
        assert isinstance(sealed, bytes)
        return house.parts.bots.vault.unlock(sealed) == token and row["webhook_url"] is not None

    await until(renewed, "the new token is stored and the webhook set")
    await house.idle()
    said = [m["text"] for m in await buyer.phone.answers(buyer.sales)]
    assert sum("Ваш бот" in text for text in said) == 1
    assert sum("снова работает" in text for text in said) == 1


async def test_the_refusal_of_an_old_token_says_nothing_of_the_new_one(
    house: House, buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()
    async with house.database.shared() as conn:
        row = await store.find(conn, made["id"])
    assert row
    old = house.parts.bots.of(row)
    manager, _ = await house.parts.bots.sales()
    await manager.replace_managed_bot_token(made["id"])
    await buyer.hears("снова работает")
    for _ in range(2):
        with pytest.raises(Upstream):
            await old.get_me()
    assert (await bot_row(house))["unauthorized_times"] == 0


async def test_a_401_that_passes_is_forgotten(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()
    house.simulator.fail("401", method="getMe", bot=made["id"], times=1)
    await house.do(Attach(made["id"]))
    await house.idle()
    assert (await bot_row(house))["unauthorized_times"] == 0


async def test_the_bot_of_an_archived_business_serves_the_owners_next_one(
    house: House, buyer: Buyer, settings: Settings
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    bot_id, token = house.simulator.new_bot(buyer.phone.person)
    await buyer.says(token)
    await house.bot_of(buyer.phone.person)
    await house.idle()
    await buyer.says(token)
    await buyer.hears("уже подключён к вашему бизнесу")
    await archive(house.database, settings, "client_001", now=NOW)
    await buyer.says(token)
    await buyer.hears("Нет оплаченной подписки")
    await house.pay(await buyer.orders("Незабудка"))
    await buyer.hears("«Незабудка»: всё готово")
    await buyer.says(token)
    made = await house.bot_of(buyer.phone.person)
    assert (made["id"], made["bot_id"]) == ("client_002", bot_id)
    await house.idle()
    own = Buyer(buyer.phone, bot_id)
    await own.phone.start(bot_id)
    await own.hears("Незабудка")
    restored = await restore(house.database, settings, "client_001", now=NOW)
    assert restored.state is State.AWAITING_BOT
    await buyer.hears("«Ромашка»: всё готово, ждём только бота")


async def test_a_bot_of_ours_that_was_shut_is_open_in_the_owners_next_business(
    house: House, buyer: Buyer, another_buyer: Buyer, settings: Settings
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()
    manager, _ = await house.parts.bots.sales()
    token = await manager.get_managed_bot_token(made["id"])
    await archive(house.database, settings, "client_001", now=NOW)
    await house.idle()
    await house.pay(await buyer.orders("Незабудка"))
    await buyer.hears("«Незабудка»: всё готово")
    await buyer.says(token)
    await house.bot_of(buyer.phone.person)
    await house.idle()
    customer = Buyer(another_buyer.phone, made["id"])
    await customer.phone.start(made["id"])
    await customer.hears("Незабудка")


async def test_a_payment_during_the_archive_counts_after_the_restore(
    house: House, buyer: Buyer, settings: Settings
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    async with house.database.shared() as conn:
        await suspend(conn, TenantId("client_001"), Suspension.UNPAID)
    with pytest.raises(WrongState, match="not paid for"):
        async with house.database.shared() as conn:
            await resume(conn, TenantId("client_001"), Suspension.OPERATOR)
    await archive(house.database, settings, "client_001", now=NOW)
    # What the purchase has paid for lies ahead, as if it had been paid just now.
    await restore(house.database, settings, "client_001", now=NOW)
    await buyer.hears("«Ромашка» снова работает")
    async with house.database.shared() as conn:
        assert (await tenants.get(conn, TenantId("client_001"))).state is State.ACTIVE


async def test_an_archived_bot_is_shut_and_silent_until_it_is_restored(
    house: House, buyer: Buyer, settings: Settings
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()
    await archive(house.database, settings, "client_001", now=NOW)
    await buyer.hears("закрыт")
    own = Buyer(buyer.phone, made["id"])
    await own.phone.start(made["id"])
    await house.idle()
    assert await own.phone.answers(made["id"]) == []

    def is_shut() -> bool:
        bots = {bot["id"]: bot for bot in house.simulator.get("/telegram/bots")}
        return bool(bots[made["id"]]["restricted"])

    assert is_shut()
    await house.witness.execute("UPDATE shared.bots SET webhook_url = 'https://before/x'")
    await restore(house.database, settings, "client_001", now=NOW)
    await buyer.hears("«Ромашка» снова работает")
    await house.idle()
    assert not is_shut()
    assert (await bot_row(house))["webhook_url"] != "https://before/x"
    await own.says("/start")
    await own.hears("Ромашка")


async def test_a_bot_that_we_no_longer_manage_keeps_no_news_from_its_owner(
    house: House, buyer: Buyer, settings: Settings
) -> None:
    _, token = house.simulator.new_bot(buyer.phone.person)
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    await buyer.says(token)
    await house.bot_of(buyer.phone.person)
    await house.idle()
    await house.witness.execute("UPDATE shared.bots SET managed = true")
    await archive(house.database, settings, "client_001", now=NOW)
    await buyer.hears("закрыт")
    await house.idle()
    assert await house.jobs("bots.set_access") == 0


async def test_the_state_of_a_chat_is_under_the_tenants_prefix(house: House, buyer: Buyer) -> None:
    await buyer.phone.start(buyer.sales)
    await buyer.presses("Выбрать тариф")
    await buyer.presses("1 месяц")
    await buyer.hears("Как называется")
    storage = house.parts.dispatch.sales.storage
    redis = storage.redis  # pyright: ignore[reportAttributeAccessIssue]  # it is the prefixed one
    keys = sorted(key.decode() for key in await redis.keys(f"*:{buyer.phone.person}:*"))
    person = buyer.phone.person
    assert keys == [f"sales:fsm:{person}:{person}:{part}" for part in ("data", "state")]


async def test_an_update_of_an_unknown_kind_is_let_go(house: House, buyer: Buyer) -> None:
    await house.do(HandleUpdate(buyer.sales, {"update_id": 5, "message": {"text": 1}}))
    await house.do(HandleUpdate(42, {"update_id": 5}))
    await house.idle()
    async with house.database.shared() as conn:
        assert await store.find(conn, 42) is None


@pytest.mark.parametrize(
    ("company", "username"),
    [
        ("Ромашка у дома", "romashka_u_doma_7_bot"),
        ("Щётка & Ёж", "schetka_ezh_7_bot"),
        ("24/7", "salon_24_7_7_bot"),
        ("理发店", "salon_7_bot"),
        ("a" * 100, "a" * 26 + "_7_bot"),
    ],
)
def test_a_username_is_suggested_that_telegram_takes(company: str, username: str) -> None:
    assert suggest_username(company, 7) == username
    assert len(username) <= 32
