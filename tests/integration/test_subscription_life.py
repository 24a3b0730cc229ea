"""Paid time ends: what the owner hears, what becomes of the business, by a driven clock."""

import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from house import Buyer, in_the_world, working
from simulator import Phone, Simulator
from telegram_bots import until

from zapisano.db import Database
from zapisano.jobs import enqueue, tick
from zapisano.payments.methods import will_charge
from zapisano.settings import Settings
from zapisano.subscriptions import (
    Grant,
    Live,
    Living,
    Notice,
    Reason,
    Word,
    extend,
    take,
    wake_all,
)
from zapisano.tenancy import (
    Suspension,
    Tenant,
    TenantId,
    WrongState,
    activate,
    archive,
    provision,
    register,
    restore,
    resume,
    suspend,
)
from zapisano.worker import Parts, open_parts, prepare

Witness = asyncpg.Connection
MOSCOW = ZoneInfo("Europe/Moscow")
BOUGHT = datetime(2026, 12, 1, 15, tzinfo=MOSCOW)
END = BOUGHT + timedelta(days=30)  # 31.12.2026
DAY = timedelta(days=1)


@dataclass
class Clock:
    """Stands still until it is set."""

    at: datetime = BOUGHT

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Life:
    """One owner with a paid business, and the clock they live by."""

    parts: Parts
    clock: Clock
    witness: Witness
    buyer: Buyer
    tenant: TenantId
    heard: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def state(self) -> tuple[str, str | None]:
        row = await self.witness.fetchrow(
            "SELECT state, suspended_for FROM shared.tenants WHERE id = $1", self.tenant
        )
        assert row is not None
        return row["state"], row["suspended_for"]

    async def next_at(self) -> datetime | None:
        at: datetime | None = await self.witness.fetchval(
            "SELECT at FROM shared.due WHERE kind = $1 AND subject = $2", Live.kind, self.tenant
        )
        return at

    async def goes_on(self) -> bool:
        """Move the clock to what is scheduled next and let it happen; False when nothing is."""
        at = await self.next_at()
        if at is None:
            return False
        self.clock.at = max(at, self.clock.at)
        async with self.parts.database.shared() as conn:
            await tick(conn, self.clock.at)
        await self.idle()
        await self.listen()
        return True

    async def until(self, moment: datetime) -> None:
        """Let everything happen up to a moment."""
        while (at := await self.next_at()) is not None and at <= moment:
            await self.goes_on()
        self.clock.at = moment

    async def idle(self) -> None:
        async def none_left() -> bool:
            left = """SELECT (SELECT count(*) FROM shared.pgqueuer)
                + (SELECT count(*) FROM shared.due WHERE kind = $1 AND at <= $2)"""
            asked = (Live.kind, self.clock.at)
            return await self.witness.fetchval(left, *asked) == 0

        await until(none_left, "every job is done")

    async def listen(self) -> None:
        said = [message["text"] for message in await self.buyer.phone.answers(self.buyer.sales)]
        day = self.clock.at.astimezone(MOSCOW).strftime("%d.%m %H:%M")
        self.heard.extend((day, text) for text in said[len(self.heard) :])

    async def pays(self, payment: str) -> None:
        async with self.parts.database.shared() as conn:
            await extend(
                conn, self.tenant, plan="1m", days=30, payment_id=payment, now=self.clock.at
            )
        await self.idle()
        await self.listen()


@pytest.fixture
async def life(
    simulator: Simulator, settings: Settings, valkey_url: str, witness: Witness, phone: Phone
) -> AsyncGenerator[Life]:
    clock = Clock()
    ours = in_the_world(settings, simulator, valkey_url)
    ours = ours.model_copy(update={"yookassa_autopay": True})
    async with open_parts(ours, clock) as parts:
        await prepare(parts)
        buyer = Buyer(phone, simulator.sales_bot_id)
        await phone.start(buyer.sales)
        async with parts.database.shared() as conn:
            other = await register(conn, name="Чужой", owner_id=simulator.new_person("Глеб"))
            tenant = await register(conn, name="Ромашка", owner_id=phone.person)
        for one in (other, tenant):
            await provision(parts.database, one.id)
        async with parts.database.shared() as conn:
            await activate(conn, tenant.id)
            await activate(conn, other.id)
        async with working(parts):
            made = Life(parts, clock, witness, buyer, tenant.id)
            await made.idle()
            await made.pays("p1")
            made.heard.clear()
            before = len(await phone.answers(buyer.sales))
            made.heard.extend([("", "")] * before)
            yield made
            assert await witness.fetchval(
                "SELECT state FROM shared.tenants WHERE id = $1", other.id
            ) == ("active")


async def test_from_the_first_reminder_to_the_archive(life: Life) -> None:
    began = len(life.heard)
    while await life.goes_on():
        pass
    expected = [
        ("24.12 15:00", "осталось: 7 дней"),
        ("28.12 15:00", "осталось: 3 дня"),
        ("30.12 15:00", "осталось: 1 день"),
        ("31.12 10:00", "последний оплаченный день"),
        ("31.12 16:00", "Бот ещё работает до 03.01.2027"),
        ("02.01 15:00", "03.01.2027 бот встанет на паузу"),
        ("03.01 15:00", "приостановлена, нет оплаты"),
        ("27.03 15:00", "03.04.2027 мы закроем"),
        ("03.04 15:00", "📦"),
    ]
    heard = life.heard[began:]
    assert [day for day, _ in heard] == [day for day, _ in expected]
    for (_, text), (_, words) in zip(heard, expected, strict=True):
        assert words in text
        assert "Ромашка" in text
    assert await life.witness.fetchval("SELECT to_regnamespace('client_002')") is None
    assert await life.state() == ("archived", None)
    changes = await life.witness.fetch(
        """SELECT kind, data ->> 'by' AS by, data ->> 'before' AS before, data ->> 'after' AS after
           FROM shared.journal WHERE tenant = $1 AND kind IN ('tenant.suspended', 'tenant.archived')
           ORDER BY id""",
        life.tenant,
    )
    assert [tuple(change) for change in changes] == [
        ("tenant.suspended", "schedule", "active", "suspended"),
        ("tenant.archived", "schedule", "suspended", "archived"),
    ]


async def test_every_notice_has_the_button_that_pays(life: Life) -> None:
    await life.until(END - 7 * DAY)
    await life.buyer.hears("осталось: 7 дней")
    _, extend_button = await life.buyer.sees("Продлить", under="осталось")
    assert extend_button["callback_data"] == f"renew:{life.tenant}"


@pytest.mark.parametrize("days", [1, 4, 50, 90])
async def test_a_payment_at_any_moment_resumes_at_once(life: Life, days: int) -> None:
    await life.until(END + days * DAY)
    assert await life.state() == (("active", None) if days < 3 else ("suspended", "unpaid"))
    await life.pays("p2")
    assert await life.state() == ("active" if days < 3 else "awaiting_bot", None)
    paid = max(END, life.clock.at) + 30 * DAY
    said = len(life.heard)
    await life.until(paid - 7 * DAY)
    assert ["осталось: 7 дней" in text for _, text in life.heard[said:]] == [True]


async def test_a_notice_that_was_paid_for_meanwhile_is_not_given(life: Life) -> None:
    said = len(life.heard)
    late = Notice(life.tenant, END, Word.BEFORE, 7)
    await life.pays("p2")
    async with life.parts.database.shared() as conn:
        await enqueue(conn, late)
    await life.idle()
    await life.listen()
    assert life.heard[said:] == []


async def hears_of(life: Life, notice: Notice) -> list[str]:
    """Let a notice, and nothing else, come at this moment; return what is said."""
    said, at, life.clock.at = len(life.heard), life.clock.at, BOUGHT
    await life.idle()
    await life.witness.execute("DELETE FROM shared.due WHERE kind = $1", Live.kind)
    life.clock.at = at
    async with life.parts.database.shared() as conn:
        await enqueue(conn, notice)
    await life.idle()
    await life.listen()
    return [text for _, text in life.heard[said:]]


async def test_a_reminder_that_comes_late_counts_the_days_that_are_left(life: Life) -> None:
    late = Notice(life.tenant, END, Word.BEFORE, 7)
    life.clock.at = END - 5 * DAY
    [text] = await hears_of(life, late)
    assert "осталось: 5 дней" in text
    life.clock.at = END - timedelta(hours=2)
    [text] = await hears_of(life, late)
    assert "сегодня, 31.12.2026, последний оплаченный день" in text
    life.clock.at = END
    assert await hears_of(life, late) == []
    life.clock.at = END - 3 * DAY
    await life.witness.execute("UPDATE shared.subscriptions SET told = -3")
    assert await hears_of(life, late) == [], "a newer one has said it"


async def test_a_notice_that_comes_at_night_waits_for_the_morning(life: Life) -> None:
    life.clock.at = END - 3 * DAY + timedelta(hours=7)  # 22:00
    assert await hears_of(life, Notice(life.tenant, END, Word.BEFORE, 3)) == []
    at = await life.witness.fetchval("SELECT at FROM shared.due WHERE kind = $1", Notice.kind)
    assert at.astimezone(MOSCOW) == datetime(2026, 12, 29, 10, tzinfo=MOSCOW)


async def test_time_that_ends_before_the_morning_is_told_of_the_evening_before(life: Life) -> None:
    early = datetime(2026, 12, 31, 3, 30, tzinfo=MOSCOW)
    await life.witness.execute("UPDATE shared.subscriptions SET paid_until = $1", early)
    said = len(life.heard)
    await life.until(early)
    assert life.heard[-1][0] == "30.12 19:00"
    assert "закончится завтра, 31.12.2026, в 03:30" in life.heard[-1][1]
    assert len(life.heard) == said + 4


async def test_no_notice_names_a_day_of_a_charge_that_has_passed(life: Life) -> None:
    await save_method(life.witness, life.tenant)
    life.clock.at = END + 5 * DAY
    passed, to_come = END + DAY, END + 8 * DAY
    over = Notice(life.tenant, END, Word.OVER, acts_at=to_come, charge_at=passed)
    [text] = await hears_of(life, over)
    assert "спишем" not in text
    assert await hears_of(life, replace(over, word=Word.CHARGE)) == []
    assert await hears_of(life, replace(over, acts_at=passed)) == []


async def save_method(witness: Witness, tenant: TenantId, last4: str | None = "4444") -> None:
    order = """INSERT INTO shared.orders (id, buyer_id, company_name, plan, days, amount, source,
            status, idempotence_key, request_body, tenant_id, created_at, buyer_language)
        VALUES (gen_random_uuid(), 1, 'Ромашка', '1m', 30, 299, 'checkout', 'created',
            gen_random_uuid()::text, '{}', $1, now(), 'ru') RETURNING id"""
    order_id = await witness.fetchval(order, tenant)
    await witness.execute(
        """INSERT INTO shared.saved_methods (tenant_id, method_id, title, last4, order_id,
               agreed_amount, agreed_days, saved_at)
           VALUES ($1, 'm1', 'ЮMoney', $2, $3, 299, 30, now())""",
        tenant,
        last4,
        order_id,
    )


async def charges(witness: Witness) -> list[tuple[str, int]]:
    rows = await witness.fetch(
        """SELECT data ->> 'paid_until' AS until, (data ->> 'attempt')::int AS attempt
           FROM shared.journal WHERE kind = 'subscription.charge_due' ORDER BY id"""
    )
    return [(row["until"], row["attempt"]) for row in rows]


async def test_a_saved_method_is_announced_and_charged_four_times(life: Life) -> None:
    await save_method(life.witness, life.tenant)
    await life.until(END - 3 * DAY)
    await life.buyer.hears("31.12.2026 спишем 299 ₽ с карты •• 4444")
    assert await charges(life.witness) == []
    await life.until(END)
    assert [attempt for _, attempt in await charges(life.witness)] == [0]
    await life.until(END + 20 * DAY)
    tried = await charges(life.witness)
    assert [attempt for _, attempt in tried] == [0, 1, 2, 3]
    assert {datetime.fromisoformat(until) for until, _ in tried} == {END}


async def test_who_was_offline_for_days_says_one_thing_and_charges_later(life: Life) -> None:
    await save_method(life.witness, life.tenant, last4=None)
    await life.goes_on()
    said = len(life.heard)
    life.clock.at = END + 2 * DAY
    await life.goes_on()
    assert len(life.heard) == said + 1
    assert "05.01.2027 спишем 299 ₽ (ЮMoney)" in life.heard[-1][1]
    assert await charges(life.witness) == []
    await life.until(END + 5 * DAY)
    assert [attempt for _, attempt in await charges(life.witness)] == [0]
    assert await life.state() == ("active", None), "what follows has moved, too"


async def test_after_supports_long_pause_the_charge_is_announced_anew(life: Life) -> None:
    await save_method(life.witness, life.tenant)
    await life.until(END - DAY)
    await life.buyer.hears("31.12.2026 спишем 299 ₽")
    async with life.parts.database.shared() as conn:
        await suspend(conn, life.tenant, Suspension.OPERATOR)
    await life.until(END + 20 * DAY)
    said = len(life.heard)
    async with life.parts.database.shared() as conn:
        await resume(conn, life.tenant, Suspension.OPERATOR)
    await life.until(END + 22 * DAY)
    (announced,) = [text for _, text in life.heard[said:] if "спишем" in text]
    assert "24.01.2027 спишем 299 ₽" in announced
    assert await charges(life.witness) == []
    await life.until(END + 24 * DAY)
    assert [attempt for _, attempt in await charges(life.witness)] == [0]


async def test_a_bot_that_is_not_paid_for_hears_of_its_charge_and_of_nothing_else(
    life: Life,
) -> None:
    """Time ran out below support's pause; the charge that it held back is announced anew."""
    await save_method(life.witness, life.tenant)
    await life.witness.execute(
        """UPDATE shared.tenants SET state = 'suspended', suspended_for = 'unpaid'
           WHERE id = $1""",
        life.tenant,
    )
    await life.witness.execute(
        "UPDATE shared.subscriptions SET announced_at = $2, paused_at = $3 WHERE tenant_id = $1",
        life.tenant,
        END - 3 * DAY,
        END,
    )
    said = len(life.heard)
    life.clock.at = END + 10 * DAY
    await life.until(END + 30 * DAY)
    assert "13.01.2027 спишем 299 ₽" in life.heard[said][1]
    assert sum("спишем" in text for _, text in life.heard[said:]) == 1
    assert [attempt for _, attempt in await charges(life.witness)] == [0, 1, 2, 3]


async def test_nobody_to_tell_stops_nothing(life: Life) -> None:
    blocked = {"bot": life.buyer.sales, "person": life.buyer.phone.person}
    answer = await life.buyer.phone.client.post("/telegram/control/block", json=blocked)
    answer.raise_for_status()
    await life.until(END + 4 * DAY)
    assert await life.state() == ("suspended", "unpaid")


async def test_the_operators_pause_is_quiet_and_unpaid_time_runs_below_it(life: Life) -> None:
    async with life.parts.database.shared() as conn:
        await suspend(conn, life.tenant, Suspension.OPERATOR)
    await life.idle()
    await life.listen()
    said = len(life.heard)
    await life.until(END + 6 * DAY)
    assert life.heard[said:] == []
    async with life.parts.database.shared() as conn:
        await resume(conn, life.tenant, Suspension.OPERATOR)
    await life.idle()
    await life.until(END + 9 * DAY)
    assert await life.state() == ("suspended", "unpaid")


async def test_a_restored_business_has_its_time_before_it_is_archived_again(life: Life) -> None:
    while await life.goes_on():
        pass
    later = life.clock.at = life.clock.at + 30 * DAY
    await restore(life.parts.database, life.parts.settings, life.tenant, now=later)
    await life.idle()
    await life.until(later + 82 * DAY)
    assert await life.state() == ("suspended", "unpaid")
    await life.until(later + 91 * DAY)
    assert await life.state() == ("archived", None)


async def test_who_pays_at_the_last_moment_is_not_archived(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    """The money comes between the decision and the export."""
    one = tenants[0].id
    async with database.shared() as conn:
        await extend(conn, one, plan="1m", days=30, payment_id="p1", now=BOUGHT)
        await suspend(conn, one, Suspension.UNPAID)
        await extend(conn, one, plan="1m", days=30, payment_id="p2", now=END + 90 * DAY)
    with pytest.raises(WrongState):
        await archive(database, settings, one, now=BOUGHT, only_for=Suspension.UNPAID)
    assert await witness.fetchval("SELECT to_regnamespace($1)::text", one) == one


async def test_what_there_was_before_is_looked_at_once(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    async with database.shared() as conn:
        await extend(conn, tenants[0].id, plan="1m", days=30, payment_id="p1", now=BOUGHT)
    await witness.execute("DELETE FROM shared.due")
    async with database.shared() as conn:
        assert await wake_all(conn, BOUGHT) == 1
        assert await wake_all(conn, BOUGHT) == 0
    rows = await witness.fetch("SELECT kind, subject, payload FROM shared.due")
    assert [(row["kind"], row["subject"]) for row in rows] == [(Live.kind, tenants[0].id)]
    assert json.loads(rows[0]["payload"]) == {"tenant_id": tenants[0].id}


async def test_a_refund_that_ends_the_time_is_told_before_it_pauses(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    one, clock = tenants[0].id, Clock()
    async with database.shared() as conn:
        await extend(conn, one, plan="1m", days=30, payment_id="p1", now=BOUGHT)
        clock.at = BOUGHT + 5 * DAY
        back = Grant("refund:r1", -28, Reason.REFUND, by="refund")
        taken = await take(conn, one, back, clock.at)
    assert taken.paid_until < clock.at
    living = Living(database, settings, clock, partial(will_charge, settings))
    await living.live(Live(one))
    told = "SELECT data ->> 'word' FROM shared.journal WHERE kind = 'subscription.told'"
    assert await witness.fetchval(told) == "last_day"
    clock.at += DAY
    await living.live(Live(one))
    assert await witness.fetchval("SELECT state FROM shared.tenants WHERE id = $1", one) == (
        "suspended"
    )
    await living.live(Live(one))
    assert await witness.fetchval("SELECT count(*) FROM shared.journal WHERE kind ~ 'told'") == 1


async def test_the_app_can_add_to_the_journal_and_change_nothing(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    async with database.shared() as conn:
        await extend(conn, tenants[0].id, plan="1m", days=30, payment_id="p1", now=BOUGHT)
    for statement in (
        "UPDATE shared.journal SET kind = 'x'",
        "DELETE FROM shared.journal",
        "TRUNCATE shared.journal",
        "UPDATE shared.day_grants SET days = 1",
        "DELETE FROM shared.day_grants",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.shared() as conn:
                await conn.execute(statement)
    kinds = "SELECT count(*) FROM shared.journal WHERE kind = 'subscription.extended'"
    assert await witness.fetchval(kinds) == 1


async def test_history_is_printed_with_the_newest_last(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], dsn: str
) -> None:
    one, other = (tenant.id for tenant in tenants)
    async with database.shared() as conn:
        await extend(conn, one, plan="1m", days=30, payment_id="p1", now=BOUGHT)
        await extend(conn, other, plan="1m", days=30, payment_id="p2", now=BOUGHT)
        await suspend(conn, one, Suspension.OPERATOR)
    environment = {
        "PATH": "/usr/bin",
        "DATABASE_URL": dsn,
        "ZAPISANO_SECRET_KEY": settings.secret_key.get_secret_value(),
        "ZAPISANO_DATA_DIR": str(settings.data_dir),
    }

    def printed(*arguments: str) -> list[str]:
        command = [sys.executable, "-m", "zapisano", "tenants", "history", one, *arguments]
        ended = subprocess.run(
            command,
            env=environment,
            cwd=settings.data_dir,
            capture_output=True,
            text=True,
            check=True,
        )
        return ended.stdout.splitlines()

    head, *rows = (line.split("\t") for line in printed())
    assert head == ["when (UTC)", "what", "who", "before → after", "more"]
    assert all(who != "-" for _, _, who, *_ in rows)
    assert rows[-1][1:4] == ["tenant.suspended", "operator", "awaiting_bot → suspended"]
    assert rows[-2][1:4] == ["subscription.extended", "payment", "- → 2026-12-31 12:00"]
    assert "plan=1m" in rows[-2][4]
    lines = [json.loads(line) for line in printed("--json")]
    assert [line["kind"] for line in lines] == [row[1] for row in rows]
    assert lines[-1]["data"]["before"] == "awaiting_bot"
    assert not any("p2" in json.dumps(line) for line in lines)
