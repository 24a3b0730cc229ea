"""The bots we run, and what can be said about one without asking anybody."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from zapisano.settings import Settings
from zapisano.tenancy import TenantId

# What BotFather hands out: the id, a colon, 35 characters; in addresses it stands behind "bot".
TOKEN = re.compile(r"(?<![0-9])([0-9]{3,16}):([A-Za-z0-9_-]{35})(?![0-9A-Za-z_-])")
# A token with a few characters lost or added is most of a secret; the whole of one is within.
LIKE_TOKEN = re.compile(r"(?<![0-9])[0-9]{3,16}:[A-Za-z0-9_-]{20,}")
# A message that can only be the remains of a token.
MISTYPED = re.compile(r"\s*(?:[0-9]{5,16}:\S*|[0-9]{3,4}:[A-Za-z0-9_-]+)\s*\Z")
# After a token is revoked, Telegram's 401 may come and go for a while.
UNAUTHORIZED_BELIEVED = 2
SALES_UPDATES = ("message", "callback_query", "managed_bot", "pre_checkout_query")
TENANT_UPDATES = ("message", "callback_query", "my_chat_member")
OWNER_START = "admin"  # what a link to the owner's side says to the tenant's bot
USERNAME_LENGTH = 32
TRANSLITERATION = str.maketrans(
    {
        **dict(zip("абвгдеёзийклмнопрстуфхыэ", "abvgdeeziiklmnoprstufhye", strict=True)),
        "ж": "zh",
        "ц": "ts",
        "ч": "ch",
        "ш": "sh",
        "щ": "sch",
        "ъ": "",
        "ь": "",
        "ю": "yu",
        "я": "ya",
        "є": "e",
        "і": "i",
        "ї": "i",
        "ґ": "g",
        "ў": "u",
    }
)


@dataclass(frozen=True)
class BotRow:
    """One line of `shared.bots`. The sales bot has no tenant. `token` is encrypted."""

    bot_id: int
    tenant_id: TenantId | None
    username: str
    token: bytes
    path: str
    secret: str
    managed: bool
    webhook_url: str | None
    unauthorized_times: int
    attached_at: datetime | None

    @property
    def revoked(self) -> bool:
        """Whether Telegram's refusal of the token is believed."""
        return self.unauthorized_times >= UNAUTHORIZED_BELIEVED

    @property
    def allowed_updates(self) -> tuple[str, ...]:
        """The kinds of updates this bot wants; Telegram remembers the list."""
        return TENANT_UPDATES if self.tenant_id else SALES_UPDATES


def bot_link(settings: Settings, username: str, start: str = "") -> str:
    """Return where a person opens a bot, which is told `start` if that is given."""
    address = f"{settings.telegram_link_base}/{username}"
    return f"{address}?start={start}" if start else address


def new_secret() -> str:
    """Draw what cannot be guessed, of the characters Telegram allows in a secret token."""
    return secrets.token_urlsafe(32)


def bot_id_of(token: str) -> int:
    """Return the id of the bot a token belongs to."""
    return int(token.partition(":")[0])


def suggest_username(company: str, number: int) -> str:
    """Suggest a bot's username: the company's name in Latin letters, made valid.

    Telegram wants 5-32 characters of `[A-Za-z0-9_]`, a letter first and `bot` at the end; the
    tenant's number keeps two salons of one name apart.
    """
    latin = company.lower().translate(TRANSLITERATION)
    words = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]+", "_", latin)).strip("_")
    tail = f"_{number}_bot"
    head = words[: USERNAME_LENGTH - len(tail)].strip("_")
    if not head or not head[0].isalpha():
        head = f"salon_{head}".strip("_")[: USERNAME_LENGTH - len(tail)].strip("_")
    return head + tail
