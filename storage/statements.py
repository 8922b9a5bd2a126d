"""The statements of the SQL store, each built once, with its values as parameters.

What a database spells its own way is in `Spelling`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ARRAY,
    Insert,
    Select,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from .schema import (
    answers,
    attempts,
    audit_records,
    measurements,
    secrets,
    sequences,
    studies,
    tokens,
    tombstones,
    trials,
)
from .view import NOBODY

# Reads

_of_study = trials.c.study == bindparam("study")

STUDY = select(studies).where(studies.c.owner == bindparam("owner"), studies.c.id == bindparam("id"))
LOCKED_REVISION = (
    select(studies.c.key, studies.c.uid, studies.c.revision)
    .where(studies.c.owner == bindparam("owner"), studies.c.id == bindparam("id"))
    .with_for_update()
)
FREE_REVISION = LOCKED_REVISION.with_for_update(skip_locked=True)
"""The same, but no row where another transaction holds it. On PostgreSQL only."""
STUDY_OF_UID = select(studies).where(studies.c.uid == bindparam("uid"))
KEY_OF_UID = select(studies.c.key).where(studies.c.uid == bindparam("uid"))
IDS_OF_OWNER = (
    select(studies.c.id).where(studies.c.owner == bindparam("owner")).order_by(studies.c.id).limit(bindparam("limit"))
)
_usage = select(
    studies.c.owner,
    func.count().label("studies"),
    func.coalesce(func.sum(studies.c.trials), 0).label("trials"),
    func.coalesce(func.sum(studies.c.bytes), 0).label("bytes"),
    func.coalesce(func.sum(sequences.c.value), 0).label("values_reported"),
).join(sequences, sequences.c.study == studies.c.key)
USAGE = _usage.group_by(studies.c.owner).order_by(studies.c.owner)
USAGE_OF_OWNER = _usage.where(studies.c.owner == bindparam("owner")).group_by(studies.c.owner)
REVISIONS = select(studies.c.id, studies.c.uid, studies.c.revision).where(studies.c.owner == bindparam("owner"))
TRIAL = (
    select(trials)
    .join(studies, studies.c.key == trials.c.study)
    .where(
        studies.c.owner == bindparam("owner"),
        studies.c.id == bindparam("study_id"),
        trials.c.id == bindparam("trial"),
    )
)
EARLIER = (
    select(attempts.c.attempt)
    .where(attempts.c.study == bindparam("study"), attempts.c.trial == bindparam("trial"))
    .order_by(attempts.c.number)
)
UNENDED = select(studies).where(studies.c.end_time.is_(None)).order_by(studies.c.owner, studies.c.id)
LIVE = (
    select(trials, studies.c.owner, studies.c.id.label("study_id"))
    .join(studies, studies.c.key == trials.c.study)
    .where(trials.c.live)
    .order_by(studies.c.owner, studies.c.id, trials.c.id)
)
BEST = (
    select(trials)
    .where(_of_study, trials.c.loss.is_not(None))
    .order_by(trials.c.loss, trials.c.id)
    .limit(bindparam("limit"))
    .offset(bindparam("skip"))
)
CHANGED = (
    select(trials)
    .where(_of_study, trials.c.revision > bindparam("since"), trials.c.revision <= bindparam("until"))
    .order_by(trials.c.revision, trials.c.id)
    .limit(bindparam("limit"))
)
DELETED = (
    select(tombstones.c.revision, tombstones.c.trial)
    .where(
        tombstones.c.study == bindparam("study"),
        tombstones.c.revision > bindparam("since"),
        tombstones.c.revision <= bindparam("until"),
    )
    .order_by(tombstones.c.revision, tombstones.c.trial)
    .limit(bindparam("limit"))
)
CURVE = (
    select(measurements)
    .where(measurements.c.study == bindparam("study"), measurements.c.trial == bindparam("trial"))
    .order_by(measurements.c.step, measurements.c.attempt, measurements.c.sequence)
)
CURVE_BEYOND = CURVE.where(measurements.c.step > bindparam("after")).limit(bindparam("limit"))
STEP = CURVE.where(measurements.c.step == bindparam("step"))
POINTS = (
    select(measurements)
    .where(measurements.c.study == bindparam("study"), measurements.c.sequence > bindparam("since"))
    .order_by(measurements.c.sequence)
    .limit(bindparam("limit"))
)
LONG_CURVES = (
    select(measurements.c.trial)
    .where(
        measurements.c.study == bindparam("study"),
        measurements.c.trial >= bindparam("first"),
        measurements.c.trial < bindparam("beyond"),
    )
    .group_by(measurements.c.trial, measurements.c.metric)
    .having(func.count() > bindparam("points"))
    .order_by(measurements.c.trial)
)
TO_THIN = (
    select(studies)
    .where(
        tuple_(studies.c.end_time, studies.c.key) > tuple_(bindparam("after_time"), bindparam("after_key")),
        studies.c.end_time < bindparam("before"),
        or_(
            studies.c.thin_time.is_(None),
            studies.c.thin_time < studies.c.end_time,
            studies.c.curve_points > bindparam("points"),
        ),
        studies.c.owner != NOBODY,
    )
    .order_by(studies.c.end_time, studies.c.key)
    .limit(bindparam("limit"))
)
FIRST_POINTS = (
    select(*measurements.primary_key.columns)
    .where(measurements.c.study == bindparam("study"))
    .order_by(*measurements.primary_key.columns)
    .limit(bindparam("limit"))
)
FIRST_TRIALS = select(trials.c.id).where(_of_study).order_by(trials.c.id).limit(bindparam("limit"))
MEASURED = select(sequences.c.value).where(sequences.c.study == bindparam("study"))
NOBODYS = select(studies.c.key).where(studies.c.owner == NOBODY).order_by(studies.c.id).limit(1)
_place = select(trials.c.id, trials.c.digest, trials.c.slot, trials.c.state, trials.c.attempt).where(_of_study)
SAME_POINT = _place.where(trials.c.digest == bindparam("digest"))
_wanted = func.unnest(cast(bindparam("digests"), ARRAY(Text))).table_valued("digest").render_derived("wanted")
# The offset keeps PostgreSQL from joining the two, for which it would read whole studies if most studies are small.
_at_wanted = _place.where(trials.c.digest == _wanted.c.digest).offset(literal_column("0")).lateral("at_wanted")
SAME_POINTS = select(_at_wanted).select_from(_wanted).join(_at_wanted, true())
"""The same for a list of digests. On PostgreSQL only."""
ANSWER = select(answers).where(answers.c.owner == bindparam("owner"), answers.c.request_id == bindparam("request_id"))
TOKEN = select(tokens).where(tokens.c.id == bindparam("id"))
TOKENS = select(tokens).order_by(tokens.c.owner, tokens.c.create_time, tokens.c.id)
SECRET = select(secrets.c.value).where(secrets.c.name == bindparam("name"))

_span = (audit_records.c.id >= bindparam("since", type_=Text), audit_records.c.id < bindparam("before", type_=Text))
_latest = audit_records.c.id.desc()
AUDIT_FLOOR = select(audit_records.c.id).where(*_span).order_by(_latest).limit(1).offset(bindparam("scan"))
AUDIT_CEILING = (
    select(audit_records.c.id)
    .where(audit_records.c.id < bindparam("before"))
    .order_by(audit_records.c.id)
    .limit(1)
    .offset(bindparam("most"))
)


def _given(name: str) -> Any:
    """Whether that part of a filter is not empty and so asks something: `~_given` is its way out."""
    return bindparam(name, type_=Text) != ""


AUDIT_RECORDS = (
    select(audit_records)
    .where(
        *_span,
        or_(~_given("owner"), audit_records.c.owner == bindparam("owner")),
        or_(
            ~_given("study"),
            audit_records.c.name == bindparam("study"),
            audit_records.c.name.like(bindparam("of_study", type_=Text)),
        ),
        or_(~_given("caller"), audit_records.c.caller == bindparam("caller")),
        or_(~_given("method"), audit_records.c.method == bindparam("method")),
        audit_records.c.outcome.in_([bindparam(f"outcome{i}", type_=Text) for i in range(4)]),
    )
    .order_by(_latest)
    .limit(bindparam("limit"))
)


def _trials_by_id(state: bool, since: bool, descending: bool) -> Select[Any]:
    statement = select(trials).where(_of_study)
    if state:
        statement = statement.where(trials.c.state == bindparam("state"))
    if since:
        statement = statement.where(trials.c.create_time >= bindparam("since"))
    beyond = trials.c.id < bindparam("after") if descending else trials.c.id > bindparam("after")
    order = trials.c.id.desc() if descending else trials.c.id
    return statement.where(beyond).order_by(order).limit(bindparam("limit"))


TRIALS = {
    (state, since, descending): _trials_by_id(state, since, descending)
    for state in (False, True)
    for since in (False, True)
    for descending in (False, True)
}
"""By whether one state is asked for, whether a least time is, and whether the order descends."""

_beyond = tuple_(studies.c.owner, studies.c.id) > tuple_(bindparam("after_owner"), bindparam("after_id"))
_page = select(studies).order_by(studies.c.owner, studies.c.id).limit(bindparam("limit"))
STUDIES = _page.where(_beyond)
STUDIES_OF_OWNER = _page.where(studies.c.owner == bindparam("owner"), studies.c.id > bindparam("after_id"))

# Writes

_this_study = studies.c.key == bindparam("this_study")
_PROGRESS = (
    "state", "ending", "reason", "end_time", "counts", "next_trial_id", "rounds", "memo", "exhausted", "gpu_seconds",
    "algorithm_status", "revision", "trials", "bytes",
)  # fmt: skip
_SPEC = ("uid", "create_time", "seed", "spec", "spec_version", "growing", "metadata", "curve_points", "thin_time")
UPDATE_PROGRESS = update(studies).where(_this_study).values({c: bindparam(c) for c in _PROGRESS})
UPDATE_STUDY = update(studies).where(_this_study).values({c: bindparam(c) for c in (*_PROGRESS, *_SPEC)})
DELETE_STUDY = delete(studies).where(_this_study)
ABANDON_STUDY = (
    update(studies)
    .where(_this_study)
    .values(owner=NOBODY, id=bindparam("nobodys_id"), uid=bindparam("nobodys_uid"), state="failed", end_time=0.0)
)
"""What is left has neither name nor uid: nobody finds it, and both are free at once."""
DELETE_FIRST_POINTS = text(
    "DELETE FROM measurements WHERE ctid = ANY (ARRAY ("
    "SELECT ctid FROM measurements WHERE study = :study ORDER BY study, trial, attempt, step, metric LIMIT :limit))"
)
"""On PostgreSQL only, and by the places of the rows: for a range of keys it may choose an index that leads it through
all rows of the study, and rows named one by one take twenty times as long."""
DELETE_POINT = delete(measurements).where(
    *(column == bindparam(f"this_{column.name}") for column in measurements.primary_key.columns)
)
INSERT_SEQUENCE = insert(sequences)
NEXT_SEQUENCE = (
    update(sequences)
    .where(sequences.c.study == bindparam("this_study"))
    .values(value=sequences.c.value + bindparam("more"))
    .returning(sequences.c.value)
)

_this_trial = (trials.c.study == bindparam("this_study"), trials.c.id == bindparam("this_trial"))
_MOVED = (
    "state", "live", "revision", "start_time", "end_time", "client_id", "reason", "goal", "final", "final_step", "loss",
    "until_step", "checkpoint_of", "attempt",
)  # fmt: skip
_FIXED = ("create_time", "origin", "parameters", "digest", "provenance", "labels", "metadata")
_moved: dict[str, object] = {c: bindparam(c) for c in _MOVED}
INSERT_TRIAL = insert(trials)
UPDATE_MOVED = update(trials).where(*_this_trial).values(_moved)
"""Of a trial that goes on counting: its slot is not touched, nor is the index of points."""
UPDATE_RELEASED = update(trials).where(*_this_trial).values({**_moved, "slot": null()})
UPDATE_TRIAL = (
    update(trials)
    .where(*_this_trial)
    .values(
        {
            **{c: bindparam(c) for c in (*_MOVED, *_FIXED)},
            # Another point has slots of its own, and this trial was not proposed for one of them.
            "slot": case((bindparam("keeps_slot") & (trials.c.digest == bindparam("digest")), trials.c.slot)),
        }
    )
)
DELETE_TRIAL = delete(trials).where(*_this_trial)
INSERT_TOMBSTONE = insert(tombstones)
FORGET_ANSWERS = delete(answers).where(answers.c.time < bindparam("before"))
FORGET_AUDIT_RECORDS = delete(audit_records).where(audit_records.c.id < bindparam("before"))
UPDATE_TOKEN = (
    update(tokens)
    .where(tokens.c.id == bindparam("this_id"))
    .values({c.name: bindparam(c.name) for c in tokens.c if not c.primary_key})
)


AUDIT_COLUMNS = tuple(column.name for column in audit_records.c)


class Spelling:
    """What databases spell each in its own way: inserts that meet a row that is there."""

    def __init__(self, insert: Callable[..., Any], audit_rows: str) -> None:
        """`audit_rows`: what takes a JSON document `records` apart into rows of audit records."""
        # All columns but the key, which the database gives.
        study = insert(studies).values({c.name: bindparam(c.name) for c in studies.c if not c.primary_key})
        self.new_study: Insert = study.on_conflict_do_nothing(index_elements=["owner", "id"]).returning(studies.c.key)
        self.new_answer: Insert = insert(answers).on_conflict_do_nothing(index_elements=["owner", "request_id"])
        self.earlier_attempt: Insert = insert(attempts).on_conflict_do_nothing(
            index_elements=["study", "trial", "number"]
        )
        self.new_token: Insert = insert(tokens).on_conflict_do_nothing(index_elements=["id"])
        self.new_secret: Insert = insert(secrets).on_conflict_do_nothing(index_elements=["name"])
        # All of them at once. Row by row, each would be a call of the driver, and costs four times as much.
        self.audit_records = text(
            f"INSERT INTO audit_records ({', '.join(AUDIT_COLUMNS)}) {audit_rows} ON CONFLICT DO NOTHING"
        )
        measurement = insert(measurements)
        self.measurement: Insert = measurement.on_conflict_do_update(
            index_elements=["study", "trial", "attempt", "step", "metric"],
            set_={c: measurement.excluded[c] for c in ("value", "time", "sequence")},
        )


SPELLINGS = {
    "sqlite": Spelling(
        sqlite.insert,
        f"SELECT {', '.join(f'json_extract(value, {path!r})' for path in (f'$.{name}' for name in AUDIT_COLUMNS))} "
        "FROM json_each(:records) WHERE TRUE",
    ),
    "postgresql": Spelling(
        postgresql.insert,
        f"SELECT {', '.join(AUDIT_COLUMNS)} "
        "FROM json_populate_recordset(CAST(NULL AS audit_records), CAST(:records AS json))",
    ),
}
