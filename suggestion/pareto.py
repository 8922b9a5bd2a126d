"""Which trials are the best where there are several objectives.

A trial's rank is one more than the number of trials that dominate it: Fonseca and Fleming, "Genetic Algorithms for
Multiobjective Optimization" (ICGA 1993). Of trials of one rank, those come first that lie far apart, so that the best
few of them stand for the whole front and not for one end of it: the greedy epsilon-net of Schmucker, Donini, Zafar,
Salinas and Archambeau, "Multi-objective Asynchronous Successive Halving" (2021), whose distances are taken between
places on each objective here, so that its scale does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


def best_first(losses: Sequence[Sequence[float]]) -> Places:
    """The places of `losses`, (n, m), from the best to the worst; equals in the order given. Infinite ones are as bad
    as can be, NaN must not occur. O(n^2 m) for several objectives."""
    rows = np.array(losses, dtype=float, ndmin=2)
    if rows.shape[1] <= 1:
        return np.argsort(rows.ravel(), kind="stable")
    rank = ranks(rows)
    groups = (np.flatnonzero(rank == r) for r in np.unique(rank))
    return np.concatenate([group[_far_apart(rows[group])] for group in groups])


def ranks(losses: Floats) -> Places:
    """The rank of each of `losses`, (n, m): 1 for those that nothing dominates."""
    columns = np.ascontiguousarray(losses.T)
    return np.array([1 + np.count_nonzero(dominating(columns, own)) for own in losses], dtype=np.intp)


def dominating(columns: Floats, own: Floats) -> NDArray[np.bool_]:
    """Which of the trials with losses `columns`, (m, n), are nowhere worse than `own`, (m,), and somewhere better."""
    no_worse = np.logical_and.reduce([column <= x for column, x in zip(columns, own, strict=True)])
    better = np.logical_or.reduce([column < x for column, x in zip(columns, own, strict=True)])
    dominating: NDArray[np.bool_] = no_worse & better
    return dominating


def _far_apart(losses: Floats) -> Places:
    """Places of `losses`, (n, m): the best by the first objective, then whichever is farthest from those before it."""
    at = np.stack([np.unique(column, return_inverse=True)[1] for column in losses.T], axis=1).astype(float)
    order = [int(np.argmin(at[:, 0]))]
    nearest = np.full(len(at), np.inf)
    nearest[order[0]] = -1.0
    while len(order) < len(at):
        nearest = np.minimum(nearest, ((at - at[order[-1]]) ** 2).sum(axis=1))
        nearest[order[-1]] = -1.0
        order.append(int(np.argmax(nearest)))
    return np.array(order)
