"""How a study's algorithm has answered so far, as it is kept with the study."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_FAILED_ROUNDS = 5
"""Failed rounds in a row that pause a study. Otherwise it would go on with quasi-random points unnoticed."""


@dataclass(frozen=True, kw_only=True)
class AlgorithmStatus:
    """`chosen`: the algorithm that `auto` chose, and why; empty for other algorithms.

    `stand_ins`: how many points are quasi-random ones in place of the algorithm's; `stand_in_reason`: why the latest
    one is. `failed_rounds`: how many rounds in a row have failed, not counting those that were late.
    """

    chosen: str = ""
    chosen_because: str = ""
    stand_ins: int = 0
    stand_in_reason: str = ""
    failed_rounds: int = 0

    def with_choice(self, chosen: str, because: str) -> AlgorithmStatus:
        if (chosen, because) == (self.chosen, self.chosen_because):
            return self
        return replace(self, chosen=chosen, chosen_because=because)

    def with_stand_ins(self, points: int, reason: str) -> AlgorithmStatus:
        return replace(self, stand_ins=self.stand_ins + points, stand_in_reason=reason) if points else self

    def with_failed_rounds(self, number: int) -> AlgorithmStatus:
        return self if number == self.failed_rounds else replace(self, failed_rounds=number)
