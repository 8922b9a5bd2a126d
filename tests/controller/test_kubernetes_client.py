"""How the runtime keeps up with an API server whose answers break off, come twice or are refused."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from wazir.controller.execution import Key
from wazir.controller.kubernetes import leader, output
from wazir.controller.kubernetes.access import check_access
from wazir.controller.kubernetes.api import Api, ApiError, Unreachable, default_namespace
from wazir.controller.kubernetes.leader import Lease
from wazir.controller.kubernetes.output import Follower
from wazir.controller.kubernetes.reflector import Reflector
from wazir.controller.kubernetes.writer import Later, Writer
from wazir.domain.errors import InvalidArgument, NotFound, PermissionDenied

from .api_server import CUT, Answer, Json, Query, api_server, lines, status

LIMIT = 30.0


def item(name: str, version: int) -> Json:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> Json:
    return {"type": kind, "object": item(name, version)}


class Seen:
    """What a reflector tells, and a wait for it."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self._news = threading.Condition()

    def listed(self, items: Iterable[Json]) -> None:
        self._tell([i["metadata"]["name"] for i in items])

    def changed(self, kind: str, found: Json) -> None:
        self._tell((kind, found["metadata"]["name"]))

    def _tell(self, what: Any) -> None:
        with self._news:
            self.told.append(what)
            self._news.notify_all()

    def until(self, count: int) -> list[Any]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.told) >= count, LIMIT), self.told
            return self.told


def test_a_watch_that_breaks_goes_on_from_what_was_seen_last_and_bookmarks_count() -> None:
    watched: list[str] = []

    def script(method: str, path: str, query: Query, body: Json) -> Answer:
        if "watch" not in query:
            return 200, {"items": [item("a", 3)], "metadata": {"resourceVersion": "10"}}
        watched.append(query["resourceVersion"])
        if len(watched) == 1:
            return 200, [*lines(event("ADDED", "b", 11)), b'{"type": "ADD', CUT]  # in the middle of a line
        if len(watched) == 2:
            return 200, lines(event("BOOKMARK", "", 20))
        if len(watched) == 3:
            return 500, status(500, "starting")
        return 200, lines(event("DELETED", "a", 21 + len(watched)))

    seen = Seen()
    with api_server(script) as api:
        reflector = Reflector(api, "/pods", "l=1", seen.listed, seen.changed)
        reflector.start()
        assert seen.until(3)[:3] == [["a"], ("ADDED", "b"), ("DELETED", "a")]
        reflector.close()
    assert watched[:4] == ["10", "11", "20", "20"]


@pytest.mark.parametrize("how", ["refusal", "event"])
def test_a_version_that_is_forgotten_means_listing_again(how: str) -> None:
    lists: list[Query] = []

    def script(method: str, path: str, query: Query, body: Json) -> Answer:
        if "watch" in query:
            if len(lists) > 2:
                return 200, lines(event("ADDED", "d", 99))
            gone = status(410, "too old resource version")
            return (410, gone) if how == "refusal" else (200, lines({"type": "ERROR", "object": gone}))
        lists.append(query)
        if "continue" in query:  # a second page
            return 200, {"items": [item("c", 2)], "metadata": {"resourceVersion": "5"}}
        return 200, {"items": [item("a", 1)], "metadata": {"resourceVersion": "5", "continue": "more"}}

    seen = Seen()
    with api_server(script) as api:
        reflector = Reflector(api, "/pods", "l=1", seen.listed, seen.changed)
        reflector.start()
        told = seen.until(3)
        reflector.close()
    assert told[0] == ["a", "c"]
    assert ["a", "c"] in told[1:] or ("ADDED", "d") in told[1:]


def test_a_log_that_breaks_off_is_read_on_with_nothing_lost_or_twice() -> None:
    log = [f"2026-01-01T00:00:0{second}.{n}Z line {second}.{n}\n".encode() for second in range(4) for n in (1, 1, 25)]
    asked: list[str] = []

    def script(method: str, path: str, query: Query, body: Json) -> Answer:
        assert query["timestamps"] == "true"
        asked.append(query.get("sinceTime", ""))
        # The kubelet goes back to the whole second.
        since = asked[-1].partition(".")[0]
        parts = [line for line in log if line.decode() >= since]
        if len(asked) < 4:
            # In the middle of a line, and also between two lines of the same time.
            return 200, [b"".join(parts)[: 60 + 25 * len(asked)], CUT]
        return 200, parts

    news = threading.Event()
    with api_server(script) as api:
        follower = Follower(api, "ns", "pod", "main", news.set)
        follower.end()
        assert follower.finished.wait(LIMIT)
        assert follower.read(0, 10_000) == b"".join(line.partition(b" ")[2] for line in log)
        assert follower.read(-4, 10) == b"3.25"[1:] + b"\n"
        assert follower.lost == ""
        follower.close()
    assert len(asked) >= 4


def test_of_a_line_without_end_the_beginning_is_kept() -> None:
    parts = [b"2026-01-01T00:00:00Z " + b"x" * 100, *[b"x" * 100_000] * 30, b"\n2026-01-01T00:00:01Z last\n"]
    with api_server(lambda *_: (200, parts)) as api:
        follower = Follower(api, "ns", "pod", "main", lambda: None)
        follower.end()
        assert follower.finished.wait(LIMIT)
        kept = b""
        while more := follower.read(len(kept), 1 << 20):
            kept += more
        follower.close()
    assert kept.endswith(b"x\nlast\n")
    # What comes with the chunk in which the line has its end is kept, too.
    assert output.MAX_LINE - 100 <= len(kept) < output.MAX_LINE + 200_000


def test_a_log_that_cannot_be_kept_is_lost_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless output of one pod must not fill the disk for all."""
    monkeypatch.setattr(output, "MAX_KEPT", 20)
    lines = [b"2026-01-01T00:00:0%dZ line %d\n" % (n, n) for n in range(9)]
    with api_server(lambda *_: (200, lines)) as api:
        follower = Follower(api, "ns", "pod", "main", lambda: None)
        assert follower.finished.wait(LIMIT)
        assert follower.read(0, 100) == b"line 0\nline 1\n"
        assert "the rest is not read" in follower.lost
        follower.close()


def test_an_answer_that_nobody_thought_of_does_not_end_the_watch() -> None:
    listed = threading.Event()
    answers: list[Answer] = [
        (200, {"items": [], "metadata": {"resourceVersion": "1"}}),
        (200, [b'{"type": "ADDED", "object": 7}\n']),
    ]

    def script(method: str, path: str, query: Query, body: Json) -> Answer:
        if answers:
            return answers.pop(0)
        listed.set()
        return 200, {"items": [], "metadata": {"resourceVersion": "2"}}

    seen = Seen()
    with api_server(script) as api:
        reflector = Reflector(api, "/pods", "l=1", seen.listed, seen.changed)
        reflector.start()
        assert listed.wait(LIMIT)
        reflector.close()


def test_a_log_that_is_gone_is_over() -> None:
    with api_server(lambda *_: (404, status(404, "not found"))) as api:
        follower = Follower(api, "ns", "pod", "main", lambda: None)
        assert follower.finished.wait(LIMIT)
        assert "not found" in follower.lost
        follower.close()


def test_writes_of_one_attempt_keep_their_order_and_are_made_again() -> None:
    done: list[str] = []
    finished = threading.Event()
    allowed = threading.Event()

    def first() -> None:
        if len(done) < 2:
            done.append("tried")
            raise Later("not yet")
        done.append("first")

    def second() -> None:
        done.append("second")
        finished.set()

    writer = Writer(4, allowed=allowed.is_set)
    writer.submit(Key("u", 1, 1), first)
    writer.submit(Key("u", 1, 1), second)
    assert done == [], "nothing is written by one who does not lead"
    allowed.set()
    assert finished.wait(LIMIT)
    assert done == ["tried", "tried", "first", "second"]
    writer.close()


def test_a_defect_in_a_write_is_told_and_keeps_no_other_from_being_written() -> None:
    told: list[tuple[Key, Exception]] = []
    written = threading.Event()

    writer = Writer(1, lambda key, error: told.append((key, error)))
    writer.submit(Key("u", 1, 1), lambda: 1 // 0)  # type: ignore[arg-type]
    writer.submit(Key("u", 2, 1), written.set)
    assert written.wait(LIMIT)
    ((key, error),) = told
    assert key == Key("u", 1, 1)
    assert isinstance(error, ZeroDivisionError)
    writer.close()


class Leases:
    """The API server's part in leader election: one Lease, with versions."""

    def __init__(self) -> None:
        self.lease: Json | None = None
        self.fails: Answer | None = None

    def __call__(self, method: str, path: str, query: Query, body: Json) -> Answer:
        if self.fails is not None:
            return self.fails
        if method == "GET":
            return (200, self.lease) if self.lease is not None else (404, status(404, "none"))
        before = 0 if self.lease is None else int(self.lease["metadata"]["resourceVersion"])
        if method == "POST" and self.lease is not None:
            return 409, status(409, "exists")
        if method == "PUT" and body["metadata"]["resourceVersion"] != str(before):
            return 409, status(409, "changed meanwhile")
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(before + 1)}}
        return 200, self.lease


NEVER = threading.Event()


def test_one_leads_and_the_next_one_does_when_it_has_let_go() -> None:
    leases = Leases()
    with api_server(leases) as api:
        first, second = Lease(api, "ns", "l", "first"), Lease(api, "ns", "l", "second")
        assert first.acquire(NEVER)
        assert first.held
        over = threading.Event()
        over.set()
        assert not second.acquire(over)
        waiting = threading.Thread(target=second.acquire, args=(NEVER,))
        waiting.start()
        first.release()
        waiting.join(LIMIT)
        assert second.held
        assert leases.lease is not None
        assert (leases.lease["spec"]["holderIdentity"], leases.lease["spec"]["leaseTransitions"]) == ("second", 2)


def test_a_leader_that_died_is_followed_once_its_record_has_not_changed_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr("wazir.controller.kubernetes.leader.time.monotonic", lambda: now[0])
    with api_server(Leases()) as api:
        dead, next_one = Lease(api, "ns", "l", "dead"), Lease(api, "ns", "l", "next")
        assert dead._take()
        now[0] += 1000.0  # however long ago that was: others begin to count when they see it first
        assert not next_one._take()
        now[0] += leader.DURATION - 0.1
        assert not next_one._take()
        assert not dead.held, "it knows that it may have been followed"
        now[0] += 0.2
        assert next_one._take()


def test_a_leader_that_cannot_renew_gives_up_before_another_may_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "RENEW_EVERY", 0.01)
    monkeypatch.setattr(leader, "GIVE_UP", 0.2)
    leases, lost = Leases(), threading.Event()
    with api_server(leases) as api:
        lease = Lease(api, "ns", "l", "me")
        assert lease.acquire(NEVER)
        lease.keep(lost.set)
        leases.fails = (500, status(500, "etcd is away"))
        assert lost.wait(LIMIT)
        assert not lease.held
    assert leader.GIVE_UP < leader.DURATION


def test_who_may_not_lead_is_told() -> None:
    with (
        api_server(lambda *_: (403, status(403, 'leases is forbidden: User "x" cannot get'))) as api,
        pytest.raises(ApiError, match='User "x"'),
    ):
        Lease(api, "ns", "l", "me").acquire(NEVER)


def test_rights_that_are_lacking_are_named_together() -> None:
    def script(method: str, path: str, query: Query, body: Json) -> Answer:
        if path.startswith("/api/v1/namespaces/"):
            return (404, status(404, "none")) if path.endswith("/nowhere") else (403, status(403, "cannot get"))
        asked = body["spec"]["resourceAttributes"]
        refused = asked["resource"] == "secrets" or (asked["resource"], asked["verb"]) == ("pods", "patch")
        return 201, {"status": {"allowed": not refused}}

    with api_server(script) as api:
        with pytest.raises(PermissionDenied, match="patch pods in namespace ns; create secrets in namespace ns"):
            check_access(api, "home", ["ns"], NEVER)
        with pytest.raises(NotFound, match="nowhere"):
            check_access(api, "home", ["nowhere"], NEVER)
    with (
        api_server(lambda *_: (401, status(401, "Unauthorized"))) as api,
        pytest.raises(PermissionDenied, match="401: Unauthorized"),
    ):
        check_access(api, "home", ["ns"], NEVER)


def test_a_server_that_is_away_is_waited_for_until_told_otherwise(tmp_path: Path) -> None:
    with api_server(lambda *_: (200, {})) as api:
        pass
    with pytest.raises(Unreachable, match="does not answer"):
        api.get("/x")
    over = threading.Event()
    threading.Timer(0.2, over.set).start()
    check_access(api, "home", ["ns"], over)
    assert over.is_set()


def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path) -> None:
    for text in (None, "", "nothing: here", "]["):
        file = tmp_path / "config"
        if text is not None:
            file.write_text(text)
        with pytest.raises(InvalidArgument, match="gives no access to a cluster"):
            Api.connect(file)


def test_the_namespace_is_the_contexts(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(
        """
        clusters: [{name: c, cluster: {server: "https://localhost:1"}}]
        users: [{name: u, user: {token: t}}]
        contexts:
        - {name: one, context: {cluster: c, user: u, namespace: mine}}
        - {name: two, context: {cluster: c, user: u}}
        current-context: one
        """
    )
    assert default_namespace(file) == "mine"
    assert default_namespace(file, "two") == "default"
