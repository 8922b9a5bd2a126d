"""Make `typings/wazir`, where the packages of this checkout have the name they are imported by.

The root of the repository is the package `wazir` whatever the folder of the checkout is called. mypy, protoc and buf
find a module by its path, so they get a folder of the right name that holds one link per package and nothing else.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def packages(root: Path = ROOT) -> list[str]:
    """Names of the top-level folders of `root` that are packages, sorted."""
    return sorted(init.parent.name for init in root.glob("[!.]*/__init__.py"))


def make(root: Path = ROOT) -> Path:
    """Make `typings/` of the checkout at `root` right and return its path. Repeating it changes nothing."""
    target = root / "typings" / "wazir"
    target.mkdir(parents=True, exist_ok=True)
    links = {name: Path("../..") / name for name in [*packages(root), "__init__.py", "py.typed"]}
    for entry in target.iterdir():
        if entry.name not in links and entry.is_symlink():
            entry.unlink()
    for name, destination in links.items():
        link = target / name
        if not (link.is_symlink() and link.readlink() == destination):
            link.unlink(missing_ok=True)
            link.symlink_to(destination)
    return target.parent


if __name__ == "__main__":
    make()
