"""`wazir run`: service, controller and live progress in one process, from a study file to the best trial."""

from __future__ import annotations

import math
import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..clients.cli.algorithm_words import stand_in_words
from ..clients.cli.errors import Exit, reported
from ..clients.cli.failures import failure_lines, failures_of
from ..clients.cli.output import console
from ..clients.cli.studies import print_best
from ..clients.cli.study_files import load_and_warn
from ..clients.cli.terminal import say
from ..domain.database import Database, database_of
from ..domain.errors import FailedPrecondition, InvalidArgument, NotFound, WazirError
from ..domain.names import DEFAULT_OWNER, StudyName
from ..domain.study import EndReason, Study, StudyState
from ..domain.trial import Origin, TrialState
from .claim import folder_of, make_folder
from .logs import log_to_file
from .options import database_option
from .signals import heard

if TYPE_CHECKING:
    from ..clients.cli.progress import Progress
    from ..clients.client import Client
    from ..clients.watch import TrialWatch
    from .local_run import LocalRun
    from .local_service import LocalService

PATIENCE = 10.0
"""Seconds to wait for the service of this database while it goes from one process to another."""

LEAVING = 5.0
"""Seconds that the usual way of leaving may take; then the process ends as it is."""

FAILURES_SHOWN = 10
"""Lines about failed trials, two for each thing that they have in common."""

HOW_TO_GO_ON = {
    EndReason.TRIALS: "raise budget.trials in {file}, and run it again; or: wazir run {file}{at} --trials N",
    EndReason.DURATION: "raise budget.duration in {file}, and run it again",
    EndReason.GPU_HOURS: "raise budget.gpu_hours in {file}, and run it again",
    EndReason.STOPPED: "wazir run {file}{at}",
    EndReason.FAILURES: "fix the script, then raise budget.failed in {file}, or start over: wazir delete {name}{at}",
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@database_option
@click.option("--parallel", type=click.IntRange(1), help="At most so many trials at a time, whatever the file says.")
@click.option("--gpus", type=click.IntRange(0), help="GPUs to hand out; without it, those that are found.")
@click.option("--trials", type=click.IntRange(1), help="budget.trials of this run, more or fewer than the file says.")
@reported
def run(file: Path, db: Database, parallel: int | None, gpus: int | None, trials: int | None) -> None:
    """Run the study of a study FILE here, from its start or from where it was left, and show its best trial.

    Ctrl-C once lets running trials end and starts no more; twice stops them. The same command goes on with the study.
    """
    study_file = load_and_warn(file)
    if study_file.spec.trial is None:
        raise study_file.explain(
            InvalidArgument("trial", None, "is missing, so there is nothing to run", "Name a command under `trial:`")
        )

    spec = study_file.spec
    if trials is not None:
        spec = replace(spec, budget=replace(spec.budget, trials=trials))

    from .local_check import check_here

    try:
        check_here(spec, gpus=gpus)
    except WazirError as error:
        raise study_file.explain(error) from error

    # Not before the file is known to be sound: what a run needs takes longer to load than it takes to refuse a file.
    from ..clients.cli.progress import Progress

    with ExitStack() as stack:
        with Progress(console(), waits_for="the service to start"):
            from ..clients.client import Client
            from ..controller.local.runtime import check_free
            from ..service.studies import draft
            from .local_run import LocalRun, run_folder
            from .local_service import LocalService

            name = StudyName(DEFAULT_OWNER, study_file.study_id)
            try:
                # What the service would refuse is refused before a database is made for it.
                draft(name, spec, {}, now=0.0)
            except WazirError as error:
                raise study_file.explain(error) from error

            folder = folder_of(db)
            make_folder(folder)
            # Nor does it change the budget of a study that another process runs.
            check_free(run_folder(folder / "runs", name))
            service = stack.enter_context(LocalService(db))
            client = stack.enter_context(Client(service.address, retry_for=PATIENCE))
            try:
                study = client.create_study(study_file.study_id, spec, resume=True)
            except WazirError as error:
                raise study_file.explain(error) from error

            if study.state is StudyState.PAUSED and not study.needs_a_person:
                short, at = study.name.short, option_for(service)
                raise FailedPrecondition(
                    f"{short} is {study.reason}, so nothing would run. Go on with `wazir resume {short}{at}`, "
                    "and then run it again"
                )

        log_to_file(str(folder / "wazir.log"))
        with LocalRun(client, service.address, study, folder / "runs", parallel=parallel, gpus=gpus) as local:
            follow(client, local, study, service, parallel=parallel)
        study = client.get_study(study.name)
        report(client, study, service, file=str(file))
    raise click.exceptions.Exit(outcome(study))


def follow(client: Client, local: LocalRun, study: Study, service: LocalService, *, parallel: int | None) -> None:
    """Shows the study live until the controller has nothing left to do; Ctrl-C drains, then stops it. Raises why the
    service had to end."""
    from ..clients.cli.progress import Progress, asking

    with Progress(console(), study=study) as progress, drain_on_interrupt(local, progress):
        # However long the service is away: the controller says when it is over.
        watch = client.patient(math.inf).watch_trials(study.name)
        watcher = threading.Thread(target=_show, args=(watch, progress), name="wazir-watch", daemon=True)
        watcher.start()
        progress.ask(asking(client, study.name), parallel=parallel)

        def tell(trouble: str) -> None:
            service.check()
            progress.tell_trouble(trouble)

        try:
            local.wait(tell)
            # It ends by itself with the study; a drained one goes on.
            watcher.join(1.0)
        finally:
            watch.cancel()
            watcher.join(1.0)


def _show(watch: TrialWatch, progress: Progress) -> None:
    with suppress(NotFound):
        for changes in watch:
            progress.update(changes.study, changes.trials)
            if changes.study.state in (StudyState.COMPLETED, StudyState.FAILED):
                return


@contextmanager
def drain_on_interrupt(local: LocalRun, progress: Progress) -> Iterator[None]:
    """Ctrl-C once: no more starts; twice: trials are told to end, and run again next time. SIGTERM: like twice.

    Whatever hangs, the process ends: some time after the second one, or at the third, which leaves trials alone."""
    pressed = stops = 0
    timers: list[threading.Timer] = []

    def later(seconds: float, act: Callable[[], None]) -> None:
        timers.append(threading.Timer(seconds, act))
        timers[-1].daemon = True
        timers[-1].start()

    def leave() -> None:
        progress.note = "Leaving: what still runs goes on, and the next `wazir run` takes it over."
        local.leave()
        later(LEAVING, partial(end_now, progress.note))

    def interrupted(number: int) -> None:
        nonlocal pressed, stops
        pressed += 1
        if stops:
            leave()
        elif pressed == 1 and number == signal.SIGINT:
            progress.note = "Draining: running trials go on to their end, none start. Ctrl-C again stops them."
            local.drain()
        else:
            progress.note = "Stopping: running trials are ended and will be run again by the next `wazir run`."
            stops += 1
            local.stop()
            later(local.stop_limit, leave)
        if not console().is_terminal:
            say(progress.note, err=True)

    with heard(interrupted):
        try:
            yield
        finally:
            for timer in timers:
                timer.cancel()


def end_now(words: str) -> None:
    """Ends this process as it is. What is stored is stored, and what runs goes on."""
    say(f"wazir: {words}", err=True)
    if console().is_terminal:
        console().show_cursor()
    os._exit(Exit.INTERRUPTED)


def report(client: Client, study: Study, service: LocalService, *, file: str) -> None:
    """The best trial, what failures have in common, where the results are, and what to type next."""
    out = console()
    name, at = study.name.short, option_for(service)

    out.print(
        f"\nStudy {name} is {study.state.value}: {study.reason or 'not all of its trials have run'} ({study.counts})"
    )
    if words := stand_in_words(study):
        out.print(f"Stand-ins: {words}")

    best = client.best_trials(study.name)
    if best:
        print_best(best, study)
    else:
        out.print("No trial has a result.")

    failures = list(failure_lines(failures_of(client, study), study, at))
    for line in failures[:FAILURES_SHOWN]:
        out.print(line)
    if len(failures) > FAILURES_SHOWN:
        out.print("More failures are in `wazir show`.")

    # Whatever is odd about the latest one that succeeded, such as metrics that were not read, is so of the others.
    whole = next(client.list_trials(study.name, states=frozenset({TrialState.SUCCEEDED}), descending=True), None)
    if whole is not None and whole.reason and whole.origin is not Origin.IMPORTED:
        out.print(f"Trial {whole.id} succeeded, but {whole.reason}")

    out.print(f"\nResults   {service.name}, logs under {folder_of(service.database) / 'runs'}")
    if study.state is StudyState.ACTIVE:
        out.print(f"Go on     wazir run {file}{at}")
    out.print(f"Look      wazir show {name}{at} · wazir trials {name}{at} · wazir best {name}{at} -o json")
    if study.needs_a_person:
        out.print(f"Go on     wazir resume {name}{at}, and then: wazir run {file}{at}")
    if study.ending in HOW_TO_GO_ON:
        out.print(f"Go on     {HOW_TO_GO_ON[study.ending].format(name=name, file=file, at=at)}")


def option_for(service: LocalService) -> str:
    """What the commands that are proposed need to find the database; nothing if the environment names it."""
    environment = database_of(os.environ)
    if isinstance(environment, Path):
        environment = environment.absolute()
    return "" if service.database == environment else f" --db {shlex.quote(service.name)}"


def outcome(study: Study) -> Exit:
    if study.state is StudyState.ACTIVE:
        return Exit.INTERRUPTED
    done = study.counts[TrialState.SUCCEEDED] + study.counts[TrialState.STOPPED]
    failed = study.state is StudyState.FAILED or study.needs_a_person
    return Exit.OK if done and not failed else Exit.FAILED
