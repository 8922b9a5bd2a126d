"""Commands about studies: create, studies, show, best, stop, pause, resume, delete."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...domain.attempt import Attempt, Cause
from ...domain.errors import InvalidArgument, WazirError
from ...domain.names import StudyName, TrialName
from ...domain.study import Study, StudySpec, StudyState
from ...domain.template import Runtime
from ...domain.trial import Trial, TrialState
from ..durations import span
from .algorithm_words import algorithm_line, stand_in_words, suggested_by
from .errors import Exit, reported
from .failures import failure_lines, failures_data, failures_of
from .grown_space import space_table, unasked_words
from .measured import in_short, measured, own_first
from .output import (
    Format,
    ago,
    choice,
    console,
    counted,
    emit,
    in_order,
    pairs,
    state_text,
    study_data,
    study_table,
    styled,
    trial_data,
    trial_table,
    waits_for,
)
from .session import NameType, Session, StudyType, address_option, format_option, list_options, owner_of
from .terminal import confirm, say

if TYPE_CHECKING:
    from ..client import Client

WAITING_SHOWN = 5
"""Reasons shown of those for which trials wait, the most frequent ones."""
LONG_WAIT = 1.0
"""Seconds before a trial ran that are worth a word."""

STATES = click.Choice([s.value for s in StudyState])


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True, help="Go on with the study of that name if there is one.")
@address_option
@format_option
@click.pass_obj
@reported
def create(session: Session, file: Path, resume: bool, address: str | None, form: Format) -> None:
    """Make the study of a study FILE, for workers and controllers to run."""
    from .study_files import load_and_warn

    study_file = load_and_warn(file)
    with session.client(address) as client:
        try:
            name = StudyName(owner_of(click.get_current_context()), study_file.study_id)
            study = client.create_study(name, for_controllers(study_file.spec), resume=resume)
        except WazirError as error:
            raise study_file.explain(error) from error
    if form is not Format.TABLE:
        emit(study_data(study), form)
        return
    console().print(f"Study {study.name.short} is {study.state.value}.")
    if study.spec.trial is None:
        console().print("It has no `trial:` section, so its trials wait for clients that ask for them.")


def for_controllers(spec: StudySpec) -> StudySpec:
    """The study, to be run as pods if it says what they are made of and no other runtime."""
    template = spec.trial
    if template is None or template.runtime is not None or not template.containerised:
        return spec
    return replace(spec, trial=replace(template, runtime=Runtime.KUBERNETES))


@click.command()
@click.option("--state", "states", type=STATES, multiple=True, help="Only studies in this state; may be repeated.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="Only studies with this label.")
@address_option
@list_options
@click.pass_obj
@reported
def studies(
    session: Session,
    states: tuple[str, ...],
    labels: tuple[str, ...],
    address: str | None,
    form: Format,
    columns: str | None,
    sort: str | None,
) -> None:
    """List studies."""
    with session.client(address) as client:
        found = list(
            client.list_studies(
                states=frozenset(map(StudyState, states)),
                labels=parse_labels("--label", labels),
                owner=owner_of(click.get_current_context()),
            )
        )

    from .columns import STUDY_COLUMNS, chosen, ordered, print_columns

    if sort is not None:
        found = ordered(found, sort, STUDY_COLUMNS)
    if columns is not None or form is Format.CSV:
        names = list(STUDY_COLUMNS) if columns is None else chosen("--columns", columns, STUDY_COLUMNS)
        print_columns(found, names, STUDY_COLUMNS, form)
    elif form is not Format.TABLE:
        emit([study_data(s) for s in found], form)
    elif found:
        console().print(study_table(found))
    else:
        console().print("No studies. Make one with `wazir run FILE` or `wazir create FILE`.")


@click.command()
@click.argument("name", type=NameType())
@address_option
@format_option
@click.pass_obj
@reported
def show(session: Session, name: StudyName | TrialName, address: str | None, form: Format) -> None:
    """Show a study, or one trial of it: `show digits`, `show digits/17`."""
    with session.client(address) as client:
        if isinstance(name, TrialName):
            _show_trial(client, name, form)
        else:
            _show_study(client, name, form)


def _show_study(client: Client, name: StudyName, form: Format) -> None:
    study, best = client.get_study(name), client.best_trials(name)
    if form is not Format.TABLE:
        failures = failures_data(failures_of(client, study))
        emit({**study_data(study), "best": [trial_data(t) for t in best], "failures": failures}, form)
        return

    out = console()
    spec = study.spec
    out.print(styled(study.name.short, "bold"), state_text(study.state), study.reason, sep="  ")
    ended = f", ended {ago(study.end_time)}" if study.end_time else ""
    out.print(f"created     {ago(study.create_time)}{ended}")

    goals = ", ".join(f"{o.goal.value} {o.metric}" for o in spec.objectives)
    out.print(f"objective   {goals}")
    out.print(f"algorithm   {algorithm_line(study)}")
    if words := stand_in_words(study):
        out.print(f"stand-ins   {words}")
    if spec.stopping:
        out.print(f"stopping    {spec.stopping.name}")

    counts = str(study.counts) or "none yet"
    out.print(f"trials      {counts}" + (f" of {spec.budget.trials}" if spec.budget.trials else ""))
    for words, waiting_trials in waiting(client, study).most_common(WAITING_SHOWN):
        out.print(f"waiting     {counted(waiting_trials, 'trial')}: {words}")
    if study.thinning:
        out.print(f"curves      at most {counted(study.thinning.points, 'point')} of each are kept")
    if study.gpu_seconds:
        out.print(f"GPU hours   {study.gpu_seconds / 3600:.3g}")

    if grown := space_table(study):
        out.print(styled("\nParameters, as its trials asked for them", "bold"))
        out.print(grown)
    if best:
        out.print(styled("\nBest trial" if len(best) == 1 else "\nBest trials", "bold"))
        out.print(trial_table(best, study))
    if lines := list(failure_lines(failures_of(client, study), study)):
        out.print(styled("\nFailures", "bold"))
        for line in lines:
            out.print(line)


def _show_trial(client: Client, name: TrialName, form: Format) -> None:
    trial, study = client.get_trial(name), client.get_study(name.parent)
    measurements = client.measurements(name)
    if form is not Format.TABLE:
        emit(trial_data(trial, measurements), form)
        return

    out = console()
    out.print(styled(trial.name.short, "bold"), state_text(trial.state), trial.reason, sep="  ")
    out.print(f"parameters  {pairs(in_order(trial, study))}")
    if unasked := unasked_words(trial):
        out.print(f"not asked   {unasked}")
    if trial.final:
        at = "" if trial.final_step is None else f" (step {trial.final_step})"
        out.print(f"metrics     {pairs(own_first(trial.final, study.spec))}{at}")
    if trial.provenance and trial.provenance.why:
        out.print(f"suggested   by {suggested_by(trial.provenance)}: {trial.provenance.why}")

    for attempt in trial.attempts:
        out.print(f"attempt {attempt.number}   {', '.join(attempt_words(attempt))}")
        if attempt.why:
            out.print(f"            why {attempt.why}")
        if attempt.log_path:
            out.print(f"            log {attempt.log_path}")
        if attempt.log_tail and _exit_code(attempt):
            last_lines = attempt.log_tail.rstrip().splitlines()[-10:]
            out.print("\n".join(f"            {line}" for line in last_lines))

    if measurements:
        out.print(f"\n{counted(len(measurements), 'step')} {'kept' if study.thinning else 'measured'}, the last ones:")
        table, more = measured(measurements[-5:], study.spec)
        out.print(table)
        if more:
            out.print(f"and {', '.join(more)}: `wazir show {name.short} -o json` has them all")


def waiting(client: Client, study: Study) -> Counter[str]:
    """What trials wait for that have an attempt and do not run yet; how many for each."""
    if not study.counts[TrialState.ACTIVE]:
        return Counter()
    active = client.list_trials(study.name, states=frozenset({TrialState.ACTIVE}))
    return Counter(words for trial in active if (words := waits_for(trial)))


def attempt_words(attempt: Attempt) -> list[str]:
    """How it went: what came of it, its phases, where it ran and what it held."""
    end = attempt.end_time
    began = attempt.run_time
    words = [attempt.cause.value if attempt.cause else attempt.state.value]
    if began is not None and began - attempt.start_time >= LONG_WAIT:
        words.append(f"waited {span(began - attempt.start_time)}")
    if end is not None:
        words.append(f"after {span(end - (attempt.start_time if began is None else began))}")
    if attempt.node:
        words.append(f"on {attempt.node}")
    if attempt.gpus:
        words.append(f"{attempt.gpus:g} GPU{'s' if attempt.gpus > 1 else ''}")
    code = _exit_code(attempt)
    if code and not attempt.message.startswith(f"exit code {code}"):
        words.append(f"exit code {code}")
    return [*words, attempt.message] if attempt.message else words


def _exit_code(attempt: Attempt) -> int:
    """The one that says that something went wrong; 0 if nothing did. One that was told to end may end with any."""
    return 0 if attempt.cause in (None, Cause.STOPPED) else attempt.exit_code or 0


@click.command()
@click.argument("study", type=StudyType())
@click.option("-n", "--limit", type=click.IntRange(1, 1000), help="So many of the best; 1 if there is one objective.")
@address_option
@format_option
@click.pass_obj
@reported
def best(session: Session, study: StudyName, limit: int | None, address: str | None, form: Format) -> None:
    """Show the best trial; with several objectives, those that no other dominates."""
    with session.client(address) as client:
        found = client.best_trials(study, limit or 0)
        whole = client.get_study(study)
    if form is not Format.TABLE:
        emit([trial_data(t) for t in found], form)
    elif found:
        print_best(found, whole)
    if not found:
        say(f"wazir: {study.short} has no trial with a result yet", err=True)
        raise click.exceptions.Exit(Exit.FAILED)


def print_best(trials: list[Trial], study: Study) -> None:
    out = console()
    if len(trials) > 1:
        out.print(trial_table(trials, study))
        return
    trial = trials[0]
    out.print(
        styled(f"Best trial: {trial.name.short}", "bold").append(f"  {in_short(trial.final, study.spec)}", "not bold")
    )
    width = max(map(len, trial.parameters), default=0)
    for name, value in in_order(trial, study).items():
        out.print(f"  {name:<{width}}  {choice(value)}")


@click.command()
@click.argument("name", type=NameType())
@click.option("--reason", default="", help="For people; shown with the study or trial.")
@click.option("--cancel", is_flag=True, help="Of a trial: give it up, so that it does not count.")
@address_option
@click.pass_obj
@reported
def stop(session: Session, name: StudyName | TrialName, reason: str, cancel: bool, address: str | None) -> None:
    """End a study, or one trial early: `stop digits`, `stop digits/17`. What was measured counts."""
    with session.client(address) as client:
        if isinstance(name, TrialName):
            trial = client.cancel_trial(name, reason) if cancel else client.stop_trial(name, reason)
            console().print(f"Trial {name.short} is {trial.state.value}.")
            return
        if cancel:
            raise InvalidArgument("--cancel", name.short, "is for a trial", "Write STUDY/NUMBER")
        study = client.stop_study(name, reason)
        live = study.counts.live
        console().print(
            f"Study {name.short} is {'ending' if live else study.state.value}: {counted(live, 'trial')} running."
        )


@click.command()
@click.argument("study", type=StudyType())
@address_option
@click.pass_obj
@reported
def pause(session: Session, study: StudyName, address: str | None) -> None:
    """Start no more trials of a study; running ones go on."""
    with session.client(address) as client:
        found = client.pause_study(study)
    console().print(f"Study {study.short} is {found.state.value}; go on with `wazir resume {study.short}`.")


@click.command()
@click.argument("study", type=StudyType())
@address_option
@click.pass_obj
@reported
def resume(session: Session, study: StudyName, address: str | None) -> None:
    """Go on with a study that was paused or stopped."""
    with session.client(address) as client:
        found = client.resume_study(study)
    console().print(f"Study {study.short} is {found.state.value}.")


@click.command()
@click.argument("name", type=NameType())
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even while trials run.")
@address_option
@click.pass_obj
@reported
def delete(session: Session, name: StudyName | TrialName, yes: bool, force: bool, address: str | None) -> None:
    """Delete a study or a trial, with all that was measured and its checkpoints in this folder; logs stay."""
    with session.client(address) as client:
        if isinstance(name, TrialName):
            study = client.get_study(name.parent)
            client.get_trial(name)
            if not yes:
                confirm(f"Delete trial {name.short}?")
            client.delete_trial(name)
            session.discard(study, name.id)
        else:
            study = client.get_study(name)
            if not yes:
                confirm(f"Delete {name.short} with its {counted(study.counts.total, 'trial')}?")
            client.delete_study(name, force=force)
            session.discard(study, None)
    console().print(f"Deleted {name.short}.")


def parse_labels(where: str, pairs_: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for pair in pairs_:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidArgument(where, pair, "must be KEY=VALUE")
        labels[key] = value
    return labels
