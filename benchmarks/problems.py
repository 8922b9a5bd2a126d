"""Problems that algorithms are compared on: surrogates of real tuning runs, BBOB functions, small scikit-learn models.

The data lies outside the repository, in the folder that `WAZIR_BENCHMARK_DATA` names: `open_problems.json` with the
problems' spaces and best known values, and the YAHPO-Gym surrogates (Pfisterer et al., AutoML-Conf 2022). All values
are losses: less is better. Evaluating the same point again gives the same value.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wazir.domain.parameters import Parameters, Value
from wazir.domain.space import Categorical, Condition, Discrete, Double, Integer, Kind, Parameter, Scale, Space

Loss = Callable[[Parameters], float]
Floats = NDArray[np.float64]

REFERENCES = Path(__file__).with_name("quality_references.json")
"""Best known values that `open_problems.json` does not state, and what random search reaches (`quality.py
reference`)."""

VALIDATION = (
    # Other instances of the same families, to see whether what helps on the open problems helps elsewhere.
    "lcbench-126029-err",
    "lcbench-167149-ce",
    "lcbench-189862-ce",
    "lcbench-34539-err",
    "xgb-1040-logloss",
    "xgb-41143-auc",
    "xgb-1486-logloss",
    "rpart-40975-logloss",
    "rpart-41163-auc",
    "bbob-f1-d10-i2",
    "bbob-f3-d5-i1",
    "bbob-f4-d3-i2",
    "bbob-f5-d5-i1",
    "bbob-f7-d5-i2",
    "bbob-f9-d4-i1",
    "bbob-f10-d10-i1",
    "bbob-f11-d3-i1",
    "bbob-f12-d5-i1",
    "bbob-f13-d5-i2",
    "bbob-f16-d5-i1",
    "bbob-f19-d3-i1",
    "bbob-f21-d5-i2",
    "bbob-f23-d2-i1",
)


@dataclass(frozen=True)
class Task:
    """One problem: `evaluate` gives the loss of a point of `space`."""

    name: str
    space: Space
    evaluate: Loss
    best_known: float | None


def data_folder() -> Path:
    folder = os.environ.get("WAZIR_BENCHMARK_DATA")
    if not folder:
        raise SystemExit("Set WAZIR_BENCHMARK_DATA to the folder with open_problems.json and the surrogates.")
    return Path(folder)


@cache
def open_problems() -> dict[str, dict[str, Any]]:
    return {p["name"]: p for p in json.loads((data_folder() / "open_problems.json").read_text())}


@cache
def references() -> dict[str, dict[str, Any]]:
    return json.loads(REFERENCES.read_text()) if REFERENCES.exists() else {}


def task(name: str) -> Task:
    """The problem of that name: one of `open_problems()`, or made from its name as those of VALIDATION are."""
    described = open_problems().get(name) or _described(name)
    space = Space(tuple(_parameter(p) for p in described["space"]))
    best = references().get(name, {}).get("best_known", described.get("best_known"))
    make = described["make"]
    if "ioh_bbob_fid" in make:
        evaluate, optimum = _bbob(make["ioh_bbob_fid"], make["instance"], make["dimension"])
        best = optimum if best is None else best
    elif "sklearn" in make:
        evaluate = _trained(**make["sklearn"])
    else:
        evaluate = _surrogate(make["scenario"], make["instance"], make["target"], make["minimise"], make["fixed"])
    return Task(name, space, evaluate, best)


@dataclass(frozen=True)
class CurveTask:
    """One problem whose trials are trained epoch by epoch: `curves` gives the losses of points, (n, epochs)."""

    name: str
    space: Space
    curves: Callable[[Sequence[Parameters]], Floats]
    epochs: int
    best_known: float | None
    """At any epoch, where it is stated."""


def curve_tasks() -> list[str]:
    """The open problems with curves, and for the other instances to choose and validate on one each."""
    stated = [n for n, p in open_problems().items() if p["family"] == "lcbench"]
    encoding = json.loads((data_folder() / "lcbench" / "encoding.json").read_text())
    used = {n.split("-")[1] for n in stated}
    others = sorted(i for i in encoding["OpenML_task_id"] if i.isdigit() and i not in used)
    return [*stated, *(f"lcbench-{i}-{'ce' if k % 2 else 'err'}" for k, i in enumerate(others))]


def curve_task(name: str) -> CurveTask:
    described = open_problems().get(name) or _described(name)
    space = Space(tuple(_parameter(p) for p in described["space"]))
    make = described["make"]
    losses = _losses(make["scenario"], make["instance"], make["target"], make["minimise"])
    epochs = int(make["fixed"]["epoch"])

    def curves(points: Sequence[Parameters]) -> Floats:
        return losses(points, range(1, epochs + 1)).reshape(-1, epochs)

    return CurveTask(name, space, curves, epochs, described.get("best_known_any_epoch"))


def _described(name: str) -> dict[str, Any]:
    """`bbob-f3-d5-i1`, `lcbench-TASK-ce|err`, `xgb-TASK-auc|logloss`, `rpart-TASK-auc|logloss`."""
    family, which, *rest = name.split("-")
    if family == "bbob":
        dimension, instance = (int(part[1:]) for part in rest)
        space = [{"name": f"x{i}", "type": "double", "low": -5.0, "high": 5.0} for i in range(dimension)]
        return {
            "space": space,
            "make": {"ioh_bbob_fid": int(which[1:]), "instance": instance, "dimension": dimension},
        }
    like = {"lcbench": "lcbench-3945-ce", "xgb": "xgb-1494-auc", "rpart": "rpart-1489-auc"}[family]
    target, minimise = {
        "ce": ("val_cross_entropy", "value"),
        "err": ("val_accuracy", "100 - value"),
        "auc": ("auc", "1 - value"),
        "logloss": ("logloss", "value"),
    }[rest[0]]
    described = open_problems()[like]
    make = {**described["make"], "instance": which, "target": target, "minimise": minimise}
    return {"space": described["space"], "make": make}


def _parameter(p: Mapping[str, Any]) -> Parameter:
    scale = Scale.LOG if p.get("log") else Scale.LINEAR
    kind: Kind
    if p["type"] == "int":
        kind = Integer(p["low"], p["high"], scale)
    elif p["type"] == "double":
        kind = Double(p["low"], p["high"], scale)
    elif p["type"] == "discrete":
        kind = Discrete(tuple(p["values"]))
    else:
        kind = Categorical(tuple(p["choices"]))
    when = (Condition(p["parent"]["name"], tuple(p["parent"]["values"])),) if "parent" in p else ()
    return Parameter(p["name"], kind, when=when)


def _bbob(function: int, instance: int, dimension: int) -> tuple[Loss, float]:
    import ioh

    problem: Any = ioh.get_problem(function, instance, dimension, ioh.ProblemClass.BBOB)

    def evaluate(point: Parameters) -> float:
        return float(problem([float(point[f"x{i}"]) for i in range(dimension)]))

    return evaluate, float(problem.optimum.y)


@cache
def _session(scenario: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(data_folder() / scenario / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )


TARGETS = {
    "lcbench": [
        "time",
        "val_accuracy",
        "val_cross_entropy",
        "val_balanced_accuracy",
        "test_cross_entropy",
        "test_balanced_accuracy",
    ],
    "rbv2": ["acc", "bac", "auc", "brier", "f1", "logloss", "timetrain", "timepredict", "memory"],
}
INPUTS = {
    "lcbench": (
        ["OpenML_task_id"],
        [
            "epoch",
            "batch_size",
            "learning_rate",
            "momentum",
            "weight_decay",
            "num_layers",
            "max_units",
            "max_dropout",
        ],
    ),
    "rbv2_xgboost": (
        ["task_id", "booster", "num.impute.selected.cpo"],
        [
            "nrounds",
            "eta",
            "gamma",
            "lambda",
            "alpha",
            "subsample",
            "max_depth",
            "min_child_weight",
            "colsample_bytree",
            "colsample_bylevel",
            "rate_drop",
            "skip_drop",
            "trainsize",
            "repl",
        ],
    ),
    "rbv2_rpart": (
        ["task_id", "num.impute.selected.cpo"],
        ["cp", "maxdepth", "minbucket", "minsplit", "trainsize", "repl"],
    ),
}


def _surrogate(scenario: str, instance: str, target: str, minimise: str, fixed: Mapping[str, float]) -> Loss:
    losses = _losses(scenario, instance, target, minimise)
    return lambda point: float(losses([{**point, **fixed}], ())[0])


def _losses(
    scenario: str, instance: str, target: str, minimise: str
) -> Callable[[Sequence[Mapping[str, Value]], Sequence[int]], Floats]:
    session = _session(scenario)
    encoding = json.loads((data_folder() / scenario / "encoding.json").read_text())
    categories, numbers = INPUTS[scenario]
    column = TARGETS[scenario.partition("_")[0]].index(target)
    names = [i.name for i in session.get_inputs()]
    offset, sign = {"value": (0.0, 1.0), "1 - value": (1.0, -1.0), "100 - value": (100.0, -1.0)}[minimise]

    def losses(points: Sequence[Mapping[str, Value]], epochs: Sequence[int]) -> Floats:
        """Of each point in turn, at each of the epochs where there are any."""
        whole = [{**point, categories[0]: instance} for point in points]
        xc = np.array([[encoding[c][str(p.get(c, "#na#"))] for c in categories] for p in whole], dtype=np.int32)
        xn = np.array([[float(p.get(n, 0.0)) for n in numbers] for p in whole], dtype=np.float32)
        if epochs:
            xc, xn = xc.repeat(len(epochs), axis=0), xn.repeat(len(epochs), axis=0)
            xn[:, numbers.index("epoch")] = np.tile(epochs, len(points))
        (found,) = session.run(None, {names[0]: xc, names[1]: xn})
        return offset + sign * np.asarray(found[:, column], dtype=np.float64)

    return losses


def _trained(model: str, dataset: str, n: int, folds: int = 3, epochs: int = 6) -> Loss:
    """Cross-validated loss of a scikit-learn model on the first `n` rows of a shuffled data set.

    Log loss, or for regression the mean squared error divided by the variance. A training that fails or diverges
    has the loss of one that knows nothing, times ten.
    """
    from sklearn import datasets, metrics, model_selection

    x, y = getattr(datasets, f"load_{dataset}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:n]
    x, y = x[order], y[order]
    regression = dataset == "diabetes"
    splitter = (model_selection.KFold if regression else model_selection.StratifiedKFold)(
        folds, shuffle=True, random_state=0
    )
    make = {"sgd": _sgd, "gb": _gb, "mlp": _mlp}[model]

    def evaluate(point: Parameters) -> float:
        losses = []
        for train, test in splitter.split(x, y):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    fitted = make(point, epochs).fit(x[train], y[train])
                    if regression:
                        loss = metrics.mean_squared_error(y[test], fitted.predict(x[test])) / np.var(y)
                    else:
                        loss = metrics.log_loss(y[test], fitted.predict_proba(x[test]))
                except (ValueError, FloatingPointError):
                    loss = 10.0
            losses.append(min(float(loss), 10.0))
        return float(np.mean(losses))

    return evaluate


def _sgd(point: Parameters, epochs: int) -> Any:
    from sklearn import decomposition, linear_model, pipeline, preprocessing

    scalers: dict[Value, Callable[[], Any]] = {
        "standard": preprocessing.StandardScaler,
        "minmax": preprocessing.MinMaxScaler,
        "quantile": lambda: preprocessing.QuantileTransformer(n_quantiles=50, random_state=0),
    }
    classifier = linear_model.SGDClassifier(
        loss="log_loss",
        alpha=point["alpha"],
        penalty=point["penalty"],
        l1_ratio=point.get("l1_ratio", 0.15),
        learning_rate=point["schedule"],
        eta0=point.get("eta0", 0.01),
        power_t=point.get("power_t", 0.5),
        max_iter=int(point["epochs"]),
        tol=None,
        random_state=0,
    )
    return pipeline.make_pipeline(
        scalers[point["scaler"]](), decomposition.PCA(int(point["pca"]), random_state=0), classifier
    )


def _gb(point: Parameters, epochs: int) -> Any:
    from sklearn import ensemble

    return ensemble.GradientBoostingRegressor(
        random_state=0,
        **{
            name: point[name]
            for name in (
                "learning_rate",
                "n_estimators",
                "max_depth",
                "subsample",
                "min_samples_leaf",
                "max_features",
            )
        },
    )


def _mlp(point: Parameters, epochs: int) -> Any:
    from sklearn import neural_network, pipeline, preprocessing

    network = neural_network.MLPClassifier(
        hidden_layer_sizes=(int(point["hidden"]),) * int(point["layers"]),
        learning_rate_init=point["lr"],
        alpha=point["alpha"],
        batch_size=int(point["batch"]),
        activation=point["activation"],
        solver=point["solver"],
        momentum=point.get("momentum", 0.9),
        beta_1=point.get("beta1", 0.9),
        max_iter=epochs,
        random_state=0,
    )
    return pipeline.make_pipeline(preprocessing.StandardScaler(), network)


def names(chosen: Sequence[str]) -> list[str]:
    """Problems by name; `open` and `validation` stand for those sets."""
    found: list[str] = []
    for name in chosen:
        found += {"open": list(open_problems()), "validation": list(VALIDATION)}.get(name, [name])
    return found
