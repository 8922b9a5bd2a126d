"""A script written for Optuna: pruning, conditions, callbacks, user attributes and an enqueued trial.

It fits a curve through noisy points by gradient descent, and tunes which model, which optimiser, and how long.
"""

import math
import random
from collections.abc import Callable
from functools import partial

import optuna

STEPS = 30
POINTS = [(i / 20, math.sin(3 * i / 20) + random.Random(i).gauss(0, 0.05)) for i in range(21)]


def bump(x: float, center: float, width: float) -> float:
    return math.exp(-(((x - center) / width) ** 2))


def features(trial: optuna.Trial) -> list[Callable[[float], float]]:
    """The model: a polynomial, or bumps; each has parameters of its own."""
    model = trial.suggest_categorical("model", ["polynomial", "bumps"])
    if model == "polynomial":
        degree = trial.suggest_int("degree", 1, 7)
        return [partial(pow, exp=k) for k in range(degree + 1)]
    count = trial.suggest_int("count", 2, 12)
    width = trial.suggest_float("width", 0.05, 1.0, log=True)
    return [partial(bump, center=i / (count - 1), width=width) for i in range(count)]


def objective(trial: optuna.Trial) -> float:
    basis = features(trial)
    lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "momentum"])
    momentum = trial.suggest_float("momentum", 0.5, 0.99) if optimizer == "momentum" else 0.0
    trial.set_user_attr("weights", len(basis))

    weights, velocity = [0.0] * len(basis), [0.0] * len(basis)
    loss = math.inf
    for step in range(1, STEPS + 1):
        loss = 0.0
        for x, y in POINTS:
            values = [f(x) for f in basis]
            error = sum(w * v for w, v in zip(weights, values, strict=True)) - y
            loss += error**2 / len(POINTS)
            for i, value in enumerate(values):
                velocity[i] = momentum * velocity[i] - lr * error * value
                weights[i] = max(-1e3, min(1e3, weights[i] + velocity[i]))
        trial.report(loss, step)
        if trial.should_prune():
            raise optuna.TrialPruned(f"pruned at step {step}")
    return loss


def announce_best(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    if trial.state == optuna.trial.TrialState.COMPLETE and study.best_trial.number == trial.number:
        print(f"best so far: trial {trial.number} with {trial.value:.4f}")


def stop_when_good(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    if trial.value is not None and trial.value < 1e-6:
        study.stop()


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="curve",
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=8),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5),
    )
    study.set_user_attr("points", len(POINTS))
    study.enqueue_trial({"model": "polynomial", "degree": 3, "lr": 0.1, "optimizer": "sgd"}, user_attrs={"by": "hand"})
    study.optimize(objective, n_trials=40, callbacks=[announce_best, stop_when_good], catch=(OverflowError,))

    pruned = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.PRUNED])
    complete = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    print(f"{len(study.trials)} trials: {len(complete)} complete, {len(pruned)} pruned; {study.user_attrs}")
    first = study.trials[0]
    print(f"trial 0 was enqueued by {first.user_attrs['by']}: {first.params}")
    best = study.best_trial
    print(f"best: {best.value:.4f}, {best.user_attrs['weights']} weights, {best.params}")
    print(f"its steps: {len(best.intermediate_values)}, it took {best.duration.total_seconds():.2f} s")
    assert (best.params, best.value) == (study.best_params, study.best_value)


if __name__ == "__main__":
    main()
