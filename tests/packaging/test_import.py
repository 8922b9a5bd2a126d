"""`import wazir` in a training image: the base dependencies alone, and nothing loaded that is not used."""

import tomllib

import pytest

from .checkout import ROOT, folders_of_packages, python

EXTRAS = [
  "alembic", "click", "cmaes", "grpc_health", "grpc_reflection", "kubernetes", "numpy", "pandas", "prometheus_client",
  "psutil", "pynvml", "re2", "rich", "scipy", "sklearn", "skopt", "sqlalchemy", "uvloop", "yaml",
]  # fmt: skip

BLOCK = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"no module named {{name}}: it belongs to an extra", name=name)

sys.meta_path.insert(0, Blocked())
"""


def test_importing_wazir_loads_nothing_that_is_not_used() -> None:
    loaded = python("import sys, wazir; print(*sys.modules)").split()
    assert "grpc" not in loaded
    # The names under it stand for modules that are loaded when something of them is used.
    assert {name.partition(".")[0] for name in loaded if name.startswith("wazir")} == {"wazir"}
    assert not [name for name in loaded if name.startswith(("wazir.clients", "wazir.app", "wazir.domain"))]


def test_modules_that_optunas_users_know_are_found_by_every_kind_of_import() -> None:
    code = """
from wazir.samplers import TPESampler
from wazir.trial import TrialState
from wazir.study import MaxTrialsCallback, create_study
import wazir.pruners, wazir as optuna
print(TPESampler(seed=1), TrialState.COMPLETE.name, create_study is optuna.create_study, optuna.pruners.NopPruner())
try: wazir.samplers.Nothing
except AttributeError as error: print(error)
"""
    assert python(code).splitlines() == [
        "TPESampler(seed=1) SUCCEEDED True NopPruner()",
        "module 'wazir.clients.familiar.samplers' has no attribute 'Nothing'",
    ]


@pytest.mark.parametrize("room", ["domain", "proto", "wire", "clients"])
def test_what_lands_in_a_training_image_needs_no_extra(room: str) -> None:
    """Every module of these rooms is imported; the commands need `wazir[cli]`, and only they."""
    modules = [
        f"{package}.{path.stem}".removesuffix(".__init__")
        for package, folder in folders_of_packages().items()
        if f"{package}.".startswith(f"wazir.{room}.") and not package.startswith("wazir.clients.cli")
        for path in sorted(folder.glob("*.py"))
    ]
    imports = "\n".join(f"import {module}" for module in modules)
    assert python(f"{BLOCK}\n{imports}\nprint('imported')") == "imported\n"


def test_public_names_are_listed_before_they_are_loaded() -> None:
    listed = python("import wazir; print(*dir(wazir))").split()
    assert {"Study", "Trial", "WazirError", "create_study", "current_trial", "load_study"} <= set(listed)


def test_a_public_name_is_that_of_the_module_that_defines_it() -> None:
    assert python("import wazir, wazir.domain.errors as e; print(wazir.WazirError is e.WazirError)") == "True\n"


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    code = "import wazir\ntry: wazir.nothing\nexcept AttributeError as error: print(error)"
    assert python(code) == "module 'wazir' has no attribute 'nothing'\n"


def test_every_extra_library_is_blocked_here() -> None:
    """The list above would otherwise grow old unseen: each library of `cli` and `server` stands in it."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    imported_as = {
        "grpcio-health-checking": "grpc_health",
        "grpcio-reflection": "grpc_reflection",
        "PyYAML": "yaml",
        "google-re2": "re2",
        "prometheus-client": "prometheus_client",
    }
    libraries = {dependency.split(">")[0] for extra in ("cli", "server") for dependency in extras[extra]}
    assert {imported_as.get(name, name.lower()) for name in libraries} <= set(EXTRAS)
