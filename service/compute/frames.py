"""What the service and its workers say to each other: JSON, each message behind its length.

JSON and not pickle: a worker runs other people's algorithms, and what it answers must be able to do nothing but be
read. The specification of a study travels in the API's own format. Numbers keep their type and every digit on the way.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from ...domain.study import StudySpec
from ...proto.v1 import study_pb2
from ...suggestion.designer import New, Observation, Outcome, Resume, Suggestions
from ...wire.study import spec_from_wire, spec_to_wire

HEADER: Final = struct.Struct(">I")
"""The length of what follows, in bytes."""

MAX_FRAME: Final = 64 * 1024 * 1024
"""Bytes. The largest real ones are a tenth of that: what 1,000 points with their details take."""

Message = dict[str, Any]


def pack(message: Message) -> bytes:
    """Raises TypeError or ValueError for what JSON cannot say, such as a number of numpy's own types."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > MAX_FRAME:
        raise ValueError(f"a message of {len(body)} bytes is too long; {MAX_FRAME} are the most")
    return HEADER.pack(len(body)) + body


def unpack(body: bytes) -> Message:
    """Raises ValueError."""
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("a message must be a JSON object")
    return message


def spec_to_text(spec: StudySpec) -> str:
    """What algorithms look at of a specification."""
    seen = replace(spec, stopping=None, trial=None, labels={})
    return b64encode(spec_to_wire(seen).SerializeToString()).decode()


def spec_from_text(text: str) -> StudySpec:
    return spec_from_wire(study_pb2.StudySpec.FromString(b64decode(text)))


def observation_to_row(o: Observation) -> list[Any]:
    return [
        o.trial_id,
        dict(o.parameters),
        o.outcome.value,
        list(o.values),
        o.end_time,
        o.counted,
        o.until_step,
        o.bracket,
        [[list(point) for point in curve] for curve in (o.curve, *o.other_curves)],
        o.seconds,
        o.timed_out,
    ]


def observation_from_row(row: Sequence[Any]) -> Observation:
    number, parameters, outcome, values, end_time, counted, until, bracket, curves, seconds, timed_out = row
    first, *others = (tuple((step, value) for step, value in curve) for curve in curves)
    about = number, parameters, Outcome(outcome), tuple(values), end_time, counted, until, bracket
    return Observation(*about, first, tuple(others), seconds, timed_out)


def suggestions_to_message(found: Suggestions) -> Message:
    return {
        "proposals": [_proposal_to_row(p) for p in found.proposals],
        "memo": found.memo,
        "exhausted": bool(found.exhausted),
    }


def suggestions_from_message(message: Message) -> Suggestions:
    """Raises KeyError, TypeError or ValueError where it is none."""
    return Suggestions([_proposal_from_row(r) for r in message["proposals"]], message["memo"], message["exhausted"])


def _proposal_to_row(p: New | Resume) -> list[Any]:
    if isinstance(p, New):
        return ["new", dict(p.parameters), p.why, dict(p.details), p.until_step, p.checkpoint_of, p.stand_in]
    return ["resume", p.trial, p.until_step, p.why]


def _proposal_from_row(row: Sequence[Any]) -> New | Resume:
    kind, *fields = row
    if kind == "new":
        return New(*fields)
    return Resume(*fields)
