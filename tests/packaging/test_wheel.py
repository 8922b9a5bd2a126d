"""What a wheel holds, and that it can be built in a checkout of any name."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .checkout import ROOT, files, folders_of_packages, python

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["wazir", "my-fork.of it"])
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this checkout in a folder of the given name."""
    copy = tmp_path_factory.mktemp("checkout") / request.param
    for path in files():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copy / path)
    out = tmp_path_factory.mktemp("wheel")
    # Without isolation it needs no network; setuptools is one of the development tools.
    build = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={out}", "."]
    done = subprocess.run([sys.executable, "-m", *build], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_nothing_but_wazir_is_installed_at_top_level(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    assert {top.partition("-")[2].partition(".dist-info")[0] or top for top in tops} == {"wazir", "0.1.0"}


def test_the_root_of_the_checkout_does_not_leak(wheel: Path) -> None:
    at_root = {name for name in names(wheel) if name.count("/") == 1 and name.startswith("wazir/")}
    assert at_root == {"wazir/__init__.py", "wazir/py.typed"}


def test_every_module_of_the_packages_is_there_and_no_other(wheel: Path) -> None:
    packages = folders_of_packages()
    modules = {
        f"{name.replace('.', '/')}/{path.name}" for name, folder in packages.items() for path in folder.glob("*.py")
    }
    assert {name for name in names(wheel) if name.endswith(".py")} == modules


def test_the_types_and_the_proto_files_are_there(wheel: Path) -> None:
    beside = {path.name for path in (ROOT / "proto/v1").iterdir() if path.suffix in {".pyi", ".proto"}}
    assert {f"wazir/proto/v1/{name}" for name in beside} <= set(names(wheel))


def test_what_was_unpacked_is_what_is_imported(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    assert python("import wazir.domain; print(wazir.__file__)", path=str(tmp_path)).startswith(str(tmp_path))
