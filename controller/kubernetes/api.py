"""The API server: requests with JSON in and out, and errors that say whether to try again."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from ...domain.errors import InvalidArgument

Json = dict[str, Any]

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """The API server's refusal. `status`: the HTTP status; `words`: its message."""

    def __init__(self, status: int, words: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status
        self.words = words
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a little later: the server is overloaded, starting or failing."""
        return self.status in (408, 429) or self.status >= 500


class Unreachable(Exception):
    """No answer: the API server is away, or the connection broke."""


class RateLimit:
    """A token bucket for our own writes: `rate` a second, `burst` at once."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._time = time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Waits until a token is there."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._time) * self._rate) - 1
            self._time = now
            wait = -self._tokens / self._rate
        if wait > 0:
            time.sleep(wait)


class Api:
    """One API server with the rights of one account. Every thread may use it."""

    def __init__(self, configuration: client.Configuration, *, rate: float = 100.0, burst: int = 200) -> None:
        self.host = str(configuration.host)
        self._configuration = configuration
        self._pool = client.ApiClient(configuration).rest_client.pool_manager
        self._limit = RateLimit(rate, burst)
        self.writes = 0
        """Requests that were meant to change something."""

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str | None = None, **limits: Any) -> Api:
        """By a kubeconfig, or, inside a pod and where none is named, by the pod's service account.

        Raises InvalidArgument where that does not work.
        """
        configuration = client.Configuration()
        try:
            if kubeconfig is None and context is None:
                try:
                    config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                except ConfigException:
                    config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                file = None if kubeconfig is None else str(kubeconfig)
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=file, context=context, client_configuration=configuration
                )
        except (ConfigException, yaml.YAMLError, OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidArgument(
                "--kubeconfig",
                str(kubeconfig or "the default"),
                f"gives no access to a cluster: {error}",
                "Name a file that kubectl works with; KUBECONFIG names one, too",
            ) from error
        # Retries are ours to make: a write that is repeated unseen is not adopted but refused.
        configuration.retries = urllib3.Retry(0, redirect=0)
        configuration.connection_pool_maxsize = 64
        return cls(configuration, **limits)

    def get(self, path: str, **query: object) -> Json:
        return self._json("GET", path, query)

    def create(self, path: str, body: Mapping[str, object], **query: object) -> Json:
        return self._json("POST", path, query, body)

    def patch(self, path: str, body: Mapping[str, object]) -> Json:
        """A JSON merge patch (RFC 7386)."""
        return self._json("PATCH", path, {}, body, MERGE_PATCH)

    def replace(self, path: str, body: Mapping[str, object]) -> Json:
        return self._json("PUT", path, {}, body)

    def delete(self, path: str, **options: object) -> Json:
        """`options`: DeleteOptions, such as gracePeriodSeconds."""
        return self._json("DELETE", path, {}, {"kind": "DeleteOptions", "apiVersion": "v1", **options})

    def stream(self, path: str, read_timeout: float | None, **query: object) -> Stream:
        """An answer that is read as it comes. `read_timeout`: seconds of silence after which it counts as broken."""
        return Stream(self._request("GET", path, query, None, "", read_timeout))

    def _json(self, method: str, path: str, query: Mapping[str, object], body: Any = None, kind: str = "") -> Json:
        response = self._request(method, path, query, body, kind, READ_TIMEOUT)
        try:
            answer: Json = json.loads(response.data)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Unreachable(f"{self.host}: the answer broke off: {error}") from error
        finally:
            response.release_conn()
        return answer

    def _request(
        self, method: str, path: str, query: Mapping[str, object], body: Any, kind: str, read_timeout: float | None
    ) -> urllib3.BaseHTTPResponse:
        if method != "GET":
            self._limit.take()
            self.writes += 1
        # Asked for again each time: the client renews tokens that expire.
        settings: Any = self._configuration.auth_settings()
        headers = {s["key"]: s["value"] for s in settings.values() if s["in"] == "header" and s["value"]}
        headers |= {"Accept": "application/json", "User-Agent": "wazir"}
        if body is not None:
            headers["Content-Type"] = kind or "application/json"
        given = {name: value for name, value in query.items() if value is not None}
        try:
            response: urllib3.BaseHTTPResponse = self._pool.request(
                method,
                f"{self.host}{path}{'?' + urlencode(given) if given else ''}",
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                preload_content=False,
                retries=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=read_timeout),
            )
            if response.status < 400:
                return response
            text = response.data.decode("utf-8", "replace")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"the API server at {self.host} does not answer: {_short(error)}") from error
        response.release_conn()
        wait = response.headers.get("Retry-After", "")
        raise ApiError(response.status, _message(text) or str(response.reason), float(wait) if wait.isdigit() else None)


NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def default_namespace(kubeconfig: Path | None = None, context: str | None = None) -> str:
    """That of the kubeconfig's context, or of the pod that this process runs in; `default` without either."""
    if kubeconfig is None and context is None and NAMESPACE_FILE.is_file():
        return NAMESPACE_FILE.read_text().strip()
    file = None if kubeconfig is None else str(kubeconfig)
    try:
        contexts, current = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]
    except (ConfigException, yaml.YAMLError, OSError, TypeError):
        return "default"
    chosen = next((c for c in contexts if c["name"] == context), current)
    return str(chosen["context"].get("namespace") or "default")


class Stream:
    """Lines or bytes of one answer. `close` from any thread ends the reading."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self._closed = False

    def chunks(self) -> Iterator[bytes]:
        """Bytes as they come. Raises Unreachable where the connection breaks; ends where the server ends it."""
        try:
            yield from self._response.stream(65_536, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # What a closed socket raises under a reader is anybody's guess.
            if not self._closed:
                raise Unreachable(f"the stream broke off: {_short(error)}") from error

    def lines(self) -> Iterator[bytes]:
        """Whole lines, without their ends; a line that was cut off is left out."""
        rest = b""
        for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError, ValueError, RuntimeError, AttributeError):
            # Wakes a thread that reads; not every response can.
            self._response.shutdown()
        self._response.close()


def pods_path(namespace: str, name: str = "", sub: str = "") -> str:
    return _path(f"/api/v1/namespaces/{quote(namespace)}/pods", name, sub)


def secrets_path(namespace: str, name: str = "") -> str:
    return _path(f"/api/v1/namespaces/{quote(namespace)}/secrets", name)


def events_path(namespace: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/events"


def leases_path(namespace: str, name: str = "") -> str:
    return _path(f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace)}/leases", name)


def _path(collection: str, name: str, sub: str = "") -> str:
    return collection + (f"/{quote(name)}" if name else "") + (f"/{sub}" if sub else "")


def _message(text: str) -> str:
    """What a Status object says; the text itself where it is none."""
    try:
        status = json.loads(text)
        return str(status["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:500]


def _short(error: BaseException) -> str:
    """The innermost cause, without the client's own wrapping."""
    reason = getattr(error, "reason", None)
    inner = reason if isinstance(reason, BaseException) else error.__cause__ or error
    return str(inner).partition(": ")[2] or str(inner) or type(inner).__name__
