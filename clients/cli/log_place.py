"""Where the log of an attempt lies. That was written by whoever ran the attempt, so it is not taken on trust."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ...domain.errors import FailedPrecondition, NotFound

NAME = "output.log"

_POD = re.compile(r"kubernetes://[a-z0-9-]{1,63}/(?P<pod>[a-z0-9.-]{1,253})/[a-z0-9-]{1,63}")


def check_pod(reference: str, uid: str, trial: int, attempt: int) -> None:
    """Raises FailedPrecondition if the reference does not name a pod of that attempt: the reader's rights in the
    cluster may reach further than those of whoever wrote it."""
    found = _POD.fullmatch(reference)
    tail = f"-{trial}-{attempt}-{uid[:8]}"
    if found is None or not found["pod"].endswith(tail):
        raise FailedPrecondition(
            f"the log of the attempt is said to be {reference!r}, which is no pod of its: that is named ...{tail}. "
            "It is not read"
        )


def open_log(path: str, uid: str, trial: int, attempt: int) -> int:
    """A descriptor of the log of that attempt. Raises NotFound if there is none here that can be read.

    Raises FailedPrecondition if the path is not `{run folder}/{uid}/{trial}/{attempt}/output.log`, or leaves the run
    folder by a link: then it is another file, which somebody wants us to print.
    """
    found = Path(path)
    if found.parts[-4:] != (uid, str(trial), str(attempt), NAME) or not found.is_absolute() or ".." in found.parts:
        raise FailedPrecondition(
            f"the log of the attempt is said to be {path!r}, which is no log of its: that ends with "
            f"{uid}/{trial}/{attempt}/{NAME}. It is not read"
        )

    folder = found.parents[3]
    try:
        if found.resolve() != folder.resolve().joinpath(*found.parts[-4:]):
            raise FailedPrecondition(f"{path!r} leaves its run folder by a link and is not read")
        # Opening a pipe would wait for somebody to write to it.
        file = os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, RuntimeError) as error:
        raise NotFound(f"the log {path!r}", str(error)) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FailedPrecondition(f"{path!r} is no regular file and is not read")
    return file
