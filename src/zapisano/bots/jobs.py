"""What the bots ask to be done."""

from dataclasses import dataclass
from typing import Any, ClassVar

from zapisano.jobs import Job, Lane
from zapisano.tenancy import State


@dataclass(frozen=True)
class HandleUpdate(Job):
    """Handle an update that the inbox has taken in."""

    kind: ClassVar[str] = "bots.update"
    lane: ClassVar[Lane] = Lane.CHAT

    bot_id: int
    update: dict[str, Any]


@dataclass(frozen=True)
class Attach(Job):
    """Connect a bot to us: webhook, commands, description; then its tenant is active."""

    kind: ClassVar[str] = "bots.attach"

    bot_id: int


@dataclass(frozen=True)
class SetAccess(Job):
    """Shut a managed bot to all but its owner, or open it, as its tenant's state says."""

    kind: ClassVar[str] = "bots.set_access"

    bot_id: int


@dataclass(frozen=True)
class Welcome(Job):
    """Tell the owner, by the sales bot, that the new bot works, or one with a new token `again`."""

    kind: ClassVar[str] = "bots.welcome"

    bot_id: int
    again: bool = False


@dataclass(frozen=True)
class Hello(Job):
    """Greet the owner in the new bot; a job of its own, so that its retry repeats nothing else."""

    kind: ClassVar[str] = "bots.hello"

    bot_id: int


@dataclass(frozen=True)
class PromptNext(Job):
    """Offer the button again to an owner who has paid for one more bot, if there is one."""

    kind: ClassVar[str] = "bots.prompt_next"

    owner_id: int


@dataclass(frozen=True)
class TellOfChange(Job):
    """Tell the owner of a tenant's new state, as long as that is its state."""

    kind: ClassVar[str] = "bots.tell_of_change"

    tenant_id: str
    state: State


@dataclass(frozen=True)
class RemindToAttach(Job):
    """Remind a buyer, for the `n`-th time, to press the button that creates the bot."""

    kind: ClassVar[str] = "bots.remind_to_attach"

    tenant_id: str
    n: int


@dataclass(frozen=True)
class AskForToken(Job):
    """Tell an owner that Telegram refuses their bot's token."""

    kind: ClassVar[str] = "bots.ask_for_token"

    bot_id: int


@dataclass(frozen=True)
class ForgetUpdates(Job):
    """Delete the inbox's old lines, and ask for the same again later."""

    kind: ClassVar[str] = "bots.forget_updates"
