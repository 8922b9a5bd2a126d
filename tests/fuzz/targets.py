"""What is fuzzed: functions that take any bytes and raise only if Wazir is at fault.

What they call is imported when a target is made, because it has to be instrumented first.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

Target = Callable[[bytes], None]

CPU_LIMIT = 1.0
"""Seconds of CPU that one call may take, whatever it is given. Not of the clock: these machines do other work too."""

CALLS_TO_ONE_SERVER = 2_000
"""Then a fresh one serves, so that what earlier calls have made does not slow later ones down."""


class TooSlow(Exception):
    """A call took more CPU than it may."""


def timed(call: Target) -> Target:
    """`call`, which raises TooSlow beyond the limit."""

    def limited(data: bytes) -> None:
        began = time.process_time()
        call(data)
        if (took := time.process_time() - began) > CPU_LIMIT:
            raise TooSlow(f"{took:.1f} s of CPU")

    return limited


def constraint() -> Target:
    """The expression language: parsed, and evaluated for a few values."""
    from wazir.domain.constraint import ConstraintSyntaxError, parse
    from wazir.domain.parameters import Value

    values: list[dict[str, Value]] = [
        {"lr": 1e-3, "batch": 64, "opt": "sgd", "on": True},
        {"lr": 0.0, "batch": -(2**62), "opt": "", "on": False},
        {"lr": 1e308, "batch": 2**62, "opt": "9" * 400, "on": True},
    ]

    def run(data: bytes) -> None:
        try:
            made = parse(data.decode("utf-8", "surrogateescape"))
        except ConstraintSyntaxError as refusal:
            str(refusal)
            return
        for parameters in values:
            made.holds(parameters)
        assert parse(made.text) == made

    return run


def study_file() -> Target:
    """The YAML reader, and what makes a specification of what it read."""
    from wazir.clients.study_file import dump, load
    from wazir.domain.errors import WazirError

    # In memory if the system has such a folder, because a file is written for each call.
    folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    path = Path(folder.name) / "study.yaml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        try:
            study = load(path)
        except WazirError as refusal:
            str(refusal)
            return
        # What was read can be written, and read again.
        path.write_text(dump(study.study_id, study.spec))
        assert load(path).spec == study.spec, folder.name

    return run


def stdout() -> Target:
    """The reader of what training code prints, by the default rule and by a pattern, in pieces of any size."""
    from wazir.clients.collect.stdout import StdoutReader

    pattern = r"(?P<name>[\w/]+)\s*=\s*(?P<value>\S+)(?:.*step (?P<step>\d+))?"

    def run(data: bytes) -> None:
        piece = 1 + (data[0] if data else 0)
        for used in ("", pattern):
            reader = StdoutReader(["loss", "val/loss"], used, ["lr"])
            for start in range(1, len(data), piece):
                reader.feed(data[start : start + piece], 0.0)
            reader.finish(0.0)
            [str(doubt) for doubt in reader.doubts.values()]

    return run


def protobuf() -> Target:
    """Any bytes as the request of any call, to a server that asks for a token: the first byte chooses the call."""
    from wazir.storage.memory import MemoryStore

    from ..security.serving import serving
    from ..security.target import METHODS, REFUSALS, UNLIMITED
    from ..security.target import Target as Service

    methods = sorted(METHODS)
    stack = ExitStack()
    calls = 0
    changed = True
    service: Service | None = None

    def fresh() -> Service:
        stack.close()
        made = Service(stack.enter_context(serving(UNLIMITED, MemoryStore())), "memory")
        stack.callback(made.close)
        return made

    def run(data: bytes) -> None:
        nonlocal calls, changed, service
        if service is None or calls % CALLS_TO_ONE_SERVER == 0:
            service, changed = fresh(), True
        calls += 1
        if changed:
            service.prepare()

        error = service.send(methods[data[0] % len(methods)] if data else methods[0], data[1:])
        # What is refused has changed nothing.
        changed = error is None
        if error is not None and error.code() not in REFUSALS:
            raise AssertionError(f"{error.code()}: {error.details()}")

    return run


TARGETS: dict[str, Callable[[], Target]] = {
    "constraint": constraint,
    "protobuf": protobuf,
    "stdout": stdout,
    "study_file": study_file,
}
