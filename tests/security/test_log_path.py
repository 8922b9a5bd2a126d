"""The path of a log is written by whoever ran the attempt: nobody is made to read another file by it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from wazir.clients.cli.trial_log import read_log
from wazir.clients.client import Client
from wazir.domain.access import Role
from wazir.domain.attempt import AttemptState
from wazir.domain.errors import FailedPrecondition, NotFound
from wazir.domain.names import TrialName

from .serving import SPEC, serving


class Named(NamedTuple):
    """A trial that runs, and what one says of its log who may."""

    client: Client
    trial: TrialName
    uid: str
    folder: Path
    """A run folder in which the log of the attempt belongs."""

    @property
    def log(self) -> Path:
        return self.folder / self.uid / "1" / "1" / "output.log"

    def read(self, path: str) -> bytes:
        self.client.heartbeat(self.trial, 1, log_path=path)
        chunks = read_log(self.client, self.trial, number=1, follow=False, of_pod=lambda reference, _: iter([b"pod"]))
        return b"".join(chunks)


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Named]:
    with serving() as served, Client(served.address, token=served.token("vision", Role.EDITOR), retry_for=0) as client:
        study = client.create_study("vision/s", SPEC)
        trial = client.suggest("vision/s", client_id="c", start=True).trials[0]
        client.heartbeat(trial.name, 1, state=AttemptState.RUNNING)
        found = Named(client, trial.name, study.uid, tmp_path / "runs")
        found.log.parent.mkdir(parents=True)
        found.log.write_text("its own words")
        (tmp_path / "secret").write_text("somebody's key")
        yield found


def test_the_log_of_the_attempt_is_read(named: Named) -> None:
    assert named.read(str(named.log)) == b"its own words"


def test_a_run_folder_may_lie_behind_a_link(named: Named, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(named.folder)
    assert named.read(str(tmp_path / "link" / named.log.relative_to(named.folder))) == b"its own words"


@pytest.mark.parametrize(
    "path",
    [
        "{tmp}/secret",
        "/etc/passwd",
        "/dev/zero",
        "{runs}/{uid}/1/1/../../../../secret",
        "{runs}/{uid}/1/1/launch.json",
        "{runs}/{uid}/2/1/output.log",
        "{runs}/{uid}/1/2/output.log",
        "{runs}/another-uid/1/1/output.log",
        "{uid}/1/1/output.log",
    ],
)
def test_another_file_is_not(named: Named, tmp_path: Path, path: str) -> None:
    with pytest.raises(FailedPrecondition, match="which is no log of its"):
        named.read(path.format(tmp=tmp_path, runs=named.folder, uid=named.uid))


def test_a_link_in_the_run_folder_is_not_followed(named: Named, tmp_path: Path) -> None:
    named.log.unlink()
    named.log.symlink_to(tmp_path / "secret")
    with pytest.raises(FailedPrecondition, match="leaves its run folder by a link"):
        named.read(str(named.log))


def test_nor_one_to_another_folder(named: Named, tmp_path: Path) -> None:
    named.log.rename(tmp_path / "output.log")
    named.log.parent.rmdir()
    named.log.parent.symlink_to(tmp_path)
    with pytest.raises(FailedPrecondition, match="leaves its run folder by a link"):
        named.read(str(named.log))


def test_a_pipe_is_not_waited_for(named: Named) -> None:
    named.log.unlink()
    os.mkfifo(named.log)
    with pytest.raises(FailedPrecondition, match="no regular file"):
        named.read(str(named.log))


def test_a_log_that_is_not_here_is_not_found(named: Named) -> None:
    named.log.unlink()
    with pytest.raises(NotFound, match="on the machine that ran it"):
        named.read(str(named.log))


def test_the_log_of_its_own_pod_is_read(named: Named) -> None:
    assert named.read(f"kubernetes://trials/s-1-1-{named.uid[:8]}/trial") == b"pod"


@pytest.mark.parametrize(
    "reference",
    [
        "kubernetes://kube-system/vault-0/vault",
        "kubernetes://trials/s-1-2-{uid}/trial",
        "kubernetes://trials/s-2-1-{uid}/trial",
        "kubernetes://trials/../secrets/s-1-1-{uid}/trial",
        "kubernetes://trials/x%2Fs-1-1-{uid}/trial",
        "kubernetes://trials/s-1-1-{uid}/trial?x=1",
        "https://example.com/s-1-1-{uid}/trial",
    ],
)
def test_that_of_another_pod_is_not(named: Named, reference: str) -> None:
    with pytest.raises(FailedPrecondition, match="which is no pod of its"):
        named.read(reference.format(uid=named.uid[:8]))
