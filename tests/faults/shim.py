"""A disk that fails or is slow, and a clock that is wrong, for one process that a test starts (shim.c)."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

from ..postgres import missing

SOURCE = Path(__file__).with_name("shim.c")


class Shim:
    """Give `environment` to the process; from then on it does what the last call here said."""

    def __init__(self, folder: Path) -> None:
        """Skips the test if there is no C compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            missing("a C compiler (Debian, Ubuntu: apt install gcc libc6-dev)")
        assert compiler is not None

        folder.mkdir(parents=True, exist_ok=True)
        library = folder / "shim.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)

        self._rules = folder / "rules"
        self._clock = folder / "rules.clock"
        self._clock.write_bytes(struct.pack("d", 0.0))
        self.environment = {"LD_PRELOAD": str(library), "WAZIR_TEST_SHIM": str(self._rules)}

    def fail(self, *calls: str, error: int = 0, seconds: float = 0.0, nth: int = 1, path: str) -> None:
        """Each `nth` of the `calls` ("write", "sync") on files whose path contains `path` takes `seconds` longer and
        fails with the errno `error`; with 0 it succeeds."""
        rules = [f"{call} {error} {round(seconds * 1000)} {nth} {path}" for call in calls]
        draft = self._rules.with_suffix(".draft")
        draft.write_text("\n".join(rules))
        draft.replace(self._rules)

    def heal(self) -> None:
        """The disk is well again; the clock stays as it is."""
        self._rules.unlink(missing_ok=True)

    def set_clock(self, seconds: float) -> None:
        """By how much the process's wall clock is ahead of the machine's."""
        file = os.open(self._clock, os.O_WRONLY)
        os.pwrite(file, struct.pack("d", seconds), 0)
        os.close(file)
