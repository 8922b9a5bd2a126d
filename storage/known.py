"""What a store's writer remembers of studies and of their unfinished trials, as it read or wrote them last.

Each unit that changes a study or its trials raises the study's revision. So where a study's row, locked, has the
revision that is remembered, all else that is remembered of the study is still true, whoever may write to the database,
and need not be read and decoded again: a trial is handed out and ended without reading it once. A store that can tell
by other means that nobody else has written, as SQLite can, need not even read that row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..domain.names import StudyName
from ..domain.study import Study
from ..domain.trial import ENDED, Trial

MOST = 10_000
"""Studies and trials remembered, some 2 KB each. Beyond it all is forgotten and read again, which costs little."""


@dataclass(slots=True)
class _Entry:
    key: int
    study: Study
    trials: dict[int, Trial] = field(default_factory=dict)


class Known:
    """For the writer's thread. What a transaction wrote is remembered before it is committed, for the units behind it;
    where it is rolled back, everything is to be forgotten."""

    def __init__(self) -> None:
        self._entries: dict[StudyName, _Entry] = {}
        self._size = 0

    def study(self, name: StudyName, uid: str, revision: int) -> Study | None:
        """The study, if it is remembered as of that revision."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if (entry.study.uid, entry.study.revision) != (uid, revision):
            self.forget(name)
            return None
        return entry.study

    def latest(self, name: StudyName) -> tuple[int, Study] | None:
        """The study with its key, as this writer left it, if it is remembered."""
        entry = self._entries.get(name)
        return None if entry is None else (entry.key, entry.study)

    def trial(self, study: Study, trial_id: int) -> Trial | None:
        """The trial as of that study's revision, for the one that `study` gave."""
        entry = self._entries.get(study.name)
        return None if entry is None or entry.study is not study else entry.trials.get(trial_id)

    def remember(self, key: int, study: Study, trials: Iterable[Trial]) -> None:
        """The study as it now is, locked, with its key, and some of its trials. Others that are remembered have not
        changed."""
        if self._size >= MOST:
            self.forget_all()
        entry = self._entries.get(study.name)
        if entry is None or entry.study.uid != study.uid:
            self.forget(study.name)
            entry = self._entries[study.name] = _Entry(key, study)
            self._size += 1
        entry.study = study
        before = len(entry.trials)
        for trial in trials:
            if trial.state in ENDED:
                entry.trials.pop(trial.id, None)
            else:
                entry.trials[trial.id] = trial
        self._size += len(entry.trials) - before

    def forget(self, name: StudyName) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._size -= 1 + len(entry.trials)

    def forget_all(self) -> None:
        self._entries.clear()
        self._size = 0

    def __len__(self) -> int:
        return self._size
