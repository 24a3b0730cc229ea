"""Kill the worker between every two steps of a sale, and find the sale whole.

What a process leaves behind it leaves through its wires, so the steps are what the tap (wire.py)
hears in one undisturbed sale: each statement and each request, about 120 of them, in the order

    payment: settle      GET the payment; order, tenant, paid time, jobs: one transaction
             provision   the schema; the role; awaiting_bot: three transactions
             order_paid  sendMessage
             ready       reminders; getMe; sendMessage with the one button
    bot:     update      the tap on the button: the token, the bot's row, the job
             attach      getMe; setWebhook; commands; active: one transaction
             welcome     sendMessage by the sales bot
             hello       sendMessage by the new bot

and, for each job, the statement that tells the queue that the job is done. Left out are BEGIN,
which does nothing yet, and what belongs to no sale: the queue's looking for work and its
heartbeats, the tick, the driver's questions about types.

Each turn takes every n-th step, begins one sale per step, holds each sale at its step, kills the
worker once, starts another, and finds every sale whole.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest
from parts import SALES_BOT, House, Part, monotonic, running_house
from people import Person, until
from wire import Held, Said, Tap

from shared_servers import Servers
from zapisano.stack.ports import LOOPBACK

pytestmark = pytest.mark.xdist_group("killed")
TURNS = 5
TAKEN_UP_WITHIN_SECONDS = 10.0
DONE = "WITH job_status AS"  # PgQueuer's statement that ends jobs
STARTED = "INSERT INTO shared.job_starts"
# The statements that end a job, by turn: (half, kind, lane). A lane has one connection, so one of
# each lane at a time. The last turn has nothing else: a job that makes or follows a role cannot end
# while another sale is held between the statements that make one.
ENDS = (
    (("payment", "payments.order_paid", "life"), ("payment", "payments.settle", "money")),
    (("bot", "bots.attach", "life"), ("bot", "bots.update", "chat")),
    (("bot", "bots.welcome", "life"),),
    (("bot", "bots.hello", "life"),),
    (),
    (("payment", "tenancy.ready", "life"), ("payment", "tenancy.provision", "money")),
)
HALVES = ("payment", "bot")
PAID, READY, WELCOME = "Оплата получена", "всё готово", "🎉"
MESSAGES = {
    "payments.order_paid": PAID,
    "tenancy.ready": READY,
    "bots.welcome": WELCOME,
}


class Kind(Enum):
    """How a step is held."""

    STATEMENT = "statement"
    REQUEST = "request"
    OWNERS = "statement of the tables' owner"


def kind_of(said: Said) -> Kind:
    """Who speaks decides."""
    kinds = {"http": Kind.REQUEST, "zapisano-owner": Kind.OWNERS}
    return kinds.get(said.speaker, Kind.STATEMENT)


@dataclass(frozen=True)
class Step:
    """The n-th time that something is said in one sale."""

    path: tuple[str, ...]
    number: int
    kind: Kind

    def hear(self) -> Callable[[Said], bool]:
        """What to hold back: counts from now on."""
        heard = 0

        def wanted(said: Said) -> bool:
            nonlocal heard
            heard += said.path == self.path
            return heard == self.number and said.path == self.path

        return wanted


@dataclass(frozen=True)
class Sale:
    """One buyer's."""

    buyer: Person
    order: str
    payment: str


@dataclass
class Shop:
    """The house, the tap before it, and the worker that is next to die."""

    house: House
    tap: Tap
    worker: Part
    steps: dict[str, list[Step]] = field(default_factory=dict[str, list[Step]])
    holding: list[Held] = field(default_factory=list[Held])

    # --- one sale ---

    def buyers(self, count: int) -> list[Sale]:
        """So many people on YooKassa's page; nothing of them is left to do."""
        people = [self.house.new_person() for _ in range(count)]
        orders = self.house.order(*people)
        payments = [self.house.checkout(order) for order in orders]
        # Asking after them again in half a minute is not what is tried here.
        self.house.rows(
            "UPDATE shared.due SET at = at + interval '1 day' WHERE kind = 'payments.poll'"
        )
        self.house.idle()
        return [Sale(*sale) for sale in zip(people, orders, payments, strict=True)]

    def begin(self, half: str, sale: Sale) -> None:
        """Pay, or create the bot by the link: the button brings a second update, behind this."""
        if half == "payment":
            self.house.pay(sale.payment)
        else:
            path = f"/telegram/people/{sale.buyer.id}/chats/{SALES_BOT}/managed-bots"
            self.house.knob(path, {"name": "Салон", "username": f"salon_{sale.buyer.id}_bot"})

    def undisturbed(self, half: str, sales: list[Sale]) -> None:
        """Let half of these sales happen."""
        for sale in sales:
            self.begin(half, sale)
        for sale in sales:
            until(lambda: self._is_over(half, sale), lambda: str(self.house.queue()))  # noqa: B023 # called at once
        self.house.idle()

    # --- its steps ---

    def learn(self, half: str, sale: Sale) -> None:
        """Do half a sale undisturbed and write down its steps."""
        begin = len(self.tap.heard)
        self.undisturbed(half, [sale])
        counts: dict[tuple[str, ...], int] = {}
        for said in self.tap.heard[begin:]:
            if is_step(said):
                counts[said.path] = counts.get(said.path, 0) + 1
                self.steps.setdefault(half, []).append(
                    Step(said.path, counts[said.path], kind_of(said))
                )

    def _is_over(self, half: str, sale: Sale) -> bool:
        rows = self.house.rows(
            """SELECT t.state FROM shared.orders AS o JOIN shared.tenants AS t ON t.id = o.tenant_id
               WHERE o.id = $1::text::uuid""",
            sale.order,
        )
        return rows == [{"state": "awaiting_bot" if half == "payment" else "active"}]

    # --- holding, killing ---

    def hold(self, half: str, step: Step, sale: Sale) -> Held:
        """Let a sale come as far as a step, and all that it has to do beside that be done."""
        self.tap.hold(step.hear())
        self.begin(half, sale)
        held = self.tap.held.get(timeout=60)
        self.holding.append(held)
        until(self._is_still, lambda: f"{self._held()} held: {self.house.queue()}")
        return held

    def hold_end(self, half: str, kind: str, lane: str, sale: Sale) -> None:
        """Let a sale come as far as the news, for the queue, that its job of this kind is done."""

        def wanted(said: Said) -> bool:
            return said.speaker == f"zapisano-worker-{lane}" and said.words.startswith(DONE)

        self.tap.hold(wanted)
        self.begin(half, sale)
        while True:
            held = self.tap.held.get(timeout=60)
            newest = [job["id"] for job in self.house.queue() if job["kind"] == kind][-1:]
            if newest and struct.pack("!q", newest[0]) in held.said.payload:
                return
            self.tap.hold(wanted)
            held.let_go()

    def _is_still(self) -> bool:
        """Have all jobs ended but those held back?"""
        return [job["status"] for job in self.house.queue()] == ["picked"] * self._held()

    def _held(self) -> int:
        return sum(not held.is_given_up() for held in self.holding)

    def kill(self) -> float:
        """The end of a worker in the middle of everything."""
        self.worker.kill()
        self.tap.cut()
        self.holding.clear()
        return monotonic()

    def recover(self, killed_at: float) -> None:
        """Another worker takes up what the dead one held, soon, and finishes it."""
        orphans = {job["id"] for job in self.house.queue() if job["status"] == "picked"}
        begin = len(self.tap.heard)
        self.worker = self.house.new_worker(**through(self.tap, self.house))
        self.worker.start()
        since = max(killed_at, monotonic())
        self.house.idle()
        for said in self.tap.heard[begin:]:
            if said.words.startswith(STARTED):
                taken = {job for job in orphans if struct.pack("!q", job) in said.payload}
                orphans -= taken
                assert not taken or said.at - since < TAKEN_UP_WITHIN_SECONDS
        assert not orphans


def is_step(said: Said) -> bool:
    """Does it belong to the sale, and does it do something?"""
    if said.speaker == "http":
        return True
    inside = said.path[0].startswith("BEGIN") and len(said.path) > 1
    return inside and "WITH ripe AS" not in " ".join(said.path)


def through(tap: Tap, house: House) -> dict[str, str]:
    """Settings of a worker that speaks through the tap only."""
    real = house.owner_dsn.rpartition("@")[2].partition("/")[0]
    tapped = f"{LOOPBACK}:{tap.database_port}"
    outside = f"http://{LOOPBACK}:{tap.outside_port}"
    return {
        "DATABASE_URL": house.owner_dsn.replace(real, tapped),
        "DATABASE_POOL_SIZE": "40",
        "TELEGRAM_API_BASE": outside,
        "YOOKASSA_API_URL": f"{outside}/v3",
    }


@pytest.fixture(scope="module")
def shop(servers: Servers, template_database: str) -> Iterator[Shop]:
    """A shop that has learned what a sale's steps are."""
    with running_house(servers, template_database) as house:
        database = (LOOPBACK, servers.postgres.port)
        with Tap(database, (LOOPBACK, house.simulator_port)).running() as tap:
            shop = Shop(house, tap, house.new_worker(**through(tap, house)))
            shop.worker.start()
            try:
                (sale,) = shop.buyers(1)
                for half in HALVES:
                    shop.learn(half, sale)
                yield shop
            finally:
                shop.worker.kill()


def test_the_tap_hears_every_step(shop: Shop, tmp_path: Path) -> None:
    """The list is complete if nothing of what a sale leaves behind was done past the tap."""
    for half, landmarks in LANDMARKS.items():
        words = [step.path[-1] for step in shop.steps[half]]
        (tmp_path / half).write_text("\n".join(words))
        at = -1
        for landmark in landmarks:
            at = next(i for i, word in enumerate(words) if i > at and word.startswith(landmark))
    assert shop.worker.process is not None
    ports = remote_ports(shop.worker.process.pid)
    redis = int(shop.house.redis_url.rpartition(":")[2].partition("/")[0])
    assert {shop.tap.database_port} <= ports
    assert ports <= {shop.tap.database_port, shop.tap.outside_port, redis}


LANDMARKS = {
    "payment": (
        STARTED,
        "GET /v3/payments/",
        "SELECT 1 FROM shared.orders WHERE id = $1 FOR UPDATE",
        "INSERT INTO shared.tenants",
        "SELECT shared.enqueue_job",
        "UPDATE shared.orders SET status = 'paid'",
        "INSERT INTO shared.day_grants",
        "INSERT INTO shared.subscriptions",
        "UPDATE shared.notifications SET handled_at",
        "COMMIT",
        "CREATE SCHEMA",
        "CREATE TABLE",
        "COMMIT",
        "DO $$ BEGIN CREATE ROLE",
        "GRANT",
        "COMMIT",
        "UPDATE shared.tenants SET state",
        "COMMIT",
        "POST /bot…/sendMessage",
    ),
    "bot": (
        STARTED,
        "POST /bot…/getManagedBotToken",
        "INSERT INTO shared.bots",
        "COMMIT",
        "POST /bot…/getMe",
        "POST /bot…/setWebhook",
        "POST /bot…/setMyCommands",
        "UPDATE shared.bots SET attached_at",
        "UPDATE shared.tenants SET state",
        "COMMIT",
        "POST /bot…/sendMessage",
        "POST /bot…/sendMessage",
    ),
}


def remote_ports(pid: int) -> set[int]:
    """The ports that a process is connected to, as the kernel says."""
    table = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    established = (row for row in table if row[3] == "01" and f"socket:[{row[9]}]" in links)
    return {int(row[2].rpartition(":")[2], 16) for row in established}


@pytest.mark.parametrize("turn", range(len(ENDS)))
def test_killed_between_any_two_steps(shop: Shop, turn: int) -> None:
    missed = kill_once(shop, in_nobodys_way(shop.steps, turn), ENDS[turn])
    while missed:  # a slow machine: a request was given up before the last step was reached
        missed, before = kill_once(shop, missed, ()), len(missed)
        assert len(missed) < before


def kill_once(
    shop: Shop, steps: list[tuple[str, Step]], ends: tuple[tuple[str, str, str], ...]
) -> list[tuple[str, Step]]:
    """Hold a sale at each of these steps and ends, kill, recover; return what was not held."""
    halves = [half for half, _ in steps] + [half for half, *_ in ends]
    buying, attaching = (shop.buyers(halves.count(half)) for half in HALVES)
    shop.undisturbed("payment", attaching)
    waiting = {"payment": iter(buying), "bot": iter(attaching)}
    held: list[tuple[tuple[str, Step], Sale, Held]] = []
    for step in steps:
        sale = next(waiting[step[0]])
        held.append((step, sale, shop.hold(*step, sale)))
    for half, kind, lane in ends:
        shop.hold_end(half, kind, lane, next(waiting[half]))
    missed = [(step, sale) for step, sale, one in held if one.is_given_up()]

    killed_at = shop.kill()
    twice = told_and_to_be_told_again(shop, [*buying, *attaching])
    assert {kind for _, kind in twice} >= {kind for _, kind, _ in ends} & set(MESSAGES)
    shop.recover(killed_at)

    shop.undisturbed("bot", buying)
    for sale in (*buying, *attaching):
        whole(shop, sale)
        for kind, text in MESSAGES.items():
            told = shop.house.said(sale.buyer, text)
            if sale in (one for _, one in missed):  # its retry may have been cut off anywhere
                assert told in {1, 2}
            else:
                assert told == 1 + ((sale.buyer.id, kind) in twice), kind
    alone(shop)
    return [step for step, _ in missed]


def in_nobodys_way(steps: dict[str, list[Step]], turn: int) -> list[tuple[str, Step]]:
    """This turn's steps, each with its half, in an order in which all can be held at once.

    Within a kind latest first: who comes later is held earlier, and needs no lock of those before.
    Requests after statements, for who asks gives up after a while. The owner's statements last: one
    held after `GRANT booking_tenant` keeps every other tenant's role from being made.
    """
    chosen: list[tuple[str, Step]] = []
    for kind in (Kind.STATEMENT, Kind.REQUEST, Kind.OWNERS):
        for half in reversed(HALVES):
            of_kind = [step for step in steps[half] if step.kind is kind]
            mine = of_kind[turn::TURNS] if turn < TURNS else []
            chosen += [(half, step) for step in reversed(mine)]
    return chosen


def told_and_to_be_told_again(shop: Shop, sales: list[Sale]) -> set[tuple[int, str]]:
    """Whom Telegram has brought a message whose job the queue still holds, and which one."""
    waiting = shop.house.rows(
        """SELECT t.owner_id, q.entrypoint AS kind
           FROM shared.pgqueuer AS q
           CROSS JOIN LATERAL (SELECT convert_from(q.payload, 'UTF8')::jsonb AS said) AS job
           LEFT JOIN shared.bots AS b ON b.bot_id = (job.said ->> 'bot_id')::bigint
           JOIN shared.tenants AS t ON t.id = coalesce(job.said ->> 'tenant_id', b.tenant_id)
           WHERE q.entrypoint = ANY ($1::text[])""",
        list(MESSAGES),
    )
    buyers = {sale.buyer.id: sale.buyer for sale in sales}
    return {
        (job["owner_id"], job["kind"])
        for job in waiting
        if shop.house.said(buyers[job["owner_id"]], MESSAGES[job["kind"]])
    }


def whole(shop: Shop, sale: Sale) -> None:
    """One order paid, one tenant, one schema, one role, one bot."""
    house = shop.house
    (tenant,) = house.rows(
        "SELECT id, state FROM shared.tenants WHERE owner_id = $1", sale.buyer.id
    )
    assert tenant["state"] == "active"
    (order,) = house.rows(
        """SELECT id::text, status, payment_id, tenant_id FROM shared.orders
           WHERE buyer_id = $1""",
        sale.buyer.id,
    )
    assert order == {
        "id": sale.order,
        "status": "paid",
        "payment_id": sale.payment,
        "tenant_id": tenant["id"],
    }
    (counts,) = house.rows(
        """SELECT
            (SELECT count(*) FROM shared.day_grants WHERE tenant_id = $1) AS periods,
            (SELECT count(*) FROM pg_namespace WHERE nspname = $1) AS schemas,
            (SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND tablename = 'bookings')
                AS books,
            (SELECT count(*) FROM pg_roles WHERE rolname = current_database() || '_' || $1)
                AS roles,
            (SELECT count(*) FROM shared.bots WHERE tenant_id = $1 AND attached_at IS NOT NULL
                AND webhook_url IS NOT NULL) AS bots,
            (SELECT count(*) FROM shared.journal WHERE tenant = $1
                AND kind IN ('payment.settled', 'tenant.schema_created', 'tenant.awaiting_bot',
                    'bot.attached', 'tenant.active')) AS events,
            (SELECT count(*) FROM shared.due WHERE subject LIKE $1 || ':%' OR subject = $2) AS due
        """,
        tenant["id"],
        sale.order,
    )
    assert counts == {
        "periods": 1,
        "schemas": 1,
        "books": 1,
        "roles": 1,
        "bots": 1,
        "events": 5,
        "due": 0,
    }


def alone(shop: Shop) -> None:
    """Nothing was made beside the sales, and nobody has to look at anything."""
    (counts,) = shop.house.rows(
        """SELECT (SELECT count(*) FROM shared.tenants) AS tenants,
            (SELECT count(*) FROM shared.orders) AS orders,
            (SELECT count(*) FROM shared.tenant_versions) AS schemas,
            (SELECT count(*) FROM shared.bots) - 1 AS bots,
            (SELECT count(*) FROM shared.reviews) AS reviews,
            (SELECT count(*) FROM shared.pgqueuer) AS jobs"""
    )
    orders = counts["orders"]
    assert counts == {
        "tenants": orders,
        "orders": orders,
        "schemas": orders,
        "bots": orders,
        "reviews": 0,
        "jobs": 0,
    }
