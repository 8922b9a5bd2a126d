"""Limits of a caller: what a bucket allows, what the server says, and that the client keeps to it."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.clients.client import Client
from wazir.clients.endpoint import wait_after
from wazir.domain.access import EVERY_OWNER, Role
from wazir.domain.errors import NotFound, RateLimited, Unauthenticated, Unavailable, WazirError
from wazir.service.security.callers import LOCAL, Caller, anonymous
from wazir.service.security.limits import Allowed, Bucket, Limits, LimitSettings, Rate

from .serving import SETTINGS, SPEC, serving

SLOW = LimitSettings(calls=Rate(10.0, 3.0), points=Rate(20.0, 5.0), streams=1, strangers=Rate(0.001, 2.0))


def caller(token: str = "a") -> Caller:
    return Caller(f"token:{token}", EVERY_OWNER, Role.ADMIN)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# Buckets


@given(
    st.lists(st.tuples(st.floats(0.0, 10.0), st.integers(1, 20)), max_size=50),
    st.floats(0.1, 100.0),
    st.floats(1.0, 50.0),
)
def test_never_more_than_burst_and_rate_allow(takes: list[tuple[float, int]], rate: float, burst: float) -> None:
    limit, now, taken = Rate(rate, burst), 0.0, 0.0
    bucket = Bucket(limit, now)
    for pause, amount in takes:
        now += pause
        wait = bucket.take(amount, limit, now)
        assert wait >= 0.0
        taken += min(amount, burst) if wait == 0.0 else 0.0
        assert taken <= burst + now * rate + 1e-6


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.floats(0.1, 100.0), st.floats(1.0, 50.0))
def test_after_the_time_it_names_there_is_enough(amounts: list[int], rate: float, burst: float) -> None:
    limit, now = Rate(rate, burst), 0.0
    bucket = Bucket(limit, now)
    for amount in amounts:
        wait = bucket.take(amount, limit, now)
        if wait:
            now += wait + 1e-6
            assert bucket.take(amount, limit, now) == 0.0


def test_each_caller_has_limits_of_its_own_and_a_unix_socket_has_none() -> None:
    limits = Limits(SLOW, Clock())
    for _ in range(3):
        limits.call(caller("a"))
    with pytest.raises(RateLimited, match=r"more than 10 calls a second; try again in 0\.1 s"):
        limits.call(caller("a"))
    limits.call(caller("b"))
    limits.call(anonymous("ipv4:10.1.2.3"))
    for _ in range(100):
        limits.call(LOCAL)
        limits.points(LOCAL, 1_000)


def test_more_points_than_the_burst_holds_take_all_of_it() -> None:
    """Otherwise that call could never be made."""
    clock = Clock()
    limits = Limits(SLOW, clock)
    limits.points(caller(), 1_000)
    with pytest.raises(RateLimited) as refusal:
        limits.points(caller(), 1_000)
    assert refusal.value.retry_after == 0.25
    clock.now += 0.25
    limits.points(caller(), 1_000)


def test_callers_of_long_ago_are_forgotten_and_those_with_something_open_are_not() -> None:
    clock = Clock()
    limits = Limits(SLOW, clock)
    with limits.stream(caller("watching")):
        for number in range(20_000):
            clock.now += 1.0
            limits.call(caller(f"{number}"))
        assert len(limits._uses) < 5_000
        with pytest.raises(RateLimited, match="1 watches"), limits.stream(caller("watching")):
            pass


# The client


@pytest.mark.parametrize(
    ("error", "pause", "rest", "wait"),
    [
        pytest.param(RateLimited("x", 0.5), 0.1, 10.0, 0.5, id="as long as it is told"),
        pytest.param(RateLimited("x", 0.001), 0.1, 10.0, 0.1, id="not less than its own pause"),
        pytest.param(RateLimited("x", 5.0), 0.1, 4.0, None, id="never earlier than told"),
        pytest.param(RateLimited("x", 5.0), 0.1, 0.0, None, id="without patience"),
        pytest.param(Unavailable("x"), 0.1, 10.0, 0.1, id="away"),
        pytest.param(Unavailable("x"), 2.0, 1.0, 1.0, id="once more at the end of its patience"),
        pytest.param(NotFound("x"), 0.1, 10.0, None, id="an answer"),
    ],
)
def test_how_long_a_client_waits(error: WazirError, pause: float, rest: float, wait: float | None) -> None:
    assert wait_after(error, pause, rest) == wait


def test_a_patient_client_gets_through_and_an_impatient_one_hears_when_to_come_back() -> None:
    with serving(replace(SETTINGS, limits=SLOW)) as served:
        token = served.token()
        with Client(served.address, token=token, retry_for=60) as client:
            client.create_study("s", SPEC)
            for _ in range(12):
                assert client.get_study("s").name.study == "s"
            assert sum(len(client.suggest("s", 4).trials) for _ in range(3)) == 12
            hurried = client.patient(0.0)
            with pytest.raises(RateLimited, match="more than 10 calls a second") as refusal:
                list(map(hurried.get_study, ["s"] * 1_000))
            assert 0.0 < refusal.value.retry_after <= 0.1
            # Somebody else is not kept waiting.
            with Client(served.address, token=served.token(), retry_for=0) as other:
                assert other.get_study("s").name.study == "s"


def test_a_message_over_the_limit_is_refused_for_good() -> None:
    """The same code as a limit, and trying again would not help."""
    with (
        serving(replace(SETTINGS, max_request=10_000)) as served,
        Client(served.address, token=served.token(), retry_for=60) as client,
    ):
        client.create_study("s", SPEC)
        with pytest.raises(WazirError, match="larger than max") as refusal:
            client.update_metadata("s", {"a": "x" * 20_000})
        assert not isinstance(refusal.value, RateLimited)


def test_watches_are_counted_while_they_are_open() -> None:
    with (
        serving(replace(SETTINGS, limits=replace(SLOW, calls=Rate(1e6, 1e6)))) as served,
        Client(served.address, token=served.token(), retry_for=0) as client,
    ):
        client.create_study("s", SPEC)
        first = client.watch_trials("s")
        next(first)
        with pytest.raises(RateLimited, match="1 watches at a time"):
            next(client.watch_trials("s"))
        first.cancel()
        # The server hears of it a moment later.
        assert next(client.patient(60.0).watch_trials("s")).study.name.study == "s"


def test_unknown_tokens_are_refused_unread_and_known_ones_go_on() -> None:
    with serving(replace(SETTINGS, limits=SLOW)) as served, serving() as elsewhere:
        good = Client(served.address, token=served.token(), retry_for=0)
        good.create_study("s", SPEC)

        def stranger() -> None:
            with Client(served.address, token=elsewhere.token(), retry_for=0) as client:
                client.get_study("s")

        # One of two is used up: the good one was a stranger too, at first.
        with pytest.raises(Unauthenticated):
            stranger()
        with pytest.raises(RateLimited, match="too many unknown tokens"):
            stranger()
        assert good.get_study("s").name.study == "s"
        good.close()


def test_a_watch_ends_when_its_token_is_revoked() -> None:
    """Although nothing changes in the study, so that nothing is sent."""
    with serving() as served, Client(served.address, token=served.token(), retry_for=0) as boss:
        boss.create_study("s", SPEC)
        token = served.token(role=Role.VIEWER)
        with Client(served.address, token=token, retry_for=0) as client:
            watch = client.watch_trials("s")
            next(watch)
            ended: list[WazirError] = []

            def follow() -> None:
                try:
                    next(watch)
                except WazirError as error:
                    ended.append(error)

            follower = threading.Thread(target=follow)
            follower.start()
            served.revoke(token)
            follower.join()
            assert isinstance(ended[0], Unauthenticated)


def test_a_watch_that_may_go_on_loses_nothing() -> None:
    """It is looked at again and again between two answers."""
    with serving() as served, Client(served.address, token=served.token(), retry_for=0) as client:
        client.create_study("s", SPEC)
        watch = client.watch_trials("s")
        seen: set[int] = set()
        next(watch)
        for number in range(1, 30):
            client.create_trial("s", {"x": number / 32})
            while number not in seen:
                seen |= {trial.id for trial in next(watch).trials}
        assert seen == set(range(1, 30))


# Owners


def of_owner(token: str, owner: str) -> Caller:
    return Caller(f"token:{token}", owner, Role.EDITOR)


def test_all_callers_of_an_owner_share_a_limit() -> None:
    clock = Clock()
    few = Allowed(calls=Rate(1.0, 6.0), points=Rate(1.0, 10.0), streams=2)
    limits = Limits(LimitSettings(owner=few), clock)
    for number in range(6):
        limits.call(of_owner(str(number), "vision"))
    with pytest.raises(RateLimited, match="more than 1 calls a second by all callers of vision; try again in 1 s"):
        limits.call(of_owner("new", "vision"))
    limits.call(of_owner("x", "speech"))
    limits.call(caller("of everybody"))

    limits.points(of_owner("a", "vision"), 10)
    with pytest.raises(RateLimited, match="trials asked for a second by all callers of vision"):
        limits.points(of_owner("b", "vision"), 1)

    with limits.stream(of_owner("a", "vision")), limits.stream(of_owner("b", "vision")):
        with (
            pytest.raises(RateLimited, match="2 watches at a time by all callers of vision"),
            limits.stream(of_owner("c", "vision")),
        ):
            pass
        with limits.stream(of_owner("c", "speech")):
            pass
    with limits.stream(of_owner("c", "vision")):
        pass
