"""How many requests under an order's key may still have made a payment."""

from alembic import op

revision = "s0002"
down_revision = "s0001"


def upgrade() -> None:
    op.execute("ALTER TABLE shared.orders ADD COLUMN unanswered int NOT NULL DEFAULT 0")
    op.execute(
        """UPDATE shared.orders SET unanswered = 1
           WHERE requested_at IS NOT NULL AND payment_id IS NULL"""
    )
