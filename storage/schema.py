"""The tables, as the newest migration leaves them.

    studies ─┬─ trials ─┬─ attempts        earlier attempts only: the latest lives in the trial's row
             │          └─ measurements    one row per (attempt, step, metric)
             ├─ sequences                  the counter behind `measurements.sequence`
             └─ tombstones                 deleted trials, for the change feed
    answers                                first answers to request ids
    tokens                                 who may call: digests of bearer tokens, never the tokens
    secrets                                what the servers on this database share, by name
    audit_records                          who did what, for as long as it is kept

What is searched, ordered or counted is a column. What is only ever read whole is JSON text in one: specification,
parameters, attempt, provenance, labels, metadata. So a usual trial, which has one attempt, is one row, and handing it
out, ending it and reading it are one statement each. Text and not a JSON type, because text keeps 1, 1.0, NaN and the
order of names apart on every database.

A study that was deleted leaves its row, without an owner, until all that belonged to it has been removed bit by bit.

A study's rows name it by `studies.key`, a number that is never given twice, which keeps every index small.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import UserDefinedType

from .revision import REVISION as REVISION

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class _UntouchedFloat(UserDefinedType[float]):
    """SQLite keeps a number as it comes in a column without a numeric type; in a REAL one, -0.0 becomes 0.0."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "BLOB"


# Only INTEGER primary keys count up by themselves in SQLite; its integers have 64 bits all the same.
_Key = BigInteger().with_variant(Integer, "sqlite")
# Bytewise order, as SQLite and Python have it, and not a language's: `studies` is paged by it.
_Label = String(40).with_variant(String(40, collation="C"), "postgresql")
_Exact: Double[float] = Double().with_variant(_UntouchedFloat(), "sqlite")

studies = Table(
    "studies",
    metadata,
    Column("key", _Key, primary_key=True),
    Column("owner", _Label, nullable=False),
    Column("id", _Label, nullable=False),
    Column("uid", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("ending", String(16)),
    Column("reason", Text, nullable=False),
    Column("create_time", Double, nullable=False),
    Column("end_time", Double),
    Column("seed", BigInteger, nullable=False),
    Column("spec", Text, nullable=False),
    Column("spec_version", BigInteger, nullable=False),
    Column("growing", Boolean, nullable=False),
    Column("counts", Text, nullable=False),
    Column("next_trial_id", BigInteger, nullable=False),
    Column("rounds", BigInteger, nullable=False),
    Column("memo", Text, nullable=False),
    Column("exhausted", Boolean, nullable=False),
    Column("gpu_seconds", Double, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("algorithm_status", Text),
    # Since its curves are being thinned: how many points of one are kept at most, and when that was done last.
    Column("curve_points", BigInteger),
    Column("thin_time", Double),
    # Of all its trials, without their measurements; null is what servers of the version before leave.
    Column("trials", BigInteger),
    Column("bytes", BigInteger),
    Index("ix_studies_end_time_key", "end_time", "key"),
    Index("uq_studies_owner_id", "owner", "id", unique=True),
    Index("uq_studies_uid", "uid", unique=True),
    # A key that came back would join a deleted study's cached key to a new study.
    sqlite_autoincrement=True,
)

trials = Table(
    "trials",
    metadata,
    Column("study", _Key, ForeignKey("studies.key", ondelete="CASCADE"), primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("create_time", Double, nullable=False),
    Column("start_time", Double),
    Column("end_time", Double),
    Column("origin", String(16), nullable=False),
    Column("client_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("goal", String(16)),
    Column("final", Text),
    Column("final_step", BigInteger),
    # What `best` ranks by; null for trials that cannot be the best.
    Column("loss", Double),
    Column("parameters", Text, nullable=False),
    Column("digest", String(32), nullable=False),
    # Which of the `repeats` places at its point a suggested trial takes; null where it takes none. Nulls are distinct.
    Column("slot", BigInteger),
    Column("provenance", Text),
    Column("labels", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("attempt", Text),
    Column("until_step", BigInteger),
    Column("checkpoint_of", BigInteger),
    Index("uq_trials_study_digest_slot", "study", "digest", "slot", unique=True),
    Index("ix_trials_study_revision_id", "study", "revision", "id"),
    Index("ix_trials_study_state_id", "study", "state", "id"),
    Index(
        "ix_trials_study_loss_id",
        "study",
        "loss",
        "id",
        sqlite_where=text("loss IS NOT NULL"),
        postgresql_where=text("loss IS NOT NULL"),
    ),
    Index("ix_trials_live", "study", "id", sqlite_where=text("live = 1"), postgresql_where=text("live")),
)

attempts = Table(
    "attempts",
    metadata,
    Column("study", _Key, primary_key=True),
    Column("trial", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Text, nullable=False),
    ForeignKeyConstraint(["study", "trial"], ["trials.study", "trials.id"], ondelete="CASCADE"),
)

measurements = Table(
    "measurements",
    metadata,
    Column("study", _Key, primary_key=True),
    Column("trial", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("metric", String(256), primary_key=True),
    # Null is NaN on SQLite, which has none; no value, no row.
    Column("value", _Exact),
    Column("time", Double, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    ForeignKeyConstraint(["study", "trial"], ["trials.study", "trials.id"], ondelete="CASCADE"),
    Index("ix_measurements_study_sequence", "study", "sequence"),
    # Rows lie in the order of the primary key, so that a trial's curve is read in one go.
    sqlite_with_rowid=False,
)

sequences = Table(
    "sequences",
    metadata,
    # A row of its own, so that a report waits for other reports of the study at most and never for its lock.
    Column("study", _Key, ForeignKey("studies.key", ondelete="CASCADE"), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("study", _Key, ForeignKey("studies.key", ondelete="CASCADE"), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("trial", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

answers = Table(
    "answers",
    metadata,
    Column("owner", _Label, primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("method", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("time", Double, nullable=False),
    Index("ix_answers_time", "time"),
    sqlite_with_rowid=False,
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _Label, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("owner", _Label, nullable=False),
    Column("role", String(16), nullable=False),
    Column("label", Text, nullable=False),
    Column("create_time", Double, nullable=False),
    Column("expire_time", Double),
    Column("revoke_time", Double),
    sqlite_with_rowid=False,
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

audit_records = Table(
    "audit_records",
    metadata,
    # It begins with the time, and all searches go by it: an index for each question would cost every call.
    Column("id", _Label, primary_key=True),
    Column("time", Double, nullable=False),
    Column("last_time", Double, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("caller", Text, nullable=False),
    Column("caller_owner", _Label, nullable=False),
    Column("role", String(16), nullable=False),
    Column("address", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("owner", _Label, nullable=False),
    Column("name", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)
