"""What a person has decided about a payment, and which errors the provider has answered with."""

from alembic import op

revision = "s0007"
down_revision = "s0006"

REVIEWS = """ALTER TABLE shared.reviews
    ADD COLUMN note text CHECK (length(note) BETWEEN 1 AND 500)"""
# Every process asks the provider; one place to count what goes wrong, which a restart keeps.
ERRORS = """CREATE TABLE shared.provider_errors (
    code text PRIMARY KEY CHECK (length(code) BETWEEN 1 AND 64),
    errors bigint NOT NULL,
    last_at timestamptz NOT NULL
)"""


def upgrade() -> None:
    for statement in (REVIEWS, ERRORS):
        op.execute(statement)
