"""How large a study's specification may be, so that reading, checking and storing one takes a bounded time.

These limits are for who hands a specification in, and are looked at before it is translated: what is stored already is
read as it is, whatever the limits are by now. Limits of a single name, number or text stand beside what they are about.
`docs/limits.md` lists all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .errors import InvalidArgument
from .space import MAX_PARAMETERS, Parameter
from .study import StudySpec

MAX_SPEC_BYTES = 1024 * 1024
"""Of a specification as the API carries it."""

MAX_OBJECTIVES = 32
MAX_SAFETY_METRICS = 100

MAX_CONSTRAINTS = 100
MAX_CONSTRAINT_LENGTH = 1_000
"""Characters of one."""
MAX_CONSTRAINTS_LENGTH = 20_000
"""Characters of all constraints together. Parsing takes 4 us a character at most."""

MAX_LISTED = 20_000
"""Values that all parameters of a space list, and all conditions name."""
MAX_CONDITIONS = 2_000
"""Of all parameters of a space."""
MAX_COMPARISONS = 5_000_000
"""The values that conditions name, each times the number of values of the parameter that it is about (10,000 for those
that have more), summed: checking a space compares so often. Conditions that name a range count as one value."""
_MOST_COMPARED = 10_000


@dataclass(frozen=True, slots=True)
class ParameterSize:
    """What limits look at of one parameter. `values`: how many it lists; `size`: how many it has, None where they are
    not countable; `when`: the parent and the number of values that each condition names."""

    name: str
    values: int
    size: int | None
    when: Sequence[tuple[str, int]]

    @classmethod
    def of(cls, parameter: Parameter) -> ParameterSize:
        listed = getattr(parameter.kind, "values", ())
        return cls(
            parameter.name, len(listed), parameter.kind.size, [(c.parent, len(c.values)) for c in parameter.when]
        )


def check_limits(spec: StudySpec) -> None:
    """Raises InvalidArgument naming the limit. For a specification that was read from a file."""
    check_metric_counts(len(spec.objectives), len(spec.safety))
    if spec.space is not None:
        check_constraint_counts(spec.space.constraints)
        check_parameter_counts(map(ParameterSize.of, spec.space.parameters))


def check_spec_bytes(size: int) -> None:
    if size > MAX_SPEC_BYTES:
        raise InvalidArgument(
            "study",
            f"{size} bytes",
            f"a specification has at most {MAX_SPEC_BYTES} bytes",
            "Keep large values in files, and name those",
        )


def check_metric_counts(objectives: int, safety: int) -> None:
    for field, count, most in (("objectives", objectives, MAX_OBJECTIVES), ("safety", safety, MAX_SAFETY_METRICS)):
        if count > most:
            raise InvalidArgument(field, count, f"at most {most} are possible")


def check_constraint_counts(constraints: Sequence[str]) -> None:
    """Before any of them is parsed."""
    if len(constraints) > MAX_CONSTRAINTS:
        raise InvalidArgument(
            "constraints", len(constraints), f"at most {MAX_CONSTRAINTS} are possible", "Join some with `and`"
        )
    for i, text in enumerate(constraints):
        if len(text) > MAX_CONSTRAINT_LENGTH:
            rule = f"a constraint has at most {MAX_CONSTRAINT_LENGTH} characters, this one {len(text)}"
            raise InvalidArgument(f"constraints[{i}]", text, rule, "Split it up: all constraints of a list must hold")
    total = sum(map(len, constraints))
    if total > MAX_CONSTRAINTS_LENGTH:
        rule = f"all together have at most {MAX_CONSTRAINTS_LENGTH} characters"
        raise InvalidArgument("constraints", f"{total} characters", rule, "Shorten them")


def check_parameter_counts(parameters: Iterable[ParameterSize]) -> None:
    """Before any of them is made."""
    known = list(parameters)
    if len(known) > MAX_PARAMETERS:
        raise InvalidArgument("parameters", len(known), f"at most {MAX_PARAMETERS} are possible")

    conditions = sum(len(p.when) for p in known)
    if conditions > MAX_CONDITIONS:
        raise InvalidArgument("parameters", f"{conditions} conditions", f"at most {MAX_CONDITIONS} are possible")

    listed = sum(p.values + sum(named for _, named in p.when) for p in known)
    if listed > MAX_LISTED:
        rule = f"all parameters and conditions list at most {MAX_LISTED} values together"
        raise InvalidArgument("parameters", f"{listed} values", rule, "Give a range of numbers instead of a list")

    compared = _comparisons(known, {p.name: p.size for p in known})
    if compared > MAX_COMPARISONS:
        rule = f"checking its conditions takes {compared} comparisons, and {MAX_COMPARISONS} are the most"
        raise InvalidArgument("parameters", f"{conditions} conditions", rule, "Write `when` as a range, or list less")


def _comparisons(parameters: Iterable[ParameterSize], sizes: Mapping[str, int | None]) -> int:
    total = 0
    for parameter in parameters:
        for parent, named in parameter.when:
            size = sizes.get(parent)
            total += max(1, named) * min(_MOST_COMPARED, 1 if size is None else size)
    return total
