"""What failed trials have in common: which kinds of failure there are, and which parameters go with each. Pure.

    found = common(cases(trials), spec.space)
    sentences(found)    # ["7 of 8 trials with batch > 512 and width > 1024 failed: exit code 1: CUDA error ...", ...]

Failures are grouped by cause and words, in which numbers do not count. For each group `rules.covering` looks for
regions of the space in which trials mostly fail that way and elsewhere mostly do not. What the groups leave over is
looked at once more together, because one wall may show itself by different words; at last `gathered` asks whether
failures lie close together at all, and `beyond` whether they lie on one side of a slanted wall. A failure that one of
them covers is *explained* by its parameters.
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
from .slanted import beyond
from .space import Space
from .trial import EVALUATED, NOT_EVALUATED, Trial, TrialState

MAX_LOOKED_AT = 400
"""Failures, and evaluated trials, that are looked at: the latest ones. It bounds the cost."""

IN_A_ROW = 3
"""A study ends if this many times `budget.failed` trials fail in a row, though their parameters explain it: its
algorithm does not leave that region, or nothing lies outside it."""

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
class Region:
    """Where failures are frequent, and the ids of those that are there and in no region before it, ascending."""

    rule: Rule
    trials: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Failures of one kind. `words`: how the latest one failed. `trials`: their ids, ascending. `explained`: those of
    them that their parameters explain: by these regions, by shared ones, because they lie close together, or beyond a
    slanted wall."""

    cause: Cause
    words: str
    trials: tuple[int, ...]
    regions: tuple[Region, ...] = ()
    explained: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Common:
    """`groups`: the most frequent first. `shared`: regions of what the groups' own regions leave over. `in_a_row`:
    failures since the latest trial that was evaluated."""

    groups: tuple[Group, ...] = ()
    shared: tuple[Region, ...] = ()
    in_a_row: int = 0

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
    latest = max((case.id for case in ordered if case.cause is None), default=0)
    evaluated = [case.parameters for case in ordered if case.cause is None][-MAX_LOOKED_AT:]
    failed = [case for case in ordered if case.cause is not None][-MAX_LOOKED_AT:]

    kinds: dict[tuple[Cause, str], list[Case]] = {}
    for case in failed:
        assert case.cause is not None
        kinds.setdefault(alike(case.cause, case.words), []).append(case)
    by_kind = {kind: _regions(members, evaluated, space) for kind, members in kinds.items()}
    explained = {i for regions in by_kind.values() for region in regions for i in region.trials}

    left = [case for case in failed if case.own and case.id not in explained]
    shared: tuple[Region, ...] = ()
    if len(kinds) > 1:
        shared = _regions(left, evaluated, space)
        explained |= {i for region in shared for i in region.trials}
    left = [case for case in left if case.id not in explained]
    explained |= {left[i].id for i in gathered([case.parameters for case in left], evaluated)}
    own = [case for case in failed if case.own]
    explained |= {own[i].id for i in beyond([case.parameters for case in own], evaluated)}

    groups = [
        Group(
            kind[0],
            described(kind[0], members[-1].words),
            tuple(case.id for case in members),
            by_kind[kind],
            frozenset(case.id for case in members if case.id in explained),
        )
        for kind, members in kinds.items()
    ]
    most_first = sorted(groups, key=lambda group: (-len(group.trials), group.trials))
    return Common(tuple(most_first), shared, in_a_row=sum(case.id > latest for case in failed))


def _regions(members: Sequence[Case], evaluated: Sequence[Parameters], space: Space | None) -> tuple[Region, ...]:
    left = [case for case in members if case.own]
    regions = []
    for rule in covering([case.parameters for case in left], evaluated, space):
        regions.append(Region(rule, tuple(case.id for case in left if rule.holds(case.parameters))))
        left = [case for case in left if not rule.holds(case.parameters)]
    return tuple(regions)


def described(cause: Cause | None, words: str) -> str:
    """How a trial failed: its words in one line, or its cause if there are none."""
    line = " ".join(words.split())
    if len(line) > MAX_WORDS:
        line = line[: MAX_WORDS - 4] + " ..."
    return line or (cause or Cause.CODE_FAILED).value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Sentence:
    """What some failures have in common, for people, and which trials they are: ids, ascending."""

    text: str
    trials: tuple[int, ...]


def sentences(found: Common) -> list[Sentence]:
    """One for each region, and for each kind of failure one about what lies in none."""
    said: list[Sentence] = []
    shared = {i for region in found.shared for i in region.trials}
    for group in found.groups:
        verb = "were infeasible" if group.cause is Cause.INFEASIBLE else "failed"
        said += [Sentence(f"{_share(r.rule)} {verb}: {group.words}", r.trials) for r in group.regions]

        covered = {i for region in group.regions for i in region.trials}
        rest = tuple(i for i in group.trials if i not in covered)
        if rest:
            more = " more" if covered else ""
            close = len([i for i in rest if i in group.explained and i not in shared])
            where = f" ({close} of them where trials mostly fail)" if close else ""
            one = len(rest) == 1
            was = "was infeasible" if one and group.cause is Cause.INFEASIBLE else verb
            text = f"{len(rest)}{more} trial{'' if one else 's'} {was}: {group.words}{where}"
            said.append(Sentence(text, rest))

    said += [Sentence(f"{_share(r.rule)} failed, in different ways", r.trials) for r in found.shared]
    return said


def _share(rule: Rule) -> str:
    total = rule.covered + rule.others
    if not rule.others:
        return f"All {total} trials with {rule}"
    return f"{rule.covered} of {total} trials with {rule}"


def too_many(found: Common, failed: int, limit: int) -> str:
    """Why a study of which `failed` trials FAILED ends, if more of them than `limit` are not explained, or if too many
    failed in a row; else empty. `found` is of the latest of those trials, and of evaluated ones."""
    unexplained = sum(len(group.trials) for group in found.groups) - len(found.explained)
    if unexplained <= limit and found.in_a_row <= IN_A_ROW * limit:
        return ""

    rest = max(found.groups, key=lambda group: len(group.trials) - len(group.explained), default=None)
    mostly = f": {rest.words}" if rest is not None else ""
    if not found.explained:
        return f"{failed} trials failed, more than budget.failed = {limit} allows{mostly}"
    if unexplained <= limit:
        return (
            f"{found.in_a_row} trials in a row failed, more than {IN_A_ROW} times budget.failed = {limit}, though "
            f"their parameters explain most{mostly}"
        )
    return (
        f"{unexplained} trials failed that their parameters do not explain, more than budget.failed = {limit} allows"
        f"{mostly} ({len(found.explained)} more failed where their parameters do explain it)"
    )
