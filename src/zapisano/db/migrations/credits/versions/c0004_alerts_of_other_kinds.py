"""Credits: an alert may tell of something else than a low balance."""

from alembic import op

revision = "c0004"
down_revision = "c0003"

# Beside the alerts and not in them: `credits.post` writes those as whole rows. An alert without a
# row here is of a low balance.
DETAILS = """CREATE TABLE credits.alert_details (
    alert uuid PRIMARY KEY REFERENCES credits.alerts (id),
    kind text NOT NULL,
    amount numeric(10,2) NOT NULL,
    reason text NOT NULL,
    again_at timestamptz
)"""


def upgrade() -> None:
    op.execute(DETAILS)
