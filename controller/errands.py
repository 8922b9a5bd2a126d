"""What other threads do for the loop, so that it never waits for the service: they run errands, and bring news.

All that is known belongs to the loop's thread. What another one has learnt is a function in the inbox, which the loop
calls when it takes in the news.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from functools import partial

from .calls import Calls

log = logging.getLogger(__name__)


class Defect(Exception):
    """An errand came to an end that was to survive every exception."""


class Errands:
    """`threads`: errands under way at a time; `wake` makes the loop look for news."""

    def __init__(self, threads: int, wake: Callable[[], None]) -> None:
        self.closing = threading.Event()
        """Set when nobody waits for news any more."""
        self.trouble = ""
        """Why the service did not take the latest call, in its words; empty when it did."""
        self._calls = Calls(threads)
        self._wake = wake
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def send(self, errand: Callable[[], None]) -> None:
        """Has it run on one of the threads, when its turn has come."""
        self._calls.submit(partial(self._guarded, errand))

    def watch(self, errand: Callable[[], None], name: str) -> None:
        """Has it run on a thread of its own. It ends by itself once `closing` is set."""
        threading.Thread(target=self._guarded, args=(errand,), name=name, daemon=True).start()

    def tell(self, news: Callable[[], None]) -> None:
        """From any thread: has it called in the loop's."""
        self._news.put(news)
        self._wake()

    def take_in(self) -> None:
        """In the loop's thread: calls what came. Raises Defect if an errand itself came to an end by an exception."""
        while not self._news.empty():
            try:
                self._news.get()()
            except Defect:
                raise
            except Exception as error:
                # What one item brings is not to keep the others from being heard.
                log.exception("what came could not be taken in", extra={"action": "news_defect"})
                self.trouble = repr(error)

    def close(self) -> None:
        self.closing.set()
        self._calls.close()

    def _guarded(self, errand: Callable[[], None]) -> None:
        """An errand that ends by an exception would be missed by nobody, so it ends the loop."""
        try:
            errand()
        except Exception as error:  # noqa: BLE001 - raised again, in the loop
            self.tell(partial(_raise, error))


def _raise(error: Exception) -> None:
    raise Defect(f"an errand ended by an exception: {error!r}") from error
