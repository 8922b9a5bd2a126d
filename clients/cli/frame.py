"""One frame of the live view: what is drawn at a moment on a screen of some size. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from ...domain.forecast import study_time_to_go
from ...domain.progress import StudyProgress
from ...domain.study import Study, StudyState
from ...domain.trial import Trial, TrialState
from ...domain.visible import on_one_line
from .algorithm_words import algorithm_name
from .glyphs import bar
from .measured import in_short
from .output import counted, in_order, number, pairs, state_text
from .running import cut, eta_of, eta_text, of_this_attempt, rows_of, table, time_text

BAR = 30
LOW = 12
"""On a screen of fewer lines nothing is left blank."""

NAME = 24
"""Characters of a study's name that stay on a narrow screen."""


@dataclass(kw_only=True)
class View:
    """What is known of a study at a moment."""

    study: Study | None = None
    running: Sequence[Trial] = ()
    """By id."""
    progress: StudyProgress | None = None
    typical: float | None = None
    """Seconds that a trial usually takes, once one has succeeded."""
    best: Trial | None = None
    reporting: bool = False
    """Whether some trial is known to have reported before it ended."""
    parallel: int | None = None
    """So many trials run at a time, whatever the study says."""
    waits_for: str = "the study"
    """While there is none."""
    trouble: str = ""
    note: str = ""


def frame(view: View, width: int, height: int, now: float, *, ascii_only: bool = False) -> list[Text]:
    """At most `height` lines of at most `width` cells. If there is little room, running trials are kept."""
    lines = _lines(view, width, height, now=now, ascii_only=ascii_only)[:height]
    for line in lines:
        line.truncate(width)
    return lines


def _lines(view: View, width: int, height: int, *, now: float, ascii_only: bool) -> list[Text]:
    dots = "..." if ascii_only else "…"
    study = view.study
    if study is None:
        waiting = f"waiting for {view.waits_for} {dots}"
        return [Text(cut(waiting, width, ascii_only=ascii_only), "dim"), *_foot(view, width, ascii_only)]

    foot = _foot(view, width, ascii_only)
    head = [_head(view, study, width, now=now, ascii_only=ascii_only)]
    if view.best is not None and height >= LOW:
        head.append(_best(view.best, study, width, ascii_only=ascii_only))
    if not view.running:
        # A foot that says what is missing is right about what the study waits for.
        if not view.trouble and (words := awaited(study)):
            foot.insert(0, Text(cut(f"{words} {dots}", width, ascii_only=ascii_only), "dim"))
        return [*head, *foot]

    if height >= LOW:
        head.append(Text())
    room = max(1, height - len(head) - len(foot) - 1)
    shown = list(view.running)
    if len(shown) > room:
        shown = shown[: max(1, room - 1)]
    hidden = len(view.running) - len(shown)
    rows = rows_of(shown, study, view.progress, typical=view.typical, now=now)
    metrics = [objective.metric for objective in study.spec.objectives]
    lines = table(rows, metrics, width, ascii_only=ascii_only, reporting=view.reporting)
    if hidden:
        lines.append(Text(cut(f"{dots} and {hidden} more running", width, ascii_only=ascii_only), "dim"))
    return [*head, *lines, *foot]


def awaited(study: Study) -> str:
    """What a study without a running trial waits for; empty for one that waits for nothing."""
    if study.state is not StudyState.ACTIVE:
        return ""
    which = "next" if study.counts.total > study.counts[TrialState.REQUESTED] else "first"
    if study.counts[TrialState.REQUESTED]:
        return f"the {which} trial is being started"
    return f"waiting for the {which} suggestion of {algorithm_name(study)}"


def done_of(study: Study) -> tuple[int, int | None]:
    """How many trials have ended that count, and how many are to."""
    return study.counts.counted - study.counts.pending, study.spec.budget.trials


def study_eta(view: View, study: Study, now: float) -> float | None:
    """Seconds until the study has done its trials or used up its duration; None if it does not run, or if neither is
    known."""
    if study.state is not StudyState.ACTIVE:
        return None
    duration = study.spec.budget.duration
    times = [_trials_eta(view, study, now), None if duration is None else study.create_time + duration - now]
    return max(0.0, min(known)) if (known := [time for time in times if time is not None]) else None


def _trials_eta(view: View, study: Study, now: float) -> float | None:
    done, budget = done_of(study)
    if budget is None or not view.running:
        return None
    by_id = {found.trial_id: found for found in view.progress.trials} if view.progress is not None else {}
    running = [
        eta_of(trial, of_this_attempt(trial, by_id.get(trial.id)), view.progress, typical=view.typical, now=now)
        for trial in view.running
    ]
    waiting = max(0, budget - done - len(view.running))
    limits = [limit for limit in (study.spec.budget.parallel, view.parallel) if limit is not None]
    return study_time_to_go(waiting, running, view.typical, min(limits, default=None))


def summary(view: View, now: float) -> str:
    """The study in one line, for output that cannot be redrawn."""
    study = view.study
    if study is None:
        return f"waiting for {view.waits_for}"

    done, budget = done_of(study)
    parts = [f"{done}/{budget} trials" if budget else counted(done, "trial"), f"{len(view.running)} running"]

    by_id = {found.trial_id: found for found in view.progress.trials} if view.progress is not None else {}
    found = [known for t in view.running if (known := of_this_attempt(t, by_id.get(t.id))) is not None]
    if found:
        steps = sorted(known.pace.last_step for known in found)
        whole = view.progress.whole_steps if view.progress is not None else None
        at = f"{steps[0]}" if steps[0] == steps[-1] else f"{steps[0]} to {steps[-1]}"
        parts.append(f"at step {at}" + (f" of {whole}" if whole else ""))
    elif not view.running and (words := awaited(study)):
        parts.append(words)

    objectives = study.spec.objectives
    if view.best is not None and len(objectives) == 1:
        value = number((view.best.final or {})[objectives[0].metric])
        parts.append(f"best {on_one_line(objectives[0].metric)}={value} (trial {view.best.id})")
    if (eta := study_eta(view, study, now)) is not None:
        parts.append(f"ETA {eta_text(eta)}")
    return f"{study.name.short}: " + ", ".join(parts)


def _head(view: View, study: Study, width: int, *, now: float, ascii_only: bool) -> Text:
    """The study in one line. What it has no room for goes from the least important part on."""
    done, budget = done_of(study)
    failed, paused = study.counts[TrialState.FAILED], study.counts[TrialState.PAUSED]
    eta = study_eta(view, study, now)
    name = study.name.short
    if width < 100:
        name = cut(name, NAME, ascii_only=ascii_only)
    filled, rest = bar(done, budget, BAR, ascii_only=ascii_only) if budget else ("", "")
    bar_text = Text(filled, "green").append(rest, "dim")
    # A study that runs shows that by itself.
    state_rank = 5 if study.state is StudyState.ACTIVE else 1

    # In their order on the line, with their rank of importance: what has the greatest rank goes first.
    parts = [
        (0, Text(name, "bold")),
        (state_rank, state_text(study.state)),
        (8, Text(algorithm_name(study))),
        (7, bar_text),
        (1, Text(f"{done}/{budget} trials" if budget else counted(done, "trial"))),
        (2, Text(f"{study.counts.live} running")),
        (5, Text(f"{paused} paused") if paused else Text()),
        (3, Text(f"{failed} failed", "red") if failed else Text()),
        (6, Text(time_text(max(0.0, now - study.create_time)), "dim")),
        (4, Text(f"ETA {eta_text(eta)}") if eta is not None else Text()),
    ]

    kept = [(rank, part) for rank, part in parts if part.plain]
    while len(kept) > 1 and sum(cell_len(part.plain) + 2 for _, part in kept) - 2 > width:
        kept.remove(max(kept, key=lambda ranked: ranked[0]))
    return Text("  ").join(part for _, part in kept)


def _best(trial: Trial, study: Study, width: int, *, ascii_only: bool) -> Text:
    metrics = on_one_line(in_short(trial.final, study.spec))
    line = Text(cut(f"best: trial {trial.id}  {metrics}", width, ascii_only=ascii_only))
    room = width - cell_len(line.plain) - 2
    if room > 0:
        parameters = on_one_line(pairs(in_order(trial, study)))
        line.append("  ").append(cut(parameters, room, ascii_only=ascii_only), "dim")
    return line


def _foot(view: View, width: int, ascii_only: bool) -> list[Text]:
    lines = []
    study = view.study
    if study is not None and study.state is StudyState.PAUSED:
        lines.append((f"paused: {study.reason or 'no trials are started'}", "yellow"))
    if view.trouble:
        lines.append((f"waiting: {view.trouble}", "red"))
    if view.note:
        lines.append((view.note, "yellow"))
    return [Text(cut(on_one_line(words), width, ascii_only=ascii_only), style) for words, style in lines]
