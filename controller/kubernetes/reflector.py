"""What objects there are: list, then watch, for as long as the process lives.

A watch that breaks goes on from the last resource version it has seen, which bookmarks keep fresh; where the server no
longer keeps that version (410) everything is listed again. Failures are waited out with a growing, jittered pause.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Iterable
from typing import Any

from .api import Api, ApiError, Stream, Unreachable

log = logging.getLogger(__name__)

Json = dict[str, Any]

PAGE = 500
WATCH_SECONDS = (240, 300)
SILENCE = 120.0
"""Seconds after which a watch without a word counts as broken; bookmarks come about every minute."""
FIRST_PAUSE, LAST_PAUSE = 0.2, 10.0


class Reflector:
    """Tells of the objects below `path` that fit `selector`, from a thread of its own.

    `on_list` gets all of them, at the start and after every 410; `on_event` one with ADDED, MODIFIED or DELETED.
    `trouble` says why nothing comes at present; empty while all is well.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        selector: str,
        on_list: Callable[[Iterable[Json]], None],
        on_event: Callable[[str, Json], None],
    ) -> None:
        self._api = api
        self._path = path
        self._selector = selector
        self._on_list = on_list
        self._on_event = on_event
        self._closed = threading.Event()
        self._stream: Stream | None = None
        self._version = ""
        self.synced = threading.Event()
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name=f"wazir-reflector {path}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._stream is not None:
            self._stream.close()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                if not self._version:
                    self._list()
                self._watch()
            except Unreachable as error:
                self._failed(str(error))
            except ApiError as error:
                if error.status == 410:
                    log.info("%s: listing again: %s", self._path, error.words, extra={"action": "relist"})
                    self._version = ""
                    continue
                self._failed(f"the API server says {error}")
            except Exception as error:
                # Something in an answer that nobody thought of; perhaps it is not there in the next one.
                log.exception("watching %s", self._path, extra={"action": "watch_defect"})
                self._failed(repr(error))
                self._version = ""
            else:
                pause = FIRST_PAUSE
                continue
            self._closed.wait(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, LAST_PAUSE)

    def _failed(self, words: str) -> None:
        if self._closed.is_set():
            return
        if words != self.trouble:
            log.warning("watching %s: %s", self._path, words, extra={"action": "watch_failed"})
        self.trouble = words

    def _list(self) -> None:
        items: list[Json] = []
        following: str | None = None
        while True:
            page = self._api.get(
                self._path, labelSelector=self._selector, limit=PAGE, **({"continue": following} if following else {})
            )
            items.extend(page["items"])
            following = page["metadata"].get("continue")
            if not following:
                break
        self._on_list(items)
        self._version = page["metadata"]["resourceVersion"]
        self.trouble = ""
        self.synced.set()

    def _watch(self) -> None:
        """Until the server ends the watch, as it does every few minutes."""
        self._stream = self._api.stream(
            self._path,
            SILENCE,
            watch="true",
            labelSelector=self._selector,
            resourceVersion=self._version,
            allowWatchBookmarks="true",
            timeoutSeconds=random.randint(*WATCH_SECONDS),
        )
        self.trouble = ""
        try:
            if self._closed.is_set():
                return  # closed before there was a stream to close
            for line in self._stream.lines():
                event = json.loads(line)
                kind, item = event["type"], event["object"]
                if kind == "ERROR":
                    raise ApiError(int(item.get("code", 500)), str(item.get("message", "")))
                self._version = item["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    self._on_event(kind, item)
        finally:
            self._stream.close()
