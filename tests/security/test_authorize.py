"""What each caller may do: the tables are whole, and they say what the documentation says."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from wazir.domain.access import EVERY_OWNER, Role
from wazir.domain.errors import PermissionDenied
from wazir.domain.names import StudyName, TrialName
from wazir.proto.v1 import study_service_pb2
from wazir.service.security import authorize as module
from wazir.service.security.authorize import RIGHTS, RULES, Name, Verb, authorize
from wazir.service.security.callers import Caller, OwnAttempt

METHODS = {method.name: method for method in study_service_pb2.DESCRIPTOR.services_by_name["StudyService"].methods}
STUDY = StudyName("vision", "s")
TRIAL = STUDY.trial(7)


def caller(role: Role, owner: str = "vision") -> Caller:
    return Caller("token:t", owner, role)


TRIAL_CODE = Caller("attempt", "", Role.VIEWER, OwnAttempt("uid", TRIAL, 1))


def may(who: Caller, verb: Verb, name: Name) -> bool:
    try:
        authorize(who, verb, name)
    except PermissionDenied:
        return False
    return True


def test_every_call_of_the_service_has_a_rule_and_every_rule_a_call() -> None:
    assert set(RULES) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_rule_finds_the_owner_in_a_request_of_its_call(method: str) -> None:
    """Each field that could name a resource holds a name of another owner, but for the one that the service acts on."""
    request: Any = GetMessageClass(METHODS[method].input_type)()
    fields = {field.name for field in request.DESCRIPTOR.fields}
    if "study" in fields and "update_mask" in fields:
        request.study.name = str(STUDY)
    elif "parent" in fields:
        owner_level = method in ("CreateStudy", "ListAuditRecords", "ListStudies", "WatchStudies")
        request.parent = "owners/vision" if owner_level else str(TRIAL if method == "ListMeasurements" else STUDY)
        for field in fields & {"study", "trial"}:
            if method == "ListAuditRecords":
                request.study = "owners/speech/studies/other"
            else:
                getattr(request, field).name = "owners/speech/studies/other"
    else:
        request.name = str(STUDY if "Study" in method else TRIAL)
    named = RULES[method].name(request)
    assert (named if isinstance(named, str) else named.owner) == "vision"


@pytest.mark.parametrize(
    ("role", "verbs"),
    [
        (Role.VIEWER, "get list"),
        (Role.EDITOR, "get list create change annotate run report"),
        (Role.ADMIN, "get list create change annotate run report delete audit"),
    ],
)
def test_a_role_has_the_verbs_that_are_written_down_for_it(role: Role, verbs: str) -> None:
    for name in ("vision", STUDY, TRIAL):
        assert {verb.value for verb in Verb if may(caller(role), verb, name)} == set(verbs.split())


@pytest.mark.parametrize("verb", Verb)
def test_nobody_has_any_right_to_what_is_another_owners(verb: Verb) -> None:
    for name in ("speech", StudyName("speech", "s"), TrialName("speech", "s", 7)):
        assert not may(caller(Role.ADMIN), verb, name)
        assert may(caller(Role.ADMIN, EVERY_OWNER), verb, name)


@pytest.mark.parametrize(
    ("name", "verbs"),
    [
        pytest.param(TRIAL, {"get", "annotate", "report"}, id="its trial"),
        pytest.param(STUDY, {"get"}, id="its study"),
        pytest.param(STUDY.trial(8), set(), id="another trial of its study"),
        pytest.param(StudyName("vision", "t").trial(7), set(), id="the same number in another study"),
        pytest.param(StudyName("speech", "s").trial(7), set(), id="the same study of another owner"),
        pytest.param("vision", set(), id="its owner"),
    ],
)
def test_the_code_of_a_trial_may_touch_nothing_but_its_trial(name: Name, verbs: set[str]) -> None:
    assert {verb.value for verb in Verb if may(TRIAL_CODE, verb, name)} == verbs


@pytest.mark.parametrize("method", ["ListTrials", "ListOptimalTrials", "GetStudyProgress", "WatchTrials"])
def test_the_code_of_a_trial_cannot_see_other_trials_of_its_study(method: str) -> None:
    assert not may(TRIAL_CODE, RULES[method].verb, STUDY)


def test_a_refusal_names_what_would_do() -> None:
    with pytest.raises(PermissionDenied, match=r"role viewer.*may not delete owners/vision/studies/s.*role admin"):
        authorize(caller(Role.VIEWER), Verb.DELETE, STUDY)
    with pytest.raises(PermissionDenied, match=r"for owner vision.*owners/speech.*token for owner speech"):
        authorize(caller(Role.EDITOR), Verb.LIST, "speech")


def test_the_table_in_the_documentation_is_the_one_in_force() -> None:
    """The module's docstring has it for people."""
    documentation = module.__doc__ or ""
    for verb in Verb:
        (line,) = (line for line in documentation.splitlines() if line.startswith(f"    {verb.value} "))
        marks = line[70:].split("its")[0].count("x")
        assert marks == sum(verb in rights for rights in RIGHTS.values()), line
