"""A storm over all the money: orders of three kinds, shuffled, repeated, lost and forged news, a
provider that fails at random, a worker that dies every few seconds.

At the end every genuine payment is granted once, no forged one is, what YooKassa has is what the
books have to the kopeck, and nothing is left unhandled. The seed is printed; SEED=… draws the same
again, though not at the same moments. ZAPISANO_STORM_SIZE=… makes it larger: `make storm`.
"""

import json
import os
import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import httpx
import pytest
from money_plan import OF_ITSELF, Deal, Fate, Forgery, Ware, deals
from parts import SHOP_ID, SHOP_KEY, House, running_house
from people import Person, until

from shared_servers import Servers
from zapisano import subscriptions
from zapisano.credits.model import own_key
from zapisano.db import Database
from zapisano.payments import create_order, create_topup
from zapisano.subscriptions import Grant
from zapisano.tenancy import TenantId, provision, register

pytestmark = pytest.mark.xdist_group("storm")
SIZE = int(os.environ.get("ZAPISANO_STORM_SIZE", "1"))
ORDERS = 300 if SIZE == 1 else 100 * SIZE
PEOPLE, THREADS = 12, 4
LIVES_SECONDS = (2.0, 4.0)
TIMED_OUT_SECONDS = 16.0  # our client reads for 15
PATIENCE_SECONDS = 60.0 + 0.5 * ORDERS
Json = dict[str, Any]
Thing = TypeVar("Thing")


@dataclass
class Bought:
    """A deal that has its order, and then its payment."""

    deal: Deal
    order: str
    amount: Decimal
    payment: str = ""
    strangers: list[str] = field(default_factory=list[str])
    refund: str = ""


@pytest.fixture
def house(servers: Servers, ledger_template: str) -> Iterator[House]:
    with running_house(servers, ledger_template) as house:
        yield house


def test_a_storm_of_money(house: House) -> None:
    seed = os.environ.get("ZAPISANO_STORM_SEED") or secrets.token_hex(4)
    print(f"SEED={seed}, {ORDERS} orders")  # noqa: T201 # what one needs of a run that failed
    draw = random.Random(seed)  # noqa: S311 # draws, not secrets
    bought = order(house, deals(draw, ORDERS))
    misfortunes(house, draw)
    with ThreadPoolExecutor(THREADS) as threads, Weather(house, draw) as weather:
        each(threads, reach_the_till, house, bought)
        each(threads, pay, house, bought)
        news = [body for one in bought for body in said_of(one)]
        draw.shuffle(news)
        each(threads, tell, house, news)
        each(threads, expire, house, bought)
        kills = weather.kills
    assert kills > 0
    every_misfortune_happened(house)
    clear_up(house)
    books_are_right(house, bought)
    no_tracebacks(house)


def each(
    threads: ThreadPoolExecutor, do: Callable[[House, Thing], None], house: House, all_: list[Thing]
) -> None:
    """Do it to all of them, several at once."""
    for done in [threads.submit(do, house, one) for one in all_]:
        done.result()


# --- before the storm ---


def order(house: House, drawn: list[Deal]) -> list[Bought]:
    """The orders, as our own code makes them; nothing is asked of YooKassa yet."""
    people = [house.new_person(f"Буря {number}") for number in range(PEOPLE)] if PEOPLE else []
    settings = house.settings()

    async def make(database: Database) -> list[Bought]:
        working = [await new_tenant(database, person) for person in people]
        async with database.shared() as conn:
            return [
                await one_order(conn, settings, deal, people[deal.number % PEOPLE], working)
                for deal in drawn
            ]

    worker = house.new_worker()  # greets them all
    worker.start()
    try:
        house.idle()
        return house.using(make)
    finally:
        worker.kill()


async def new_tenant(database: Database, person: Person) -> TenantId:
    """A business that works, with a week left."""
    async with database.shared() as conn:
        made = await register(conn, name=f"Салон {person.id}", owner_id=person.id)
        week = Grant(f"trial:{person.id}", 7, subscriptions.Reason.TRIAL, by="test")
        await subscriptions.give(conn, made.id, week, plan="1m", now=datetime.now(UTC))
    await provision(database, made.id)
    return made.id


async def one_order(
    conn: Any, settings: Any, deal: Deal, person: Person, working: list[TenantId]
) -> Bought:
    now = datetime.now(UTC)
    if deal.ware is Ware.CREDITS:
        roubles = Decimal(100 + deal.number)
        made = await create_topup(
            conn,
            settings,
            email=f"storm{deal.number}@example.com",
            amount=roubles,
            key=None,
            now=now,
        )
        return Bought(deal, made.id, made.amount)
    longer = working[deal.number % PEOPLE] if deal.ware is Ware.MORE_DAYS else None
    made = await create_order(
        conn,
        settings,
        buyer_id=person.id,
        language="ru",
        company_name=f"Салон {deal.number}",
        plan=("1m", "3m")[deal.number % 2],
        tenant_id=longer,
        now=now,
    )
    return Bought(deal, made.id, made.amount)


# --- the storm ---


def misfortunes(house: House, draw: random.Random) -> None:
    """YooKassa's own notifications are lost (we bring them), and it answers badly at random."""
    house.fault("drop", probability=1.0)
    shares = {"429": 0.06, "500": 0.06, "500_after_create": 0.03, "reset": 0.03, "slow": 0.01}
    for path in ("/payments", "/refunds"):
        for kind, probability in shares.items():
            knob = {"probability": probability, "seed": draw.randrange(1000)}
            house.fault(kind, path=path, retry_after=100, seconds=0.5, **knob)
    house.fault("slow", path="/payments", seconds=TIMED_OUT_SECONDS)


def every_misfortune_happened(house: House) -> None:
    """Of each kind at least one: else the storm has shown nothing about it."""
    calls = house.world.get("/yookassa/control/log").raise_for_status().json()["calls"]
    struck = Counter(kind for call in calls for kind in (call["fault"] or "").split("+") if kind)
    print(f"misfortunes: {dict(struck)}")  # noqa: T201 # how hard it blew
    assert struck.keys() >= {"429", "500", "500_after_create", "reset", "slow"}, struck


class Weather:
    """Workers that die, one after the other, as long as it lasts."""

    def __init__(self, house: House, draw: random.Random) -> None:
        self._house, self._draw = house, random.Random(draw.random())  # noqa: S311 # draws
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._blow)
        self.kills = 0

    def __enter__(self) -> "Weather":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _blow(self) -> None:
        while not self._over.is_set():
            worker = self._house.new_worker()
            try:
                worker.start()
                self._over.wait(self._draw.uniform(*LIVES_SECONDS))
            finally:
                worker.kill()
            self.kills += 1


def reach_the_till(house: House, one: Bought) -> None:
    """Press Pay until there is a page to pay on, as people do."""

    def page() -> str | None:
        answer = house.http.post(f"{house.api_url}/checkout/{one.order}/pay")
        assert answer.status_code in {303, 502, 503}, answer.text
        return answer.headers["location"] if answer.status_code == 303 else None

    one.payment = until(page, one.order, PATIENCE_SECONDS).rpartition("/")[2]


def pay(house: House, one: Bought) -> None:
    """What happens at YooKassa before anybody is told."""
    match one.deal.fate:
        case Fate.PAID | Fate.LOST:
            house.pay(one.payment)
        case Fate.REFUNDED:
            house.pay(one.payment)
            one.refund = api(house, "/refunds", {"payment_id": one.payment, **money(one.amount)})
        case Fate.CANCELED:
            expire(house, one)
        case Fate.FORGED:
            lie(house, one)


def lie(house: House, one: Bought) -> None:
    looks = {
        Forgery.OTHER_SHOP: {"account_id": "999999"},
        Forgery.TEST_FLAG: {"test": False},
        Forgery.CURRENCY: {"currency": "USD"},
    }
    if one.deal.forgery in OF_ITSELF:
        house.pay(one.payment)
        house.knob(
            "/yookassa/control/disguise", {"payment_id": one.payment, **looks[one.deal.forgery]}
        )
    elif one.deal.forgery is Forgery.UNKNOWN_ID:
        one.strangers.append(f"invented-{one.deal.number}")
    else:
        cheap = one.deal.forgery is Forgery.WRONG_AMOUNT
        body = {
            **money(Decimal(1) if cheap else one.amount),
            "capture": True,
            "confirmation": {"type": "redirect", "return_url": "https://example.com"},
            "metadata": {"order_id": one.order},
        }
        stranger = api(house, "/payments", body)
        house.pay(stranger)
        one.strangers.append(stranger)


def api(house: House, path: str, body: Json) -> str:
    """Ask YooKassa as somebody else with the shop's credentials; return the new object's id."""
    headers = {"Idempotence-Key": secrets.token_hex(16)}

    def made() -> str | None:
        try:
            answer = house.world.post(
                f"/v3{path}", json=body, headers=headers, auth=(SHOP_ID, SHOP_KEY)
            )
        except httpx.TransportError:
            return None
        return answer.json()["id"] if answer.status_code == 200 else None

    return until(made, path)


def money(amount: Decimal) -> Json:
    return {"amount": {"value": f"{amount:.2f}", "currency": "RUB"}}


def expire(house: House, one: Bought) -> None:
    """Nobody has paid this one: YooKassa gives it up. Repeating changes nothing."""
    if one.deal.fate is Fate.CANCELED or (
        one.deal.fate is Fate.FORGED and one.deal.forgery not in OF_ITSELF
    ):
        body = {"payment_id": one.payment, "reason": "expired_on_confirmation"}
        house.world.post("/yookassa/control/fail", json=body)


def said_of(one: Bought) -> list[bytes]:
    """Everything that is said of a deal, true or not, each as often as was drawn."""
    ended = "canceled" if one.deal.fate is Fate.CANCELED else "succeeded"
    told = one.strangers or [one.payment]
    news = [notice(f"payment.{ended}", payment) for payment in told] * one.deal.notices
    if one.refund:
        news += [notice("refund.succeeded", one.refund, payment_id=one.payment)] * one.deal.notices
    return news


def notice(event: str, object_id: str, **fields: str) -> bytes:
    thing = {"id": object_id, "status": event.partition(".")[2], "paid": True, **fields}
    return json.dumps({"type": "notification", "event": event, "object": thing}).encode()


def tell(house: House, body: bytes) -> None:
    answer = house.http.post(f"{house.webhook_url}/webhook/yookassa", content=body)
    assert answer.status_code == 200


# --- after it ---


def clear_up(house: House) -> None:
    """Good weather, one worker, and what was to be asked later is asked now."""
    house.world.delete("/yookassa/control/faults").raise_for_status()
    worker = house.new_worker()
    worker.start()
    try:
        until(lambda: is_over(house), lambda: left(house), PATIENCE_SECONDS)
    finally:
        worker.stop()


def is_over(house: House) -> bool:
    house.rows("UPDATE shared.due SET at = now() WHERE kind LIKE 'payments.poll%' RETURNING kind")
    return not house.queue() and not house.rows(
        "SELECT kind FROM shared.due WHERE kind LIKE 'payments.poll%'"
    )


def left(house: House) -> str:
    jobs = Counter((job["kind"], job["status"]) for job in house.queue())
    due = house.rows("SELECT kind, count(*) AS rows FROM shared.due GROUP BY kind")
    return f"still to do: {jobs}, to come: {due}"


def books_are_right(house: House, bought: list[Bought]) -> None:
    rows = house.rows(
        """SELECT o.id::text, o.status, o.refunded, o.payment_id,
               (SELECT count(*) FROM shared.day_grants AS g WHERE g.source = o.payment_id) AS days,
               (SELECT t.state FROM shared.tenants AS t WHERE t.id = o.tenant_id) AS tenant
           FROM shared.orders AS o"""
    )
    orders = {row["id"]: row for row in rows}
    assert len(orders) == len(bought)
    topped_up = credited(house)
    for one in bought:
        got = orders[one.order]
        assert got["payment_id"] == one.payment
        is_credits = one.deal.ware is Ware.CREDITS
        key = own_key("topup", one.payment)
        granted = topped_up[key] if is_credits else got["days"]
        assert (one.deal, got["status"], granted) == (one.deal, *ending(one)), got
        assert got["refunded"] == (one.amount if one.deal.fate is Fate.REFUNDED else 0), one
        if got["status"] == "paid" and not is_credits:
            assert got["tenant"] == "awaiting_bot", one
    sums_agree(house, bought)
    days_are_what_was_paid_for(house, bought)
    credits_are_what_was_paid_for(house, bought)
    nothing_is_open(house, bought)


def ending(one: Bought) -> tuple[str, int]:
    """The order's state at the end, and how often its payment was granted."""
    match one.deal.fate:
        case Fate.PAID | Fate.LOST | Fate.REFUNDED:
            return "paid", 1
        case Fate.CANCELED:
            return "canceled", 0
        case Fate.FORGED:
            return ("review" if one.deal.forgery in OF_ITSELF else "canceled"), 0


def credited(house: House) -> Mapping[str, int]:
    rows = house.rows("SELECT key FROM credits.postings WHERE key IS NOT NULL AND amount > 0")
    return Counter(row["key"] for row in rows)


def sums_agree(house: House, bought: list[Bought]) -> None:
    """What YooKassa holds of our orders' own payments is what the books hold."""
    own = {one.payment for one in bought if one.deal.fate is not Fate.FORGED}
    theirs = [
        item
        for item in house.world.get("/yookassa/control/payments").json()["items"]
        if item["id"] in own and item["status"] == "succeeded"
    ]
    at_yookassa = sum(
        Decimal(item["amount"]["value"]) - Decimal(item["refunded_amount"]["value"])
        for item in theirs
    )
    ours = house.value("SELECT sum(amount - refunded) FROM shared.orders WHERE status = 'paid'")
    assert at_yookassa == ours


def days_are_what_was_paid_for(house: House, bought: list[Bought]) -> None:
    """Each order has brought its days, and what went back has taken those that were not used.

    Of a bot that was made by the order the first day has begun; before more days, others come.
    """
    rows = house.rows(
        """SELECT o.id::text, o.days, coalesce(sum(g.days), 0) AS left
           FROM shared.orders AS o LEFT JOIN shared.day_grants AS g ON g.source = o.payment_id
               OR g.source IN (SELECT 'refund:' || r.id FROM shared.refunds AS r
                   WHERE r.order_id = o.id)
           WHERE o.email IS NULL GROUP BY o.id"""
    )
    days = {row["id"]: (row["days"], row["left"]) for row in rows}
    for one in bought:
        if one.deal.ware is Ware.CREDITS:
            continue
        sold, left = days[one.order]
        begun = {0, 1} if one.deal.ware is Ware.NEW_BOT else {0}
        expected = begun if one.deal.fate is Fate.REFUNDED else {sold * ending(one)[1]}
        assert left in expected, (one, sold, left)
    ends = house.rows(
        """SELECT s.tenant_id, s.paid_until - min(g.starts_at) AS paid, sum(g.days) AS days
           FROM shared.subscriptions AS s JOIN shared.day_grants AS g USING (tenant_id)
           GROUP BY s.tenant_id, s.paid_until"""
    )
    assert ends
    for end in ends:
        assert abs(end["paid"] - timedelta(days=end["days"])) < timedelta(minutes=1), end


def credits_are_what_was_paid_for(house: House, bought: list[Bought]) -> None:
    rows = house.rows(
        """SELECT a.email, sum(p.amount) AS credits FROM credits.postings AS p
           JOIN public.user_balances AS a ON a.id = p.account
           WHERE a.email LIKE 'storm%' AND p.kind <> 'opening' GROUP BY a.email"""
    )
    kept = {row["email"]: row["credits"] for row in rows if row["credits"]}
    expected = {
        f"storm{one.deal.number}@example.com": one.amount
        for one in bought
        if one.deal.ware is Ware.CREDITS and one.deal.fate in {Fate.PAID, Fate.LOST}
    }
    assert kept == expected  # a credit is a rouble here


def nothing_is_open(house: House, bought: list[Bought]) -> None:
    (counts,) = house.rows(
        """SELECT
            (SELECT count(*) FROM shared.notifications WHERE handled_at IS NULL) AS unhandled,
            (SELECT count(*) FROM shared.pgqueuer) AS jobs,
            (SELECT count(*) FROM shared.tenants WHERE state = 'provisioning') AS half_made"""
    )
    assert counts == {"unhandled": 0, "jobs": 0, "half_made": 0}
    reasons = Counter(row["reason"] for row in house.rows("SELECT reason FROM shared.reviews"))
    lies = Counter(one.deal.forgery for one in bought if one.deal.forgery)
    expected = {
        "unknown payment": lies[Forgery.UNKNOWN_ID],
        "amount": lies[Forgery.WRONG_AMOUNT],
        "other payment": lies[Forgery.SOMEONE_ELSES],
        "other shop": lies[Forgery.OTHER_SHOP],
        "test flag": lies[Forgery.TEST_FLAG],
        "currency": lies[Forgery.CURRENCY],
    }
    assert reasons == {reason: count for reason, count in expected.items() if count}


def no_tracebacks(house: House) -> None:
    for log in [*house.root.glob("worker-*.log"), house.serve.log]:
        assert "Traceback" not in log.read_text(), log.read_text()[-5000:]
