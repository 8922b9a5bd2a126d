"""Which GPUs a trial gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.controller.slots import Held, allocate, fitting, used

TWO = ("0", "1")


@pytest.mark.parametrize(
    ("held", "wanted", "expected", "reason"),
    [
        ([], 0, (), "none is always there"),
        ([], 1, ("0",), "the first free one"),
        ([], 2, ("0", "1"), "both"),
        ([], 3, None, "more than there are"),
        ([Held(("0",), 1)], 1, ("1",), "a whole one is exclusive"),
        ([Held(("0",), 1)], 2, None, "one is taken"),
        ([Held(("1",), 0.5)], 0.5, ("1",), "fractions share, which keeps the other whole"),
        ([Held(("1",), 0.5)], 1, ("0",), "a shared one is not free"),
        ([Held(("1",), 0.5)], 2, None, "a shared one is not free"),
        ([Held(("0",), 0.7), Held(("1",), 0.4)], 0.5, ("1",), "no room on the fuller one"),
        ([Held(("0",), 0.7), Held(("1",), 0.7)], 0.5, None, "no room on either, though 0.6 are free in all"),
        ([Held(("0",), 0.1)] * 9, 0.1, ("0",), "ten tenths fill one, whatever floats make of it"),
        ([Held(("7",), 1)], 2, ("0", "1"), "a device that is no longer handed out"),
        ([Held(("0", "1"), 2)], 0.5, None, "both are held whole"),
    ],
)
def test_allocation(held: list[Held], wanted: float, expected: tuple[str, ...] | None, reason: str) -> None:
    assert allocate(TWO, held, wanted) == expected, reason


@pytest.mark.parametrize(
    ("held", "wanted", "most", "expected"),
    [([], 1, 5, 2), ([], 0.5, 5, 4), ([], 0.3, 9, 6), ([], 2, 5, 1), ([], 0, 5, 5), ([Held(("0",), 1)], 0.5, 1, 1)],
)
def test_how_many_fit(held: list[Held], wanted: float, most: int, expected: int) -> None:
    assert fitting(TWO, held, wanted, most) == expected


@given(
    st.integers(0, 4),
    st.lists(st.sampled_from([0.1, 0.25, 0.3, 1 / 3, 0.5, 0.7, 1.0, 2.0, 3.0]), max_size=30),
)
def test_no_gpu_is_given_more_than_once(count: int, wishes: list[float]) -> None:
    devices = tuple(map(str, range(count)))
    held: list[Held] = []
    for wanted in wishes:
        given_ = allocate(devices, held, wanted)
        if given_ is not None:
            assert len(given_) == max(1, int(wanted))
            assert len(set(given_)) == len(given_)
            held.append(Held(given_, wanted))
        elif held and wanted > 1:
            held.pop(0)
        assert all(part <= 1 + 1e-6 for part in used(devices, held).values())
        for one in (h for h in held if h.gpus >= 1):
            assert all(not set(one.devices) & set(h.devices) for h in held if h is not one)
