"""`zapisano promo …`: codes that the operator makes without a deploy."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from zapisano import journal
from zapisano.clock import utc_now
from zapisano.errors import Conflict, NotFound, Refused
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.ops.store import sales_bot
from zapisano.payments.promo_model import (
    CODE,
    KOPECK,
    LEAST_PRICE,
    RESERVED_FOR,
    Promo,
    cleaned_code,
)
from zapisano.payments.store import promo as store
from zapisano.plans import MAX_PLAN_PRICE
from zapisano.settings import Settings

LAST_YEAR = 2099


@dataclass(frozen=True)
class Wish:
    """What the operator has typed."""

    code: str
    percent: int | None
    fixed: Decimal | None
    uses: int | None
    until: date | None
    plans: tuple[str, ...]
    once_per_person: bool


def promo_of(wish: Wish, settings: Settings, now: datetime) -> Promo:
    """Return the code that was wished for; its last day ends at midnight of the operator's zone.

    Raises:
        Refused: it cannot be so; the detail names what.
    """
    if (code := cleaned_code(wish.code)) is None:
        raise Refused(f"code: must match {CODE.pattern}, it is part of a link")
    if (wish.percent is None) == (wish.fixed is None):
        raise Refused("percent, fixed: give one of the two")
    if (fixed := wish.fixed) is not None and not (
        fixed.is_finite() and KOPECK <= fixed <= MAX_PLAN_PRICE and fixed == round(fixed, 2)
    ):
        raise Refused("fixed: is a sum in roubles above zero, for example 100 or 99.50")
    if unknown := [plan for plan in wish.plans if plan not in settings.plans]:
        raise Refused(f"plans: {', '.join(unknown)} is not sold; {', '.join(settings.plans)} are")
    if wish.until is not None and wish.until.year > LAST_YEAR:
        raise Refused(f"until: is at most in {LAST_YEAR}; leave it out for a code without end")
    until = _end_of(wish.until, settings) if wish.until else None
    if until is not None and until <= now:
        raise Refused("until: is over already")
    return Promo(
        code=code,
        percent=wish.percent,
        fixed=fixed,
        uses=wish.uses,
        until=until,
        plans=wish.plans or None,
        once_per_person=wish.once_per_person,
        created_at=now,
    )


def _end_of(last: date, settings: Settings) -> datetime:
    return datetime.combine(last + timedelta(days=1), time(), ZoneInfo(settings.time_zone))


async def create(settings: Settings, wish: Wish, *, who: str) -> None:
    """Make a code, and show the link that brings it.

    Raises:
        Refused: it cannot be so.
        Conflict: there was such a code before; a code is not made twice.
    """
    promo = promo_of(wish, settings, utc_now())
    async with opened(settings) as database, database.shared() as conn:
        if not await store.insert_promo(conn, promo):
            raise Conflict(f"There was a code {promo.code} before; take another name.")
        await journal.record(
            conn,
            "promo.created",
            promo.code,
            by=who,
            percent=promo.percent,
            fixed=str(promo.fixed) if promo.fixed is not None else None,
            uses=promo.uses,
        )
        username = await sales_bot(conn)
    screen.say(f"{promo.code}: {_discount(promo)}, {_limits(promo, settings)}.")
    for plan in settings.plans.values():
        if promo.is_for(plan.id) and promo.price(plan.price) <= LEAST_PRICE:
            screen.note(f"It leaves {LEAST_PRICE} ₽ of {plan.name} ({plan.price} ₽).")
    if username:
        screen.note(f"{settings.telegram_link_base}/{username}?start=promo_{promo.code}")


def _limits(promo: Promo, settings: Settings) -> str:
    uses = f"{promo.uses} uses" if promo.uses is not None else "any number of uses"
    return f"{uses}, " + (f"until {_last_day(promo, settings)}" if promo.until else "without end")


def _discount(promo: Promo) -> str:
    return f"-{promo.percent} %" if promo.percent is not None else f"-{promo.fixed} ₽"


async def show_all(settings: Settings) -> None:
    """List the codes, the newest first."""
    now = utc_now()
    rows: list[tuple[str, ...]] = []
    async with opened(settings) as database, database.shared() as conn:
        for promo in await store.all_promos(conn):
            since = now - RESERVED_FOR
            used = await store.count_uses(conn, promo.code, unasked_since=since)
            rows.append(
                (
                    promo.code,
                    _discount(promo),
                    f"{used} of {promo.uses}" if promo.uses is not None else str(used),
                    _last_day(promo, settings),
                    ",".join(promo.plans or ("all",)),
                    "once" if promo.once_per_person else "-",
                    "over" if promo.is_over(now) else "works",
                )
            )
    if rows:
        screen.table(("code", "discount", "used", "until", "plans", "per person", "state"), rows)
    else:
        screen.note("No promo code yet; make one by: zapisano promo create SUMMER --percent 20")


def _last_day(promo: Promo, settings: Settings) -> str:
    if promo.until is None:
        return "-"
    last = promo.until.astimezone(ZoneInfo(settings.time_zone)) - timedelta(seconds=1)
    return f"{last:%Y-%m-%d}"


async def end(settings: Settings, text: str, *, who: str) -> None:
    """End a code.

    Raises:
        NotFound: there is no such code.
    """
    code = cleaned_code(text) or ""
    async with opened(settings) as database, database.shared() as conn:
        if (found := await store.find_promo(conn, code, lock=True)) is None:
            raise NotFound(f"There is no promo code {text}.")
        if found.ended_at:
            screen.say(f"{code} had ended already, on {found.ended_at:%Y-%m-%d %H:%M} UTC.")
            return
        if await store.end_promo(conn, code, utc_now()):
            await journal.record(conn, "promo.ended", code, by=who)
    screen.say(f"{code} has ended; orders that hold it keep their price.")
