"""Constraints between parameters, written as conditions: `batch * accum <= 512`, `opt == 'sgd' or lr < 0.01`.

The language is a small part of Python's expressions and means what it means there:

    values       1, 1e-5, 1_000, 'text', "text", true, false (or True, False)
    parameters   lr, model.lr; any other name in backquotes: `lr-max`
    arithmetic   + - * / // % ** and unary + -, on numbers only (true counts as 1, false as 0)
    functions    abs ceil exp floor log log2 log10 max min round sqrt
    comparisons  < <= > >= == !=, in chains too: 0 < a < b <= 10
    membership   layers in [1, 2, 4], opt not in ('sgd', 'adam')
    logic        and or not; its operands are conditions, or parameters that hold true, false or a number (0 is false)

The whole is a condition. Line breaks count as spaces. What can be known to be wrong without values, such as text in
arithmetic, is refused by `parse`; what only the values tell is settled by `Constraint.holds`:

* A constraint that mentions an inactive parameter does not apply: it holds.
* Where something cannot be computed, the constraint does not hold, whatever `not` stands before it: a division by zero,
  the logarithm of a negative number, an even root of one (a complex number), text in arithmetic, in logic or in
  an order with a number, and any intermediate result beyond the range of a double (about 1.8e308), which also bounds
  what an evaluation can cost. `and` and `or` stop early: `n == 0 or k / n < 2` holds for n = 0.
* Text and numbers are never equal, but asking is no mistake, because the values of one parameter may be of both kinds.

No part of a text is ever given to `eval`: it is cut into tokens here, only their arrangement is parsed by `ast`, and
what comes out is turned once into closures.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from .errors import nearest
from .parameters import Value

MAX_LENGTH: Final = 1_000
"""Characters of a text."""

MAX_DEPTH: Final = 100
"""Levels of nesting. A sum of n terms nests n levels deep, as its first plus the second, plus the third, and so on."""

_Evaluate = Callable[[Mapping[str, Value]], Any]


@dataclass(frozen=True, slots=True)
class Constraint:
    """A condition on parameters; made by `parse`. Equal to another where the texts are equal."""

    text: str
    names: frozenset[str] = field(compare=False)
    """The parameters that the text mentions."""
    size: int = field(compare=False, repr=False)
    """How many names, numbers, operators and brackets it has: evaluating each takes 0.1 us or less."""
    _evaluate: _Evaluate = field(compare=False, repr=False)

    def holds(self, parameters: Mapping[str, Value]) -> bool:
        """Whether the condition is met. True where a parameter of it is inactive, that is, not in `parameters`.

        False where it cannot be computed; see the head of this module. Raises nothing.
        """
        # First and for all names: were it left to the look-ups, `a < 1 and b < 2` would not apply for some `a` only.
        if not parameters.keys() >= self.names:
            return True
        try:
            return bool(self._evaluate(parameters))
        except (ArithmeticError, TypeError, ValueError):
            return False

    def __reduce__(self) -> tuple[Callable[[str], Constraint], tuple[str]]:
        """Pickled and copied as text, because closures cannot be."""
        return parse, (self.text,)


class ConstraintSyntaxError(ValueError):
    """`text` is no constraint: at `column`, counted from 1, it breaks `rule`; `hint` says what is allowed."""

    def __init__(self, text: str, column: int, rule: str, hint: str) -> None:
        # All four go to `args`, so that the error survives pickling.
        super().__init__(text, column, rule, hint)
        self.text = text
        self.column = column
        self.rule = rule
        self.hint = hint

    def __str__(self) -> str:
        rest = self.text[self.column - 1 :]
        at = f" (at {_quoted(rest, 20)})" if rest.strip() else ""
        return f"{_quoted(self.text, 200)}, column {self.column}{at}: {self.rule}. {self.hint}"


def parse(text: str) -> Constraint:
    """The constraint that `text` says. Raises ConstraintSyntaxError."""
    if not isinstance(text, str):
        raise ConstraintSyntaxError(repr(text), 1, "a constraint is a text", _EXAMPLE)
    return _parse(text)


# Spaces are made for each read of a study, their constraints are the same few texts.
@lru_cache(maxsize=1_024)
def _parse(text: str) -> Constraint:
    if len(text) > MAX_LENGTH:
        rule = f"a constraint has at most {MAX_LENGTH} characters, this one {len(text)}"
        raise ConstraintSyntaxError(text, MAX_LENGTH + 1, rule, _SPLIT)
    tokens = list(_scan(text))
    if not tokens:
        raise ConstraintSyntaxError(text, 1, "the text is empty", _EXAMPLE)
    source = _arrangement(text, tokens)
    compiler = _Compiler(text, tokens)
    try:
        evaluate = compiler.condition(ast.parse(source, mode="eval").body, 1)
    except (RecursionError, MemoryError):
        raise ConstraintSyntaxError(text, 1, _TOO_DEEP, _SPLIT) from None
    except SyntaxError as error:
        raise _misplaced(text, tokens, (error.offset or 1) - 1 + tokens[0].start) from None
    return Constraint(text, frozenset(compiler.names), len(tokens), evaluate)


_EXAMPLE: Final = 'Write a condition such as "batch * accum <= 512"'
_SPLIT: Final = "Split it up: all constraints of a list must hold"
_TOO_DEEP: Final = f"it nests more than {MAX_DEPTH} levels deep"


# Tokens
#
# Strings and names are taken out here, so that the grammar sees ASCII only: its columns are then those of the text,
# names are not normalised as Python's are (a parameter is named as it is named), and neither escapes nor keywords that
# mean nothing here (`lambda` is a fine name for a parameter) can have effects of their own.


class _Kind(Enum):
    NAME = "name"
    QUOTED = "name in backquotes"
    TEXT = "text"
    BOOLEAN = "true or false"
    NUMBER = "number"
    WORD = "word of the language"
    OPERATOR = "operator"


class _Token(NamedTuple):
    kind: _Kind
    start: int
    end: int
    value: Any
    """What the text means: a name, the string, True or False; for others the characters themselves."""


_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
    |(?P<NUMBER>(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?)
    |(?P<NAME>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
    |(?P<QUOTED>`[^`\n]+`)
    |(?P<TEXT>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    |(?P<OPERATOR>\*\*|//|[<>=!]=|[-+*/%<>()\[\],])""",
    re.VERBOSE,
)
_WORDS: Final = frozenset({"and", "or", "not", "in"})
_BOOLEANS: Final = {"true": True, "True": True, "false": False, "False": False}
_CLOSING: Final = {"(": ")", "[": "]"}
_VALUES: Final = frozenset({_Kind.NAME, _Kind.QUOTED, _Kind.TEXT, _Kind.BOOLEAN, _Kind.NUMBER})
_ALLOWED: Final = "Allowed are parameters, numbers, 'text', + - * / // % ** < <= > >= == != and or not in [...] (...)"
_IMPLY: Final = 'For "if a then b" write "not a or b"'

_INSTEAD: Final = {
    "=": ('"=" does not compare', 'Write "=="'),
    "&": ('"&" is not known', 'Write "and"'),
    "|": ('"|" is not known', 'Write "or"'),
    "!": ('"!" is not known', 'Write "not"'),
    "^": ('"^" is not known', 'Write "**" for a power'),
    "{": ("braces are not known", "Write a list in brackets: [1, 2, 4]"),
    "#": ("comments are not possible", "Leave it out"),
    "`": ("the backquote is not closed, or nothing is in it", "Write a name as `lr-max`"),
    "'": ("the text is not closed", "Put a quotation mark at its end, on the same line"),
    '"': ("the text is not closed", "Put a quotation mark at its end, on the same line"),
}
_INSTEAD_OF_WORDS: Final = {
    "is": ('"is" does not compare', 'Write "=="'),
    "if": ('"if" is not known', _IMPLY),
    "else": ('"else" is not known', _IMPLY),
}


def _scan(text: str) -> Iterator[_Token]:
    """The tokens of `text`. Any two stand well together, and brackets match."""
    before: _Token | None = None
    brackets: list[_Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            rule, hint = _INSTEAD.get(text[position], (f"{_quoted(text[position])} is not known", _ALLOWED))
            raise ConstraintSyntaxError(text, position + 1, rule, hint)
        position = match.end()
        if match.lastgroup == "space":
            continue
        token = _token(text, match)
        if before is not None:
            _check_neighbours(text, before, token)
        if token.value in _CLOSING and token.kind is _Kind.OPERATOR:
            brackets.append(token)
        elif _closes(token) and (not brackets or _CLOSING[brackets.pop().value] != token.value):
            rule = f'no bracket is open that "{token.value}" closes'
            raise ConstraintSyntaxError(text, token.start + 1, rule, "Brackets come in pairs")
        yield token
        before = token
    if brackets:
        rule = f'"{brackets[-1].value}" is not closed'
        raise ConstraintSyntaxError(text, brackets[-1].start + 1, rule, "Brackets come in pairs")
    if before is not None and before.kind not in _VALUES and not _closes(before):
        rule = f'something is missing after "{before.value}"'
        raise ConstraintSyntaxError(text, before.end + 1, rule, _ALLOWED)


def _closes(token: _Token) -> bool:
    return token.kind is _Kind.OPERATOR and token.value in _CLOSING.values()


def _token(text: str, match: re.Match[str]) -> _Token:
    kind, value = _Kind[match.lastgroup or ""], match.group()
    start, end = match.span()
    if kind is _Kind.NAME:
        if value in _INSTEAD_OF_WORDS:
            rule, hint = _INSTEAD_OF_WORDS[value]
            raise ConstraintSyntaxError(text, start + 1, rule, f"{hint}; put a parameter of that name in backquotes")
        if value in _WORDS:
            return _Token(_Kind.WORD, start, end, value)
        if value in _BOOLEANS:
            return _Token(_Kind.BOOLEAN, start, end, _BOOLEANS[value])
    elif kind is _Kind.QUOTED:
        return _Token(kind, start, end, value[1:-1])
    elif kind is _Kind.TEXT:
        for escape in re.finditer(r"\\(.)", value):
            if escape[1] not in "\\'\"":
                rule = f"the escape {escape[0]} is not known"
                raise ConstraintSyntaxError(text, start + escape.start() + 1, rule, r"Write \\ for a backslash")
        return _Token(kind, start, end, re.sub(r"\\(.)", r"\1", value[1:-1]))
    return _Token(kind, start, end, value)


def _check_neighbours(text: str, before: _Token, token: _Token) -> None:
    """Raises ConstraintSyntaxError where two values stand side by side, or words without a space."""
    if token.kind in _VALUES and (before.kind in _VALUES or _closes(before)):
        first, second = text[before.start : before.end], text[token.start : token.end]
        rule = f"an operator is missing between {_quoted(first, 40)} and {_quoted(second, 40)}"
        written = next((w.value for w in (token, before) if w.kind is _Kind.NAME and w.value.lower() in _WORDS), None)
        hint = f'Write "{written.lower()}"' if written else _ALLOWED
        raise ConstraintSyntaxError(text, token.start + 1, rule, hint)
    if before.end == token.start and _Kind.OPERATOR not in (before.kind, token.kind):
        rule = f"a space is missing before {_quoted(text[token.start : token.end], 40)}"
        raise ConstraintSyntaxError(text, token.start + 1, rule, "Put spaces between numbers, names and words")


def _arrangement(text: str, tokens: list[_Token]) -> str:
    """`text` from its first token on, in ASCII: names and strings are underscores, as many as they have characters."""
    source = [" "] * len(text)
    for kind, start, end, _ in tokens:
        opaque = kind in _VALUES and kind is not _Kind.NUMBER
        source[start:end] = "_" * (end - start) if opaque else text[start:end]
    return "".join(source[tokens[0].start :])


def _misplaced(text: str, tokens: list[_Token], position: int) -> ConstraintSyntaxError:
    """For an arrangement that the grammar refuses at `position`."""
    token = next((t for t in tokens if t.end > position), tokens[-1])
    rule = f"{_quoted(text[token.start : token.end], 40)} does not fit here"
    return ConstraintSyntaxError(text, token.start + 1, rule, _ALLOWED)


# Evaluation


class _Type(Enum):
    """What is known of an expression without values."""

    CONDITION = "a condition"
    NUMBER = "a number"
    TEXT = "text"
    LIST = "a list"
    PARAMETER = "a parameter"
    """Its value may be of any type."""


class _Expression(NamedTuple):
    type: _Type
    evaluate: _Evaluate
    constant: bool = False


_MAX: Final = sys.float_info.max


def _power(base: float, exponent: float) -> float:
    # Whole numbers would be computed exactly, however many digits that takes; nobody needs those beyond the range.
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and (int(base).bit_length() - 1) * exponent > sys.float_info.max_exp:
        raise OverflowError
    return base**exponent  # type: ignore[no-any-return]


def _round(number: float, digits: int = 0, /) -> float:
    # round(5, -n) computes 10**n.
    if -400 <= digits <= 400:
        return round(number, digits)
    raise OverflowError


_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}
_FUNCTIONS: Final[dict[str, tuple[Callable[..., Any], int, int]]] = {
    # Name -> what computes it, fewest and most arguments.
    "abs": (abs, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "exp": (math.exp, 1, 1),
    "floor": (math.floor, 1, 1),
    "log": (math.log, 1, 2),
    "log10": (math.log10, 1, 1),
    "log2": (math.log2, 1, 1),
    "max": (max, 2, MAX_LENGTH),
    "min": (min, 2, MAX_LENGTH),
    "round": (_round, 1, 2),
    "sqrt": (math.sqrt, 1, 1),
}


class _Compiler:
    """Turns the parsed arrangement of one text into closures, and collects the names that it meets."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self.names: set[str] = set()
        self._text = text
        self._shift = tokens[0].start
        self._tokens = {token.start: token for token in tokens}

    def condition(self, node: ast.expr, depth: int) -> _Evaluate:
        """Evaluates to true or false."""
        type_, evaluate, _ = self._expression(node, depth)
        if type_ is _Type.CONDITION:
            return evaluate
        if type_ is _Type.PARAMETER:

            def truth(parameters: Mapping[str, Value]) -> bool:
                value = evaluate(parameters)
                if isinstance(value, str):
                    raise TypeError
                return bool(value)

            return truth
        hint = 'Compare it, as in "batch <= 512"; one of several values is meant by "in [1, 2, 4]"'
        raise self._error(node, f"{type_.value} is not a condition", hint)

    def number(self, node: ast.expr, depth: int) -> _Evaluate:
        """Evaluates to a number (or true or false, which count as 1 and 0)."""
        type_, evaluate, _ = self._expression(node, depth)
        if type_ is _Type.TEXT:
            raise self._error(node, "text cannot be computed with", "Compare it with ==, != or in [...]")
        if type_ is not _Type.PARAMETER:
            return evaluate

        def number(parameters: Mapping[str, Value]) -> int | float:
            value = evaluate(parameters)
            # Python would repeat, join and format strings.
            if isinstance(value, int | float):
                return value
            raise TypeError

        return number

    def _expression(self, node: ast.expr, depth: int) -> _Expression:
        if depth > MAX_DEPTH:
            raise self._error(node, _TOO_DEEP, _SPLIT)
        match node:
            case ast.Name():
                return self._name(node)
            case ast.Constant(value=int() | float() as value):
                if not abs(value) <= _MAX:
                    raise self._error(node, "the number is too large", f"Numbers go up to {_MAX:.2g}")
                return _Expression(_Type.NUMBER, lambda _: value, constant=True)
            case ast.BinOp(left, kind, right) if type(kind) in _ARITHMETIC:
                operands = self.number(left, depth + 1), self.number(right, depth + 1)
                return _Expression(_Type.NUMBER, _computed(_ARITHMETIC[type(kind)], *operands))
            case ast.UnaryOp(ast.Not(), operand):
                condition = self.condition(operand, depth + 1)
                return _Expression(_Type.CONDITION, lambda parameters: not condition(parameters))
            case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, operand):
                number = self.number(operand, depth + 1)
                signed = operator.neg if isinstance(sign, ast.USub) else operator.pos
                return _Expression(_Type.NUMBER, lambda parameters: signed(number(parameters)))
            case ast.BoolOp(kind, values):
                conditions = [self.condition(value, depth + 1) for value in values]
                return _Expression(_Type.CONDITION, _any(conditions) if isinstance(kind, ast.Or) else _all(conditions))
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.Call():
                return self._call(node, depth)
            case ast.List() | ast.Tuple():
                raise self._error(node, 'a list is only possible after "in"', 'As in "layers in [1, 2, 4]"')
            case ast.Subscript():
                raise self._error(node, "nothing can be taken out of a value", "Write a name as it is, or as `lr-max`")
        raise self._error(node, "this is not known", _ALLOWED)

    def _name(self, node: ast.Name) -> _Expression:
        token = self._token(node)
        value = token.value
        if token.kind is _Kind.TEXT:
            return _Expression(_Type.TEXT, lambda _: value, constant=True)
        if token.kind is _Kind.BOOLEAN:
            return _Expression(_Type.CONDITION, lambda _: value, constant=True)
        self.names.add(value)
        return _Expression(_Type.PARAMETER, operator.itemgetter(value))

    def _comparison(self, node: ast.Compare, depth: int) -> _Expression:
        first = self._expression(node.left, depth + 1)
        before = first
        steps = []
        for kind, operand in zip(node.ops, node.comparators, strict=True):
            if before.type is _Type.LIST:
                raise self._error(operand, "a list is compared", 'A comparison after "in [...]" needs "and" before it')
            if isinstance(kind, ast.In | ast.NotIn):
                right = self._list(operand, depth + 1)
            else:
                right = self._expression(operand, depth + 1)
                types = {before.type, right.type}
                if _Type.TEXT in types and types & {_Type.NUMBER, _Type.CONDITION}:
                    hint = "Compare text with text, numbers with numbers"
                    raise self._error(operand, f"{before.type.value} is compared with {right.type.value}", hint)
            steps.append((_COMPARISONS[type(kind)], right))
            before = right
        if len(steps) > 1:
            return _Expression(_Type.CONDITION, _chain(first.evaluate, [(c, r.evaluate) for c, r in steps]))
        compare, right = steps[0]
        return _Expression(_Type.CONDITION, _compared(compare, first.evaluate, right))

    def _list(self, node: ast.expr, depth: int) -> _Expression:
        if not isinstance(node, ast.List | ast.Tuple):
            raise self._error(node, '"in" asks for a list', "Write the values in brackets: [1, 2, 4]")
        if not node.elts:
            raise self._error(node, "the list is empty", "Write the values in brackets: [1, 2, 4]")
        elements = [self._expression(element, depth + 1) for element in node.elts]
        if all(element.constant for element in elements):
            constants = tuple(element.evaluate({}) for element in elements)
            return _Expression(_Type.LIST, lambda _: constants, constant=True)
        evaluates = [element.evaluate for element in elements]
        return _Expression(_Type.LIST, lambda parameters: [evaluate(parameters) for evaluate in evaluates])

    def _call(self, node: ast.Call, depth: int) -> _Expression:
        token = self._token(node.func) if isinstance(node.func, ast.Name) else None
        if token is None or token.kind is not _Kind.NAME:
            raise self._error(node, "only functions can be called", f"Functions are {', '.join(_FUNCTIONS)}")
        if token.value not in _FUNCTIONS:
            # math.log and np.log mean log.
            hint = nearest(token.value.rpartition(".")[2], _FUNCTIONS)
            if not hint.startswith("Known"):
                hint += f" Functions are {', '.join(_FUNCTIONS)}"
            raise self._error(node, f"{_quoted(token.value, 40)} is not a function", hint)
        function, fewest, most = _FUNCTIONS[token.value]
        count = len(node.args)
        if node.keywords or not fewest <= count <= most:
            wanted = f"{fewest} or more" if most == MAX_LENGTH else " or ".join(map(str, range(fewest, most + 1)))
            rule = f"{token.value} takes {wanted} argument{'s' if wanted != '1' else ''}, not {count}"
            raise self._error(node, rule, f"As in {token.value}({', '.join('abc'[:fewest])})")
        arguments = [self.number(argument, depth + 1) for argument in node.args]
        if count == 1:
            (argument,) = arguments
            return _Expression(_Type.NUMBER, lambda parameters: function(argument(parameters)))
        return _Expression(_Type.NUMBER, lambda parameters: function(*[a(parameters) for a in arguments]))

    def _token(self, node: ast.expr) -> _Token:
        return self._tokens[node.col_offset + self._shift]

    def _error(self, node: ast.expr, rule: str, hint: str) -> ConstraintSyntaxError:
        return ConstraintSyntaxError(self._text, node.col_offset + self._shift + 1, rule, hint)


def _computed(compute: Callable[[Any, Any], Any], left: _Evaluate, right: _Evaluate) -> _Evaluate:
    def computed(parameters: Mapping[str, Value]) -> Any:
        result = compute(left(parameters), right(parameters))
        # Refuses infinity and NaN, whole numbers that grow without end, and (by a TypeError) complex ones.
        if -_MAX <= result <= _MAX:
            return result
        raise OverflowError

    return computed


def _compared(compare: Callable[[Any, Any], Any], left: _Evaluate, right: _Expression) -> _Evaluate:
    evaluate = right.evaluate
    if right.constant:
        # Most constraints end in a constant; this saves them a call.
        constant = evaluate({})
        return lambda parameters: compare(left(parameters), constant)
    return lambda parameters: compare(left(parameters), evaluate(parameters))


def _chain(first: _Evaluate, steps: list[tuple[Callable[[Any, Any], Any], _Evaluate]]) -> _Evaluate:
    """a < b < c: each operand is computed once, and those after a comparison that fails not at all."""

    def chain(parameters: Mapping[str, Value]) -> bool:
        left = first(parameters)
        for compare, evaluate in steps:
            right = evaluate(parameters)
            if not compare(left, right):
                return False
            left = right
        return True

    return chain


def _all(conditions: list[_Evaluate]) -> _Evaluate:
    def conjunction(parameters: Mapping[str, Value]) -> bool:
        for condition in conditions:  # noqa: SIM110 - `all` over a generator takes twice the time
            if not condition(parameters):
                return False
        return True

    return conjunction


def _any(conditions: list[_Evaluate]) -> _Evaluate:
    def disjunction(parameters: Mapping[str, Value]) -> bool:
        for condition in conditions:  # noqa: SIM110 - `any` over a generator takes twice the time
            if condition(parameters):
                return True
        return False

    return disjunction


def _quoted(text: str, length: int = 80) -> str:
    """In quotation marks, on one line, encodable, and cut where it is longer than `length`."""
    shown = text if len(text) <= length else text[: length - 3] + "..."
    return json.dumps(shown, ensure_ascii=not shown.isprintable())
