"""Promo codes, invitations, and the plan that a subscription goes on with."""

from alembic import op

revision = "s0011"
down_revision = "s0010"

# How often a code was used is not kept here: the orders that hold it are counted.
PROMO = (
    """CREATE TABLE shared.promo_codes (
        code text PRIMARY KEY CHECK (code ~ '^[A-Z0-9_-]{3,32}$'),
        percent int CHECK (percent BETWEEN 1 AND 99),
        fixed numeric(10, 2) CHECK (fixed > 0 AND fixed <> 'NaN'),
        uses int CHECK (uses > 0),
        until timestamptz,
        plans text[],
        once_per_person boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL,
        ended_at timestamptz,
        CONSTRAINT promo_codes_one_discount CHECK (num_nonnulls(percent, fixed) = 1)
    )""",
    """CREATE INDEX orders_promo ON shared.orders (promo_code, buyer_id)
       WHERE promo_code IS NOT NULL""",
    # A code that somebody came with by a link, until she orders.
    """CREATE TABLE shared.noted_codes (
        person_id bigint PRIMARY KEY,
        code text NOT NULL REFERENCES shared.promo_codes (code),
        noted_at timestamptz NOT NULL
    )""",
)
# Who has come by whose link. `rewarded_at`: the first payment has come, and both have their days.
INVITATIONS = """CREATE TABLE shared.invitations (
    guest_id bigint PRIMARY KEY,
    host text NOT NULL REFERENCES shared.tenants (id),
    invited_at timestamptz NOT NULL,
    rewarded_at timestamptz
)"""
NEXT_PLAN = "ALTER TABLE shared.subscriptions ADD COLUMN next_plan text"


def upgrade() -> None:
    for statement in (*PROMO, INVITATIONS, NEXT_PLAN):
        op.execute(statement)
