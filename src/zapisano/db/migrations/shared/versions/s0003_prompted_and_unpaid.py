"""Which tenant the create button is for, what lies below a pause, whose job an update is."""

from alembic import op

revision = "s0003"
down_revision = "s0002"


def upgrade() -> None:
    op.execute(
        """ALTER TABLE shared.tenants ADD COLUMN prompted_at timestamptz,
               ADD COLUMN also_unpaid boolean NOT NULL DEFAULT false"""
    )
    op.execute("ALTER TABLE shared.updates ADD COLUMN person_id bigint, ADD COLUMN job_id bigint")
    op.execute("CREATE INDEX updates_of_person ON shared.updates (bot_id, person_id, update_id)")
