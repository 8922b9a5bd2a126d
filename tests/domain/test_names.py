"""Resource names: every spelling that people and machines use, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.errors import InvalidArgument
from wazir.domain.names import StudyName, TrialName, check_id, parse_owner, parse_study, parse_trial

ids = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
studies = st.builds(StudyName, ids, ids)


@given(studies)
def test_a_study_is_read_from_each_way_to_write_it(name: StudyName) -> None:
    assert parse_study(str(name)) == name
    assert parse_study(f"{name.owner}/{name.study}") == name
    assert parse_study(name.study, default_owner=name.owner) == name
    assert parse_study(name.short) == name


@given(studies, st.integers(1, 10**17))
def test_a_trial_is_read_from_each_way_to_write_it(study: StudyName, number: int) -> None:
    name = study.trial(number)
    assert name.parent == study
    assert parse_trial(str(name)) == name
    assert parse_trial(f"{study.owner}/{study.study}/{number}") == name
    assert parse_trial(name.short) == name


def test_the_default_owner_is_left_out_for_people() -> None:
    assert StudyName("default", "resnet").short == "resnet"
    assert StudyName("vision", "resnet").short == "vision/resnet"
    assert TrialName("default", "resnet", 17).short == "resnet/17"


@pytest.mark.parametrize(
    ("written", "usable"),
    [
        ("ResNet", "resnet"),
        ("my study", "my-study"),
        ("val_loss.2", "val-loss-2"),
        ("-a-", "a"),
        ("a" * 41, "a" * 40),
        ("größe", "gr-e"),
        ("a\n", "a"),
    ],
)
def test_an_id_that_is_no_dns_label_is_refused_with_a_usable_one(written: str, usable: str) -> None:
    with pytest.raises(InvalidArgument, match=f'For instance "{usable}"'):
        check_id("study", written)
    assert check_id("study", usable) == usable


def test_an_id_of_nothing_usable_has_no_example() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_id("study", "///")
    assert "For instance" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("resnet/0", "ids count from 1"),
        ("resnet/01", "one spelling for each number"),
        ("resnet/-1", "no sign"),
        ("resnet/1.0", "no point"),
        ("resnet/\u0661", "digits of other scripts are no digits here"),
        ("resnet/" + "9" * 19, "beyond 64 bits"),
        ("resnet", "a study, not a trial"),
        ("owners/a/studies/b", "a study, not a trial"),
        ("owners/a/studies/b/trials/1/", "ends in a slash"),
        ("owners/a/study/b/trials/1", "misspelt collection"),
    ],
)
def test_what_is_no_trial_is_refused(name: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse_trial(name, "name")
    assert refusal.value.field == "name", why


@pytest.mark.parametrize("name", ["", "a/b/c", "owners/a/studies/", "owners/A/studies/b", "/a"])
def test_what_is_no_study_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_study(name)


def test_an_owner_is_named_by_its_collection() -> None:
    assert parse_owner("owners/vision") == "vision"
    for name in ("vision", "owners/", "owners/a/b", "owner/a"):
        with pytest.raises(InvalidArgument):
            parse_owner(name)
