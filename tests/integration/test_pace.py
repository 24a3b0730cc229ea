"""The one session: limits, patience, errors in our words; against the simulated Telegram."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest
from pydantic import SecretStr
from simulator import REAL_LIMITS, Phone, Simulator

from zapisano.bots.errors import BlockedByPerson, TokenRevoked, WrongToken
from zapisano.bots.session import Candidate, KnownBot, Session, TokenWatch, open_session
from zapisano.errors import BrokenSetting, Busy, Upstream
from zapisano.settings import Settings
from zapisano.vault import Vault


class Watch:
    """Counts as the registry does."""

    def __init__(self) -> None:
        self.times = 0

    async def refused(self, _bot: KnownBot) -> int:
        self.times += 1
        return self.times

    async def accepted(self, _bot: KnownBot) -> None:
        self.times = 0


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def session(
    settings: Settings, simulator: Simulator, watch: Watch
) -> AsyncGenerator[Session]:
    ours = settings.model_copy(update={"telegram_api_base": simulator.base_url})
    opened = open_session(ours, TokenWatch(watch.refused, watch.accepted))
    yield opened
    await opened.close()


@pytest.fixture
async def bot(session: Session, simulator: Simulator, phone: Phone) -> KnownBot:
    bot_id, token = simulator.new_bot(phone.person)
    await phone.start(bot_id)
    return KnownBot(token, session, b"as its row has it")


async def test_a_burst_passes_at_once_and_real_limits_are_never_met(
    bot: KnownBot, simulator: Simulator, phone: Phone
) -> None:
    simulator.post("/telegram/control", {"fail": [], "limits": REAL_LIMITS})
    people = [phone.person, *(simulator.new_person() for _ in range(2))]
    for person in people[1:]:
        simulator.post(f"/telegram/people/{person}/chats/{bot.id}/start", {})
    began = time.monotonic()
    sends = (bot.send_message(people[n % 3], str(n)) for n in range(40))
    await asyncio.gather(*sends)
    assert time.monotonic() - began < 10
    log = simulator.get("/telegram/control/log", bot=bot.id, method="sendMessage")
    assert len(log) == 40  # none was refused and sent again


async def test_a_short_429_is_waited_out(bot: KnownBot, simulator: Simulator, phone: Phone) -> None:
    simulator.fail("429", method="sendMessage", bot=bot.id, times=1, retry_after=1)
    began = time.monotonic()
    await bot.send_message(phone.person, "привет")
    assert time.monotonic() - began >= 1


async def test_a_long_429_goes_back_to_the_queue_and_stops_the_bots_other_sends(
    bot: KnownBot, simulator: Simulator, phone: Phone
) -> None:
    simulator.fail("429", method="sendMessage", bot=bot.id, times=1, retry_after=30)
    for _ in range(2):
        with pytest.raises(Busy):
            await bot.send_message(phone.person, "привет")
    log = simulator.get("/telegram/control/log", bot=bot.id, method="sendMessage")
    assert len(log) == 1


@pytest.mark.parametrize("kind", ["500", "reset"])
async def test_what_may_pass_is_upstream(
    bot: KnownBot, simulator: Simulator, phone: Phone, kind: str
) -> None:
    simulator.fail(kind, method="sendMessage", bot=bot.id, times=1)
    with pytest.raises(Upstream) as caught:
        await bot.send_message(phone.person, "привет")
    assert bot.token not in caught.value.detail


async def test_nobody_there(bot: KnownBot, simulator: Simulator, phone: Phone) -> None:
    with pytest.raises(BlockedByPerson):
        await bot.send_message(simulator.new_person(), "кто там?")
    simulator.post("/telegram/control/block", {"person": phone.person, "bot": bot.id})
    with pytest.raises(BlockedByPerson):
        await bot.send_message(phone.person, "привет")


async def test_a_token_is_doubted_then_believed_revoked(
    bot: KnownBot, simulator: Simulator, watch: Watch
) -> None:
    simulator.fail("401", method="getMe", bot=bot.id, times=1)
    with pytest.raises(Upstream):
        await bot.get_me()
    await bot.get_me()
    assert watch.times == 0
    simulator.post("/telegram/control/revoke", {"bot": bot.id})
    with pytest.raises(Upstream):
        await bot.get_me()
    with pytest.raises(TokenRevoked):
        await bot.get_me()


async def test_a_pasted_token_counts_against_nobody(session: Session, watch: Watch) -> None:
    with pytest.raises(WrongToken):
        await Candidate(f"12345678:{'A' * 35}", session).get_me()
    assert watch.times == 0


async def test_an_http_proxy_is_used(settings: Settings, bot: KnownBot) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        body = b'{"ok": true, "result": true}'
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ours = settings.model_copy(
        update={
            "telegram_api_base": "http://telegram.test",
            "telegram_proxy": SecretStr(f"http://127.0.0.1:{port}"),
        }
    )
    opened = open_session(ours)
    assert await Candidate(bot.token, opened).delete_webhook() is True
    assert seen[0].startswith(b"POST http://telegram.test/bot")
    await opened.close()
    server.close()


async def test_a_socks_proxy_is_used(settings: Settings, bot: KnownBot) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(3))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = SecretStr(f"socks5://127.0.0.1:{port}")
    opened = open_session(settings.model_copy(update={"telegram_proxy": address}))
    with pytest.raises(Upstream):
        await Candidate(bot.token, opened).delete_webhook()
    assert seen[0][:1] == b"\x05"  # RFC 1928: the version comes first
    await opened.close()
    server.close()
    await server.wait_closed()


def test_a_token_is_opened_only_with_the_key_that_locked_it(settings: Settings) -> None:
    token = f"12345678:{'A' * 35}"
    sealed = Vault(settings).lock(token)
    assert Vault(settings).unlock(sealed) == token
    other = settings.model_copy(update={"secret_key": SecretStr("another-secret-key-0123456789")})
    with pytest.raises(BrokenSetting, match="ZAPISANO_SECRET_KEY"):
        Vault(other).unlock(sealed)
