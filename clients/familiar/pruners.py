"""Optuna's pruners, for `create_study(pruner=...)`. Each is a stopping rule of Wazir's, or refused with a hint."""

from __future__ import annotations

from .named import Named


class HyperbandPruner(Named): ...


class MedianPruner(Named): ...


class NopPruner(Named): ...


class PatientPruner(Named): ...


class PercentilePruner(Named): ...


class SuccessiveHalvingPruner(Named): ...


class ThresholdPruner(Named): ...


class WilcoxonPruner(Named): ...
