"""When the last whole sweep was: read for the metrics, from a journal that only grows."""

from alembic import op

revision = "s0014"
down_revision = "s0013"

INDEX = """CREATE INDEX journal_reconciled ON shared.journal (at)
    WHERE kind = 'payments.reconciled'"""


def upgrade() -> None:
    op.execute(INDEX)
