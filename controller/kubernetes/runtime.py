"""Attempts as pods. See the room's `__init__` for its parts, and `status.py` for what is made of what is seen."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...clients.spool import MARK
from ...domain.errors import InvalidArgument, Unavailable
from ...domain.pod import Keep
from ..execution import Ending, Execution, Exit, Fault, Key, Order, Phase, Why
from ..runtime import OutputLost
from .api import Api, ApiError, Unreachable, events_path, pods_path, secrets_path
from .output import Follower, last_part
from .pod_object import began, last_words, main_name, unsent, version_of
from .pods import (
    CONTROLLER,
    DONE,
    ENDING,
    FINALIZER,
    KILLED,
    TOKEN,
    TOKEN_VARIABLE,
    UID,
    build,
    ending_text,
    keep_of,
    kept_selector,
    key_of,
    selector,
    token_secret,
)
from .reflector import Reflector
from .settings import KubernetesSettings
from .size import refused_for_size
from .status import execution_of
from .writer import Later, Writer

log = logging.getLogger(__name__)

Json = dict[str, Any]

CHUNK = 1 << 20
PATIENT = 10.0
"""Seconds that reading the output of what has ended waits for the rest of it."""
LOG_TRIES = 3
QUOTA_PAUSE = 5.0
LAST_WRITES = 5.0
"""Seconds that `close` waits for writes under way."""
EVENTS_EVERY = 8.0
"""Seconds between two looks at the events of a pod that has a node and does not start."""


@dataclass(slots=True)
class _Pod:
    """What is known of one attempt. `pod`: the object as last seen; None before it is there."""

    execution: Execution
    namespace: str
    pod: Json | None = None
    order: Order | None = None
    """Of an attempt launched here; None of one found in the cluster."""
    ending: Ending | None = None
    killed: bool = False
    complete: bool = True
    """Whether its secret is there, as far as is known."""
    forgotten: bool = False
    gone: bool = False
    """The object is there no more."""
    follower: Follower | None = None
    tail: bytes | None = None
    """The last part of its log, where that was read after its end."""
    tries: int = 0
    asks_events: bool = False
    event: str = ""

    @property
    def name(self) -> str:
        assert self.pod is not None
        return str(self.pod["metadata"]["name"])


class KubernetesRuntime:
    """Runs attempts as pods of one cluster. `wait_synced` before the first `observe`. `leads` is asked before every
    write."""

    def __init__(
        self,
        api: Api,
        settings: KubernetesSettings,
        *,
        leads: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self._pods: dict[Key, _Pod] = {}
        self._lock = threading.RLock()
        self._news = threading.Condition()
        self._awake = False
        self._writer = Writer(settings.writers, self._failed, leads)
        self._reflectors = [
            Reflector(
                api,
                pods_path(namespace),
                selector(settings.name),
                partial(self._listed, namespace),
                partial(self._changed, namespace),
            )
            for namespace in settings.all_namespaces
        ]
        for reflector in self._reflectors:
            reflector.start()

    def wait_synced(
        self, timeout: float, ended: threading.Event | None = None, waiting: Callable[[], None] = lambda: None
    ) -> None:
        """Returns early where `ended` is set. Raises Unavailable, with the API server's words, where the pods cannot be
        listed within `timeout` seconds. `waiting` is called again and again meanwhile."""
        until = time.monotonic() + timeout
        for reflector in self._reflectors:
            while not reflector.synced.wait(max(0.0, min(0.2, until - time.monotonic()))):
                waiting()
                if ended is not None and ended.is_set():
                    return
                if time.monotonic() >= until:
                    raise Unavailable(f"the cluster's pods cannot be listed: {reflector.trouble or 'no answer yet'}")

    @property
    def trouble(self) -> str:
        """Why the cluster is not heard at present; empty while it is."""
        return next((reflector.trouble for reflector in self._reflectors if reflector.trouble), "")

    @property
    def identity(self) -> str:
        return f"kubernetes-{self._settings.name}"

    @property
    def devices(self) -> None:
        return None

    def observe(self) -> Mapping[Key, Execution]:
        with self._lock:
            return {key: self._seen(pod) for key, pod in self._pods.items() if not pod.forgotten}

    def launch(self, order: Order) -> None:
        key, namespace = order.key, self._settings.namespace_of(order.study.owner)
        with self._lock:
            known = self._pods.get(key)
            if known is not None:
                if known.order is None and known.pod is not None and not known.complete:
                    known.order, known.complete = order, True
                    self._writer.submit(key, partial(self._create_secret, known))
                return

            execution = Execution(
                key,
                order.study,
                Phase.STARTING,
                self._clock(),
                gpus=order.gpus,
                waiting="its pod is being created",
                ordered=True,
            )

            try:
                body = build(order, self._settings)
            except InvalidArgument as error:
                ended = Exit(None, self._clock(), Fault.COMMAND, str(error))
                self._pods[key] = _Pod(replace(execution, phase=Phase.ENDED, exit=ended), namespace, order=order)
                return
            self._pods[key] = pod = _Pod(execution, namespace, order=order)
        # Somebody waits for it, and for no end that is cleaned up after.
        self._writer.submit(key, partial(self._create, pod, body), first=True)

    def terminate(self, key: Key, why: Why) -> None:
        with self._lock:
            pod = self._pods.get(key)
            if pod is None or pod.execution.phase is Phase.ENDED or self._seen(pod).ending is not None:
                return
            pod.ending = Ending(why, self._clock(), self._seen(pod).waiting)
            self._follow(pod)
        self._writer.submit(key, partial(self._annotate, pod, ENDING, ending_text(pod.ending)))
        self._writer.submit(key, partial(self._delete, pod, None))
        # Its creation may be waiting for a quota or for the server.
        self._writer.hurry(key)

    def kill(self, key: Key) -> None:
        with self._lock:
            pod = self._pods.get(key)
            if pod is None or pod.execution.phase is Phase.ENDED or pod.killed:
                return
            pod.killed = True
            self._follow(pod)
            told = self._seen(pod).ending is not None
        if not told:
            # Whoever sees it end must know that it was by our word.
            self._writer.submit(key, partial(self._annotate, pod, KILLED, "yes"))
        # One second and not none: without any grace the object would not wait for the kubelet's word.
        self._writer.submit(key, partial(self._delete, pod, 1))
        self._writer.hurry(key)

    def output(self, key: Key, offset: int) -> bytes:
        with self._lock:
            pod = self._pods.get(key)
            if pod is None or pod.pod is None:
                return b""
            ended = pod.execution.phase is Phase.ENDED
            if pod.follower is None and pod.tail is None and began(pod.pod):
                self._follow(pod)
            follower = pod.follower

        if follower is None:
            return (pod.tail or b"")[offset : offset + CHUNK]
        if ended and not follower.finished.wait(PATIENT):
            raise Unavailable(f"the log of {pod.name} cannot be read to its end at present")
        data = follower.read(offset, CHUNK)
        if ended and not data and follower.lost:
            raise OutputLost(follower.lost)
        return data

    def tail(self, key: Key, size: int) -> bytes:
        return self._last_part(key)[-size:]

    def spool(self, key: Key) -> bytes:
        return b"".join(line.removeprefix(MARK) for line in self._log_lines(key) if line.startswith(MARK))

    def reports_lost(self, key: Key) -> str:
        """Its processes said at their end how many reports wait in its log. One that was killed has said nothing."""
        with self._lock:
            pod = self._pods.get(key)
        expected = 0 if pod is None or pod.pod is None else unsent(pod.pod)
        if not expected:
            return ""
        found = sum(line.startswith(MARK) for line in self._log_lines(key))
        return f"{expected} reports wait in the log of its pod, of which {found} are there" if found < expected else ""

    def forget(self, key: Key) -> None:
        with self._lock:
            pod = self._pods.get(key)
            if pod is None or pod.forgotten or pod.execution.phase is not Phase.ENDED:
                return
            if pod.pod is None or pod.gone:
                del self._pods[key]
                return
            pod.forgotten = True
            if pod.follower is not None:
                pod.follower.close()
                pod.follower = None
        self._writer.submit(key, partial(self._release, pod))

    def sweep(self, uids: Collection[str]) -> None:
        for namespace in self._settings.all_namespaces:
            key = Key(f"sweep {namespace}", 0, 0)
            self._writer.submit(key, partial(self._sweep, namespace, frozenset(uids)))

    def discard(self, uid: str, trials: Collection[int] | None) -> None:
        """Only pods see the volume: the study's next ones are told what to remove (`Order.spent`)."""

    def wait(self, timeout: float | None) -> None:
        with self._news:
            if not self._awake:
                self._news.wait(timeout)
            self._awake = False

    def wake(self) -> None:
        with self._news:
            self._awake = True
            self._news.notify_all()

    def close(self) -> None:
        self._writer.close(LAST_WRITES)
        for reflector in self._reflectors:
            reflector.close()
        with self._lock:
            for pod in self._pods.values():
                if pod.follower is not None:
                    pod.follower.close()

    # ---- what is seen -------------------------------------------------------------------------------------------

    def _seen(self, pod: _Pod) -> Execution:
        execution = pod.execution
        if pod.ending is None and not pod.killed and pod.complete and not pod.event:
            return execution  # as almost always
        ending = execution.ending or pod.ending
        waiting = execution.waiting
        if execution.phase is Phase.STARTING and pod.event and pod.event not in waiting:
            waiting = f"{waiting}; {pod.event}" if waiting else pod.event
        return replace(
            execution,
            ending=ending,
            killed=pod.killed or execution.killed,
            waiting=waiting,
            partial=not pod.complete and execution.phase is Phase.STARTING,
        )

    def _listed(self, namespace: str, items: Iterable[Json]) -> None:
        found = {}
        for item in items:
            with contextlib.suppress(KeyError, ValueError):
                found[key_of(item)] = item
        for item in found.values():
            self._changed(namespace, "MODIFIED", item)
        with self._lock:
            gone = [
                pod.pod
                for key, pod in self._pods.items()
                if key not in found and pod.pod is not None and pod.namespace == namespace
            ]
        for item in gone:
            # Seen before, and now it is not there.
            self._changed(namespace, "DELETED", item)

    def _changed(self, namespace: str, kind: str, item: Json) -> None:
        try:
            execution = execution_of(item, self._clock(), gone=kind == "DELETED")
        except (KeyError, ValueError, TypeError) as error:
            # Somebody else's pod under our label is no reason to stop.
            name = item.get("metadata", {}).get("name")
            log.warning("pod %s: cannot be read: %r", name, error, extra={"action": "pod_unreadable"})
            return

        key = execution.key
        with self._lock:
            pod = self._pods.get(key)
            if pod is None:
                if kind == "DELETED":
                    return
                pod = self._pods[key] = _Pod(execution, namespace)
                pod.complete = not item["metadata"]["annotations"].get(TOKEN) or began(item)
            if pod.forgotten and kind == "DELETED":
                del self._pods[key]
                return

            if pod.pod is not None and version_of(pod.pod) > version_of(item) and kind != "DELETED":
                return
            pod.pod, pod.gone = item, kind == "DELETED"
            if pod.execution.phase is Phase.ENDED:
                return
            if execution.too_large_since is not None and pod.execution.too_large_since is not None:
                execution = replace(execution, too_large_since=pod.execution.too_large_since)

            pod.execution = execution
            if execution.phase is Phase.ENDED:
                if pod.follower is not None:
                    pod.follower.end()
            elif item["metadata"].get("deletionTimestamp"):
                # When it has ended its log goes at once.
                self._follow(pod)
                if pod.follower is not None:
                    pod.follower.hurry()
        self._ask_events(pod)
        self.wake()

    def _follow(self, pod: _Pod) -> None:
        if pod.follower is None and pod.pod is not None and began(pod.pod) and not pod.forgotten:
            container = main_name(pod.pod)
            pod.follower = Follower(self._api, pod.namespace, pod.name, container, self.wake)
            if pod.execution.phase is Phase.ENDED:
                pod.follower.end()

    def _last_part(self, key: Key) -> bytes:
        """The end of what the pod printed. Raises Unavailable where it cannot be had now but may be later."""
        with self._lock:
            pod = self._pods.get(key)
        if pod is None or pod.pod is None:
            return b""
        if pod.follower is not None:
            if pod.execution.phase is Phase.ENDED and not pod.follower.finished.wait(PATIENT):
                raise Unavailable(f"the log of {pod.name} cannot be read to its end at present")
            return pod.follower.read(-(8 * CHUNK), 8 * CHUNK)
        if pod.tail is not None:
            return pod.tail
        if not began(pod.pod):
            return b""
        data = self._read_log(pod)
        if pod.execution.phase is Phase.ENDED:
            pod.tail = data
        return data

    def _log_lines(self, key: Key) -> Iterator[bytes]:
        """All that can still be had of what the pod printed, by lines. Raises Unavailable as `_last_part`."""
        last = self._last_part(key)
        with self._lock:
            pod = self._pods.get(key)
            follower = None if pod is None else pod.follower
        if follower is None:
            yield from last.splitlines(keepends=True)
            return

        offset, rest = 0, b""
        while data := follower.read(offset, CHUNK):
            offset += len(data)
            # Only whole lines are looked at, and of endless ones only the beginning.
            *whole, rest = (rest + data).split(b"\n")
            yield from (line + b"\n" for line in whole)
            rest = rest[:CHUNK]
        yield rest

    def _read_log(self, pod: _Pod) -> bytes:
        assert pod.pod is not None
        try:
            return last_part(self._api, pod.namespace, pod.name, main_name(pod.pod))
        except Unreachable as error:
            raise Unavailable(str(error)) from error
        except ApiError as error:
            # The node may be away, with the log; its end must not wait for that forever.
            pod.tries += 1
            if pod.tries < LOG_TRIES and error.status != 404:
                raise Unavailable(f"the log of {pod.name}: {error.words}") from error
            log.warning("the log of %s is lost: %s", pod.name, error, extra={"action": "log_lost"})
            return last_words(pod.pod)

    def _ask_events(self, pod: _Pod) -> None:
        """Where a pod on a node does not get on, the kubelet's events may say why (a volume that cannot be mounted).
        They are asked for from time to time, since no news of the pod itself comes meanwhile."""
        if pod.asks_events or pod.execution.phase is not Phase.STARTING or not pod.execution.node:
            return
        pod.asks_events = True
        timer = threading.Timer(EVENTS_EVERY, self._writer.submit, (_events_key(pod), partial(self._read_events, pod)))
        timer.daemon = True
        timer.start()

    def _read_events(self, pod: _Pod) -> None:
        pod.asks_events = False
        if pod.execution.phase is not Phase.STARTING:
            return
        with contextlib.suppress(ApiError, Unreachable):
            found = self._api.get(
                events_path(pod.namespace), fieldSelector=f"involvedObject.name={pod.name},type=Warning", limit=50
            )
            latest = max(found["items"], key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "", default=None)
            if latest is not None:
                words = " ".join(str(latest.get("message", "")).split())[:500]
                pod.event = f"{latest.get('reason', '')}: {words}"
                self.wake()
        self._ask_events(pod)

    # ---- writes, on the writer's threads ------------------------------------------------------------------------

    def _create(self, pod: _Pod, body: Json) -> None:
        assert pod.order is not None
        if pod.ending is not None or pod.killed:
            # Told to end before it was there.
            self._over(pod, Exit(None, self._clock()))
            return
        name = body["metadata"]["name"]
        try:
            made = self._api.create(pods_path(pod.namespace), body)
        except Unreachable as error:
            self._wait(pod, str(error))
        except ApiError as error:
            if error.status == 409 and "already exists" in error.words:
                made = self._adopt(pod, name)
            else:
                self._refused(pod, error)
                return
        self._changed(pod.namespace, "MODIFIED", made)
        if pod.order.env.get(TOKEN_VARIABLE):
            self._create_secret(pod)

    def _adopt(self, pod: _Pod, name: str) -> Json:
        """The pod of this name, where it is this attempt's."""
        try:
            found = self._api.get(pods_path(pod.namespace, name))
        except ApiError as error:
            raise Later(error.words) from error
        except Unreachable as error:
            self._wait(pod, str(error))
        labels = found["metadata"].get("labels") or {}
        if labels.get(CONTROLLER) != self._settings.name or key_of(found) != pod.execution.key:
            self._wait(pod, f"a pod {name} is there already and is not this attempt's: delete or rename it")
        return found

    def _create_secret(self, pod: _Pod) -> None:
        assert pod.pod is not None
        assert pod.order is not None
        if pod.execution.phase is Phase.ENDED:
            return
        try:
            body = token_secret(pod.pod, pod.order.env[TOKEN_VARIABLE])
            self._api.create(secrets_path(pod.namespace), body)
        except Unreachable as error:
            raise Later(str(error)) from error
        except ApiError as error:
            if error.status == 409:
                return
            self._wait(pod, f"its secret cannot be created: {error.words}")

    def _annotate(self, pod: _Pod, name: str, text: str) -> None:
        if pod.pod is not None and pod.execution.phase is not Phase.ENDED:
            self._patch(pod, {"metadata": {"annotations": {name: text}}})

    def _delete(self, pod: _Pod, grace: int | None) -> None:
        if pod.pod is None or pod.execution.phase is Phase.ENDED:
            return
        options = {"preconditions": {"uid": pod.pod["metadata"]["uid"]}}
        if grace is not None:
            options["gracePeriodSeconds"] = grace  # type: ignore[assignment]
        try:
            self._api.delete(pods_path(pod.namespace, pod.name), **options)
        except Unreachable as error:
            raise Later(str(error)) from error
        except ApiError as error:
            if error.status not in (404, 409):
                self._wait(pod, f"its pod cannot be deleted: {error.words}")

    def _release(self, pod: _Pod) -> None:
        """Lets go of a pod whose end is told: it is deleted, or kept to be looked at."""
        assert pod.pod is not None
        keep = {Keep.ALL: True, Keep.NONE: False, Keep.FAILED: _failed(pod.execution)}[keep_of(pod.pod)]
        metadata: Json = {"finalizers": [f for f in pod.pod["metadata"].get("finalizers") or () if f != FINALIZER]}
        if keep:
            metadata["labels"] = {DONE: "true"}
        self._patch(pod, {"metadata": metadata})
        if not keep and not pod.pod["metadata"].get("deletionTimestamp"):
            try:
                self._api.delete(pods_path(pod.namespace, pod.name), gracePeriodSeconds=0)
            except Unreachable as error:
                raise Later(str(error)) from error
            except ApiError as error:
                if error.status not in (404, 409):
                    raise Later(error.words) from error

    def _patch(self, pod: _Pod, change: Json) -> None:
        try:
            self._api.patch(pods_path(pod.namespace, pod.name), change)
        except Unreachable as error:
            raise Later(str(error)) from error
        except ApiError as error:
            if error.status not in (404, 409):
                self._wait(pod, f"its pod cannot be changed: {error.words}")

    def _sweep(self, namespace: str, uids: frozenset[str]) -> None:
        try:
            kept = self._api.get(pods_path(namespace), labelSelector=kept_selector(self._settings.name))["items"]
            for item in kept:
                if item["metadata"]["labels"].get(UID) not in uids:
                    self._api.delete(pods_path(namespace, item["metadata"]["name"]))
        except (Unreachable, ApiError) as error:
            raise Later(str(error)) from error

    def _refused(self, pod: _Pod, error: ApiError) -> None:
        """A pod that the API server would not create: broken or too large if it is to blame itself, else it waits."""
        words = f"the API server refuses its pod: {error.words}"
        if error.status == 403 and refused_for_size(error.words):
            self._over(pod, Exit(None, self._clock(), Fault.TOO_LARGE, words))
            return

        if error.status == 403 and "exceeded quota" in error.words:
            self._wait(pod, error.words, QUOTA_PAUSE)
        if error.passing or error.status in (401, 404, 409) or _lacks_rights(error):
            self._wait(pod, words, error.retry_after or 1.0)
        self._over(pod, Exit(None, self._clock(), Fault.COMMAND, words))

    def _wait(self, pod: _Pod, words: str, pause: float = 0.0) -> None:
        """Lets it wait, and say so. Always raises Later."""
        with self._lock:
            if pod.execution.phase is Phase.STARTING and pod.execution.waiting != words:
                pod.execution = replace(pod.execution, waiting=words)
                self.wake()
        raise Later(words, pause)

    def _over(self, pod: _Pod, ended: Exit) -> None:
        with self._lock:
            pod.execution = replace(pod.execution, phase=Phase.ENDED, exit=ended)
        self.wake()

    def _failed(self, key: Key, error: Exception) -> None:
        """A defect of ours, or something in this pod that nobody thought of."""
        log.error("%s: %r", key, error, exc_info=error, extra={"action": "write_defect", "attempt": str(key)})
        with self._lock:
            pod = self._pods.get(key)
            if pod is not None and pod.execution.phase is Phase.STARTING:
                pod.execution = replace(pod.execution, waiting=f"its pod cannot be written: {error!r}")
        self.wake()


def _events_key(pod: _Pod) -> Key:
    """Asking waits for no write, and no write for it."""
    return Key(f"events {pod.execution.key}", 0, 0)


def _lacks_rights(error: ApiError) -> bool:
    """Whether it is our account that may not, rather than this pod: that can be mended from outside."""
    return error.status == 403 and ("cannot create resource" in error.words or "is being terminated" in error.words)


def _failed(execution: Execution) -> bool:
    """Whether it ended by its own fault, so that people will want to look at its pod."""
    ended = execution.exit
    if ended is None or execution.ending is not None:
        return execution.ending is not None and execution.ending.why in (Why.TIMEOUT, Why.BROKEN, Why.TOO_LARGE)
    return ended.fault in (Fault.COMMAND, Fault.TOO_LARGE) or (ended.fault is None and ended.code != 0)
