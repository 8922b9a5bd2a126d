"""Growing spaces in the service, on every store: values, what is dropped, what is learned, and what histories see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from wazir.domain.attempt import Cause
from wazir.domain.errors import FailedPrecondition, InvalidArgument, StaleAttempt
from wazir.domain.space import Categorical, Condition, Double, Integer, Kind, Parameter, Space
from wazir.domain.trial import Trial
from wazir.service import learning
from wazir.service.attempts import End
from wazir.service.requests import Request
from wazir.service.trials import Enqueued
from wazir.storage.store import TrialFilter
from wazir.suggestion.designer import Observation, Outcome
from wazir.suggestion.history import TrialHistory, observe

from .conftest import NAME, Scenario, World

Play = Callable[[Scenario], None]

KINDS: dict[str, Kind] = {
    "clf": Categorical(("svc", "rf")),
    "c": Double(0.0, 1.0),
    "depth": Integer(1, 8),
}


async def asks(w: World, trial: Trial, *names: str) -> Trial:
    """The code of the trial asks for these parameters."""
    for i, name in enumerate(names):
        trial = await w.service.add_parameter(trial.name, len(trial.attempts), Parameter(name, KINDS[name]), names[:i])
    return trial


async def ends(w: World, trial: Trial, asked: Sequence[str] | None, cause: Cause = Cause.SUCCEEDED) -> Trial:
    final = {"loss": 1.0} if cause is Cause.SUCCEEDED else {}
    how = End(cause, final, asked=None if asked is None else tuple(asked))
    return await w.service.end_attempt(trial.name, len(trial.attempts), how)


async def enqueue(w: World, **parameters: object) -> None:
    await w.service.create_trial(NAME, Enqueued(parameters), Request(NAME.owner, "CreateTrial"))  # type: ignore[arg-type]


def stored(w: World, trial: Trial) -> Trial:
    return w.store.read(lambda view: view.trial(trial.name))


async def space(w: World) -> Space:
    found = (await w.study()).spec.space
    assert found is not None
    return found


def test_what_was_asked_for_is_stored_in_that_order_and_the_rest_beside_it(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(space=None)
        await enqueue(w, depth=3, nobody="x", clf="rf")
        trial = await asks(w, await w.one(), "clf", "depth")
        ended = await ends(w, trial, ["clf", "depth"])
        assert stored(w, trial) == ended
        assert list(ended.parameters.items()) == [("clf", "rf"), ("depth", 3)]
        assert ended.attempt is not None
        assert ended.attempt.unasked == {"nobody": "x"}
        assert await ends(w, trial, ["clf", "depth"]) == ended, "ending it again is harmless"

    play(scenario)


@pytest.mark.parametrize(
    ("asked", "cause", "kept"),
    [
        pytest.param(["clf"], Cause.CODE_FAILED, ["clf"], id="failed"),
        pytest.param(["clf"], Cause.INFEASIBLE, ["clf"], id="infeasible"),
        pytest.param([], Cause.SUCCEEDED, [], id="nothing was asked for"),
        pytest.param(None, Cause.SUCCEEDED, ["clf", "depth"], id="nobody says what was asked for"),
        pytest.param(["clf"], Cause.LEASE_LOST, ["clf", "depth"], id="another attempt may ask for it"),
    ],
)
def test_what_is_dropped(play: Play, asked: list[str] | None, cause: Cause, kept: list[str]) -> None:
    async def scenario(w: World) -> None:
        await w.create(space=None)
        await enqueue(w, clf="rf", depth=3)
        ended = await ends(w, await w.one(), asked, cause)
        assert sorted(ended.parameters) == kept

    play(scenario)


def test_a_declared_space_keeps_all_values(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        assert (await ends(w, trial, [])).parameters == trial.parameters
        with pytest.raises(FailedPrecondition, match="declared space"):
            await asks(w, await w.one(), "c")

    play(scenario)


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"x": float("nan")}, "finite"),
        ({"x": 2**70}, "64 bits"),
        ({"x": "y" * 2_000}, "1000 characters"),
        ({"x\x1b[2J": 1}, "printable"),
        ({f"x{i}": i for i in range(1_001)}, "at most 1000"),
    ],
)
def test_values_that_no_space_could_have_are_refused_at_once(
    play: Play, parameters: dict[str, object], rule: str
) -> None:
    async def scenario(w: World) -> None:
        await w.create(space=None)
        with pytest.raises(InvalidArgument, match=rule):
            await enqueue(w, **parameters)
        assert (await w.study()).counts.total == 0

    play(scenario)


def test_a_stale_attempt_names_nothing(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(space=None)
        trial = await w.one()
        await ends(w, trial, [], Cause.LEASE_LOST)
        with pytest.raises(StaleAttempt):
            await asks(w, trial, "c")
        again = await w.one()
        conditional = Parameter("c", KINDS["c"], when=(Condition("clf", ("rf",)),))
        with pytest.raises(InvalidArgument, match="learns its conditions"):
            await w.service.add_parameter(again.name, 2, conditional)

    play(scenario)


def test_conditions_are_learned_when_a_name_is_new_and_when_a_trial_contradicts_them(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(space=None)
        for clf, other in (("svc", "c"), ("rf", "depth")):
            await enqueue(w, clf=clf)
            trial = await asks(w, await w.one(), "clf", other)
            when = (await space(w)).by_name[other].when
            assert when == (() if clf == "svc" else (Condition("clf", ("rf",)),)), "before it has ended"
            await ends(w, trial, ["clf", other])
        assert (await space(w)).by_name["c"].when == (Condition("clf", ("svc",)),)

        version = (await w.study()).spec_version
        await enqueue(w, clf="svc", c=0.5)
        await ends(w, await w.one(), ["clf", "c"])
        assert (await w.study()).spec_version == version, "it agreed with all that was known"
        await enqueue(w, clf="rf", c=0.5, depth=1)
        await ends(w, await w.one(), ["clf", "c", "depth"])
        assert (await space(w)).by_name["c"].when == ()

    play(scenario)


def test_trials_that_run_side_by_side_are_compared_when_the_last_has_ended(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(space=None)
        await enqueue(w, clf="svc")
        await enqueue(w, clf="rf")
        first, second = await w.one(), await w.one()
        await asks(w, first, "clf", "c")
        await asks(w, second, "clf")
        await ends(w, second, ["clf"])
        await ends(w, first, ["clf", "c"])
        assert (await space(w)).by_name["c"].when == (Condition("clf", ("svc",)),)

    play(scenario)


def test_what_no_condition_can_say_is_not_read_for_after_every_trial(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial drops a value that the space has as unconditional."""
    learned = 0

    def counted(*arguments: object) -> Space:
        nonlocal learned
        learned += 1
        return relearned(*arguments)  # type: ignore[arg-type]

    relearned = learning.relearned
    monkeypatch.setattr(learning, "relearned", counted)
    monkeypatch.setattr(learning, "LEARNS_ALWAYS", 4)

    async def scenario(w: World) -> None:
        await w.create(space=None)
        for i in range(40):
            await enqueue(w, clf="rf", c=0.5)
            trial = await w.one()
            asked = ["clf", "c"] if i % 2 else ["clf"]
            await ends(w, await asks(w, trial, *asked), asked)
        assert (await space(w)).by_name["c"].when == ()
        assert learned < 15

    play(scenario)


def test_a_point_comes_from_the_history_that_the_store_tells(play: Play) -> None:
    async def scenario(w: World) -> None:
        study = await w.create(space=None)
        for clf, other in (("svc", "c"), ("rf", "depth")):
            await enqueue(w, clf=clf, nobody=1)
            await ends(w, await asks(w, await w.one(), "clf", other), ["clf", other])
        trials = w.store.read(lambda view: view.trials(study, TrialFilter(), 0, 10))
        history = TrialHistory([observe(t, study.spec.objectives) for t in trials], partial=True)
        new = await w.one()
        assert new.provenance is not None
        assert new.provenance.history_digest == history.digest()

    play(scenario)


def test_a_proposal_with_all_values_of_a_trial_repeats_it() -> None:
    history = TrialHistory(partial=True)
    history.put(Observation(1, {"clf": "svc", "c": 0.5}, Outcome.MEASURED, (1.0,)))
    history.put(Observation(2, {"clf": "rf"}, Outcome.PENDING))
    history.put(Observation(3, {"clf": "mlp"}, Outcome.FAILED, counted=False))
    assert history.times_tried({"clf": "svc", "c": 0.5, "depth": 3}) == 1
    assert history.times_tried({"clf": "rf", "c": 0.25, "depth": 3}) == 0, (
        "what is proposed may be more than it asks for"
    )
    assert history.times_tried({"clf": "mlp", "c": 0.25}) == 0, "it did not come to ask for all"
    history.put(Observation(2, {"clf": "rf"}, Outcome.MEASURED, (1.0,)))
    assert history.times_tried({"clf": "rf", "c": 0.25, "depth": 3}) == 1
    history.remove(2)
    assert history.times_tried({"clf": "rf", "c": 0.25, "depth": 3}) == 0
