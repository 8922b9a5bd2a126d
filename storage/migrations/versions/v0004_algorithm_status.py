"""What came of asking a study's algorithm for points. Only adds a column that may be null, so that servers of the
version before go on beside new ones."""

import sqlalchemy as sa
from alembic import op

revision = "v0004"
down_revision = "v0003"


def upgrade() -> None:
    op.add_column("studies", sa.Column("algorithm_status", sa.Text()))
