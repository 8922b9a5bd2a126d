"""The best trials of a study. Nothing is loaded here that computes suggestions."""

from __future__ import annotations

from ..domain.errors import InvalidArgument
from ..domain.metric import dominates
from ..domain.names import StudyName
from ..domain.trial import EVALUATED, Trial
from ..storage.store import TrialFilter, View

MAX_OPTIMAL = 1_000
_PAGE = 1_000


def optimal(view: View, name: StudyName, limit: int) -> list[Trial]:
    """The best trials: by the objective, or with several objectives those that no other dominates, by id."""
    if not 0 <= limit <= MAX_OPTIMAL:
        raise InvalidArgument("limit", limit, f"must lie in [0, {MAX_OPTIMAL}]")
    study = view.study(name)
    spec = study.spec
    if len(spec.objectives) == 1:
        return view.best(study, limit or 1)

    where = TrialFilter(states=EVALUATED)
    candidates: list[tuple[tuple[float, ...], Trial]] = []
    after = 0
    while page := view.trials(study, where, after, _PAGE):
        after = page[-1].id
        for trial in page:
            value = spec.value_of(trial.final or {})
            if value is None or any(v != v for v in value) or not spec.safe(trial.final or {}):
                continue

            losses = tuple(o.loss(v) for o, v in zip(spec.objectives, value, strict=True))
            if not any(dominates(other, losses) for other, _ in candidates):
                candidates = [c for c in candidates if not dominates(losses, c[0])]
                candidates.append((losses, trial))

    return [trial for _, trial in candidates][: limit or MAX_OPTIMAL]
