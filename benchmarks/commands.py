"""What a command costs a person who waits for it: the CPU of its process, from its start to its end.

    python benchmarks/commands.py [--quick] [--json FILE]

Each command runs in a process of its own, as a shell starts it; CPU is what the kernel accounts to it, user and system,
and the least of several runs, because a shared machine only ever adds. The study that is looked at has 50 trials.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import arguments, publish

RUNS = 9

STUDY = """
study: mine
objective: {{metric: loss, goal: {goal}}}
algorithm: {{name: random, seed: 1}}
parameters: {{x: {{min: 0.0, max: 1.0}}}}
budget: {{trials: 50, parallel: 8}}
trial:
  command: [/bin/echo, "loss=${{x}}"]
  metrics: {{from: stdout}}
"""

COMMANDS = (
    "--version",
    "--help",
    "nonsense",
    "show mine --wrong-option",
    "run missing.yaml",
    "check bad.yaml",
    "run bad.yaml",
    "show nothing",
    "studies",
    "show mine",
    "trials mine",
    "best mine",
)
SERVED = ("studies", "show mine", "show nothing")
"""Once more, while another process serves the database."""

WAZIR = [sys.executable, "-c", "from wazir.app.main import main; main()"]


def cpu(command: list[str], folder: Path, runs: int) -> float:
    """Seconds of the quickest of the runs."""
    return min(_cpu_once(command, folder) for _ in range(runs))


def _cpu_once(command: list[str], folder: Path) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WAZIR_")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def served(folder: Path) -> Iterator[None]:
    server = subprocess.Popen([*WAZIR, "serve", "--listen", "127.0.0.1:0"], cwd=folder, stderr=subprocess.PIPE)
    assert server.stderr is not None
    server.stderr.readline()
    try:
        yield
    finally:
        server.terminate()
        server.communicate()


def main() -> None:
    options = arguments(__doc__ or "")
    runs = 3 if options.quick else RUNS
    figures: dict[str, float] = {}

    with tempfile.TemporaryDirectory(prefix="wazir-bench-") as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(STUDY.format(goal="minimize"))
        (folder / "bad.yaml").write_text(STUDY.format(goal="minimise"))
        subprocess.run([*WAZIR, "run", "study.yaml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)

        figures["python that does nothing, CPU s"] = cpu([sys.executable, "-c", "pass"], folder, runs)
        for command in COMMANDS:
            figures[f"wazir {command}, CPU s"] = cpu([*WAZIR, *command.split()], folder, runs)
        with served(folder):
            for command in SERVED:
                figures[f"wazir {command}, served by another, CPU s"] = cpu([*WAZIR, *command.split()], folder, runs)

    publish(figures, options.json)


if __name__ == "__main__":
    main()
