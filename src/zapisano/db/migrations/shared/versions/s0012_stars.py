"""Orders know who is paid and in what: roubles by YooKassa, or Stars by Telegram."""

from alembic import op

revision = "s0012"
down_revision = "s0011"

# `instead_of`: the order in roubles beside which this one stands, so that whichever is paid second
# adds its days to the same business.
ORDERS = (
    """ALTER TABLE shared.orders
        ADD COLUMN provider text NOT NULL DEFAULT 'yookassa',
        ADD COLUMN currency text NOT NULL DEFAULT 'RUB',
        ADD COLUMN instead_of uuid UNIQUE REFERENCES shared.orders (id),
        ADD CONSTRAINT orders_provider CHECK (CASE provider
            WHEN 'yookassa' THEN currency = 'RUB' AND instead_of IS NULL
            WHEN 'stars' THEN currency = 'XTR' AND amount = trunc(amount) AND email IS NULL
            ELSE false END)""",
    # Telegram remembers which updates a bot wants: the sales bot has to tell it anew.
    "UPDATE shared.bots SET webhook_url = NULL WHERE tenant_id IS NULL",
)


def upgrade() -> None:
    for statement in ORDERS:
        op.execute(statement)
