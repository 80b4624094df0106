"""A containerd of our own: in a folder and on a socket there, started for a test and ended after it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import needs

SECONDS = 60.0


@dataclass(frozen=True)
class Containerd:
    """A containerd that runs, and ``ctr`` that talks to it.

    Attributes:
        address: its socket.
        folder: where all it has is.
    """

    address: Path
    folder: Path

    def ctr(self, *arguments: str | Path) -> str:
        """Run ctr; what it printed."""
        done = self._run(*arguments)
        assert done.returncode == 0, f"ctr {arguments}: {done.stderr.decode()}"
        return done.stdout.decode()

    def blob(self, digest: str) -> bytes:
        """A blob of the content store."""
        done = self._run("content", "get", digest)
        assert done.returncode == 0, f"ctr content get {digest}: {done.stderr.decode()}"
        return done.stdout

    def _run(self, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        command = ["ctr", "--address", str(self.address), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)


@contextmanager
def running_containerd(folder: Path) -> Iterator[Containerd]:
    """containerd with nothing in it.

    Args:
        folder: for all it has; made if it is not there.
    """
    needs("containerd", "ctr")
    folder.mkdir(parents=True, exist_ok=True)
    engine = Containerd(folder / "containerd.sock", folder)
    config = folder / "config.toml"
    config.write_text(
        "version = 2\n"
        f'root = "{folder / "root"}"\n'
        f'state = "{folder / "state"}"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{engine.address}"\n'
    )
    log = folder / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            ["containerd", "--config", str(config)], stdout=file, stderr=file
        ) as process,
    ):
        try:
            deadline = time.monotonic() + SECONDS
            while engine._run("version").returncode:
                alive = process.poll() is None and time.monotonic() < deadline
                assert alive, f"containerd does not answer: {log.read_text()[-2000:]}"
                time.sleep(0.05)
            yield engine
        finally:
            process.terminate()
            process.wait(SECONDS)
