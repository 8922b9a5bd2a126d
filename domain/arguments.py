"""`${args}` and its forms: the active parameters as a program's command line wants them.

    ${args}            --lr=0.1 --amp=true --opt=adam       one argument for each active parameter
    ${args:flags}      --lr=0.1 --amp --opt=adam            true is the bare flag, false is nothing (`store_true`)
    ${args:switches}   --lr=0.1 --amp --opt=adam            and false is --no-amp (`BooleanOptionalAction`)
    ${args:dashes}     --weight-decay=0.1                   `_` in names becomes `-`
    ${args:hydra}      lr=0.1 amp=true opt=adam             quoted as Hydra's grammar wants it
    ${args:json}       {"lr": 0.1, "amp": true, ...}        one text, also within another one
    ${flag:amp}        --amp, or nothing                    one boolean parameter

`dashes` can be combined with `flags` or `switches`: `${args:dashes,flags}`. Each form but `${args:json}` must be an
item of the command by itself, and becomes any number of arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from .errors import MISSING, InvalidArgument, nearest
from .parameters import Parameters, Value
from .space import Categorical, Parameter

ARGS: Final = "args"
JSON: Final = "args:json"
"""The only form that is a text, so that it may be part of an item."""
_FORM: Final = "args:"
_FLAG: Final = "flag:"
PREFIXES: Final = (_FORM, _FLAG)

FORMS: Final = ("dashes", "flags", "hydra", "json", "switches")
_PAIRS: Final = ({"dashes", "flags"}, {"dashes", "switches"})

_PLACES: Final = re.compile(r"trial\.(command|args|manifest\..*)\[\d+\]")
_HYDRA_KEY: Final = re.compile(r"[A-Za-z_][\w/@:-]*(\.[\w/@:-]+)*")
_HYDRA_PLAIN: Final = re.compile(r"[A-Za-z_][\w./-]*")
_HYDRA_WORDS: Final = frozenset({"true", "false", "null", "nan", "inf"})


def as_argument(value: Value) -> str:
    """A value as a command line carries it: true and false for booleans, the shortest exact digits for numbers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def is_form(name: str) -> bool:
    """Whether `${name}` is about all active parameters, or a flag."""
    return name == ARGS or name.startswith(PREFIXES)


def expanded(name: str, parameters: Parameters) -> list[str] | None:
    """The arguments that an item `${name}` becomes; None if it is one text, as `${lr}` and `${args:json}` are."""
    if name == JSON or not is_form(name):
        return None
    if name.startswith(_FLAG):
        flag = name.removeprefix(_FLAG)
        return [f"--{flag}"] if parameters.get(flag) is True else []
    forms = _forms(name)
    if "hydra" in forms:
        return [f"{key}={as_hydra(value)}" for key, value in parameters.items()]
    return [argument for key, value in parameters.items() for argument in _option(key, value, forms)]


def texts_of(parameters: Parameters) -> dict[str, str]:
    """The values of the forms that are a text."""
    return {JSON: json.dumps(dict(parameters), ensure_ascii=False)}


def as_hydra(value: Value) -> str:
    """A value in Hydra's override grammar: a text that it would misread or split is quoted."""
    if not isinstance(value, str):
        return as_argument(value)
    if _HYDRA_PLAIN.fullmatch(value) and value.lower() not in _HYDRA_WORDS:
        return value
    # Backslashes mean themselves, but for those before a quote, and before `${`, which OmegaConf would interpolate.
    text = re.sub(r"(\\*)('|\$\{|\Z)", lambda m: m[1] * 2 + ("\\" + m[2] if m[2] else ""), value)
    return f"'{text}'"


def check_form(where: str, text: str, name: str, parameters: Mapping[str, Parameter]) -> None:
    """Raises InvalidArgument if `${name}`, for which `is_form` holds, is not a form or cannot be used in `text`."""
    shown = f"${{{name}}}"
    if name.startswith(_FLAG):
        _check_flag(where, text, name.removeprefix(_FLAG), parameters)
    else:
        _check_names(where, text, name, parameters)
    if name != JSON and (text != shown or not _PLACES.fullmatch(where)):
        raise InvalidArgument(
            where, text, f"{shown} must be an item of the command by itself", "Write it as its own item"
        )


def check_names(parameters: Collection[str], taken: Collection[str]) -> None:
    """Raises InvalidArgument if a parameter's name means something else in `${...}`, or is `taken`."""
    for name in parameters:
        if is_form(name) or name in taken:
            rule = f"${{{name}}} means something else in a trial's command"
            raise InvalidArgument(f"parameters.{name}", MISSING, rule, "Give the parameter another name")


def _check_flag(where: str, text: str, name: str, parameters: Mapping[str, Parameter]) -> None:
    if name not in parameters:
        raise InvalidArgument(where, text, f"{name!r} is not a parameter", nearest(name, parameters))
    kind = parameters[name].kind
    if not isinstance(kind, Categorical) or not all(isinstance(value, bool) for value in kind.values):
        rule = f"{name} is not a boolean, so it cannot be a flag"
        raise InvalidArgument(where, text, rule, f'Write "--{name}=${{{name}}}"')


def _check_names(where: str, text: str, name: str, parameters: Mapping[str, Parameter]) -> None:
    forms = _forms(name)
    unknown = next((form for form in forms if form not in FORMS), None)
    if unknown is not None:
        raise InvalidArgument(where, text, f"{unknown!r} is not a form of ${{args}}", nearest(unknown, FORMS))
    if len(forms) > 1 and set(forms) not in _PAIRS:
        rule = f"{' and '.join(forms)} cannot be combined"
        raise InvalidArgument(
            where, text, rule, "Write one of them; only dashes can be combined with flags or switches"
        )
    if "hydra" in forms:
        for key in parameters:
            if not _HYDRA_KEY.fullmatch(key):
                raise InvalidArgument(
                    where, text, f"Hydra does not accept {key!r} as a key", "Give the parameter another name"
                )


def _forms(name: str) -> list[str]:
    return [form.strip() for form in name.removeprefix(_FORM).split(",")] if name != ARGS else []


def _option(key: str, value: Value, forms: Collection[str]) -> Iterator[str]:
    key = key.replace("_", "-") if "dashes" in forms else key
    if not isinstance(value, bool) or not {"flags", "switches"} & set(forms):
        yield f"--{key}={as_argument(value)}"
    elif value:
        yield f"--{key}"
    elif "switches" in forms:
        yield f"--no-{key}"
