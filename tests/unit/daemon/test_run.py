"""The process: it starts, hears signals, ends in order, and starts again after it was killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

SECONDS = 30


class Daemon:
    """``winlayers serve docker``, started by a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = folder / "plugin.sock"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.settimeout(SECONDS)
        self.process: subprocess.Popen[bytes]

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "winlayers", "--root", str(self.folder / "store")]
        command += ["serve", "docker", "--address", str(self.address), *arguments]
        environ = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, env=environ)
            try:
                assert self.notify.recv(100) == b"READY=1"
                yield self.process
            finally:
                self.process.kill()
                self.process.wait(SECONDS)

    def call(self, name: str) -> dict[str, object]:
        with closing(HTTPConnection("docker", timeout=SECONDS)) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.address))
            connection.request("POST", name, "{}")
            answer: dict[str, object] = json.loads(connection.getresponse().read())
            return answer

    def events(self) -> list[str]:
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line)["event"] for line in lines]

    def await_event(self, is_it: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not any(map(is_it, self.events())):
            assert time.monotonic() < deadline, self.events()
            time.sleep(0.02)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path)
    with closing(made.notify):
        yield made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_in_order(daemon: Daemon, number: int) -> None:
    with daemon.running() as process:
        assert daemon.call("/Plugin.Activate")["Implements"] == ["GraphDriver"]
        process.send_signal(number)
        assert daemon.notify.recv(100) == b"STOPPING=1"
        assert process.wait(SECONDS) == 0
    assert not daemon.address.exists()
    assert daemon.events()[-2:] == ["stopping", "stopped"]


def test_killed_one_is_started_again(daemon: Daemon) -> None:
    with daemon.running() as process:
        process.kill()
        process.wait(SECONDS)
    assert daemon.address.is_socket()
    with daemon.running():
        assert daemon.call("/GraphDriver.Capabilities")["Err"] == ""


def test_second_one_on_the_same_socket_is_refused(daemon: Daemon) -> None:
    with daemon.running() as first:
        command = [sys.executable, "-m", "winlayers", "--root", str(daemon.folder / "store")]
        command += ["serve", "docker", "--address", str(daemon.address), "--log", "text"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert "listens on" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode not in (0, 1)
        assert first.poll() is None
        assert daemon.call("/Plugin.Activate")


def test_hangup_reads_the_level_again(daemon: Daemon, tmp_path: Path) -> None:
    settings = tmp_path / "winlayers.toml"
    settings.write_text('log_level = "info"\n')
    with daemon.running("--config", str(settings)) as process:
        daemon.call("/Plugin.Activate")
        settings.write_text('log_level = "debug"\n')
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + SECONDS
        while not any("POST" in event for event in daemon.events()):
            assert time.monotonic() < deadline
            daemon.call("/Plugin.Activate")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
