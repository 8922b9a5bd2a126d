"""How far a trial is to go before it is paused, and whose checkpoint it starts from. Only adds columns that may be
null, so that servers of the version before go on beside new ones."""

import sqlalchemy as sa
from alembic import op

revision = "v0003"
down_revision = "v0002"


def upgrade() -> None:
    op.add_column("trials", sa.Column("until_step", sa.BigInteger()))
    op.add_column("trials", sa.Column("checkpoint_of", sa.BigInteger()))
