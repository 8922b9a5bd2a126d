"""Commands about trials: trials, enqueue, why, retry, release, logs, watch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...domain.attempt import Cause
from ...domain.errors import FailedPrecondition, InvalidArgument
from ...domain.names import StudyName, TrialName
from ...domain.study import StudyState
from ...domain.trial import Origin, TrialState
from .algorithm_words import suggested_by
from .columns import chosen, csv_trial_columns, ordered, print_columns, trial_columns
from .errors import Exit, reported
from .output import Format, console, emit, in_order, pairs, trial_data, trial_table
from .running_trials import PROGRESS_COLUMNS, look_at_running, progress_data, rows_by_id, table_of, with_progress
from .session import (
    ParameterValueType,
    Session,
    StudyType,
    TrialType,
    address_option,
    format_option,
    list_options,
    value_of,
)
from .studies import parse_labels
from .terminal import confirm
from .trial_log import read_log, show_log

if TYPE_CHECKING:
    pass

TRIAL_STATES = click.Choice([s.value for s in TrialState])


@click.command()
@click.argument("study", type=StudyType())
@click.option("--state", "states", type=TRIAL_STATES, multiple=True, help="Only trials in this state.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="Only trials with this label.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Only the latest so many; with --sort, the first so many.")
@address_option
@list_options
@click.pass_obj
@reported
def trials(
    session: Session,
    study: StudyName,
    states: tuple[str, ...],
    labels: tuple[str, ...],
    limit: int | None,
    address: str | None,
    form: Format,
    columns: str | None,
    sort: str | None,
) -> None:
    """List the trials of a study. Running ones show their step, latest value, curve, rank at that step and ETA.

    Columns are trial, name, state, took, step, value, curve, rank, eta, why, origin, attempts, node, created, started,
    ended, parameters, and every metric, parameter and label by its name (or as metrics.NAME, params.NAME, labels.NAME):
    `trials digits --sort=-val/accuracy -n 5 --columns trial,val/accuracy,lr`.
    """
    with session.client(address) as client:
        whole = client.get_study(study)
        pages = client.list_trials(
            study,
            states=frozenset(map(TrialState, states)),
            labels=parse_labels("--label", labels),
            descending=limit is not None and sort is None,
        )
        latest = islice(pages, limit if sort is None else None)
        found = list(latest) if limit is None or sort is not None else list(latest)[::-1]

        asked = {*(columns or "").replace(" ", "").split(","), (sort or "").removeprefix("-")}
        plain = columns is None and form is Format.TABLE
        looks = columns is None or asked & PROGRESS_COLUMNS
        looked = look_at_running(client, found, whole) if looks else None
        known = with_progress(trial_columns(whole, found), looked, whole)

        if sort is not None:
            found = ordered(found, sort, known)[:limit]
        running = rows_by_id(looked, whole) if plain else {}

    if columns is not None or form is Format.CSV:
        names = csv_trial_columns(known) if columns is None else chosen("--columns", columns, known)
        print_columns(found, names, known, form)
    elif form is not Format.TABLE:
        doing = progress_data(looked)
        emit([trial_data(t) | ({"progress": doing[t.id]} if t.id in doing else {}) for t in found], form)
    elif running:
        out = console()
        ascii_only = out.options.ascii_only
        out.print(table_of(found, whole, running, out.width, terminal=out.is_terminal, ascii_only=ascii_only))
    elif found:
        console().print(trial_table(found, whole))
    else:
        console().print("No such trials.")


@click.command()
@click.argument("study", type=StudyType())
@click.argument("values", type=ParameterValueType(), nargs=-1, metavar="NAME=VALUE...")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="A label of the trial.")
@address_option
@format_option
@click.pass_obj
@reported
def enqueue(
    session: Session,
    study: StudyName,
    values: tuple[str, ...],
    labels: tuple[str, ...],
    address: str | None,
    form: Format,
) -> None:
    """Have a trial run with given parameters: `enqueue digits lr=0.01 hidden=64`. Defaults fill gaps."""
    parameters = {}
    for pair in values:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidArgument("NAME=VALUE", pair, "must be a parameter and its value", "For instance lr=0.01")
        if name in parameters:
            raise InvalidArgument(name, text, "appears twice")
        parameters[name] = value_of(text)
    with session.client(address) as client:
        trial = client.create_trial(study, parameters, labels=parse_labels("--label", labels))
    if form is not Format.TABLE:
        emit(trial_data(trial), form)
    else:
        console().print(f"Trial {trial.name.short} waits to be run: {pairs(trial.parameters)}")


@click.command()
@click.argument("trial", type=TrialType())
@address_option
@click.pass_obj
@reported
def retry(session: Session, trial: TrialName, address: str | None) -> None:
    """Run a failed trial again."""
    with session.client(address) as client:
        found = client.retry_trial(trial)
    console().print(f"Trial {trial.short} is {found.state.value}.")


ORIGINS = {
    Origin.SUGGESTED: "was suggested, but it is no longer known by which algorithm",
    Origin.ENQUEUED: "was enqueued by a person or a client",
    Origin.IMPORTED: "was imported with its outcome",
}


@click.command()
@click.argument("trial", type=TrialType())
@address_option
@format_option
@click.pass_obj
@reported
def why(session: Session, trial: TrialName, address: str | None, form: Format) -> None:
    """Say why a trial's parameters were suggested, and by which algorithm, and why it went on: `why digits/17`."""
    with session.client(address) as client:
        found, study = client.get_trial(trial), client.get_study(trial.parent)
    if form is not Format.TABLE:
        data = trial_data(found)
        chosen_data = {key: data[key] for key in ("name", "origin", "parameters", "suggested_by") if key in data}
        emit(chosen_data | {"attempts": [{"number": a.number, "why": a.why} for a in found.attempts]}, form)
        return

    out = console()
    made = found.provenance
    if made is None:
        out.print(f"{trial.short} {ORIGINS[found.origin]}.")
    else:
        of = f"point {made.index + 1} of {made.count} of " if made.count > 1 else ""
        instead = ", in the place of the algorithm" if made.fallback else ""
        out.print(
            f"{trial.short} was suggested by {suggested_by(made)} {made.version}, {of}round {made.round}{instead}."
        )
        if made.why:
            out.print(f"why         {made.why}")
        if made.details:
            out.print(f"details     {pairs(made.details)}")

    out.print(f"parameters  {pairs(in_order(found, study))}")
    for attempt in found.attempts:
        if attempt.why:
            out.print(f"attempt {attempt.number}   {attempt.why}")


@click.command()
@click.argument("trial", type=TrialType())
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", default="", help="For people; shown with the attempt.")
@address_option
@click.pass_obj
@reported
def release(session: Session, trial: TrialName, yes: bool, reason: str, address: str | None) -> None:
    """End a trial's attempt whose node or machine is known to be dead, so that it is tried again.

    Nothing else does that: as long as nobody knows whether it still runs, a second one might run beside it.
    """
    with session.client(address) as client:
        attempt = client.get_trial(trial).attempt
        if attempt is None or not attempt.live:
            raise FailedPrecondition(f"{trial.short} has no attempt that runs")
        where = f" on {attempt.node}" if attempt.node else ""
        if not yes:
            confirm(f"Is attempt {attempt.number} of {trial.short}{where} certainly dead?")
        words = "released by a person" + (f": {reason}" if reason else "")
        found = client.end_attempt(trial, attempt.number, Cause.NODE_LOST, message=words)
    console().print(f"Trial {trial.short} is {found.state.value}.")


@click.command()
@click.argument("trial", type=TrialType())
@click.option("-f", "--follow", is_flag=True, help="Go on until the trial ends.")
@click.option("--raw", is_flag=True, help="Every byte as it was printed; a terminal obeys what is in it.")
@click.option("--attempt", type=click.IntRange(1), help="An earlier attempt; without it the latest.")
@click.option(
    "--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), help="Of pods: how to reach the cluster."
)
@click.option("--context", metavar="NAME", help="Of pods: a context of the kubeconfig.")
@address_option
@click.pass_obj
@reported
def logs(
    session: Session,
    trial: TrialName,
    follow: bool,
    raw: bool,
    attempt: int | None,
    kubeconfig: Path | None,
    context: str | None,
    address: str | None,
) -> None:
    """Print what a trial printed: its log file, or its pod's log, or the stored last lines if this machine can reach
    neither.

    A terminal is shown colours, and every other control character escaped; a file or pipe gets every byte.
    """
    with session.client(address) as client:

        def of_pod(reference: str, follow: bool) -> Iterator[bytes]:
            return session.pod_log(reference, follow, kubeconfig, context)

        chunks = read_log(client, trial, number=attempt, follow=follow, of_pod=of_pod)
        if raw or not sys.stdout.isatty():
            for chunk in chunks:
                click.echo(chunk, nl=False)
        else:
            show_log(chunks)


@click.command()
@click.argument("study", type=StudyType())
@address_option
@click.pass_obj
@reported
def watch(session: Session, study: StudyName, address: str | None) -> None:
    """Follow a study live until it ends, or waits for somebody to resume it. Ctrl-C ends the watching only."""
    from .idle import Idle
    from .progress import Progress, asking

    with (
        session.client(address) as client,
        Progress(console()) as progress,
        Idle(progress.tell_trouble) as idle,
    ):
        progress.ask(asking(client, study))
        for changes in client.watch_trials(study):
            progress.update(changes.study, changes.trials)
            idle.update(changes.study)
            study_now = changes.study
            if study_now.state in (StudyState.COMPLETED, StudyState.FAILED):
                break
            if study_now.needs_a_person and not study_now.counts.live:
                break
    if progress.study is None:
        return
    # Also if it had ended before: otherwise nothing would be printed.
    reason = f": {progress.study.reason}" if progress.study.reason else ""
    console().print(f"Study {study.short} is {progress.study.state.value}{reason}")
    if progress.study.state is StudyState.FAILED or progress.study.needs_a_person:
        raise click.exceptions.Exit(Exit.FAILED)
