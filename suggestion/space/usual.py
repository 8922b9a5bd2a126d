"""The point that a person would try first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...domain.parameters import Parameters, Value
from ...domain.space import Space
from .encoding import encoder


def defaults(space: Space) -> Parameters | None:
    """The point of the defaults, where every parameter that is then active has one; None where it breaks a
    constraint."""
    point: dict[str, Value] = {}
    for parameter in space.parameters:
        if space.is_active(parameter, point):
            if parameter.default is None:
                return None
            point[parameter.name] = parameter.default
    return point if space.satisfies(point) else None


def middle(space: Space) -> Parameters | None:
    """The point of the defaults, and of the middle of each axis without one; None where it breaks a constraint."""
    # Without conditions, because another default of a parent makes other children active.
    free = Space(tuple(replace(parameter, when=()) for parameter in space.parameters))
    halfway = encoder(free).decode(np.full((1, len(space.parameters)), 0.5))[0]
    point: dict[str, Value] = {}
    for parameter in space.parameters:
        if space.is_active(parameter, point):
            point[parameter.name] = halfway[parameter.name] if parameter.default is None else parameter.default
    return point if space.satisfies(point) else None
