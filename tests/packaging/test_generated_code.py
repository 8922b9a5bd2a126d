"""The generated code loads on every protobuf that training images pin."""

import subprocess
import sys
from pathlib import Path

import pytest

from .checkout import ROOT, python


@pytest.mark.slow
@pytest.mark.parametrize("version", ["5.29.0", "6.33.0", "7.36.0"])
def test_generated_code_loads_on_protobuf(version: str, tmp_path: Path) -> None:
    target = ["--target", str(tmp_path), "--no-deps", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *target, f"protobuf=={version}"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"protobuf {version} cannot be had here: {done.stderr.strip().splitlines()[-1]}")
    modules = [path.stem for path in sorted((ROOT / "proto/v1").glob("*_pb2*.py"))]
    imports = "\n".join(f"import wazir.proto.v1.{module}" for module in modules)
    code = f"import google.protobuf\n{imports}\nprint(google.protobuf.__version__)"
    assert modules
    assert python(code, "-W", "error", path=str(tmp_path)) == f"{version}\n"
