"""What each caller may do: two tables, and the one function that reads them.

RULES says of every call what it does (its verb) and to what (a name in its request); RIGHTS says which verbs a role
has. A call that does not stand in RULES is refused, so a new one cannot be left open by oversight.

    verb       calls                                                       viewer  editor  admin  attempt
    get        GetStudy, GetTrial, ListMeasurements                          x       x       x    its trial, its study
    list       ListStudies, ListTrials, ListOptimalTrials,                   x       x       x
               GetStudyProgress, Watch...
    create     CreateStudy, CreateTrial                                              x       x
    change     UpdateStudy, Pause-, Resume-, StopStudy,                              x       x
               Stop-, Cancel-, RetryTrial
    annotate   UpdateMetadata                                                        x       x    its trial
    run        SuggestTrials, StartAttempt, EndAttempt, AddParameter                 x       x
    report     Heartbeat, ReportMeasurements                                         x       x    its trial
    delete     DeleteStudy, DeleteTrial                                                      x
    audit      ListAuditRecords                                                              x

Viewer, editor and admin have these rights for the studies of one owner, or of every owner. The last column is the token
of one attempt, which its training code is given: it cannot end the attempt, because whoever runs the process says how
it ended and what it holds, nor can it see other trials or change what others see of them. So two calls count as run
if they carry more: GetTrial with `attempt_token`, because it gives that token, and a Heartbeat that tells where the
attempt runs, because its GPUs use up the study's budget and its log is read by people. AddParameter widens the space.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...domain.access import EVERY_OWNER, Role
from ...domain.errors import PermissionDenied
from ...domain.names import StudyName, TrialName, parse_owner, parse_owners, parse_resource, parse_study, parse_trial
from .callers import Caller

Name = str | StudyName | TrialName
"""What a call is about: an owner's id, a study or a trial."""


class Verb(enum.Enum):
    GET = "get"
    LIST = "list"
    CREATE = "create"
    CHANGE = "change"
    ANNOTATE = "annotate"
    RUN = "run"
    REPORT = "report"
    DELETE = "delete"
    AUDIT = "audit"


_READS = frozenset({Verb.GET, Verb.LIST})
_CHANGES = frozenset({Verb.CREATE, Verb.CHANGE, Verb.ANNOTATE, Verb.RUN, Verb.REPORT})

RIGHTS: dict[Role, frozenset[Verb]] = {
    Role.VIEWER: _READS,
    Role.EDITOR: _READS | _CHANGES,
    Role.ADMIN: _READS | _CHANGES | {Verb.DELETE, Verb.AUDIT},
}

OF_ITS_TRIAL = frozenset({Verb.GET, Verb.ANNOTATE, Verb.REPORT})
"""What the token of an attempt is good for, for its own trial. Of the study it may GET."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a call does, and how to find in its request what it does it to."""

    verb: Verb
    name: Callable[[Any], Name]
    more: Callable[[Any], Verb | None] = lambda _: None
    """The verb instead, where the request asks for more than the call usually gives."""

    def verb_of(self, request: Any) -> Verb:
        return self.more(request) or self.verb


def _owner(request: Any) -> Name:
    return parse_owner(request.parent)


def _owners(request: Any) -> Name:
    return parse_owners(request.parent)


def _study(request: Any) -> Name:
    return parse_study(request.name)


def _parent_study(request: Any) -> Name:
    return parse_study(request.parent, "parent")


def _updated_study(request: Any) -> Name:
    return parse_study(request.study.name, "study.name")


def _trial(request: Any) -> Name:
    return parse_trial(request.name)


def _parent_trial(request: Any) -> Name:
    return parse_trial(request.parent, "parent")


def _study_or_trial(request: Any) -> Name:
    return parse_resource(request.name)


def _tells(request: Any) -> bool:
    """Whether a Heartbeat says more than that its attempt is alive."""
    return {field.name for field, _ in request.ListFields()} > {"name", "attempt"}


RULES: dict[str, Rule] = {
    "AddParameter": Rule(Verb.RUN, _trial),
    "CancelTrial": Rule(Verb.CHANGE, _trial),
    "CreateStudy": Rule(Verb.CREATE, _owner),
    "CreateTrial": Rule(Verb.CREATE, _parent_study),
    "DeleteStudy": Rule(Verb.DELETE, _study),
    "DeleteTrial": Rule(Verb.DELETE, _trial),
    "EndAttempt": Rule(Verb.RUN, _trial),
    "GetStudy": Rule(Verb.GET, _study),
    # Not GET, which an attempt's token may do to its study: it shows other trials.
    "GetStudyProgress": Rule(Verb.LIST, _study),
    "GetTrial": Rule(Verb.GET, _trial, lambda request: Verb.RUN if request.attempt_token else None),
    "Heartbeat": Rule(Verb.REPORT, _trial, lambda request: Verb.RUN if _tells(request) else None),
    "ListAuditRecords": Rule(Verb.AUDIT, _owners),
    "ListMeasurements": Rule(Verb.GET, _parent_trial),
    "ListOptimalTrials": Rule(Verb.LIST, _parent_study),
    "ListStudies": Rule(Verb.LIST, _owner),
    "ListTrials": Rule(Verb.LIST, _parent_study),
    "PauseStudy": Rule(Verb.CHANGE, _study),
    "ReportMeasurements": Rule(Verb.REPORT, _trial),
    "ResumeStudy": Rule(Verb.CHANGE, _study),
    "RetryTrial": Rule(Verb.CHANGE, _trial),
    "StartAttempt": Rule(Verb.RUN, _trial),
    "StopStudy": Rule(Verb.CHANGE, _study),
    "StopTrial": Rule(Verb.CHANGE, _trial),
    "SuggestTrials": Rule(Verb.RUN, _parent_study),
    "UpdateMetadata": Rule(Verb.ANNOTATE, _study_or_trial),
    "UpdateStudy": Rule(Verb.CHANGE, _updated_study),
    "WatchStudies": Rule(Verb.LIST, _owner),
    "WatchTrials": Rule(Verb.LIST, _parent_study),
}
"""By the call's name in StudyService."""


_MORE = {Verb.RUN: " (nor say where it runs and what it holds, nor name parameters)"}


def authorize(caller: Caller, verb: Verb, name: Name) -> None:
    """Raises PermissionDenied where the caller may not do that. It says nothing of whether `name` exists, because it
    does not look."""
    own = caller.attempt
    if own is not None:
        if (verb in OF_ITS_TRIAL and name == own.trial) or (verb is Verb.GET and name == own.trial.parent):
            return
        raise PermissionDenied(
            f"the token of an attempt is good for reporting on its own trial, {own.trial.short}, and may not "
            f"{verb.value} {_shown(name)}{_MORE.get(verb, '')}. Use a token made by `wazir token create`"
        )
    owner = name if isinstance(name, str) else name.owner
    if caller.owner not in (EVERY_OWNER, owner):
        raise PermissionDenied(
            f"this token is for owner {caller.owner} and may not {verb.value} {_shown(name)}. Name a study of that "
            f"owner ({caller.owner}/STUDY), or use a token for owner {owner}"
        )
    if verb not in RIGHTS[caller.role]:
        enough = next(role for role in Role if verb in RIGHTS[role])
        raise PermissionDenied(
            f"this token has the role {caller.role.value} and may not {verb.value} {_shown(name)}: that takes the role "
            f"{enough.value}"
        )


def _shown(name: Name) -> str:
    return f"owners/{name}" if isinstance(name, str) else str(name)
