"""Labels and metadata: free text by key, on studies and trials."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..domain.errors import InvalidArgument
from ..domain.names import StudyName, TrialName
from ..domain.size import size_of_texts
from ..domain.totals import MAX_STUDY_METADATA, MAX_TRIAL_METADATA, check_count, check_metadata
from ..storage.store import Transaction
from .feed import Change
from .quotas import UNLIMITED, Quotas
from .unit import Unit

MAX_LABELS = 256
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?")


def check_labels(where: str, labels: Mapping[str, str]) -> None:
    """Labels are short, so that filters and Kubernetes take them."""
    check_count(where, len(labels), MAX_LABELS)
    for key, value in labels.items():
        if len(key) > 63 or not _LABEL.fullmatch(key):
            raise InvalidArgument(
                f"{where}.{key}", key, "a label's name has 1 to 63 letters, digits, '-', '_', '.', '/'"
            )
        if len(value) > 63 or (value and not _LABEL.fullmatch(value)):
            raise InvalidArgument(f"{where}.{key}", value, "a label has at most 63 letters, digits, '-', '_', '.', '/'")


def update(
    tx: Transaction,
    name: StudyName | TrialName,
    put: Mapping[str, str],
    remove: Iterable[str],
    now: float,
    quotas: Quotas = UNLIMITED,
) -> tuple[dict[str, str], Change | None]:
    """Sets and removes keys; answers with all of them. Raises NotFound, InvalidArgument."""
    unit = Unit.lock(tx, name if isinstance(name, StudyName) else name.parent, now, quotas)
    gone = set(remove)
    owner = unit.study if isinstance(name, StudyName) else unit.trial(name.id)
    metadata = {k: v for k, v in {**owner.metadata, **put}.items() if k not in gone}
    most = MAX_STUDY_METADATA if isinstance(name, StudyName) else MAX_TRIAL_METADATA
    check_metadata("metadata", metadata, most)
    if (more := size_of_texts(metadata) - size_of_texts(owner.metadata)) > 0:
        quotas.admit(tx, name.owner, size=more)
    if isinstance(name, StudyName):
        unit.study = replace(unit.study, metadata=metadata, size=unit.study.size + more)
    else:
        trial = unit.trial(name.id)
        if metadata != trial.metadata:
            unit.put(trial, replace(trial, metadata=metadata))
    return metadata, unit.finish()
