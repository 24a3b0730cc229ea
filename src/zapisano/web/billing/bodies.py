"""What comes in a body: JSON whose numbers stay exact, checked field by field."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, NoReturn, TypeVar, cast
from unicodedata import category

import simplejson
from fastapi import Request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from zapisano.credits.model import CENT, LARGEST
from zapisano.errors import Malformed
from zapisano.web.errors import WrongInput, wrong_input

MOST_OPERATION = 200
MOST_METADATA_BYTES = 16 * 1024
DEEPEST_METADATA = 8
HOLDERS = (dict, list)
LARGEST_EXPONENT = 300
HUGE = 10**LARGEST_EXPONENT
WRITTEN_AMOUNT = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,5})?")
VISIBLE = "LMNPS"  # letters, marks, numbers, punctuation, symbols
UNSTORABLE = {"Cc", "Cs"}  # control characters, halves of characters
# In one spelling, so that a repetition is one however its object is ordered.
ENCODER = simplejson.JSONEncoder(
    use_decimal=True, ensure_ascii=False, separators=(",", ":"), sort_keys=True
)
MOST_KEY = 255
KEY_HEADER = "Idempotency-Key"
WRITTEN_KEY = re.compile(rf"[\x21-\x7e]{{1,{MOST_KEY}}}")
SHOWN_KEY = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{WRITTEN_KEY.pattern}$"},
    "description": "Any text of yours that names this request, such as a UUID: sent again with "
    "the same body it answers the same and moves nothing more",
}


class Unreadable(ValueError):
    """JSON that has a number no number can be."""


def _no_number(word: str) -> NoReturn:
    raise Unreadable(word)


def _exact(text: str) -> Decimal:
    """Read a number; one whose exponent is beyond all is as good as infinite."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return Decimal("Infinity")


def _whole(digits: str) -> int | Decimal:
    """Read a whole number; Python refuses to make an int of very many digits."""
    return int(digits) if len(digits) <= LARGEST_EXPONENT else _exact(digits)


DECODER = json.JSONDecoder(parse_float=_exact, parse_int=_whole, parse_constant=_no_number)


async def read_json(request: Request) -> Any:  # JSON is anything
    """Read the body; numbers with a point or an exponent become Decimals.

    Raises:
        Malformed: it is no JSON, or not UTF-8.
    """
    try:
        return DECODER.decode((await request.body()).decode("utf-8-sig"))
    except Unreadable as error:
        raise Malformed(f"body: {error} is no number in JSON") from None
    except (ValueError, RecursionError):
        raise Malformed("body: is not valid JSON") from None


def _amount(value: object) -> Decimal:
    """Read an amount: a JSON number, or a text of one, for those who do not trust their floats."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise PydanticCustomError("amount", "must be a number")
    # Decimal reads `1_0` and digits of other scripts, which nobody means here.
    if isinstance(value, str) and not WRITTEN_AMOUNT.fullmatch(value):
        raise PydanticCustomError("amount", "must be a number")
    amount = _exact(str(value))
    if not amount.is_finite():
        raise PydanticCustomError("amount", "must be a number that money can be")
    if amount <= 0:
        raise PydanticCustomError("amount", "must be above zero")
    if amount > LARGEST:
        raise PydanticCustomError("amount", "must be at most {most}", {"most": str(LARGEST)})
    if amount != (rounded := amount.quantize(CENT)):
        raise PydanticCustomError("amount", "must have two decimals at most")
    return rounded


def _storable_text(text: str) -> str:
    """Refuse what PostgreSQL cannot keep, and what nobody can see."""
    if not (text.isprintable() and text.strip()):  # as nearly every one is
        _look_closely(text)
    return text.strip()


def _look_closely(text: str) -> None:
    if not any(category(letter)[0] in VISIBLE for letter in text):
        raise PydanticCustomError("text", "must not be empty")
    if any(category(letter) in UNSTORABLE for letter in text):
        raise PydanticCustomError("text", "must hold no control characters")


def _metadata(value: object) -> str | None:
    """Write metadata as it will be kept, and check how large and how deep it is."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise PydanticCustomError("metadata", "must be an object")
    unfolded = _check_inside(cast("object", value))
    text = ENCODER.encode(value)
    try:
        size = len(text.encode()) + unfolded
    except UnicodeEncodeError:
        raise PydanticCustomError("metadata", "must hold whole characters only") from None
    if size > MOST_METADATA_BYTES:
        raise PydanticCustomError(
            "metadata", "must be at most {most} KiB", {"most": MOST_METADATA_BYTES // 1024}
        )
    return text


def _check_inside(value: object) -> int:
    """Look at everything in nested objects and lists, level by level.

    Returns by how many characters PostgreSQL writes the numbers longer: all zeros of `1e300`.
    """
    level, unfolded = [value], 0
    for _ in range(DEEPEST_METADATA):
        inside = [one for holder in level for one in _inside(holder)]
        level = [one for one in inside if not _holds_nothing(one)]
        unfolded += sum(
            len(f"{one:f}") - len(str(one)) for one in inside if isinstance(one, Decimal)
        )
    if level:
        raise PydanticCustomError(
            "metadata", "must be nested {most} deep at most", {"most": DEEPEST_METADATA}
        )
    return unfolded


def _holds_nothing(value: object) -> bool:
    """Say whether a value has none inside, and refuse one that cannot be kept."""
    if isinstance(value, str):
        if "\0" in value:
            raise PydanticCustomError("metadata", "must not hold the character U+0000")
    elif isinstance(value, HOLDERS):
        return False
    elif _is_huge(value):
        raise PydanticCustomError("metadata", "holds a number that is too large")
    return True


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value)
        return [*inner, *inner.values()]
    return cast("list[object]", value) if isinstance(value, list) else []


def _is_huge(value: object) -> bool:
    """JSON allows numbers of any size; a mistake's, or an attack's, is not kept."""
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return (
            not isinstance(exponent, int)
            or abs(exponent) > LARGEST_EXPONENT
            or abs(value.adjusted()) > LARGEST_EXPONENT
        )
    return isinstance(value, int) and abs(value) >= HUGE


AMOUNT_SCHEMA = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": float(LARGEST),
    "multipleOf": 0.01,
    "description": "Credits, two decimals at most",
}
Amount = Annotated[Decimal, BeforeValidator(_amount), WithJsonSchema(AMOUNT_SCHEMA)]
Operation = Annotated[
    str,
    Field(min_length=1, max_length=MOST_OPERATION, description="What it is for, for people"),
    AfterValidator(_storable_text),
]
Metadata = Annotated[
    str | None,
    BeforeValidator(_metadata),
    WithJsonSchema(
        {
            "type": "object",
            "description": f"Anything of yours, up to {MOST_METADATA_BYTES // 1024} KiB, nested "
            f"{DEEPEST_METADATA} deep at most",
        }
    ),
]


class Body(BaseModel):
    """A request's body: fields that we do not know are refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @property
    def asked(self) -> str:
        """The body in one writing, to tell a repetition from another request.

        Whose account it is, however its address was spelled, the ledger knows.
        """
        return self.model_dump_json(exclude_defaults=True, exclude={"email"})


T = TypeVar("T", bound=Body)


async def read(model: type[T], request: Request) -> T:
    """Read the body as `model`.

    Raises:
        Malformed: it is no JSON, or not UTF-8.
        WrongInput: names every wrong field.
    """
    return checked(model, await read_json(request))


def key_of(request: Request) -> str | None:
    """Return the request's Idempotency-Key, if it has one.

    Raises:
        WrongInput: it cannot be kept as it is.
    """
    key = request.headers.get(KEY_HEADER)
    if key is not None and not WRITTEN_KEY.fullmatch(key):
        raise WrongInput(
            f"{KEY_HEADER}: must be 1 to {MOST_KEY} letters, digits and signs, without spaces"
        )
    return key


def checked(model: type[T], value: object) -> T:
    """Read a value as `model`.

    Raises:
        WrongInput: names every wrong field.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise wrong_input(
            {"loc": ("body", *one["loc"]), "msg": one["msg"]} for one in error.errors()
        ) from None


def shown(
    model: type[Body], example: Mapping[str, object], *, moves: bool = True
) -> dict[str, Any]:
    """Describe a body in the OpenAPI document; what `moves` credits also takes a key."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    content = {"application/json": {"schema": schema, "example": example}}
    return {
        "requestBody": {"required": True, "content": content},
        **({"parameters": [SHOWN_KEY]} if moves else {}),
    }
