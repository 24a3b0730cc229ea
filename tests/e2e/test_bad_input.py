"""Bad input, and a world that is down: each has its answer, is in the log, and loses nothing.

Two tables. `REFUSALS`: what a caller may send, and the one answer to it. Below them the outages,
each with what a person or a caller sees meanwhile, what the log says, and that everything is there
once the outage is over.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from door import Door
from parts import MASTER_TOKEN, House, Part, running_house
from people import Chat, Json, Person, until

from shared_servers import Servers
from zapisano.stack.ports import LOOPBACK

pytestmark = pytest.mark.xdist_group("bad_input")
LIMIT = 64 * 1024
MASTER = {"Authorization": f"Bearer {MASTER_TOKEN}"}


@dataclass
class Place:
    """The house, a worker, and a door to each server they need."""

    house: House
    worker: Part
    doors: dict[str, Door]

    @contextmanager
    def without(self, *servers: str) -> Generator[None]:
        """Let servers be down for a while."""
        for server in servers:
            self.doors[server].shut()
        try:
            yield
        finally:
            for server in servers:
                self.doors[server].open()

    def sold(self, person: Person) -> Json:
        """A tenant whose bot works, bought by this person: its row in `bots`.

        The bot is one of BotFather's, with a pasted token: a managed bot's token renews itself.
        """
        (order,) = self.house.order(person)
        self.house.pay(self.house.checkout(order))
        until(lambda: self.paid_at(order), lambda: str(self.house.queue()))
        made = person.at_botfather("Салон", f"salon_{person.id}_bot")
        self.house.sales(person).say(made["token"])
        return until(lambda: self.bot_of(person), lambda: str(self.house.queue()))

    def bot_of(self, person: Person) -> Json | None:
        """The person's attached bot."""
        found = self.house.rows(
            """SELECT b.bot_id, b.path, b.secret, b.unauthorized_times, b.tenant_id
               FROM shared.bots AS b JOIN shared.tenants AS t ON t.id = b.tenant_id
               WHERE t.owner_id = $1 AND b.attached_at IS NOT NULL""",
            person.id,
        )
        return found[0] if found else None

    def paid_at(self, order: str) -> bool:
        """Is the order paid, and its tenant waiting for its bot?"""
        found = self.house.rows(
            """SELECT t.state FROM shared.orders AS o
               JOIN shared.tenants AS t ON t.id = o.tenant_id
               WHERE o.id = $1::text::uuid AND o.status = 'paid'""",
            order,
        )
        return found == [{"state": "awaiting_bot"}]


@pytest.fixture(scope="module")
def place(servers: Servers, template_database: str) -> Iterator[Place]:
    with running_house(servers, template_database) as house, ExitStack() as stack:
        redis = urlsplit(house.redis_url)
        targets = {
            "database": servers.postgres.port,
            "redis": redis.port or 0,
            "telegram": house.simulator_port,
            "yookassa": house.simulator_port,
        }
        doors = {
            name: stack.enter_context(Door((LOOPBACK, port)).standing())
            for name, port in targets.items()
        }
        host = redis.netloc.rpartition("@")[2]
        house.extra = {
            "DATABASE_URL": house.owner_dsn.replace(
                f":{servers.postgres.port}/", f":{doors['database'].port}/"
            ),
            "REDIS_URL": house.redis_url.replace(host, f"{LOOPBACK}:{doors['redis'].port}"),
            "TELEGRAM_API_BASE": f"http://{LOOPBACK}:{doors['telegram'].port}",
            "YOOKASSA_API_URL": f"http://{LOOPBACK}:{doors['yookassa'].port}/v3",
            "ZAPISANO_TRUSTED_PROXIES": "127.0.0.0/8",
        }
        house.serve.kill()
        house.serve.env = house.environment()
        house.serve.start()
        worker = house.new_worker()
        stack.callback(worker.kill)
        worker.start()
        yield Place(house, worker, doors)


# --- what a caller may send ---


@dataclass(frozen=True)
class Refusal:
    """What is sent where, and what comes back."""

    name: str
    where: str
    body: bytes | Callable[[], Iterator[bytes]]
    status: int
    code: str
    headers: tuple[tuple[str, str], ...] = ()


def drip() -> Iterator[bytes]:
    """A body above the limit whose length is not announced."""
    for _ in range(LIMIT // 1024 + 1):
        yield b" " * 1024


def notification(**fields: object) -> bytes:
    """A notification with these fields in the place of good ones."""
    good = {"type": "notification", "event": "payment.succeeded", "object": {"id": "unheard-of"}}
    return json.dumps({**good, **fields}).encode()


HUGE = b"{" + b" " * LIMIT
DEEP = b"[" * 20_000 + b"]" * 20_000
ENDLESS = notification(x=0).replace(b'"x": 0', b'"x": 1e999')
STRANGER = (("X-Forwarded-For", "203.0.113.7"),)
NO_SECRET = (("X-Telegram-Bot-Api-Secret-Token", ""),)
WRONG_SECRET = (("X-Telegram-Bot-Api-Secret-Token", "пароль".encode().decode("latin-1")),)
NO_TOKEN, WRONG_TOKEN = (("Authorization", ""),), (("Authorization", "Bearer guess"),)
TENANT = {"name": "Салон", "owner_id": 100200301}
REFUSALS = (
    Refusal("not JSON", "yookassa", b"{", 400, "malformed_notification"),
    Refusal("not UTF-8", "yookassa", b'{"event": "\xff"}', 400, "malformed_notification"),
    Refusal("empty", "yookassa", b"", 400, "malformed_notification"),
    Refusal("no object", "yookassa", b"[]", 400, "malformed_notification"),
    Refusal("too deep", "yookassa", DEEP, 400, "malformed_notification"),
    Refusal("event: 5", "yookassa", notification(event=5), 400, "malformed_notification"),
    Refusal("object: 5", "yookassa", notification(object=5), 400, "malformed_notification"),
    Refusal("id: 5", "yookassa", notification(object={"id": 5}), 400, "malformed_notification"),
    Refusal("NUL", "yookassa", notification(x="\0"), 400, "malformed_notification"),
    Refusal("1e999", "yookassa", ENDLESS, 400, "malformed_notification"),
    Refusal("> 64 KiB", "yookassa", HUGE, 413, "too_large"),
    Refusal("> 64 KiB, unannounced", "yookassa", drip, 413, "too_large"),
    Refusal("a stranger", "yookassa", notification(), 403, "forbidden", STRANGER),
    Refusal("not JSON", "telegram", b"{", 400, "malformed"),
    Refusal("empty", "telegram", b"", 400, "malformed"),
    Refusal("no object", "telegram", b"[]", 400, "malformed"),
    Refusal("too deep", "telegram", b'{"update_id": ' + DEEP + b"}", 400, "malformed"),
    Refusal("update_id: text", "telegram", b'{"update_id": "1"}', 400, "malformed"),
    Refusal("update_id: 2^63", "telegram", b'{"update_id": 9223372036854775808}', 400, "malformed"),
    Refusal("> 64 KiB", "telegram", HUGE, 413, "too_large"),
    Refusal("> 64 KiB, unannounced", "telegram", drip, 413, "too_large"),
    Refusal("no secret", "telegram", b"{}", 401, "unauthorized", NO_SECRET),
    Refusal("wrong secret", "telegram", b"{}", 401, "unauthorized", WRONG_SECRET),
    Refusal("wrong path", "telegram/guess", b"{}", 404, "not_found"),
    Refusal("no token", "master", b"{}", 401, "unauthorized", NO_TOKEN),
    Refusal("wrong token", "master", b"{}", 401, "unauthorized", WRONG_TOKEN),
    Refusal("not JSON", "master", b"{", 400, "malformed"),
    Refusal("no object", "master", b"[]", 422, "wrong_input"),
    Refusal("no name", "master", b"{}", 422, "wrong_input"),
    Refusal(
        "owner: text",
        "master",
        json.dumps({**TENANT, "owner_id": "x"}).encode(),
        422,
        "wrong_input",
    ),
    Refusal("unknown field", "master", json.dumps({**TENANT, "x": 1}).encode(), 422, "wrong_input"),
    Refusal("> 64 KiB", "master", HUGE, 413, "too_large"),
    Refusal("> 64 KiB, unannounced", "master", drip, 413, "too_large"),
    Refusal("no such tenant", "master/client_987/suspend", b"", 404, "unknown_tenant"),
    Refusal("no tenant's name", "master/x;DROP/suspend", b"", 422, "wrong_input"),
)


@pytest.fixture(scope="module")
def doorstep(place: Place) -> Json:
    """A tenant's bot, whose door strangers may try."""
    bot = place.sold(place.house.new_person())
    place.house.idle()
    return bot


@pytest.mark.parametrize("bad", REFUSALS, ids=lambda bad: f"{bad.where}: {bad.name}")
def test_bad_input_is_refused(place: Place, doorstep: Json, bad: Refusal) -> None:
    house = place.house
    before = stored(house)
    request_id = f"bad-input-{abs(hash(bad.name + bad.where))}"
    answer = send(house, doorstep, bad, request_id)
    assert (answer.status_code, answer.json()["code"]) == (bad.status, bad.code), answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.headers["x-request-id"] == request_id
    assert until(lambda: house.serve.lines(request_id=request_id), request_id)
    if bad.where == "telegram" and bad.body is not HUGE:  # that one is not even looked at
        assert house.serve.lines(request_id=request_id, tenant=doorstep["tenant_id"])
    if "client_987" in bad.where:
        assert house.serve.lines(request_id=request_id, tenant="client_987")
    assert doorstep["secret"] not in house.serve.text()
    assert stored(house) == before


def send(house: House, bot: Json, bad: Refusal, request_id: str) -> httpx.Response:
    """Send it; what is good is sent with it unless the row says otherwise."""
    where, _, rest = bad.where.partition("/")
    secret = {"X-Telegram-Bot-Api-Secret-Token": bot["secret"]}
    address, headers = {
        "yookassa": (f"{house.webhook_url}/webhook/yookassa", {}),
        "telegram": (f"{house.api_url}/telegram/{rest or bot['path']}", secret),
        "master": (f"{house.api_url}/api/tenants{'/' if rest else ''}{rest}", MASTER),
    }[where]
    every = {**headers, **dict(bad.headers), "X-Request-Id": request_id}
    raw = {name.encode(): value.encode("latin-1") for name, value in every.items()}
    raw[b"Content-Type"] = b"application/json"
    content = bad.body if isinstance(bad.body, bytes) else bad.body()
    return house.http.post(address, content=content, headers=raw)


def stored(house: House) -> Json:
    """Counts of what a stranger could have put into the database; jobs come with these only."""
    (counts,) = house.rows(
        """SELECT (SELECT count(*) FROM shared.notifications) AS notifications,
            (SELECT count(*) FROM shared.updates) AS updates,
            (SELECT count(*) FROM shared.tenants) AS tenants"""
    )
    return counts


def test_an_unknown_event_is_kept_and_ignored(place: Place) -> None:
    """It may mean something to a later version: it is acknowledged, kept, and does nothing."""
    address = f"{place.house.webhook_url}/webhook/yookassa"
    body = notification(event="payment.teleported", object={"id": "from-the-future"})
    assert place.house.http.post(address, content=body).status_code == 200
    (kept,) = place.house.rows(
        "SELECT event, outcome, body FROM shared.notifications WHERE object_id = 'from-the-future'"
    )
    assert (kept["event"], kept["outcome"]) == ("payment.teleported", "ignored")
    assert json.loads(kept["body"]) == json.loads(body)


def test_an_update_that_nobody_understands_holds_up_nobody(place: Place, doorstep: Json) -> None:
    """Telegram is younger than our library: such an update is noted, the next one answered."""
    house = place.house
    body = {"update_id": 900_000_001, "message": "a telepathic one"}
    answer = house.http.post(
        f"{house.api_url}/telegram/{doorstep['path']}",
        json=body,
        headers={"X-Telegram-Bot-Api-Secret-Token": doorstep["secret"]},
    )
    assert answer.status_code == 200
    house.idle()
    assert place.worker.lines(event="update_not_understood", tenant=doorstep["tenant_id"])
    customer = customer_of(house, doorstep)
    customer.start()
    customer.wait_for("")


def customer_of(house: House, bot: Json) -> Chat:
    """Somebody's chat with a tenant's bot."""
    return house.new_person("Борис").with_bot(bot["bot_id"])


# --- a world that is down ---


def test_a_revoked_token_is_noticed_and_its_owner_asked(place: Place) -> None:
    house = place.house
    owner = house.new_person()
    bot = place.sold(owner)
    customer = customer_of(house, bot)
    fresh = house.knob("/telegram/control/revoke", {"bot": bot["bot_id"]})["token"]
    customer.start()
    house.sales(owner).wait_for("больше не принимает токен")
    assert house.said(owner, "больше не принимает токен") == 1
    assert (place.bot_of(owner) or {})["unauthorized_times"] == 2
    (line,) = place.worker.lines(event="bot_token_revoked", bot=bot["bot_id"])
    assert line["tenant"] == bot["tenant_id"]

    house.sales(owner).say(fresh)
    until(lambda: (place.bot_of(owner) or {}).get("unauthorized_times") == 0, "the new token")
    # What the customer wrote meanwhile has waited for the new token.
    customer.wait_for("")
    house.idle()
    assert fresh not in place.worker.text() + house.serve.text()


def test_telegram_out_of_reach_delays_words_and_nothing_else(place: Place) -> None:
    house = place.house
    buyer = house.new_person()
    house.idle()
    (order,) = house.order(buyer)
    with place.without("telegram"):
        house.pay(house.checkout(order))
        until(lambda: place.paid_at(order), lambda: str(house.queue()))
        until(lambda: len(retries(place, "Telegram")) > 1, "retries in the log")
        assert house.said(buyer, "Оплата получена") == 0
    house.idle()
    # Words come at least once: Telegram may have heard what it could not answer in time.
    assert house.said(buyer, "Оплата получена") >= 1
    assert house.said(buyer, "всё готово") >= 1


def retries(place: Place, word: str) -> list[Json]:
    """Log lines of jobs that will be tried again because of this."""
    lines = place.worker.lines(event="job_will_be_retried")
    return [line for line in lines if word in line["reason"] and line["job"]]


def test_yookassa_down_at_checkout_is_said_kindly(place: Place) -> None:
    house = place.house
    (order,) = house.order(house.new_person())
    with place.without("yookassa"):
        page = house.http.post(f"{house.api_url}/checkout/{order}/pay")
        assert page.status_code == 502
        assert page.headers["content-type"].startswith("text/html")
        assert 'role="alert"' in page.text
        assert f'action="/checkout/{order}/pay' in page.text
        assert house.serve.lines(event="yookassa_not_answering")
    house.pay(house.checkout(order))
    until(lambda: place.paid_at(order), lambda: str(house.queue()))


def test_yookassa_down_after_payment_delays_the_settle(place: Place) -> None:
    house = place.house
    (order,) = house.order(house.new_person())
    payment = house.checkout(order)
    with place.without("yookassa"):
        house.pay(payment)
        until(lambda: len(retries(place, "payment service")) > 1, "retries in the log")
        assert not place.paid_at(order)
    until(lambda: place.paid_at(order), lambda: str(house.queue()))
    house.idle()


def test_redis_down_stops_conversations_and_no_money(place: Place) -> None:
    house = place.house
    buyer = house.new_person()
    house.idle()
    (order,) = house.order(buyer)
    with place.without("redis"):
        greeted = len(house.sales(buyer).answers())
        house.sales(buyer).start()
        until(lambda: retries(place, "Redis"), "retries in the log")
        house.pay(house.checkout(order))
        until(lambda: place.paid_at(order), lambda: str(house.queue()))
        house.sales(buyer).wait_for("Оплата получена")
        assert place.worker.lives
    house.idle()
    # Payment received, all is ready, and Start's answer: one message, or two after the payment.
    assert len(house.sales(buyer).answers()) - greeted in {3, 4}


def test_what_is_typed_while_redis_is_away_is_read_in_its_order(place: Place) -> None:
    """Each has its own pause before the next attempt: the last must not overtake the first."""
    bot, hers = adding_a_service(place)
    before = failed_for_now(place)
    with place.without("redis"):
        for number, text in enumerate(("2 в 1", "45", "2000"), start=1):
            hers.say(text)
            until(lambda n=number: len(failed_for_now(place) - before) == n, "it is tried again")
    assert added(place, bot) == ("2 в 1", 45, 2000)


def test_what_is_typed_behind_an_attempt_that_fails_lets_it_come_again_first(place: Place) -> None:
    """The others wait for their turn already when the first one's attempt ends."""
    bot, hers = adding_a_service(place)
    fault = {"kind": "429", "bot": bot["bot_id"], "method": "*", "times": 2, "retry_after": 2}
    place.house.knob("/telegram/control", {"fail": [fault]})
    for text in ("Маникюр", "45", "1500"):
        hers.say(text)
    assert added(place, bot) == ("Маникюр", 45, 1500)


def adding_a_service(place: Place) -> tuple[Json, Chat]:
    """A tenant's bot that asks its owner for a new service's name."""
    owner = place.house.new_person()
    bot = place.sold(owner)
    place.house.idle()  # or its first word comes below what is being pressed
    hers = owner.with_bot(bot["bot_id"])
    hers.start()
    hers.wait_for("Салон")
    for button, words in (
        ("Услуги", "Нажмите на услугу"),
        ("Добавить услугу", "Напишите название"),
    ):
        until(lambda b=button: b in str(hers.buttons()), lambda: str(hers.answers()[-3:]))
        hers.press(button)
        hers.wait_for(words)
    place.house.idle()
    return bot, hers


def added(place: Place, bot: Json) -> tuple[str, int, int]:
    """The one service that the owner has added."""
    query = (
        f"SELECT name, duration_minutes, price FROM {bot['tenant_id']}.services"  # noqa: S608 # ours
        " WHERE id > 1"
    )
    (made,) = until(lambda: place.house.rows(query), lambda: str(place.house.queue()))
    return made["name"], made["duration_minutes"], int(made["price"])


def failed_for_now(place: Place) -> set[int]:
    """The updates that are tried again."""
    lines = place.worker.lines(event="job_will_be_retried", kind="bots.update")
    return {line["job"] for line in lines}


def test_database_down_is_503_until_it_is_back(place: Place, doorstep: Json) -> None:
    house = place.house
    buyer = house.new_person()
    (order,) = house.order(buyer)
    payment = house.checkout(order)
    house.idle()
    with place.without("database"):
        assert place.worker.process is not None
        assert place.worker.process.wait(60) == 1
        assert "Traceback" not in place.worker.text()
        assert place.worker.text().splitlines()[-1].startswith("The worker has lost the database")
        health = house.http.get(f"{house.webhook_url}/health")
        assert (health.status_code, health.json()["status"]) == (503, "down")
        telegram = f"/telegram/{doorstep['path']}"
        asked = (("GET", "/api/tenants"), ("GET", f"/checkout/{order}"), ("POST", telegram))
        for number, (method, path) in enumerate(asked):
            headers = {**MASTER, "X-Request-Id": f"database-down-{number}"}
            headers["X-Telegram-Bot-Api-Secret-Token"] = doorstep["secret"]
            body = {"update_id": 900_000_100}
            answer = house.http.request(method, house.api_url + path, headers=headers, json=body)
            assert answer.status_code == 503, path
            assert house.serve.lines(request_id=headers["X-Request-Id"], level="warning"), path
        house.pay(payment)
        house.sales(buyer).start()
        assert house.value("SELECT status FROM shared.orders WHERE id = $1::text::uuid", order) == (
            "pending"
        )
    place.worker.start()
    until(lambda: place.paid_at(order), lambda: str(house.queue()))
    assert house.http.get(f"{house.webhook_url}/health").json()["status"] == "ok"
    house.idle()


# --- a full disk ---


def test_a_full_disk_refuses_the_archive_and_drops_nothing(place: Place, tmp_path: Path) -> None:
    house = place.house
    bot = place.sold(house.new_person())
    tenant = bot["tenant_id"]
    with full_disk(tmp_path / "data") as limit:
        verb = ("tenants", "archive", tenant, "--yes")
        done = zapisano(house, *verb, folder=tmp_path / "data", limit=limit)
        assert done.returncode == 1
        assert "nothing was dropped" in done.stderr
        assert list((tmp_path / "data").rglob("*.zip")) == []
    (state,) = house.rows(
        """SELECT t.state, (SELECT count(*) FROM pg_namespace WHERE nspname = t.id) AS schemas,
            (SELECT count(*) FROM shared.archives WHERE tenant_id = t.id) AS archives
           FROM shared.tenants AS t WHERE t.id = $1""",
        tenant,
    )
    assert state == {"state": "active", "schemas": 1, "archives": 0}
    done = zapisano(house, *verb, folder=tmp_path / "roomy", limit=None)
    assert done.returncode == 0, done.stderr
    house.idle()


@contextmanager
def full_disk(folder: Path) -> Generator[int | None]:
    """A folder on a file system of 16 KiB; where we may not mount one, a limit on files."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and (
        subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0
    )
    if not mounted:
        yield 1024
        return
    try:
        with suppress(OSError), (folder / "ballast").open("wb") as ballast:
            while ballast.write(b"\0" * 1024):
                ballast.flush()
        yield None
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def zapisano(
    house: House, *words: str, folder: Path, limit: int | None
) -> subprocess.CompletedProcess[str]:
    """Run a command that keeps its files in a folder of its own."""

    def lower() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-P", "-m", "zapisano", *words],
        env={**house.environment(), "ZAPISANO_DATA_DIR": str(folder)},
        cwd=house.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lower,
    )
