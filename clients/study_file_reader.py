"""Reads a study file: bytes, then YAML's nodes, then plain data with the line of every field.

The scalars are those of YAML 1.2's core schema, not PyYAML's 1.1: `1e-5` is a number, `on`, `yes`, `12:30:00` and
`2024-01-01` are texts, `0o17` is 15. Keys are always texts, and so are the items of `trial.command` and the values
of `trial.env` and `labels`, exactly as written: `1.10` is not 1.1 there.

A file is input like any other: it is bounded in size, depth and number of nodes after aliases (so that ten lines of
aliases to aliases do not fill the memory), no tag makes objects, and no key may appear twice.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ..domain.errors import MISSING, InvalidArgument, nearest
from .yaml_text import BOOL, FLOAT, INT, NULL, STR, import_yaml, plain_tag

_Node = Any
"""A `yaml.Node`, whose kinds the stubs do not tell apart by `id`; PyYAML is imported where it is used."""

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 50
MAX_NODES: Final = 200_000
"""Scalars, lists and mappings, those behind an alias counted each time."""

_PREFIX: Final = "tag:yaml.org,2002:"
_SEQ, _MAP = _PREFIX + "seq", _PREFIX + "map"

_TEXT_PLACES: Final = re.compile(r"(trial\.command\[\d+\]|trial\.env\.[^.]*|labels\..*|study)")


class Reader:
    """Reads one file: bytes, then nodes, then plain data with the line of every path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, int] = {}
        self._nodes = 0

    def read(self) -> tuple[dict[str, object], dict[str, int]]:
        text = self._text()
        if not text.strip():
            raise self._refused("is empty", "Start it with `study: name`; the README has a whole one")
        node = self._compose(text)
        if node is None:
            raise self._refused("holds nothing but comments", "Start it with `study: name`; the README has a whole one")
        if node.id != "mapping":
            raise self._refused("must hold keys and values, such as `study: name`", "", node.start_mark.line + 1)
        return self._mapping(node, "", 0), self._lines

    def _text(self) -> str:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise self._refused("there is no such file", self._similar()) from None
        except IsADirectoryError:
            inside = [f"{self._path / name}" for name in self._study_files(self._path)]
            raise self._refused("is a folder", f"Name a file: {', '.join(inside[:5])}" if inside else "") from None
        except PermissionError:
            raise self._refused("may not be read by you", f"Try `chmod u+r {self._path}`") from None
        except OSError as error:
            raise self._refused(f"cannot be read: {error.strerror}") from None
        if len(data) > MAX_BYTES:
            raise self._refused("is larger than 1 MiB", "A study file holds the study; data belong elsewhere")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise self._refused("is not UTF-8", "Save it in that encoding", line) from None

    def _compose(self, text: str) -> Any:
        yaml = import_yaml()
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            # JSON may be indented by tabs, and can have them nowhere else; in YAML they may not stand there.
            text = text.replace("\t", " ")

        class Loader(yaml.SafeLoader):  # type: ignore[name-defined,misc]  # PyYAML is imported lazily
            depth = 0

            def compose_node(loader, parent: Any, index: Any) -> Any:  # noqa: N805
                loader.depth += 1
                if loader.depth > MAX_DEPTH:
                    line = loader.peek_event().start_mark.line + 1
                    raise self._refused(f"nests more than {MAX_DEPTH} levels deep", "", line)
                node = super().compose_node(parent, index)
                loader.depth -= 1
                return node

            def resolve(loader, kind: type, value: Any, implicit: Any) -> str:  # noqa: N805
                if kind is yaml.ScalarNode:
                    return plain_tag(value) if implicit[0] else STR
                return _SEQ if kind is yaml.SequenceNode else _MAP

        try:
            return yaml.compose(text, Loader=Loader)
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error, text) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            rule = f"holds the character U+{ord(text[error.position]):04X}, which YAML does not allow"
            raise self._refused(rule, 'In quotes it may be written as "\\u..."', line) from None
        except RecursionError:
            raise self._refused(f"nests more than {MAX_DEPTH} levels deep") from None

    def _value(self, node: _Node, where: str, depth: int) -> object:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            rule = f"holds more than {MAX_NODES} values" if depth <= MAX_DEPTH else f"nests over {MAX_DEPTH} levels"
            raise self._refused(f"with its aliases (*name) written out, it {rule}", "", node.start_mark.line + 1)
        if node.id == "mapping" and node.tag == _MAP:
            return self._mapping(node, where, depth)
        if node.id == "sequence" and node.tag == _SEQ:
            items = []
            for i, item in enumerate(node.value):
                path = f"{where}[{i}]"
                self._lines.setdefault(path, item.start_mark.line + 1)
                items.append(self._value(item, path, depth + 1))
            return items
        if node.id == "scalar":
            return self._scalar(node, where)
        raise self._tag(node, where)

    def _mapping(self, node: _Node, where: str, depth: int) -> dict[str, object]:
        entries: dict[str, object] = {}
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.id != "scalar":
                raise self._refused("a key must be a text, not a list or a mapping", _BRACES, line)
            name = self._joined(key.value, where, line)
            if name == "<<" and key.style is None:
                rule = "`<<` (merge keys) is not part of YAML 1.2"
                raise self._refused(rule, "Write the keys out, or use an alias for a whole value", line)
            path = f"{where}.{name}" if where else name
            if name in first:
                rule = f"appears twice: in lines {first[name]} and {line}"
                raise self._refused(f"{path}: {rule}", "Keep one of them", line)
            first[name] = line
            # Behind a second alias, the first place stays the one to look at.
            self._lines.setdefault(path, line)
            entries[name] = self._value(value, path, depth + 1)
        return entries

    def _scalar(self, node: _Node, where: str) -> object:
        text, line = self._joined(node.value, where, node.start_mark.line + 1), node.start_mark.line + 1
        plain = node.style is None
        if node.tag != NULL and plain and node.tag in (INT, FLOAT, BOOL) and _TEXT_PLACES.fullmatch(where):
            return text
        if node.tag == STR:
            return text
        # A tag may also be written out: `!!int "12"`.
        if plain_tag(text) not in ((node.tag, INT) if node.tag == FLOAT else (node.tag,)):
            raise self._tag(node, where)
        if node.tag == NULL:
            return None
        if node.tag == BOOL:
            return text.lower() == "true"
        if len(text) > 400:
            raise self._refused(f"{where}: a number of {len(text)} digits", "Numbers have at most 400", line)
        if node.tag == INT:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def _joined(self, text: str, where: str, line: int) -> str:
        """JSON writes characters beyond U+FFFF as pairs of `\\u`; half a pair is not a character."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self._refused(f"{where}: holds half a surrogate pair, which is not a character", "", line) from None

    def _tag(self, node: _Node, where: str) -> InvalidArgument:
        name = "!!" + node.tag.removeprefix(_PREFIX) if node.tag.startswith(_PREFIX) else node.tag
        return self._refused(f"{where}: the tag {name} is not for this value", "Leave it out", node.start_mark.line + 1)

    def _syntax(self, error: Any, text: str) -> InvalidArgument:
        mark = error.problem_mark or error.context_mark
        problem = f"{error.context or ''} {error.problem or ''}"
        rule, hint = next(((r, h) for words, r, h in _SYNTAX if re.search(words, problem)), (problem.strip(), ""))
        opened = error.context_mark
        if "{opened}" in rule:
            rule = rule.replace("{opened}", f"in line {opened.line + 1}" if opened is not None else "above")
        if mark is None:
            return self._refused(rule, hint)
        if opened is not None and "simple key" in problem:
            # PyYAML misses the ':' only where the next line begins.
            mark = opened
        lines = text.splitlines()
        # At the end of a file, what is wrong is before it.
        around = lines[opened.line if opened else 0 : mark.line + 1]
        if any("${" in line for line in around) and ("'['" in rule or "'{'" in rule):
            hint = 'Put items with ${...} into quotes: "--lr=${lr}"'
        return self._refused(f"column {mark.column + 1}: {rule}", hint, mark.line + 1)

    def _similar(self) -> str:
        folder = self._path.parent
        if not folder.is_dir():
            return f"The folder {folder} does not exist either"
        found = self._study_files(folder)
        return nearest(self._path.name, found) if found else ""

    @staticmethod
    def _study_files(folder: Path) -> list[str]:
        def names() -> Iterator[str]:
            with os.scandir(folder) as entries:
                yield from (e.name for e in entries if e.name.endswith((".yaml", ".yml")))

        try:
            return sorted(names())
        except OSError:
            return []

    def _refused(self, rule: str, hint: str = "", line: int | None = None) -> InvalidArgument:
        at = f"{self._path}:{line}" if line is not None else f"{self._path}"
        return InvalidArgument("", MISSING, f"{at}: {rule}", hint)


_BRACES: Final = "Put a text with { } or [ ] into quotes"

_SYNTAX: Final = (
    (r"character '\\t'", "a tab is not allowed here", "Indent with spaces"),
    (
        "mapping values are not allowed",
        "a ':' is not allowed here",
        "Put a text that holds ': ' into quotes, and check the indentation",
    ),
    ("quoted scalar", "the quote opened {opened} is not closed", "Close it, and double a quote inside of it"),
    ("parsing a flow sequence", "the '[' {opened} is not closed, or a comma is missing", "Close it with ']'"),
    ("parsing a flow mapping", "the '{' {opened} is not closed, or a comma is missing", "Close it with '}'"),
    ("flow node", "a value is missing, or a bracket is not closed", _BRACES),
    (
        "block mapping|block collection|block sequence",
        "the indentation does not fit the lines above, or a value is not complete",
        "Keys of one section begin in the same column; a text that starts with a quote must end with it",
    ),
    ("simple key", "a key has no ':' after it", "Write `key: value`"),
    (
        "undefined alias",
        "an alias (*name) has no anchor (&name) before it",
        "Put a text that starts with * into quotes",
    ),
    ("duplicate anchor", "an anchor (&name) appears twice", "Give it another name"),
    ("single document", "holds more than one document (---)", "Give each study its own file"),
    ("directive", "a line that starts with % is not for study files", "Take it away"),
    (
        "cannot start any token",
        "a value may not start with this character",
        "Put the value into quotes",
    ),
    ("tag", "a tag (!name) is not for study files", "Put a text that starts with ! into quotes"),
    ("block scalar", "the text after | or > is not well formed", "Start it in the next line, indented by spaces"),
    ("anchor|alias", "a name must follow * or &", "Put a text that starts with * or & into quotes"),
)
"""PyYAML's problem, what it means, and the way out; the first that fits."""
