"""What the controller knows of one study: the study, and its live trials that are to be run here.

News come from two sides, from answers to calls and from the watch stream, and an answer may overtake the stream. Each
trial carries the revision of its last change, so the later news win, whichever comes first.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..domain.study import Study
from ..domain.trial import LIVE, Trial


class StudyView:
    """`holder` is this controller's id: only unleased attempts that carry it are its to run. `study` is as it was at
    its revision or later."""

    def __init__(self, study: Study, holder: str) -> None:
        self.study = study
        self.trials: dict[int, Trial] = {}
        """Live ones to be run here, by id."""
        self._holder = holder
        self._ended: dict[int, int] = {}
        """Revisions at which trials were seen not live, until the stream is beyond them."""

    def learn(self, study: Study | None = None, trials: Iterable[Trial] = (), deleted: Iterable[int] = ()) -> None:
        """Takes in what an answer or a change says; what is older than what is known is left out."""
        if study is not None and study.revision >= self.study.revision:
            self.study = study
        for trial in trials:
            known = self.trials.get(trial.id)
            latest = known.revision if known is not None else self._ended.get(trial.id, -1)
            if trial.revision < latest:
                continue
            if trial.state in LIVE and self._ours(trial):
                self.trials[trial.id] = trial
                self._ended.pop(trial.id, None)
            else:
                self.trials.pop(trial.id, None)
                self._ended[trial.id] = trial.revision
        for trial_id in deleted:
            # An id is never given twice, so nothing later about it can be true.
            self.trials.pop(trial_id, None)
            self._ended[trial_id] = 2**63

    def streamed(self, revision: int) -> None:
        """The stream has come to that revision: nothing older can follow."""
        self._ended = {trial_id: at for trial_id, at in self._ended.items() if at > revision}

    def _ours(self, trial: Trial) -> bool:
        attempt = trial.attempt
        return attempt is not None and not attempt.leased and attempt.holder == self._holder
