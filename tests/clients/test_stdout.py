"""What is read from a trial's output, and what is not."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.clients.collect.stdout import MAX_LINE, StdoutReader
from wazir.domain.trial import Measurement

NOW = 1_700_000_000.0


def read(output: bytes | str, *names: str, pattern: str = "") -> list[tuple[int, dict[str, float]]]:
    """Of the wanted metrics; `test_other_metrics.py` is about the others."""
    data = output.encode() if isinstance(output, str) else output
    wanted = names or ("loss",)
    reader = StdoutReader(wanted, pattern)
    found = [*reader.feed(data, NOW), *reader.finish(NOW)]
    steps = [(m.step, {name: value for name, value in m.metrics.items() if name in wanted}) for m in found]
    return [(step, metrics) for step, metrics in steps if metrics]


@pytest.mark.parametrize(
    ("line", "value", "reason"),
    [
        ("loss=0.5", 0.5, "the plain form"),
        ("loss: 0.5", 0.5, "with a colon"),
        ("loss = 0.5", 0.5, "spaces around the sign"),
        ("[12:01] train done, loss=0.5.", 0.5, "a full stop ends the sentence, not the number"),
        ('{"loss": 0.5, "lr": 1}', 0.5, "a line of JSON"),
        ("{'loss': 0.5}", 0.5, "a printed dictionary"),
        ("loss=1e-3", 1e-3, "an exponent"),
        ("loss=1E+3", 1e3, "a capital exponent"),
        ("loss=-.5", -0.5, "no digit before the point"),
        ("loss=5", 5.0, "a whole number"),
        ("loss=inf", math.inf, "infinity"),
        ("loss=-Infinity", -math.inf, "as JSON writes it"),
        ("loss=93.5%", 93.5, "a per cent sign is no part of the number"),
        ("loss=0.1 loss=0.5", 0.5, "the last of several counts"),
        ("\x1b[1;32mloss\x1b[0m=\x1b[31m0.5\x1b[0m", 0.5, "colours are not seen"),
        ("x\rloss=0.9\rloss=0.5", 0.5, "a progress bar has overwritten the rest"),
        ("loss=0.5\r   \r", 0.5, "a bar that cleans up after itself"),
        ("loss=0.5\r\n", 0.5, "line ends of another system"),
        ("loss=0.5, acc=0.9", 0.5, "a comma between pairs"),
        ("loss=0.5,acc=0.9", 0.5, "a comma that another name follows"),
        ('{"loss":0.5,"lr":1}', 0.5, "JSON without blanks"),
        ("loss: 0.5; acc: 0.9", 0.5, "a semicolon between pairs"),
        ("| loss: 0.5 | acc: 0.9 |", 0.5, "cells of a table"),
        ("loss: 0.5: saved", 0.5, "a colon ends the clause"),
        ("**loss: 0.5**", 0.5, "emphasis"),
        ("loss: 0.5 (0.7)", 0.5, "a value and its average, as the ImageNet example prints them"),
        ("loss: 0.5 ± 0.1", 0.5, "a mean and its deviation"),
        ("loss: 12 ms", 12.0, "a unit after a blank"),
        ("loss=\u22120.5", -0.5, "the minus sign of typographers"),
        ("loss=1,234.5", 1234.5, "groups of digits before a point"),
        ("loss=1,234,567", 1234567.0, "two commas can be no decimal comma"),
        ("loss: 5 100/500", 5.0, "three digits that belong to a fraction"),
        ("loss='0.5'", 0.5, "in quotes"),
        ("{'loss': np.float64(0.5), 'n': np.int64(3)}", 0.5, "a dictionary of NumPy's numbers"),
        ("loss: tensor(0.5000, device='cuda:0', grad_fn=<NllLossBackward0>)", 0.5, "a tensor of PyTorch"),
        (" 50%|##5  | 5/10 [00:01<00:01,  4.9it/s, loss=0.7]\r100%|#####| 10/10 [00:02<00:00, loss=0.5]", 0.5, "tqdm"),
    ],
)
def test_a_value_is_read(line: str, value: float, reason: str) -> None:
    assert read(line) == [(1, {"loss": value})], reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("val_loss=0.5", "another name that ends alike"),
        ("val/loss=0.5", "a part of a path of names"),
        ("train.loss=0.5", "a part of a dotted name"),
        ("loss_total=0.5", "another name that begins alike"),
        ("Loss=0.5", "names are told apart by case"),
        ("loss 0.5", "no sign between"),
        ("loss=", "no value"),
        ("loss=high", "no number"),
        ("loss=1.2.3", "a version"),
        ("loss=0x10", "no decimal number"),
        ("loss=1_000", "no number as programs print them"),
        ("loss: 0,31", "a decimal comma, and not 0"),
        ("loss: 1,234", "1234 or 1.234"),
        ("loss: 12 345", "digits in groups, and not 12"),
        ("loss: 12\u202f345,6", "digits in groups, as the French write them"),
        ("loss: 1'234", "digits in groups, as the Swiss write them"),
        ("loss: 1.234,5", "digits in groups, as the Germans write them"),
        ("loss=0.5,0.9", "a list, or a decimal comma"),
        ("loss=[0.5, 0.9]", "a list"),
        ("loss: 3 / 50", "a fraction with blanks"),
        ("loss=12:30:05", "a time of day"),
        ("loss=2024-01-01", "a date"),
        ("loss=0.5-0.9", "a range"),
        ("loss=1.5×10", "a product"),
        ("loss=5.pt", "the name of a file"),
        ("loss=1e999", "too large for a float, and not infinite"),
        ("loss=12ms", "a number with a unit is something else"),
        ("loss: 3/50", "a fraction of something"),
        ("nothing at all", "no metric"),
        ("", "nothing"),
    ],
)
def test_what_is_no_value_is_left_alone(line: str, reason: str) -> None:
    assert read(line) == [], reason


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("loss: 0,31", "loss = '0,31': not a plain number, so it was not read. Write 0.31"),
        ("loss: 1,234", "Write 1234 or 1.234"),
        ("loss: 12 345", "loss = '12 345': not a plain number, so it was not read. Write 12345"),
        ("loss: 1.234,5", "Write 1234.5"),
        ("loss=1_000", "Write 1000"),
        ("loss=12ms", "Write it like 0.31 or 1e-3, with a blank before what follows"),
    ],
)
def test_what_was_not_read_is_kept_with_what_to_write_instead(line: str, says: str) -> None:
    reader = StdoutReader(("loss",))
    reader.feed(f"loss: mse\n{line}\nloss: 7 8/9\n".encode(), NOW)
    assert says in str(reader.doubts["loss"])
    assert reader.doubtful == 1


def test_a_value_that_was_not_read_has_its_step_all_the_same() -> None:
    assert read("loss: 999.5\nloss: 1,234\nloss: 998.5\n") == [(1, {"loss": 999.5}), (3, {"loss": 998.5})]


def test_nan_is_a_value() -> None:
    [(step, metrics)] = read("loss=NaN")
    assert step == 1
    assert math.isnan(metrics["loss"])


@pytest.mark.parametrize(
    ("line", "step", "reason"),
    [
        ("step=400 loss=0.5", 400, "named as a pair"),
        ("epoch: 3, loss: 0.5", 3, "an epoch is a step where no step stands"),
        ("epoch 3 step 400 loss=0.5", 400, "a step is finer than an epoch"),
        ("Epoch 3/50 loss=0.5", 3, "as Keras prints it"),
        ("Epoch: [3][10/90] loss=0.5", 3, "as the ImageNet example prints it"),
        ('{"loss": 0.5, "step": 0}', 0, "nothing done yet is a step too"),
        ("global_step=7 loss=0.5", 1, "another name"),
        ("step=abc loss=0.5", 1, "no number: counted instead"),
        ("step=1.5 loss=0.5", 1, "no whole number: counted instead"),
        ("step 1,200 loss=0.5", 1200, "commas between groups of digits"),
        ("step 1,20 loss=0.5", 1, "no whole number: counted instead"),
        ("step=9223372036854775807 loss=0.5", 2**63 - 1, "the largest there is, exactly"),
    ],
)
def test_the_step_stands_on_the_same_line(line: str, step: int, reason: str) -> None:
    assert read(line) == [(step, {"loss": 0.5})], reason


def test_lines_without_a_step_are_counted() -> None:
    assert read("loss=3\nhello\nloss=2\nloss=1\n") == [(1, {"loss": 3}), (2, {"loss": 2}), (3, {"loss": 1})]


def test_a_line_without_a_step_comes_after_the_last_one_that_had_one() -> None:
    # Counted from 1, the final line would stand before the epochs, and the trial's last value would not be the last.
    assert read("epoch 10 loss=3\nepoch 20 loss=2\nloss=1\n")[-1] == (21, {"loss": 1})


def test_several_wanted_names_on_a_line_have_one_step() -> None:
    assert read("epoch 1 loss=0.5 acc=0.9 lr=0.1", "loss", "acc") == [(1, {"loss": 0.5, "acc": 0.9})]


def test_the_longest_of_two_wanted_names_is_meant() -> None:
    assert read("loss_total=2", "loss", "loss_total") == [(1, {"loss_total": 2})]


def test_names_may_have_any_characters() -> None:
    assert read("f1 (macro) [%]: 0.5", "f1 (macro) [%]") == [(1, {"f1 (macro) [%]": 0.5})]


def test_what_was_seen_is_known() -> None:
    reader = StdoutReader(("loss", "acc"))
    reader.feed(b"loss=1\n", NOW)
    assert reader.seen == {"loss"}


def test_measurements_carry_the_time_of_reading() -> None:
    assert StdoutReader(("loss",)).feed(b"loss=1\n", NOW) == [Measurement(1, {"loss": 1.0}, NOW)]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert read(b"\xff\xfe loss=0.5 \xc3\n\xc3\x28loss=9\nloss=0.4\n")[0] == (1, {"loss": 0.5})


def test_a_very_long_line_is_read_up_to_its_bound_and_the_next_one_whole() -> None:
    output = b"loss=1 " + b"x" * 10 * MAX_LINE + b" loss=2\nloss=3\n"
    assert read(output) == [(1, {"loss": 1}), (2, {"loss": 3})]


def test_an_endless_line_takes_no_memory() -> None:
    reader = StdoutReader(("loss",))
    for _ in range(100):
        reader.feed(b"y" * MAX_LINE, NOW)
        reader.feed(b"\rloss=1 " + b"z" * MAX_LINE, NOW)
    assert len(reader._line) + len(reader._overwritten) <= 2 * MAX_LINE


@pytest.mark.parametrize(
    "filler", ["step" + " " * 500, "loss" + " " * 500, "a" + " " * 500, "loss=1" + ",234" * 9, "a b "]
)
def test_a_line_that_nearly_matches_takes_no_longer_than_others(filler: str) -> None:
    # With patterns that go back over blanks one such line would take minutes.
    assert read((filler * 20)[:MAX_LINE] + "=x\nloss=1\n")[-1][1] == {"loss": 1}


@pytest.mark.parametrize(
    ("pattern", "line", "expected", "reason"),
    [
        (r"(?P<name>\w+) is (?P<value>\S+)", "loss is 0.5", [(1, {"loss": 0.5})], "name and value"),
        (
            r"@(?P<step>\d+) (?P<name>\w+) (?P<value>\S+)",
            "@7 loss 0.5 @8 loss 0.4",
            [(7, {"loss": 0.5}), (8, {"loss": 0.4})],
            "several steps on a line",
        ),
        (
            r"(?:@(?P<step>\d+) )?(?P<name>\w+) (?P<value>[\d.]+)",
            "@7 loss 0.5 acc 0.9",
            [(7, {"loss": 0.5, "acc": 0.9})],
            "one step for the line",
        ),
        (r"(?P<name>\w+)=(?P<value>\S+)", "loss=what", [], "no number"),
        (r"(?P<name>\w+)=(?P<value>\S+)", "loss=0,31", [], "a decimal comma"),
        (r"(?P<name>\w+)=(?P<value>\S+)", "loss=0.5, acc=0.9;", [(1, {"loss": 0.5, "acc": 0.9})], "punctuation"),
        (r"(?P<name>\w+)=(?P<value>\S+)", "other=1", [], "not wanted"),
        (r"(?P<name>loss)?(?P<value>\d)?", "abc", [], "groups that took no part"),
        (r"(?P<step>\S+) (?P<name>\w+)=(?P<value>\S+)", "-3 loss=1", [(1, {"loss": 1})], "no such step: counted"),
        (r"(?P<step>\S+) (?P<name>\w+)=(?P<value>\S+)", "4e2 loss=1", [(400, {"loss": 1})], "a step as a float"),
    ],
)
def test_a_custom_pattern(pattern: str, line: str, expected: object, reason: str) -> None:
    assert read(line, "loss", "acc", pattern=pattern) == expected, reason


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_no_bytes_break_it_and_it_does_not_matter_how_they_are_cut(data: bytes, cuts: list[int]) -> None:
    data = data.replace(b"\x00", b"\nloss=1 ").replace(b"\x01", b"\r").replace(b"\x02", b"\x1b[0m")
    reader = StdoutReader(("loss",))
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    pieces = [m for a, b in pairwise(edges) for m in reader.feed(data[a:b], NOW)]
    whole = StdoutReader(("loss",))
    assert repr([*pieces, *reader.finish(NOW)]) == repr([*whole.feed(data, NOW), *whole.finish(NOW)])
