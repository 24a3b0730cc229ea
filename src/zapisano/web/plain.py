"""Answers of the credits' routes: `success`, `error`, and numbers that are exact decimals.

The source document's own shape, for everything under its two prefixes.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import simplejson
from fastapi.responses import Response

from zapisano.credits.model import Insufficient
from zapisano.db.ledger import MigrationFailed
from zapisano.errors import AppError

PREFIXES = ("/api/billing", "/api/admin")
MEDIA_TYPE = "application/json"
CODE_HEADER = "X-Error-Code"
ENCODER = simplejson.JSONEncoder(use_decimal=True, ensure_ascii=False, default=str)


def is_ours(path: str) -> bool:
    """Say whether a path is the source document's."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in PREFIXES)


def plain(body: Mapping[str, Any], status: int = 200) -> Response:
    """Write an answer; a Decimal becomes a JSON number with just its digits."""
    return Response(ENCODER.encode(body), status, media_type=MEDIA_TYPE)


def refusal(
    status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """Write an error; what a person reads is in `error`, what a program reads in the header."""
    answer = plain({"success": False, "error": detail, **more}, status)
    answer.headers.update({CODE_HEADER: code, **(headers or {})})
    return answer


def particulars(error: AppError) -> dict[str, object]:
    """Return what an error's answer has besides its text."""
    if isinstance(error, Insufficient):
        return {"balance": short(error.balance), "required": short(error.required)}
    if isinstance(error, MigrationFailed):
        return {"details": error.reason}
    return {}


def short(number: Decimal) -> Decimal:
    """Leave out zeros at the end, as JavaScript writes numbers: 94.50 is 94.5, 100.00 is 100."""
    whole = number.to_integral_value()
    return whole.quantize(Decimal(1)) if number == whole else number.normalize()
