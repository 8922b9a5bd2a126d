"""What local trials cost: CPU of service and controller a trial, and of reporting on the training's own thread.

    python benchmarks/local.py [--quick] [--json FILE]

A study of 1,000 trials that only print their metric, 8 at a time, run by `wazir run` as a user would. CPU is what the
kernel accounts to the process and all it started and waited for: service, controller, launcher, supervisors, and the
trials themselves, which the floor (the same programs started by `subprocess.run`) tells apart. Best of five runs of
each caller-side figure, because a shared machine only ever adds.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import arguments, publish

STUDY = """
study: instant
objective: {{metric: loss, goal: minimize}}
algorithm: {{name: random, seed: 1}}
parameters:
  x: {{min: 0.0, max: 1.0}}
  y: {{min: 1e-5, max: 1e-1, scale: log}}
  n: {{type: int, min: 1, max: 64}}
  kind: {{values: [a, b, c]}}
budget: {{trials: {trials}, parallel: 8}}
trial:
  command: [/bin/echo, "loss=${{x}}", "${{args}}"]
  metrics: {{from: stdout}}
"""


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_study(trials: int) -> tuple[float, float]:
    """CPU and wall seconds of a whole study, start and end of the process included."""
    with tempfile.TemporaryDirectory(prefix="wazir-bench-") as folder:
        file = Path(folder) / "study.yaml"
        file.write_text(STUDY.format(trials=trials))
        before, start = children_cpu(), time.monotonic()
        command = [sys.executable, "-c", "from wazir.app.main import main; main()", "run", str(file)]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return children_cpu() - before, time.monotonic() - start


def run_floor(trials: int) -> float:
    """CPU seconds of starting as many programs with nothing around them."""
    before = children_cpu()
    own = time.process_time()
    for _ in range(trials):
        subprocess.run(["/bin/echo", "loss=0.5"], check=True, stdout=subprocess.DEVNULL)
    return children_cpu() - before + time.process_time() - own


CALLER = """
import time, wazir
from wazir.domain.trial import Measurement
trial = wazir.current_trial()
def cost(call, n=20_000):
    best = 1e9
    for _ in range(5):
        # The thread's own CPU: what sends the reports runs on another.
        start = time.thread_time_ns()
        for i in range(n // 5):
            call(i)
        best = min(best, (time.thread_time_ns() - start) / (n // 5) / 1000)
    return best
import sys
report = cost(lambda i: trial.report({"loss": 0.5}, step=i))
stop = cost(lambda i: trial.should_stop())
print(f"report_us={report}", f"should_stop_us={stop}")
trial.report({"loss": 0.5}, step=10**6)
"""

CALLER_STUDY = """
study: caller
objective: {{metric: loss, goal: minimize}}
algorithm: {{name: random, seed: 1}}
parameters: {{x: {{min: 0.0, max: 1.0}}}}
budget: {{trials: 1, parallel: 1}}
trial: {{command: [python, {script}, "${{args}}"]}}
"""


def run_caller() -> dict[str, float]:
    """Microseconds of one call on the training's thread, with a real service at the other end."""
    with tempfile.TemporaryDirectory(prefix="wazir-bench-") as folder:
        script = Path(folder) / "train.py"
        script.write_text(CALLER)
        file = Path(folder) / "study.yaml"
        file.write_text(CALLER_STUDY.format(script=script))
        command = [sys.executable, "-c", "from wazir.app.main import main; main()"]
        subprocess.run([*command, "run", str(file)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        logs = subprocess.run([*command, "logs", "caller/1"], cwd=folder, check=True, capture_output=True, text=True)
        pairs = (word.split("=") for word in logs.stdout.split() if word.count("=") == 1)
        return {name: float(value) for name, value in pairs}


def main() -> None:
    options = arguments(__doc__)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    trials = 200 if options.quick else 1_000
    cpu, wall = run_study(trials)
    one, _ = run_study(1)
    floor = run_floor(trials)
    figures = {
        "trials": float(trials),
        "cpu_ms_per_trial_with_the_trials": 1000 * cpu / trials,
        "floor_ms_per_trial": 1000 * floor / trials,
        "cpu_ms_per_trial": 1000 * (cpu - floor) / trials,
        "start_and_end_cpu_s": one,
        "wall_ms_per_trial": 1000 * wall / trials,
        **run_caller(),
    }
    publish(figures, options.json)


if __name__ == "__main__":
    main()
