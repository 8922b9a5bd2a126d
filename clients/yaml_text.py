"""YAML that readers of YAML 1.1 and of YAML 1.2 take for the same data."""

from __future__ import annotations

import re
from typing import Any, Final

from ..domain.errors import MISSING, InvalidArgument
from ..domain.visible import visible, visible_document

_PREFIX: Final = "tag:yaml.org,2002:"
STR, INT, FLOAT, BOOL, NULL = (_PREFIX + name for name in ("str", "int", "float", "bool", "null"))

_CORE: Final = (
    (NULL, re.compile(r"~|null|Null|NULL|")),
    (BOOL, re.compile(r"true|True|TRUE|false|False|FALSE")),
    (INT, re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    (FLOAT, re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")),
)
"""YAML 1.2.2, section 10.3.2: what a plain scalar is."""


def plain_tag(text: str) -> str:
    """The tag that YAML 1.2 gives to a scalar without quotes."""
    return next((tag for tag, pattern in _CORE if pattern.fullmatch(text)), STR)


def yaml_text(data: object, **options: Any) -> str:
    """`data` (mappings, lists, texts, numbers, booleans, None) as YAML.

    NaN and infinities are `.nan`, `.inf` and `-.inf`. Every text that either version would take for something else is
    in quotes, and control characters are escaped. `options` are those of `yaml.dump`.
    """
    yaml = import_yaml()

    class Dumper(yaml.SafeDumper):  # type: ignore[name-defined,misc]  # PyYAML is imported lazily
        def ignore_aliases(self, data: object) -> bool:
            return True

        def represent_text(self, data: str) -> Any:
            # PyYAML quotes what its own YAML 1.1 takes for something else; `1e-5` it would leave plain.
            style = "'" if plain_tag(data) != STR else None
            # In double quotes an escape means the character.
            if visible(data) != data:
                style = '"'
            return self.represent_scalar(STR, data, style=style)

    Dumper.add_representer(str, Dumper.represent_text)
    text = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, **options)
    assert isinstance(text, str)
    return visible_document(text)


def import_yaml() -> Any:
    """PyYAML. Raises InvalidArgument, which names the extra, if it is not installed."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise InvalidArgument(
            "", MISSING, "study files need PyYAML, which is not installed", "Install it: pip install 'wazir[cli]'"
        ) from None
    return yaml
