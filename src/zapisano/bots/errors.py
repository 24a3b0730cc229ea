"""What Telegram may refuse, in the domain's words. Session raises these, never aiogram's own."""

from zapisano.errors import Busy, Conflict, Refused


class BlockedByPerson(Conflict):
    """The person has blocked the bot, left, or never started it: there is nobody to write to."""

    code, text = "blocked_by_person", "The person has blocked the bot or never started it."


class TokenRevoked(Busy):
    """Telegram has refused the stored token twice; the bot needs a new one.

    What was to be done waits for it as for anything else that is away, a day at most.
    """

    code, text = "token_revoked", "The bot's token is no longer valid."


class WrongToken(Refused):
    """A token somebody has given us opens no bot."""

    code, text = "wrong_token", "This is not a valid bot token."


class MistypedToken(WrongToken):
    """What somebody has given us is no whole token."""

    code, text = "mistyped_token", "This is not a whole bot token."


class NothingAwaits(Conflict):
    """A bot came, and none of this person's tenants waits for one."""

    code, text = "nothing_awaits", "None of your paid subscriptions is waiting for a bot."


class BotTaken(Conflict):
    """The bot already works for another tenant."""

    code, text = "bot_taken", "This bot is already connected to another business."
