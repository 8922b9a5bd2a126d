"""Costly algorithms: computed in worker processes, for all who wait, with stand-ins for those who cannot."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from wazir.clients.client import Client
from wazir.domain.errors import DeadlineExceeded, InvalidArgument, NotFound, Unavailable
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.space import Categorical, Double, Parameter, Space
from wazir.domain.study import Algorithm, Shortage, StudySpec
from wazir.domain.trial import Trial
from wazir.service.requests import Request
from wazir.service.server import Server
from wazir.service.service import Service
from wazir.service.settings import ServiceSettings
from wazir.service.trials import Enqueued
from wazir.storage.memory import MemoryStore

from .conftest import NAME, Clock, World
from .scripted import Script, installed

Scenario = Callable[[World], Awaitable[None]]
SHORT = 0.5
"""Seconds of a caller who does not wait long."""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    with installed(tmp_path) as script:
        yield script


def play(scenario: Scenario, settings: ServiceSettings | None = None) -> None:
    async def main() -> None:
        store, clock = MemoryStore(), Clock()
        service = Service(store, settings or ServiceSettings(compute_workers=1), clock)
        await service.start()
        try:
            await scenario(World(service, clock, store))
        finally:
            await service.close()
            store.close()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing inside the service tells
        await asyncio.sleep(0.001)


def stood_in(trial: Trial) -> str:
    """Why the trial's point is a stand-in; empty where it is none."""
    assert trial.provenance is not None
    return trial.provenance.why if trial.provenance.fallback else ""


def test_a_costly_algorithm_computes_in_another_process(script: Script) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=script.algorithm())
        trials = (await w.ask(2)).trials
        assert [t.provenance.algorithm for t in trials if t.provenance] == ["scripted"] * 2
        assert not any(map(stood_in, trials))
        (call,) = script.calls
        assert call.pid != os.getpid()
        assert (call.count, call.seen) == (2, 0)
        assert (await w.study()).rounds == 1

    play(scenario)


def test_a_worker_makes_the_points_that_the_service_itself_would_make(script: Script) -> None:
    async def scenario(w: World) -> None:
        found: list[list[object]] = []
        for name, cheap in (("here", True), ("there", False)):
            study = StudyName("default", name)
            await w.create(study, algorithm=script.algorithm(cheap=cheap, seed=5))
            points: list[object] = []
            for count in (1, 3, 2):
                trials = (await w.ask(count, name=study)).trials
                points += [dict(t.parameters) for t in trials]
                points += [t.provenance.history_digest for t in trials if t.provenance]
                for i, trial in enumerate(trials):
                    w.clock.now = 1_700_000_000.1 + i
                    await w.end(trial, 0.1 * i)
            found.append(points)
        assert found[0] == found[1]
        assert {c.pid == os.getpid() for c in script.calls[:3]} == {True}
        assert {c.pid == os.getpid() for c in script.calls[3:]} == {False}

    play(scenario)


def test_callers_that_come_while_it_computes_share_the_next_round(script: Script) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=script.algorithm())
        script.say("wait")
        first = asyncio.create_task(w.ask(1))
        await script.started()
        others = [asyncio.create_task(w.ask(1, client=f"c{i}")) for i in range(5)]
        script.say("answer")
        script.go()
        await asyncio.gather(first, *others)
        assert [c.count for c in script.calls] == [1, 5]
        assert (await w.study()).rounds == 2

    play(scenario)


def test_what_is_there_already_is_handed_out_while_it_computes(script: Script) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=script.algorithm())
        mine = await w.one(client="me")
        script.say("wait")
        waiting = asyncio.create_task(w.ask(1))
        await script.started()
        assert (await w.one(client="me", reattach=True)).id == mine.id
        enqueued = await w.service.create_trial(
            NAME, Enqueued({"x": 0.5, "kind": "a"}), Request("default", "CreateTrial")
        )
        # It goes to the one who has waited longest, though its computation is still running.
        assert [t.id for t in (await waiting).trials] == [enqueued.id]

    play(scenario)


class TestDeadline:
    def test_a_stand_in_comes_in_time_and_says_so(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("wait")
            trial = await w.one(deadline=SHORT)
            assert "in place of scripted" in stood_in(trial)
            assert trial.provenance is not None
            assert (trial.provenance.algorithm, trial.provenance.round) == ("quasirandom", 0)
            assert (await w.study()).rounds == 0

        play(scenario)

    def test_a_stand_in_pauses_where_the_algorithm_lets_it_go_on_later(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm(rungs=True))
            script.say("wait")
            trial = await w.one(deadline=SHORT)
            assert "in place of scripted_rungs" in stood_in(trial)
            assert trial.until_step == 3

        play(scenario)

    def test_who_would_rather_wait_gets_an_error_and_no_trial(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("wait")
            with pytest.raises(DeadlineExceeded, match=r"s within 0\.5 s; ask again with a longer deadline"):
                await w.ask(deadline=SHORT, fallback=False)
            assert (await w.study()).counts.total == 0

        play(scenario)

    def test_a_deadline_already_over_is_refused_and_nothing_is_computed(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            with pytest.raises(DeadlineExceeded, match="after its deadline"):
                await w.ask(deadline=-1.0)
            assert script.calls == []

        play(scenario)

    def test_the_computation_goes_on_and_serves_the_next_caller(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            await w.one()  # a worker that has yet to start may not begin in so short a time
            script.say("wait")
            late = asyncio.create_task(w.ask(3, deadline=SHORT))
            await script.started()
            assert all(map(stood_in, (await late).trials))
            script.go()
            (trial,) = (await w.ask(1)).trials
            assert not stood_in(trial)
            assert trial.provenance is not None
            # The first point of the round that the three had asked for.
            assert (trial.provenance.round, trial.provenance.index, trial.provenance.count) == (1, 0, 3)
            assert len(script.calls) == 2
            assert (await w.study()).rounds == 2

        play(scenario)

    def test_stand_ins_differ_from_one_another(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("wait")
            trials = [*(await w.ask(4, deadline=SHORT)).trials, *(await w.ask(4, deadline=SHORT)).trials]
            assert all(map(stood_in, trials))
            assert len({t.parameters["x"] for t in trials}) == 8

        play(scenario)

    def test_stand_ins_can_be_made_again(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            points = []
            script.say("raise")
            for name in ("a", "b"):
                study = StudyName("default", name)
                await w.create(study, algorithm=script.algorithm(seed=8))
                trials = [*(await w.ask(2, name=study)).trials, *(await w.ask(1, name=study)).trials]
                points.append([dict(t.parameters) for t in trials])
            assert points[0] == points[1]

        play(scenario)


class TestFailure:
    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            ("kill", "its process was killed by SIGKILL"),
            ("exit", "its process ended with exit code 3"),
            ("raise", "it raised ValueError: no luck at all at all"),
            ("nothing", "it answered with NoneType and not with Suggestions"),
            ("many", "it proposed 4 points when 2 were asked for"),
            ("outside", "it proposed a point outside the space: parameters.x = 1.5"),
            ("tried", "which has been tried 1 times already"),
            ("detail", "the `details` of a proposal must be numbers by name"),
        ],
    )
    def test_gives_a_stand_in_with_the_reason_and_the_study_goes_on(
        self, script: Script, words: str, reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            await w.end(await w.one(), 0.5)
            script.say(words)
            # Also for who would rather wait: there is nothing to wait for.
            trials = (await w.ask(2, fallback=False)).trials
            assert len(trials) == 2
            for trial in trials:
                assert reason in stood_in(trial)
                assert len(stood_in(trial)) < 600
            assert any(reason in record.getMessage() for record in caplog.records)
            script.say("answer")
            assert not stood_in(await w.one())

        play(scenario)

    def test_gives_a_stand_in_that_goes_to_its_end_since_nobody_would_let_it_go_on(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm(rungs=True))
            script.say("raise")
            trial = await w.one()
            assert stood_in(trial)
            assert trial.until_step is None

        play(scenario)

    @pytest.mark.parametrize("words", ["raise", "nothing", "many", "outside"])
    def test_of_a_cheap_algorithm_gives_a_stand_in_too(self, script: Script, words: str) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm(cheap=True))
            script.say(words)
            assert "in place of scripted_cheap" in stood_in(await w.one())
            script.say("answer")
            assert not stood_in(await w.one())

        play(scenario)

    def test_leaves_other_studies_alone(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            other = StudyName("default", "other")
            await w.create(algorithm=script.algorithm())
            await w.create(other, algorithm=script.algorithm())
            script.say("wait")
            waiting = asyncio.create_task(w.ask(1, name=other))
            await script.started()
            script.say("kill")
            dying = asyncio.create_task(w.ask(1))
            assert stood_in((await dying).trials[0])
            script.go()
            assert not stood_in((await waiting).trials[0])

        # The script is read before it waits, so the second worker is the one that dies.
        play(scenario, ServiceSettings(compute_workers=2))

    def test_again_and_again_never_holds_up_the_study(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("kill")
            for _ in range(10):
                trial = await w.one(fallback=False)
                assert stood_in(trial)
                await w.end(trial, 1.0)
            # It was left alone for longer and longer.
            assert len(script.calls) < 10

        play(scenario)

    def test_of_a_finite_space_still_ends_the_study(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(
                algorithm=script.algorithm(), space=Space((Parameter("kind", Categorical(("a", "b", "c"))),))
            )
            script.say("raise")
            seen = []
            while trials := (await w.ask(2)).trials:
                for trial in trials:
                    seen.append(trial.parameters["kind"])
                    await w.end(trial, 1.0)
            assert sorted(map(str, seen)) == ["a", "b", "c"]
            assert (await w.study()).exhausted

        play(scenario)


class TestCancelling:
    def test_the_end_of_the_study_answers_its_callers_and_frees_the_worker(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("wait")
            waiting = asyncio.create_task(w.ask(1))
            await script.started()
            await w.service.stop_study(NAME, "enough")
            answer = await waiting
            assert (answer.trials, answer.shortage) == ([], Shortage.ENDED)
            await self.is_free(w, script)

        play(scenario)

    def test_so_does_its_deletion(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("wait")
            waiting = asyncio.create_task(w.ask(1))
            await script.started()
            await w.service.delete_study(NAME, force=True)
            with pytest.raises(NotFound):
                await waiting
            await self.is_free(w, script)

        play(scenario)

    def test_another_algorithm_answers_those_who_wait_for_the_old_one(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            study = await w.create(algorithm=script.algorithm())
            script.say("wait")
            waiting = asyncio.create_task(w.ask(1))
            await script.started()
            spec = replace(study.spec, algorithm=Algorithm("random", seed=1))
            await w.service.update_study(NAME, spec, ["spec.algorithm"], "")
            (trial,) = (await waiting).trials
            assert trial.provenance is not None
            assert (trial.provenance.algorithm, trial.provenance.fallback) == ("random", False)

        play(scenario)

    def test_what_nobody_waits_for_is_given_up_in_the_end(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("wait")
            assert stood_in(await w.one(deadline=SHORT))
            await self.is_free(w, script)

        play(scenario, ServiceSettings(compute_workers=1, compute_patience=0.1))

    def test_what_never_ends_is_given_up_though_somebody_waits(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("wait")
            assert "it was given up after" in stood_in(await w.one())

        play(scenario, ServiceSettings(compute_workers=1, compute_limit=0.2))

    @staticmethod
    async def is_free(w: World, script: Script) -> None:
        """The only worker takes another study's computation."""
        script.say("answer")
        other = StudyName("default", "other")
        await w.create(other, algorithm=script.algorithm())
        assert not stood_in(await w.one(name=other))


class TestWorkers:
    def test_a_study_goes_back_to_the_worker_that_knows_it(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            names = [StudyName("default", f"s{i}") for i in range(2)]
            for name in names:
                await w.create(name, algorithm=script.algorithm())
            script.say("wait")
            both = [asyncio.create_task(w.ask(name=name)) for name in names]
            for _ in names:
                await script.started()
            script.say("answer")
            for _ in names:
                script.go()
            await asyncio.gather(*both)
            for _ in range(3):
                for name in reversed(names):
                    await w.one(name=name)
            # Two processes, each of which made one designer and asked that one four times.
            by_process = {pid: [c.made for c in script.calls if c.pid == pid] for pid in {c.pid for c in script.calls}}
            assert list(by_process.values()) == [[1, 2, 3, 4]] * 2

        play(scenario, ServiceSettings(compute_workers=2))

    def test_only_what_is_new_travels(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            trials = 10_000
            for _ in range(trials // 1000):
                await w.ask(1000, deadline=60)
            await w.one()
            (worker,) = w.service.workers
            whole = worker.sent
            for _ in range(3):
                await w.end(await w.one(), 0.5)
            assert script.calls[-1].seen == trials + 3
            # Two changed trials and a question each time, where all of them together take half a megabyte.
            assert whole > 50 * trials
            assert worker.sent - whole < 3 * 1_000

        play(scenario)

    def test_one_that_lost_the_history_is_told_all_of_it(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            await w.end(await w.one(), 0.5)
            (worker,) = w.service.workers
            # As if it had never been told of the study.
            await worker._send({"do": "forget", "uid": (await w.study()).uid})
            assert not stood_in(await w.one())
            assert script.calls[-1].seen == 1
            assert len({c.pid for c in script.calls}) == 1

        play(scenario)

    def test_one_that_was_killed_while_idle_is_replaced_unnoticed(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            await w.one()
            (worker,) = w.service.workers
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            await until(lambda: worker.gone)
            assert not stood_in(await w.one())
            assert len({c.pid for c in script.calls}) == 2

        play(scenario)

    def test_more_studies_than_workers_take_turns_by_their_callers_deadlines(self, script: Script) -> None:
        async def scenario(w: World) -> None:
            names = [StudyName("default", n) for n in ("first", "patient", "hurried")]
            for i, name in enumerate(names):
                await w.create(name, algorithm=script.algorithm(seed=i))
            script.say("wait")
            tasks = [asyncio.create_task(w.ask(name=names[0]))]
            await script.started()
            tasks += [
                asyncio.create_task(w.ask(2, name=names[1], deadline=100.0)),
                asyncio.create_task(w.ask(3, name=names[2], deadline=50.0)),
            ]
            await until(lambda: len(w.service.computing) == 3)
            script.say("answer")
            script.go()
            await asyncio.gather(*tasks)
            assert [c.count for c in script.calls] == [1, 3, 2]

        play(scenario)

    def test_they_end_with_the_service(self, script: Script) -> None:
        pids: list[int] = []

        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("wait")
            waiting = asyncio.create_task(w.ask())
            await script.started()
            pids.extend(worker.pid for worker in w.service.workers if worker.pid)
            await w.service.close()
            with pytest.raises(Unavailable, match="is ending"):
                await waiting

        play(scenario)
        assert [psutil.pid_exists(pid) for pid in pids] == [False]

    def test_no_python_runs_in_a_fork_of_the_service_when_one_starts(self, tmp_path: Path) -> None:
        """There it would find the locks of threads that are gone, gRPC's for one, and hang or crash."""
        program = FORKS.format(address=f"unix:{tmp_path}/socket")
        end = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert (end.stdout, end.stderr) == ("computed by a worker\n", "")

    def test_one_thread_each_and_the_words_of_algorithms_go_to_the_log(
        self, script: Script, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")

        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm())
            script.say("print")
            await w.one()
            (worker,) = w.service.workers
            assert psutil.Process(worker.pid).environ()["OPENBLAS_NUM_THREADS"] == "1"

        play(scenario)
        said = capfd.readouterr()
        assert (said.out, said.err) == ("", "said by the algorithm\n")


FORKS = """
import asyncio, os
from wazir.app.loop import run
from wazir.clients.client import Client
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, StudySpec
from wazir.service.server import Server
from wazir.storage.memory import MemoryStore

os.register_at_fork(after_in_child=lambda: os.write(2, b"forked"))

def ask():
    with Client("{address}") as client:
        space = Space((Parameter("x", Double(0.0, 1.0)),))
        client.create_study("s", StudySpec((Objective("loss", Goal.MINIMIZE),), space, algorithm=Algorithm("cmaes")))
        client.suggest("s")

async def main():
    server = Server(MemoryStore(), ["{address}"])
    await server.start()
    await asyncio.to_thread(ask)
    print("computed by a worker" if any(w.pid for w in server.service.workers) else "no worker")
    await server.stop()

run(main())
"""

SERVER = """
import asyncio, sys
from wazir.service.server import Server
from wazir.storage.memory import MemoryStore

async def main():
    server = Server(MemoryStore(), ["unix:" + sys.argv[1]])
    await server.start()
    print("ready", flush=True)
    await server.wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("busy", [True, False], ids=["while it computes", "while it is idle"])
def test_no_worker_outlives_a_server_that_was_killed(script: Script, tmp_path: Path, busy: bool) -> None:
    address = tmp_path / "socket"
    path = os.pathsep.join(sys.path)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(address)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    with server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        with Client(f"unix:{address}", retry_for=0) as client:
            space = Space((Parameter("x", Double(0.0, 1.0)), Parameter("kind", Categorical(("a", "b")))))
            client.create_study(
                "s", StudySpec((Objective("loss", Goal.MINIMIZE),), space, algorithm=script.algorithm())
            )
            if busy:
                script.say("wait")
                caller = threading.Thread(target=_ask_in_vain, args=(client,))
                caller.start()
                asyncio.run(script.started())
            else:
                client.suggest("s")
            (worker,) = psutil.Process(server.pid).children()
            server.kill()
            worker.wait(30)
            if busy:
                caller.join()


def _ask_in_vain(client: Client) -> None:
    with pytest.raises(Unavailable):
        client.suggest("s")


def test_a_client_may_rather_wait_than_get_a_stand_in(script: Script, tmp_path: Path) -> None:
    script.say("wait")

    async def main() -> None:
        store = MemoryStore()
        server = Server(store, [f"unix:{tmp_path}/socket"], ServiceSettings(compute_workers=1))
        await server.start()

        def talk() -> None:
            with Client(f"unix:{tmp_path}/socket", retry_for=0) as client:
                space = Space((Parameter("x", Double(0.0, 1.0)), Parameter("kind", Categorical(("a", "b")))))
                client.create_study(
                    "s", StudySpec((Objective("loss", Goal.MINIMIZE),), space, algorithm=script.algorithm())
                )
                with pytest.raises(DeadlineExceeded):
                    client.suggest("s", timeout=SHORT, on_timeout="wait")
                (trial,) = client.suggest("s", timeout=SHORT).trials
                assert "in place of scripted: it was not done after" in stood_in(trial)
                with pytest.raises(InvalidArgument, match="must be one of fallback, wait"):
                    client.suggest("s", on_timeout="never")  # type: ignore[arg-type]

        await asyncio.to_thread(talk)
        await server.stop(0)
        store.close()

    asyncio.run(main())


def test_another_server_s_turn_is_waited_for(script: Script) -> None:
    async def scenario(w: World) -> None:
        study = await w.create(algorithm=script.algorithm())
        claim = w.store.exchange.claim(f"compute {study.uid}")
        assert claim is not None
        assert "no worker was free in time" in stood_in(await w.one(deadline=SHORT))
        assert script.calls == []
        claim.release()
        assert not stood_in(await w.one())

    play(scenario, ServiceSettings(compute_workers=1, turn_interval=0.05))
