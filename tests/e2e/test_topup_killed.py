"""Kill the worker between every two steps of a top-up, and find it credited once.

The steps are what the tap (wire.py) hears in one undisturbed settle: each statement of its
transactions, the request to YooKassa, and the news, for the queue, that the job is done. For every
step a top-up of its own is held there; then the worker is killed once, another starts, and every
account holds what was paid for.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from parts import House, Part, running_house
from people import until
from test_kill_between_steps import DONE, is_step, through
from wire import Held, Said, Tap

from shared_servers import Servers
from zapisano.db import Database
from zapisano.payments import create_topup
from zapisano.stack.ports import LOOPBACK

pytestmark = pytest.mark.xdist_group("killed")
OPENING = Decimal("50.00")
# What the driver asks for itself when it meets a type on a connection for the first time.
DRIVERS_OWN = ("WITH RECURSIVE typeinfo_tree", "SELECT set_config", "SELECT current_setting")
LANDMARKS = (
    "INSERT INTO shared.job_starts",
    "GET /v3/payments/",
    "SELECT 1 FROM shared.orders WHERE id = $1 FOR UPDATE",
    "SELECT n, outcome, movement, amount, balance, hold FROM credits.post",
    "UPDATE shared.orders SET status = 'paid'",
    "UPDATE shared.notifications SET handled_at",
    "COMMIT",
)


@dataclass(frozen=True)
class Sale:
    """One top-up, of an account of its own."""

    email: str
    amount: Decimal
    order: str
    payment: str


@dataclass
class Shop:
    """The house, the tap before it, and the worker that is next to die."""

    house: House
    tap: Tap
    worker: Part
    sales: list[Sale] = field(default_factory=list[Sale])

    def sale(self) -> Sale:
        """Somebody on YooKassa's page; nothing of it is left to do."""
        number = len(self.sales) + 1
        email, amount = f"payer{number}@example.ru", Decimal(100 + number)
        settings = self.house.settings()

        async def make(database: Database) -> str:
            async with database.shared() as conn:
                made = await create_topup(
                    conn, settings, email=email, amount=amount, key="once", now=datetime.now(UTC)
                )
            return made.id

        order = self.house.using(make)
        sale = Sale(email, amount, order, self.house.checkout(order))
        # Asking after it again in half a minute is not what is tried here.
        self.house.rows(
            "UPDATE shared.due SET at = at + interval '1 day' WHERE kind = 'payments.poll'"
        )
        self.house.idle()
        self.sales.append(sale)
        return sale

    def hold(self, wanted: Callable[[Said], bool], sale: Sale, *, held: int) -> Held:
        """Let a sale come as far as what is wanted, and all that it has to do beside be done."""
        self.tap.hold(wanted)
        self.house.pay(sale.payment)
        one = self.tap.held.get(timeout=60)
        until(
            lambda: [job["status"] for job in self.house.queue()] == ["picked"] * (held + 1),
            lambda: str(self.house.queue()),
        )
        return one

    def is_end(self, said: Said) -> bool:
        """Is it the news that the newest job is done?"""
        if not (said.speaker == "zapisano-worker-money" and said.words.startswith(DONE)):
            return False
        return struct.pack("!q", self.house.queue()[-1]["id"]) in said.payload


@pytest.fixture(scope="module")
def shop(servers: Servers, ledger_template: str) -> Iterator[Shop]:
    """A shop with a ledger, whose worker speaks through the tap only."""
    with running_house(servers, ledger_template) as house:
        database = (LOOPBACK, servers.postgres.port)
        with Tap(database, (LOOPBACK, house.simulator_port)).running() as tap:
            shop = Shop(house, tap, house.new_worker(**through(tap, house)))
            shop.worker.start()
            try:
                yield shop
            finally:
                shop.worker.kill()


def steps_of(heard: list[Said]) -> list[tuple[str, ...]]:
    """The steps, each told by its transaction up to it; each happens once in a settle."""
    found = [path_of(said) for said in heard if is_step(said) and not is_drivers(said.words)]
    assert len(set(found)) == len(found)
    return found


def path_of(said: Said) -> tuple[str, ...]:
    return tuple(words for words in said.path if not is_drivers(words))


def is_drivers(words: str) -> bool:
    return words.startswith(DRIVERS_OWN)


def hears(path: tuple[str, ...]) -> Callable[[Said], bool]:
    return lambda said: path_of(said) == path and not is_drivers(said.words)


def test_killed_between_any_two_steps_it_is_credited_once(shop: Shop) -> None:
    first = shop.sale()
    begin = len(shop.tap.heard)
    shop.house.pay(first.payment)
    until(lambda: paid(shop, first) and not shop.house.queue(), "the first is settled")
    steps = steps_of(shop.tap.heard[begin:])
    assert_hears_all(steps)

    sales = [shop.sale() for _ in range(len(steps) + 1)]
    # Later steps first. The request after the statements: who asks YooKassa gives up after a while.
    # The end last: the lane has one connection, which brings no other job then.
    requests = [path for path in steps if path[-1].startswith("GET ")]
    statements = [path for path in steps if path not in requests]
    wanted = [*map(hears, (*reversed(statements), *requests)), shop.is_end]
    holding: list[Held] = []
    for sale, one in zip(sales, wanted, strict=True):
        holding.append(shop.hold(one, sale, held=len(holding)))
    assert not any(held.is_given_up() for held in holding)

    shop.worker.kill()
    shop.tap.cut()
    # What was told as done before the kill is done; of the rest nothing is there by halves.
    for sale in sales:
        assert credited(shop, sale) == ([sale.amount] if paid(shop, sale) else [])
    shop.worker = shop.house.new_worker(**through(shop.tap, shop.house))
    shop.worker.start()
    shop.house.idle()
    for sale in shop.sales:
        assert paid(shop, sale)
        assert credited(shop, sale) == [sale.amount]
        assert balance(shop, sale) == OPENING + sale.amount
    assert shop.house.value("SELECT sum(amount) FROM credits.postings") == 0
    assert shop.house.value("SELECT count(*) FROM shared.reviews") == 0
    assert shop.house.value("SELECT count(*) FROM shared.tenants") == 0


def assert_hears_all(steps: list[tuple[str, ...]]) -> None:
    """The list is complete if every landmark is in it, in order."""
    words = [path[-1] for path in steps]
    at = -1
    for landmark in LANDMARKS:
        at = next(n for n, said in enumerate(words) if n > at and said.startswith(landmark))


def paid(shop: Shop, sale: Sale) -> bool:
    told: str = shop.house.value(
        "SELECT status FROM shared.orders WHERE id = $1::text::uuid", sale.order
    )
    return told == "paid"


def credited(shop: Shop, sale: Sale) -> list[Decimal]:
    """What top-ups have brought to this account."""
    rows = shop.house.rows(
        """SELECT p.amount FROM credits.postings AS p
           JOIN public.user_balances AS a ON a.id = p.account
           WHERE a.email = $1 AND p.kind = 'topup'""",
        sale.email,
    )
    return [row["amount"] for row in rows]


def balance(shop: Shop, sale: Sale) -> Decimal:
    held: Decimal = shop.house.value(
        "SELECT balance FROM public.user_balances WHERE email = $1", sale.email
    )
    return held
