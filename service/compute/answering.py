"""One round of an algorithm: asked, and held to what designers promise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ...domain.errors import InvalidArgument
from ...domain.parameters import canonical, digest
from ...domain.study import Study, StudySpec
from ...suggestion.designer import Designer, History, New, Problem, Resume, Suggestions, cheap, suggest_at_once
from ...suggestion.generator import generator
from ...suggestion.repeating import repeated

MAX_REASON = 400
"""Characters of what a foreign algorithm says of its failure; it is stored with a trial."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a round is made from, beside problem and history. `round`: the study's committed rounds before it."""

    seed: int
    round: int
    count: int
    memo: str

    @classmethod
    def of(cls, study: Study, count: int) -> Question:
        return cls(study.seed, study.rounds, count, study.memo)


class Misfit(Exception):
    """An algorithm's answer breaks the contract of designers."""


def problem_of(spec: StudySpec, *, growing: bool = False) -> Problem | None:
    """What a designer is asked to solve; None while a growing space has no parameter."""
    if spec.space is None:
        return None
    return Problem(
        spec.space,
        spec.objectives,
        spec.safety,
        trials=spec.budget.trials,
        parallel=spec.budget.parallel,
        repeats=spec.algorithm.repeats,
        growing=growing,
    )


def answer(designer: Designer, problem: Problem, history: History, question: Question) -> Suggestions:
    """What the designer proposes, its points in the space's order. Raises Misfit, and whatever the designer raises."""
    rng = generator(question.seed, question.round)
    found = designer.suggest(problem, history, question.count, rng, question.memo)
    return _held_to_contract(found, problem, history, question.count, rng)


def answer_at_once(designer: Designer, problem: Problem, history: History, question: Question) -> Suggestions | None:
    """The same, if it may be computed on the event loop; else None."""
    rng = generator(question.seed, question.round)
    found = suggest_at_once(designer, problem, history, question.count, rng, question.memo)
    if found is None and not cheap(designer, problem):
        return None
    return _held_to_contract(found, problem, history, question.count, rng)


def _held_to_contract(
    found: object, problem: Problem, history: History, count: int, rng: np.random.Generator
) -> Suggestions:
    if not isinstance(found, Suggestions) or not isinstance(found.memo, str):
        raise Misfit(f"it answered with {type(found).__name__} and not with Suggestions")
    if len(found.proposals) > count:
        raise Misfit(f"it proposed {len(found.proposals)} points when {count} were asked for")
    made: Counter[str] = Counter()
    proposals = [
        _fit(proposal, problem, history, made) if isinstance(proposal, New) else _resumed(proposal)
        for proposal in found.proposals
    ]
    found = replace(found, proposals=proposals)
    return repeated(problem, history, found, count, rng) if problem.growing else found


def describe(error: Exception) -> str:
    """The error in a line, for people."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 3] + "..."


def _fit(proposal: New, problem: Problem, history: History, made: Counter[str]) -> New:
    try:
        details = {str(name): float(value) for name, value in proposal.details.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise Misfit(f"the `details` of a proposal must be numbers by name: {error}") from error
    if not isinstance(proposal.why, str):
        raise Misfit(f"the `why` of a proposal must be a text, and not {type(proposal.why).__name__}")
    if not isinstance(proposal.stand_in, str):
        raise Misfit(f"the `stand_in` of a proposal must be a text, and not {type(proposal.stand_in).__name__}")
    try:
        point = problem.space.check(proposal.parameters)
    except (InvalidArgument, TypeError, AttributeError) as error:
        raise Misfit(f"it proposed a point outside the space: {error}") from error
    key = digest(point)
    made[key] += 1
    if history.times_tried(point) + made[key] > problem.repeats:
        raise Misfit(f"it proposed {canonical(point)}, which has been tried {problem.repeats} times already")
    return replace(proposal, parameters=point, details=details)


def _resumed(proposal: object) -> Resume:
    if not isinstance(proposal, Resume):
        raise Misfit(f"it proposed {type(proposal).__name__}, which is neither New nor Resume")
    return proposal
