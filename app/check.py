"""`wazir check`: is a study file sound, and does one trial of it run?"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..clients.cli.algorithm_words import algorithm_name
from ..clients.cli.errors import Exit, reported
from ..clients.cli.measured import in_short
from ..clients.cli.output import console, counted, pairs
from ..clients.cli.studies import for_controllers
from ..clients.cli.study_files import load_and_warn
from ..clients.study_file import StudyFile
from ..domain.errors import InvalidArgument, WazirError
from ..domain.study import StudySpec
from ..domain.template import Runtime
from ..domain.trial import TrialState
from .options import cluster_options

if TYPE_CHECKING:
    from ..clients.client import Client
    from .local_service import LocalService


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--run-one", is_flag=True, help="Run one trial as a process here, keep nothing of it.")
@cluster_options
@reported
def check(file: Path, run_one: bool, kubeconfig: Path | None, context: str | None, namespace: str | None) -> None:
    """Check a study FILE: its keys, its space, its template, whether some point satisfies its constraints.

    If its trials are pods, a cluster's API server is asked whether it would take one; nothing is made there.
    """
    study_file = load_and_warn(file)
    spec = for_controllers(study_file.spec)
    pods = spec.trial is not None and spec.trial.runtime is Runtime.KUBERNETES and not run_one

    from .local_check import check_here

    try:
        if not pods:
            check_here(study_file.spec)
    except WazirError as error:
        raise study_file.explain(error) from error

    # Not before the file is known to be sound: what follows takes longer to load than it takes to refuse a file.
    from ..clients.client import Client
    from .check_pod import check_pod
    from .local_service import LocalService

    # A database of its own, so that nothing of this is found in the real one.
    with (
        tempfile.TemporaryDirectory(prefix="wazir-check-") as folder,
        LocalService(Path(folder) / "check.db") as service,
        Client(service.address) as client,
    ):
        try:
            draft = client.create_study(study_file.study_id, spec if pods else study_file.spec, validate_only=True)
            found = check_pod(client, study_file.study_id, spec, kubeconfig, context, namespace) if pods else ""
            summary(study_file, algorithm_name(draft))
            if found:
                console().print(f"  {found}")
            if run_one:
                dry_run(study_file, client, service, Path(folder))
        except WazirError as error:
            raise study_file.explain(error) from error


def summary(study_file: StudyFile, algorithm: str) -> None:
    """One paragraph: what the file asks for."""
    from .sample_command import sample_command

    spec = study_file.spec
    assert spec.space is not None
    out = console()
    conditional = sum(bool(p.when) for p in spec.space.parameters)
    goals = " and ".join(f"{o.goal.value} {o.metric}" for o in spec.objectives)
    out.print(f"{study_file.path}: sound. Study {study_file.study_id} is to {goals}")
    more = f", {conditional} of them conditional" if conditional else ""
    rules = f", {counted(len(spec.space.constraints), 'constraint')}" if spec.space.constraints else ""
    out.print(f"  over {counted(len(spec.space.parameters), 'parameter')}{more}{rules}, by {algorithm}")
    trials = "any number of trials" if spec.budget.trials is None else counted(spec.budget.trials, "trial")
    out.print(f"  with {trials}, {spec.budget.parallel or 1} at a time.")
    if command := sample_command(study_file.study_id, spec):
        out.print(f"  A trial runs, for instance: {command}")
    for name, read in study_file.bare_durations.items():
        out.print(f"  {name} is {read}.")


def dry_run(study_file: StudyFile, client: Client, service: LocalService, folder: Path) -> None:
    """Runs one trial of the study by itself and prints what came of it. Exits with 1 unless it succeeded."""
    spec = study_file.spec
    if spec.trial is None:
        raise InvalidArgument("trial", None, "is missing, so there is nothing to run", "Name a command under `trial:`")
    study = client.create_study(study_file.study_id, only_one(spec))
    out = console()
    out.print("Running one trial ...")
    from .local_run import LocalRun

    with LocalRun(client, service.address, study, folder / "runs") as run:
        run.wait()
    (trial,) = client.list_trials(study.name)
    out.print(f"  parameters  {pairs(trial.parameters)}")
    out.print(f"  {trial.state.value}  {in_short(trial.final, spec)}  {trial.reason}")
    attempt = trial.attempt
    if trial.state is not TrialState.SUCCEEDED:
        if attempt is not None and attempt.log_tail:
            out.print("  the last lines it printed:")
            out.print("    " + "\n    ".join(attempt.log_tail.rstrip().splitlines()[-20:]), markup=False)
        raise click.exceptions.Exit(Exit.FAILED)


def only_one(spec: StudySpec) -> StudySpec:
    """The study with one trial, not tried again and not stopped early."""
    assert spec.trial is not None
    once = replace(spec.trial, retries=replace(spec.trial.retries, failed=0))
    return replace(spec, trial=once, stopping=None, budget=replace(spec.budget, trials=1, parallel=1, failed=0))
