"""How much may be kept with one study, one trial and one attempt, whoever says it and however often.

What a caller can say in fewer words is refused, naming the limit. What comes at an attempt's end cannot be refused,
because nobody would be left to say it again: it is cut, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .errors import InvalidArgument

MAX_METADATA_KEYS = 256
MAX_METADATA_VALUE = 64 * 1024
"""Bytes of one value."""
MAX_TRIAL_METADATA = 256 * 1024
"""Bytes of all keys and values of a trial."""
MAX_STUDY_METADATA = 1024 * 1024

MAX_ATTEMPTS = 1_000
"""Of one trial. It can still be read whole then: each has 44 KiB at most, and an answer has room for 64 MiB."""
MAX_LOG_TAIL = 16 * 1024
"""Characters."""
MAX_MESSAGE = 4_000
MAX_DEVICES = 1_024
"""Of one attempt, and GPUs likewise."""
MAX_DEVICES_LENGTH = 16 * 1024
"""Characters of all devices together."""
MAX_PATH = 4_096
MAX_METRICS = 10_000
"""Metric values in one report."""
MAX_FINAL_METRICS = 1_000

MORE = "... (cut)"


def check_metadata(where: str, metadata: Mapping[str, str], most: int) -> None:
    """`most`: bytes of all keys and values together."""
    if len(metadata) > MAX_METADATA_KEYS:
        raise InvalidArgument(where, len(metadata), f"at most {MAX_METADATA_KEYS} keys are possible")
    total = 0
    for key, value in metadata.items():
        if not 1 <= len(key) <= 256:
            raise InvalidArgument(where, key, "a key has 1 to 256 characters")
        size = len(value.encode())
        if size > MAX_METADATA_VALUE:
            raise InvalidArgument(
                f"{where}.{key}", value[:40], f"has {size} bytes, and may have at most {MAX_METADATA_VALUE}"
            )
        total += len(key.encode()) + size
    if total > most:
        raise InvalidArgument(
            where,
            f"{total} bytes",
            f"all keys and values together may have at most {most} bytes",
            "Remove some, or keep large values in files and name those",
        )


def check_count(where: str, count: int, most: int) -> None:
    """Of a list or a mapping, before it is looked at."""
    if count > most:
        raise InvalidArgument(where, count, f"at most {most} are possible")


def check_devices(devices: Iterable[str]) -> None:
    length = sum(map(len, devices))
    if length > MAX_DEVICES_LENGTH:
        raise InvalidArgument(
            "devices",
            f"{length} characters",
            f"all together may have at most {MAX_DEVICES_LENGTH}",
            "Name them shorter",
        )


def without_end(text: str, most: int = MAX_MESSAGE) -> str:
    """At most `most` characters of the text, with a mark where something is missing."""
    return text if len(text) <= most else text[: most - len(MORE)] + MORE


def without_beginning(text: str, most: int = MAX_LOG_TAIL) -> str:
    if len(text) <= most:
        return text
    mark = MORE + "\n"
    return mark + text[len(text) - most + len(mark) :]
