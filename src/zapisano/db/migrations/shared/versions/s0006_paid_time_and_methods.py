"""Days given for any reason, saved payment methods, and what an order remembers for them."""

from alembic import op

revision = "s0006"
down_revision = "s0005"

# Days come from payments and from elsewhere, and a refund takes some back: one append-only list.
GRANTS = (
    "ALTER TABLE shared.paid_periods RENAME TO day_grants",
    "ALTER TABLE shared.day_grants RENAME COLUMN payment_id TO source",
    "ALTER INDEX shared.paid_periods_tenant RENAME TO day_grants_tenant",
    """ALTER TABLE shared.day_grants
        DROP CONSTRAINT paid_periods_days_check,
        ADD CONSTRAINT day_grants_days CHECK (days <> 0),
        ADD COLUMN reason text NOT NULL DEFAULT 'payment' CHECK (reason IN
            ('payment', 'trial', 'promo', 'referral', 'support', 'change', 'refund'))""",
    "ALTER TABLE shared.day_grants RENAME CONSTRAINT paid_periods_length TO day_grants_length",
)
# `method_id` and `charge_key` are of an order that is charged without its payer: one per attempt.
ORDERS = (
    """ALTER TABLE shared.orders
        ADD COLUMN saves_method boolean NOT NULL DEFAULT false,
        ADD COLUMN receipt_contact text CHECK (length(receipt_contact) BETWEEN 3 AND 255),
        ADD COLUMN method_id text,
        ADD COLUMN charge_key text UNIQUE CHECK (length(charge_key) BETWEEN 1 AND 255),
        ADD COLUMN promo_code text CHECK (length(promo_code) BETWEEN 1 AND 32),
        ADD COLUMN is_switch boolean NOT NULL DEFAULT false,
        ADD COLUMN card_last4 text CHECK (card_last4 ~ '^[0-9]{4}$'),
        ADD COLUMN refunded numeric(10, 2) NOT NULL DEFAULT 0
            CHECK (refunded >= 0 AND refunded <= amount),
        ADD CONSTRAINT orders_charge CHECK ((method_id IS NULL) = (charge_key IS NULL))""",
    "CREATE INDEX orders_tenant ON shared.orders (tenant_id, created_at DESC)",
    "CREATE INDEX orders_card ON shared.orders (card_last4) WHERE card_last4 IS NOT NULL",
)
# What its holder has agreed to be charged without being asked: a sum and a period. A holder is a
# tenant, or the address of an account of credits.
METHODS = (
    """CREATE TABLE shared.saved_methods (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant_id text REFERENCES shared.tenants (id),
        email text CHECK (length(email) BETWEEN 1 AND 255),
        method_id text NOT NULL,
        title text NOT NULL,
        last4 text,
        order_id uuid NOT NULL UNIQUE REFERENCES shared.orders (id),
        agreed_amount numeric(10, 2) NOT NULL CHECK (agreed_amount > 0),
        agreed_days int CHECK (agreed_days > 0),
        receipt_contact text,
        saved_at timestamptz NOT NULL,
        ended_at timestamptz,
        ended_for text,
        CONSTRAINT saved_methods_holder CHECK (num_nonnulls(tenant_id, email) = 1),
        CONSTRAINT saved_methods_end CHECK ((ended_at IS NULL) = (ended_for IS NULL))
    )""",
    """CREATE UNIQUE INDEX saved_methods_of_tenant ON shared.saved_methods (tenant_id)
       WHERE ended_at IS NULL""",
    """CREATE UNIQUE INDEX saved_methods_of_email ON shared.saved_methods (email)
       WHERE ended_at IS NULL""",
)


def upgrade() -> None:
    for statement in (*GRANTS, *ORDERS, *METHODS):
        op.execute(statement)
