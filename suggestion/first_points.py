"""The first points of algorithms with a model: until there are enough trials to learn from, they need none.

Such a round is cheap, so the service answers it on its event loop: it waits for no worker and never becomes a stand-in.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .answer import Answer, Seen
from .designer import History, Outcome, Problem, Suggestions
from .memo import read_memo, write_memo

LOOKED_AT: Final = 200
"""Trials beyond which nobody looks whether a round needs a model: to read them all takes a millisecond or more."""


def first_points(
    by: str,
    problem: Problem,
    history: History,
    count: int,
    rng: np.random.Generator,
    memo: str,
    *,
    first: int,
    learns_success: bool = False,
) -> Suggestions | None:
    """The round of an algorithm that begins with `Answer.add_first`, if that is all there is to it; else None.

    `by`, `first`: what it gives `read_memo` and `add_first`. `learns_success`: whether its first points, too, come from
    a model once trials have failed.
    """
    if len(history.observations) > LOOKED_AT or (learns_success and any_failure(history)):
        return None
    before = read_memo(by, memo)
    answer, seen = Answer(problem, history, rng, before), Seen(history.observations)
    if answer.add_first(count, first, seen.informative, len(seen.measured)) > 0:
        return None
    # What the models keep stays as it is.
    kept = {key: value for key, value in before.items() if key not in answer.state}
    return Suggestions(answer.proposals, write_memo(by, **answer.state, **kept), answer.exhausted)


def any_failure(history: History) -> bool:
    """Whether there is something to learn about which points succeed."""
    return any(o.outcome in (Outcome.INFEASIBLE, Outcome.FAILED) for o in history.observations)
