"""Points drawn at random: from uniform numbers, among those that satisfy the constraints, among those still untried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ...domain.constraint import Constraint
from ...domain.errors import InvalidArgument
from ...domain.parameters import Parameters, Value
from ...domain.space import Space
from ..designer import History, Problem
from .encoding import Array, encoder
from .enumeration import enumeration

CHECKED = 10_000
"""Points that `check_feasible` draws at most, and looks at one by one in smaller finite spaces."""

_CHECKED_VALUES = 200_000
"""Fewer are drawn in wide spaces, so that a study is made or refused within a fraction of a second."""

MAX_DRAWS = 5_000
"""Draws of one round, so that it ends within a tenth of a second where hardly any of them will do."""

_BATCH = 256


def sample(space: Space, u: Array) -> dict[str, Value]:
    """The point at `u`, (d,) in [0, 1]; coordinates of inactive parameters are ignored. Constraints are not looked at.

    Of uniform numbers it makes a draw that is uniform on each active parameter's scale.
    """
    return encoder(space).decode(u[None, :])[0]


def find_feasible(space: Space, rng: np.random.Generator, tries: int) -> Parameters | None:
    """The first of at most `tries` draws that satisfies the constraints."""
    return next((p for p in _draws(space, rng, tries) if space.satisfies(p)), None)


def check_feasible(space: Space) -> None:
    """Raises InvalidArgument where no point is found that satisfies the constraints, naming the one to blame.

    A finite space of up to CHECKED points is searched through, of others as many are drawn, always the same ones. A
    space where fewer than one point in some thousands will do is therefore refused although points exist; drawing
    suggestions from it would take as long.
    """
    if not space.rules:
        return
    finite = enumeration(space)
    points: Iterable[Parameters]
    if finite is not None and finite.size <= CHECKED:
        points, told = map(finite.at, range(finite.size)), f"none of all {finite.size} points"
    else:
        tries = min(CHECKED, max(500, _CHECKED_VALUES // len(space.parameters)))
        points, told = _draws(space, np.random.default_rng(0), tries), f"no point out of {tries} sampled ones"
    # By which constraints fail, because there are few such sets and many points.
    failed: Counter[frozenset[int]] = Counter()
    for point in points:
        wrong = frozenset(i for i, rule in enumerate(space.rules) if not rule.holds(point))
        if not wrong:
            return
        failed[wrong] += 1
    raise _infeasible(space.rules, list(failed), told)


def _infeasible(rules: Sequence[Constraint], failed: Sequence[frozenset[int]], told: str) -> InvalidArgument:
    hint = "Loosen it, or change the ranges so that more points satisfy it"
    for i, rule in enumerate(rules):
        if all(i in wrong for wrong in failed):
            return InvalidArgument(f"constraints[{i}]", rule.text, f"{told} satisfies it", hint)
    together = "Loosen one of them, or change the ranges so that more points satisfy both"
    for i, j in combinations(range(len(rules)), 2):
        if all(i in wrong or j in wrong for wrong in failed):
            texts = [rules[i].text, rules[j].text]
            return InvalidArgument("constraints", texts, f"{told} satisfies these two together", together)
    texts = [rule.text for rule in rules]
    return InvalidArgument("constraints", texts, f"{told} satisfies all of them", together.replace("both", "all"))


@dataclass(frozen=True, slots=True)
class Draws:
    """Points found among draws, the number of the draw that made each, from 0, and how many draws were used up."""

    points: list[Parameters]
    numbers: list[int]
    used: int


def draw_untried(
    problem: Problem, history: History, count: int, taken: Taken, rows: Callable[[int, int], Array]
) -> Draws:
    """Up to `count` points that satisfy the constraints and may still be tried, out of at most MAX_DRAWS draws.

    `rows(start, n)`: the uniform numbers of draws start to start + n - 1, (n, d) in [0, 1]. `taken`: see `take`.
    """
    found = Draws([], [], 0)
    decode, satisfies = encoder(problem.space).decode, problem.space.satisfies
    done, batch = 0, count
    while len(found.points) < count and done < MAX_DRAWS:
        for point in decode(rows(done, min(batch, MAX_DRAWS - done))):
            done += 1
            if satisfies(point) and take(point, history, problem.repeats, taken):
                found.points.append(point)
                found.numbers.append(done - 1)
                if len(found.points) == count:
                    break
        # Twice as many each time: where few draws will do, the calls are what costs.
        batch = min(2 * batch, _BATCH)
    return replace(found, used=done)


Taken = Counter[tuple[tuple[str, type, Value], ...]]
"""The points of an answer in the making, which are in no history yet, and how often each is there."""


def take(point: Parameters, history: History, repeats: int, taken: Taken) -> bool:
    """Whether `point`, in the space's order, may be tried once more; notes it in `taken` if so."""
    key = tuple((name, type(value), value) for name, value in point.items())
    if history.times_tried(point) + taken[key] >= repeats:
        return False
    taken[key] += 1
    return True


def _draws(space: Space, rng: np.random.Generator, tries: int) -> Iterable[Parameters]:
    # Most spaces have a good point among the first few, so batches start small.
    done, batch = 0, 4
    while done < tries:
        n = min(batch, tries - done)
        yield from encoder(space).decode(rng.random((n, len(space.parameters))))
        done += n
        batch = min(2 * batch, _BATCH)
