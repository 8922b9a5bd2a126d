"""What a script prints beside the metrics of its study: what is kept, under which name and at which step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.clients.collect.others import MAX_NAMES
from wazir.clients.collect.stdout import StdoutReader

NOW = 1_700_000_000.0

Curve = dict[int, float]


def curves(output: str, *wanted: str, pattern: str = "", parameters: tuple[str, ...] = ("lr", "optim.decay")) -> object:
    """By name, the value at each step, as the service keeps them: a later report of a step replaces an earlier one."""
    reader = StdoutReader(wanted or ("val",), pattern, parameters)
    found: dict[str, Curve] = {}
    for measurement in [*reader.feed(output.encode(), NOW), *reader.finish(NOW)]:
        for name, value in measurement.metrics.items():
            found.setdefault(name, {})[measurement.step] = value
    return found


# On the line of an objective


@pytest.mark.parametrize(
    ("line", "others", "reason"),
    [
        ("epoch 3 loss=0.9 val=0.5", {"loss": 0.9}, "training and validation on one line"),
        ("Epoch 3/50 - loss: 0.9 - acc: 0.1 - val: 0.5", {"loss": 0.9, "acc": 0.1}, "as Keras prints it"),
        ('{"epoch": 3, "val": 0.5, "train/loss": 0.9}', {"train/loss": 0.9}, "a line of JSON"),
        ("{'epoch': 3, 'val': 0.5, 'loss': '0.9'}", {"loss": 0.9}, "a dictionary of texts, as Transformers prints it"),
        ("epoch 3, Train loss: 0.9, val: 0.5", {"Train loss": 0.9}, "a name of two words"),
        ("epoch 3 INFO loss=0.9 val=0.5", {"loss": 0.9}, "a log level is no part of a name"),
        ("epoch 3 val=0.5 mAP50-95=0.1 acc@1=0.2", {"mAP50-95": 0.1, "acc@1": 0.2}, "marks within names"),
        ("epoch 3 val=0.5 lr=0.01", {}, "a parameter is no metric"),
        ("epoch 3 val=0.5 LR: 0.01 decay=0.1", {}, "however it is spelled"),
        ("epoch 3 step=40 val=0.5 iter=7 global_step=3", {}, "counters are no metrics"),
        ("epoch 3 loss=0.9 val=0.5 loss=0.8", {}, "one name with two values: nobody knows which"),
        ("epoch 3 val=0.5 time=12ms date=2024-01-01", {}, "not numbers"),
        ("12:30:05 train.py:12 epoch 3 val=0.5 on cuda:0", {}, "times and places"),
        ("epoch 3 val=0.5 opt=adam loss=0.9", {"loss": 0.9}, "the value of a pair is no part of the next name"),
    ],
)
def test_what_stands_beside_an_objective_has_its_step(line: str, others: dict[str, float], reason: str) -> None:
    step = 40 if "step=40" in line else 3
    expected = {"val": {step: 0.5}} | {name: {step: value} for name, value in others.items()}
    assert curves(line) == expected, reason


# On lines of their own


def test_training_before_validation_goes_with_it() -> None:
    output = "loss=3\nval=30\nloss=2\nval=20\nloss=1\nval=10\n"
    assert curves(output) == {"val": {1: 30, 2: 20, 3: 10}, "loss": {1: 3, 2: 2, 3: 1}}


def test_training_after_validation_goes_with_it() -> None:
    output = "val=30\nloss=3\nval=20\nloss=2\nval=10\nloss=1\n"
    assert curves(output) == {"val": {1: 30, 2: 20, 3: 10}, "loss": {1: 3, 2: 2, 3: 1}}


def test_steps_that_lines_name_bring_them_together() -> None:
    output = "epoch 1 loss=3\nepoch 1 val=30\nepoch 2 val=20\nepoch 2 loss=2\nepoch 3 loss=1\nepoch 3 val=10\n"
    assert curves(output) == {"val": {1: 30, 2: 20, 3: 10}, "loss": {1: 3, 2: 2, 3: 1}}


def test_others_make_no_steps_of_their_own() -> None:
    # Pausing, stopping and promoting count the steps of a trial, and these are batches.
    output = "".join(f"step {batch} loss={batch}\n" for batch in range(1, 100)) + "val=30\n"
    output += "".join(f"step {batch} loss={batch}\n" for batch in range(100, 200)) + "val=20\n"
    assert curves(output) == {"val": {1: 30, 2: 20}, "loss": {1: 99, 2: 199}}


def test_what_is_printed_at_the_end_goes_with_the_last_objective() -> None:
    assert curves("epoch 1 val=30\nepoch 2 val=20\ntest accuracy: 0.9\nsize=7\n") == {
        "val": {1: 30, 2: 20},
        "test accuracy": {2: 0.9},
        "size": {2: 7},
    }


def test_the_start_of_a_step_that_was_never_finished_is_not_the_last_ones() -> None:
    assert curves("epoch 1 loss=3 val=30\nepoch 2 loss=2\n") == {"val": {1: 30}, "loss": {1: 3}}


def test_a_script_that_prints_each_metric_once() -> None:
    assert curves("loss=3\nacc: 0.9\nval=30\n") == {"val": {1: 30}, "loss": {1: 3}, "acc": {1: 0.9}}


def test_without_an_objective_nothing_is_kept_and_the_names_are_known() -> None:
    reader = StdoutReader(("val",))
    assert [*reader.feed(b"loss=3\nepoch 2 acc=1\n", NOW), *reader.finish(NOW)] == []
    assert sorted(reader.others.printed) == ["acc", "loss"]


# Settings


def test_settings_that_a_script_prints_at_its_start_are_no_metrics() -> None:
    settings = "lr=0.1 batch=32 epochs=50 seed=3\nseed: 3\nworkers: 4\n{'lr': 0.1, 'hidden': 64}\n"
    assert curves(settings + "loss=3\nval=30\nloss=2\nval=20\n") == {"val": {1: 30, 2: 20}, "loss": {1: 3, 2: 2}}


def test_a_parameter_that_a_pattern_finds_is_a_metric() -> None:
    pattern = r"(?P<name>\w+) is (?P<value>\S+)"
    assert curves("val is 30 lr is 0.1 loss is 3", pattern=pattern) == {
        "val": {1: 30},
        "lr": {1: 0.1},
        "loss": {1: 3},
    }


def test_a_pattern_with_steps() -> None:
    pattern = r"@(?P<step>\d+) (?P<name>\w+) (?P<value>\S+)"
    assert curves("@7 loss 3 @7 val 30 @8 val 20\n@8 loss 2", pattern=pattern) == {
        "val": {7: 30, 8: 20},
        "loss": {7: 3, 8: 2},
    }


# Limits


def test_a_name_that_the_service_does_not_take_is_left_out() -> None:
    pattern = r"(?P<name>[^=;]+)=(?P<value>[^;]+)"
    line = f"val=30;a\x85b=1;{'x' * 257}=2;loss=3"
    assert curves(line, pattern=pattern) == {"val": {1: 30}, "loss": {1: 3}}


def test_names_beyond_the_limit_are_left_out_and_known() -> None:
    line = " ".join(f"m{i}={i}" for i in range(MAX_NAMES + 3))
    reader = StdoutReader(("val",))
    found = reader.feed(f"val=1 {line}\nval=2 {line}\n".encode(), NOW)
    assert [len(m.metrics) for m in found] == [1 + MAX_NAMES] * 2
    assert list(reader.others.left_out) == [f"m{MAX_NAMES + i}" for i in range(3)]


PRINTED = st.lists(
    st.sampled_from(["val=1", "step 3 val=2", "a=1", "step 3 b=2", "step 9 a=4", "c d: 5", "x", "lr=1 e=2"])
)


@given(PRINTED)
def test_the_study_s_own_metrics_are_as_if_nothing_else_were_printed(lines: list[str]) -> None:
    def own(printed: list[str]) -> list[tuple[int, float]]:
        reader = StdoutReader(("val",), "", ("lr",))
        found = [*reader.feed("\n".join(printed).encode(), NOW), *reader.finish(NOW)]
        return [(m.step, m.metrics["val"]) for m in found if "val" in m.metrics]

    assert own(lines) == own([line for line in lines if "val" in line])


@given(PRINTED)
def test_every_step_has_an_objective(lines: list[str]) -> None:
    found = curves("\n".join(lines), parameters=("lr",))
    assert isinstance(found, dict)
    assert all(set(curve) <= set(found.get("val", ())) for curve in found.values())
