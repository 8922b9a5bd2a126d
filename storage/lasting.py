"""Threads that must not end while the process serves.

A process whose writer or exchange is gone looks alive and does nothing, and whoever supervises it sees nothing to
restart. So if such a thread ends by an exception, which is a defect, the process is told to end as by SIGTERM.
"""

from __future__ import annotations

import logging
import os
import signal
import threading

logger = logging.getLogger(__name__)


class LastingThread(threading.Thread):
    """Ends by returning, or the process ends."""

    def run(self) -> None:
        try:
            super().run()
        except BaseException:
            logger.critical(
                "the thread %s ended, and this process cannot go on without it",
                self.name,
                exc_info=True,
                extra={"action": "thread_died"},
            )
            os.kill(os.getpid(), signal.SIGTERM)
            raise
