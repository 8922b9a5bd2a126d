"""What one transaction hands out of a round that was computed before it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wazir.domain.space import Double, Parameter, Space
from wazir.service.handing_out import Ask, Round, hand_out
from wazir.service.requests import Request
from wazir.service.trials import Enqueued, create
from wazir.service.unit import Lease
from wazir.storage.memory import MemoryStore
from wazir.storage.store import DuplicatePoint, TrialFilter
from wazir.suggestion.designer import New, Suggestions

from ..contract.store import NAME, insert, new_study

POINT = {"x": 0.5}
SPACE = Space((Parameter("x", Double(0.0, 1.0)),))


@pytest.mark.parametrize("parameters", [POINT, {"x": 0.25}], ids=["the same point", "another one"])
def test_a_point_enqueued_after_the_history_was_read_is_found(parameters: dict[str, float]) -> None:
    store = MemoryStore()
    draft = new_study()
    insert(store, replace(draft, spec=replace(draft.spec, space=SPACE)))
    study = store.read(lambda view: view.study(NAME))
    found = Round.of(study, 1, Suggestions([New(POINT, "drawn at random")]), ("random", 1), "")
    store.write(lambda tx: create(tx, NAME, Enqueued(parameters), Request("default", "CreateTrial"), 1.0))
    asks = [Ask(NAME, 2, "w", True, False, Lease(60.0), Request("default", "SuggestTrials"))]
    if parameters == POINT:
        with pytest.raises(DuplicatePoint):
            store.write(lambda tx: hand_out(tx, NAME, asks, found, 1.0))
    else:
        store.write(lambda tx: hand_out(tx, NAME, asks, found, 1.0))
        trials = store.read(lambda view: view.trials(study, TrialFilter(), 0, 10))
        assert [t.parameters for t in trials] == [parameters, POINT]
