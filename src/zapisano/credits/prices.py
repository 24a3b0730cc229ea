"""Prices of models: from tokens to credits, exact to the last place. Pure, but for reading a file.

The mistake to fear is the unit. A price typed per token where one per million belongs is a
millionth of it, and nobody notices before the bill (LiteLLM's issue 20615). So the file has to
name its unit, names that are not known are refused, and prices have to make sense: by themselves,
beside one another within a model, and beside the other models'.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cache
from pathlib import Path
from typing import ClassVar, cast

from zapisano.credits.model import CENT
from zapisano.errors import BrokenSetting, Refused

UNIT = "credits per million tokens"
EACH = "price per MILLION tokens"
MILLION = 1_000_000
PLACES = 6  # of a price; a cost then has twelve at most
# The cheapest models of all cost about a US cent per million tokens. A price below this, whatever
# a credit is worth, is one per token or per thousand.
LEAST_PER_MILLION = Decimal("0.01")
MOST_PER_MILLION = Decimal(10 * MILLION)  # ten credits for each token
MOST_PER_CALL = Decimal(100_000)
# Providers ask up to ten times as much for output as for input, and for cached tokens a half to a
# fiftieth of it. Input prices of models that are sold differ up to fifteen-thousand-fold.
MOST_OUTPUT_TO_INPUT = 100
MOST_INPUT_TO_CACHED = 200
MOST_BETWEEN_MODELS = 100_000
# No context window is nearly as long. With the bounds above a cost stays under 10^10 credits, and
# its 22 digits under the 28 that Decimal computes with.
MOST_TOKENS = 100 * MILLION
LONGEST_NAME = 200
MODELS_NAMED = 5
COUNTED = ("input", "output", "cached_input")
KEYS = ("input", "output", "cached_input", "per_call")


class UnknownModel(Refused):
    """There is no price for this model."""

    code: ClassVar[str] = "unknown_model"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call has used. `cached_input` was read from a cache and is not part of `input`."""

    input: int
    output: int
    cached_input: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that no call can have."""
        for name in COUNTED:
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int):
                raise Refused(f"tokens.{name}: must be a whole number.")
            if not 0 <= count <= MOST_TOKENS:
                raise Refused(f"tokens.{name}: must be 0 to {MOST_TOKENS}.")

    @classmethod
    def read(cls, given: object) -> "Tokens":
        """Read tokens as they come in a request: `{"input": 1000, "output": 500}`.

        OpenAI's `prompt_tokens` hold the cached ones too: subtract them first. Anthropic's
        `input_tokens` do not.

        Raises:
            Refused: the field that is wrong is named.
        """
        if not isinstance(given, dict):
            raise Refused('tokens: send an object such as {"input": 1000, "output": 500}.')
        counts = cast("dict[str, int]", given)  # whether they are is looked at below
        if missing := {"input", "output"} - counts.keys():
            raise Refused(f"tokens.{min(missing)}: is missing.")
        if counts.keys() - COUNTED:
            raise Refused(f"tokens: only {', '.join(COUNTED)} are counted.")
        return cls(**counts)


@dataclass(frozen=True)
class Price:
    """What a model costs: credits per million tokens, and credits per call."""

    input: Decimal
    output: Decimal
    cached_input: Decimal
    per_call: Decimal

    def cost(self, tokens: Tokens) -> Decimal:
        """Return what a call costs, exact to twelve places."""
        millions = (
            self.input * tokens.input
            + self.output * tokens.output
            + self.cached_input * tokens.cached_input
        )
        return self.per_call + millions / MILLION

    def worst_case(self, input_tokens: int, max_output_tokens: int) -> Decimal:
        """Return what to hold before a call: its dearest end, in whole hundredths, rounded up.

        A settlement is rounded down together with what the account carries, so it is never above
        this. At least a hundredth, since nothing cannot be held.

        Raises:
            Refused: a count of tokens is out of bounds.
        """
        cost = self.cost(Tokens(input_tokens, max_output_tokens))
        return max(cost.quantize(CENT, ROUND_CEILING), CENT)


@dataclass(frozen=True)
class Prices:
    """The price list, in the file's order."""

    models: Mapping[str, Price]

    def of(self, model: str) -> Price:
        """Return what calls of `model` cost.

        Raises:
            UnknownModel: it has no price.
        """
        if (price := self.models.get(model)) is not None:
            return price
        known = ", ".join(list(self.models)[:MODELS_NAMED])
        more = ", …" if len(self.models) > MODELS_NAMED else ""
        raise UnknownModel(f"model: has no price here; these have: {known}{more}")

    def view(self) -> dict[str, object]:
        """Return what everybody may see; `example` tells a wrong unit at a glance."""
        return {
            "unit": UNIT,
            "models": [
                {
                    "model": name,
                    "input": price.input,
                    "output": price.output,
                    "cached_input": price.cached_input,
                    "per_call": price.per_call,
                    "example": {
                        "tokens": {"input": 1000, "output": 500},
                        "cost": price.cost(Tokens(1000, 500)),
                    },
                }
                for name, price in self.models.items()
            ],
        }


@cache
def read_prices(path: Path) -> Prices:
    """Read a price list once.

    Nothing calls this when settings are loaded: a broken price list must not stop what has no use
    for it.

    Raises:
        BrokenSetting: it cannot be read, or a price in it cannot be meant; one line for each.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise BrokenSetting(f"CREDITS_PRICES_FILE: {error}") from error
    prices: dict[str, Price] = {}
    problems = list(_read(content, prices)) or list(_differ(prices))
    if problems:
        raise BrokenSetting("\n".join(f"CREDITS_PRICES_FILE: {path}: {one}" for one in problems))
    return Prices(prices)


def _read(content: Mapping[str, object], prices: dict[str, Price]) -> Iterator[str]:
    """Put what can be read into `prices`, and say what cannot."""
    for name in content:
        if name not in {"unit", "models"}:
            yield f"{name}: is not known; there are only unit and [models.…]"
    if content.get("unit") != UNIT:
        yield f'unit: must be written as: unit = "{UNIT}"'
    models = content.get("models")
    if not (isinstance(models, dict) and models):
        yield "there is no [models.…] in it"
        return
    for name, table in cast("dict[str, object]", models).items():
        wrong = list(_wrong(name, table))
        yield from (f'[models."{name}"] {one}' for one in wrong)
        if not wrong:
            prices[name] = _price(cast("dict[str, Decimal]", table))


def _price(table: Mapping[str, Decimal]) -> Price:
    return Price(
        input=Decimal(table["input"]),
        output=Decimal(table["output"]),
        cached_input=Decimal(table.get("cached_input", table["input"])),
        per_call=Decimal(table.get("per_call", 0)),
    )


def _wrong(name: str, table: object) -> Iterator[str]:
    """Say what is wrong with a model's table."""
    if not 1 <= len(name) <= LONGEST_NAME:
        yield f"its name must have 1 to {LONGEST_NAME} characters"
    if not isinstance(table, dict):
        yield "must be a table of prices"
        return
    values = cast("dict[str, object]", table)
    problems = [
        *(f"{key}: is not known; there are only {', '.join(KEYS)}" for key in values.keys() - KEYS),
        *(f"{key}: is missing" for key in ("input", "output") if key not in values),
        *(f"{key}: {_fault(key, values[key])}" for key in KEYS if _is_wrong(key, values)),
    ]
    yield from problems or _odd(_price(cast("dict[str, Decimal]", values)))


def _is_wrong(key: str, values: Mapping[str, object]) -> bool:
    return key in values and _fault(key, values[key]) is not None


def _fault(key: str, value: object) -> str | None:
    """Say why a value cannot be a price, if so."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return "must be a number, without quotes"
    price = Decimal(value)
    most = MOST_PER_CALL if key == "per_call" else MOST_PER_MILLION
    if not (price.is_finite() and 0 <= price <= most):
        return f"must be 0 to {most}"
    if price != round(price, PLACES):
        return f"may have {PLACES} decimals"
    # Cached tokens may be very cheap; they are measured against the model's input price.
    if key in {"input", "output"} and 0 < price < LEAST_PER_MILLION:
        return f"is too little for a {EACH}: {price * MILLION:f} if it is one per token"
    return None


def _odd(price: Price) -> Iterator[str]:
    """Say which of a model's prices does not fit beside the others."""
    if price.cached_input > price.input:
        yield "cached_input: is above input, and a cache makes nothing dearer"
    elif 0 < price.cached_input * MOST_INPUT_TO_CACHED < price.input:
        yield f"cached_input: is too far below input; is each a {EACH}?"
    if 0 < price.output < price.input:
        yield f"output: is below input; is each a {EACH}?"
    elif price.output > price.input * MOST_OUTPUT_TO_INPUT and price.input:
        yield f"input: is too far below output; is each a {EACH}?"


def _differ(prices: Mapping[str, Price]) -> Iterator[str]:
    """Say which model is out of all proportion beside the dearest one."""
    dearest = max((price.input for price in prices.values()), default=Decimal(0))
    for name, price in prices.items():
        if 0 < price.input * MOST_BETWEEN_MODELS < dearest:
            yield f'[models."{name}"] input: is too far below the others; is it a {EACH}?'
