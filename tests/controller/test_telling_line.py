"""Which line of an output says why the code failed, and whether it says that memory ran out."""

from __future__ import annotations

import pytest

from wazir.controller.classify import with_output
from wazir.controller.execution import Exit
from wazir.controller.telling_line import last_line, memory_line
from wazir.domain.attempt import Cause

from .test_classify import outcome

CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139 GiB"
TRACE = 'Traceback (most recent call last):\n  File "train.py", line 12, in <module>\n    main()\n'


def table(exception: str, rank: int = 0) -> str:
    """What torchrun prints when a rank has failed."""
    return f"""{exception}
W1130 12:00:01.371000 140 torch/distributed/elastic/api.py:897] Sending process 142 closing signal SIGTERM
E1130 12:00:01.402000 140 torch/distributed/elastic/api.py:869] failed (exitcode: 1) local_rank: {rank} (pid: 141)
Traceback (most recent call last):
  File "/usr/local/bin/torchrun", line 8, in <module>
    sys.exit(main())
  File "/usr/lib/python3/torch/distributed/launcher/api.py", line 264, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-30_12:00:01
  host      : node-7
  rank      : {rank} (local_rank: {rank})
  exitcode  : 1 (pid: 141)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================
"""


def ranks(*exceptions: str) -> str:
    """A traceback of each rank, as torch prints them."""
    return "\n".join(
        f"[rank{rank}]: {line}" for rank, text in enumerate(exceptions) for line in (*TRACE.splitlines(), text)
    )


JAX = (
    "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes"
)
HIP = "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 63.98 GiB"
MPS = "RuntimeError: MPS backend out of memory (MPS allocated: 17.86 GB, max allowed: 18.13 GB)."
CUBLAS = "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
LOADER = "RuntimeError: DataLoader worker (pid 3122) is killed by signal: Killed. "
NCCL = "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:2027, remote process exited"
CHAIN = "\nDuring handling of the above exception, another exception occurred:\n\n"
CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        pytest.param(TRACE + CUDA, CUDA, id="the last line"),
        pytest.param(table(TRACE + CUDA), CUDA, id="torchrun's table follows"),
        pytest.param(table(ranks(CUDA)), CUDA, id="a rank of torchrun"),
        pytest.param(table(ranks(CUDA, NCCL)), CUDA, id="another rank fails because this one did"),
        pytest.param(
            f"{TRACE}{JAX}\n--------------------\nFor simplicity, JAX has removed its internal frames from the "
            "traceback of the following exception. Set JAX_TRACEBACK_FILTERING=off to include these.\n",
            JAX,
            id="JAX ends with a remark",
        ),
        pytest.param(f"{TRACE}{JAX}{CAUSE}{TRACE}{JAX}\n", JAX, id="JAX, with the same below"),
        pytest.param(
            f"{TRACE}jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Failed to allocate request for 4.0GiB on device",
            "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Failed to allocate request for 4.0GiB on device",
            id="JAX on a TPU",
        ),
        pytest.param(f"{TRACE}{HIP}\nwandb: Synced 4 files\n", HIP, id="ROCm, and W&B says goodbye"),
        pytest.param(f"{TRACE}{MPS}\n", MPS, id="Apple's GPUs"),
        pytest.param(f"{TRACE}{CUBLAS}\n", CUBLAS, id="cuBLAS has no room for its handle"),
        pytest.param(
            f"{TRACE}RuntimeError: CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at "
            "some other API call, so the stacktrace below might be incorrect.\nFor debugging consider passing "
            "CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n\n",
            "RuntimeError: CUDA error: out of memory",
            id="CUDA's advice follows",
        ),
        pytest.param(f"{TRACE}{LOADER}\n", LOADER.strip(), id="a worker of a DataLoader was killed"),
        pytest.param(
            f"{TRACE}{LOADER}{CAUSE}{TRACE}RuntimeError: DataLoader worker (pid(s) 3122) exited unexpectedly\n",
            LOADER.strip(),
            id="and the DataLoader says so in other words",
        ),
        pytest.param(
            f"{TRACE}MemoryError{CHAIN}{TRACE}ValueError: bad state\n", "MemoryError", id="the handler failed as well"
        ),
        pytest.param(
            f"{TRACE}{CUDA}\nException ignored in: <function Pool.__del__ at 0x7f>\n{TRACE}OSError: closed\n",
            CUDA,
            id="noise of an interpreter that ends",
        ),
        pytest.param(
            "terminate called after throwing an instance of 'c10::OutOfMemoryError'\n  what():  CUDA out of memory.\n",
            "what():  CUDA out of memory.",
            id="C++ that catches nothing",
        ),
        pytest.param(
            "tensorflow.errors_impl.ResourceExhaustedError: OOM when allocating tensor with shape[4096,4096]\n[Op:Mul]",
            "tensorflow.errors_impl.ResourceExhaustedError: OOM when allocating tensor with shape[4096,4096]",
            id="TensorFlow",
        ),
        pytest.param("loading\nCUDA error: out of memory\n", "CUDA error: out of memory", id="not Python"),
        pytest.param(
            f"epoch 1\n{LOADER.removeprefix('RuntimeError: ')}\n",
            LOADER.removeprefix("RuntimeError: ").strip(),
            id="a handler that prints no more of a DataLoader's exception than its words",
        ),
        pytest.param(
            "memory allocation of 80000000000 bytes failed\n",
            "memory allocation of 80000000000 bytes failed",
            id="Rust",
        ),
        pytest.param(
            f"{TRACE}{CUDA}\n\n{TRACE}subprocess.CalledProcessError: Command '['python']' returned non-zero status 1.",
            CUDA,
            id="a launcher of its own",
        ),
    ],
)
def test_memory_is_recognised_wherever_it_is_in_the_tail(tail: str, line: str) -> None:
    ended = with_output(outcome(Exit(1, 9.0)), f"epoch 1 loss=0.4\n{tail}")
    assert (ended.cause, ended.message) == (Cause.OUT_OF_MEMORY, f"exit code 1: {line}")


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        pytest.param(
            "caught OutOfMemoryError, going on with a smaller batch\nValueError: bad lr\n",
            "ValueError: bad lr",
            id="it speaks of one that it has handled",
        ),
        pytest.param(
            f"{TRACE}{CUDA}\nhalving the batch\nepoch 2 loss=0.3\n{TRACE}KeyError: 'val_loss'\n",
            "KeyError: 'val_loss'",
            id="it printed one that it has handled, and failed later",
        ),
        pytest.param(
            "OutOfMemoryError is handled below by halving the batch\nexit\n", "exit", id="a sentence begins like one"
        ),
        pytest.param("RuntimeError: out of memory cards\n", "RuntimeError: out of memory cards", id="not a computer's"),
        pytest.param(
            "grpc.RpcError: RESOURCE_EXHAUSTED: Received message larger than max (5 vs. 4)\n",
            "grpc.RpcError: RESOURCE_EXHAUSTED: Received message larger than max (5 vs. 4)",
            id="another resource",
        ),
        pytest.param(
            "RuntimeError: DataLoader worker (pid 31) is killed by signal: Segmentation fault.\n",
            "RuntimeError: DataLoader worker (pid 31) is killed by signal: Segmentation fault.",
            id="a worker that crashed",
        ),
        pytest.param(
            table(ranks("ValueError: bad lr", NCCL)), "ValueError: bad lr", id="torchrun, the rank that failed first"
        ),
        pytest.param(
            table(ranks("RuntimeError: peer closed", "ValueError: bad lr"), rank=1),
            "ValueError: bad lr",
            id="torchrun, when that is another rank",
        ),
    ],
)
def test_other_failures_are_told_by_the_line_that_says_most(tail: str, line: str) -> None:
    ended = with_output(outcome(Exit(1, 9.0)), tail)
    assert (ended.cause, ended.message) == (Cause.CODE_FAILED, f"exit code 1: {line}")


def test_a_program_that_aborts_for_memory_is_out_of_it_and_one_that_crashes_is_not() -> None:
    tail = "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n"
    assert with_output(outcome(Exit(-6, 9.0)), tail).cause is Cause.OUT_OF_MEMORY
    assert with_output(outcome(Exit(-11, 9.0)), tail).cause is Cause.CODE_FAILED


def test_the_line_is_bounded_and_empty_if_nothing_was_printed() -> None:
    assert len(last_line("x" * 10_000)) == len(memory_line("MemoryError: " + "x" * 10_000)) == 500
    assert (last_line("\n \n"), memory_line("")) == ("", "")
