"""Optuna's samplers, for `create_study(sampler=...)`. Each is one of Wazir's algorithms, or is refused with a hint."""

from __future__ import annotations

from .named import Named


class BruteForceSampler(Named): ...


class CmaEsSampler(Named): ...


class GPSampler(Named): ...


class GridSampler(Named): ...


class NSGAIIISampler(Named): ...


class NSGAIISampler(Named): ...


class PartialFixedSampler(Named): ...


class QMCSampler(Named): ...


class RandomSampler(Named): ...


class TPESampler(Named): ...
