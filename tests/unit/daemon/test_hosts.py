"""What a service manager hears."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from winlayers.daemon.hosts import ServiceManager, Watchdog


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(20)
        yield made


def test_manager_hears_of_states(receiver: socket.socket) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": receiver.getsockname()})
    assert manager.is_there
    manager.ready()
    manager.status("two\nlines")
    manager.stopping()
    told = [receiver.recv(100) for _ in range(3)]
    assert told == [b"READY=1", b"STATUS=two lines", b"STOPPING=1"]


def test_nobody_is_told_where_nobody_wants_to_be() -> None:
    manager = ServiceManager({})
    manager.ready()
    assert not manager.is_there
    assert manager.watchdog_seconds == 0


def test_abstract_socket_is_told_too() -> None:
    name = f"winlayers-test-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as made:
        made.bind("\0" + name)
        made.settimeout(20)
        ServiceManager({"NOTIFY_SOCKET": "@" + name}).ready()
        assert made.recv(100) == b"READY=1"


def test_watchdog_is_told_as_long_as_all_is_well(receiver: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": receiver.getsockname(), "WATCHDOG_USEC": "20000"}
    is_well = True
    with Watchdog(ServiceManager(environ), lambda: is_well):
        assert [receiver.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        is_well = False
        time.sleep(0.05)
        receiver.setblocking(False)
        while True:
            try:
                receiver.recv(100)
            except BlockingIOError:
                break
        time.sleep(0.05)
        with pytest.raises(BlockingIOError):
            receiver.recv(100)


def test_watchdog_of_another_process_is_none_of_ours(receiver: socket.socket) -> None:
    environ = {
        "NOTIFY_SOCKET": receiver.getsockname(),
        "WATCHDOG_USEC": "20000",
        "WATCHDOG_PID": "1",
    }
    assert ServiceManager(environ).watchdog_seconds == 0
