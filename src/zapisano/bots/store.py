"""The registry of bots and the inbox of their updates."""

from datetime import datetime

from zapisano.bots.model import BotRow, new_secret
from zapisano.db import Row, SharedConnection
from zapisano.jobs.store import TO_COME
from zapisano.tenancy import TenantId

# Nobody types more while a bot is silent; whoever does may find the first ones out of order.
LOOK_BACK = 30


def _bot(row: Row) -> BotRow:
    return BotRow(**row)


async def insert(
    conn: SharedConnection,
    *,
    bot_id: int,
    tenant_id: TenantId | None,
    username: str,
    token: bytes,
    managed: bool,
) -> bool:
    """Register a bot, with a new webhook path and secret; say whether it is new."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.bots
                   (bot_id, tenant_id, username, token, path, secret, managed)
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (bot_id) DO NOTHING""",
            bot_id,
            tenant_id,
            username,
            token,
            new_secret(),
            new_secret(),
            managed,
        )
    )


async def find(conn: SharedConnection, bot_id: int, *, lock: bool = False) -> BotRow | None:
    """Return a bot, or None; with `lock` nobody else changes it until this transaction ends."""
    if lock:
        await conn.execute("SELECT 1 FROM shared.bots WHERE bot_id = $1 FOR UPDATE", bot_id)
    row = await conn.fetchrow(
        """SELECT bot_id, tenant_id, username, token, path, secret, managed, webhook_url,
               unauthorized_times, attached_at
           FROM shared.bots WHERE bot_id = $1""",
        bot_id,
    )
    return _bot(row) if row else None


async def of_tenant(conn: SharedConnection, tenant_id: str) -> BotRow | None:
    """Return a tenant's bot, or None."""
    row = await conn.fetchrow(
        """SELECT bot_id, tenant_id, username, token, path, secret, managed, webhook_url,
               unauthorized_times, attached_at
           FROM shared.bots WHERE tenant_id = $1""",
        tenant_id,
    )
    return _bot(row) if row else None


async def sales(conn: SharedConnection) -> BotRow | None:
    """Return the sales bot, or None."""
    row = await conn.fetchrow(
        """SELECT bot_id, tenant_id, username, token, path, secret, managed, webhook_url,
               unauthorized_times, attached_at
           FROM shared.bots WHERE tenant_id IS NULL ORDER BY created_at DESC LIMIT 1"""
    )
    return _bot(row) if row else None


async def attached(
    conn: SharedConnection, *, limit: int, tenant_id: str | None = None
) -> list[BotRow]:
    """Return up to `limit` bots that somebody may write to, oldest first.

    Without those whose token is revoked, and those of archived tenants.
    """
    rows = await conn.fetch(
        """SELECT b.bot_id, b.tenant_id, b.username, b.token, b.path, b.secret, b.managed,
               b.webhook_url, b.unauthorized_times, b.attached_at
           FROM shared.bots AS b JOIN shared.tenants AS t ON t.id = b.tenant_id
           WHERE b.attached_at IS NOT NULL AND b.unauthorized_times < 2 AND t.state <> 'archived'
               AND ($2::text IS NULL OR b.tenant_id = $2)
           ORDER BY b.attached_at LIMIT $1""",
        limit,
        tenant_id,
    )
    return [_bot(row) for row in rows]


async def misdirected(conn: SharedConnection, base: str | None) -> list[int]:
    """Return the bots whose updates Telegram does not bring below `base`, new ones among them.

    With None those that it still brings anywhere. Bots that nobody would hear are left out.
    """
    rows = await conn.fetch(
        """SELECT b.bot_id FROM shared.bots AS b JOIN shared.tenants AS t ON t.id = b.tenant_id
           WHERE b.unauthorized_times < 2 AND t.state <> 'archived' AND (b.attached_at IS NULL
               OR b.webhook_url IS DISTINCT FROM $1::text || '/telegram/' || b.path)
           ORDER BY b.attached_at NULLS FIRST""",
        base,
    )
    return [row["bot_id"] for row in rows]


async def find_door(conn: SharedConnection, path: str) -> tuple[int, str | None, str] | None:
    """Return id, tenant and secret of the bot whose updates come to `path`, or None."""
    row = await conn.fetchrow(
        "SELECT bot_id, tenant_id, secret FROM shared.bots WHERE path = $1", path
    )
    return (row["bot_id"], row["tenant_id"], row["secret"]) if row else None


async def awaiting(conn: SharedConnection, owner_id: int) -> TenantId | None:
    """Return the person's tenant that waits for a bot, or None.

    Of several the one whose button was shown last, since only that is still to be seen.
    Serialises with every other bot of this person until the transaction ends.
    """
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('bots.owner', $1))", owner_id)
    found = await conn.fetchval(
        """SELECT t.id FROM shared.tenants AS t
           WHERE t.owner_id = $1 AND t.state = 'awaiting_bot'
               AND NOT EXISTS (SELECT 1 FROM shared.bots AS b WHERE b.tenant_id = t.id)
           ORDER BY t.prompted_at DESC NULLS LAST, length(t.id), t.id LIMIT 1""",
        owner_id,
    )
    return TenantId(found) if found else None


async def of_owner(conn: SharedConnection, owner_id: int) -> list[BotRow]:
    """Return the connected bots of a person's tenants, the newest tenant's last."""
    rows = await conn.fetch(
        """SELECT b.bot_id, b.tenant_id, b.username, b.token, b.path, b.secret, b.managed,
               b.webhook_url, b.unauthorized_times, b.attached_at
           FROM shared.bots AS b JOIN shared.tenants AS t ON t.id = b.tenant_id
           WHERE t.owner_id = $1 AND t.state <> 'archived' AND b.attached_at IS NOT NULL
           ORDER BY length(t.id), t.id""",
        owner_id,
    )
    return [_bot(row) for row in rows]


async def with_lost_bot(conn: SharedConnection, owner_id: int) -> TenantId | None:
    """Return a tenant of this person whose bot's token is revoked, or None."""
    found = await conn.fetchval(
        """SELECT b.tenant_id FROM shared.bots AS b
           JOIN shared.tenants AS t ON t.id = b.tenant_id
           WHERE t.owner_id = $1 AND t.state <> 'archived' AND b.unauthorized_times >= 2
           ORDER BY length(t.id), t.id LIMIT 1""",
        owner_id,
    )
    return TenantId(found) if found else None


async def replace_token(
    conn: SharedConnection, bot_id: int, *, token: bytes, username: str
) -> None:
    """Give a bot its new token; it has to be attached anew."""
    await conn.execute(
        """UPDATE shared.bots SET token = $2, username = $3, unauthorized_times = 0,
               webhook_url = NULL, attached_at = NULL
           WHERE bot_id = $1""",
        bot_id,
        token,
        username,
    )


async def remove_of_tenant(conn: SharedConnection, tenant_id: TenantId) -> None:
    """Forget a tenant's bot, to make room for another."""
    await conn.execute("DELETE FROM shared.bots WHERE tenant_id = $1", tenant_id)


async def remove(conn: SharedConnection, bot_id: int) -> None:
    """Forget a bot."""
    await conn.execute("DELETE FROM shared.bots WHERE bot_id = $1", bot_id)


async def remove_other_sales_bots(conn: SharedConnection, bot_id: int) -> None:
    """Forget sales bots of earlier settings."""
    await conn.execute("DELETE FROM shared.bots WHERE tenant_id IS NULL AND bot_id <> $1", bot_id)


async def set_username(conn: SharedConnection, bot_id: int, username: str) -> None:
    """Write what `getMe` has answered."""
    await conn.execute(
        "UPDATE shared.bots SET username = $2 WHERE bot_id = $1 AND username <> $2",
        bot_id,
        username,
    )


async def set_webhook(conn: SharedConnection, row: BotRow, url: str | None) -> bool:
    """Remember where Telegram sends this bot's updates; False if it has another path by now."""
    return bool(
        await conn.execute(
            "UPDATE shared.bots SET webhook_url = $3 WHERE bot_id = $1 AND path = $2",
            row.bot_id,
            row.path,
            url,
        )
    )


async def forget_webhook(conn: SharedConnection, bot_id: int) -> None:
    """Take it for unknown where Telegram sends this bot's updates."""
    await conn.execute("UPDATE shared.bots SET webhook_url = NULL WHERE bot_id = $1", bot_id)


async def set_attached(conn: SharedConnection, bot_id: int, now: datetime) -> bool:
    """Mark a bot as attached; say whether it was not before."""
    return bool(
        await conn.execute(
            "UPDATE shared.bots SET attached_at = $2 WHERE bot_id = $1 AND attached_at IS NULL",
            bot_id,
            now,
        )
    )


async def count_unauthorized(conn: SharedConnection, bot_id: int, token: bytes) -> int:
    """Count one more refusal of a bot's token; return how many there are, 0 if it has another."""
    return int(
        await conn.fetchval(
            """UPDATE shared.bots SET unauthorized_times = unauthorized_times + 1
               WHERE bot_id = $1 AND token = $2 RETURNING unauthorized_times""",
            bot_id,
            token,
        )
        or 0
    )


async def clear_unauthorized(conn: SharedConnection, bot_id: int, token: bytes) -> None:
    """Telegram has accepted the token after all."""
    await conn.execute(
        "UPDATE shared.bots SET unauthorized_times = 0 WHERE bot_id = $1 AND token = $2",
        bot_id,
        token,
    )


async def take_in(
    conn: SharedConnection, bot_id: int, update_id: int, person_id: int | None
) -> bool:
    """Write an update into the inbox; say whether it is new."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.updates (bot_id, update_id, person_id) VALUES ($1, $2, $3)
               ON CONFLICT (bot_id, update_id) DO NOTHING""",
            bot_id,
            update_id,
            person_id,
        )
    )


async def note_job(conn: SharedConnection, bot_id: int, update_id: int, job_id: int) -> None:
    """Write beside an update which job handles it."""
    await conn.execute(
        "UPDATE shared.updates SET job_id = $3 WHERE bot_id = $1 AND update_id = $2",
        bot_id,
        update_id,
        job_id,
    )


async def place_in_line(
    conn: SharedConnection, bot_id: int, update_id: int
) -> tuple[int | None, bool, list[int]]:
    """Return the job of an update, whether it was tried before, and who goes first.

    Those are the jobs of the same person's earlier updates that are still to come.
    """
    rows = await conn.fetch(
        """SELECT me.job_id AS mine, coalesce(my.attempts, 0) > 0 AS tried, earlier.id
           FROM shared.updates AS me
           LEFT JOIN shared.pgqueuer AS my ON my.id = me.job_id
           LEFT JOIN LATERAL (
               SELECT latest.job_id AS id, latest.update_id FROM (
                   SELECT u.job_id, u.update_id FROM shared.updates AS u
                   WHERE u.bot_id = me.bot_id AND u.person_id = me.person_id
                       AND u.update_id < me.update_id
                   ORDER BY u.update_id DESC LIMIT $3) AS latest
               JOIN ("""  # noqa: S608 # two constants
        + TO_COME
        + """) AS still ON still.id = latest.job_id
           ) AS earlier ON true
           WHERE me.bot_id = $1 AND me.update_id = $2 ORDER BY earlier.update_id""",
        bot_id,
        update_id,
        LOOK_BACK,
    )
    if not rows:
        return None, False, []
    earlier = [row["id"] for row in rows if row["id"] is not None]
    return rows[0]["mine"], rows[0]["tried"], earlier


async def next_in_line(conn: SharedConnection, bot_id: int, update_id: int) -> int | None:
    """Return the job of the same person's next update that is still to come."""
    found: int | None = await conn.fetchval(
        """SELECT still.id FROM shared.updates AS me
           JOIN shared.updates AS u ON u.bot_id = me.bot_id AND u.person_id = me.person_id
               AND u.update_id > me.update_id
           JOIN ("""  # noqa: S608 # two constants
        + TO_COME
        + """) AS still ON still.id = u.job_id
           WHERE me.bot_id = $1 AND me.update_id = $2 ORDER BY u.update_id LIMIT 1""",
        bot_id,
        update_id,
    )
    return found


async def forget_updates(conn: SharedConnection, before: datetime) -> int:
    """Delete the inbox's lines received before `before`; return how many."""
    return await conn.execute("DELETE FROM shared.updates WHERE received_at < $1", before)
