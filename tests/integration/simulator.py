"""The simulated world as a real process on a free port, and a phone to use it with."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from zapisano.simulator.config import Config

START_SECONDS = 30.0
STOP_SECONDS = 10.0
SALES_BOT_TOKEN = "7000000001:AAsimulated-sales-bot-token-0123456"
UNLIMITED = {"per_second": 1_000_000, "burst": 1_000_000}
REAL_LIMITS = {
    "bot": {"per_second": 30, "burst": 30},
    "chat": {"per_second": 1, "burst": 20},
    "webhook": {"per_second": 1, "burst": 1},
}
Json = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Simulator:
    """One simulator with its folder; it can be stopped, killed and started again on its port."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.sales_bot_token = SALES_BOT_TOKEN
        self.sales_bot_id = int(SALES_BOT_TOKEN.partition(":")[0])
        self.client = httpx.Client(base_url=self.base_url, timeout=30, trust_env=False)
        self.environment = {
            "SIMULATOR_PORT": str(self.port),
            "SIMULATOR_DIR": str(folder),
            "SIMULATOR_SALES_BOT_TOKEN": SALES_BOT_TOKEN,
            **environment,
        }
        with pytest.MonkeyPatch.context() as patch:
            for key, value in self.environment.items():
                patch.setenv(key, value)
            self.config = Config.from_environment()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it says that it is ready."""
        with ready_socket() as (address, wait):
            self.process = subprocess.Popen(
                [sys.executable, "-m", "zapisano.simulator"],
                env={**os.environ, **self.environment, "NOTIFY_SOCKET": address},
            )
            wait()

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(STOP_SECONDS)
        self.process = None
        return code

    def kill(self) -> None:
        """Die at once, as by a power cut of the process."""
        self.end(signal.SIGKILL)

    def stop(self) -> int:
        """Stop as a supervisor asks."""
        return self.end(signal.SIGTERM)

    def close(self) -> None:
        self.client.close()
        if self.process is not None:
            self.stop()

    def post(self, path: str, body: object = None) -> Any:
        return self.client.post(path, json=body).raise_for_status().json()

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, params=query).raise_for_status().json()

    def fail(self, kind: str, **more: Any) -> None:
        """Order one fault in the place of those before."""
        self.post("/telegram/control", {"fail": [{"kind": kind, **more}]})

    def reset_knobs(self) -> None:
        """No faults, and no limits: tests of other things may be quick."""
        limits = dict.fromkeys(("bot", "chat", "webhook"), UNLIMITED)
        self.post("/telegram/control", {"fail": [], "limits": limits})

    def new_person(self, name: str = "Вера", language_code: str = "ru") -> int:
        person = self.post("/telegram/people", {"first_name": name, "language_code": language_code})
        return int(person["id"])

    def new_bot(self, owner: int, name: str = "Проба") -> tuple[int, str]:
        """Create a bot at BotFather's: its id and its token."""
        username = f"probe_{os.urandom(6).hex()}_bot"
        made = self.post(
            f"/telegram/people/{owner}/botfather", {"name": name, "username": username}
        )
        return int(made["id"]), str(made["token"])


@contextlib.contextmanager
def ready_socket() -> Generator[tuple[str, Callable[..., None]]]:
    """Listen as a supervisor does; Unix sockets need a short path."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        address = f"{folder}/ready"
        listener.bind(address)
        listener.settimeout(START_SECONDS)

        def wait(state: str = "READY=1") -> None:
            assert listener.recv(4096).decode() == state

        yield address, wait


class Phone:
    """One person's telephone, over the same HTTP that the page uses."""

    def __init__(self, client: httpx.AsyncClient, person: int) -> None:
        self.client = client
        self.person = person

    def path(self, bot: int, action: str = "") -> str:
        return f"/telegram/people/{self.person}/chats/{bot}{action}"

    async def post(self, bot: int, action: str, body: Json | None = None) -> Json:
        answer = await self.client.post(self.path(bot, action), json=body)
        return answer.raise_for_status().json()

    async def start(self, bot: int, payload: str = "") -> Json:
        return await self.post(bot, "/start", {"payload": payload})

    async def say(self, bot: int, text: str) -> Json:
        return await self.post(bot, "/messages", {"text": text})

    async def press(self, bot: int, message_id: int, data: str) -> Json:
        return await self.post(bot, "/callbacks", {"message_id": message_id, "data": data})

    async def chat(self, bot: int) -> Json:
        return (await self.client.get(self.path(bot))).raise_for_status().json()

    async def messages(self, bot: int) -> list[Json]:
        return (await self.chat(bot))["messages"]

    async def answers(self, bot: int) -> list[Json]:
        """What the bot has said."""
        return [m for m in await self.messages(bot) if m["from_bot"]]


@pytest.fixture(scope="session")
def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> Generator[Simulator, None, None]:
    """One process for all tests of a worker: every test makes people and bots of its own."""
    started = Simulator(tmp_path_factory.mktemp("simulator"), {})
    started.start()
    yield started
    started.close()


@pytest.fixture
def simulator(simulator_process: Simulator) -> Simulator:
    """The shared simulator with its knobs at rest."""
    simulator_process.reset_knobs()
    return simulator_process


@pytest.fixture
def own_simulator(tmp_path: Path) -> Generator[Simulator, None, None]:
    """A simulator for one test alone, which may stop and kill it."""
    started = Simulator(tmp_path / "simulator", {})
    started.start()
    started.reset_knobs()
    yield started
    started.close()


@pytest.fixture
async def phone(simulator: Simulator) -> AsyncGenerator[Phone, None]:
    """The telephone of somebody new."""
    async with httpx.AsyncClient(
        base_url=simulator.base_url, timeout=30, trust_env=False
    ) as client:
        yield Phone(client, simulator.new_person())
