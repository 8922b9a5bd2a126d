"""What other programs and papers call algorithms and rules.

A name that means one thing is taken for it. One that means different things to different people is refused, with what
it may be here.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Final

from ..domain.study import StudySpec

ALGORITHMS: Final = {
    "bayes": "gp",
    "bayesian_optimization": "gp",
    "bo": "gp",
    "cma": "cmaes",
    "cma_es": "cmaes",
    "gaussian_process": "gp",
    "gaussian_process_bandit": "gp",
    "gaussianprocess": "gp",
    "gp_bandit": "gp",
    "grid_search": "grid",
    "gridsearch": "grid",
    "multivariate_tpe": "tpe",
    "population_based_training": "pbt",
    "qmc": "quasirandom",
    "quasi_random": "quasirandom",
    "random_search": "random",
    "randomsearch": "random",
    "skopt": "bayesian",
    "sobol": "quasirandom",
}
"""In lower case with underscores."""

RULES: Final = {
    "learning_curve": "curve",
    "median_pruner": "median",
    "median_stop": "median",
    "median_stopping": "median",
    "medianpruner": "median",
    "medianstop": "median",
    "successive_halving": "asha",
}

ELSEWHERE: Final = {
    "bayesianoptimization": "bayesian, by scikit-optimize as in Katib; Wazir's own Gaussian process is called gp",
    "hyperopt": "tpe",
    "optuna": "tpe, and Optuna's GPSampler gp",
    "smac": "none; gp is the nearest",
}
"""Hints for names that are not taken."""


def canonical(name: str, known: Container[str], aliases: Mapping[str, str]) -> str:
    """The name here: `name` itself if it is known, or if nothing is meant by it."""
    spelt = name.strip().lower().replace("-", "_").replace(" ", "_")
    if name in known:
        return name
    return spelt if spelt in known else aliases.get(spelt, name)


def with_known_names(spec: StudySpec, designers: Container[str], rules: Container[str]) -> StudySpec:
    """The specification with its algorithm and rule called as they are called here. A file that says `bayes` is
    then the same as one that says `gp`."""
    algorithm, stopping = spec.algorithm, spec.stopping
    name = canonical(algorithm.name, designers, ALGORITHMS)
    if name != algorithm.name:
        spec = replace(spec, algorithm=replace(algorithm, name=name))
    if stopping is not None and (rule := canonical(stopping.name, rules, RULES)) != stopping.name:
        spec = replace(spec, stopping=replace(stopping, name=rule))
    return spec
