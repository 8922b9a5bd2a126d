"""Ask and tell where no service is named: a process beside the script serves the folder's database."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wazir.clients.local_address import address_of

from ..postgres import Postgres

OBJECTIVE = """
import sys, wazir
study = wazir.create_study("s", load_if_exists=True, algorithm="random", seed=1)
def objective(trial):
    return (trial.suggest_float("x", 0.0, 1.0) - 0.25) ** 2
"""

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, whose service is gone when a test ends."""
    monkeypatch.chdir(tmp_path)
    for variable in ("WAZIR_ADDRESS", "WAZIR_DB"):
        monkeypatch.delenv(variable, raising=False)
    yield tmp_path
    wait_until_nobody_serves(tmp_path)


def script(code: str, *arguments: str) -> str:
    """Standard output of a script that ends well and says nothing else."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def started(code: str, *, reads: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE if reads else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def database(folder: Path) -> Path:
    return folder / ".wazir" / "wazir.db"


def is_served(folder: Path) -> bool:
    """Whether a process holds the lock beside the database."""
    try:
        with database(folder).with_name("wazir.db.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def wait_until_nobody_serves(folder: Path) -> None:
    until = time.monotonic() + 30
    while is_served(folder):
        assert time.monotonic() < until, "a service was left behind"
        os.sched_yield()


def test_a_script_needs_no_service_and_leaves_none_behind(folder: Path) -> None:
    script(OBJECTIVE + "study.optimize(objective, trials=3, progress=False)")
    assert not is_served(folder)
    again = "import wazir; print(*(t.id for t in wazir.load_study('s').trials))"
    assert script(again) == "1 2 3\n"
    assert not is_served(folder)


def test_a_mistake_is_refused_before_anything_is_written(folder: Path) -> None:
    code = "import wazir\ntry: wazir.create_study('s', direction='up')\nexcept wazir.WazirError as error: print(error)"
    assert script(code).startswith('direction = "up": must be "minimize" or "maximize"')
    assert list(folder.iterdir()) == []


def test_a_service_that_is_named_is_used(folder: Path) -> None:
    code = (
        "import wazir\ntry: wazir.load_study('s', CALL)\nexcept wazir.WazirError as error: print(type(error).__name__)"
    )
    serve = "from wazir.app.beside import serve_beside; from pathlib import Path; serve_beside(Path('other.db'));"
    named = f"address={address_of(folder / 'other.db')!r}"
    assert script(serve + code.replace("CALL", named)) == "NotFound\n"
    assert script(code.replace("CALL", "storage='sqlite:///third.db'")) == "NotFound\n"
    assert sorted(p.name for p in folder.glob("*.db")) == ["other.db", "third.db"]
    assert not database(folder).exists()


def test_a_postgresql_is_served_as_well(folder: Path, postgres: Postgres) -> None:
    url = postgres.ready()
    code = f"study = wazir.create_study('s', storage={url!r}, algorithm='random')\n"
    script("import wazir\n" + code + "study.tell(study.ask(), 1.0)")
    again = (
        f"import wazir; print(wazir.get_all_study_names({url!r}), wazir.load_study('s', storage={url!r}).best_value)"
    )
    assert script(again) == "['s'] 1.0\n"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_reach_the_one_service_of_their_parent(folder: Path, method: str) -> None:
    (folder / "main.py").write_text(
        OBJECTIVE.replace('study = wazir.create_study("s", load_if_exists=True, algorithm="random", seed=1)', "")
        + f"""
import multiprocessing

def work(_):
    wazir.load_study("s").optimize(objective, trials=2, progress=False)

if __name__ == "__main__":
    study = wazir.create_study("s", algorithm="random", seed=1)
    study.optimize(objective, trials=1, progress=False)
    with multiprocessing.get_context("{method}").Pool(3) as pool:
        pool.map(work, range(3), chunksize=1)
    study.optimize(objective, trials=1, progress=False)
    print([t.state.name for t in study.trials])
"""
    )
    done = subprocess.run([sys.executable, "main.py"], capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == (f"{['SUCCEEDED'] * 8}\n", "")


def test_what_was_killed_leaves_no_service_and_the_same_script_goes_on(folder: Path) -> None:
    """The trial that it was evaluating is evaluated first, and no lease is waited for."""
    code = """
def waiting(trial):
    print("there", flush=True)
    input()
study.optimize(objective, trials=2, progress=False)
study.optimize(waiting, progress=False)
"""
    process = started(OBJECTIVE + code, reads=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    assert is_served(folder)
    process.kill()
    process.communicate()
    wait_until_nobody_serves(folder)

    again = OBJECTIVE + "study.optimize(objective, trials=2, progress=False)\n"
    causes = "print([[a.cause.value for a in t.attempts] for t in study.trials])"
    assert script(again + causes) == "[['succeeded'], ['succeeded'], ['preempted', 'succeeded'], ['succeeded']]\n"


def test_a_script_goes_on_when_the_one_that_serves_ends(folder: Path) -> None:
    first = started(OBJECTIVE + "print('there', flush=True); input()", reads=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "there\n"
    second = started(
        OBJECTIVE
        + "print('there', flush=True); input()\n"
        + "study.optimize(objective, trials=3, progress=False); print(len(study.trials))",
        reads=True,
    )
    assert second.stdout is not None
    assert second.stdout.readline() == "there\n"
    assert first.communicate("\n") == ("", "")
    assert second.communicate("\n") == ("3\n", "")


def test_an_interrupt_ends_the_script_and_its_service(folder: Path) -> None:
    code = "def waiting(trial):\n    print('there', flush=True)\n    input()\nstudy.optimize(waiting, progress=False)"
    process = started(OBJECTIVE + code, reads=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGINT)
    words = process.communicate(timeout=60)[1]
    assert words.rstrip().endswith("KeyboardInterrupt")
    assert words.count("Traceback") == 1
    assert script("import wazir; print(*(t.state.name for t in wazir.load_study('s').trials))") == "REQUESTED\n"


def test_an_interpreter_that_starts_something_else_is_started_once(folder: Path) -> None:
    """As in a frozen application, whose `sys.executable` is the application."""
    (folder / "app").write_text(
        f"""#!{sys.executable}
import sys, wazir
sys.executable = {str(folder / "app")!r}
with open({str(folder / "starts")!r}, "a") as starts:
    starts.write("x")
try:
    wazir.create_study("s")
except wazir.WazirError as error:
    print(error)
"""
    )
    (folder / "app").chmod(0o755)
    done = subprocess.run([folder / "app"], capture_output=True, text=True)
    assert "may say why" in done.stdout
    assert done.stderr == ""
    assert (folder / "starts").read_text() == "xx"


def test_without_the_servers_libraries_the_extra_is_named(folder: Path) -> None:
    """What `pip install wazir` alone installs."""
    installed = Path(sysconfig.get_path("purelib"))
    (folder / "site").mkdir()
    for library in ("grpc", "google", "typing_extensions.py"):
        (folder / "site" / library).symlink_to(installed / library)
    (folder / "site" / "wazir").symlink_to(Path(__file__).parents[2])
    code = """
import sys, wazir
try:
    wazir.create_study("s")
except wazir.WazirError as error:
    print(error, error.__cause__)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(folder / 'site')!r})\n{code}"],
        capture_output=True,
        text=True,
    )
    assert "pip install 'wazir[server]'" in done.stdout
    assert "address=" in done.stdout
    assert "Traceback" not in done.stderr
