"""Whose checkpoints nobody needs any more, from what is known of a study's trials. Pure.

A checkpoint is needed by a trial that may go on: one that runs, waits, is paused, or has FAILED, which a person may
retry. It is needed by a trial that begins from it, until that one has ended; from then on it has its own. What is kept
beside that, `Retention` says.
"""

from __future__ import annotations

from collections import Counter, deque

from ..domain.metric import dominates
from ..domain.pod import Retention
from ..domain.study import StudySpec
from ..domain.trial import ENDED, Trial, TrialState

TOLD = 1_000
"""Trials whose checkpoints an attempt is told to remove: the last ones. Their numbers take a few kilobytes."""

Worth = tuple[float, ...]
"""The losses of a trial, one for each objective."""


class Retained:
    """What is to be kept of one study. It hears of all its trials, unless every trial's checkpoint is kept anyway; of
    each as often as it changes, in any order.

        retained = Retained(spec)
        retained.learn(trial)
        for trial_id in retained.spent():
            ...                            # remove its checkpoints
            retained.collected([trial_id])
    """

    def __init__(self, spec: StudySpec) -> None:
        template = spec.trial
        self.policy = Retention.LATEST if template is None else template.pod.keep_checkpoints
        self._spec = spec
        self._parents: dict[int, int] = {}
        """Of trials that have not ended, where they began from another's."""
        self._heirs = Counter[int]()
        """How many such trials each of these has."""
        self._best: dict[int, Worth] = {}
        self._over: set[int] = set()
        """Trials whose checkpoints only others may need."""
        self.told: deque[int] = deque(maxlen=TOLD)
        """Trials whose checkpoints are gone, or may go where only the study's trials themselves can reach them."""
        self.emptied = False
        """Whether the study, being gone, has no checkpoints left."""

    def learn(self, trial: Trial) -> None:
        self._leave(trial.id)
        if trial.state not in ENDED or trial.state is TrialState.FAILED:
            if trial.checkpoint_of is not None:
                self._parents[trial.id] = trial.checkpoint_of
                self._heirs[trial.checkpoint_of] += 1
        elif self.policy is not Retention.LATEST and not self._among_best(trial):
            self._over.add(trial.id)

    def deleted(self, trial_id: int) -> None:
        self._leave(trial_id)
        self._over.add(trial_id)

    def spent(self) -> frozenset[int]:
        """Trials whose checkpoints may go."""
        return frozenset(trial_id for trial_id in self._over if not self._heirs[trial_id])

    def collected(self, trial_ids: frozenset[int] | None) -> None:
        """The checkpoints of these are gone; None: of all."""
        if trial_ids is None:
            self.emptied = True
        else:
            self._over -= trial_ids
            self.told.extend(sorted(trial_ids))

    def _leave(self, trial_id: int) -> None:
        """Forgets what was known of the trial."""
        parent = self._parents.pop(trial_id, None)
        if parent is not None:
            self._heirs[parent] -= 1
        self._best.pop(trial_id, None)
        self._over.discard(trial_id)

    def _among_best(self, trial: Trial) -> bool:
        """Whether it is one of the best now. Those that it surpasses are over."""
        worth = self._worth(trial)
        if self.policy is not Retention.BEST or worth is None:
            return False
        if any(self._surpasses(known, other, worth, trial.id) for other, known in self._best.items()):
            return False
        for other in [o for o, known in self._best.items() if self._surpasses(worth, trial.id, known, o)]:
            del self._best[other]
            self._over.add(other)
        self._best[trial.id] = worth
        return True

    def _worth(self, trial: Trial) -> Worth | None:
        """None where it cannot be a best trial."""
        if trial.state not in (TrialState.SUCCEEDED, TrialState.STOPPED):
            return None
        final = trial.final or {}
        value = self._spec.value_of(final)
        if value is None or any(v != v for v in value) or not self._spec.safe(final):
            return None
        return tuple(o.loss(v) for o, v in zip(self._spec.objectives, value, strict=True))

    def _surpasses(self, a: Worth, trial_a: int, b: Worth, trial_b: int) -> bool:
        """Of equals by one objective the first is the best trial; by several, all are."""
        return dominates(a, b) or (len(a) == 1 and a == b and trial_a < trial_b)
