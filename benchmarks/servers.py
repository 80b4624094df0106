"""A registry and a containerd of our own, on loopback and in a folder, for as long as a measurement lasts."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tools.engines import Engines

ENGINES = Engines()
_PLUGINS = """\
[proxy_plugins.winlayers]
  type = "snapshot"
  address = "{0}"
[proxy_plugins.winlayers-diff]
  type = "diff"
  address = "{0}"
[plugins."io.containerd.service.v1.diff-service"]
  default = ["winlayers-diff", "walking"]
"""
_SECONDS = 20.0
_PAUSE_SECONDS = 0.02


@contextmanager
def running_registry(folder: Path) -> Iterator[str]:
    """CNCF Distribution on a free port, without TLS and passwords; its host and port.

    Args:
        folder: where it keeps blobs; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with _running(
        ["docker-registry", "serve", str(config)], folder / "log", lambda: _is_open(port)
    ):
        yield f"127.0.0.1:{port}"


@contextmanager
def running_containerd(
    folder: Path, *, release: str = "", plugin: Path | None = None
) -> Iterator[Path]:
    """containerd with nothing in it; the socket that it listens on.

    Args:
        folder: where it keeps all it has; made if it is not there.
        release: of Debian whose it is, see ``tools/engines.py``; the one that is installed by default.
        plugin: socket of a snapshotter ``winlayers`` and a differ ``winlayers-diff``, which come before its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "containerd.sock"
    config = folder / "config.toml"
    config.write_text(
        "version = 2\n"
        f'root = "{folder / "root"}"\n'
        f'state = "{folder / "state"}"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{address}"\n' + ("" if plugin is None else _PLUGINS.format(plugin))
    )
    engine, client = (
        str(ENGINES.program(release, name)) if release else name for name in ("containerd", "ctr")
    )
    asked = [client, "--address", str(address), "version"]
    with _running([engine, "--config", str(config)], folder / "log", lambda: _works(asked)):
        yield address


@contextmanager
def running_snapshotter(address: Path, root: Path, containerd: Path) -> Iterator[None]:
    """Our snapshotter and differ.

    Args:
        address: the socket that it is to listen on.
        root: of the store.
        containerd: the socket of containerd.
    """
    command = [sys.executable, "-m", "winlayers", "--root", root, "serve", "containerd"]
    command += ["--address", address, "--containerd-address", containerd]
    with _running(list(map(str, command)), address.with_name("log"), lambda: _answers(address)):
        yield


@contextmanager
def _running(command: Sequence[str], log: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    with (
        open(log, "wb") as file,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            deadline = time.monotonic() + _SECONDS
            while not is_ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not answer: {log.read_text()[-1000:]}")
                time.sleep(_PAUSE_SECONDS)
            yield
        finally:
            process.terminate()
            process.wait(_SECONDS)


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(address: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as one:
        return one.connect_ex(str(address)) == 0


def _works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def missing_programs(*names: str) -> list[str]:
    """Those of some programs that are not installed."""
    return [name for name in names if shutil.which(name) is None]
