"""Which algorithm proposes a study's points, and how many of them did not come from it: in words, and as plain data."""

from __future__ import annotations

from ...domain.study import Study
from ...domain.trial import Provenance


def algorithm_name(study: Study) -> str:
    """`gp`, or `auto (gp)`: what was asked for, and what that chose."""
    return _with_choice(study.spec.algorithm.name, study.algorithm_status.chosen)


def algorithm_line(study: Study) -> str:
    """`auto (gp, because the space is not finite), seed 7`."""
    name, status = study.spec.algorithm.name, study.algorithm_status
    chosen = f" ({status.chosen}, because {status.chosen_because})" if status.chosen else ""
    return f"{name}{chosen}, seed {study.seed}"


def suggested_by(made: Provenance) -> str:
    """The algorithm that made a trial's point, like `algorithm_name`."""
    return _with_choice(made.algorithm, made.chosen)


def stand_in_words(study: Study) -> str:
    """How many points did not come from the algorithm, and why not; empty if all of them did."""
    status = study.algorithm_status
    if not status.stand_ins:
        return ""
    points = f"{status.stand_ins} point{'s are' if status.stand_ins > 1 else ' is'}"
    last = "the latest because" if status.stand_ins > 1 else "because"
    return f"{points} quasi-random in place of {algorithm_name(study)}, {last} {status.stand_in_reason}"


def algorithm_data(study: Study) -> dict[str, object]:
    """For scripts; what there is nothing to say of is null."""
    status = study.algorithm_status
    return {
        "name": study.spec.algorithm.name,
        "chosen": status.chosen or None,
        "chosen_because": status.chosen_because or None,
        "stand_ins": status.stand_ins,
        "stand_in_reason": status.stand_in_reason or None,
        "failed_rounds": status.failed_rounds,
    }


def _with_choice(name: str, chosen: str) -> str:
    return f"{name} ({chosen})" if chosen else name
