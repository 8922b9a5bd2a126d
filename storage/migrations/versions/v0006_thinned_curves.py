"""How far a study's curves are thinned, and an index of the studies by their end. Only adds what servers of the version
before do not look at, so they go on beside new ones."""

import sqlalchemy as sa
from alembic import op

revision = "v0006"
down_revision = "v0005"


def upgrade() -> None:
    op.add_column("studies", sa.Column("curve_points", sa.BigInteger()))
    op.add_column("studies", sa.Column("thin_time", sa.Double()))
    op.create_index("ix_studies_end_time_key", "studies", ["end_time", "key"])
