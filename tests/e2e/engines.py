"""containerd and Docker, started for a test in folders of its own and ended after it.

Their programs are those of ``tools/engines.py``. Nothing of the system is used or left: no service, no configuration,
no network; what they mounted below their folder is taken away. The ends of their logs are printed, which pytest
shows where a test failed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tools.engines import Engines

SECONDS = 60.0
START_SECONDS = 30.0
_PAUSE_SECONDS = 0.02
_LINES_OF_LOG = 40
#: Of which release of Debian they are.
CONTAINERD = {"1.6": "12", "1.7": "13"}
DOCKER = {"20.10": "12", "26.1": "13"}
OURS = "winlayers"
ENGINES = Engines()


@dataclass(frozen=True)
class Containerd:
    """A containerd that runs.

    Attributes:
        version: a key of ``CONTAINERD``.
        address: the socket that clients are to use.
        folder: where it keeps all that it has.
    """

    version: str
    address: Path
    folder: Path

    def ctr(self, *arguments: str | Path, code: int = 0, namespace: str = "default") -> str:
        """Run containerd's own client; what it printed.

        Args:
            arguments: the command and its options.
            code: the exit status that is expected.
            namespace: of containerd.
        """
        return self.output(*arguments, code=code, namespace=namespace).decode()

    def output(self, *arguments: str | Path, code: int = 0, namespace: str = "default") -> bytes:
        """The same as it is."""
        common = ("--address", self.address, "--namespace", namespace)
        return run(CONTAINERD[self.version], "ctr", *common, *arguments, code=code)

    def blob(self, digest: str) -> bytes:
        """A blob of its content store."""
        return self.output("content", "get", digest)

    def list(self, what: str, *, namespace: str = "default") -> list[str]:
        """The names that ``ctr WHAT ls -q`` prints: images, content, leases, namespaces."""
        return self.ctr(what, "ls", "-q", namespace=namespace).split()

    def snapshots(self, snapshotter: str = OURS, *, namespace: str = "default") -> dict[str, Any]:
        """Its snapshots by key: parent and kind."""
        printed = self.ctr("snapshots", "--snapshotter", snapshotter, "ls", namespace=namespace)
        rows = [line.split() for line in printed.splitlines()[1:]]
        return {row[0]: (row[1] if len(row) == 3 else "", row[-1]) for row in rows}

    def collect(self, *, namespace: str = "default") -> None:
        """Have it collect what nobody refers to, and wait until it has."""
        lease = self.ctr("leases", "create", namespace=namespace).strip()
        self.ctr("leases", "delete", "--sync", lease, namespace=namespace)

    def wait_for_snapshotter(self) -> None:
        """Wait until it has found ours again: it tries more and more seldom."""
        release = CONTAINERD[self.version]
        client = str(ENGINES.program(release, "ctr"))
        asked = [client, "--address", str(self.address), "snapshots", "--snapshotter", OURS, "ls"]
        deadline = time.monotonic() + START_SECONDS
        while not _succeeds(asked, release):
            assert time.monotonic() < deadline, "containerd does not find the snapshotter again"
            time.sleep(_PAUSE_SECONDS)


@dataclass(frozen=True)
class Docker:
    """A dockerd that runs.

    Attributes:
        version: a key of ``DOCKER``.
        address: its socket.
        folder: where it keeps all that it has.
    """

    version: str
    address: Path
    folder: Path

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        """Run Docker's own client; what it printed.

        Args:
            arguments: the command and its options.
            code: the exit status that is expected.
        """
        return self.output(*arguments, code=code).decode()

    def output(self, *arguments: str | Path, code: int = 0) -> bytes:
        """The same as it is."""
        common = ("--config", self.folder / "client", "--host", f"unix://{self.address}")
        home = {"HOME": str(self.folder)}
        return run(DOCKER[self.version], "docker", *common, *arguments, code=code, more=home)

    def json(self, *arguments: str | Path) -> Any:
        """What Docker's client prints as JSON."""
        return json.loads(self.run(*arguments))


@contextmanager
def short_folder() -> Iterator[Path]:
    """A new folder, with a path short enough for sockets in it. Nothing may be left mounted there."""
    with TemporaryDirectory(prefix="wl") as name:
        folder = Path(name)
        try:
            yield folder
            assert mounts_below(folder) == []
        finally:
            unmount_below(folder)


@contextmanager
def running_containerd(
    folder: Path,
    version: str = "1.7",
    *,
    plugin: Path | None = None,
    front: Path | None = None,
    more: str = "",
) -> Iterator[Containerd]:
    """containerd with nothing in it.

    Args:
        folder: where it keeps all it has, made if it is not there; a short path, as it holds sockets.
        version: a key of ``CONTAINERD``.
        plugin: the socket of a snapshotter ``winlayers`` and, from 1.7, a differ ``winlayers-diff``.
        front: the socket that clients are to use in place of its own.
        more: of its configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "c.sock"
    config = folder / "config.toml"
    config.write_text(containerd_config(folder, version, plugin) + more)
    command = ["containerd", "--config", str(config)]
    release = CONTAINERD[version]

    def is_ready() -> bool:
        client = str(ENGINES.program(release, "ctr"))
        return _succeeds([client, "--address", str(address), "version"], release)

    with running(command, folder / "log", is_ready, release=release):
        yield Containerd(version, front or address, folder)


def containerd_config(folder: Path, version: str, plugin: Path | None) -> str:
    """The configuration of a containerd that keeps all in a folder."""
    lines = [
        "version = 2",
        f'root = "{folder / "root"}"',
        f'state = "{folder / "state"}"',
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
        f'[grpc]\n  address = "{folder / "c.sock"}"',
    ]
    if plugin is not None:
        lines += [f'[proxy_plugins.{OURS}]\n  type = "snapshot"\n  address = "{plugin}"']
    if plugin is not None and version != "1.6":  # which knows no differs of others
        order = f'["{OURS}-diff", "walking"]'
        lines += [f'[proxy_plugins.{OURS}-diff]\n  type = "diff"\n  address = "{plugin}"']
        lines += [f'[plugins."io.containerd.service.v1.diff-service"]\n  default = {order}']
    return "\n".join(lines) + "\n"


@contextmanager
def running_docker(
    folder: Path,
    containerd: Containerd,
    version: str = "26.1",
    *,
    storage_driver: str = "overlayfs",
    arguments: Sequence[str] = (),
) -> Iterator[Docker]:
    """Docker with nothing in it, on a containerd, without networks.

    Args:
        folder: where it keeps all it has, made if it is not there; a short path, as it holds sockets.
        containerd: that it uses; from 26.1 its images are there, too.
        version: a key of ``DOCKER``.
        storage_driver: the snapshotter, or for 20.10 the graph driver.
        arguments: more of its options.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address, config = folder / "d.sock", folder / "daemon.json"
    settings: dict[str, Any] = {"userland-proxy": False, "storage-driver": storage_driver}
    if version != "20.10":
        settings["features"] = {"containerd-snapshotter": True}
    config.write_text(json.dumps(settings))
    release = DOCKER[version]
    _link_plugins(folder / "client" / "cli-plugins", release)
    options = {
        "config-file": config,
        "data-root": folder / "root",
        "exec-root": folder / "exec",
        "pidfile": folder / "d.pid",
        "host": f"unix://{address}",
        "containerd": containerd.folder / "c.sock",
        "bridge": "none",
        "iptables": "false",
        "ip6tables": "false",
    }
    command = ["dockerd", *(f"--{name}={value}" for name, value in options.items()), *arguments]

    def is_ready() -> bool:
        client = str(ENGINES.program(release, "docker"))
        return _succeeds([client, "--host", f"unix://{address}", "version"], release)

    with running(command, folder / "log", is_ready, release=release):
        yield Docker(version, address, folder)


@contextmanager
def running_winlayers(
    folder: Path, containerd: Path, *, root: Path, front: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Our snapshotter and differ for a containerd, on ``plugin.sock`` in a folder; the process.

    Args:
        folder: for the socket and the log.
        containerd: the socket of containerd itself, which need not be there yet.
        root: of the store.
        front: a socket for clients of a containerd that knows no differs of others.
    """
    address = plugin_of(folder)
    command = [*_winlayers(root), "serve", "containerd"]
    command += ["--address", address, "--containerd-address", containerd]
    command += ["--front", front] if front is not None else []
    with running(command, folder / "log", lambda: _is_listening(front or address)) as process:
        yield process


@contextmanager
def running_driver(folder: Path, address: Path, *, root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Our graph driver for a Docker; the process.

    Args:
        folder: for the log.
        address: of ``driver_socket``.
        root: of the store.
    """
    command = [*_winlayers(root), "serve", "docker", "--address", address, "--log-level", "debug"]
    with running(command, folder / "log", lambda: _is_listening(address)) as process:
        yield process


@contextmanager
def driver_socket() -> Iterator[Path]:
    """A path where Docker looks for graph drivers, which nobody else uses; its stem is the driver's name."""
    place = Path("/run/docker/plugins")
    place.mkdir(parents=True, exist_ok=True)
    address = place / f"{OURS}-{os.getpid()}.sock"
    try:
        yield address
    finally:
        address.unlink(missing_ok=True)


def plugin_of(folder: Path) -> Path:
    """The socket of ``running_winlayers``."""
    return folder / "plugin.sock"


@contextmanager
def running_pair(folder: Path, version: str = "1.7") -> Iterator[Containerd]:
    """containerd with our snapshotter and differ; our store is ``store`` in the folder.

    Args:
        folder: for both, with a short path.
        version: a key of ``CONTAINERD``. Clients of 1.6 go through our front socket.
    """
    ours, theirs = folder / "ours", folder / "theirs"
    ours.mkdir()
    plugin, root = plugin_of(ours), folder / "store"
    front = ours / "front.sock" if version == "1.6" else None
    with (
        showing_snapshots(root),
        running_winlayers(ours, theirs / "c.sock", root=root, front=front),
        running_containerd(theirs, version, plugin=plugin, front=front) as containerd,
    ):
        yield containerd


@contextmanager
def showing_snapshots(root: Path) -> Iterator[None]:
    """End the file system of a store's snapshots at the end: it outlives who started it."""
    try:
        yield
    finally:
        if (shown := root.resolve() / "snapshots") in mounts_below(root):
            subprocess.run(["umount", "--", shown], check=True, timeout=SECONDS)


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    is_ready: Callable[[], bool],
    *,
    release: str = "",
    more: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, for as long as the block lasts.

    Args:
        command: its program, of the release if one is given, and its arguments.
        log: a file for both of its streams.
        is_ready: whether it answers.
        release: of Debian.
        more: of its environment.
    """
    name = str(command[0])
    program = ENGINES.program(release, name) if release else name
    try:
        with (
            open(log, "ab") as file,
            subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=_environment(release, more),
            ) as process,
        ):
            try:
                _wait(process, is_ready)
                yield process
            finally:
                _end(process)
    finally:  # pytest shows it where the test failed, of which a fixture is not told
        end = log.read_text(errors="replace").splitlines()[-_LINES_OF_LOG:]
        print(f"--- the log of {name}", *end, sep="\n", file=sys.stderr)


def run(
    release: str,
    name: str,
    *arguments: str | Path,
    code: int = 0,
    more: Mapping[str, str] | None = None,
) -> bytes:
    """Run a client of an engine; what it printed.

    Args:
        release: of Debian.
        name: of its program.
        arguments: of it.
        code: the exit status that is expected.
        more: of its environment.
    """
    done = subprocess.run(
        [ENGINES.program(release, name), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
        env=_environment(release, more),
    )
    told = done.stderr.decode(errors="replace")
    assert done.returncode == code, f"{name} {' '.join(map(str, arguments))}: {told}"
    return done.stdout


def mounts_below(folder: Path) -> list[Path]:
    """Where something is mounted in a folder or below it, the last one first."""
    rows = Path("/proc/self/mountinfo").read_text().splitlines()
    paths = [Path(row.split()[4].encode().decode("unicode_escape")) for row in rows]
    return [path for path in reversed(paths) if path.is_relative_to(folder.resolve())]


def unmount_below(folder: Path) -> None:
    """Take away what is mounted in a folder, whether or not it is used."""
    for path in mounts_below(folder):
        subprocess.run(
            ["umount", "--lazy", "--", path], check=False, capture_output=True, timeout=SECONDS
        )


def _winlayers(root: Path) -> list[str | Path]:
    return [sys.executable, "-m", "winlayers", "--root", root]


def _environment(release: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    of_release = ENGINES.environment(release) if release else {}
    return {**os.environ, **of_release, **(more or {})}


def _link_plugins(folder: Path, release: str) -> None:
    """Have Docker's client find its plugins, which it looks for beside its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    for plugin in (ENGINES.home / release / "usr/libexec/docker/cli-plugins").glob("docker-*"):
        if not (link := folder / plugin.name).is_symlink():
            link.symlink_to(plugin)


def _succeeds(command: Sequence[str], release: str) -> bool:
    done = subprocess.run(
        command,
        capture_output=True,
        check=False,
        timeout=START_SECONDS,
        env=_environment(release),
    )
    return done.returncode == 0


def _is_listening(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(str(address)) == 0


def _wait(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        assert process.poll() is None, f"it ended with the status {process.returncode}"
        assert time.monotonic() < deadline, "it does not answer"
        time.sleep(_PAUSE_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(START_SECONDS)
        raise AssertionError("it did not end when it was asked to") from None
