"""Resource names, and the one place that parses and formats them.

An `_id` is one component (`resnet`, `17`); a *name* is the full path (`owners/vision/studies/resnet/trials/17`).
People may write `resnet`, `resnet/17` or `vision/resnet/17`; `parse_study` and `parse_trial` read all of these.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import InvalidArgument

DEFAULT_OWNER = "default"
MAX_ID_LENGTH = 40
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_RULE = f"must be 1 to {MAX_ID_LENGTH} lower-case letters, digits and '-', with a letter or digit at both ends"


class StudyName(NamedTuple):
    owner: str
    study: str

    def __str__(self) -> str:
        return f"owners/{self.owner}/studies/{self.study}"

    @property
    def short(self) -> str:
        """As people write it: without the owner where that is the default one."""
        return self.study if self.owner == DEFAULT_OWNER else f"{self.owner}/{self.study}"

    def trial(self, trial_id: int) -> TrialName:
        return TrialName(self.owner, self.study, trial_id)


class TrialName(NamedTuple):
    owner: str
    study: str
    id: int

    def __str__(self) -> str:
        return f"owners/{self.owner}/studies/{self.study}/trials/{self.id}"

    @property
    def short(self) -> str:
        return f"{self.parent.short}/{self.id}"

    @property
    def parent(self) -> StudyName:
        return StudyName(self.owner, self.study)


def check_id(field: str, value: str) -> str:
    """`value` itself where it is a DNS label of at most 40 characters; else InvalidArgument with a usable one."""
    if isinstance(value, str) and len(value) <= MAX_ID_LENGTH and _LABEL.fullmatch(value):
        return value
    usable = re.sub(r"[^a-z0-9]+", "-", str(value).lower())[:MAX_ID_LENGTH].strip("-")
    raise InvalidArgument(field, value, _RULE, f'For instance "{usable}"' if usable else "")


def parse_owner(name: str, field: str = "parent") -> str:
    """The owner id in `owners/{owner}`."""
    parts = name.split("/")
    if len(parts) != 2 or parts[0] != "owners":
        raise InvalidArgument(field, name, "must be owners/{owner}")
    return check_id(field, parts[1])


def parse_owners(name: str, field: str = "parent") -> str:
    """The owner id in `owners/{owner}`; `*`, which no owner is called, for `owners/-`: all of them."""
    return "*" if name == "owners/-" else parse_owner(name, field)


def parse_study(name: str, field: str = "name", default_owner: str = DEFAULT_OWNER) -> StudyName:
    """From `owners/{owner}/studies/{study}`, `{owner}/{study}` or `{study}`."""
    match name.split("/"):
        case ["owners", owner, "studies", study] | [owner, study]:
            return StudyName(check_id(field, owner), check_id(field, study))
        case [study]:
            return StudyName(default_owner, check_id(field, study))
    raise InvalidArgument(field, name, "must be a study: {study}, or owners/{owner}/studies/{study}")


def parse_trial(name: str, field: str = "name", default_owner: str = DEFAULT_OWNER) -> TrialName:
    """From `owners/{owner}/studies/{study}/trials/{id}`, `{owner}/{study}/{id}` or `{study}/{id}`."""
    match name.split("/"):
        case ["owners", owner, "studies", study, "trials", trial] | [owner, study, trial]:
            return TrialName(check_id(field, owner), check_id(field, study), _trial_id(field, name, trial))
        case [study, trial]:
            return TrialName(default_owner, check_id(field, study), _trial_id(field, name, trial))
    raise InvalidArgument(field, name, "must be a trial: {study}/{id}, or owners/{owner}/studies/{study}/trials/{id}")


def parse_resource(name: str, field: str = "name") -> StudyName | TrialName:
    """A study or a trial, told apart by `/trials/` in the name."""
    return parse_trial(name, field) if "/trials/" in name else parse_study(name, field)


def _trial_id(field: str, name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or text.startswith("0") or len(text) > 18:
        raise InvalidArgument(field, name, "a trial id is a whole number from 1 up")
    return int(text)
