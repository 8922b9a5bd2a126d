"""What a designer keeps of a history from call to call, so that a call costs what has changed."""

from __future__ import annotations

from collections.abc import Sequence

from ..designer import Observation


class Followed:
    """The trials as they were in the history that was last followed. What a designer derives from them is to depend on
    that history alone, whatever came before it."""

    def __init__(self) -> None:
        self.trials: dict[int, Observation] = {}
        self.counted = 0
        """How many of them use up the budget."""

    def follow(self, observations: Sequence[Observation]) -> list[tuple[Observation | None, Observation | None]]:
        """Of each trial that is another than last time: as it was, and as it is; None where it was not, or is no more.

        An observation that has not changed is the same object as before.
        """
        changes: list[tuple[Observation | None, Observation | None]] = []
        for o in observations:
            known = self.trials.get(o.trial_id)
            if known is not o:
                changes.append((known, o))
                self.trials[o.trial_id] = o
        if len(self.trials) > len(observations):
            gone = self.trials.keys() - {o.trial_id for o in observations}
            changes += [(self.trials.pop(trial_id), None) for trial_id in gone]
        for before, now in changes:
            self.counted += (now is not None and now.counted) - (before is not None and before.counted)
        return changes
