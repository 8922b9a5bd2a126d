"""Generate the Python modules of `proto/*/*.proto`, or compare them with what is checked in (`--check`).

Runs in an environment of its own (`make proto`), because the generator must be old: code from grpcio-tools 1.66.2 loads
on protobuf 5.29, 6.x and 7.x, and training images pin protobuf. Generated imports read `from wazir.proto.v1 import …`,
because protoc sees the files through `typings/`.
"""

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .links import ROOT, make

GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generate(out: Path) -> dict[Path, str]:
    """Run protoc into the folder `out`; return path below the root of the checkout -> text of each generated file."""
    sources = make()
    protos = sorted(path.relative_to(ROOT) for path in ROOT.glob("proto/*/*.proto"))
    if not protos:
        return {}
    plugins = {name: Path(sys.executable).parent / f"protoc-gen-{name}" for name in ("mypy", "mypy_grpc")}
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{sources}"),
            *(f"--plugin=protoc-gen-{name}={path}" for name, path in plugins.items()),
            *(f"--{kind}_out={out}" for kind in ("python", "grpc_python")),
            *(f"--{name}_out=quiet:{out}" for name in plugins),
            *(str(Path("wazir") / path) for path in protos),
        ],
        cwd=sources,
        check=True,
    )
    # The plugins write a module of stubs for every file, also where there is no service to call.
    services = {path.stem for path in protos if re.search(r"^service \w+", (ROOT / path).read_text(), re.MULTILINE)}
    generated = {path.relative_to(out / "wazir"): path.read_text() for path in sorted(out.rglob("*_pb2*.py*"))}
    return {
        path: text
        for path, text in generated.items()
        if "_pb2_grpc" not in path.name or path.name.split("_pb2_grpc")[0] in services
    }


def checked_in() -> dict[Path, str]:
    """What lies below `proto/` now, keyed as by `generate`."""
    paths = (path for pattern in GENERATED for path in ROOT.glob(f"proto/*/{pattern}"))
    return {path.relative_to(ROOT): path.read_text() for path in paths}


def difference(path: Path, before: str | None, after: str | None) -> str:
    """What `--check` says about a file that is not as it should be; a glance, for the descriptors are long lines."""
    if before is None or after is None:
        return f"{path}: {'is not checked in' if before is None else 'belongs to no .proto file any more'}"
    lines = list(
        difflib.unified_diff(before.splitlines(), after.splitlines(), "checked in", "generated", n=1, lineterm="")
    )
    return "\n".join([f"{path}: differs", *(line[:160] for line in lines[:30])])


def main() -> int:
    """Write the generated files, or with `--check` print how they differ and return 1 if they do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, and exit with 1 where something differs")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        new = generate(Path(folder))
    old = checked_in()
    for path in sorted(new.keys() | old.keys()):
        before, after = old.get(path), new.get(path)
        if before == after:
            continue
        if check:
            print(difference(path, before, after))
        elif after is None:
            (ROOT / path).unlink()
        else:
            (ROOT / path).write_text(after)
    if check and new != old:
        print("\nThe generated code is not that of the .proto files: run `make proto` and commit what it writes.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
