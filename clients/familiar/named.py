"""A sampler or pruner by its name in Optuna, with the settings that it was given."""

from __future__ import annotations


class Named:
    """Holds what it was made with; `translate.py` says what that means here."""

    def __init__(self, *arguments: object, **settings: object) -> None:
        """`arguments`: what Optuna takes without a name, which is the wrapped pruner or the search space."""
        self.arguments = arguments
        self.settings = settings

    def __repr__(self) -> str:
        shown = [*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.settings.items())]
        return f"{type(self).__name__}({', '.join(shown)})"
