"""Signals are heard while the main thread can hear nothing."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib, os
from wazir.app.signals import heard

with heard(os._exit):
    print("ready", flush=True)
    # Minutes of C, in which no handler in Python runs: like a wait that has just begun, for as long as anybody likes.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_at_once(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(60) == number


def test_afterwards_handlers_are_what_they_were() -> None:
    code = """
import signal
from wazir.app.signals import ENDING, heard
before = [signal.getsignal(n) for n in ENDING]
with heard(print):
    pass
assert [signal.getsignal(n) for n in ENDING] == before
assert signal.set_wakeup_fd(-1) == -1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
