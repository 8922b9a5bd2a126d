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

_STEPS = 5_000_000
"""Fewer are looked at in wide spaces, and with long constraints, so that a study is made or refused within a second
whatever it says: a step is the evaluation of one word of a constraint, 0.1 us."""

_STEPS_A_PARAMETER = 9
"""What making a point costs beside."""

MAX_DRAWS = 5_000
"""Draws of one round, so that it ends within a tenth of a second where hardly any of them will do."""

_RULES_LOOKED_AT = 2_500_000
"""Fewer are drawn with long constraints: so many of their words are evaluated, which takes a quarter of a second."""

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
    tries = min(CHECKED, _STEPS // evaluation_steps(space))
    points: Iterable[Parameters]
    if finite is not None and finite.size <= CHECKED:
        looked_at = min(tries, finite.size)
        points = map(finite.at, range(looked_at))
        told = f"none of all {finite.size} points" if looked_at == finite.size else f"no point out of {looked_at}"
    else:
        points, told = _draws(space, np.random.default_rng(0), tries), f"no point out of {tries} sampled ones"
    # By which constraints fail, as bits, because there are few such sets and many points.
    failed: dict[int, None] = {}
    for point in points:
        wrong = sum(1 << i for i, rule in enumerate(space.rules) if not rule.holds(point))
        if not wrong:
            return
        failed[wrong] = None
    raise _infeasible(space.rules, list(failed), told)


def evaluation_steps(space: Space) -> int:
    """What making a point and looking at all its constraints costs at most, in steps of 0.1 us."""
    return _STEPS_A_PARAMETER * len(space.parameters) + space.rules_size


def _infeasible(rules: Sequence[Constraint], failed: Sequence[int], told: str) -> InvalidArgument:
    """`failed`: the sets of constraints, as bits, that no point satisfied together."""
    every = (1 << len(failed)) - 1
    # By constraint the sets that it is in, as bits: with these, thousands of pairs are looked at in milliseconds.
    breaks = [int("".join("1" if wrong >> i & 1 else "0" for wrong in failed), 2) for i in range(len(rules))]
    hint = "Loosen it, or change the ranges so that more points satisfy it"
    for i, rule in enumerate(rules):
        if breaks[i] == every:
            return InvalidArgument(f"constraints[{i}]", rule.text, f"{told} satisfies it", hint)
    together = "Loosen one of them, or change the ranges so that more points satisfy both"
    for i, j in combinations(range(len(rules)), 2):
        if breaks[i] | breaks[j] == every:
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
    most = min(MAX_DRAWS, _RULES_LOOKED_AT // max(1, problem.space.rules_size))
    done, batch = 0, count
    while len(found.points) < count and done < most:
        for point in decode(rows(done, min(batch, most - done))):
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
