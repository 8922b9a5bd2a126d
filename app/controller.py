"""`wazir controller`: runs the trials of whole owners, as pods or as local processes, until it is told to leave."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..clients.cli.errors import Exit, reported
from ..clients.cli.session import Session, connection_options
from ..clients.client import Client
from ..controller.loop import PULSE_LIMIT, Controller
from ..controller.runtime import Runtime
from ..controller.settings import DEFAULT_PATIENCE, Settings
from ..domain.errors import InvalidArgument, Unavailable
from ..domain.names import DEFAULT_OWNER, check_id
from ..domain.pulse import Pulse
from ..domain.study import Study
from ..domain.template import Runtime as Kind
from .logs import log_to_stderr
from .options import cluster_options
from .signals import heard

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that one call is tried again for; the loop itself waits for the service as long as it takes."""
RETRY_EVERY = 5.0
DEFAULT_PARALLEL = 4
"""Trials at a time of a study that does not say, where it is not this machine that carries them."""


LAUNCHING = 16
"""Pods on their way: as many as an API server makes in a fraction of a second."""


@dataclass(frozen=True)
class Served:
    """What the controller works for. `owners`: each with its namespace, empty for the controller's own."""

    kind: Kind
    owners: Mapping[str, str]
    settings: Settings
    ended: threading.Event = field(default_factory=threading.Event)
    """Set when the process is to leave."""
    pulse: Pulse = field(default_factory=lambda: Pulse("controller", PULSE_LIMIT))
    """Beats while it works, waits for the service, or stands by."""


@click.command()
@click.option(
    "--runtime",
    type=click.Choice([kind.value for kind in Kind]),
    default=Kind.KUBERNETES.value,
    show_default=True,
    help="What trials are: pods of a cluster, or processes of this machine. Studies of the other kind are left alone.",
)
@click.option("--address", metavar="ADDRESS", envvar="WAZIR_ADDRESS", help="The service: host:port or unix:/path.")
@connection_options
@click.option(
    "--owner",
    "owners",
    metavar="OWNER[=NAMESPACE]",
    multiple=True,
    default=[DEFAULT_OWNER],
    show_default=True,
    help="Whose studies to run, and in which namespace; may be repeated.",
)
@click.option(
    "--trial-address",
    metavar="HOST:PORT",
    envvar="WAZIR_TRIAL_ADDRESS",
    help="Where trials find the service, if not at --address.",
)
@click.option("--parallel", type=click.IntRange(1), help="At most so many trials at a time, over all studies.")
@click.option(
    "--name",
    default="wazir",
    show_default=True,
    envvar="WAZIR_CONTROLLER",
    help="Tells controllers of one cluster apart. Of those with one name one works, and the others stand by.",
)
@cluster_options
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=DEFAULT_PATIENCE,
    show_default=True,
    help="Seconds that a pod may wait for what will not resolve by itself, such as an image that cannot be pulled.",
)
@click.option("--user", type=click.IntRange(1), help="The user id of pods whose study and image name none.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".wazir/controller"),
    show_default=True,
    help="Local processes: the folder of their logs and checkpoints.",
)
@click.option("--gpus", type=click.IntRange(0), help="Local processes: GPUs to hand out; else those that are found.")
@click.option(
    "--health", metavar="HOST:PORT", help="Answer there, by HTTP, whether it works (/healthz), with figures (/metrics)."
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="One line a record."
)
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.pass_obj
@reported
def controller(
    session: Session,
    runtime: str,
    address: str | None,
    owners: tuple[str, ...],
    trial_address: str | None,
    parallel: int | None,
    name: str,
    kubeconfig: Path | None,
    context: str | None,
    namespace: str | None,
    patience: float,
    user: int | None,
    runs: Path,
    gpus: int | None,
    health: str | None,
    log_format: str,
    verbose: bool,
) -> None:
    """Run the trials of a service's studies, on a Kubernetes cluster or on this machine.

    Ends at Ctrl-C or SIGTERM, whatever hangs at the second one, and ends no trial by that: the next controller of the
    same name goes on with them.
    """
    log_to_stderr(logging.DEBUG if verbose else logging.INFO, as_json=log_format == "json")
    if address is None:
        raise InvalidArgument(
            "--address", None, "is missing: a controller works for a service", "Name it, or set WAZIR_ADDRESS"
        )
    kind = Kind(runtime)
    check_id("--name", name)
    settings = Settings(trial_address or address, parallel=parallel, patience=patience, until_done=False)
    if kind is Kind.KUBERNETES:
        settings = replace(settings, default_parallel=DEFAULT_PARALLEL, launching=LAUNCHING)
    served = Served(kind, dict(map(owner_and_namespace, owners)), settings)
    with (
        answering(health, served.pulse),
        heard(partial(leave, served)),
        session.client(address, retry_for=PATIENCE) as client,
    ):
        if not wait_for_service(client, served):
            return
        if kind is Kind.LOCAL:
            run_local(client, served, runs.absolute(), gpus)
        else:
            from ..controller.kubernetes.api import Api, default_namespace

            api = Api.connect(kubeconfig, context)
            home = namespace or default_namespace(kubeconfig, context)
            run_kubernetes(client, served, api, name, home, user)


def leave(served: Served, number: int) -> None:
    """At the first signal in order; at the second as it is, because something hangs. Trials go on either way."""
    if served.ended.is_set():
        os._exit(Exit.INTERRUPTED)
    served.ended.set()


@contextmanager
def answering(address: str | None, pulse: Pulse) -> Iterator[None]:
    """Tells at `address`, if there is one, whether the pulse is fresh."""
    if address is None:
        yield
        return
    from ..controller.health import Health

    with closing(Health(address, pulse)):
        yield


def owner_and_namespace(text: str) -> tuple[str, str]:
    owner, equals, namespace = text.partition("=")
    check_id("--owner", owner)
    if equals and not namespace:
        raise InvalidArgument("--owner", text, "names no namespace after '='")
    return owner, namespace


def wait_for_service(client: Client, served: Served) -> bool:
    """Waits until the service lets us see the owners' studies; False where we are to leave before. Raises its refusal,
    for instance of a token that may not."""
    while not served.ended.is_set():
        served.pulse.beat()
        try:
            for owner in served.owners:
                next(iter(client.list_studies(owner=owner)), None)
        except Unavailable as error:
            log.warning("%s", error, extra={"action": "waiting_for_service"})
            served.ended.wait(RETRY_EVERY)
        else:
            return True
    return False


def run_local(client: Client, served: Served, root: Path, gpus: int | None) -> None:
    from ..controller.local.gpus import find_devices
    from ..controller.local.runtime import LocalRuntime

    runtime = LocalRuntime(root, devices=find_devices(gpus))
    log.info("running trials in %s", root, extra={"action": "started"})
    try:
        run_until(client, served, runtime)
    finally:
        runtime.close()


def run_kubernetes(client: Client, served: Served, api: Any, name: str, home: str, user: int | None) -> None:
    """Leads, or stands by until it may."""
    from ..controller.kubernetes.access import check_access
    from ..controller.kubernetes.leader import Lease
    from ..controller.kubernetes.runtime import KubernetesRuntime
    from ..controller.kubernetes.settings import KubernetesSettings

    namespaces = {owner: namespace for owner, namespace in served.owners.items() if namespace}
    settings = KubernetesSettings(name, home, namespaces, default_user=user, env=client.environment())
    check_access(api, home, settings.all_namespaces, served.ended)
    lease = Lease(api, home, f"wazir-controller-{name}", f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    while lease.acquire(served.ended, served.pulse.beat):
        runtime = KubernetesRuntime(api, settings, leads=lambda: lease.held)
        try:
            runtime.wait_synced(math.inf, served.ended, served.pulse.beat)
            where = ", ".join(settings.all_namespaces)
            log.info("running trials in namespace %s of %s", where, api.host, extra={"action": "started"})
            run_until(client, served, runtime, lease.keep)
        finally:
            runtime.close()
            lease.release()
            log.info("left; %d writes to the cluster", api.writes, extra={"action": "left", "writes": api.writes})


def run_until(
    client: Client, served: Served, runtime: Runtime, keep: Callable[[Callable[[], None]], None] | None = None
) -> None:
    """Until the process is to leave, or what `keep` is given has been called."""
    worker = Controller(
        client,
        runtime,
        [],
        served.settings,
        owners=[*served.owners],
        takes=taken(served.kind),
        pulse=served.pulse,
    )
    if keep is not None:
        keep(worker.leave)

    def leave() -> None:
        served.ended.wait()
        worker.leave()

    threading.Thread(target=leave, name="wazir-leave", daemon=True).start()
    worker.run()


def taken(kind: Kind) -> Callable[[Study], bool]:
    """Studies that say what to run, and that it is run so. One that says nothing of that is run locally."""

    def takes(study: Study) -> bool:
        template = study.spec.trial
        return template is not None and (template.runtime or Kind.LOCAL) is kind

    return takes
