"""What a study gets whose algorithm was too slow or failed: quasi-random points."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib import import_module

from ...domain.study import Study
from ...suggestion.designer import History, New, Problem, Suggestions
from ...suggestion.generator import generator
from ...suggestion.untried import find_untried

NAME = "quasirandom"
VERSION = 1

_STREAM = 1 << 63
"""Rounds are numbered from 0; the generators of stand-ins are numbered from here, so no two share their numbers."""


def stand_in(
    study: Study, problem: Problem, history: History, count: int, reason: str, until_step: int | None = None
) -> Suggestions:
    """Up to `count` points of a scrambled Sobol sequence that is the study's own, from its next trial's number on.
    `until_step`: where their trials are to pause, for the algorithm to let them go on; None: they go to their end.

    A function of the study's seed, that number, and the history's points: it can be made again. No round is counted and
    the algorithm's memo stays as it is, so what the algorithm is computing meanwhile remains good.
    """
    # It loads scipy.stats, which takes half a second and which many services never need; see `load`.
    from ...suggestion.space.sobol import sobol_rows

    first = study.next_trial_id
    seed = int(generator(study.seed, _STREAM).integers(1 << 63))
    found = find_untried(
        problem,
        history,
        count,
        generator(study.seed, _STREAM + first),
        {},
        Counter(),
        lambda start, n: sobol_rows(seed, first + start, n, len(problem.space.parameters)),
        lambda number: (f"point {first + number} of a scrambled Sobol sequence", {"index": float(first + number)}),
    )
    why = f"in place of {study.spec.algorithm.name}: {reason}"
    if until_step is not None:
        why += f"; to step {until_step} at first"
    proposals = [
        replace(p, why=f"{p.why}, {why}", until_step=until_step) for p in found.proposals if isinstance(p, New)
    ]
    return Suggestions(proposals, study.memo, found.exhausted)


def load() -> None:
    """Loads what the first stand-in needs, for a thread that has the time."""
    import_module("...suggestion.space.sobol", __package__)
