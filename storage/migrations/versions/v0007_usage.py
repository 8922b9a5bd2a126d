"""How many trials a study has, and how many bytes they take, for quotas. Servers of the version before go on beside new
ones; what they add is not counted before a new one changes the study."""

import sqlalchemy as sa
from alembic import op

revision = "v0007"
down_revision = "v0006"

COUNTED = """
UPDATE studies SET
    trials = (SELECT count(*) FROM trials WHERE trials.study = studies.key),
    bytes = (
        SELECT coalesce(sum(400 + length(parameters) + length(metadata) + coalesce(length(attempt), 0)), 0)
        FROM trials WHERE trials.study = studies.key
    ) + length(spec) + length(metadata)
"""


def upgrade() -> None:
    op.add_column("studies", sa.Column("trials", sa.BigInteger()))
    op.add_column("studies", sa.Column("bytes", sa.BigInteger()))
    op.execute(COUNTED)
