"""The trial template: what is run for a trial, and how parameter values get into it.

Substitution walks the parsed structure and never a text that is parsed again: a value ends up inside one argument or
one environment variable, whatever characters it has. `$${` stands for a literal `${`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .arguments import ARGS, as_argument, check_form, check_names, expanded, is_form, texts_of
from .attempt import RetryPolicy
from .errors import MISSING, InvalidArgument, nearest
from .parameters import Parameters, Value
from .pattern import groups
from .pod import Manifest, PodOptions, texts
from .space import Space

MAX_SECONDS = 10**9
MAX_RETRIES = 10**6
_REFERENCE = re.compile(r"\$(\$?)\{([^{}]*)\}")


class Runtime(enum.Enum):
    LOCAL = "local"
    KUBERNETES = "kubernetes"


class MetricsFrom(enum.Enum):
    """Where a trial's metrics come from."""

    PUSH = "push"
    """The training code reports them."""
    STDOUT = "stdout"
    """They are read from what it prints."""


@dataclass(frozen=True, slots=True)
class MetricsSource:
    """`pattern`: a regular expression with groups `name` and `value`, and `step` where it has one; empty for the
    default, which reads `name=value` and `name: value` (see `clients/collect/stdout.py`)."""

    source: MetricsFrom = MetricsFrom.PUSH
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial needs. `gpu` may be a fraction (0.5: two trials share one); `cpu` in cores; `memory` in bytes."""

    gpu: float = 0.0
    cpu: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class TrialTemplate:
    """`timeout` and `grace` in seconds; no timeout where it is None. `workdir` is absolute or empty.

    `command` and `args` as in Kubernetes: without `command` the image's own program gets `args`. Local processes run
    both, one after the other. A manifest (`pod.manifest`) has its own.
    """

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    runtime: Runtime | None = None
    image: str = ""
    resources: Resources = Resources()
    timeout: float | None = None
    grace: float = 30.0
    retries: RetryPolicy = RetryPolicy()
    metrics: MetricsSource = MetricsSource()
    pod: PodOptions = PodOptions()

    @property
    def containerised(self) -> bool:
        """Whether it says what a pod is made of."""
        return bool(self.image) or self.pod.manifest is not None

    @property
    def sized_by_parameters(self) -> bool:
        """Whether what its pod asks for depends on the trial's parameters. Only a manifest can say so."""
        return any(
            ".resources." in where and any(name not in STUDY_NAMES for name in references(text))
            for where, text in texts(self.pod.manifest or {}, "trial.manifest")
        )

    def check(self, space: Space | None) -> None:
        """Raises InvalidArgument on an empty command, unknown `${...}`, no use of any parameter, or a bad number."""
        if self.command and not self.command[0].strip():
            raise InvalidArgument("trial.command", list(self.command), "names no program to run")

        self._check_pod()
        names = space.by_name if space is not None else {}
        check_names(names, STUDY_NAMES)

        used = False
        for where, text in self._texts():
            for name in references(text):
                if is_form(name):
                    check_form(where, text, name, names)
                elif name not in names and name not in STUDY_NAMES:
                    raise InvalidArgument(
                        where, text, f"${{{name}}} is not a parameter", nearest(name, [*names, *STUDY_NAMES, ARGS])
                    )
                used |= is_form(name) or name in names
            _check_text(where, text)

        if names and not used and self.metrics.source is not MetricsFrom.PUSH:
            raise InvalidArgument(
                "trial.command" if self.pod.manifest is None else "trial.manifest",
                list(self.command) if self.pod.manifest is None else MISSING,
                "uses no parameter, so every trial would do the same",
                'Put "${args}" or "--name=${name}" into it, or read `wazir.current_trial().params` in the code and '
                "push the metrics",
            )

        if space is not None:
            self._check_flags(space)
        if self.workdir and not self.workdir.startswith("/"):
            raise InvalidArgument("trial.workdir", self.workdir, "must be an absolute path")
        for where, text in (("trial.workdir", self.workdir), ("trial.image", self.image)):
            _check_text(where, text)

        for where, seconds in (
            ("trial.timeout", self.timeout),
            ("trial.grace", self.grace),
            ("trial.start_timeout", self.pod.start_timeout),
        ):
            if seconds is not None and not 0 <= seconds <= MAX_SECONDS:
                rule = f"must be a duration from 0 to {MAX_SECONDS} s, for instance 90s or 6h"
                raise InvalidArgument(where, seconds, rule)
        for where, seconds in (("trial.timeout", self.timeout), ("trial.start_timeout", self.pod.start_timeout)):
            if seconds == 0:
                raise InvalidArgument(where, 0, "leaves no time to run", "Leave it out for no limit")

        for name, number in (("failed", self.retries.failed), ("preempted", self.retries.preempted)):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_RETRIES:
                raise InvalidArgument(
                    f"trial.retries.{name}", number, f"must be a whole number from 0 to {MAX_RETRIES}"
                )

        for name, amount in (
            ("gpu", self.resources.gpu),
            ("cpu", self.resources.cpu),
            ("memory", self.resources.memory),
        ):
            if not 0 <= amount < 2**63:
                raise InvalidArgument(f"trial.resources.{name}", amount, "must be a number of 0 or more, below 2^63")
        if self.resources.gpu > 1 and self.resources.gpu != int(self.resources.gpu):
            raise InvalidArgument(
                "trial.resources.gpu", self.resources.gpu, "must be a whole number, or a fraction below 1"
            )

        if self.metrics.pattern:
            _check_pattern(self.metrics)

    def _check_pod(self) -> None:
        if not self.containerised:
            if not self.command:
                raise InvalidArgument("trial.command", list(self.command), "names no program to run")
            if self.runtime is Runtime.KUBERNETES:
                raise InvalidArgument(
                    "trial.image", MISSING, "is missing: a pod is made of an image", "Name one, or give a manifest"
                )

        if self.runtime is Runtime.KUBERNETES and self.resources.gpu % 1:
            raise InvalidArgument(
                "trial.resources.gpu", self.resources.gpu, "a pod holds whole GPUs", "Local runs can share one"
            )

        self.pod.check()
        if self.pod.manifest is not None:
            for key, given in (
                ("command", self.command),
                ("args", self.args),
                ("image", self.image),
                ("resources", self.resources != Resources()),
                ("volumes", self.pod.volumes),
                ("node_selector", self.pod.node_selector),
                ("tolerations", self.pod.tolerations),
                ("service_account", self.pod.service_account),
                ("pull_secrets", self.pod.pull_secrets),
                ("priority_class", self.pod.priority_class),
                ("user", self.pod.user is not None),
            ):
                if given:
                    rule = "cannot be combined with trial.manifest, which says it in its own way"
                    raise InvalidArgument(f"trial.{key}", MISSING, rule, "Keep one of the two")

    def _texts(self) -> Iterator[tuple[str, str]]:
        yield from texts(self.command, "trial.command")
        yield from texts(self.args, "trial.args")
        for name, item in self.env.items():
            yield f"trial.env.{name}", item
        if self.pod.manifest is not None:
            yield from texts(self.pod.manifest, "trial.manifest")

    def _check_flags(self, space: Space) -> None:
        """Refuses `["--gamma", "${gamma}"]` with a conditional gamma: leaving out the value would leave its flag."""
        items = [(where, text) for where, text in self._texts() if not where.startswith("trial.env.")]
        for (_, flag), (where, item) in pairwise(items):
            match = _REFERENCE.fullmatch(item)
            if match is None or match[1] or match[2] not in space.by_name or where.endswith("[0]"):
                continue
            if space.by_name[match[2]].when and flag.startswith("-") and "=" not in flag:
                raise InvalidArgument(
                    where,
                    item,
                    f"is left out where {match[2]} is not active, which would leave {flag!r} without its value",
                    f'Write "{flag}={item}" as one item, or "${{args}}"',
                )


STUDY_NAMES = frozenset({"trial.id", "trial.name", "trial.attempt", "study.name"})
"""What a template may name beside the parameters."""


def references(text: str) -> Iterator[str]:
    """The names in `${name}`, in order."""
    for escaped, name in _REFERENCE.findall(text):
        if not escaped:
            yield name


def render(text: str, values: Mapping[str, Value], optional: Iterable[str] = ()) -> str | None:
    """`text` with every `${name}` replaced by its value; None where it names an inactive parameter.

    A name in neither `values` nor `optional` (the inactive parameters) is a KeyError: `check` has seen the template.
    """
    if any(name not in values and name in optional for name in references(text)):
        return None
    return _REFERENCE.sub(lambda m: m[0][1:] if m[1] else as_argument(values[m[2]]), text)


def render_items(
    items: Iterable[str], parameters: Parameters, facts: Mapping[str, str], inactive: Iterable[str]
) -> list[str]:
    """The command or arguments of one trial. `${args}` and its forms (`domain/arguments.py`) become one argument for
    each active parameter.

    `facts` gives the values of `STUDY_NAMES`.
    """
    values = {**parameters, **facts, **texts_of(parameters)}
    hidden = frozenset(inactive)
    command: list[str] = []
    for item in items:
        if (several := _expanded(item, parameters)) is not None:
            command.extend(several)
        elif (text := render(item, values, hidden)) is not None:
            command.append(text)
    return command


def _expanded(item: object, parameters: Parameters) -> list[str] | None:
    """The arguments that an item becomes which is nothing but a form of `${args}`; else None."""
    match = _REFERENCE.fullmatch(item) if isinstance(item, str) else None
    return expanded(match[2], parameters) if match is not None and not match[1] else None


def render_env(
    template: TrialTemplate, parameters: Parameters, facts: Mapping[str, str], inactive: Iterable[str]
) -> dict[str, str]:
    """The template's environment variables for one trial, those of inactive parameters left out."""
    values = {**parameters, **facts, **texts_of(parameters)}
    hidden = frozenset(inactive)
    rendered = {name: render(text, values, hidden) for name, text in template.env.items()}
    return {name: text for name, text in rendered.items() if text is not None}


def render_manifest(
    manifest: Manifest, parameters: Parameters, facts: Mapping[str, str], inactive: Iterable[str]
) -> dict[str, object]:
    """The manifest for one trial. A text that is nothing but `${name}` becomes the value with its type; what names an
    inactive parameter is left out: an item of a list, a key of a mapping, an environment variable whole."""
    return _Renderer(parameters, facts, inactive).mapping(manifest)


class _Renderer:
    def __init__(self, parameters: Parameters, facts: Mapping[str, str], inactive: Iterable[str]) -> None:
        self._values = {**parameters, **facts, **texts_of(parameters)}
        self._parameters = parameters
        self._hidden = frozenset(inactive)

    def mapping(self, source: Mapping[str, object]) -> dict[str, object]:
        rendered = ((key, self._value(value)) for key, value in source.items())
        return {key: value for key, value in rendered if value is not _LEFT_OUT}

    def _value(self, value: object) -> object:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            rendered = self.mapping(value)
            # An environment variable without its value would be there all the same, and empty.
            return _LEFT_OUT if "value" in value and "value" not in rendered else rendered
        if isinstance(value, Sequence):
            return list(self._items(value))
        return value

    def _items(self, items: Sequence[object]) -> Iterator[object]:
        for item in items:
            if (several := _expanded(item, self._parameters)) is not None:
                yield from several
            elif (value := self._value(item)) is not _LEFT_OUT:
                yield value

    def _text(self, text: str) -> object:
        match = _REFERENCE.fullmatch(text)
        if match is not None and not match[1] and match[2] in self._values:
            return self._values[match[2]]
        rendered = render(text, self._values, self._hidden)
        return _LEFT_OUT if rendered is None else rendered


_LEFT_OUT = object()


def _check_text(where: str, text: str) -> None:
    if "\0" in text:
        raise InvalidArgument(where, text, "may not contain a zero byte")
    if len(text) > 100_000:
        raise InvalidArgument(where, text, "may have at most 100000 characters")
    if where.startswith("trial.env.") and not re.fullmatch(r"trial\.env\.[A-Za-z_][A-Za-z0-9_]*", where):
        raise InvalidArgument(where, text, "a variable's name has letters, digits and '_', and starts with no digit")


def _check_pattern(metrics: MetricsSource) -> None:
    where = "trial.metrics.pattern"
    if metrics.source is not MetricsFrom.STDOUT:
        raise InvalidArgument(where, metrics.pattern, "is read with `from: stdout` only")
    try:
        missing = {"name", "value"} - groups(metrics.pattern)
    except ValueError as error:
        raise InvalidArgument(where, metrics.pattern, str(error)) from None
    if missing:
        raise InvalidArgument(
            where,
            metrics.pattern,
            f"lacks the group {' and '.join(sorted(missing))}",
            r"For instance (?P<name>[\w/]+)\s*=\s*(?P<value>\S+)",
        )
