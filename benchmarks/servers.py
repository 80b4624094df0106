"""A registry and a containerd of our own, on loopback and in a folder, for as long as a measurement lasts."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

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
def running_containerd(folder: Path) -> Iterator[Path]:
    """containerd with nothing in it; the socket that it listens on.

    Args:
        folder: where it keeps all it has; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "containerd.sock"
    config = folder / "config.toml"
    config.write_text(
        "version = 2\n"
        f'root = "{folder / "root"}"\n'
        f'state = "{folder / "state"}"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{address}"\n'
    )
    asked = ["ctr", "--address", str(address), "version"]
    with _running(["containerd", "--config", str(config)], folder / "log", lambda: _works(asked)):
        yield address


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


def _works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def missing_programs(*names: str) -> list[str]:
    """Those of some programs that are not installed."""
    return [name for name in names if shutil.which(name) is None]
