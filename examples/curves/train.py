"""Train a network of one hidden layer on the digits images with plain NumPy, epoch by epoch, with checkpoints.

An attempt goes on from the latest checkpoint of its trial, so that a trial that was paused, preempted or killed does
every epoch once.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import wazir

EPOCHS = 27

Array = NDArray[Any]
Weights = dict[str, Array]


def main() -> None:
    trial = wazir.current_trial()
    lr, momentum = float(trial.params.get("lr", 0.1)), float(trial.params.get("momentum", 0.9))
    hidden, batch = int(trial.params.get("hidden", 64)), int(trial.params.get("batch", 32))
    x, y = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(x / 16.0, y, test_size=0.25, stratify=y, random_state=0)

    rng = np.random.default_rng(0)
    weights: Weights = {
        "w1": rng.normal(0, 64**-0.5, (64, hidden)),
        "b1": np.zeros(hidden),
        "w2": rng.normal(0, hidden**-0.5, (hidden, 10)),
        "b2": np.zeros(10),
    }
    speed = {name: np.zeros_like(w) for name, w in weights.items()}
    latest = trial.checkpoint.latest()
    if latest is not None:
        with np.load(latest / "state.npz", allow_pickle=False) as stored:
            weights = {name: stored[name] for name in weights}
            speed = {name: stored[f"speed_{name}"] for name in weights}

    for epoch in range(trial.resume_step(), EPOCHS):
        # The same order of images whether or not the training was interrupted.
        for rows in np.array_split(np.random.default_rng(epoch).permutation(len(x)), len(x) // batch):
            gradients = backward(weights, x[rows], y[rows])
            for name, gradient in gradients.items():
                speed[name] = momentum * speed[name] - lr * gradient
                weights[name] = weights[name] + speed[name]
        loss = float(-np.log(forward(weights, x_val)[1][np.arange(len(y_val)), y_val] + 1e-12).mean())
        print(f"epoch {epoch + 1}: loss {loss:.4f}", flush=True)
        with trial.checkpoint.save(step=epoch + 1) as folder:
            state = {**weights, **{f"speed_{name}": v for name, v in speed.items()}}
            np.savez(folder / "state.npz", allow_pickle=False, **state)
        trial.report({"val/loss": loss}, step=epoch + 1)
        if trial.should_stop():
            break


def forward(weights: Weights, x: Array) -> tuple[Array, Array]:
    """Hidden activations and the probabilities of the ten digits."""
    h = np.maximum(x @ weights["w1"] + weights["b1"], 0)
    z = h @ weights["w2"] + weights["b2"]
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return h, z / z.sum(axis=1, keepdims=True)


def backward(weights: Weights, x: Array, y: Array) -> Weights:
    """Gradients of the mean cross-entropy."""
    h, p = forward(weights, x)
    d = p.copy()
    d[np.arange(len(y)), y] -= 1
    d /= len(y)
    dh = (d @ weights["w2"].T) * (h > 0)
    return {"w1": x.T @ dh, "b1": dh.sum(axis=0), "w2": h.T @ d, "b2": d.sum(axis=0)}


if __name__ == "__main__":
    main()
