"""Which tenant the create button is for, and what lies below an operator's pause."""

from alembic import op

revision = "s0003"
down_revision = "s0002"


def upgrade() -> None:
    op.execute(
        """ALTER TABLE shared.tenants ADD COLUMN prompted_at timestamptz,
               ADD COLUMN also_unpaid boolean NOT NULL DEFAULT false"""
    )
