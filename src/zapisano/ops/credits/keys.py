"""`zapisano credits keys …` and `session`: what shows an app, or a person on trial, who asks."""

from collections.abc import Collection
from decimal import Decimal, InvalidOperation

from zapisano.clock import utc_now
from zapisano.credits import keys, sessions
from zapisano.credits.keys import Scope, ServerKey, UnknownKey
from zapisano.errors import BrokenSetting, Refused
from zapisano.ops import screen
from zapisano.ops.credits import opening
from zapisano.settings import Settings

COLUMNS = ("id", "name", "scopes", "most", "per minute", "made (UTC)", "revoked (UTC)")


async def create(
    settings: Settings, name: str, scopes: Collection[str], most: str, per_minute: int | None
) -> None:
    """Make a server key and show it: it is kept nowhere, so this is the only time.

    Raises:
        Refused: something typed cannot be.
    """
    if unknown := sorted(set(scopes) - set(Scope)):
        raise Refused(f"--scope: {unknown[0]!r} is none of {', '.join(Scope)}")
    try:
        limit = Decimal(most) if most else None
    except InvalidOperation:
        raise Refused(f"--most: {most!r} is no number") from None
    async with opening.opened(settings) as database, database.shared() as conn:
        made = await keys.create(
            conn,
            name=name,
            scopes={Scope(scope) for scope in scopes},
            now=utc_now(),
            most=limit,
            per_minute=per_minute,
        )
    screen.note("This is the only time that the key is shown. Your server sends it as")
    screen.note("Authorization: Bearer zk_…")
    screen.say(made.whole)


async def show_all(settings: Settings) -> None:
    """List server keys, those that are revoked too."""
    async with opening.opened(settings) as database, database.shared() as conn:
        found = await keys.list_keys(conn)
    if found:
        screen.table(COLUMNS, [_row(one) for one in found])
    else:
        screen.note("No keys yet: one is made by zapisano credits keys create NAME --scope charge")


def _row(key: ServerKey) -> tuple[str, ...]:
    return (
        key.id,
        key.name,
        ", ".join(sorted(key.scopes)),
        "-" if key.most is None else str(key.most),
        "-" if key.per_minute is None else str(key.per_minute),
        f"{key.created_at:%Y-%m-%d %H:%M}",
        f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "-",
    )


async def revoke(settings: Settings, key_id: str) -> None:
    """Refuse a key from now on.

    Raises:
        UnknownKey: there is none with this id; several may have one name.
    """
    async with opening.opened(settings) as database, database.shared() as conn:
        try:
            await keys.revoke(conn, key_id, utc_now())
        except UnknownKey:
            raise UnknownKey(
                f"ID: {key_id!r} is no server key's; give its ID, see: zapisano credits keys list"
            ) from None
    screen.say(f"{key_id} is revoked: requests with it are refused from now on.")


async def session(settings: Settings, email: str) -> None:
    """Print a session cookie as the web app would give it, to try the API with.

    Raises:
        BrokenSetting: the secret that the web app seals its sessions with is not set.
    """
    email = opening.address(email)
    if not settings.session_secrets:
        raise BrokenSetting(
            "NEXTAUTH_SECRET: is not set; give it, or AUTH_SECRET, the secret of your web app, or "
            "for a trial what `openssl rand -base64 32` prints, and start the API again"
        )
    token = sessions.seal(email, settings.session_secrets[0], utc_now())
    screen.say(f"{token.cookie}={token.value}")
