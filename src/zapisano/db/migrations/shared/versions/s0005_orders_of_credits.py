"""Orders of credits beside those of plans, in one table: money has one way in."""

from alembic import op

revision = "s0005"
down_revision = "s0004"

# An order sells one thing, whole: paid time to a person in Telegram, or credits to an address.
COLUMNS = """ALTER TABLE shared.orders
    ALTER COLUMN buyer_id DROP NOT NULL,
    ALTER COLUMN company_name DROP NOT NULL,
    ALTER COLUMN plan DROP NOT NULL,
    ALTER COLUMN days DROP NOT NULL,
    ADD COLUMN email text CHECK (length(email) BETWEEN 1 AND 255),
    ADD COLUMN credits numeric(10, 2) CHECK (credits > 0 AND credits <> 'NaN'),
    ADD COLUMN request_key text CHECK (length(request_key) BETWEEN 1 AND 255),
    DROP CONSTRAINT orders_paid_is_whole,
    ADD CONSTRAINT orders_paid_is_whole CHECK (
        (status = 'paid') = (paid_at IS NOT NULL)
        AND (status <> 'paid' OR (
            payment_id IS NOT NULL AND num_nonnulls(tenant_id, email) = 1))
    ),
    ADD CONSTRAINT orders_sell_one_thing CHECK (CASE WHEN email IS NULL
        THEN num_nonnulls(buyer_id, company_name, plan, days) = 4
            AND num_nonnulls(credits, request_key) = 0
        ELSE credits IS NOT NULL AND source = 'checkout'
            AND num_nonnulls(buyer_id, company_name, plan, days, tenant_id) = 0 END)"""
# What was asked under an Idempotency-Key makes one order; orders without one are all different.
ONCE = """CREATE UNIQUE INDEX orders_of_request ON shared.orders (email, request_key)
    WHERE request_key IS NOT NULL"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(ONCE)
