"""What is kept with one trial or attempt has a total limit: refused in words that name it, or cut with a mark."""

from __future__ import annotations

import pytest

from wazir.domain.errors import InvalidArgument
from wazir.domain.totals import (
    MAX_LOG_TAIL,
    MAX_MESSAGE,
    MAX_METADATA_VALUE,
    MAX_TRIAL_METADATA,
    check_devices,
    check_metadata,
    without_beginning,
    without_end,
)


def test_metadata_has_a_total_limit_in_bytes() -> None:
    quarter = "x" * (MAX_METADATA_VALUE - 1)
    check_metadata("metadata", dict.fromkeys("abcd", quarter), MAX_TRIAL_METADATA)
    with pytest.raises(InvalidArgument, match=r"metadata = .262145 bytes.*together may have at most 262144 bytes"):
        check_metadata("metadata", {"aa": quarter} | dict.fromkeys("bcd", quarter), MAX_TRIAL_METADATA)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({str(i): "" for i in range(257)}, "metadata = 257: at most 256 keys are possible"),
        ({"": "x"}, "a key has 1 to 256 characters"),
        ({"k": "x" * (MAX_METADATA_VALUE + 1)}, r"metadata\.k.*has 65537 bytes, and may have at most 65536"),
        ({"k": "\u00e4" * (MAX_METADATA_VALUE // 2 + 1)}, r"metadata\.k.*has 65538 bytes"),
    ],
)
def test_metadata_names_the_limit(metadata: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        check_metadata("metadata", metadata, MAX_TRIAL_METADATA)


def test_devices_have_a_total_limit() -> None:
    check_devices(["gpu"] * 1_024)
    with pytest.raises(InvalidArgument, match=r"16400 characters.*at most 16384"):
        check_devices(["x" * 41] * 400)


def test_a_message_is_cut_at_its_end_and_says_so() -> None:
    assert without_end("x" * MAX_MESSAGE) == "x" * MAX_MESSAGE
    cut = without_end("x" * (MAX_MESSAGE + 1))
    assert (len(cut), cut[-10:]) == (MAX_MESSAGE, "x... (cut)")


def test_a_log_is_cut_at_its_beginning_and_says_so() -> None:
    assert without_beginning("x" * MAX_LOG_TAIL) == "x" * MAX_LOG_TAIL
    cut = without_beginning("x" * MAX_LOG_TAIL + "the end")
    assert (len(cut), cut[:10], cut[-8:]) == (MAX_LOG_TAIL, "... (cut)\n", "xthe end")
