"""Designers that choose how far trials go: what they propose, by table, and played to the end on a simulated study."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Discrete, Double, Parameter, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem, Resume
from wazir.suggestion.designers.hyperband import Bracket, brackets
from wazir.suggestion.designers.rungs import ladder
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer

LOSS = Objective("loss", Goal.MINIMIZE)
PROBLEM = Problem(Space((Parameter("x", Double(0.0, 1.0)),)), (LOSS,))
FAILS = math.nan


@pytest.mark.parametrize(
    ("least", "most", "eta", "rungs"),
    [
        (1, 9, 3, [1, 3, 9]),
        (1, 81, 3, [1, 3, 9, 27, 81]),
        (1, 50, 3, [1, 5, 16, 50]),
        (1, 52, 3, [1, 5, 17, 52]),
        (4, 10, 3, [4, 10]),
        (1, 8, 2, [1, 2, 4, 8]),
        (1, 2, 3, [1, 2]),
    ],
)
def test_rungs(least: int, most: int, eta: float, rungs: list[int]) -> None:
    assert ladder(least, most, eta) == rungs


def test_the_brackets_of_the_paper() -> None:
    """Table 1 of Li et al. (2018): R = 81, eta = 3."""
    assert brackets(1, 81, 3) == [
        Bracket((1, 3, 9, 27, 81), (81, 27, 9, 3, 1)),
        Bracket((3, 9, 27, 81), (34, 11, 3, 1)),
        Bracket((9, 27, 81), (15, 5, 1)),
        Bracket((27, 81), (8, 2)),
        Bracket((81,), (5,)),
    ]


@dataclass
class Simulation:
    """A study of `trials` trials, `parallel` at a time, whose curve of parameter x at step s is `curve(x, s)`.

    It keeps the service's rules: a trial is paused at its `until_step`, goes on where it was, and ends at `most` steps.
    """

    algorithm: Algorithm
    curve: Callable[[float, int], float]
    most: int
    trials: int | None
    parallel: int
    fails: Callable[[int, int], bool] = lambda trial, step: False
    """Whether the trial fails when it has done so many steps."""
    problem: Problem = PROBLEM
    history: TrialHistory = field(default_factory=TrialHistory)
    epochs: int = 0
    started: list[tuple[int, int | None]] = field(default_factory=list)
    """Trials in the order of their starts, and how far they were to go."""

    def run(self) -> None:
        problem = replace(self.problem, trials=self.trials, parallel=self.parallel)
        designer = make_designer(self.algorithm, problem)
        running: list[tuple[float, int]] = []
        clock, round_, memo = 0.0, 0, ""
        while True:
            wanted = self.parallel - len(running)
            found = designer.suggest(problem, self.history, wanted, generator(7, round_), memo)
            assert len(found.proposals) <= wanted
            round_, memo = round_ + 1, found.memo
            for proposal in found.proposals:
                counted = sum(o.counted for o in self.history.observations)
                if isinstance(proposal, New) and self.trials is not None and counted >= self.trials:
                    continue
                number, start = self._start(proposal)
                until = self._at(number).until_step or self.most
                heapq.heappush(running, (clock + (until - start) * (1 + number % 3), number))
            if not running:
                return
            clock, number = heapq.heappop(running)
            self._arrive(number)

    def _start(self, proposal: New | Resume) -> tuple[int, int]:
        if isinstance(proposal, New):
            number = len(self.history) + 1
            bracket = proposal.details.get("bracket")
            self.history.put(
                Observation(
                    number,
                    proposal.parameters,
                    Outcome.PENDING,
                    until_step=proposal.until_step,
                    bracket=None if bracket is None else int(bracket),
                )
            )
            start = 0
        else:
            number = proposal.trial
            known = self._at(number)
            assert known.outcome is Outcome.PAUSED
            assert known.until_step is not None
            assert known.until_step < (proposal.until_step or self.most)
            start = known.until_step
            self.history.put(replace(known, outcome=Outcome.PENDING, values=(), until_step=proposal.until_step))
        self.started.append((number, proposal.until_step))
        return number, start

    def _arrive(self, number: int) -> None:
        known = self._at(number)
        done = len(known.curve)
        until = known.until_step or self.most
        self.epochs += until - done
        x = known.parameters["x"]
        assert isinstance(x, float)
        curve = tuple((s, self.curve(x, s)) for s in range(1, until + 1))
        if self.fails(number, until):
            self.history.put(replace(known, outcome=Outcome.UNKNOWN, counted=False, curve=curve))
            return
        outcome = Outcome.MEASURED if known.until_step is None else Outcome.PAUSED
        self.history.put(replace(known, outcome=outcome, values=(curve[-1][1],), curve=curve))

    def _at(self, number: int) -> Observation:
        known = self.history.get(number)
        assert known is not None
        return known


def steady(x: float, step: int) -> float:
    """What is best at first is best at last."""
    return (x - 0.3) ** 2 + 1 / step


def reached(simulation: Simulation) -> dict[int, int]:
    """How many trials have been at each step where trials wait or end."""
    counts: dict[int, int] = {}
    for o in simulation.history.observations:
        for step in {len(o.curve)} | {until for number, until in simulation.started if number == o.trial_id and until}:
            if 0 < step <= len(o.curve):
                counts[step] = counts.get(step, 0) + 1
    return dict(sorted(counts.items()))


@pytest.mark.parametrize("name", ["hyperband", "bohb"])
@pytest.mark.parametrize("parallel", [1, 4, 32])
def test_hyperband_gives_every_rung_of_every_bracket_its_trials(parallel: int, name: str) -> None:
    """R = 9, eta = 3: brackets of 9, 5 and 3 trials."""
    simulation = Simulation(Algorithm(name, settings={"max": 9}), steady, 9, 17, parallel)
    simulation.run()
    by_bracket: dict[int | None, list[int]] = {}
    for o in simulation.history.observations:
        by_bracket.setdefault(o.bracket, []).append(len(o.curve))
    assert {b: sorted(steps) for b, steps in by_bracket.items()} == {
        0: [1] * 6 + [3] * 2 + [9],
        1: [3] * 4 + [9],
        2: [9] * 3,
    }
    assert simulation.epochs == 9 + 2 * 3 + 6 + 5 * 3 + 6 + 3 * 9


@pytest.mark.parametrize("parallel", [1, 4])
def test_hyperband_promotes_the_best(parallel: int) -> None:
    simulation = Simulation(Algorithm("hyperband", settings={"max": 9}), steady, 9, 17, parallel)
    simulation.run()
    first = [o for o in simulation.history.observations if o.bracket == 0]
    by_worth = sorted(first, key=lambda o: steady(float(o.parameters["x"]), 1))
    assert [len(o.curve) for o in by_worth] == [9, 3, 3] + [1] * 6


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_who_went_on_before_it_heard_that_it_was_to_pause_is_compared_by_the_same_step(name: str) -> None:
    history = TrialHistory()
    for number in range(1, 10):
        curve = tuple((step, number + 10 / step) for step in range(1, 3 if number > 3 else 2))
        x = {"x": number / 10}
        history.put(Observation(number, x, Outcome.PAUSED, (curve[-1][1],), None, True, 1, 0, curve))
    designer = make_designer(Algorithm(name, settings={"max": 9}), PROBLEM)
    found = designer.suggest(PROBLEM, history, 9, generator(1, 0), "").proposals
    assert [p.trial for p in found if isinstance(p, Resume)] == [1, 2, 3]


@pytest.mark.parametrize("curve", [(), ((4, 9.0),)], ids=["none reported by step", "the rung was jumped over"])
def test_hyperband_takes_what_a_trial_was_paused_with_where_it_reported_nothing_at_the_rung(
    curve: tuple[tuple[int, float], ...],
) -> None:
    history = TrialHistory()
    for number in range(1, 10):
        own = curve if number == 5 else ((1, float(number)),)
        value = 0.5 if number == 5 else float(number)
        history.put(Observation(number, {"x": number / 10}, Outcome.PAUSED, (value,), None, True, 1, 0, own))
    designer = make_designer(Algorithm("hyperband", settings={"max": 9}), PROBLEM)
    found = designer.suggest(PROBLEM, history, 9, generator(1, 0), "").proposals
    assert [p.trial for p in found if isinstance(p, Resume)] == [5, 1, 2]


@pytest.mark.parametrize(
    ("fails", "steps", "reason"),
    [
        (lambda trial, step: trial == 2 and step == 1, [1] * 6 + [3] * 2 + [9], "replaced at the first rung"),
        (lambda trial, step: step == 3 and trial <= 4, [1] * 6 + [3] * 2 + [9], "the next best of the rung comes up"),
    ],
)
def test_a_failed_trial_is_made_up_for(fails: Callable[[int, int], bool], steps: list[int], reason: str) -> None:
    simulation = Simulation(Algorithm("hyperband", settings={"max": 9}), steady, 9, 9, 1, fails)
    simulation.run()
    there = [o for o in simulation.history.observations if o.bracket == 0 and o.counted]
    if reason == "replaced at the first rung":
        assert sorted(len(o.curve) for o in there) == steps, reason
    else:
        assert sum(len(o.curve) >= 3 for o in there) == 3, reason
        assert sum(len(o.curve) == 9 for o in there) == 1, reason


@settings(max_examples=50)
@given(st.integers(1, 6), st.sets(st.tuples(st.integers(1, 25), st.sampled_from([1, 3, 9])), max_size=8))
def test_rungs_have_their_numbers_whoever_fails_and_when(parallel: int, failures: set[tuple[int, int]]) -> None:
    """A bracket's first rung always gets its number. A later one does as long as the rung below has trials left."""

    def fails(trial: int, step: int) -> bool:
        return (trial, step) in failures

    simulation = Simulation(Algorithm("hyperband", settings={"max": 9}), steady, 9, 17, parallel, fails)
    simulation.run()
    for number, bracket in enumerate(brackets(1, 9, 3)):
        members = [o for o in simulation.history.observations if o.bracket == number]
        counted = [len(o.curve) for o in members if o.counted]
        begun = [o for o in members if o.counted or len(o.curve) > bracket.steps[0]]
        assert len(begun) == bracket.sizes[0]
        there = sum(done >= bracket.steps[0] for done in counted)
        for steps, size in list(zip(bracket.steps, bracket.sizes, strict=True))[1:]:
            came = sum(done >= steps for done in counted)
            assert came == min(size, there)
            there = came


@settings(max_examples=30)
@given(
    st.integers(1, 30),
    st.integers(1, 8),
    st.integers(2, 4),
    st.sampled_from(["asha", "bohb", "freeze_thaw", "hyperband"]),
)
@example(1, 1, 2, "freeze_thaw")
@example(6, 1, 2, "freeze_thaw")
def test_the_budget_and_the_limit_are_kept_and_somebody_comes_to_the_end(
    trials: int, parallel: int, eta: int, name: str
) -> None:
    algorithm = Algorithm(name, settings={"min": 1, "max": 27, "eta": eta})
    simulation = Simulation(algorithm, steady, 27, trials, parallel)
    simulation.run()
    assert len(simulation.history) == trials
    rungs = {*ladder(1, 27, eta), *(s for b in brackets(1, 27, eta) for s in b.steps)}
    assert {len(o.curve) for o in simulation.history.observations} <= rungs
    assert max(len(o.curve) for o in simulation.history.observations) == 27


@pytest.mark.parametrize(
    ("trials", "steps", "why"),
    [
        (1, [9], "there is nobody to compare it with"),
        (5, [1] * 4 + [9], "a third of five is one, and no part of it goes on: but then nobody would come to the end"),
        (8, [1] * 6 + [3] + [9], "of eight two go on, of those one"),
        (9, [1] * 6 + [3] * 2 + [9], "a whole bracket"),
        (11, [1] * 6 + [3] * 4 + [9], "two of the second bracket's five: a third of them is none"),
        (12, [1] * 6 + [3] * 4 + [9] * 2, "three of its five: one goes on"),
    ],
)
def test_a_bracket_that_the_budget_cuts_short_is_halved_like_a_smaller_one(
    trials: int, steps: list[int], why: str
) -> None:
    simulation = Simulation(Algorithm("hyperband", settings={"max": 9}), steady, 9, trials, 3)
    simulation.run()
    assert sorted(len(o.curve) for o in simulation.history.observations) == steps, why


def test_asha_lets_the_best_come_to_the_end_alone_where_too_few_trials_are_to_come() -> None:
    simulation = Simulation(Algorithm("asha", settings={"max": 27}), steady, 27, 10, 2)
    simulation.run()
    done = [len(o.curve) for o in simulation.history.observations]
    assert sorted(done) == [1] * 7 + [3] * 2 + [27]
    best = min(simulation.history.observations, key=lambda o: steady(float(str(o.parameters["x"])), 1))
    assert len(best.curve) == 27


@pytest.mark.parametrize(
    ("outcome", "goes_on"),
    [(Outcome.PAUSED, True), (Outcome.INFEASIBLE, True), (Outcome.PENDING, False), (Outcome.MEASURED, False)],
)
def test_asha_lets_nobody_go_on_alone_where_another_runs_or_has_ended_by_itself(
    outcome: Outcome, goes_on: bool
) -> None:
    problem = replace(PROBLEM, trials=2)
    waits = Observation(1, {"x": 0.1}, Outcome.PAUSED, (0.1,), until_step=1, curve=((1, 0.1),))
    other = Observation(2, {"x": 0.2}, outcome, (0.2,), until_step=3, curve=((1, 0.2),))
    designer = make_designer(Algorithm("asha", settings={"max": 9}), problem)
    found = designer.suggest(problem, TrialHistory([waits, other]), 1, generator(1, 0), "").proposals
    assert [p for p in found if isinstance(p, Resume)] == (
        [Resume(1, 3, "step 1: the best of 2, and no more are to come; goes on to step 3")] if goes_on else []
    )


@pytest.mark.parametrize("name", ["asha", "bohb", "hyperband"])
def test_in_a_space_of_few_points_somebody_comes_to_the_end(name: str) -> None:
    few = replace(PROBLEM, space=Space((Parameter("x", Discrete((0.1, 0.3, 0.9))),)))
    simulation = Simulation(Algorithm(name, settings={"max": 27}), steady, 27, None, 2, problem=few)
    simulation.run()
    assert {float(str(o.parameters["x"])): len(o.curve) for o in simulation.history.observations}[0.3] == 27


def test_asha_promotes_one_in_eta_as_soon_as_there_is_one() -> None:
    simulation = Simulation(Algorithm("asha", settings={"max": 9}), steady, 9, 9, 1)
    simulation.run()
    assert reached(simulation) == {1: 9, 3: 3, 9: 1}
    third = [number for number, until in simulation.started].index
    assert [until for _, until in simulation.started[:4]] == [1, 1, 1, 3], "after three, the best of them goes on"
    assert third(1) == 0


def test_asha_never_waits() -> None:
    """A trial that goes on for ever keeps nobody from being promoted."""
    history = TrialHistory()
    designer = make_designer(Algorithm("asha", settings={"max": 9}), PROBLEM)
    for number, loss in enumerate([0.1, 0.2, 0.3], 1):
        curve = ((1, loss),)
        history.put(Observation(number, {"x": loss}, Outcome.PAUSED, (loss,), until_step=1, curve=curve))
    history.put(Observation(4, {"x": 0.9}, Outcome.PENDING, until_step=1))
    found = designer.suggest(PROBLEM, history, 2, generator(1, 0), "")
    resumed, new = found.proposals
    assert resumed == Resume(1, 3, "step 1: rank 1 of 3, eta 3; goes on to step 3")
    assert isinstance(new, New)
    assert new.until_step == 1


@st.composite
def standings(draw: st.DrawFn) -> list[Observation]:
    """Trials at any rung of 1, 2 and 4, in any state, some of them with reports that jump over a rung."""
    found = []
    for number in draw(st.lists(st.integers(1, 12), unique=True, max_size=12)):
        steps = draw(st.lists(st.integers(1, 9), unique=True, max_size=5))
        losses = st.sampled_from([0.1, 0.2, 0.3, math.nan, math.inf])
        curve = tuple((step, draw(losses)) for step in sorted(steps))
        outcome = draw(st.sampled_from(Outcome))
        until = draw(st.sampled_from([1, 2, None]))
        values = (curve[-1][1],) if curve else ()
        bracket = draw(st.sampled_from([0, 0, 0, 1, None]))
        counted = outcome is not Outcome.UNKNOWN
        x = {"x": number / 20}
        found.append(Observation(number, x, outcome, values, None, counted, until, bracket, curve))
    return sorted(found, key=lambda o: o.trial_id)


def test_asha_ranks_many_trials_at_once_as_it_does_one_by_one() -> None:
    """As it meets them after a start of the service, and while a study runs."""
    designer, history = make_designer(Algorithm("asha", settings={"max": 9}), PROBLEM), TrialHistory()
    for number in range(1, 301):
        losses = [generator(number, step).random() for step in (1, 3)]
        curve = ((1, losses[0]), (3, losses[1]))[: 1 + number % 2]
        step, loss = curve[-1]
        history.put(Observation(number, {"x": losses[0]}, Outcome.PAUSED, (loss,), until_step=step, curve=curve))
        designer.suggest(PROBLEM, history, 1, generator(1, 0), "")
    kept = designer.suggest(PROBLEM, history, 200, generator(1, 0), "")
    fresh = make_designer(Algorithm("asha", settings={"max": 9}), PROBLEM)
    assert fresh.suggest(PROBLEM, history, 200, generator(1, 0), "") == kept
    assert sum(isinstance(p, Resume) for p in kept.proposals) > 50


@pytest.mark.parametrize("name", ["asha", "hyperband"])
@settings(max_examples=50)
@given(st.lists(standings(), min_size=2, max_size=6))
def test_what_is_kept_from_call_to_call_changes_no_answer(name: str, histories: list[list[Observation]]) -> None:
    algorithm = Algorithm(name, settings={"max": 4, "eta": 2})
    kept = make_designer(algorithm, PROBLEM)
    for observations in histories:
        fresh = make_designer(algorithm, PROBLEM)
        answers = [d.suggest(PROBLEM, TrialHistory(observations), 4, generator(1, 0), "") for d in (kept, fresh)]
        assert answers[0] == answers[1]


@pytest.mark.parametrize("name", ["asha", "bohb", "freeze_thaw", "hyperband"])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "algorithm.max = null: is missing"),
        ({"max": 9, "min": 9}, "algorithm.min = 9: must be less than algorithm.max = 9"),
        ({"max": 9, "min": 12}, "algorithm.min = 12: must be less than algorithm.max = 9"),
        ({"max": 9, "eta": 1}, "algorithm.eta = 1.0: must be 1.1 or more"),
    ],
)
def test_settings_that_are_refused(name: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        make_designer(Algorithm(name, settings=settings), PROBLEM)
    assert words in str(error.value)


def crossing(x: float, step: int) -> float:
    """What is best after few steps is worst after nine."""
    return abs(x - 0.8) if step < 9 else abs(x - 0.2)


@pytest.mark.parametrize("model", ["tpe", "gp"])
def test_bohbs_new_points_are_learned_from_the_most_steps_that_enough_have_done(model: str) -> None:
    """Only who looks at nine finds the best."""
    algorithm = Algorithm("bohb", settings={"max": 9, "model": model, "random_fraction": 0.0})
    simulation = Simulation(algorithm, crossing, 9, 85, 1)
    simulation.run()
    points = [float(str(o.parameters["x"])) for o in simulation.history.observations]
    early, late = points[5:9], points[-20:]
    assert sum(abs(x - 0.8) < 0.25 for x in early) >= 3, "four values at one step are enough for one parameter"
    assert sum(abs(x - 0.2) < 0.25 for x in late) >= 15, "later there are enough at nine"


@pytest.mark.parametrize("parallel", [1, 8])
def test_freeze_thaw_finds_what_comes_from_behind(parallel: int) -> None:
    simulation = Simulation(Algorithm("freeze_thaw", settings={"max": 9}), crossing, 9, 60, parallel)
    simulation.run()
    whole = [o for o in simulation.history.observations if o.outcome is Outcome.MEASURED]
    assert min(o.values[0] for o in whole) < 0.02, "the best at the end is found, not the best at first"


def test_a_part_of_bohbs_points_is_drawn_blindly() -> None:
    blind = Simulation(Algorithm("bohb", settings={"max": 9, "random_fraction": 1.0}), steady, 9, 30, 4)
    plain = Simulation(Algorithm("bohb", settings={"max": 9}), steady, 9, 30, 4)
    for simulation in (blind, plain):
        simulation.run()
    near = [
        sum(abs(float(str(o.parameters["x"])) - 0.3) < 0.15 for o in s.history.observations) for s in (blind, plain)
    ]
    assert near[0] == pytest.approx(30 * 0.3, abs=2), "evenly over the space"
    assert near[1] > near[0] + 3


@pytest.mark.parametrize("name", ["bohb", "freeze_thaw"])
def test_a_model_of_one_objective_is_refused_several(name: str) -> None:
    with pytest.raises(InvalidArgument, match="compares trials by one objective, and the study has 2"):
        make_designer(
            Algorithm(name, settings={"max": 9}), replace(PROBLEM, objectives=(LOSS, Objective("b", Goal.MINIMIZE)))
        )


class TestSeveralObjectives:
    """Rank is one more than the number of trials that dominate it; of one rank, those that lie far apart come first."""

    PROBLEM = replace(PROBLEM, objectives=(LOSS, Objective("speed", Goal.MAXIMIZE)))

    # Loss and speed. Trials 1, 5 and 9 are not dominated, 5 is between the others.
    AT_STEP_1 = (
        (0.1, 1.0),
        (0.5, 1.0),
        (0.6, 2.0),
        (0.7, 3.0),
        (0.2, 5.0),
        (0.9, 4.0),
        (0.95, 5.0),
        (math.nan, 10.0),
        (0.9, 9.0),
    )

    def paused(self, trial: int, *at_3: float) -> Observation:
        curves = [[(1, value)] for value in self.AT_STEP_1[trial - 1]]
        for curve, value in zip(curves, at_3, strict=False):
            curve.append((3, value))
        first, other = map(tuple, curves)
        values, step = (first[-1][1], other[-1][1]), first[-1][0]
        return Observation(trial, {"x": trial / 10}, Outcome.PAUSED, values, None, True, step, 0, first, (other,))

    def promoted(self, name: str, history: TrialHistory) -> list[Resume]:
        designer = make_designer(Algorithm(name, settings={"max": 9}), self.PROBLEM)
        found = designer.suggest(self.PROBLEM, history, 9, generator(1, 0), "")
        return [p for p in found.proposals if isinstance(p, Resume)]

    @pytest.mark.parametrize("name", ["asha", "hyperband"])
    def test_the_front_goes_on_and_its_ends_come_first(self, name: str) -> None:
        history = TrialHistory(map(self.paused, range(1, 10)))
        assert [(p.trial, p.until_step) for p in self.promoted(name, history)] == [(1, 3), (9, 3), (5, 3)]

    @pytest.mark.parametrize("name", ["asha", "hyperband"])
    def test_what_came_to_the_next_rung_is_compared_with_what_it_was_worth_there(self, name: str) -> None:
        history = TrialHistory(map(self.paused, range(1, 10)))
        for trial, at_3 in ((1, (0.1, 1.0)), (5, (0.1, 2.0)), (9, (0.2, 1.0))):
            history.put(self.paused(trial, *at_3))
        assert [(p.trial, p.until_step) for p in self.promoted(name, history)] == [(5, None)]

    def test_asha_waits_for_all_objectives_of_a_rung(self) -> None:
        history = TrialHistory(map(self.paused, [1, 2, 3]))
        assert [p.trial for p in self.promoted("asha", history)] == [1]
        known = history.get(1)
        assert known is not None
        history.put(replace(known, other_curves=((),)))
        assert self.promoted("asha", history) == [], "of two, nobody goes on"

    def test_asha_with_several_objectives_does_not_answer_on_the_event_loop(self) -> None:
        makers = [make_designer(Algorithm("asha", settings={"max": 9}), p) for p in (PROBLEM, self.PROBLEM)]
        assert [designer.cheap for designer in makers] == [True, False]
