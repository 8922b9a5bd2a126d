"""Study files: what YAML means in them, what is refused in which line, and that what is written reads back equal."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given

from wazir.clients.study_file import StudyFile, dump, load
from wazir.clients.study_file_reader import MAX_BYTES
from wazir.domain.document import to_document
from wazir.domain.errors import InvalidArgument, SpecChanged, Unavailable
from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Value, same
from wazir.domain.space import Categorical, Discrete, Double, Parameter, Space
from wazir.domain.study import StudySpec

from ..domain.strategies import specs

ODD = StudySpec(
    (Objective("loss", Goal.MINIMIZE),), Space((Parameter("x", Double(0.0, 1.0)),)), labels={"odd": "\x85 \u2028"}
)
"""Text with what YAML 1.1 takes for line breaks."""

SOUND = """\
study: digits
labels: {team: vision}
objective: {metric: val/loss, goal: minimize}
algorithm: {name: random, seed: 7}
parameters:
  lr:       {min: 1e-5, max: 1e-1, scale: log}
  opt:      {values: [sgd, adam]}
  momentum:
    min: 0.5
    max: 0.99
    when: {opt: sgd}
constraints:
- "lr < 0.05"
budget: {trials: 20, parallel: 4}
trial:
  command:
  - python
  - train.py
  - "--lr=${lr}"
  env: {DATA: /data}
  timeout: 6h
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str | bytes, name: str = "study.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return make


def changed(old: str, new: str) -> str:
    assert SOUND.count(old) == 1, f"{old!r} stands once in the sound file"
    return SOUND.replace(old, new)


def message(path: Path) -> str:
    """What a person sees, from the file's name on."""
    with pytest.raises(InvalidArgument) as refusal:
        load(path)
    return str(refusal.value).removeprefix(f"{path.parent}/")


def test_a_study_file(write: Write) -> None:
    path = write(SOUND)
    study = load(path)
    assert (study.path, study.study_id) == (path, "digits")
    assert study.spec.space is not None
    assert [p.name for p in study.spec.space.parameters] == ["lr", "opt", "momentum"]
    assert study.spec.budget.trials == 20
    assert study.lines["parameters"] == 5
    assert study.lines["parameters.momentum.when.opt"] == 11
    assert study.lines["constraints[0]"] == 13
    assert study.lines["trial.command[2]"] == 19


# YAML 1.2


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-0.0", -0.0),
        ("+12", 12),
        ("0o17", 15),
        ("0xff", 255),
        ("017", 17),
        ("true", True),
        ("FALSE", False),
        ("on", "on"),
        ("yes", "yes"),
        ("n", "n"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2024-01-01", "2024-01-01"),
        ("0b11", "0b11"),
        ("1e", "1e"),
        ("=", "="),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("größe", "größe"),
        ('"\\ud83d\\ude00"', "😀"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(write: Write, written: str, value: Value) -> None:
    study = load(write(changed("[sgd, adam]", f"[sgd, adam, {written}]")))
    assert study.spec.space is not None
    kind = study.spec.space.by_name["opt"].kind
    assert isinstance(kind, Categorical)
    assert same(kind.values[-1], value)


def test_commands_variables_and_labels_are_kept_as_written(write: Write) -> None:
    text = changed("{team: vision}", "{version: 1.10, on: yes, 1: 007}")
    text = text.replace("  - train.py\n", "  - train.py\n  - 1.10\n  - 1e3\n  - true\n")
    text = text.replace("{DATA: /data}", "{A: 1.10, B: 0x1F, C: no}")
    study = load(write(text))
    assert study.spec.labels == {"version": "1.10", "on": "yes", "1": "007"}
    assert study.spec.trial is not None
    assert study.spec.trial.command[2:5] == ("1.10", "1e3", "true")
    assert study.spec.trial.env == {"A": "1.10", "B": "0x1F", "C": "no"}


def test_an_alias_stands_for_the_same_value(write: Write) -> None:
    text = changed("  lr:       {", "  lr:       &range {").replace("  opt:", "  lr2: *range\n  opt:")
    study = load(write(text))
    assert study.spec.space is not None
    assert study.spec.space.by_name["lr2"].kind == study.spec.space.by_name["lr"].kind
    assert study.lines["parameters.lr2"] == 7


def test_json_is_read_even_when_tabs_indent_it(write: Write) -> None:
    spec = load(write(SOUND)).spec
    text = json.dumps({"study": "digits"} | to_document(spec), indent="\t")
    study = load(write(text, "study.json"))
    assert study.spec == spec
    assert study.lines["study"] == 2


def test_a_byte_order_mark_and_other_line_ends_are_no_matter(write: Write) -> None:
    windows = b"\xef\xbb\xbf" + SOUND.replace("\n", "\r\n").encode()
    assert load(write(windows)).spec == load(write(SOUND)).spec


# The working directory


@pytest.mark.parametrize(
    ("written", "folder"),
    [("", "."), ("  workdir: .\n", "."), ("  workdir: ../src\n", "../src"), ("  workdir: /opt/x/../y\n", "/opt/y")],
)
def test_trials_run_in_the_files_folder_unless_told(tmp_path: Path, write: Write, written: str, folder: str) -> None:
    study = load(write(SOUND + written))
    assert study.spec.trial is not None
    assert Path(study.spec.trial.workdir) == (tmp_path / folder).resolve()


def test_the_working_directory_is_absolute_when_the_path_is_not(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(SOUND)
    monkeypatch.chdir(path.parent)
    study = load("study.yaml")
    assert study.spec.trial is not None
    assert study.spec.trial.workdir == str(path.parent)
    assert str(study.path) == "study.yaml", "people see the path that they have written"


# Mistakes, as people see them


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # misspellings
        ("labels:", "labell:", 'study.yaml:2: labell = {"team": "vision"}: unknown key. Did you mean "labels"?'),
        ("trials: 20", "trails: 20", 'study.yaml:14: budget.trails = 20: unknown key. Did you mean "trials"?'),
        ("    max: 0.99", "    maxx: 1", 'yaml:10: parameters.momentum.maxx = 1: unknown key. Did you mean "max"?'),
        ("scale: log", "scale: lgo", 'study.yaml:6: parameters.lr.scale = "lgo": must be linear, log or reverse_log'),
        ("{opt: sgd}", "{opt: sdg}", 'study.yaml:11: parameters.momentum.when.opt = "sdg": opt can never have'),
        ("{opt: sgd}", "{optt: sgd}", "study.yaml:11: parameters.momentum.when.optt"),
        ('"lr < 0.05"', '"lrr < 0.05"', "study.yaml:13: constraints[0] = \"lrr < 0.05\": 'lrr' is not a parameter"),
        ('"--lr=${lr}"', '"--lr=${lrr}"', 'study.yaml:19: trial.command[2] = "--lr=${lrr}": ${lrr} is not a parameter'),
        ("timeout: 6h", "timeout: 6 hours", 'study.yaml:21: trial.timeout = "6 hours": must be a duration'),
        # values
        ("min: 1e-5", "min: 0", "study.yaml:6: parameters.lr.min = 0.0: scale log needs min above 0"),
        ("trials: 20", "trials: 0", "study.yaml:14: budget.trials = 0: must be a whole number of 1 or more"),
        ("study: digits", "study: Digits!", 'study.yaml:1: study = "Digits!": must be 1 to 40 lower-case letters'),
        ("  timeout: 6h\n", "  timeout:\n  grace:\n", "study.yaml:22: trial.grace: has no value"),
        # what is missing has the line of what it is missing in
        (", goal: minimize", "", "study.yaml:3: objective.goal: is missing"),
        ("    max: 0.99\n", "", "study.yaml:8: parameters.momentum.max: is missing"),
        ("study: digits\n", "", "study.yaml: study: is missing: every study has a name. Write for instance `study: "),
        ("objective:", "labels2:", "study.yaml:3: labels2"),
        # a key twice
        ("  timeout: 6h", "  timeout: 6h\n  env: {}", "study.yaml:22: trial.env: appears twice: in lines 20 and 22"),
        ("{opt: sgd}", "{opt: sgd, opt: adam}", "study.yaml:11: parameters.momentum.when.opt: appears twice"),
        # YAML
        ("    max: 0.99", "\tmax: 0.99", "study.yaml:10: column 1: a tab is not allowed here. Indent with spaces"),
        ("    max: 0.99", "     max: 0.99", "study.yaml:10: column 9: a ':' is not allowed here"),
        ("    max: 0.99", "   max: 0.99", "study.yaml:10: column 4: the indentation does not fit the lines above"),
        ("    max: 0.99", "    max 0.99", "study.yaml:10: column 5: a key has no ':' after it"),
        ("/data}", "/data", "the '{' in line 20 is not closed, or a comma is missing"),
        ("[sgd, adam]", "[sgd, adam", "the '[' in line 7 is not closed, or a comma is missing"),
        ("[sgd, adam]", "[sgd, a${lr}]", 'Put items with ${...} into quotes: "--lr=${lr}"'),
        ("/data}", '"/data}', "the quote opened in line 20 is not closed"),
        ("timeout: 6h", "timeout: a: b", "study.yaml:21: column 13: a ':' is not allowed here"),
        ("timeout: 6h", "timeout: *six", "study.yaml:21: column 12: an alias (*name) has no anchor (&name) before it"),
        ("timeout: 6h", "timeout: @six", "study.yaml:21: column 12: a value may not start with this character"),
        ("timeout: 6h", "timeout: !six h", "study.yaml:21: trial.timeout: the tag !six is not for this value"),
        ("timeout: 6h", "timeout: !!int h", "study.yaml:21: trial.timeout: the tag !!int is not for this value"),
        ("timeout: 6h", "timeout: 6h\n---\na: b", "study.yaml:22: column 1: holds more than one document (---)"),
        ("timeout: 6h", "timeout: 6h\x07", "study.yaml:21: holds the character U+0007"),
        ("timeout: 6h", 'timeout: "\\ud83d"', "study.yaml:21: trial.timeout: holds half a surrogate pair"),
        ("timeout: 6h", "timeout: " + "9" * 500, "study.yaml:21: trial.timeout: a number of 500 digits"),
        ("{DATA: /data}", "{<<: {A: b}}", "study.yaml:20: `<<` (merge keys) is not part of YAML 1.2"),
        ("{DATA: /data}", "{[a]: b}", "study.yaml:20: a key must be a text, not a list or a mapping"),
        ("{DATA: /data}", "&x {DATA: *x}", "with its aliases (*name) written out, it nests over 50 levels"),
        ("{DATA: /data}", "{DATA: " + "[" * 99, "study.yaml:20: nests more than 50 levels deep"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_its_line(write: Write, old: str, new: str, expected: str) -> None:
    assert expected in message(write(changed(old, new)))


def test_a_file_names_what_is_tuned(write: Write) -> None:
    text = "study: x\nobjective: {metric: loss, goal: minimize}\n"
    assert message(write(text)).startswith("study.yaml: parameters: is missing: a study file names what is tuned")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "is empty. Start it with `study: name`"),
        (b" \n\n", "is empty"),
        (b"# nothing yet\n", "holds nothing but comments"),
        (b"- a\n- b\n", "study.yaml:1: must hold keys and values"),
        (b"just text", "study.yaml:1: must hold keys and values"),
        (b"study: a\nlabels: {x: \xff}", "study.yaml:2: is not UTF-8. Save it in that encoding"),
        ("study: a".encode("utf-16"), "study.yaml:1: is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "is larger than 1 MiB"),
    ],
)
def test_what_is_no_study_file_at_all(write: Write, text: bytes, expected: str) -> None:
    assert expected in message(write(text))


def test_aliases_of_aliases_do_not_fill_the_memory(write: Write) -> None:
    layers = "".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]\n" for i in range(1, 30))
    text = f"x0: &x0 [1, 2]\n{layers}"
    assert "with its aliases (*name) written out, it holds more than" in message(write(text))


def test_a_tag_makes_no_object(write: Write, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    text = changed("timeout: 6h", f"timeout: !!python/object/apply:os.mkdir ['{trap}']")
    assert "the tag !!python/object/apply:os.mkdir is not for this value" in message(write(text))
    assert not trap.exists()


# Files that are not there


def test_a_missing_file_names_its_neighbour(write: Write, tmp_path: Path) -> None:
    write(SOUND)
    assert message(tmp_path / "studdy.yaml") == 'studdy.yaml: there is no such file. Did you mean "study.yaml"?'
    assert "does not exist either" in message(tmp_path / "nowhere" / "study.yaml")


def test_a_folder_names_the_files_in_it(write: Write, tmp_path: Path) -> None:
    path = write(SOUND)
    with pytest.raises(InvalidArgument, match="is a folder") as refusal:
        load(tmp_path)
    assert f"Name a file: {path}" in str(refusal.value)


def test_a_file_that_may_not_be_read(write: Write) -> None:
    path = write(SOUND)
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        assert "may not be read by you" in message(path)
    else:
        pytest.skip("root may read everything")
    finally:
        path.chmod(0o600)


def test_without_pyyaml_the_extra_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "pip install 'wazir[cli]'" in message(write(SOUND))


# What the service finds later


@pytest.fixture
def study(write: Write) -> StudyFile:
    return load(write(SOUND))


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("parameters.lr.min", 6),
        ("parameters.lr.step", 6),
        ("parameters.gamma", 5),
        ("trial.command[2]", 19),
        ("trial.command[9]", 16),
        ("algorithm.sigma", 4),
        ("algorithm", 4),
    ],
)
def test_an_error_of_the_service_gets_the_nearest_line(study: StudyFile, field: str, line: int) -> None:
    error = study.explain(InvalidArgument(field, 1, "is wrong"))
    assert type(error) is InvalidArgument
    assert (str(error), error.field) == (f"{study.path}:{line}: {field} = 1: is wrong", field)


def test_a_section_that_is_not_there_has_no_line(study: StudyFile) -> None:
    assert str(study.explain(InvalidArgument("stopping", 1, "x"))).startswith(f"{study.path}: stopping")


def test_a_changed_space_stays_that_error(study: StudyFile) -> None:
    error = study.explain(SpecChanged("digits", ["parameters", "objective"]))
    assert type(error) is SpecChanged
    assert str(error).startswith(f"{study.path}:5: digits exists with another parameters")
    assert error.details["fields"] == "parameters, objective"


def test_what_is_not_about_the_file_stays_as_it_is(study: StudyFile) -> None:
    for error in (Unavailable("the service is away"), InvalidArgument("page_token", "x", "is unknown")):
        assert study.explain(error) is error


def test_one_objective_in_a_list_is_found_by_either_name(write: Write) -> None:
    text = changed("objective: {metric: val/loss, goal: minimize}", "objectives:\n- {metric: val/loss, goal: minimize}")
    error = load(write(text)).explain(InvalidArgument("objective.metric", 1, "x"))
    assert ":4: objective.metric" in str(error)


# Writing


@given(spec=specs())
@example(spec=ODD)
def test_what_is_written_reads_back_equal(spec: StudySpec, tmp_path_factory: pytest.TempPathFactory) -> None:
    if spec.space is None:
        return
    path = tmp_path_factory.mktemp("dump") / "study.yaml"
    path.write_text(dump("digits", spec), encoding="utf-8")
    study = load(path)
    assert study.study_id == "digits"
    written = to_document(spec)
    if spec.trial is not None and not spec.trial.workdir:
        assert isinstance(written["trial"], dict)
        written["trial"] |= {"workdir": str(path.parent)}
    assert to_document(study.spec) == written


@pytest.mark.parametrize(
    "text", ["1e-5", "1", "true", "on", "null", "~", "", "2024-01-01", "12:30", ": ", "#", "- a", "0o7"]
)
def test_texts_that_look_like_something_else_are_quoted_for_every_reader(write: Write, text: str) -> None:
    spec = load(write(changed("[sgd, adam]", f"[sgd, {json.dumps(text)}]"))).spec
    written = dump("digits", spec)
    assert load(write(written)).spec == spec
    assert yaml.safe_load(written)["parameters"]["opt"]["values"] == ["sgd", text], "a YAML 1.1 reader, too"


def test_numbers_are_written_for_every_reader(write: Write) -> None:
    spec = load(
        write(changed("[sgd, adam]", "[1e-5, 1, 0.5, 1e300]").replace("when: {opt: sgd}", "when: {opt: 1}"))
    ).spec
    assert spec.space is not None
    kind = spec.space.by_name["opt"].kind
    assert isinstance(kind, Discrete)
    assert yaml.safe_load(dump("digits", spec))["parameters"]["opt"]["values"] == list(kind.values)
