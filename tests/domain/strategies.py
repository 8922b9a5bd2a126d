"""Hypothesis strategies for what the domain holds: each makes sound values only, of every shape that is allowed."""

import math

from hypothesis import strategies as st

from wazir.domain.arguments import is_form
from wazir.domain.attempt import RetryPolicy
from wazir.domain.metric import Goal, Objective, Pick, SafetyMetric
from wazir.domain.pod import Keep, PodOptions, Retention, Source, Volume
from wazir.domain.space import (
    MAX_INTEGER,
    Categorical,
    Condition,
    Discrete,
    Double,
    Integer,
    Kind,
    Parameter,
    Scale,
    Space,
)
from wazir.domain.study import Algorithm, Budget, Stopping, StudySpec
from wazir.domain.template import (
    STUDY_NAMES,
    MetricsFrom,
    MetricsSource,
    Resources,
    Runtime,
    TrialTemplate,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
# No line breaks and no backquotes; surrogates are no characters.
words = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="`"), min_size=1, max_size=8)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
parameter_names = words.filter(lambda word: not is_form(word) and word not in STUDY_NAMES)
"""In a command `${args}` and `${trial.id}` mean something else."""
values = st.booleans() | integers | finite | texts


@st.composite
def doubles(draw: st.DrawFn) -> Double:
    low, high = sorted(draw(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=2, unique_by=abs)))
    if low > 0 and draw(st.booleans()):
        return Double(low, high, draw(st.sampled_from(list(Scale))))
    if draw(st.booleans()):
        steps = draw(st.integers(1, 1_000))
        low, step = draw(st.integers(-100, 100)) / 10, draw(st.sampled_from([0.1, 0.25, 1.0, 1e-3, 3.0]))
        return Double(low, low + steps * step * 1.001, step=step)
    return Double(low, high)


@st.composite
def whole_numbers(draw: st.DrawFn) -> Integer:
    low, high = sorted(draw(st.lists(integers, min_size=2, max_size=2, unique=True)))
    if low > 0 and draw(st.booleans()):
        return Integer(low, high, draw(st.sampled_from(list(Scale))))
    return Integer(low, high, step=draw(st.integers(1, min(high - low, MAX_INTEGER))))


@st.composite
def discretes(draw: st.DrawFn) -> Discrete:
    numbers = tuple(sorted(draw(st.lists(integers | finite, min_size=1, max_size=6, unique=True))))
    return Discrete(numbers, draw(st.sampled_from(list(Scale))) if numbers[0] > 0 else Scale.LINEAR)


def categoricals() -> st.SearchStrategy[Categorical]:
    # -0.0 and 0.0 are one category.
    return st.lists(values, min_size=1, max_size=6, unique_by=lambda v: (type(v), v)).map(
        lambda v: Categorical(tuple(v))
    )


def kinds() -> st.SearchStrategy[Kind]:
    return st.one_of(doubles(), whole_numbers(), discretes(), categoricals())


@st.composite
def conditions(draw: st.DrawFn, parent: Parameter) -> Condition:
    kind = parent.kind
    if isinstance(kind, Double) and kind.step is None:
        # Beyond the middle, which is never the very end.
        middle = kind.min + (kind.max - kind.min) / 2
        return Condition(parent.name, min=kind.min, max=max(middle, math.nextafter(kind.min, math.inf)))
    listed = tuple(kind.at(draw(st.integers(0, (kind.size or 1) - 1))) for _ in range(draw(st.integers(1, 3))))
    number = listed[0]
    if isinstance(kind, Categorical) or isinstance(number, bool | str) or draw(st.booleans()):
        return Condition(parent.name, listed)
    return Condition(parent.name, min=number, max=draw(st.sampled_from([None, number])))


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    parameters: list[Parameter] = []
    for name in draw(st.lists(parameter_names, min_size=1, max_size=5, unique=True)):
        kind = draw(kinds())
        default = None
        if kind.size is not None and draw(st.booleans()):
            default = kind.at(draw(st.integers(0, kind.size - 1)))
        # Conditions on roots only, one for each: they never contradict one another.
        roots = [p for p in parameters if not p.when]
        chosen = draw(st.lists(st.sampled_from(roots), max_size=2, unique_by=lambda p: p.name)) if roots else []
        parameters.append(Parameter(name, kind, default, tuple(draw(conditions(p)) for p in chosen)))
    constraints = [f"`{p.name}` == `{p.name}`" for p in draw(st.lists(st.sampled_from(parameters), max_size=2))]
    return Space(tuple(parameters), tuple(constraints))


settings = st.dictionaries(
    words.filter(lambda word: word not in ("name", "seed", "repeats")),
    st.recursive(st.none() | values, lambda inner: st.lists(inner) | st.dictionaries(words, inner), max_leaves=5),
    max_size=3,
)
seconds = st.floats(0.001, 1e9) | st.integers(1, 10**9).map(float)
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)


@st.composite
def templates(draw: st.DrawFn, space: Space | None) -> TrialTemplate:
    stdout = MetricsSource(MetricsFrom.STDOUT, draw(st.sampled_from(["", r"(?P<name>\w+)=(?P<value>\S+)"])))
    plain = texts.filter(lambda text: "${" not in text)
    runtime = draw(st.none() | st.sampled_from(Runtime))
    pods = runtime is Runtime.KUBERNETES
    if pods and draw(st.booleans()):
        container = {"image": "train", "args": ["${args}"], "env": [{"name": "A", "value": draw(plain)}]}
        manifest = {"spec": {"containers": [container], "activeDeadlineSeconds": 90}}
        return TrialTemplate(runtime=runtime, pod=PodOptions(manifest=manifest, keep=draw(st.sampled_from(Keep))))
    return TrialTemplate(
        command=("python", *draw(st.lists(plain, max_size=3)), *(["${args}"] if space is not None else [])),
        env=draw(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), plain, max_size=3)),
        workdir=draw(st.sampled_from(["", "/", "/home/a b/ü"])),
        args=tuple(draw(st.lists(plain, max_size=2))),
        runtime=runtime,
        image="registry/train:1.4" if pods else draw(st.sampled_from(["", "registry/train:1.4"])),
        resources=Resources(
            draw(st.sampled_from([0.0, 1.0, 8.0] if pods else [0.0, 0.5, 1.0, 8.0])),
            draw(st.floats(0, 1e6)),
            draw(st.integers(0, MAX_INTEGER) | st.integers(0, 2**20).map(lambda n: n * 2**30)),
        ),
        timeout=draw(st.none() | seconds),
        grace=draw(seconds | st.just(0.0)),
        retries=RetryPolicy(draw(st.integers(0, 9)), draw(st.integers(0, 99))),
        metrics=draw(st.sampled_from([MetricsSource(), stdout])),
        pod=draw(pod_options()),
    )


@st.composite
def pod_options(draw: st.DrawFn) -> PodOptions:
    name = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
    labels = st.dictionaries(name, st.from_regex(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,5}[A-Za-z0-9])?)?", fullmatch=True))
    sizes = st.integers(0, 2**40)
    volumes = st.one_of(
        st.builds(Volume, st.sampled_from([Source.CLAIM, Source.CONFIG_MAP, Source.SECRET]), name),
        st.builds(Volume, st.just(Source.HOST), st.just("/data"), read_only=st.booleans()),
        st.builds(Volume, st.sampled_from([Source.EMPTY, Source.MEMORY]), size=sizes),
    )
    return PodOptions(
        volumes=draw(st.dictionaries(st.sampled_from(["/data", "/dev/shm", "/a b"]), volumes)),
        checkpoints=draw(st.none() | st.builds(Volume, st.just(Source.CLAIM), name)),
        keep_checkpoints=draw(st.sampled_from(Retention)),
        node_selector=draw(labels),
        tolerations=tuple(draw(st.lists(st.just({"key": "a", "operator": "Exists", "tolerationSeconds": 5})))),
        service_account=draw(st.just("") | name),
        pull_secrets=tuple(draw(st.lists(name, max_size=2))),
        priority_class=draw(st.just("") | name),
        labels=draw(labels),
        user=draw(st.none() | st.integers(0, 2**31 - 1)),
        keep=draw(st.sampled_from(Keep)),
        start_timeout=draw(st.none() | seconds),
    )


@st.composite
def specs(draw: st.DrawFn) -> StudySpec:
    space = draw(st.none() | spaces())
    bounds = draw(st.lists(finite, max_size=2))
    return StudySpec(
        objectives=tuple(
            Objective(metric, draw(st.sampled_from(Goal)), draw(st.none() | finite), draw(st.sampled_from(Pick)))
            for metric in draw(st.lists(names, min_size=1, max_size=3, unique=True))
        ),
        space=space,
        safety=tuple(
            SafetyMetric(draw(names), **({"at_least": bound} if draw(st.booleans()) else {"at_most": bound}))
            for bound in bounds
        ),
        algorithm=Algorithm(
            draw(names), draw(st.none() | st.integers(0, MAX_INTEGER)), draw(st.integers(1, 9)), draw(settings)
        ),
        stopping=draw(st.none() | st.builds(Stopping, names, settings)),
        budget=Budget(
            draw(st.none() | st.integers(1, 10**9)),
            draw(st.none() | st.integers(1, 10**9)),
            draw(st.none() | st.integers(0, 10**9)),
            draw(st.none() | seconds),
            draw(st.none() | st.floats(0.001, 1e9)),
        ),
        trial=draw(templates(space)) if draw(st.booleans()) else None,
        labels=draw(st.dictionaries(names, texts, max_size=3)),
    )
