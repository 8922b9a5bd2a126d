"""What a study's failed trials have in common, as commands show it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from ...domain.failures import MAX_LOOKED_AT, Common, Region, cases, common, sentences
from ...domain.study import Study
from ...domain.trial import EVALUATED, NOT_EVALUATED

if TYPE_CHECKING:
    from ..client import Client

EXAMPLES = 3
"""Trials named beside a sentence, the latest ones."""


def failures_of(client: Client, study: Study) -> Common:
    """Of the latest trials of the study; nothing is asked for if none failed."""
    if not any(study.counts[state] for state in NOT_EVALUATED):
        return Common()
    found = []
    for states in (NOT_EVALUATED, EVALUATED):
        found += cases(islice(client.list_trials(study.name, states=states, descending=True), MAX_LOOKED_AT))
    return common(found, study.spec.space)


def failure_lines(found: Common, study: Study, options: str = "") -> Iterator[str]:
    """A sentence for each thing that failures have in common, below it some of the trials, and how to see what one of
    them printed. `options`: for the commands that are named."""
    command = "logs" if study.spec.trial is not None else "show"
    for sentence in sentences(found):
        yield sentence.text
        latest = sentence.trials[-EXAMPLES:]
        others = len(sentence.trials) - len(latest)
        named = " and ".join(filter(None, [", ".join(map(str, latest[:-1])), str(latest[-1])]))
        which = f"trials {named}" if len(latest) > 1 else f"trial {named}"
        which += f" ({others} more)" if others else ""
        yield f"  {which}: wazir {command} {study.name.trial(latest[-1]).short}{options}"


def failures_data(found: Common) -> list[dict[str, object]]:
    """The same as plain data: a mapping for each kind of failure, and one without a cause for regions that several
    kinds share."""
    data: list[dict[str, object]] = [
        {
            "cause": group.cause.value,
            "words": group.words,
            "trials": list(group.trials),
            "explained": sorted(group.explained),
            "where": [_region_data(region) for region in group.regions],
        }
        for group in found.groups
    ]
    if found.shared:
        trials = sorted(i for region in found.shared for i in region.trials)
        where = [_region_data(region) for region in found.shared]
        data.append(
            {"cause": None, "words": "in different ways", "trials": trials, "explained": trials, "where": where}
        )
    return data


def _region_data(region: Region) -> dict[str, object]:
    rule = region.rule
    return {
        "parameters": str(rule),
        "failed": rule.covered,
        "of": rule.covered + rule.others,
        "trials": list(region.trials),
    }
