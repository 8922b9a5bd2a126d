"""What every suggestion algorithm promises. Its tests inherit `DesignerContract` beside a fixture `algorithm`.

@pytest.fixture(scope="module")
def algorithm() -> Algorithm:
    return Algorithm("mine")

class TestMine(DesignerContract):
    pass
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters, Value, canonical
from wazir.domain.space import Categorical, Condition, Double, Integer, Parameter, Scale, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem, Suggestions, suggest_at_once
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer
from wazir.suggestion.space.encoding import encoder

from ..strategies import histories, problems, seeds
from . import growing

MIXED = Space(
    (
        Parameter("kind", Categorical(("a", "b", "c"))),
        Parameter("width", Integer(1, 512, Scale.LOG), when=(Condition("kind", ("b",)),)),
        Parameter("rate", Double(1e-5, 1.0, Scale.LOG)),
        Parameter("depth", Double(0.0, 8.0)),
    )
)

examples = settings(max_examples=60)


def every_point(space: Space, levels: dict[str, list[Value]] | None = None) -> list[Parameters]:
    """All points of a finite space that satisfy its constraints, by trying every combination of values."""
    choices = []
    for p in space.parameters:
        if levels is not None and p.name in levels:
            choices.append(levels[p.name])
        else:
            assert p.kind.size is not None
            choices.append([p.kind.at(i) for i in range(p.kind.size)])
    found: dict[str, Parameters] = {}
    for values in itertools.product(*choices):
        point: dict[str, Value] = {}
        for parameter, value in zip(space.parameters, values, strict=True):
            if space.is_active(parameter, point):
                point[parameter.name] = value
        if space.satisfies(point):
            found[canonical(point)] = point
    return list(found.values())


def play(algorithm: Algorithm, problem: Problem, seed: int, count: int, rounds: int) -> tuple[list[New], bool]:
    """All proposals of so many rounds, each of which sees those before as pending; and whether it said exhausted. When
    nothing is proposed any more, what is pending comes to its end."""
    designer, history, memo = make_designer(algorithm, problem), TrialHistory(repeats=problem.repeats), ""
    made: list[New] = []
    for number in range(rounds):
        answer = designer.suggest(problem, history, count, generator(seed, number), memo)
        memo = answer.memo
        for proposal in answer.proposals:
            assert isinstance(proposal, New)
            made.append(proposal)
            history.put(Observation(len(made), proposal.parameters, Outcome.PENDING))
        if answer.exhausted:
            return made, True
        if not answer.proposals:
            for known in list(history.observations):
                history.put(replace(known, outcome=Outcome.MEASURED, values=(0.0,) * len(problem.objectives)))
    return made, False


class DesignerContract:
    @settings(examples, max_examples=40)
    @given(st.data(), seeds, st.integers(1, 5))
    def test_proposals_are_points_of_the_space_that_may_still_be_tried(
        self, algorithm: Algorithm, data: st.DataObject, seed: int, count: int
    ) -> None:
        problem = data.draw(problems())
        history = TrialHistory(data.draw(histories(problem.space)), repeats=problem.repeats)
        designer, memo = make_designer(algorithm, problem), ""
        before = history.digest()
        for number in range(2):
            answer = designer.suggest(problem, history, count, generator(seed, number), memo)
            memo = answer.memo
            assert len(answer.proposals) <= count
            new = [p for p in answer.proposals if isinstance(p, New)]
            for proposal in new:
                checked = problem.space.check(proposal.parameters)
                assert canonical(proposal.parameters) == canonical(checked)
                assert list(proposal.parameters) == list(checked)
                assert proposal.why
            made = Counter(canonical(p.parameters) for p in new)
            for proposal in new:
                tried = history.times_tried(proposal.parameters)
                assert tried + made[canonical(proposal.parameters)] <= problem.repeats
        assert history.digest() == before

    @settings(examples, max_examples=20)
    @given(st.data(), seeds, st.integers(1, 3))
    def test_the_same_question_has_the_same_answer(
        self, algorithm: Algorithm, data: st.DataObject, seed: int, count: int
    ) -> None:
        problem = data.draw(problems())
        observations = data.draw(histories(problem.space))
        first = self._two_rounds(algorithm, problem, observations, seed, count)
        # Another replica: made anew, from equal but other objects, with other caches, after other work.
        other = replace(problem, space=Space(problem.space.parameters, problem.space.constraints))
        np.random.seed(1)
        self._two_rounds(algorithm, data.draw(problems()), [], seed + 1, count)
        assert self._two_rounds(algorithm, other, observations[::-1], seed, count) == first

    @staticmethod
    def _two_rounds(
        algorithm: Algorithm, problem: Problem, observations: list[Observation], seed: int, count: int
    ) -> list[tuple[list[str], str, bool]]:
        designer, history, memo = make_designer(algorithm, problem), TrialHistory(observations), ""
        history.repeats = problem.repeats
        answers: list[Suggestions] = []
        for number in range(2):
            answers.append(designer.suggest(problem, history, count, generator(seed, number), memo))
            memo = answers[-1].memo
        return [([repr(p) for p in a.proposals], a.memo, a.exhausted) for a in answers]

    @settings(examples, max_examples=20)
    @given(st.data(), seeds, st.integers(1, 5))
    def test_what_is_answered_at_once_is_what_a_worker_would_answer(
        self, algorithm: Algorithm, data: st.DataObject, seed: int, count: int
    ) -> None:
        problem = data.draw(problems())
        history = TrialHistory(data.draw(histories(problem.space)), repeats=problem.repeats)
        here, there, memo = make_designer(algorithm, problem), make_designer(algorithm, problem), ""
        for number in range(3):
            found = suggest_at_once(here, problem, history, count, generator(seed, number), memo)
            if found is None:
                break
            expected = there.suggest(problem, history, count, generator(seed, number), memo)
            assert list(map(repr, found.proposals)) == list(map(repr, expected.proposals))
            assert (found.memo, found.exhausted) == (expected.memo, expected.exhausted)
            memo = found.memo
            for proposal in found.proposals:
                if isinstance(proposal, New):
                    history.put(Observation(len(history) + 100, proposal.parameters, Outcome.PENDING))

    @examples
    @given(problems(small=True), seeds, st.integers(1, 7))
    def test_a_finite_space_is_tried_to_its_last_point_and_then_exhausted(
        self, algorithm: Algorithm, problem: Problem, seed: int, count: int
    ) -> None:
        points = every_point(problem.space)
        rounds = 2 * len(points) * problem.repeats + 20
        made, exhausted = play(algorithm, problem, seed, count, rounds)
        assert exhausted
        expected = {canonical(p): problem.repeats for p in points}
        assert Counter(canonical(p.parameters) for p in made) == expected

    @settings(examples, max_examples=15)
    @given(st.data(), seeds)
    def test_trials_of_others_are_not_repeated_at_the_end_of_a_finite_space(
        self, algorithm: Algorithm, data: st.DataObject, seed: int
    ) -> None:
        problem = replace(data.draw(problems(small=True)), repeats=1)
        designer, memo = make_designer(algorithm, problem), ""
        points = every_point(problem.space)
        assume(len(points) <= 40)  # each costs some algorithms the fit of a model
        given_by_people = [p for p in points if data.draw(st.booleans())][:10]
        history = TrialHistory(Observation(i + 1, p, Outcome.MEASURED, (0.0,)) for i, p in enumerate(given_by_people))
        for number in range(2 * len(points) + 20):
            answer = designer.suggest(problem, history, 3, generator(seed, number), memo)
            memo = answer.memo
            for proposal in answer.proposals:
                assert isinstance(proposal, New)
                history.put(Observation(len(history) + 1, proposal.parameters, Outcome.PENDING))
            if answer.exhausted:
                break
        tried = Counter(canonical(o.parameters) for o in history.observations)
        assert tried == {canonical(p): 1 for p in points}

    @examples
    @given(problems(), seeds)
    def test_nothing_is_proposed_to_who_asks_for_nothing(
        self, algorithm: Algorithm, problem: Problem, seed: int
    ) -> None:
        answer = make_designer(algorithm, problem).suggest(problem, TrialHistory(), 0, generator(seed, 0), "")
        assert list(answer.proposals) == []

    def test_the_memo_stays_small(self, algorithm: Algorithm) -> None:
        problem = _wide()
        designer, history, memo = make_designer(algorithm, problem), TrialHistory(), ""
        for number in range(100):
            memo = designer.suggest(problem, history, 1, generator(1, number), memo).memo
        assert len(memo) < 10_000

    def test_a_wide_space_gives_as_many_points_as_are_asked_for(self, algorithm: Algorithm) -> None:
        made, exhausted = play(algorithm, _wide(), seed=3, count=50, rounds=3)
        assert len(made) == 150
        assert not exhausted

    @pytest.mark.parametrize(
        ("outcomes", "values"),
        [
            pytest.param([Outcome.PENDING] * 1_000, [], id="a thousand pending"),
            pytest.param([Outcome.PENDING] * 1_000, [3.0, 1.0, 2.0] * 5, id="a thousand pending and some values"),
            pytest.param([Outcome.INFEASIBLE] * 40, [], id="all infeasible"),
            pytest.param([Outcome.INFEASIBLE] * 40, [1.0], id="all but one infeasible"),
            pytest.param([], [7.0] * 40, id="a constant objective"),
            pytest.param([], [1e300, -1e300] * 20, id="values near the ends of the doubles"),
            pytest.param([], [float(i) for i in range(39)] + [1e300], id="an outlier"),
            pytest.param([], [5e-324, 0.0, -0.0] * 12, id="values that differ by less than can be divided"),
        ],
    )
    def test_odd_histories(self, algorithm: Algorithm, outcomes: list[Outcome], values: list[float]) -> None:
        points = encoder(MIXED).decode(np.random.default_rng(4).random((len(outcomes) + len(values), 4)))
        history = TrialHistory(Observation(i + 1, p, o) for i, (p, o) in enumerate(zip(points, outcomes, strict=False)))
        for point, value in zip(points[len(outcomes) :], values, strict=True):
            history.put(Observation(len(history) + 1, point, Outcome.MEASURED, (value,)))
        self._answers_twice(algorithm, Problem(MIXED, (Objective("score", Goal.MAXIMIZE),)), history)

    @pytest.mark.parametrize(
        "parameters",
        [
            pytest.param([Parameter("x", Double(0.0, 1.0))], id="one"),
            pytest.param([Parameter(f"x{i}", Double(0.0, 1.0)) for i in range(200)], id="two hundred"),
            pytest.param(
                [Parameter("only", Categorical(("a",))), Parameter("x", Double(0.0, 1.0))], id="a single category"
            ),
            pytest.param([Parameter("many", Categorical(tuple(f"c{i}" for i in range(200))))], id="many categories"),
            pytest.param(
                [Parameter("x", Double(-1e300, 1e300)), Parameter("n", Integer(-(2**62), 2**62))], id="vast ranges"
            ),
        ],
    )
    def test_odd_spaces(self, algorithm: Algorithm, parameters: list[Parameter]) -> None:
        space = Space(tuple(parameters))
        points = encoder(space).decode(np.random.default_rng(5).random((12, len(parameters))))
        history = TrialHistory(
            Observation(i + 1, p, Outcome.MEASURED, (float(i * i % 7),)) for i, p in enumerate(points)
        )
        self._answers_twice(algorithm, Problem(space, (Objective("loss", Goal.MINIMIZE),)), history)

    def test_a_space_that_grows_and_trials_that_lack_parameters(self, algorithm: Algorithm) -> None:
        for problem, history, found in growing.rounds(algorithm, seed=2, number=7, count=2):
            assert not found.exhausted
            made: Counter[str] = Counter()
            for proposal in found.proposals:
                assert isinstance(proposal, New)
                assert canonical(proposal.parameters) == canonical(problem.space.check(proposal.parameters))
                assert np.isfinite(list(proposal.details.values())).all()
                made[canonical(proposal.parameters)] += 1
                assert history.times_tried(proposal.parameters) + made[canonical(proposal.parameters)] == 1

    @staticmethod
    def _answers_twice(algorithm: Algorithm, problem: Problem, history: TrialHistory) -> None:
        """Two points each time, of the space and not tried before, or trials that go on."""
        designer, memo = make_designer(algorithm, problem), ""
        for number in range(2):
            answer = designer.suggest(problem, history, 2, generator(1, number), memo)
            memo = answer.memo
            assert len(answer.proposals) == 2
            for proposal in answer.proposals:
                if isinstance(proposal, New):
                    assert canonical(proposal.parameters) == canonical(problem.space.check(proposal.parameters))
                    assert history.times_tried(proposal.parameters) == 0
                    assert np.isfinite(list(proposal.details.values())).all()
                    history.put(Observation(len(history) + 1, proposal.parameters, Outcome.PENDING))


def _wide() -> Problem:
    space = Space(tuple(Parameter(f"x{i}", Double(0.0, 1.0)) for i in range(6)))
    return Problem(space, (Objective("loss", Goal.MINIMIZE),))
