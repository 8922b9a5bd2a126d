"""The first tables. What they are for stands in `storage/schema.py`."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import UserDefinedType

revision = "v0001"
down_revision = None


class UntouchedFloat(UserDefinedType[float]):
    def get_col_spec(self, **_: object) -> str:
        return "BLOB"


KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
LABEL = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")
EXACT: sa.Double[float] = sa.Double().with_variant(UntouchedFloat(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("owner", LABEL, nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "request_id", name="pk_answers"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_answers_time", "answers", ["time"])
    op.create_table(
        "studies",
        sa.Column("key", KEY, nullable=False),
        sa.Column("owner", LABEL, nullable=False),
        sa.Column("id", LABEL, nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("ending", sa.String(length=16)),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("create_time", sa.Double(), nullable=False),
        sa.Column("end_time", sa.Double()),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("spec_version", sa.BigInteger(), nullable=False),
        sa.Column("growing", sa.Boolean(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("next_trial_id", sa.BigInteger(), nullable=False),
        sa.Column("rounds", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("exhausted", sa.Boolean(), nullable=False),
        sa.Column("gpu_seconds", sa.Double(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_studies"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_studies_owner_id", "studies", ["owner", "id"], unique=True)
    op.create_index("uq_studies_uid", "studies", ["uid"], unique=True)
    op.create_table(
        "sequences",
        sa.Column("study", KEY, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.key"], name="fk_sequences_study_studies", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study", name="pk_sequences"),
    )
    op.create_table(
        "tombstones",
        sa.Column("study", KEY, nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("trial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.key"], name="fk_tombstones_study_studies", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study", "revision", "trial", name="pk_tombstones"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "trials",
        sa.Column("study", KEY, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.Double(), nullable=False),
        sa.Column("start_time", sa.Double()),
        sa.Column("end_time", sa.Double()),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("goal", sa.String(length=16)),
        sa.Column("final", sa.Text()),
        sa.Column("final_step", sa.BigInteger()),
        sa.Column("loss", sa.Double()),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("slot", sa.BigInteger()),
        sa.Column("provenance", sa.Text()),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Text()),
        sa.ForeignKeyConstraint(["study"], ["studies.key"], name="fk_trials_study_studies", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study", "id", name="pk_trials"),
    )
    op.create_index(
        "ix_trials_live", "trials", ["study", "id"], sqlite_where=sa.text("live = 1"), postgresql_where=sa.text("live")
    )
    op.create_index(
        "ix_trials_study_loss_id",
        "trials",
        ["study", "loss", "id"],
        sqlite_where=sa.text("loss IS NOT NULL"),
        postgresql_where=sa.text("loss IS NOT NULL"),
    )
    op.create_index("ix_trials_study_revision_id", "trials", ["study", "revision", "id"])
    op.create_index("ix_trials_study_state_id", "trials", ["study", "state", "id"])
    op.create_index("uq_trials_study_digest_slot", "trials", ["study", "digest", "slot"], unique=True)
    op.create_table(
        "attempts",
        sa.Column("study", KEY, nullable=False),
        sa.Column("trial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study", "trial"], ["trials.study", "trials.id"], name="fk_attempts_study_trial_trials", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study", "trial", "number", name="pk_attempts"),
    )
    op.create_table(
        "measurements",
        sa.Column("study", KEY, nullable=False),
        sa.Column("trial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=256), nullable=False),
        sa.Column("value", EXACT),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study", "trial"],
            ["trials.study", "trials.id"],
            name="fk_measurements_study_trial_trials",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("study", "trial", "attempt", "step", "metric", name="pk_measurements"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_measurements_study_sequence", "measurements", ["study", "sequence"])
