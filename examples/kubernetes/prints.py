"""Gradient descent on Rosenbrock's function. It prints what it does, and that is all that Wazir gets of it."""

import argparse
import time

STEPS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--decay", type=float, default=0.0)
    args = parser.parse_args()
    x, y = -1.2, 1.0
    for step in range(1, STEPS + 1):
        rate = args.lr / (1 + args.decay * step)
        for _ in range(50):
            dx, dy = -2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)
            # A step of length `rate`: Rosenbrock's valley is too steep for plain ones.
            length = max(1e-12, (dx * dx + dy * dy) ** 0.5)
            x, y = x - rate * dx / length, y - rate * dy / length
        print(f"step={step} loss={(1 - x) ** 2 + 100 * (y - x * x) ** 2:.6g}", flush=True)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
