"""What failed trials have in common: which kinds of failure there are, and which parameters go with each. Pure.

    found = common(cases(trials), spec.space)
    sentences(found)    # ["7 of 8 trials with batch > 512 and width > 1024 failed: exit code 1: CUDA error ...", ...]

Failures are grouped by cause and words, in which numbers do not count. For each group `rules.covering` looks for
regions of the space in which trials mostly fail that way and elsewhere mostly do not. What the groups leave over is
looked at once more together, because one wall may show itself by different words; at last `gathered` asks whether
failures lie close together at all. A failure that one of them covers is *explained* by its parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .attempt import Cause
from .fault import failed_by_itself
from .gathered import gathered
from .parameters import Parameters
from .rules import Rule, covering
from .space import Space
from .trial import Trial, TrialState

EVALUATED = frozenset({TrialState.SUCCEEDED, TrialState.STOPPED})
"""States of trials that did not fail, beside which failures are seen."""

NOT_EVALUATED = frozenset({TrialState.FAILED, TrialState.INFEASIBLE})

MAX_LOOKED_AT = 400
"""Failures, and evaluated trials, that are looked at: the latest ones. It bounds the cost."""

MAX_WORDS = 300
"""Characters of a failure's words that are shown."""


@dataclass(frozen=True, slots=True)
class Case:
    """One ended trial. `cause` is None if it was evaluated. `words`: how it failed, for people. `own`: whether it
    failed by its own fault, so that its parameters may have to do with it."""

    id: int
    parameters: Parameters
    cause: Cause | None = None
    words: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Failures of one kind. `words`: those of the latest one. `trials`: their ids, ascending. `rules`: the regions in
    which they are frequent. `explained`: those of them that their parameters explain, by whatever rule."""

    cause: Cause
    words: str
    trials: tuple[int, ...]
    rules: tuple[Rule, ...] = ()
    explained: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Common:
    """`groups`: the most frequent first. `shared`: rules over what the groups' own rules leave."""

    groups: tuple[Group, ...] = ()
    shared: tuple[Rule, ...] = ()

    @property
    def explained(self) -> frozenset[int]:
        """Ids of all failures that their parameters explain."""
        return frozenset().union(*(group.explained for group in self.groups))


def cases(trials: Iterable[Trial]) -> list[Case]:
    """The trials that say something of failures: those evaluated, failed or infeasible."""
    return [_case(trial) for trial in trials if trial.state in EVALUATED | NOT_EVALUATED]


def _case(trial: Trial) -> Case:
    if trial.state in EVALUATED:
        return Case(trial.id, trial.parameters)
    cause = trial.attempt.cause if trial.attempt is not None else None
    if trial.state is TrialState.INFEASIBLE and cause is not Cause.OUT_OF_MEMORY:
        # Its code called it infeasible, or it ended with NaN.
        cause = Cause.INFEASIBLE
    own = trial.state is TrialState.INFEASIBLE or failed_by_itself(trial)
    return Case(trial.id, trial.parameters, cause or Cause.CODE_FAILED, trial.reason.strip(), own)


def alike(cause: Cause, words: str) -> tuple[Cause, str]:
    """What two failures of one kind have in common: the cause, and the words without numbers and addresses. If a metric
    never came, what came instead does not count either."""
    if cause is Cause.SUCCEEDED:
        words = words.partition("; ")[0]
    return cause, " ".join(_NUMBER.sub("#", words).split())


_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)


def common(ended: Iterable[Case], space: Space | None) -> Common:
    """What the failures among the cases have in common, whatever their order."""
    ordered = sorted(ended, key=lambda case: case.id)
    evaluated = [case.parameters for case in ordered if case.cause is None][-MAX_LOOKED_AT:]
    failed = [case for case in ordered if case.cause is not None][-MAX_LOOKED_AT:]

    kinds: dict[tuple[Cause, str], list[Case]] = {}
    for case in failed:
        assert case.cause is not None
        kinds.setdefault(alike(case.cause, case.words), []).append(case)
    by_kind = {kind: _explained(members, evaluated, space) for kind, members in kinds.items()}
    explained = {i for _, ids in by_kind.values() for i in ids}

    left = [case for case in failed if case.own and case.id not in explained]
    shared: tuple[Rule, ...] = ()
    if len(kinds) > 1:
        shared, ids = _explained(left, evaluated, space)
        explained |= ids
    left = [case for case in left if case.id not in explained]
    close = gathered([case.parameters for case in left], evaluated)
    explained |= {left[i].id for i in close}

    groups = [
        Group(
            kind[0],
            _shown(members[-1].words),
            tuple(case.id for case in members),
            by_kind[kind][0],
            frozenset(case.id for case in members if case.id in explained),
        )
        for kind, members in kinds.items()
    ]
    return Common(tuple(sorted(groups, key=lambda group: (-len(group.trials), group.trials))), shared)


def _explained(
    members: Sequence[Case], evaluated: Sequence[Parameters], space: Space | None
) -> tuple[tuple[Rule, ...], frozenset[int]]:
    own = [case for case in members if case.own]
    rules, covered = covering([case.parameters for case in own], evaluated, space)
    return rules, frozenset(own[i].id for i in covered)


def _shown(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 4] + " ..."


def described(group: Group) -> str:
    """How the group failed: its words, or its cause if there are none."""
    return group.words or group.cause.value.replace("_", " ")


def sentences(found: Common) -> list[tuple[str, Group | None]]:
    """What the failures have in common, one sentence for each rule and one for what no rule covers, each with its
    group; None for a rule over several."""
    said: list[tuple[str, Group | None]] = []
    for group in found.groups:
        verb = "were infeasible" if group.cause is Cause.INFEASIBLE else "failed"
        said += [(f"{_share(rule)} {verb}: {described(group)}", group) for rule in group.rules]
        rest = len(group.trials) - sum(rule.covered for rule in group.rules)
        if rest:
            more = " more" if group.rules else ""
            said.append((f"{rest}{more} {_trials(rest)} {verb}: {described(group)}", group))
    said += [(f"{_share(rule)} failed, in different ways", None) for rule in found.shared]
    return said


def _share(rule: Rule) -> str:
    total = rule.covered + rule.others
    if not rule.others:
        return f"all {total} trials with {rule}"
    return f"{rule.covered} of {total} trials with {rule}"


def _trials(count: int) -> str:
    return "trial" if count == 1 else "trials"
