"""`wazir run`: service, controller and live progress in one process, from a study file to the best trial."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ..clients.cli.errors import Exit, reported
from ..clients.cli.output import console
from ..clients.cli.progress import Progress
from ..clients.cli.studies import print_best
from ..clients.client import Client
from ..clients.study_file import load
from ..controller.local.runtime import LocalRuntime
from ..controller.loop import Controller, ControllerSettings
from ..domain.errors import FailedPrecondition, Unavailable, WazirError
from ..domain.names import StudyName
from ..domain.study import EndReason, Study, StudyState
from .local_service import LocalService
from .logs import log_to_file
from .options import database_option

PATIENCE = 10.0
"""Seconds to wait for a service of this machine that is being handed over."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@database_option
@click.option("--parallel", type=click.IntRange(1), help="At most so many trials at a time, whatever the file says.")
@click.option("--gpus", type=click.IntRange(0), help="GPUs to hand out; without it, those that are found.")
@reported
def run(file: Path, db: Path, parallel: int | None, gpus: int | None) -> None:
    """Run the study of a study FILE here, from start or from where it was left, and show its best trial.

    Ctrl-C once lets running trials end and starts no more, twice stops them. The same command goes on with the study.
    """
    study_file = load(file)
    db = db.absolute()
    runs = db.parent / "runs"
    runs.mkdir(mode=0o700, parents=True, exist_ok=True) if db.parent.is_dir() else None
    with LocalService(db) as service, Client(service.address, retry_for=PATIENCE) as client:
        try:
            study = client.create_study(study_file.study_id, study_file.spec, resume=True)
        except WazirError as error:
            raise study_file.explain(error) from error
        with run_lock(runs, study):
            log_to_file(str(db.parent / "wazir.log"))
            settings = ControllerSettings(parallel=parallel, gpus=gpus)
            runtime = LocalRuntime(runs, service.address, settings)
            study = follow(client, Controller(client, runtime, [study.name], settings), study)
        report(client, study, db, runs)
    raise click.exceptions.Exit(outcome(study))
