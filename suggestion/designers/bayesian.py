"""scikit-optimize's `Optimizer`, with the settings that its users know.

Model, acquisition and their search are the library's; ours are the first points (a Sobol sequence), and what is told
of trials that are pending (as good as the best, the library's own `cl_min`), or that failed or are infeasible (as bad
as the worst). The library is asked anew for every answer, so `gp_hedge` weighs its three functions without memory.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from skopt import Optimizer
from skopt.learning import GradientBoostingQuantileRegressor
from skopt.space import Categorical, Integer, Real

from ...domain.errors import InvalidArgument
from ...domain.parameters import Parameters
from ...domain.space import Space
from ..answer import Answer, Seen, check_one_objective
from ..designer import History, Problem, StartsWithoutModel, Suggestions
from ..first_points import first_points
from ..memo import read_memo, write_memo
from ..models.kernel import Array
from ..settings import setting
from ..space.encoding import INACTIVE, encoder
from ..space.lattice import lattice

logger = logging.getLogger(__name__)

_BY: Final = "bayesian/2"
"""Of the memo, whose form is still that of the second version."""

MODELLED: Final = 300
"""Trials that the model is fitted to at most, the best of all: the library's cost grows with their cube."""

WITHOUT_VALUE: Final = 100
"""Pending trials, and infeasible ones, that the model is told of at most beside them, the latest."""

TRIES: Final = 3
"""A round asks for so many points, less one, beyond those wanted, where some may not be tried: each costs a fit."""

REACH: Final = 1e3
"""Values further from the median than so many interquartile ranges count as that far."""


class Bayesian(StartsWithoutModel):
    """Memo: the seed of the quasi-random points and how many are used."""

    name = "bayesian"
    version = 4
    cheap = False

    @dataclass(frozen=True)
    class Settings:
        base_estimator: str = setting("GP", "the model", choices=("GP", "RF", "ET", "GBRT"))
        n_initial_points: int = setting(10, "points before the model is asked", least=2, most=100_000)
        acq_func: str = setting("gp_hedge", "the acquisition function", choices=("gp_hedge", "EI", "LCB", "PI"))
        acq_optimizer: str = setting("auto", "how it is searched", choices=("auto", "sampling", "lbfgs"))
        random_state: int | None = setting(
            None, "the library's seed; without it one of each round", least=0, most=2**32 - 1
        )

    def __init__(self, settings: Settings, problem: Problem) -> None:
        """Raises InvalidArgument for several objectives, and for a search by gradient of a model that has none."""
        check_one_objective(self.name, problem)
        if settings.acq_optimizer == "lbfgs" and settings.base_estimator != "GP":
            raise InvalidArgument(
                "algorithm.acq_optimizer",
                "lbfgs",
                f"{settings.base_estimator} has no gradient",
                "Write sampling or auto",
            )
        self._settings = settings

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        answer, seen = Answer(problem, history, rng, read_memo(_BY, memo)), Seen(history.observations)
        lacking = answer.add_first(count, self._settings.n_initial_points, seen.informative, len(seen.measured))
        if lacking > 0:
            why, stand_in = "the model gives no point that may still be tried", ""
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")  # of points that were tried before, and fits at a bound
                    self._add(answer, seen, lacking)
            except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
                stand_in = f"the model cannot be fitted: {str(error)[:200]}"
                why = f"fallback: {stand_in}"
                logger.warning("bayesian answers with quasi-random points: %s", why)
            answer.add_quasirandom(count - len(answer.proposals), why, stand_in)
        return Suggestions(answer.proposals, write_memo(_BY, **answer.state), answer.exhausted)

    def suggest_without_model(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions | None:
        return first_points(_BY, problem, history, count, rng, memo, first=self._settings.n_initial_points)

    def _add(self, answer: Answer, seen: Seen, count: int) -> None:
        goal, axes = answer.problem.objectives[0], _Axes(answer.problem.space)
        if not axes.dimensions:
            return
        ranked = sorted(seen.measured, key=lambda o: (goal.loss(o.values[0]), o.trial_id))[:MODELLED]
        scale = _Scale(np.array([goal.loss(o.values[0]) for o in ranked]))
        best, worst = float(scale.losses.min()), float(scale.losses.max())
        infeasible, pending = seen.failures[-WITHOUT_VALUE:], seen.pending[-WITHOUT_VALUE:]
        points = [o.parameters for o in (*ranked, *infeasible, *pending)]
        points += [p.parameters for p in answer.proposals]
        lies = [worst] * len(infeasible) + [best] * (len(points) - len(ranked) - len(infeasible))
        s = self._settings
        state = s.random_state if s.random_state is not None else int(answer.rng.integers(2**32))
        optimizer = Optimizer(
            axes.dimensions,
            base_estimator=_quantiles() if s.base_estimator == "GBRT" else s.base_estimator,
            n_initial_points=0,
            acq_func=s.acq_func,
            acq_optimizer=s.acq_optimizer,
            random_state=state,
        )
        optimizer.tell(axes.encode(points), [*scale.losses.tolist(), *lies])
        for _ in range(count + TRIES - 1):
            asked = optimizer.ask()
            mean, deviation = _expected(optimizer, asked)
            at, about, seen_best = goal.loss(scale.back(mean)), scale.unit * deviation, goal.loss(scale.back(best))
            why = f"{'exploits' if mean < best else 'explores'}: {goal.metric} {at:.4g} ± {about:.2g} expected, "
            why += f"{seen_best:.4g} is the best so far ({s.base_estimator} by {s.acq_func}, from {len(ranked)} trials)"
            taken = answer.add(axes.decode(asked), why, {"mean": at, "deviation": about})
            if len(answer.proposals) >= count:
                return  # what is told now would fit the model for nobody
            optimizer.tell(asked, best if taken else worst)


class _Axes:
    """The space as the library takes it: continuous axes on [0, 1], ordered ones of few values by number, categories.
    Axes with one value are left out; a parameter that is not active is taken for the middle of its axis."""

    def __init__(self, space: Space) -> None:
        self._space, self._tables = space, lattice(space).tables
        self._axes = [i for i, table in enumerate(self._tables) if table is None or len(table) > 1]
        categorical = lattice(space).categorical
        self.dimensions: list[Any] = []
        for i in self._axes:
            table = self._tables[i]
            if table is None:
                self.dimensions.append(Real(0.0, 1.0))
            elif categorical[i]:
                self.dimensions.append(Categorical(list(range(len(table)))))
            else:
                self.dimensions.append(Integer(0, len(table) - 1))

    def encode(self, points: list[Parameters]) -> list[list[float | int]]:
        rows = lattice(self._space).snap(encoder(self._space).encode(points))[0]
        return [[self._to(i, row[i]) for i in self._axes] for row in rows]

    def _to(self, axis: int, coordinate: float) -> float | int:
        table = self._tables[axis]
        return float(coordinate) if table is None else int(np.argmin(np.abs(table - coordinate)))

    def decode(self, asked: list[Any]) -> Parameters:
        row = np.full((1, len(self._tables)), INACTIVE)
        for i, value in zip(self._axes, asked, strict=True):
            table = self._tables[i]
            row[0, i] = min(1.0, max(0.0, float(value))) if table is None else table[int(value)]
        point: Parameters = encoder(self._space).decode(row)[0]
        return point


class _Scale:
    """Losses by their order the same, in units of their spread, and none too far out; and back."""

    def __init__(self, losses: Array) -> None:
        clipped = np.clip(losses, -1e150, 1e150)
        low, self._middle, high = (float(q) for q in np.quantile(clipped, [0.25, 0.5, 0.75]))
        self.unit = high - low or float(np.max(np.abs(clipped - self._middle))) or 1.0
        self.losses: Array = np.clip((clipped - self._middle) / self.unit, -REACH, REACH)

    def back(self, loss: float) -> float:
        return self._middle + self.unit * loss


class _Quantiles(GradientBoostingQuantileRegressor):  # type: ignore[misc]
    """The library's own, on releases of scikit-learn that ask an estimator for tags, and of numpy without `in1d`."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        return tags

    def predict(self, X: Array, return_std: bool = False, return_quantiles: bool = False) -> Any:
        """For rows (n, d) the median, (n,); with `return_std` and half of what lies between the outer quantiles, (n,);
        with `return_quantiles` all of them, (n, 3)."""
        if not return_std:
            return super().predict(X, return_quantiles=return_quantiles)
        low, median, high = super().predict(X, return_quantiles=True).T
        return median, (high - low) / 2.0


def _quantiles() -> _Quantiles:
    """What the library makes of the word GBRT."""
    return _Quantiles(base_estimator=GradientBoostingRegressor(n_estimators=30, loss="quantile"))


def _expected(optimizer: Optimizer, asked: list[Any]) -> tuple[float, float]:
    """Mean and deviation at the point that was asked for, by the model that it comes from."""
    means, deviations = optimizer.models[-1].predict(optimizer.space.transform([asked]), return_std=True)
    return float(means[0]), float(deviations[0])
