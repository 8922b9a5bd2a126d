"""The best trials of a study. Nothing is loaded here that computes suggestions."""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.errors import InvalidArgument
from ..domain.metric import dominates
from ..domain.names import StudyName
from ..domain.study import Study
from ..domain.trial import EVALUATED, Trial
from ..storage.store import TrialFilter, View

MAX_OPTIMAL = 1_000
_PAGE = 64


def optimal(view: View, name: StudyName, limit: int) -> list[Trial]:
    """The best trials: by the objective, or with several objectives those that no other dominates, by id."""
    return list(optimal_from(view, name, limit))


def optimal_from(view: View, name: StudyName, limit: int, skip: int = 0) -> Iterator[Trial]:
    """The same, without the first `skip`, each read when it is wanted: all of them may be too much to be held."""
    if not 0 <= limit <= MAX_OPTIMAL:
        raise InvalidArgument("limit", limit, f"must lie in [0, {MAX_OPTIMAL}]")
    study = view.study(name)
    if len(study.spec.objectives) > 1:
        for trial_id in _undominated(view, study)[skip : limit or MAX_OPTIMAL]:
            yield view.trial(name.trial(trial_id))
        return

    most = limit or 1
    while skip < most:
        found = view.best(study, min(_PAGE, most - skip), skip)
        yield from found
        skip += len(found)
        if not found:
            return


def _undominated(view: View, study: Study) -> list[int]:
    spec = study.spec
    where = TrialFilter(states=EVALUATED)
    candidates: list[tuple[tuple[float, ...], int]] = []
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
                candidates.append((losses, trial.id))
    return [trial_id for _, trial_id in candidates]
