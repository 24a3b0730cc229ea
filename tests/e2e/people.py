"""People with telephones, over the same HTTP that the phone page uses: they write, press, pay."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

Json = dict[str, Any]
Found = TypeVar("Found")
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05


def until(
    look: Callable[[], Found | None],
    what: str | Callable[[], str] = "it",
    seconds: float = PATIENCE_SECONDS,
) -> Found:
    """Look again and again until something is there; `what` says what was missing at the end."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            missing = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds:.0f} s: {missing}")
        time.sleep(POLL_SECONDS)
    return found


@dataclass(frozen=True)
class Chat:
    """One person's chat with one bot."""

    http: httpx.Client
    person: int
    bot: int

    def _path(self, action: str = "") -> str:
        return f"/telegram/people/{self.person}/chats/{self.bot}{action}"

    def _post(self, action: str, body: Json | None = None) -> Json:
        return self.http.post(self._path(action), json=body).raise_for_status().json()

    def show(self) -> Json:
        """The chat as the phone shows it: bot, messages, keyboard, menu button."""
        return self.http.get(self._path()).raise_for_status().json()

    def answers(self) -> list[Json]:
        """What the bot has said and not taken back, the oldest first."""
        return [message for message in self.show()["messages"] if message["from_bot"]]

    def last(self) -> Json:
        """What the bot said last."""
        return self.answers()[-1]

    def start(self, payload: str = "") -> None:
        """Press Start."""
        self._post("/start", {"payload": payload})

    def say(self, text: str) -> None:
        """Write something."""
        self._post("/messages", {"text": text})

    def share_contact(self) -> None:
        """Share one's own telephone number."""
        self._post("/contact")

    def wait_for(self, text: str, after: int = 0) -> Json:
        """The newest message of the bot with this in it, when there is one above id `after`."""

        def find() -> Json | None:
            fits = (m for m in reversed(self.answers()) if text in (m["text"] or ""))
            return next((m for m in fits if m["message_id"] > after), None)

        return until(find, lambda: f"{text!r} in {self._texts()}")

    def button(self, text: str) -> tuple[Json, Json]:
        """A message and its inline button with this on it, the newest, when there is one."""

        def find() -> tuple[Json, Json] | None:
            for message in reversed(self.answers()):
                for row in message["inline_keyboard"] or []:
                    for button in row:
                        if text in button["text"]:
                            return message, button
            return None

        return until(find, lambda: f"button {text!r} in {self._texts()}")

    def press(self, text: str) -> Json:
        """Press an inline button: the bot's answer to the tap, or the link that opened."""
        message, button = self.button(text)
        if url := button.get("url"):
            return {"text": None, "show_alert": False, "url": url}
        body = {"message_id": message["message_id"], "data": button["callback_data"]}
        return self._post("/callbacks", body)

    def buttons(self) -> list[Json]:
        """The inline buttons below what the bot said last, row by row."""
        return [button for row in self.last()["inline_keyboard"] or [] for button in row]

    def pick(self, words: str, number: int, look: Callable[[str], bool]) -> str:
        """On the screen with these words press a button whose text fits: which one, from 0.

        Where there are fewer, the last.
        """
        self.wait_for(words)
        message = self.last()
        fits = [one for row in message["inline_keyboard"] or [] for one in row if look(one["text"])]
        chosen = fits[: number + 1][-1]
        body = {"message_id": message["message_id"], "data": chosen["callback_data"]}
        self._post("/callbacks", body)
        return str(chosen["text"])

    def book(self, service: str = "Стрижка") -> str:
        """Book in a tenant's bot: the second free day, its last hour. The time, as `18:00`."""
        self.start()
        self.press("Записаться")
        self.press(service)
        self.pick("В какой день?", 1, str.isdecimal)
        at = self.pick("Во сколько?", 99, lambda text: ":" in text)
        self.press("✅ Записаться")
        self.wait_for("Вы записаны!")
        return at

    def create_bot(self, username: str = "") -> Json:
        """Press the reply keyboard's create-bot button and confirm Telegram's dialog."""

        def find() -> Json | None:
            rows = (self.show()["keyboard"] or {"rows": []})["rows"]
            wanted = (button["request_managed_bot"] for row in rows for button in row)
            return next((one for one in wanted if one), None)

        asked = until(find, lambda: f"the create-bot button in {self._texts()}")
        body = {
            "request_id": asked["request_id"],
            "name": asked["suggested_name"],
            "username": username or asked["suggested_username"],
        }
        return self._post("/managed-bots", body)

    def _texts(self) -> list[tuple[str, list[str]]]:
        return [
            (m["text"], [b["text"] for row in m["inline_keyboard"] or [] for b in row])
            for m in self.answers()
        ]


@dataclass(frozen=True)
class Person:
    """Somebody with a telephone."""

    http: httpx.Client
    id: int

    def with_bot(self, bot: int | str) -> Chat:
        """The chat with a bot, by its number or its username; waits until the bot exists."""
        number = bot if isinstance(bot, int) else until(lambda: self._find(bot), lambda: f"@{bot}")
        return Chat(self.http, self.id, number)

    def _find(self, username: str) -> int | None:
        bots = self.http.get("/telegram/bots").raise_for_status().json()
        return next((one["id"] for one in bots if one["username"] == username), None)

    def at_botfather(self, name: str, username: str) -> Json:
        """Create a bot the old way; BotFather shows its token."""
        body = {"name": name, "username": username}
        path = f"/telegram/people/{self.id}/botfather"
        return self.http.post(path, json=body).raise_for_status().json()
