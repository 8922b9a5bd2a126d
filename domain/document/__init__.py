"""A study's specification as plain data in the words of the study file, and back.

`from_document` reads mappings, lists, texts, numbers and booleans as YAML and JSON know them, `to_document` writes
them; `from_document(to_document(spec)) == spec` for every specification, with 1, 1.0 and true kept apart. Whoever
reads files, stores specifications or prints them does it through here, so there is one vocabulary:

    study, labels               a DNS label; texts by name
    objective | objectives      {metric, goal: minimize | maximize, target, pick: last | best}, or a list of these
    safety                      a list of {metric, at_least, at_most}
    algorithm                   a name, or {name, seed, repeats} and the algorithm's own settings
    stopping                    a name, or {name} and the rule's own settings
    parameters                  by name: {type, min, max, scale, step, default, values, when}
    constraints                 a list of conditions, see `domain/constraint.py`
    budget                      {trials, parallel, failed, duration, gpu_hours}
    trial                       {command, args, env, workdir, image, runtime, resources: {gpu, cpu, memory}, timeout,
                                grace, retries: {failed, preempted}, metrics: {from: push | stdout, pattern},
                                checkpoints: {keep: latest | best | none}}
                                and for pods {volumes, checkpoints: {claim | host}, node_selector, tolerations,
                                service_account, pull_secrets, priority_class, labels, user, keep, start_timeout,
                                manifest}

What is left out and may be inferred:

* `type` of a parameter with `min` and `max`: `int` where every number of it (min, max, step, default) is written
  without a point or exponent, else `double`. So {min: 0, max: 1} has two values, {min: 0.0, max: 1.0} all between.
* `type` of a parameter with `values`: `discrete` where all are numbers, else `categorical`. Discrete values may stand
  in any order.
* `budget.failed`: 10 where there is a `trial` section, else no limit.

Durations are seconds, or texts such as 90s, 12h, 1h30m, 2d. Memory is bytes, or a text such as 64Gi or 512M. null says
"no limit" in `budget` and for `trial.timeout`; anywhere else it is refused, because it is a value somebody forgot.
Every refusal is an InvalidArgument with the path of the field: `parameters.lr.min`, `trial.command[2]`.

    study, space, template, pod     each reads and writes what the module of that name in `domain/` defines
    section                         the strict reader of one mapping, on which they stand
    keys                            which keys stand where, and what to say of others
    amounts                         numbers, durations, memory
    doubts                          what is valid in a document and perhaps not meant
"""

from .amounts import parse_duration
from .doubts import bare_durations, doubts
from .keys import SECTIONS
from .pod import pod_document, pod_from_document
from .space import parameter_from_document, parameter_to_document
from .study import from_document, study_from_document, to_document

__all__ = [
    "SECTIONS",
    "bare_durations",
    "doubts",
    "from_document",
    "parameter_from_document",
    "parameter_to_document",
    "parse_duration",
    "pod_document",
    "pod_from_document",
    "study_from_document",
    "to_document",
]
