"""Commands about trials: trials, enqueue, retry, logs, watch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click

from ...domain.errors import InvalidArgument, NotFound
from ...domain.names import StudyName, TrialName
from ...domain.study import StudyState
from ...domain.trial import Trial, TrialState
from ..client import Client
from .errors import Exit, reported
from .output import Format, console, emit, pairs, trial_data, trial_table
from .progress import Progress
from .session import Session, StudyType, TrialType, address_option, format_option, value_of
from .studies import parse_labels

TRIAL_STATES = click.Choice([s.value for s in TrialState])


@click.command()
@click.argument("study", type=StudyType())
@click.option("--state", "states", type=TRIAL_STATES, multiple=True, help="Only trials in this state.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="Only trials with this label.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Only the latest so many.")
@address_option
@format_option
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
) -> None:
    """List the trials of a study."""
    with session.client(address) as client:
        whole = client.get_study(study)
        pages = client.list_trials(
            study,
            states=frozenset(map(TrialState, states)),
            labels=parse_labels("--label", labels),
            descending=limit is not None,
        )
        found = [t for t, _ in zip(pages, range(limit), strict=False)][::-1] if limit else list(pages)
    if form is not Format.TABLE:
        emit([trial_data(t) for t in found], form)
    elif found:
        console().print(trial_table(found, whole))
    else:
        console().print("No such trials.")


@click.command()
@click.argument("study", type=StudyType())
@click.argument("values", nargs=-1, metavar="NAME=VALUE...")
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
            raise InvalidArgument(name, text, "stands twice")
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


@click.command()
@click.argument("trial", type=TrialType())
@click.option("-f", "--follow", is_flag=True, help="Go on until the trial ends.")
@click.option("--attempt", type=click.IntRange(1), help="An earlier attempt; without it the latest.")
@address_option
@click.pass_obj
@reported
def logs(session: Session, trial: TrialName, follow: bool, attempt: int | None, address: str | None) -> None:
    """Print what a trial printed: its log file, or the stored last lines where that file is not on this machine."""
    with session.client(address) as client:
        for chunk in _log(client, trial, attempt, follow):
            click.echo(chunk, nl=False)


def _log(client: Client, name: TrialName, number: int | None, follow: bool) -> Iterator[bytes]:
    trial = client.get_trial(name)
    if follow and not trial.attempts:
        trial = next(t for t in _versions(client, name) if t.attempts or t.state is TrialState.CANCELLED)
    if not trial.attempts:
        raise NotFound(
            f"a log of {name.short}", f"It is {trial.state.value} and has not run yet; --follow waits for it"
        )
    if number is not None and number > len(trial.attempts):
        raise NotFound(f"attempt {number} of {name.short}", f"It has {len(trial.attempts)}")
    attempt = trial.attempts[(number or len(trial.attempts)) - 1]
    path = Path(attempt.log_path) if attempt.log_path else None
    if path is None or not path.is_file():
        if attempt.log_tail:
            yield attempt.log_tail.encode()
            return
        raise NotFound(
            f"the log of {name.short}", f"It lies on the machine that ran it: {attempt.log_path or 'unknown'}"
        )
    with path.open("rb") as file:
        while True:
            if chunk := file.read(65_536):
                yield chunk
                continue
            if not follow or not attempt.live:
                return
            time.sleep(0.3)  # a file has no event to wait for
            if not (chunk := file.read(65_536)):
                attempt = client.get_trial(name).attempts[attempt.number - 1]
            else:
                yield chunk


def _versions(client: Client, name: TrialName) -> Iterator[Trial]:
    """The trial as it is, then after every change."""
    for changes in client.watch_trials(name.parent):
        yield from (t for t in changes.trials if t.id == name.id)


@click.command()
@click.argument("study", type=StudyType())
@address_option
@click.pass_obj
@reported
def watch(session: Session, study: StudyName, address: str | None) -> None:
    """Follow a study live until it ends. Ctrl-C ends the watching only."""
    with session.client(address) as client, Progress(console()) as progress:
        for changes in client.watch_trials(study):
            progress.update(changes.study, changes.trials)
            if changes.study.state in (StudyState.COMPLETED, StudyState.FAILED):
                break
    if progress.study is None:
        return
    # Also where it had ended before: silence would leave open what was seen.
    reason = f": {progress.study.reason}" if progress.study.reason else ""
    console().print(f"Study {study.short} is {progress.study.state.value}{reason}")
    if progress.study.state is StudyState.FAILED:
        raise click.exceptions.Exit(Exit.FAILED)
