"""`wazir db thin`: points of long curves of studies that ended some time ago are removed by hand."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import click

from ..clients.cli.errors import reported
from ..clients.cli.output import counted
from ..clients.cli.terminal import say
from ..domain.database import Database, shown
from ..domain.document.amounts import parse_duration
from ..domain.errors import InvalidArgument, NotFound
from ..domain.study import Study
from ..domain.thinning import FEWEST
from ..service import thinning
from ..service.upkeep import Batch
from ..storage.open import open_store
from ..storage.store import Store, View
from .options import database_option

STUDIES = 100
"""Read at a time."""


@click.command()
@database_option
@click.option("--older-than", metavar="DURATION", required=True, help="Of studies that ended so long ago, such as 30d.")
@click.option("--points", default=200, show_default=True, help="Points of each curve that are kept at most.")
@click.option("--dry-run", is_flag=True, help="Only say how many measurements would be removed.")
@reported
def thin(db: Database, older_than: str, points: int, dry_run: bool) -> None:
    """Keep fewer points of the curves of studies that have ended. May be served meanwhile.

    Of each trial's curve of each metric the first, the last, the least and the greatest point stay, and others evenly
    spaced; results stay as they are. Studies that are active or paused are left alone.
    """
    check_points("--points", points)
    before = time.time() - parse_duration("--older-than", older_than)
    if isinstance(db, Path) and not db.exists():
        raise InvalidArgument("--db", str(db), "does not exist", "Name a database with --db or WAZIR_DB")

    removed = studies = 0
    with closing(open_store(db)) as store:
        after: Study | None = None
        while found := store.read(partial(_to_thin, before=before, points=points, after=after)):
            after = found[-1]
            for study in found:
                with suppress(thinning.GoesOn, NotFound):
                    excess = _thin(store, study, points, dry_run=dry_run)
                    removed += excess
                    studies += bool(excess)

    verb = "would be removed from" if dry_run else "are removed from"
    of = "1 study" if studies == 1 else f"{studies} studies"
    say(f"{counted(removed, 'measurement')} of {of} {verb} {shown(db)}.")


def check_points(option: str, points: int) -> None:
    """Raises InvalidArgument."""
    if points < FEWEST:
        why = "the first, the last, the least and the greatest point of a curve always stay"
        raise InvalidArgument(option, points, f"must be {FEWEST} or more: {why}")


def _to_thin(view: View, before: float, points: int, after: Study | None) -> list[Study]:
    return view.to_thin(before, points, STUDIES, after)


def _thin(store: Store, study: Study, points: int, *, dry_run: bool) -> int:
    """How many points went, or would."""
    removed, batch = 0, Batch()
    for first in range(1, study.next_trial_id, thinning.TRIALS):
        for trial in store.read(partial(thinning.long_trials, study=study, first=first, points=points)):
            excess = store.read(partial(thinning.excess, trial=trial, points=points))
            if dry_run:
                removed += len(excess)
                continue

            if not removed:
                _write(store, partial(thinning.begin, study=study, points=points))
            while excess:
                some, excess = excess[: batch.rows], excess[batch.rows :]
                began = time.monotonic()
                removed += store.write(partial(thinning.remove, study=study, points=some))
                took = time.monotonic() - began
                batch.note(len(some), took)
                # Servers on the same database want to write too.
                time.sleep(took)

    if not dry_run:
        _write(store, partial(thinning.end, study=study, points=points))
    return removed


def _write(store: Store, work: thinning.Step) -> None:
    now = time.time()
    store.write(lambda tx: work(tx, now))
