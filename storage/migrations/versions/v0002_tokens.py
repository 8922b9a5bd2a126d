"""Bearer tokens, and secrets that the servers on one database share. Only adds tables, so that servers of the version
before go on beside new ones."""

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision = "v0001"

LABEL = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", LABEL, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("owner", LABEL, nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("create_time", sa.Double(), nullable=False),
        sa.Column("expire_time", sa.Double()),
        sa.Column("revoke_time", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
        sqlite_with_rowid=False,
    )
