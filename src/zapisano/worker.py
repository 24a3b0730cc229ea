"""Composition root of the job process: what does which job, and how the process starts and ends."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from zapisano.booking import AskPhone, BookingChanged, Remind, SendFile, Tell
from zapisano.bots import aiogram_types  # noqa: F401  # pyright: ignore[reportUnusedImport]  # before aiogram
from zapisano.bots.attach import Attaching, ensure_sales_bot, give_back, redirect
from zapisano.bots.autopay import AutopayNotices
from zapisano.bots.booking import BookingNotices, booking_router
from zapisano.bots.dispatch import Dispatch, dispatcher
from zapisano.bots.jobs import (
    AskForToken,
    Attach,
    ForgetUpdates,
    HandleUpdate,
    Hello,
    PromptNext,
    RemindToAttach,
    SetAccess,
    TellOfChange,
    Welcome,
)
from zapisano.bots.notices import Notices
from zapisano.bots.paused import paused_router
from zapisano.bots.people import PeopleNotices
from zapisano.bots.polling import Polling, alone_polling, polling
from zapisano.bots.registry import Bots, open_bots
from zapisano.bots.renewal_notices import RenewalNotices
from zapisano.bots.sales import sales_router
from zapisano.bots.stars import TelegramStars
from zapisano.bots.storage import Memory, create_memory, forget_keys
from zapisano.clock import utc_now
from zapisano.credits.jobs import Tend, Tending
from zapisano.db import START_PATIENCE_SECONDS, Database, open_database
from zapisano.errors import Busy
from zapisano.jobs import Handlers, Runner, schedule
from zapisano.payments import (
    RECONCILE_AFTER_START,
    AutopayEnded,
    ChargeDeclined,
    FindLow,
    OrderCanceled,
    OrderPaid,
    OrderRefunded,
    OrderWaits,
    Reconcile,
    YooKassa,
    counting_errors,
    methods,
    payments_handlers,
)
from zapisano.settings import Settings, load
from zapisano.subscriptions import (
    DaysGiven,
    Live,
    Living,
    Notice,
    RewardHost,
    Rewarding,
    wake_all,
)
from zapisano.telemetry import configure_logging, tell_supervisor
from zapisano.tenancy import (
    ForgetKeys,
    Provision,
    TenantChanged,
    TenantId,
    TenantMoved,
    TenantReady,
    provision,
)
from zapisano.tenancy import store as tenants

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Parts:
    """What a worker is made of."""

    settings: Settings
    database: Database
    bots: Bots
    provider: YooKassa
    dispatch: Dispatch
    now: Clock


@asynccontextmanager
async def open_parts(settings: Settings, now: Clock = utc_now) -> AsyncGenerator[Parts]:
    """Open everything a worker needs, and close it again.

    Raises:
        BrokenSetting: what every job may need is missing; better now than job by job.
    """
    settings.require("database_url", "secret_key")
    _ = settings.plans
    database = await open_database(settings, patience_seconds=START_PATIENCE_SECONDS)
    bots = open_bots(settings, database)
    provider = YooKassa(settings, counting_errors(database, now))
    memory = create_memory(settings)
    try:
        dispatch = _dispatch(settings, database, bots, memory, now)
        yield Parts(settings, database, bots, provider, dispatch, now)
    finally:
        await memory.storage.close()
        await provider.close()
        await bots.close()
        await database.close()


def _dispatch(
    settings: Settings, database: Database, bots: Bots, memory: Memory, now: Clock
) -> Dispatch:
    return Dispatch(
        settings=settings,
        database=database,
        bots=bots,
        sales=dispatcher(memory, sales_router()),
        tenants=dispatcher(memory, paused_router(), booking_router()),
        now=now,
    )


def handlers_of(parts: Parts) -> Handlers:
    """Map every job to what does it."""
    handlers = Handlers()
    notices = Notices(parts.settings, parts.bots, parts.now)
    booking = BookingNotices(parts.database, parts.bots, parts.now)

    async def on_provision(job: Provision) -> None:
        await provision(parts.database, TenantId(job.tenant_id), time_zone=parts.settings.time_zone)

    async def on_forget_keys(job: ForgetKeys) -> None:
        await forget_keys(parts.settings, job.tenant_id)

    payments_handlers(
        handlers,
        parts.database,
        parts.provider,
        parts.settings,
        parts.now,
        stars=TelegramStars(parts.bots),
    )
    handlers.on(Provision, on_provision)
    handlers.on(ForgetKeys, on_forget_keys)
    handlers.on(HandleUpdate, parts.dispatch.handle)
    attaching = Attaching(parts.settings, parts.bots, parts.now)
    handlers.on(Attach, attaching.handle)
    handlers.on(SetAccess, attaching.set_access)
    handlers.on(Welcome, notices.welcome)
    handlers.on(Hello, notices.hello)
    handlers.on(PromptNext, notices.prompt_next)
    handlers.on(TellOfChange, notices.tell_of_change)
    handlers.on(RemindToAttach, notices.remind_to_attach)
    handlers.on(AskForToken, notices.ask_for_token)
    handlers.on(ForgetUpdates, notices.forget_updates)
    handlers.on(OrderPaid, notices.order_paid)
    handlers.on(OrderCanceled, notices.order_canceled)
    handlers.on(OrderRefunded, notices.order_refunded)
    autopay = AutopayNotices(parts.settings, parts.bots, parts.now)
    handlers.on(ChargeDeclined, autopay.charge_declined)
    handlers.on(AutopayEnded, autopay.autopay_ended)
    handlers.on(TenantReady, notices.tenant_ready)
    people = PeopleNotices(parts.settings, parts.bots)
    handlers.on(OrderWaits, people.order_waits)
    handlers.on(DaysGiven, people.days_given)
    handlers.on(RewardHost, Rewarding(parts.database, parts.now).reward_host)
    handlers.on(TenantMoved, people.tenant_moved)
    handlers.on(TenantChanged, notices.tenant_changed)
    handlers.on(Notice, RenewalNotices(parts.settings, parts.bots, parts.now).tell)
    charges = partial(methods.will_charge, parts.settings)
    living = Living(parts.database, parts.settings, parts.now, charges)
    handlers.on(Live, living.live)
    handlers.on(BookingChanged, booking.changed)
    handlers.on(Tell, booking.tell)
    handlers.on(Remind, booking.remind)
    handlers.on(SendFile, booking.send_file)
    handlers.on(AskPhone, booking.ask_phone)
    handlers.on(Tend, Tending(parts.settings, parts.database, parts.now).tend)
    return handlers


async def prepare(parts: Parts) -> None:
    """Register the sales bot, see that updates come to us, and begin what is done repeatedly."""
    async with parts.database.shared() as conn:
        if parts.settings.sales_bot_token.get_secret_value():
            await ensure_sales_bot(conn, parts.settings, parts.bots.vault)
        await schedule(conn, ForgetUpdates(), at=parts.now(), subject="")
        await schedule(conn, Tend(), at=parts.now(), subject="")
        await schedule(conn, FindLow(), at=parts.now(), subject="")
        await wake_all(conn, parts.now())
        await schedule(conn, Reconcile(), at=parts.now() + RECONCILE_AFTER_START, subject="")
    await redirect(parts.database, parts.settings)


async def run(
    settings: Settings,
    stop: asyncio.Event,
    *,
    now: Clock = utc_now,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Open the parts and work until `stop` is set."""
    async with open_parts(settings, now) as parts:
        await work(parts, stop, on_ready=on_ready)


async def work(
    parts: Parts, stop: asyncio.Event, *, on_ready: Callable[[], None] = lambda: None
) -> None:
    """Work until `stop` is set; what is under way is finished."""
    settings, database = parts.settings, parts.database
    if settings.only_tenant:
        async with database.shared() as conn:
            await tenants.get(conn, settings.only_tenant)
        await _until(stop, alone_polling(settings, database, parts.dispatch), on_ready)
        await give_back(database, TenantId(settings.only_tenant))
        return
    await prepare(parts)
    runner = Runner(database, handlers_of(parts), parts.now)
    fetching = None if settings.webhook_url else polling(settings, database)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_stop_all(stop, runner, fetching))
        if fetching:
            tasks.create_task(fetching.run())
        await runner.run(on_ready)
        stop.set()


async def _stop_all(stop: asyncio.Event, runner: Runner, fetching: Polling | None) -> None:
    await stop.wait()
    if fetching:
        fetching.stop()
    runner.stop()


async def _until(stop: asyncio.Event, fetching: Polling, on_ready: Callable[[], None]) -> None:
    """Serve one tenant alone, as a process started with CLIENT_ID does: no shared jobs here."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fetching.run())
        on_ready()
        await stop.wait()
        fetching.stop()
        await running


async def _main(settings: Settings) -> None:
    """Until the parts are open a signal ends the process at once: nothing is under way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with open_parts(settings) as parts:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await work(parts, stop, on_ready=lambda: tell_supervisor("READY=1"))


def main() -> None:
    """Run the worker of the environment's settings until SIGTERM.

    Raises:
        BrokenSetting: a setting is missing or wrong.
        Busy: the database is gone; whoever started this worker starts it again.
    """
    settings = load()
    configure_logging(as_json=settings.log_json, file=settings.log_file)
    try:
        asyncio.run(_main(settings))
    except BaseExceptionGroup as errors:  # of the lanes; all but a lost database goes on up
        if errors.split(Busy)[1] is not None:
            raise
        raise Busy("The worker has lost the database and has to be started again.") from None
