"""Algorithms and rules by name, their settings, and third parties' ones."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Integer, Parameter, Space
from wazir.domain.study import Algorithm, Stopping, StudySpec
from wazir.suggestion import aliases, registry
from wazir.suggestion.designer import Problem
from wazir.suggestion.memo import read_memo, write_memo
from wazir.suggestion.registry import DESIGNERS, RULES, designer_names, make_designer, make_rule, rule_names
from wazir.suggestion.settings import read_settings, setting

LOSS = (Objective("loss", Goal.MINIMIZE),)
PROBLEM = Problem(Space((Parameter("x", Double(0.0, 1.0)), Parameter("n", Integer(1, 9)))), LOSS)


@pytest.mark.parametrize("name", sorted(DESIGNERS))
def test_every_designer_of_the_table_is_there_under_its_name(name: str) -> None:
    needed = {"max": 9} if name in ("asha", "bohb", "freeze_thaw", "hyperband", "pbt") else {}
    designer = make_designer(Algorithm(name, settings=needed), PROBLEM)
    assert (designer.name, designer.version >= 1) == (name, True)
    assert name in designer_names()


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_of_the_table_is_there_under_its_name(name: str) -> None:
    needed = {"value": 1.0} if name == "threshold" else {}
    rule = make_rule(Stopping(name, needed), LOSS)
    assert (rule.name, rule.version >= 1) == (name, True)
    assert name in rule_names()


def test_the_tables_are_alphabetical() -> None:
    assert list(DESIGNERS) == sorted(DESIGNERS)
    assert list(RULES) == sorted(RULES)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("quasirandon", {}, r'algorithm\.name = "quasirandon": is not known. Did you mean "quasirandom"\?'),
        (
            "zzz",
            {},
            r'algorithm\.name = "zzz": is not known. Known are: asha, auto, bayesian, bohb, cmaes, freeze_thaw, gp',
        ),
        ("", {}, r'algorithm\.name = "": is empty. Leave `algorithm` out for auto'),
        ("GP", {}, r'algorithm\.name = "GP": is not known. Did you mean "gp"\?'),
        ("bayesianoptimization", {}, "is not known. Here it is called bayesian, by scikit-optimize"),
        ("hyperopt", {}, "is not known. Here it is called tpe"),
        ("medianstop", {}, "is not known. Known are: asha"),
        ("median", {}, "is not known. It is a rule that stops trials: write it under `stopping`"),
        ("grid", {"pionts": 5}, r'algorithm\.pionts = 5: no such setting. Did you mean "points"\?'),
        ("random", {"points": 5}, r"algorithm\.points = 5: no such setting. Known are: name, repeats, seed"),
        ("random", {"trials": 5}, r"algorithm\.trials = 5: no such setting. It belongs under `budget`"),
        ("auto", {"nam": "gp"}, r'algorithm\.nam = "gp": no such setting. Did you mean "name"\?'),
        ("grid", {"points": "5"}, r'algorithm\.points = "5": must be a whole number'),
        ("grid", {"points": True}, r"algorithm\.points = true: must be a whole number"),
        ("grid", {"points": 5.0}, r"algorithm\.points = 5\.0: must be a whole number"),
        ("grid", {"points": None}, r"algorithm\.points = null: must be a whole number"),
        ("grid", {"points": 1}, r"algorithm\.points = 1: must be 2 or more. It says: how many values"),
        ("grid", {"points": 10**6}, r"algorithm\.points = 1000000: must be at most 10000"),
    ],
)
def test_wrong_algorithms_are_refused(name: str, settings: Mapping[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make_designer(Algorithm(name, settings=settings), PROBLEM)


@pytest.mark.parametrize(
    ("name", "settings", "objectives", "message"),
    [
        ("hyperband", {}, LOSS, "is not known. It is an algorithm: write it under `algorithm`"),
        ("medain", {}, LOSS, r'stopping\.name = "medain": is not known. Did you mean "median"\?'),
        ("median", {"min_trails": 3}, LOSS, r'stopping\.min_trails = 3: no such setting. Did you mean "min_trials"\?'),
        ("median", {"min_trials": 0}, LOSS, r"stopping\.min_trials = 0: must be 1 or more"),
        ("median", {"min": -1}, LOSS, r"stopping\.min = -1: must be 0 or more"),
    ],
)
def test_wrong_rules_are_refused(
    name: str, settings: Mapping[str, object], objectives: tuple[Objective, ...], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make_rule(Stopping(name, settings), objectives)


@dataclass(frozen=True)
class Schema:
    flag: bool = setting(False, "a flag")
    count: int = setting(1, "a number", least=0, most=9)
    rate: float | None = setting(None, "a rate", least=0.0)
    way: str = setting("up", "a way", choices=("up", "down"))


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, Schema()),
        ({"flag": True, "count": 9, "rate": 0.5, "way": "down"}, Schema(True, 9, 0.5, "down")),
        ({"rate": None}, Schema()),
        ({"rate": 2}, Schema(rate=2.0)),
    ],
)
def test_settings_are_read(given: Mapping[str, object], made: Schema) -> None:
    assert repr(read_settings(Schema, given, "algorithm")) == repr(made)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flag": 1}, r"algorithm\.flag = 1: must be true or false"),
        ({"rate": "x"}, r'algorithm\.rate = "x": must be a number or null'),
        ({"rate": -1}, r"algorithm\.rate = -1\.0: must be 0\.0 or more"),
        ({"rate": float("nan")}, r"algorithm\.rate = NaN: must be a finite number"),
        ({"rate": 10**400}, r"algorithm\.rate = .*: must be a finite number"),
        ({"way": "dwon"}, r'algorithm\.way = "dwon": must be one of up, down. Did you mean "down"\?'),
        ({"way": "Down"}, r'algorithm\.way = "Down": must be one of up, down. Did you mean "down"\?'),
        ({"way": "left"}, r'algorithm\.way = "left": must be one of up, down. It says: a way'),
        ({"count": [1]}, r"algorithm\.count = \[1\]: must be a whole number"),
    ],
)
def test_wrong_settings_are_refused(given: Mapping[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        read_settings(Schema, given, "algorithm")


PLUGIN = """
from dataclasses import dataclass
from wazir.suggestion.designer import New, Suggestions

class Fixed:
    name = "fixed"
    version = 3
    cheap = True

    @dataclass(frozen=True)
    class Settings:
        x: float = 0.5

    def __init__(self, settings, problem):
        self.x = settings.x

    def suggest(self, problem, history, count, rng, memo):
        return Suggestions([New({"x": self.x, "n": 1}, "always")])
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution with entry points, one of them of a built-in name and one of a missing library."""
    (tmp_path / "wazir_fixed.py").write_text(PLUGIN)
    (tmp_path / "wazir_needy.py").write_text("import no_such_library_for_wazir\n")
    info = tmp_path / "wazir_fixed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wazir-fixed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[wazir.designers]\nfixed = wazir_fixed:Fixed\nrandom = wazir_fixed:Fixed\nneedy = wazir_needy:Needy\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._others.cache_clear()
    yield
    registry._others.cache_clear()
    sys.modules.pop("wazir_fixed", None)


@pytest.mark.usefixtures("plugin")
class TestThirdParties:
    def test_join_through_an_entry_point(self) -> None:
        assert "fixed" in designer_names()
        designer = make_designer(Algorithm("fixed", settings={"x": 1}), PROBLEM)
        answer = designer.suggest(PROBLEM, None, 1, np.random.default_rng(), "")  # type: ignore[arg-type]
        assert answer.proposals[0].parameters == {"x": 1.0, "n": 1}  # type: ignore[union-attr]

    def test_have_their_settings_checked(self) -> None:
        with pytest.raises(InvalidArgument, match=r"algorithm\.y = 1: no such setting. Known are: .*, x"):
            make_designer(Algorithm("fixed", settings={"y": 1}), PROBLEM)

    def test_cannot_take_a_built_in_name(self) -> None:
        assert make_designer(Algorithm("random"), PROBLEM).name == "random"

    def test_whose_library_is_missing_are_refused_in_a_sentence(self) -> None:
        with pytest.raises(InvalidArgument, match="needs 'no_such_library_for_wazir', which is not installed"):
            make_designer(Algorithm("needy"), PROBLEM)


@pytest.mark.parametrize(
    ("name", "library", "extra", "modules"),
    [
        ("bayesian", "skopt", "skopt", ["designers.bayesian"]),
        ("cmaes", "cmaes", "server", ["designers.cmaes"]),
        ("quasirandom", "scipy.stats", "server", ["designers.quasirandom", "space.sobol"]),
    ],
)
def test_a_built_in_whose_library_is_missing_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, library: str, extra: str, modules: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    for module in modules:
        monkeypatch.delitem(sys.modules, f"wazir.suggestion.{module}", raising=False)
    missing = library.partition(".")[0]
    with pytest.raises(InvalidArgument, match=rf"needs '{missing}', which is not installed. .*wazir\[{extra}\]"):
        make_designer(Algorithm(name), PROBLEM)


def test_memos_say_whose_they_are() -> None:
    memo = write_memo("grid/1", position=3)
    assert read_memo("grid/1", memo) == {"position": 3}
    assert read_memo("grid/2", memo) == {}
    assert read_memo("random/1", "") == {}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("bayes", "gp"),
        ("Bayesian Optimization", "gp"),
        ("gaussian-process", "gp"),
        ("GP", "gp"),
        ("TPE", "tpe"),
        ("multivariate-tpe", "tpe"),
        ("CMA-ES", "cmaes"),
        ("Sobol", "quasirandom"),
        ("random_search", "random"),
        ("bayesian", "bayesian"),
        ("bayesianoptimization", "bayesianoptimization"),
        ("zzz", "zzz"),
    ],
)
def test_what_others_call_an_algorithm_is_taken_for_it_if_it_means_one(theirs: str, ours: str) -> None:
    spec = StudySpec(LOSS, PROBLEM.space, algorithm=Algorithm(theirs, seed=3), stopping=Stopping("median-stop"))
    known = registry.called_as_here(spec)
    assert (known.algorithm, known.stopping) == (Algorithm(ours, seed=3), Stopping("median"))


def test_other_names_are_spelt_as_they_are_looked_up_and_mean_what_there_is() -> None:
    for names, table in ((aliases.ALGORITHMS, DESIGNERS), (aliases.RULES, RULES)):
        for name, meant in names.items():
            assert (name, name in table) == (name.lower().replace("-", "_"), False)
            assert meant in table
    assert list(aliases.ALGORITHMS) == sorted(aliases.ALGORITHMS)
