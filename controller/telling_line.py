"""Which line of an output says why the code failed. Pure.

It is not always the last one: torchrun ends with a table, JAX with a remark about its tracebacks, and a launcher of
several processes with an error of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_WORDS = 500
"""Characters of a line that go into a message."""

_LONGEST = 4 * MAX_WORDS
"""Characters of a line that are looked at."""

_PREFIX = re.compile(r"\[?(?:rank|default)\s?(\d+)\]?:")
"""What torchrun writes before the lines of each rank."""

_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|OutOfMemory|Interrupt|Exit)(?::|\s*$)")
"""The last line of a Python traceback, with the exception's name and mostly its message."""

_WRAPPER = re.compile(
    r"(?:[\w.]*\.)?(?:ChildFailedError|CalledProcessError|ProcessRaisedException|ProcessExitedException)\b"
)
"""Exceptions with which a launcher says that a process it started has failed."""

_LED_TO = (
    "During handling of the above exception",
    "The above exception was the direct cause",
    "Exception ignored in",
    "Error in atexit",
)
"""Lines between two exceptions that say that the lower one does not make the upper one untrue."""

_MEMORY_EXCEPTION = re.compile(
    # Python, NumPy, PyTorch, CuPy; the name alone says it.
    r"(?:Exception in thread \"[^\"]*\" )?(?:\w+\.)*_?\w*(?:MemoryError|OutOfMemoryError|OutOfMemory)(?::|\s*$)"
    # An exception of another name whose message says it: PyTorch on CUDA, ROCm and MPS, XLA, TensorFlow, XGBoost.
    r"|(?:\w+\.)*\w*(?:Error|Exception):.*"
    r"(?:\b(?:CUDA|HIP|XPU)(?: error:)? out of memory\b|\[CUDA\] out of memory\b|\bMPS backend out of memory\b"
    r"|\b(?:CUDA|HIP)_ERROR_OUT_OF_MEMORY\b|\b(?:cuda|hip)ErrorMemoryAllocation\b|\bstd::bad_alloc\b"
    r"|\b(?:CUBLAS|HIPBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED\b"
    r"|\bRESOURCE_EXHAUSTED\b.*(?:out of memory|allocat)|\bOOM when allocating\b"
    r"|\bDataLoader worker \(pid(?:\(s\))? [\d, ]+\) is killed by signal: Killed\b)"
    # A C++ program that catches nothing.
    r"|terminate called after throwing an instance of '(?:std::bad_alloc|c10::OutOfMemoryError)'"
    r"|(?:OOM when allocating tensor|RESOURCE_EXHAUSTED: .*(?:out of memory|allocat))",
    re.IGNORECASE,
)
"""A line that begins like an exception and is about memory."""

_MEMORY_ANYWHERE = re.compile(
    r"\b(?:CUDA|HIP)(?: error:|_ERROR_)? ?out[ _]of[ _]memory\b|\bMPS backend out of memory\b"
    r"|\bRESOURCE_EXHAUSTED: (?:.*\b)?(?:out of memory|allocat)"
    r"|\bDataLoader worker \(pid(?:\(s\))? [\d, ]+\) is killed by signal: Killed\b"
    # Rust, which many libraries of Python are written in, and which then aborts.
    r"|^memory allocation of \d+ bytes failed\b",
    re.IGNORECASE,
)
"""The same of the last line, which needs no such form: programs in other languages end with words of their own."""


_NOISE = re.compile(
    r"[\W_]*$|wandb: |For debugging consider passing |Compile with `TORCH_USE_CUDA_DSA`|CUDA kernel errors might be "
    r"|Search for `cudaError|Device-side assertion|For simplicity, JAX has removed|The stack trace (?:below|above) "
    r"|Set the environment variable HYDRA_FULL_ERROR"
)
"""What frameworks print after an exception, the same whatever it was."""

_ROOT_CAUSE = re.compile(r"Root Cause \(first observed failure\):.*?\brank\s*: (\d+)", re.DOTALL)


def last_line(tail: str) -> str:
    """The line that says why the code failed, mostly Python's name of the exception: the last one that is not a
    framework's remark, or the exception of the process whose failure a launcher reports. Empty if there is none."""
    lines = _lines(tail)
    split = [_split(line) for line in lines]
    wrapped = next((i for i in reversed(range(len(split))) if _WRAPPER.match(split[i][1])), None)
    if wrapped is not None:
        root = _ROOT_CAUSE.search(tail)
        told = [(rank, line) for rank, line in split[:wrapped] if _EXCEPTION.match(line)]
        of_root = [line for rank, line in told if root is not None and rank == root[1]]
        if told:
            return (of_root or [line for _, line in told])[-1][:MAX_WORDS]
    return next((line for _, line in reversed(split) if not _NOISE.match(line)), "")[:MAX_WORDS]


def memory_line(tail: str) -> str:
    """The line of the output's end that says that memory ran out; empty if none does.

    A line further up counts if it is an exception's, and if no exception of the same process follows that has nothing
    to do with it: a script may catch the one, print it, go on with a smaller batch, and fail later for another reason.
    """
    last = last_line(tail)
    if _MEMORY_ANYWHERE.search(last):
        return last
    overruled: set[str] = set()
    for rank, line in map(_split, reversed(_lines(tail))):
        if _MEMORY_EXCEPTION.match(line):
            return "" if rank in overruled else line[:MAX_WORDS]
        if line.startswith(_LED_TO):
            # The exception below came of the one above, or while that one ended the process.
            overruled.discard(rank)
        elif _EXCEPTION.match(line) and not _WRAPPER.match(line):
            overruled.add(rank)
    return ""


def _lines(tail: str) -> Sequence[str]:
    return [line.rstrip()[:_LONGEST] for line in tail.splitlines() if line.strip()]


def _split(line: str) -> tuple[str, str]:
    """The rank that printed a line, empty if torchrun does not say so, and the line without it."""
    match = _PREFIX.match(line)
    return ("", line.lstrip()) if match is None else (match[1], line[match.end() :].lstrip())
