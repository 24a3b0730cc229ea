"""Who may call the master API: the bearer of MASTER_API_TOKEN."""

import hmac
from typing import Annotated, ClassVar

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from zapisano.errors import AppError, Unauthorized
from zapisano.settings import Settings

BEARER = HTTPBearer(
    scheme_name="masterToken",
    auto_error=False,
    description="MASTER_API_TOKEN of this installation",
)


class NotConfigured(AppError):
    """The route is switched off until a setting is made."""

    code: ClassVar[str] = "not_configured"
    status: ClassVar[int] = 503
    text: ClassVar[str] = "This is switched off until the operator sets MASTER_API_TOKEN."


class NoToken(Unauthorized):
    """The header is missing, or holds another token."""

    text: ClassVar[str] = (
        "A valid token is needed: send the header Authorization: Bearer <MASTER_API_TOKEN>."
    )


async def operator_only(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> None:
    """Let the operator in. Compared in constant time, so that answers leak nothing of the token.

    Raises:
        NotConfigured: no token is set, so nobody is let in.
        NoToken: the caller has not shown it.
    """
    settings: Settings = request.app.state.settings
    expected = settings.master_api_token.get_secret_value()
    if not expected:
        raise NotConfigured
    given = credentials.credentials if credentials else ""
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise NoToken
