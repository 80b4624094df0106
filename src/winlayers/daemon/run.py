"""A daemon from its start to its end: store, socket, service, signals.

    TERM, INT      stop: no new calls, those in flight end, within ``stop_seconds``
    HUP            read the log level again

What engines were given stays: mounts are served by processes of their own, and are found again by the next daemon.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Protocol

from winlayers._version import __version__
from winlayers.assembly import open_driver, open_forest, open_store
from winlayers.config import Config
from winlayers.daemon.health import parse_address, told_health
from winlayers.daemon.hosts import ServiceManager, Watchdog
from winlayers.daemon.logs import begin_logging, set_level
from winlayers.daemon.metrics import Metrics
from winlayers.daemon.settings import Settings
from winlayers.daemon.sockets import handed_over, listening, make_way, private_files
from winlayers.driver.driver import Driver
from winlayers.errors import InUse, RemoteFailure, TimedOut
from winlayers.mounts.fuse.forest import Forest
from winlayers.services.containerd.content import Content
from winlayers.services.containerd.diff import DiffService
from winlayers.services.containerd.front import FrontServer
from winlayers.services.containerd.mounts import MountTeller
from winlayers.services.containerd.server import ContainerdServer
from winlayers.services.containerd.snapshots import SnapshotService
from winlayers.services.docker.graphdriver import GraphDriver
from winlayers.services.docker.server import DockerServer
from winlayers.store.snapshots import SnapshotKind
from winlayers.store.store import Store

# Clients that wait for events wait for as long as they are let.
_FRONT_SECONDS = 2.0
_log = logging.getLogger("winlayers.daemon")


class Service(Protocol):
    """What serves an engine on a socket."""

    def run(self) -> None:
        """Serve until ``stop`` is called by another thread."""

    def stop(self, seconds: float) -> bool:
        """Take no more calls, and wait for those in flight; whether all have ended in time."""


def serve_docker(
    config: Config,
    settings: Settings,
    environ: Mapping[str, str],
    reload: Callable[[], Settings],
) -> None:
    """Be a graph driver plugin of Docker, until a signal comes.

    Args:
        config: the store.
        settings: the rest.
        environ: what systemd says, and the socket that it may hand over.
        reload: the settings as they are now, for HUP.
    Raises:
        InUse: somebody listens on the socket.
        TimedOut: calls were in flight when it had to end.
        WinlayersError: the store cannot be opened, or a setting cannot be.
    """
    begin_logging(settings.log_level, as_json=settings.log == "json")
    manager = ServiceManager(environ)
    with ExitStack() as stack:
        driver = open_driver(config)
        listener = handed_over(environ, "docker")
        if listener is None:
            listener = stack.enter_context(listening(Path(settings.address)))
        metrics = Metrics(_gauges(config.root, driver))
        graph_driver = GraphDriver(driver, lambda: _status(config))
        service = DockerServer(
            graph_driver,
            listener,
            lambda call, seconds, error: metrics.observe("docker", call, seconds, error),
        )
        _serve(service, settings, metrics, manager, stack, reload)


def serve_containerd(
    config: Config,
    settings: Settings,
    environ: Mapping[str, str],
    reload: Callable[[], Settings],
) -> None:
    """Be a snapshotter and differ of containerd, until a signal comes; see ``serve_docker``."""
    begin_logging(settings.log_level, as_json=settings.log == "json")
    manager = ServiceManager(environ)
    address = Path(settings.address)
    with ExitStack() as stack:
        store = open_store(config)
        stack.enter_context(store.kept_open())
        make_way(address)
        forest = open_forest(config)
        forest.start()
        stack.callback(_end_forest, forest)
        content = stack.enter_context(closing(Content(settings.containerd_address)))
        teller = MountTeller(config.root, store.snapshots.shown_at)
        diff = DiffService(store.snapshots, teller, content)
        metrics = Metrics(_gauges(config.root, store.driver) | _snapshot_gauges(store))
        with private_files():
            service = ContainerdServer(
                SnapshotService(store.snapshots, teller, diff.heal),
                diff,
                str(address),
                lambda call, seconds, error: metrics.observe("containerd", call, seconds, error),
            )
        stack.callback(address.unlink, missing_ok=True)
        if settings.front:
            stack.enter_context(_fronting(service, settings))
        _serve(service, settings, metrics, manager, stack, reload)


SERVED = {"containerd": serve_containerd, "docker": serve_docker}
"""What serves each engine."""


@contextmanager
def _fronting(service: ContainerdServer, settings: Settings) -> Iterator[None]:
    """Stand in front of containerd as long as the block lasts."""
    address = Path(settings.front)
    make_way(address)
    with private_files():
        front = FrontServer(service, str(address), settings.containerd_address)
    front.start()
    try:
        yield
    finally:
        if not front.stop(_FRONT_SECONDS):
            _log.info("calls to containerd were cut off")  # events are waited for without an end
        address.unlink(missing_ok=True)


def _end_forest(forest: Forest) -> None:
    """Take the folder of all snapshots away, unless somebody uses it: then it stays, and the next daemon finds it."""
    try:
        forest.end()
    except InUse as error:
        _log.info("snapshots stay mounted: %s", error)


def _snapshot_gauges(store: Store) -> dict[str, tuple[str, Callable[[], float]]]:
    def count(kind: SnapshotKind) -> float:
        return sum(snapshot.kind is kind for snapshot in store.snapshots.walk())

    return {
        f"winlayers_snapshots_{kind.value}": (
            f"Snapshots that are {kind.value}.",
            partial(count, kind),
        )
        for kind in SnapshotKind
    }


def _serve(
    service: Service,
    settings: Settings,
    metrics: Metrics,
    manager: ServiceManager,
    stack: ExitStack,
    reload: Callable[[], Settings],
) -> None:
    """Run a service in a thread, and end it when a signal comes."""
    stopping = threading.Event()
    thread = threading.Thread(target=service.run, name="winlayers-service", daemon=True)
    if settings.metrics:
        port = stack.enter_context(
            told_health(parse_address(settings.metrics), metrics, thread.is_alive)
        )
        _log.info("health and metrics are told on port %d", port)
    with _signals(stopping, reload):
        thread.start()
        manager.ready()
        _log.info("winlayers %s serves", __version__)
        with Watchdog(manager, thread.is_alive):
            while not stopping.wait(1.0):
                if not thread.is_alive():
                    raise RemoteFailure("the service ended by itself; the log tells why")
        manager.stopping()
        _log.info("stopping")
        if not service.stop(settings.stop_seconds):
            raise TimedOut(f"calls were in flight {settings.stop_seconds} s after the stop began")
        thread.join()
    _log.info("stopped")


@contextmanager
def _signals(stopping: threading.Event, reload: Callable[[], Settings]) -> Iterator[None]:
    """Take signals for as long as the block lasts."""

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    def reread(number: int, frame: FrameType | None) -> None:
        set_level(reload().log_level)

    taken = {signal.SIGTERM: stop, signal.SIGINT: stop}
    if hasattr(signal, "SIGHUP"):
        taken[signal.SIGHUP] = reread
    before = {number: signal.signal(number, handler) for number, handler in taken.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _gauges(root: Path, driver: Driver) -> dict[str, tuple[str, Callable[[], float]]]:
    return {
        "winlayers_layers": ("Layers in the store.", lambda: len(driver.layers())),
        "winlayers_store_free_bytes": (
            "Bytes that the disk of the store has left.",
            lambda: shutil.disk_usage(root).free,
        ),
    }


def _status(config: Config) -> list[tuple[str, str]]:
    return [("Version", __version__), ("Root", str(config.root))]
