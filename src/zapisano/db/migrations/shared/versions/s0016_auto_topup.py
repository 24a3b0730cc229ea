"""Auto top-up of credits: what a payer of an order is asked to agree to, and how it goes on."""

from alembic import op

revision = "s0016"
down_revision = "s0015"

ORDERS = (
    """ALTER TABLE shared.orders
        ADD COLUMN auto_below numeric(10, 2) CHECK (auto_below > 0),
        ADD COLUMN auto_amount numeric(10, 2) CHECK (auto_amount > 0),
        ADD COLUMN auto_per_day smallint CHECK (auto_per_day BETWEEN 1 AND 10),
        ADD CONSTRAINT orders_auto CHECK (
            num_nonnulls(auto_below, auto_amount, auto_per_day) IN (0, 3)
            AND (auto_below IS NULL OR email IS NOT NULL AND charge_key IS NULL))""",
    # Never two charges of one account under way at once.
    """CREATE UNIQUE INDEX orders_one_auto_topup ON shared.orders (email)
       WHERE charge_key IS NOT NULL AND status IN ('created', 'pending')""",
    """CREATE INDEX orders_of_email ON shared.orders (email)
       WHERE email IS NOT NULL AND status IN ('created', 'pending', 'review')""",
    """CREATE INDEX orders_auto_topups ON shared.orders (email, created_at)
       WHERE email IS NOT NULL AND charge_key IS NOT NULL""",
)
# `next_at`: nothing is charged before; a decline moves it. `claimed_until`: somebody is at it.
METHODS = (
    """ALTER TABLE shared.saved_methods
        ADD COLUMN agreed_below numeric(10, 2) CHECK (agreed_below > 0),
        ADD COLUMN agreed_per_day smallint CHECK (agreed_per_day BETWEEN 1 AND 10),
        ADD COLUMN next_at timestamptz,
        ADD COLUMN claimed_until timestamptz,
        ADD COLUMN declines int NOT NULL DEFAULT 0,
        ADD COLUMN declined_for text,
        ADD COLUMN charges int NOT NULL DEFAULT 0,
        ADD CONSTRAINT saved_methods_auto CHECK (num_nonnulls(agreed_below, agreed_per_day, next_at)
            = CASE WHEN email IS NULL THEN 0 ELSE 3 END)""",
    """CREATE INDEX saved_methods_due ON shared.saved_methods (next_at)
       WHERE email IS NOT NULL AND ended_at IS NULL""",
    """CREATE INDEX saved_methods_of_account ON shared.saved_methods (email, id)
       WHERE email IS NOT NULL""",
)


def upgrade() -> None:
    for statement in (*ORDERS, *METHODS):
        op.execute(statement)
