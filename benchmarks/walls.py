"""Problems in which trials fail beyond a wall: spaces, losses and what fails, for `failures.py`.

A wall is written as a constraint of the space, so the run that is told of it needs nothing else. Losses are smooth with
a narrow valley here and there, as those of trainings are; none of them is defined with an algorithm in mind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from wazir.domain.parameters import Parameters
from wazir.domain.space import Categorical, Condition, Double, Integer, Parameter, Scale, Space
from wazir.suggestion.space.encoding import encoder

Loss = Callable[[Mapping[str, float]], float]

DRAWS = 20_000
"""Points drawn to find the best, and as many more around the best of these."""


@dataclass(frozen=True)
class Wall:
    """`space`: without the wall; `wall`: what holds where trials succeed. `blur`: trials succeed or fail as those of a
    point would whose parameters named in it are so many times as large, in deviations of the logarithm. `noise`: the
    deviation of losses. `limit`: seconds after which trials are killed, if that is the wall; `seconds` of a point."""

    name: str
    space: Space
    wall: str
    loss: Callable[[Parameters], float]
    blurred: str = ""
    blur: float = 0.0
    noise: float = 0.0
    seconds: Callable[[Parameters], float] = lambda p: 1.0
    limit: float = math.inf

    @property
    def told(self) -> Space:
        """The space with the wall as its constraint."""
        return replace(self.space, constraints=(*self.space.constraints, self.wall))

    def succeeds(self, point: Parameters, rng: np.random.Generator) -> bool:
        shift = math.exp(self.blur * rng.standard_normal())
        if self.blurred in point:
            point = {**point, self.blurred: float(point[self.blurred]) * shift}
        return self.told.satisfies(point)

    def measured(self, point: Parameters, rng: np.random.Generator) -> float:
        return self.loss(point) + self.noise * rng.standard_normal()


@cache
def reference(name: str) -> tuple[float, float]:
    """The least loss on this side of the wall, and how much worse a random point there is, in the median."""
    wall = next(w for w in (*WALLS, *CHECKS) if w.name == name)
    rng, space = np.random.default_rng(0), wall.told
    u = rng.random((DRAWS, len(space.parameters)))
    losses = _losses(wall, space, u)
    scale = float(np.median(losses[np.isfinite(losses)]))
    width = 0.2
    for _ in range(10):
        best = u[np.argsort(losses)[:20]]
        near = best[rng.integers(len(best), size=DRAWS // 10)]
        near = np.clip(near + width * rng.standard_normal(near.shape), 0.0, 1.0)
        u = np.concatenate([best, near])
        losses = _losses(wall, space, u)
        width *= 0.5
    return float(losses.min()), scale - float(losses.min())


def _losses(wall: Wall, space: Space, u: np.ndarray) -> np.ndarray:
    points = encoder(space).decode(u)
    return np.array([wall.loss(p) if space.satisfies(p) else math.inf for p in points])


def _number(name: str, least: float, most: float, *, log: bool = False) -> Parameter:
    return Parameter(name, Double(least, most, Scale.LOG if log else Scale.LINEAR))


def _whole(name: str, least: int, most: int, *, log: bool = False, kind: str = "") -> Parameter:
    when = (Condition("model", (kind,)),) if kind else ()
    return Parameter(name, Integer(least, most, Scale.LOG if log else Scale.LINEAR), when=when)


def _batch_and_width(p: Parameters) -> float:
    """Wider is better, with a batch that suits."""
    batch, width = float(p["batch"]), float(p["width"])
    return 0.1 + 3.0 / math.sqrt(width) + 0.08 * (math.log2(batch) - 7.5) ** 2


def _corner(p: Parameters) -> float:
    """Best where x is greatest, close to the wall, in a corner between wall and bound."""
    x, y, z = (float(p[n]) for n in "xyz")
    return (1.0 - x) ** 2 + 4.0 * (y - 0.24) ** 2 + 0.5 * (z - 0.6) ** 2 + 0.1 * math.sin(6.0 * z) ** 2


def _depth(p: Parameters) -> float:
    depth, width, rate, decay = (float(p[n]) for n in ("depth", "width", "rate", "decay"))
    suited = -2.5 - 0.4 * math.log10(width / 64.0)
    rate_off = math.log10(rate) - suited
    return 0.2 + 1.5 / depth + 2.0 / math.sqrt(width) + 0.3 * rate_off**2 + 0.05 * (math.log10(decay) + 3.0) ** 2


def _depth_seconds(p: Parameters) -> float:
    return 2.0 * float(p["depth"]) * float(p["width"]) / 64.0


def _family(p: Parameters) -> float:
    """Nets are best when they are large; the others never fail."""
    rate_off = (math.log10(float(p["rate"])) + 2.0) ** 2
    if p["model"] == "svm":
        return 0.55 + 0.05 * rate_off + 0.05 * (math.log10(float(p["c"])) - 1.0) ** 2
    if p["model"] == "forest":
        return 0.5 + 0.02 * rate_off + 0.6 / math.sqrt(float(p["trees"]))
    layers, units = float(p["layers"]), float(p["units"])
    return 0.2 + 0.1 * rate_off + 0.8 / math.sqrt(units) + 0.02 * (layers - 5.0) ** 2


def _noisy(p: Parameters) -> float:
    batch, tokens, heads = (float(p[n]) for n in ("batch", "tokens", "heads"))
    rate, warm, drop = (float(p[n]) for n in ("rate", "warm", "drop"))
    size = 2.0 / math.sqrt(tokens / 64.0) + 0.05 * (math.log2(batch) - 6.0) ** 2 + 0.02 * abs(heads - 8.0)
    suited = math.log10(rate) + 3.0 - 0.3 * (math.log2(batch) - 5.0) / 3.0
    return size + 0.3 * suited**2 + 0.4 * (warm - 0.1) ** 2 + 0.5 * (drop - 0.15) ** 2


WALLS = (
    Wall(
        "memory",
        Space((_whole("batch", 8, 1024, log=True), _whole("width", 16, 4096, log=True))),
        "batch * width <= 65536",
        _batch_and_width,
    ),
    Wall("corner", Space(tuple(_number(n, 0.0, 1.0) for n in "xyz")), "x + y <= 1.2", _corner),
    Wall(
        "time",
        Space(
            (
                _whole("depth", 1, 32),
                _whole("width", 16, 1024, log=True),
                _number("rate", 1e-5, 1.0, log=True),
                _number("decay", 1e-6, 1e-1, log=True),
            )
        ),
        "depth * width <= 3840",
        _depth,
        seconds=_depth_seconds,
        limit=120.0,
    ),
    Wall(
        "conditional",
        Space(
            (
                Parameter("model", Categorical(("svm", "forest", "net"))),
                _number("rate", 1e-5, 1.0, log=True),
                Parameter("c", Double(1e-3, 1e3, Scale.LOG), when=(Condition("model", ("svm",)),)),
                _whole("trees", 10, 1000, log=True, kind="forest"),
                _whole("layers", 1, 12, kind="net"),
                _whole("units", 16, 2048, log=True, kind="net"),
            )
        ),
        "layers * units * units <= 1000000",
        _family,
    ),
    Wall(
        "noisy",
        Space(
            (
                _whole("batch", 4, 512, log=True),
                _whole("tokens", 64, 8192, log=True),
                _whole("heads", 1, 32, log=True),
                _number("rate", 1e-6, 1e-1, log=True),
                _number("warm", 0.0, 0.5),
                _number("drop", 0.0, 0.6),
            )
        ),
        "batch * tokens <= 60000",
        _noisy,
        blurred="tokens",
        blur=0.15,
        noise=0.02,
    ),
)
"""The walls of the table."""


def _valley(p: Parameters) -> float:
    x, y = float(p["x"]), float(p["y"])
    return (y - x * x) ** 2 * 20.0 + (1.0 - x) ** 2


def _hidden(p: Parameters) -> float:
    u = [float(p[f"x{i}"]) for i in range(5)]
    return sum((x - 0.3 - 0.1 * i) ** 2 for i, x in enumerate(u)) + 0.3 * (1.0 - math.cos(8.0 * (u[0] - 0.3)))


CHECKS = (
    # A hole in the middle, where the first point of a study lies.
    Wall("hole", Space((_number("x", -1.0, 2.0), _number("y", -1.0, 2.0))), "(x-0.5)**2 + (y-0.5)**2 >= 0.2", _valley),
    # A slice that is thin, and far from the best.
    Wall(
        "far",
        Space(tuple(_number(f"x{i}", 0.0, 1.0) for i in range(5))),
        "x4 <= 0.9 and x0 >= 0.05",
        _hidden,
    ),
    # Most of the space fails.
    Wall(
        "narrow",
        Space(tuple(_number(f"x{i}", 0.0, 1.0) for i in range(5))),
        "x0 + x1 <= 0.75 and x2 <= 0.6",
        _hidden,
    ),
    # Divergence: a rate that is too high for its depth.
    Wall(
        "diverging",
        Space((_number("rate", 1e-5, 1.0, log=True), _whole("depth", 1, 50), _number("momentum", 0.0, 0.99))),
        "rate * depth <= 0.5 * (1 - momentum) + 0.01",
        lambda p: (
            1.0 / float(p["depth"]) ** 0.5
            + 0.2 * (math.log10(float(p["rate"])) + 1.8) ** 2
            + (float(p["momentum"]) - 0.8) ** 2
        ),
    ),
)
"""Other walls, that designs were compared on."""
