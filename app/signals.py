"""Signals that are heard whatever the main thread waits for."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def heard(act: Callable[[int], None]) -> Iterator[None]:
    """Until it is left, `act` is called with the number of each SIGINT and SIGTERM, on a thread of its own.

    A handler in Python waits for the main thread's present call to return. One that comes in the moment before a wait
    begins does not interrupt it, and is heard when it ends, which may be never. The descriptor of `set_wakeup_fd` is
    written to by the handler in C, at once. To be used on the main thread, with no event loop there.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)

    def listen() -> None:
        while numbers := reading.recv(64):
            for number in numbers:
                if number in ENDING:
                    act(number)

    thread = threading.Thread(target=listen, name="wazir-signals", daemon=True)
    thread.start()
    wakeup = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        writing.close()
        thread.join()
        reading.close()
