"""No control character in text of others reaches a terminal, in whatever field it is and whatever command shows it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from wazir.app.cli import cli
from wazir.clients.cli.terminal import ShownLog
from wazir.clients.client import Client
from wazir.domain.attempt import Attempt, AttemptState, Cause
from wazir.domain.names import StudyName
from wazir.domain.space import Categorical, Parameter, Space
from wazir.domain.study import Budget
from wazir.domain.trial import Provenance, Trial, TrialState
from wazir.storage.memory import MemoryStore
from wazir.storage.store import Store, Transaction, TrialFilter

from ..clients.served import spec
from ..security.serving import SETTINGS, serving

HOSTILE = "\x1b]0;pwned\x07\x9b2J\u202e\u2028\r"
"""Names the window, clears the screen, turns letters round, overwrites the line."""

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]|\r(?!\n)"
)


def fill(store: Store) -> None:
    """Puts HOSTILE into every field of text that a study and its trials have, however it may have come there."""

    def write(tx: Transaction) -> None:
        study = tx.lock(StudyName("default", "s"))
        study = replace(study, reason=HOSTILE, metadata={HOSTILE: HOSTILE}, revision=study.revision + 1)
        tx.update_study(study)
        for trial in tx.trials(study, TrialFilter(), 0, 10):
            tx.update_trial(study, spoilt(trial, study.revision))

    store.write(write)


def spoilt(trial: Trial, revision: int) -> Trial:
    ended = trial.state is TrialState.FAILED
    attempt = Attempt(
        number=1,
        state=AttemptState.ENDED if ended else AttemptState.QUEUED,
        start_time=1.0,
        holder=HOSTILE,
        end_time=2.0 if ended else None,
        cause=Cause.CODE_FAILED if ended else None,
        exit_code=1 if ended else None,
        message=HOSTILE,
        log_tail=HOSTILE,
        log_path="",
        node=HOSTILE,
        devices=(HOSTILE,),
        why=HOSTILE,
    )
    return replace(
        trial,
        reason=HOSTILE if ended else "",
        final={"loss": 0.5, HOSTILE: 0.5} if ended else None,
        labels={HOSTILE: HOSTILE},
        metadata={HOSTILE: HOSTILE},
        provenance=Provenance(HOSTILE, 1, 0, 0, 1, why=HOSTILE, details={HOSTILE: 0.5}),
        attempts=(attempt,),
        revision=revision,
    )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A service on the study `s`: its trial 1 has failed, its trial 2 waits with an attempt."""
    store = MemoryStore()
    space = Space((Parameter("kind", Categorical((HOSTILE, "plain"))),))
    with (
        serving(settings=replace(SETTINGS, authenticate=False), store=store) as served,
        Client(served.address) as client,
    ):
        client.create_study("s", spec(space=space, budget=Budget(failed=9), labels={"team": "x"}))
        for kind in (HOSTILE, "plain"):
            client.create_trial("s", {"kind": kind})
            client.suggest("s", client_id="t", start=True, leased=False)
        client.end_attempt("s/1", 1, Cause.CODE_FAILED, message="m")
        client.pause_study("s")
        fill(store)
        yield served.address
    store.close()


COMMANDS = [
    ["studies"],
    ["show", "s"],
    ["show", "s/1"],
    ["show", "s/2"],
    ["trials", "s"],
    ["best", "s"],
    ["why", "s/1"],
    ["release", "s/2"],
    ["delete", "s/2"],
    ["show", HOSTILE],
    ["show", "s", "--" + HOSTILE],
    ["trials", "s", "--label", HOSTILE],
    ["trials", "s", "--state", HOSTILE],
    ["enqueue", "s", f"{HOSTILE}=1"],
    ["enqueue", "s", f"kind={HOSTILE}x"],
    ["create", HOSTILE.replace("\x00", "")],
    ["check", HOSTILE],
    ["run", HOSTILE],
    [HOSTILE],
    ["--" + HOSTILE],
]


def wazir(address: str, *arguments: str) -> Result:
    named = {"WAZIR_ADDRESS": address, "WAZIR_TOKEN": None, "WAZIR_OWNER": None, "WAZIR_DB": None}
    return CliRunner().invoke(cli, list(arguments), env=named, input="n\n")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command).encode("unicode_escape").decode())
def test_no_command_writes_a_control_character(address: str, command: list[str]) -> None:
    result = wazir(address, *command)
    assert result.output, "it says something"
    assert not FORBIDDEN.search(result.output), result.output


@pytest.mark.parametrize("command", ["show s", "show s/1", "trials s", "why s/1", "studies"])
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_scripts_get_the_characters_back_from_their_escapes(address: str, command: str, form: str) -> None:
    result = wazir(address, *command.split(), "-o", form)
    assert result.exit_code == 0
    assert not FORBIDDEN.search(result.output)
    data = json.loads(result.output) if form == "json" else yaml.safe_load(result.output)
    assert HOSTILE in list(texts(data))


def texts(data: object) -> Iterator[str]:
    """Every text in plain data, keys too."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from texts(value)


@pytest.mark.parametrize("command", ["studies", "show s/1", "trials s", "logs s/1", "logs s/2"])
def test_neither_does_a_terminal_get_one(address: str, command: str) -> None:
    shown = on_terminal(address, *command.split())
    assert "\\x1b]0;pw" in shown
    assert not FORBIDDEN.search(re.sub("\x1b\\[[0-9;]*m", "", shown)), shown


def on_terminal(address: str, *arguments: str) -> str:
    """What a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "WAZIR_ADDRESS": address,
        "TERM": "xterm-256color",
        "COLUMNS": "300",
        "PYTHONIOENCODING": "utf-8",
    }
    program = "from wazir.app.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65_536):
            written += chunk
    except OSError:
        pass  # Linux says EIO where the other side has been closed
    process.wait()
    os.close(ours)
    return written.decode()


@pytest.mark.parametrize(
    ("chunks", "shown"),
    [
        ([b"\x1b[1;31mred\x1b[0m\n"], "\x1b[1;31mred\x1b[0m\n\x1b[0m"),
        ([b"\x1b]0;title\x07"], "\\x1b]0;title\\x07"),
        ([b"\x1b[2Jgone\x1b[A"], "\\x1b[2Jgone\\x1b[A"),
        ([b"\x9b2J \xc2\x9b2J"], "\\x9b2J \\x9b2J"),
        ([b" 10%|#  |\r 90%|## |\r\nend\r"], " 10%|#  |\n 90%|## |\nend\n"),
        ([b"gr\xc3", b"\xbcn \x1b", b"[3", b"2mgreen\r", b"\n"], "grün \x1b[32mgreen\n\x1b[0m"),
        ([b"ends in the middle \x1b["], "ends in the middle \\x1b["),
    ],
)
def test_a_log_keeps_its_colours_and_nothing_else(chunks: list[bytes], shown: str) -> None:
    log = ShownLog()
    assert "".join(map(log.show, chunks)) + log.show(b"", final=True) == shown


def test_a_log_goes_unchanged_to_a_file_or_where_it_is_asked_for(address: str, tmp_path: Path) -> None:
    assert wazir(address, "logs", "s/1").output_bytes.decode() == HOSTILE
    assert HOSTILE in on_terminal(address, "logs", "s/1", "--raw")
