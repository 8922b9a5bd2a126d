"""Which GPUs this machine has to give."""

from __future__ import annotations

import pytest

from wazir.controller.local.gpus import find_devices, visible_devices
from wazir.domain.errors import InvalidArgument


@pytest.mark.parametrize(
    ("value", "devices", "reason"),
    [
        ("0,1", ("0", "1"), "numbers"),
        ("3", ("3",), "the ids are kept, not counted anew"),
        ("GPU-8932f937,MIG-1", ("GPU-8932f937", "MIG-1"), "names"),
        (" 2 , 0 ", ("2", "0"), "their order and spaces"),
        ("", (), "none"),
        ("-1", (), "none, as CUDA understands it"),
        ("0,-1,1", ("0",), "CUDA sees nothing after an invalid one"),
        ("0,,1", ("0",), "likewise"),
        ("1,1", ("1",), "named twice it is still one"),
    ],
)
def test_a_restricted_environment_is_honoured(value: str, devices: tuple[str, ...], reason: str) -> None:
    assert visible_devices(value) == devices, reason
    assert find_devices(None, {"CUDA_VISIBLE_DEVICES": value}) == devices


def test_a_count_takes_the_first_ones() -> None:
    assert find_devices(1, {"CUDA_VISIBLE_DEVICES": "5,7"}) == ("5",)
    assert find_devices(0, {"CUDA_VISIBLE_DEVICES": "5,7"}) == ()


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"gpus = 3: CUDA_VISIBLE_DEVICES knows 2\. Leave it out"):
        find_devices(3, {"CUDA_VISIBLE_DEVICES": "5,7"})


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="must be 0 or more"):
        find_devices(-1, {})


@pytest.mark.gpu
def test_the_driver_is_asked() -> None:
    assert find_devices(None, {})[0] == "0"
