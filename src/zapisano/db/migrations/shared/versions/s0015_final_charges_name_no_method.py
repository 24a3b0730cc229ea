"""A charge that is over forgets by what it was charged: the id could charge again."""

from alembic import op

revision = "s0015"
down_revision = "s0014"

CHARGES = """ALTER TABLE shared.orders
    DROP CONSTRAINT orders_charge,
    ADD CONSTRAINT orders_charge CHECK (
        method_id IS NULL OR charge_key IS NOT NULL),
    ADD CONSTRAINT orders_charge_method CHECK (
        charge_key IS NULL OR method_id IS NOT NULL OR status IN ('paid', 'canceled'))"""
FORGET = """UPDATE shared.orders
    SET method_id = NULL, request_body = (request_body::jsonb - 'payment_method_id')::text
    WHERE charge_key IS NOT NULL AND status IN ('paid', 'canceled')"""


def upgrade() -> None:
    op.execute(CHARGES)
    op.execute(FORGET)
