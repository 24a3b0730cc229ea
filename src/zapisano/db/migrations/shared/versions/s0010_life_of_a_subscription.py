"""What was done for the end of a subscription's paid time; it begins anew when that moves."""

from alembic import op

revision = "s0010"
down_revision = "s0009"

# `told` is the last notice: -7 for seven days before the end, 0 on the day, 1 when it is over,
# 2 on the last day before the pause.
LIFE = """ALTER TABLE shared.subscriptions
    ADD COLUMN told smallint,
    ADD COLUMN warned_at timestamptz,
    ADD COLUMN announced_at timestamptz,
    ADD COLUMN charges smallint NOT NULL DEFAULT 0 CHECK (charges >= 0),
    ADD COLUMN charged_at timestamptz,
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN last_call_at timestamptz"""


def upgrade() -> None:
    op.execute(LIFE)
