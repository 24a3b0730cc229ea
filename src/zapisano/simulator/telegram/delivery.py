"""Updates posted to webhooks: in order within a chat, again and again until taken."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from zapisano.simulator.telegram import parameters
from zapisano.simulator.telegram.errors import ApiError
from zapisano.simulator.telegram.model import Update, Webhook
from zapisano.simulator.telegram.parameters import Parameters
from zapisano.simulator.telegram.store import accounts, updates

LOG = logging.getLogger(__name__)
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 5.0
ANSWER_SECONDS = 60.0
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name, not a secret

Reply = Callable[[int, Parameters], Awaitable[None]]
"""What to do with a method call that a bot puts into its answer to a webhook."""


@dataclass
class Lane:
    """One chat's way to a webhook: one update at a time, the next try not before `retry_at`."""

    busy: bool = False
    delay: float = FIRST_DELAY_SECONDS
    retry_at: float = 0.0


class Courier:
    """Carries one bot's updates for as long as there are any."""

    def __init__(
        self, database: sqlite3.Connection, client: httpx.AsyncClient, reply: Reply, bot_id: int
    ) -> None:
        self.database = database
        self.client = client
        self.reply = reply
        self.bot_id = bot_id
        self.lanes: dict[int, Lane] = {}
        self.flights: set[asyncio.Task[None]] = set()
        self.news = asyncio.Event()

    async def run(self) -> None:
        """Work until nothing is pending, or the webhook is gone."""
        try:
            while True:
                self.news.clear()
                wait = self.launch_patiently()
                if wait is None and not self.flights:
                    return
                try:
                    async with asyncio.timeout(wait):
                        await self.news.wait()
                except TimeoutError:
                    continue
        finally:
            for flight in self.flights:
                flight.cancel()

    def hurry(self) -> None:
        """Forget the delays: the webhook is a new one."""
        for lane in self.lanes.values():
            lane.delay, lane.retry_at = FIRST_DELAY_SECONDS, 0.0

    def launch_patiently(self) -> float | None:
        """Do so; a full disk may have room again later, and the updates wait for it."""
        try:
            return self.launch()
        except sqlite3.OperationalError:
            LOG.exception("The simulated Telegram cannot reach its state")
            return LONGEST_DELAY_SECONDS

    def launch(self) -> float | None:
        """Send off what may go now; return the seconds until the next retry, if one is due."""
        webhook = accounts.find_webhook(self.database, self.bot_id)
        if webhook is None:
            return None
        updates.expire(self.database, self.bot_id, int(time.time()))
        now = time.monotonic()
        waits: list[float] = []
        for update in updates.heads(self.database, self.bot_id):
            lane = self.lanes.setdefault(update.person_id, Lane())
            if lane.busy or len(self.flights) >= webhook.max_connections:
                continue
            if lane.retry_at > now:
                waits.append(lane.retry_at - now)
                continue
            lane.busy = True
            flight = asyncio.create_task(self.carry(webhook, update, lane))
            self.flights.add(flight)
            flight.add_done_callback(self.landed)
        return min(waits, default=None)

    def landed(self, flight: asyncio.Task[None]) -> None:
        """Make room for the next one."""
        self.flights.discard(flight)
        self.news.set()

    async def carry(self, webhook: Webhook, update: Update, lane: Lane) -> None:
        """Try to deliver one update; whatever goes wrong, it is tried again later."""
        headers = {SECRET_HEADER: webhook.secret_token} if webhook.secret_token else {}
        try:
            answer = await self.client.post(webhook.url, json=update.body, headers=headers)
            problem = wrong_answer(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            answer, problem = None, wrong_connection(error)
        lane.busy = False
        lane.retry_at = time.monotonic() + lane.delay
        lane.delay = min(lane.delay * 2, LONGEST_DELAY_SECONDS)
        try:
            if answer is None or problem:
                accounts.set_webhook_error(self.database, self.bot_id, int(time.time()), problem)
                return
            updates.take(self.database, self.bot_id, update.update_id)
        except sqlite3.OperationalError:
            LOG.exception("The simulated Telegram cannot reach its state")
            return
        self.lanes.pop(update.person_id, None)
        await self.obey(answer)

    async def obey(self, answer: httpx.Response) -> None:
        """Do what the answer asks: a bot may call one method in it, without learning the result."""
        kind = answer.headers.get("content-type", "")
        try:
            asked = parameters.read({}, kind, answer.content)
        except ApiError:
            return
        if asked.has("method"):
            await self.reply(self.bot_id, asked)


def wrong_answer(answer: httpx.Response) -> str:
    """Say what is wrong with an answer, in the words of getWebhookInfo; nothing if it is 2xx."""
    if answer.is_success:
        return ""
    return f"Wrong response from the webhook: {answer.status_code} {answer.reason_phrase}"


def wrong_connection(error: Exception) -> str:
    """Say why there was no answer, in the words of getWebhookInfo."""
    if isinstance(error, httpx.ConnectError):
        return "Connection refused"
    if isinstance(error, httpx.TimeoutException):
        return "Read timeout expired"
    return f"Connection failed: {error or type(error).__name__}"


class Deliveries:
    """The couriers of all bots that have something to hear."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.couriers: dict[int, Courier] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.open: Callable[[int], Courier] | None = None

    def wake(self, bot_id: int) -> None:
        """See that a courier looks at this bot's updates."""
        courier = self.couriers.get(bot_id)
        if courier is not None:
            courier.news.set()
        elif self.open is not None and accounts.find_webhook(self.database, bot_id) is not None:
            self.couriers[bot_id] = self.open(bot_id)
            task = asyncio.create_task(self.work(self.couriers[bot_id]))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def hurry(self, bot_id: int) -> None:
        """Try a bot's new webhook at once."""
        courier = self.couriers.get(bot_id)
        if courier is not None:
            courier.hurry()
        self.wake(bot_id)

    async def work(self, courier: Courier) -> None:
        """Employ a courier until there is nothing to carry."""
        try:
            await courier.run()
        finally:
            del self.couriers[courier.bot_id]

    @asynccontextmanager
    async def running(self, reply: Reply) -> AsyncGenerator[None, None]:
        """Deliver for as long as the block runs, beginning with what an earlier life left."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
        # `trust_env=False`: a proxy in the environment is no way to this machine's own ports.
        async with httpx.AsyncClient(
            timeout=ANSWER_SECONDS, limits=limits, trust_env=False
        ) as client:
            self.open = lambda bot_id: Courier(self.database, client, reply, bot_id)
            for bot_id in updates.bots_to_notify(self.database):
                self.wake(bot_id)
            try:
                yield
            finally:
                self.open = None
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)
