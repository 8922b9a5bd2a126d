"""A study whose space grows by a conditional program, played round by round as the service does it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wazir.domain.growing import fitted, hull
from wazir.domain.learning import Asked, contradicted, learned
from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters, Value
from wazir.domain.space import Categorical, Double, Integer, Kind, Parameter, Scale, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem, Suggestions
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer
from wazir.suggestion.repeating import repeated
from wazir.suggestion.space.sampling import sample

OUTCOMES = (
    *[Outcome.MEASURED] * 4,
    Outcome.INFEASIBLE,
    Outcome.MEASURED,
    Outcome.FAILED,
    Outcome.MEASURED,
    Outcome.UNKNOWN,
)
"""Of one trial after another."""


class Program:
    """The code of one trial: branches, a loop, a range of its own, and a condition that no `when` can express. What it
    names changes with the trial's number, so that spaces of many sorts come one after the other."""

    def __init__(self, number: int, proposed: Parameters, rng: np.random.Generator) -> None:
        self._proposed, self._rng = proposed, rng
        self.asked: dict[str, Value] = {}
        self.kinds: dict[str, Kind] = {}
        self.loss = float(number % 7)
        self._run(number)

    def _run(self, number: int) -> None:
        models = ("linear", "forest", "net") if number > 8 else ("linear", "forest")
        model = self._ask("model", Categorical(models))
        rate = float(self._ask("rate", Double(1e-4, 1.0 if number % 3 else 0.5, Scale.LOG)))
        self.loss += abs(rate - 0.1)
        if model == "forest":
            depth = int(self._ask("depth", Integer(1, 8)))
            self._ask("leaves", Integer(1, depth + 1))
        elif model == "net":
            for i in range(int(self._ask("layers", Integer(1, 3)))):
                self._ask(f"units_{i}", Integer(4, 64, Scale.LOG))
        if number > 4 and len(str(model)) * rate > 0.4:
            self._ask("late", Categorical((True, "python:None")))

    def _ask(self, name: str, kind: Kind) -> Value:
        value = fitted(kind, self._proposed.get(name))
        if value is None:
            value = sample(Space((Parameter(name, kind),)), self._rng.random(1))[name]
        self.asked[name], self.kinds[name] = value, kind
        return value


def grown(space: Space | None, told: list[Asked], program: Program, whole: bool) -> Space:
    """The space after that trial."""
    known = dict(space.by_name) if space else {}
    new = set(program.kinds) - set(known)
    for name, kind in program.kinds.items():
        before = known.get(name)
        if before is None:
            known[name] = Parameter(name, kind)
        else:
            known[name] = Parameter(name, hull(before.kind, kind), when=before.when)
    space = Space(tuple(known.values()))
    told.append(Asked(program.asked, whole))
    names = {*contradicted(space, told[-1]), *new}
    return learned(space, names, told) if names else space


def rounds(
    algorithm: Algorithm, seed: int, number: int, count: int
) -> Iterator[tuple[Problem, TrialHistory, Suggestions]]:
    """Each round as its problem, the history that it saw, and what was answered. One round late, its trials end."""
    rng = np.random.default_rng(seed)
    space: Space | None = None
    told: list[Asked] = []
    history, memo, running = TrialHistory(partial=True), "", dict[int, Parameters]()
    trials = 0
    for i in range(number):
        if space is None:
            found = Suggestions([New({}, "nothing is known yet")] * count)
        else:
            problem = Problem(space, (Objective("loss", Goal.MINIMIZE),), trials=40, growing=True)
            designer = make_designer(algorithm, problem)
            draws = generator(seed, i)
            found = designer.suggest(problem, history, count, draws, memo)
            memo = found.memo
            found = repeated(problem, history, found, count, draws)
            yield problem, history, found

        for trial_id, proposed in running.items():
            program = Program(trial_id, proposed, rng)
            outcome = OUTCOMES[trial_id % len(OUTCOMES)]
            values = (program.loss,) if outcome is Outcome.MEASURED else ()
            counted = outcome not in (Outcome.FAILED, Outcome.UNKNOWN)
            pending = history.get(trial_id)
            assert pending is not None
            history.put(
                Observation(
                    trial_id,
                    program.asked,
                    outcome,
                    values,
                    float(trial_id) if outcome is not Outcome.UNKNOWN else None,
                    counted=counted,
                    until_step=pending.until_step,
                    bracket=pending.bracket,
                )
            )
            space = grown(space, told, program, whole=outcome is Outcome.MEASURED)
        running = {}
        for proposal in found.proposals:
            if isinstance(proposal, New):
                trials += 1
                running[trials] = proposal.parameters
                bracket = proposal.details.get("bracket")
                history.put(
                    Observation(
                        trials,
                        proposal.parameters,
                        Outcome.PENDING,
                        until_step=proposal.until_step,
                        bracket=None if bracket is None else int(bracket),
                    )
                )
