"""What a request costs: an amount, or a model's tokens by the price list; and how much it may."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from zapisano.credits.prices import Price, Prices, Tokens, read_prices
from zapisano.errors import BrokenSetting, Refused
from zapisano.settings import Settings
from zapisano.telemetry import get_logger
from zapisano.web.auth import NotConfigured
from zapisano.web.billing.bodies import Amount, Body
from zapisano.web.billing.caller import Caller

log = get_logger("zapisano.web.billing")

TOKENS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["input", "output"],
    "properties": {
        name: {"type": "integer", "minimum": 0, "maximum": 100_000_000}
        for name in ("input", "output", "cached_input")
    },
    "description": "cached_input was read from a cache and is not part of input",
}


class NoPrices(NotConfigured):
    """The price list cannot be read; the log says what is wrong with it."""

    text: ClassVar[str] = "There are no prices until the operator mends CREDITS_PRICES_FILE."


@dataclass(frozen=True)
class Due:
    """An amount, or a cost that is finer than one."""

    amount: Decimal | None
    cost: Decimal | None

    @property
    def total(self) -> Decimal:
        """Whichever there is."""
        return self.amount if self.amount is not None else self.cost or Decimal(0)


def _in_one_order(tokens: object) -> object:
    """Write an object's fields in one order: a repetition is one however they were sent."""
    if not isinstance(tokens, dict):
        return tokens
    return dict(sorted(cast("dict[str, object]", tokens).items()))


class Priced(Body):
    """A price: an amount, or a model and its tokens."""

    amount: Amount | None = None
    model: str | None = Field(None, min_length=1, max_length=200)
    tokens: Annotated[Any, BeforeValidator(_in_one_order), WithJsonSchema(TOKENS)] = None

    @model_validator(mode="after")
    def _is_one_price(self) -> Self:
        by_tokens = self.model is not None or self.tokens is not None
        if self.amount is not None and by_tokens:
            raise PydanticCustomError(
                "price", "send an amount, or a model and its tokens: one of them, not both"
            )
        if self.amount is None and (self.model is None or self.tokens is None):
            raise PydanticCustomError("price", "send an amount, or a model and its tokens")
        return self

    def due(self, settings: Settings) -> Due:
        """Return what is to be charged.

        Raises:
            Refused, UnknownModel: tokens that cannot be counted, or a model without a price.
            NoPrices: the price list cannot be read.
        """
        if self.model is None:
            return Due(self.amount, None)
        price, tokens = self._read(settings)
        return Due(None, price.cost(tokens))

    def worst(self, settings: Settings) -> Decimal:
        """Return what is to be held: the amount, or the most that the tokens may cost.

        Raises:
            As `due`.
        """
        if self.amount is not None:
            return self.amount
        price, tokens = self._read(settings)
        read = tokens.input + tokens.cached_input  # the cache may have forgotten them
        return price.worst_case(read, tokens.output)

    def _read(self, settings: Settings) -> tuple[Price, Tokens]:
        """Read the model, then its tokens: of both mistakes the model's is told."""
        price = prices_of(settings).of(self.model or "")
        return price, Tokens.read(self.tokens)


def prices_of(settings: Settings) -> Prices:
    """Return the price list.

    Raises:
        NoPrices: it cannot be read.
    """
    try:
        return read_prices(settings.credits_prices_file)
    except BrokenSetting as error:
        log.error("no_prices", reason=error.detail)  # noqa: TRY400 # one line says it all
        raise NoPrices from error


def check_most(caller: Caller, settings: Settings, total: Decimal) -> None:
    """Bound what one request may move: a key has a limit of its own, or none.

    Raises:
        Refused, OverKeyLimit: it is more.
    """
    if caller.key is not None:
        caller.key.bear(total)
    elif total > settings.credits_most_per_charge:
        raise Refused(f"amount: at most {settings.credits_most_per_charge} at once")
