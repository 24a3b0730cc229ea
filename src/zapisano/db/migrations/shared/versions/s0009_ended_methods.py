"""A saved method that was ended cannot be charged any more: its id at the provider is dropped."""

from alembic import op

revision = "s0009"
down_revision = "s0008"

STATEMENTS = (
    """ALTER TABLE shared.saved_methods
        ALTER COLUMN method_id DROP NOT NULL,
        ADD CONSTRAINT saved_methods_id CHECK ((method_id IS NULL) = (ended_at IS NOT NULL))""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
