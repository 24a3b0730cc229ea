"""The bots' two languages: English in the source, Russian in the catalogue, Russian by default."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiogram.types import TelegramObject, User
from aiogram.utils.i18n import I18n, I18nMiddleware

LOCALES = Path(__file__).with_name("locales")
RUSSIAN, ENGLISH = "ru", "en"
# Who reads Russian more readily than English, by Telegram's language code.
READ_RUSSIAN = {"ru", "uk", "be", "kk", "ky", "uz", "tg", "tk", "hy", "az", "mo", "tt", "ba", "cv"}

SALES = I18n(path=LOCALES, default_locale=RUSSIAN, domain="sales")
BOOKING = I18n(path=LOCALES, default_locale=RUSSIAN, domain="booking")


def language_of(code: str | None) -> str:
    """Return the language for a person whose Telegram speaks `code`; Russian when it is silent."""
    if not code:
        return RUSSIAN
    return RUSSIAN if code.partition("-")[0].lower() in READ_RUSSIAN else ENGLISH


@contextmanager
def speaking(catalogue: I18n, language: str) -> Generator[None]:
    """Let `gettext` use this catalogue and language: for messages that answer no update."""
    with catalogue.context(), catalogue.use_locale(language):
        yield


class TelegramLanguage(I18nMiddleware):
    """Speak the language of the person's Telegram."""

    async def get_locale(self, event: TelegramObject, data: dict[str, Any]) -> str:  # noqa: ARG002 # aiogram's signature
        """Return the language of whoever sent the update."""
        person: User | None = data.get("event_from_user")
        return language_of(person.language_code if person else None)
