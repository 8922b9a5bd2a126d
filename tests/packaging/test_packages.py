"""The list of packages and the folders on the disk say the same."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

from .checkout import ROOT, folders_of_packages

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_with_an_init_is_listed_and_nothing_else() -> None:
    assert SETTINGS["tool"]["setuptools"]["packages"] == sorted(folders_of_packages())


def test_every_folder_of_code_has_an_init() -> None:
    packages = set(folders_of_packages().values())
    without = {
        path.parent
        for package in packages - {ROOT}
        for path in package.rglob("*.py")
        if path.parent not in packages and "__pycache__" not in path.parts
    }
    assert not without, "a folder without __init__.py would be missing from the wheel"


def test_every_folder_says_in_prose_what_lives_there() -> None:
    inits = {name: (folder / "__init__.py").read_text() for name, folder in folders_of_packages().items()}
    silent = [name for name, source in inits.items() if not ast.get_docstring(ast.parse(source))]
    assert not silent


def test_no_module_lies_at_the_root() -> None:
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"], "it would be part of the wheel"


def test_the_version_is_said_once_more_in_the_package() -> None:
    import wazir

    assert wazir.__version__ == SETTINGS["project"]["version"]


def test_base_dependencies_are_the_three_of_the_wire() -> None:
    names = {dependency.split(">")[0] for dependency in SETTINGS["project"]["dependencies"]}
    assert names == {"grpcio", "protobuf", "googleapis-common-protos"}, "the client lands in every training image"


def test_every_dependency_of_an_extra_has_a_pinned_range() -> None:
    extras = SETTINGS["project"]["optional-dependencies"]
    loose = [
        (extra, dependency)
        for extra, dependencies in extras.items()
        for dependency in dependencies
        if ">=" not in dependency and not dependency.startswith(("wazir[", "types-"))
    ]
    assert not loose


@pytest.mark.parametrize("path", sorted((ROOT / "domain").glob("*.py")), ids=lambda path: path.name)
def test_the_domain_imports_the_standard_library_only(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(str(node.module).split(".")[0])
    assert imported <= sys.stdlib_module_names


def test_sources_import_relatively_across_folders() -> None:
    """`from ..domain.trial import Trial`: an absolute import would find another copy where one is installed."""
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package, folder in folders_of_packages().items()
        if not package.startswith("wazir.proto")  # generated: protoc imports absolutely
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "wazir" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "wazir")
    ]
    assert absolute == []
