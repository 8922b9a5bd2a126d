"""What the studies of this folder cost and found: `python examples/curves/compare.py` after both have run."""

import json
import subprocess
from typing import Any


def trials(study: str) -> list[dict[str, Any]]:
    command = ["wazir", "trials", study, "-o", "json"]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def epochs(study: str, trial: dict[str, Any]) -> int:
    """How many epochs were trained: the last step that the trial reported."""
    command = ["wazir", "show", f"{study}/{trial['id']}", "-o", "json"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return max((m["step"] for m in shown["measurements"]), default=0)


def main() -> None:
    spent: dict[str, int] = {}
    for study in ("curves-full", "curves-asha"):
        found = trials(study)
        spent[study] = sum(epochs(study, trial) for trial in found)
        best = min(t["metrics"]["val/loss"] for t in found if t["metrics"])
        print(f"{study:12}  {len(found)} trials  {spent[study]:4} epochs  best val/loss {best:.4f}")
    print(f"saved {1 - spent['curves-asha'] / spent['curves-full']:.0%} of the epochs")


if __name__ == "__main__":
    main()
