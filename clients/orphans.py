"""Trials of processes of this machine that have ended without a word, as by `kill -9`: they are given back at once.

Their leases would give them back as well, a minute later. Only a service at a Unix socket is asked, because then its
callers' process ids are those of this machine, and only about trials that ask-and-tell processes hold.
"""

from __future__ import annotations

import logging
import os
import re
import socket

from ..domain.attempt import Cause
from ..domain.errors import WazirError
from ..domain.study import Study
from ..domain.trial import LIVE
from .client import Client

_HOLDER = re.compile(r"(?P<host>.+)/(?P<pid>[1-9][0-9]*)")

logger = logging.getLogger(__name__)


def holder() -> str:
    """How this process is named as the holder of trials."""
    return f"{socket.gethostname()}/{os.getpid()}"


def give_back_orphans(client: Client, study: Study) -> None:
    """Lets trials be evaluated again whose process is gone. What fails is left to the leases."""
    if study.spec.trial is not None or not study.counts.live or not client.address.startswith("unix:"):
        return

    for trial in client.list_trials(study.name, states=LIVE):
        attempt = trial.attempt
        if attempt is None or not attempt.live or not _is_gone(trial.client_id):
            continue
        try:
            client.end_attempt(trial.name, attempt.number, Cause.PREEMPTED, message="its process has ended")
        except WazirError as error:
            logger.info("%s is left to its lease: %s", trial.name.short, error, extra={"action": "orphan_left"})
        else:
            logger.info("%s is given back: its process has ended", trial.name.short, extra={"action": "orphan"})


def _is_gone(client_id: str) -> bool:
    """Whether it names a process of this machine that does not exist. Another one may have its number by now: then it
    counts as there."""
    found = _HOLDER.fullmatch(client_id)
    if found is None or found["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
