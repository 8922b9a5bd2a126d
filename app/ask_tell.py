"""`wazir.create_study`, `wazir.load_study` and their like: ask and tell, with a service if none is named.

If neither an address nor WAZIR_ADDRESS names a service, that of the folder's database is used, and started if there
is none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..clients import studies
from .beside import serve_beside

P = ParamSpec("P")
T = TypeVar("T")


def _served(function: Callable[P, T]) -> Callable[P, T]:
    @wraps(function)
    def served(*args: P.args, **kwargs: P.kwargs) -> T:
        kwargs.setdefault("serve", serve_beside)
        return function(*args, **kwargs)

    shown = inspect.signature(function)
    served.__signature__ = shown.replace(  # type: ignore[attr-defined]
        parameters=[parameter for name, parameter in shown.parameters.items() if name != "serve"]
    )
    return served


create_study = _served(studies.create_study)
delete_study = _served(studies.delete_study)
get_all_study_names = _served(studies.get_all_study_names)
get_all_study_summaries = _served(studies.get_all_study_summaries)
load_study = _served(studies.load_study)
