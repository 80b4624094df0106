"""Sockets that are made, replaced, refused, and handed over."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from winlayers.daemon.sockets import handed_over, listening
from winlayers.errors import InUse, InvalidArgument


def test_socket_is_for_its_owner_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with listening(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(str(path))
    assert not path.exists()


def test_socket_of_the_dead_is_replaced_and_one_of_the_living_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    with listening(path):
        with pytest.raises(InUse, match="listens on"), listening(path):
            pass
        assert path.is_socket()


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("precious")
    with pytest.raises(InvalidArgument, match="no socket"), listening(path):
        pass
    assert path.read_text() == "precious"


def test_socket_that_another_made_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with closing(socket.socket(socket.AF_UNIX)) as other, listening(path):
        path.unlink()
        other.bind(str(path))
    assert path.is_socket()


@pytest.mark.parametrize("path", [Path("relative.sock"), Path("/tmp") / ("x" * 120)])
def test_path_that_no_socket_can_have_is_refused(path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be a socket"), listening(path):
        pass


_CHILD = """
import os, sys
from winlayers.daemon.sockets import handed_over
os.environ["LISTEN_PID"] = str(os.getpid())
taken = handed_over(os.environ, sys.argv[1])
print(taken.getsockname(), os.get_inheritable(taken.fileno()))
"""


@pytest.mark.parametrize(("count", "wanted"), [(1, "docker"), (2, "docker"), (2, "containerd")])
def test_socket_is_handed_over(tmp_path: Path, count: int, wanted: str) -> None:
    names = ["docker", "containerd"][:count]
    listeners = [socket.socket(socket.AF_UNIX) for _ in names]
    for name, listener in zip(names, listeners, strict=True):
        listener.bind(str(tmp_path / name))
        listener.listen()

    def place() -> None:
        for number, listener in enumerate(listeners, 3):
            os.dup2(listener.fileno(), number + 100)
        for number in range(3, 3 + count):
            os.dup2(number + 100, number)

    environment = {**os.environ, "LISTEN_FDS": str(count), "LISTEN_FDNAMES": ":".join(names)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, wanted],
        env=environment,
        close_fds=False,
        preexec_fn=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for listener in listeners:
        listener.close()
    assert done.stdout == f"{tmp_path / wanted} False\n", done.stderr


def test_nothing_is_handed_over_to_others() -> None:
    pid = str(os.getpid())
    assert handed_over({}, "docker") is None
    assert handed_over({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, "docker") is None
    for count in ("0", "", "x", "-1"):
        assert handed_over({"LISTEN_PID": pid, "LISTEN_FDS": count}, "docker") is None


def test_unknown_name_among_several_is_refused() -> None:
    told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}
    with pytest.raises(InvalidArgument, match="FileDescriptorName=docker"):
        handed_over(told, "docker")
