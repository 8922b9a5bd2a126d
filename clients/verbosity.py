"""How much `Study.optimize` writes, for all studies of this process: `wazir.logging`, as Optuna has it.

This is not the configuration of Python's logging: it decides whether a line is written for each trial. Log records are
the business of the code that configures the logger "wazir".
"""

from __future__ import annotations

from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, WARN, WARNING, Logger, getLogger

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "FATAL",
    "INFO",
    "WARN",
    "WARNING",
    "disable_default_handler",
    "disable_propagation",
    "enable_default_handler",
    "enable_propagation",
    "get_logger",
    "get_verbosity",
    "set_verbosity",
]

_LOGGER = "wazir"

_verbosity = INFO
_enabled = True


def set_verbosity(verbosity: int) -> None:
    """INFO, the default, or less: a line for each trial. WARNING or more: none, and no bar."""
    global _verbosity
    _verbosity = verbosity


def get_verbosity() -> int:
    """The latest argument of `set_verbosity`."""
    return _verbosity


def disable_default_handler() -> None:
    """No lines and no bar, whatever the verbosity is."""
    global _enabled
    _enabled = False


def enable_default_handler() -> None:
    """Takes `disable_default_handler` back."""
    global _enabled
    _enabled = True


def get_logger(name: str) -> Logger:
    """Python's logger of that name; for "optuna", the one to which Wazir writes."""
    root, _, rest = name.partition(".")
    return getLogger(f"{_LOGGER}.{rest}" if rest else _LOGGER) if root == "optuna" else getLogger(name)


def enable_propagation() -> None:
    """Log records reach the handlers of Python's root logger, which is how it is without a call."""
    getLogger(_LOGGER).propagate = True


def disable_propagation() -> None:
    """Log records reach the handlers of the logger "wazir" alone."""
    getLogger(_LOGGER).propagate = False


def shows_results() -> bool:
    """Whether trials get their lines."""
    return _enabled and _verbosity <= INFO
