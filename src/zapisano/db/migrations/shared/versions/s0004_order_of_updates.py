"""Whose each update is, and which job handles it: so that one person's are read in their order."""

from alembic import op

revision = "s0004"
down_revision = "s0003"


def upgrade() -> None:
    op.execute(
        """ALTER TABLE shared.updates ADD COLUMN IF NOT EXISTS person_id bigint,
               ADD COLUMN IF NOT EXISTS job_id bigint"""
    )
    op.execute(
        """CREATE INDEX IF NOT EXISTS updates_of_person
           ON shared.updates (bot_id, person_id, update_id)"""
    )
