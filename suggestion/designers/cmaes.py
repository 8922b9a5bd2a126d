"""Covariance matrix adaptation on mixed spaces, by the `cmaes` package.

Hansen, "The CMA Evolution Strategy: A Tutorial" (2016); for ordered values with a margin and for categories Hamano,
Uchida, Shirakawa, Morimoto, Nagao and Saito, "CatCMA with Margin" (2025), which is `cmaes.CatCMAwM`; restarts with
twice the population: Auger and Hansen, "A Restart CMA Evolution Strategy with Increasing Population Size" (2005).

A generation is told by the order of its values alone, so nothing depends on their scale. All that was told since the
last restart is in the memo, and with the seed it makes the same distribution again.
"""

from __future__ import annotations

import copy
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from cmaes import CatCMAwM

from ...domain.parameters import Parameters, digest
from ...domain.space import Space
from ..answer import Answer, Seen, check_one_objective
from ..designer import History, Outcome, Problem, Suggestions
from ..memo import read_memo, write_memo
from ..settings import setting
from ..space.encoding import INACTIVE, encoder
from ..space.lattice import lattice
from ..space.rows import Rows
from ..space.usual import middle
from ..success import Success, success_of

_BY: Final = "cmaes/1"

SMALLEST_STEP: Final = 1e-6
"""A run is over when no axis has a larger deviation, in units of its length: there is nothing left to find here."""

DRAWS: Final = 100
"""Samples drawn for each point that is asked for, before a quasi-random one takes its place."""

LIKELY: Final = 0.5
"""Samples that are less likely to succeed are drawn again."""

REMEMBERED: Final = 32
"""Distributions kept in memory, so that what was told need not be told again for every point."""


@dataclass(frozen=True)
class Run:
    """What makes the present distribution. `start`: its first mean, a row of the unit cube; `told`: by generation the
    samples that it was told of, best first; `drawn`: samples of the present generation so far."""

    seed: int
    number: int
    start: tuple[float, ...]
    told: tuple[tuple[int, ...], ...] = ()
    drawn: int = 0
    space: str = ""
    """Which of its versions a growing space had when the run began."""


class CmaEs:
    """A generation is over when as many of its samples have a value as the population counts; until then more are
    drawn from the same distribution, so any number of trials may run side by side. An infeasible trial is the worst of
    its generation, one that fails is not of it: another sample takes its place. Once some have failed, samples that
    would rather fail are drawn again before they are proposed: resampling, as Hansen's section B.5 has it.

    Memo: the seed of the quasi-random points and how many are used, the `Run`, and the hyperparameters of the model of
    success.
    """

    name = "cmaes"
    version = 2
    cheap = False

    @dataclass(frozen=True)
    class Settings:
        sigma: float = setting(0.25, "the first deviation of each axis, in units of its length", least=0.001, most=1.0)
        population: int | None = setting(
            None,
            "samples of a generation; without it 4 + 3 ln d, and twice as many after each restart",
            least=2,
            most=10_000,
        )

    def __init__(self, settings: Settings, problem: Problem) -> None:
        """Raises InvalidArgument for several objectives."""
        check_one_objective(self.name, problem)
        self._settings = settings
        self._rows = Rows(problem.space)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        before = read_memo(_BY, memo)
        answer = Answer(problem, history, rng, before)
        seen = Seen(history.observations)
        success = success_of(seen, self._rows, problem.space, before)
        answer.success = lambda: success
        learned = {} if success is None else success.state
        run = _read(before) if before else self._begin(problem, seen, answer.seed)
        if run.space != _version(problem):
            # The axes of a space that has grown are others.
            run = self._begin(problem, seen, answer.seed)
        if count > 0:
            answer.add_usual()
        axes = _Axes(problem.space)
        if axes.any:
            run = self._sample(answer, seen, axes, run, count, success)
        answer.add_quasirandom(count - len(answer.proposals), "no sample may still be tried")
        after = write_memo(_BY, **answer.state, **_written(run), **learned)
        return Suggestions(answer.proposals, after, answer.exhausted)

    def _begin(self, problem: Problem, seen: Seen, seed: int) -> Run:
        """Around the best that is known before anything was proposed, else in the middle."""
        goal = problem.objectives[0]
        best = min(seen.measured, key=lambda o: (goal.loss(o.values[0]), o.trial_id), default=None)
        point = middle(problem.space) if best is None else best.parameters
        dimension = len(problem.space.parameters)
        row = [INACTIVE] * dimension if point is None else encoder(problem.space).encode([point])[0].tolist()
        return Run(seed, 0, tuple(row), space=_version(problem))

    def _sample(self, answer: Answer, seen: Seen, axes: _Axes, run: Run, count: int, success: Success | None) -> Run:
        known = _Losses(answer.problem, seen)
        generation = _Generation(self._distribution(axes, run), axes, run, known)
        for _ in range(DRAWS * count):
            order = generation.order()
            if order is not None:
                run = replace(run, told=(*run.told, order), drawn=0)
                cma = self._distribution(axes, run)
                if _is_over(cma):
                    start = np.random.default_rng((run.seed, run.number, 1)).random(len(run.start))
                    run = Run(run.seed, run.number + 1, tuple(start.tolist()), space=run.space)
                    cma = self._distribution(axes, run)
                generation = _Generation(cma, axes, run, known)
                continue
            if len(answer.proposals) >= count:
                break
            point = generation.draw()
            run = replace(run, drawn=run.drawn + 1)
            words, numbers = "", dict[str, float]()
            if success is not None:
                probability = float(success.of([point])[0])
                if probability < LIKELY:
                    continue
                words, numbers = success.explained(probability)
            number = len(run.told) + 1
            where = f"generation {number}" + (f" of restart {run.number}" if run.number else "")
            why = f"sample {run.drawn} of {where}, {generation.about}{words}"
            answer.add(point, why, {"generation": float(number), **numbers})
        return run

    def _distribution(self, axes: _Axes, run: Run) -> Any:
        """The distribution that follows from what the run was told. Not to be changed: others have it, too."""
        key = (axes.key, self._settings, run.seed, run.number, run.start)
        with _lock:
            told, cma = _kept.pop(key, ((), None))
        if cma is None or run.told[: len(told)] != told:
            told, cma = (), axes.fresh(run, self._settings)
        if len(told) < len(run.told):
            cma = copy.deepcopy(cma)
            for number in range(len(told), len(run.told)):
                order = run.told[number]
                cma.reseed_rng(_seed(run, number))
                samples = [cma.ask() for _ in range(max(order) + 1)]
                cma.tell([(samples[index], float(rank)) for rank, index in enumerate(order)])
        with _lock:
            _kept[key] = (run.told, cma)
            while len(_kept) > REMEMBERED:
                _kept.popitem(last=False)
        return cma


_kept: OrderedDict[Any, tuple[tuple[tuple[int, ...], ...], Any]] = OrderedDict()
_lock = threading.Lock()


class _Axes:
    """The space as `CatCMAwM` takes it: continuous axes, ordered ones of few values, and categories. Axes with one
    value are left out."""

    def __init__(self, space: Space) -> None:
        on = lattice(space)
        self.decode = encoder(space).decode
        self._dimension = on.dimension
        sizes = [math.inf if table is None else len(table) for table in on.tables]
        self._x = [i for i, n in enumerate(sizes) if n == math.inf]
        # The package's advice: two values are categories, whatever they are.
        self._c = [i for i, n in enumerate(sizes) if n == 2 or (on.categorical[i] and 2 < n < math.inf)]
        self._z = [i for i, n in enumerate(sizes) if 2 < n < math.inf and not on.categorical[i]]
        self._table = on.table
        listed = tuple((i, tuple(self._table(i))) for i in [*self._c, *self._z])
        self.key = (tuple(self._x), tuple(self._c), listed, self._dimension)

    @property
    def any(self) -> bool:
        return bool(self._x or self._z or self._c)

    def fresh(self, run: Run, settings: CmaEs.Settings) -> Any:
        free = len(self._x) + len(self._z)
        population = settings.population or 4 + math.floor(3 * math.log(free + len(self._c)))
        return CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self._x) or None,
            z_space=[list(self._table(i)) for i in self._z] or None,
            c_space=[len(self._table(i)) for i in self._c] or None,
            population_size=population * 2**run.number,
            mean=np.array([run.start[i] for i in (*self._x, *self._z)]) if free else None,
            sigma=settings.sigma if free else None,
            # Without it the package takes the distance to the nearest bound, which may be none.
            cov=np.eye(free) if free else None,
            seed=0,
        )

    def point(self, sample: Any) -> Parameters:
        row = np.full(self._dimension, INACTIVE)
        if self._x:
            row[self._x] = sample.x
        if self._z:
            row[self._z] = sample.z
        for axis, chosen in zip(self._c, () if sample.c is None else sample.c, strict=True):
            row[axis] = self._table(axis)[int(np.argmax(chosen))]
        point: Parameters = self.decode(row[np.newaxis])[0]
        return point


class _Generation:
    """Samples of one distribution, always the same ones in the same order; those that the run has drawn are drawn."""

    def __init__(self, cma: Any, axes: _Axes, run: Run, known: _Losses) -> None:
        self._known = known
        self._cma = copy.deepcopy(cma)
        self._cma.reseed_rng(_seed(run, len(run.told)))
        self._axes = axes
        self.size: int = cma.population_size
        widest = _widest(cma)
        self.about = f"which ends with {self.size} values" + (f"; deviations up to {widest:.2g}" if widest else "")
        self._drawn = 0
        self._ready: list[tuple[float, int]] = []
        for _ in range(run.drawn):
            self.draw()

    def draw(self) -> Parameters:
        point = self._axes.point(self._cma.ask())
        value = self._known.of(point)
        if not math.isnan(value) and len(self._ready) < self.size:
            self._ready.append((value, self._drawn))
        self._drawn += 1
        return point

    def order(self) -> tuple[int, ...] | None:
        """The first `size` samples that have a value, best first; None while there are fewer."""
        return tuple(i for _, i in sorted(self._ready)) if len(self._ready) == self.size else None


class _Losses:
    """By point: what is to be minimised, infinite where it cannot be evaluated."""

    def __init__(self, problem: Problem, seen: Seen) -> None:
        goal = problem.objectives[0]
        infeasible = [o for o in seen.failures if o.outcome is Outcome.INFEASIBLE]
        self._by_point = {digest(o.parameters): math.inf for o in infeasible}
        for o in seen.measured:
            key = digest(o.parameters)
            self._by_point[key] = min(self._by_point.get(key, math.inf), goal.loss(o.values[0]))
        # In a growing space a trial keeps of its sample what its code asked for.
        kept = [frozenset(o.parameters) for o in (*infeasible, *seen.measured)] if problem.growing else []
        self._kept = [names for names in dict.fromkeys(kept) if names]

    def of(self, point: Parameters) -> float:
        """NaN if there is no value."""
        found = self._by_point.get(digest(point), math.nan)
        for names in self._kept:
            if math.isnan(found) and names < point.keys():
                part = {name: value for name, value in point.items() if name in names}
                found = self._by_point.get(digest(part), math.nan)
        return found


def _version(problem: Problem) -> str:
    """Of a space that may change; empty for one that does not."""
    return hashlib.blake2b(repr(problem.space).encode(), digest_size=4).hexdigest() if problem.growing else ""


def _widest(cma: Any) -> float:
    """The largest deviation of an axis, in units of its length; 0 where all are categories."""
    if not cma.n_continuous + cma.n_integer:
        return 0.0
    return float(cma._sigma * np.sqrt(np.max(np.diag(cma._C))))


def _is_over(cma: Any) -> bool:
    widest = _widest(cma)
    return widest > 0.0 and bool(widest < SMALLEST_STEP or cma.should_stop())


def _seed(run: Run, generation: int) -> int:
    return int(np.random.SeedSequence([run.seed, run.number, generation]).generate_state(1)[0])


def _written(run: Run) -> dict[str, Any]:
    told = ";".join(".".join(map(str, order)) for order in run.told)
    written = {"run_seed": run.seed, "run": run.number, "start": list(run.start), "told": told, "drawn": run.drawn}
    return {**written, "space": run.space} if run.space else written


def _read(entries: Mapping[str, Any]) -> Run:
    told = tuple(tuple(map(int, order.split("."))) for order in str(entries["told"]).split(";") if order)
    return Run(
        int(entries["run_seed"]),
        int(entries["run"]),
        tuple(entries["start"]),
        told,
        int(entries["drawn"]),
        str(entries.get("space", "")),
    )
