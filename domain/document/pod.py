"""What a trial's pod has, as documents write it. What it may be is said in `domain/pod.py`."""

from __future__ import annotations

from ..errors import InvalidArgument
from ..pod import Keep, PodOptions, Retention, Source, Volume
from .amounts import format_duration, format_memory
from .keys import KEYS
from .section import Section


def pod_document(pod: PodOptions) -> dict[str, object]:
    """The keys of `trial:` that are about pods."""
    document: dict[str, object] = {}
    if pod.volumes:
        document["volumes"] = {path: _volume_to(volume) for path, volume in pod.volumes.items()}
    if checkpoints := _checkpoints_to(pod):
        document["checkpoints"] = checkpoints
    given: dict[str, object] = {
        "node_selector": dict(pod.node_selector),
        "tolerations": [dict(t) for t in pod.tolerations],
        "service_account": pod.service_account,
        "pull_secrets": list(pod.pull_secrets),
        "priority_class": pod.priority_class,
        "labels": dict(pod.labels),
    }
    document |= {key: value for key, value in given.items() if value}
    if pod.user is not None:
        document["user"] = pod.user
    if pod.keep is not Keep.FAILED:
        document["keep"] = pod.keep.value
    if pod.start_timeout is not None:
        document["start_timeout"] = format_duration(pod.start_timeout)
    if pod.manifest is not None:
        document["manifest"] = pod.manifest
    return document


def pod_from_document(document: object) -> PodOptions:
    """What `pod_document` gives. Raises InvalidArgument."""
    return pod_from(Section("trial", document, KEYS["trial"]))


def pod_from(section: Section) -> PodOptions:
    manifest = section.section("manifest", None).entries if "manifest" in section else None
    volumes = section.section("volumes", None) if "volumes" in section else None
    tolerations = section.sections("tolerations", KEYS["trial.tolerations"])
    checkpoints, keep_checkpoints = _checkpoints_from(section)
    return PodOptions(
        volumes={}
        if volumes is None
        else {path: _volume_from(volumes.section(path, KEYS["trial.volumes.PATH"])) for path in volumes.entries},
        checkpoints=checkpoints,
        keep_checkpoints=keep_checkpoints,
        node_selector=section.words_by_name("node_selector"),
        tolerations=tuple(_toleration_from(toleration) for toleration in tolerations),
        service_account=section.text("service_account", ""),
        pull_secrets=section.words("pull_secrets"),
        priority_class=section.text("priority_class", ""),
        labels=section.words_by_name("labels"),
        user=section.whole("user") if "user" in section else None,
        keep=section.choice("keep", Keep, Keep.FAILED),
        start_timeout=None if section.unlimited("start_timeout") else section.seconds("start_timeout", 0.0),
        manifest=manifest,
    )


def _checkpoints_from(trial: Section) -> tuple[Volume | None, Retention]:
    """`{claim: NAME, keep: best}`: the volume, where one is named, and which checkpoints stay."""
    if "checkpoints" not in trial:
        return None, Retention.LATEST
    section = trial.section("checkpoints", KEYS["trial.checkpoints"])
    keep = section.choice("keep", Retention, Retention.LATEST)
    return (_volume_from(section) if any(key in section for key in KEYS["trial.volumes.PATH"]) else None), keep


def _checkpoints_to(pod: PodOptions) -> dict[str, object]:
    document = {} if pod.checkpoints is None else _volume_to(pod.checkpoints)
    return document if pod.keep_checkpoints is Retention.LATEST else document | {"keep": pod.keep_checkpoints.value}


def _volume_from(section: Section) -> Volume:
    given = [source for source in Source if source.value in section]
    if len(given) != 1:
        words = ", ".join(source.value for source in Source)
        raise InvalidArgument(section.where, list(section.entries), f"names one source of: {words}")
    source = given[0]
    name, size = "", 0
    if source in (Source.EMPTY, Source.MEMORY):
        value = section.value(source.value)
        # `memory: 8Gi` says its size; `empty: true` has none.
        size = 0 if value is True else section.memory(source.value)
    else:
        name = section.text(source.value)
    if "size" in section:
        if source not in (Source.EMPTY, Source.MEMORY):
            raise InvalidArgument(section.path("size"), section.value("size"), "is for `empty` and `memory` only")
        size = section.memory("size")
    return Volume(source, name, size, section.flag("read_only", False))


def _volume_to(volume: Volume) -> dict[str, object]:
    bare = volume.source in (Source.EMPTY, Source.MEMORY)
    document: dict[str, object] = {volume.source.value: (format_memory(volume.size) or True) if bare else volume.name}
    return document | ({"read_only": True} if volume.read_only else {})


def _toleration_from(section: Section) -> dict[str, str | int]:
    return {key: section.whole(key) if key == "tolerationSeconds" else section.word(key) for key in section.entries}
