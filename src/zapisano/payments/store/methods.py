"""Ways to pay that tenants' owners have left with us."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.payments.model import Agreed, OrderId, SavedMethod
from zapisano.tenancy import TenantId


async def find_method(conn: SharedConnection, tenant: TenantId) -> SavedMethod | None:
    """Return the method that a tenant may be charged by, or None."""
    row = await conn.fetchrow(
        """SELECT tenant_id, method_id, title, last4, order_id, agreed_amount, agreed_days,
               receipt_contact, saved_at
           FROM shared.saved_methods WHERE tenant_id = $1 AND ended_at IS NULL""",
        tenant,
    )
    if row is None:
        return None
    return SavedMethod(
        tenant_id=TenantId(row["tenant_id"]),
        method_id=row["method_id"],
        title=row["title"],
        last4=row["last4"],
        order_id=OrderId(str(row["order_id"])),
        agreed=Agreed(row["agreed_amount"], row["agreed_days"]),
        receipt_contact=row["receipt_contact"],
        saved_at=row["saved_at"],
    )


async def insert_method(conn: SharedConnection, method: SavedMethod) -> bool:
    """Keep a method; return False if its order has kept one before."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.saved_methods (
                   tenant_id, method_id, title, last4, order_id, agreed_amount, agreed_days,
                   receipt_contact, saved_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (order_id) DO NOTHING""",
            method.tenant_id,
            method.method_id,
            method.title,
            method.last4,
            method.order_id,
            method.agreed.amount,
            method.agreed.days,
            method.receipt_contact,
            method.saved_at,
        )
    )


async def set_agreed(conn: SharedConnection, tenant: TenantId, agreed: Agreed) -> None:
    """Write what the tenant's owner agrees to be charged from now on."""
    await conn.execute(
        """UPDATE shared.saved_methods SET agreed_amount = $2, agreed_days = $3
           WHERE tenant_id = $1 AND ended_at IS NULL""",
        tenant,
        agreed.amount,
        agreed.days,
    )


async def end_method(conn: SharedConnection, tenant: TenantId, why: str, now: datetime) -> bool:
    """Forget how to charge a tenant; return False if there was nothing to forget.

    Its name and last digits stay, for the history.
    """
    return bool(
        await conn.execute(
            """UPDATE shared.saved_methods
               SET ended_at = $2, ended_for = $3, method_id = NULL, receipt_contact = NULL
               WHERE tenant_id = $1 AND ended_at IS NULL""",
            tenant,
            now,
            why,
        )
    )
