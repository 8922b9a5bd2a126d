"""What processes on one database tell each other, and the duties that one of them has at a time."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from wazir.domain.errors import Unavailable
from wazir.domain.trial import Measurement, Trial
from wazir.storage.exchange import Exchange, LocalExchange, News, Topic
from wazir.storage.postgres import open_postgres
from wazir.storage.postgres_exchange import MAX_PAYLOAD, payload
from wazir.storage.store import Store, Transaction

from ..contract.store import NAME, Unit, insert, new_study, new_trial
from ..postgres import Postgres


@pytest.fixture
def pair(url: str) -> Iterator[tuple[Store, Store]]:
    """The stores of two servers."""
    stores = open_postgres(url), open_postgres(url)
    yield stores
    for store in stores:
        store.close()


def heard_by(exchange: Exchange) -> queue.SimpleQueue[News]:
    """Its news, from now on: it has heard something already when this returns."""
    news: queue.SimpleQueue[News] = queue.SimpleQueue()
    exchange.listen(news.put)
    return news


def listening(speaker: Store, hearer: Store) -> queue.SimpleQueue[News]:
    """The hearer's news, once it is known to hear the speaker."""
    speaker.exchange.listen(lambda news: None)
    news = heard_by(hearer.exchange)
    while True:
        speaker.exchange.tell(Topic.BEATS, "hello")
        with suppress(queue.Empty):
            # The first of all says that what came before it began to listen was missed.
            if news.get(timeout=0.2).topic is Topic.BEATS:
                return news


def until(news: queue.SimpleQueue[News], topic: Topic) -> str:
    while True:
        heard = news.get(timeout=30)
        if heard.topic is topic:
            return heard.text


def test_a_change_is_told_to_the_others_when_it_is_committed(pair: tuple[Store, Store]) -> None:
    one, other = pair
    news = listening(one, other)

    def failing(tx: Transaction) -> None:
        tx.insert_study(new_study(NAME, uid="never"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        one.write(failing)
    insert(one, new_study())
    assert until(news, Topic.STUDY) == "default/s"
    assert other.read(lambda view: view.study(NAME)).uid == f"uid-{NAME}"
    one.exchange.tell(Topic.BEATS, "last")
    rest = [news.get(timeout=30)]
    while "last" not in rest[-1].text:
        rest.append(news.get(timeout=30))
    assert Topic.STUDY not in [heard.topic for heard in rest], "a unit that failed is no news"


def test_measurements_are_told_too(pair: tuple[Store, Store]) -> None:
    one, other = pair
    news = listening(one, other)
    insert(one, new_study())
    (trial,) = one.write(lambda tx: _with_trial(Unit(tx)))
    one.write(lambda tx: tx.add_measurements(trial, 1, [Measurement(1, {"loss": 0.5}, 1.0)]))
    assert until(news, Topic.POINTS) == "default/s"


def _with_trial(unit: Unit) -> list[Trial]:
    trials = unit.add(new_trial(1))
    unit.finish()
    return trials


def test_nobody_hears_what_he_said_himself(pair: tuple[Store, Store]) -> None:
    one, other = pair
    news = listening(one, other)
    other.exchange.tell(Topic.BEATS, "mine")
    other.write(lambda tx: tx.insert_study(new_study()))
    one.exchange.tell(Topic.BEATS, "yours")
    said = until(news, Topic.BEATS)
    while said == "hello":
        said = until(news, Topic.BEATS)
    assert said == "yours"


def test_much_is_told_in_messages_that_postgresql_takes(pair: tuple[Store, Store]) -> None:
    one, other = pair
    news = listening(one, other)
    said = {f"{i:06d} " + "x" * 90 for i in range(300)}
    for text in said:
        one.exchange.tell(Topic.BEATS, text)
    heard: set[str] = set()
    while not said <= heard:
        text = until(news, Topic.BEATS)
        assert len(payload("0" * 12, Topic.BEATS, text).encode()) <= MAX_PAYLOAD
        heard.update(text.splitlines())


def test_who_was_cut_off_is_told_that_news_were_missed(postgres: Postgres, url: str, pair: tuple[Store, Store]) -> None:
    one, other = pair
    news = listening(one, other)
    postgres.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.rpartition('/')[2]}' "
        "AND query LIKE 'LISTEN%'"
    )
    until(news, Topic.MISSED)


class ClaimContract:
    @pytest.fixture
    def exchange(self) -> Exchange:
        raise NotImplementedError

    def test_a_duty_is_had_by_one(self, exchange: Exchange) -> None:
        first = exchange.claim("reaping")
        assert first is not None
        assert first.held
        assert exchange.claim("reaping") is None
        assert exchange.claim("other") is not None
        first.release()
        first.release()
        again = exchange.claim("reaping")
        assert again is not None
        first.release()
        assert again.held, "an old claim does not end a new one"
        assert not first.held

    def test_closing_gives_duties_up(self, exchange: Exchange) -> None:
        claim = exchange.claim("reaping")
        assert claim is not None
        exchange.close()
        assert not claim.held


class TestLocalClaims(ClaimContract):
    @pytest.fixture
    def exchange(self) -> Exchange:
        return LocalExchange()


class TestPostgresClaims(ClaimContract):
    @pytest.fixture
    def exchange(self, url: str) -> Iterator[Exchange]:
        store = open_postgres(url)
        yield store.exchange
        store.close()


def test_a_duty_is_had_by_one_of_two_servers(pair: tuple[Store, Store]) -> None:
    one, other = pair
    claim = one.exchange.claim("reaping")
    assert claim is not None
    assert other.exchange.claim("reaping") is None
    claim.release()
    assert other.exchange.claim("reaping") is not None


def test_a_duty_passes_on_when_its_holder_is_killed(url: str, pair: tuple[Store, Store]) -> None:
    program = (
        "import sys, time\n"
        "from wazir.storage.postgres import open_postgres\n"
        "store = open_postgres(sys.argv[1])\n"
        "claim = store.exchange.claim('reaping')\n"
        "print(claim.held, flush=True)\n"
        "time.sleep(1000)\n"
    )
    other = pair[1]
    with subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert other.exchange.claim("reaping") is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        while other.exchange.claim("reaping") is None:
            pass  # PostgreSQL sees the end of the connection in a moment


def test_a_claim_on_a_broken_connection_is_not_held(postgres: Postgres, url: str, pair: tuple[Store, Store]) -> None:
    one, other = pair
    claim = one.exchange.claim("reaping")
    assert claim is not None
    database = url.rpartition("/")[2]
    postgres.execute(
        f"SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        f"WHERE l.locktype = 'advisory' AND a.datname = '{database}'"
    )
    while other.exchange.claim("reaping") is None:
        pass
    while claim.held:
        pass  # a connection that was well is asked again after a second


def test_claims_need_the_database(postgres: Postgres) -> None:
    url = postgres.ready()
    store = open_postgres(url)
    postgres.drop(url)
    with pytest.raises(Unavailable, match="does not exist"):
        store.exchange.claim("reaping")
    store.close()
