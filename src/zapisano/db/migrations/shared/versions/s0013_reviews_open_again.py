"""A review that was closed may be opened again: closing is not mending."""

from alembic import op

revision = "s0013"
down_revision = "s0012"

# Over the open ones only: what a later sweep still finds has to be before a person again, and the
# closed one stays with its note.
REVIEWS = (
    "DROP INDEX shared.reviews_once",
    """CREATE UNIQUE INDEX reviews_once ON shared.reviews
       (coalesce(payment_id, ''), coalesce(order_id::text, ''), reason)
       WHERE closed_at IS NULL""",
)


def upgrade() -> None:
    for statement in REVIEWS:
        op.execute(statement)
