"""The plugin as Docker meets it: HTTP on a socket of a folder, over a real driver."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import a_directory, a_file, a_layer, layer_tar
from winlayers.assembly import open_driver
from winlayers.config import Config
from winlayers.driver.driver import Driver
from winlayers.services.docker.graphdriver import SEALED, GraphDriver
from winlayers.services.docker.server import MAX_REQUEST_SIZE, DockerServer

BASE = layer_tar(a_layer(a_directory("Files/d"), a_file("Files/d/a.txt", b"base")))
APP = layer_tar(a_layer(a_file("Files/d/b.txt", b"app"), a_directory("Hives")))


class Plugin:
    """A plugin that runs, and who talks to it."""

    server: DockerServer

    def __init__(self, path: Path, driver: Driver) -> None:
        self.driver = driver
        self.path = path
        self.observed: list[tuple[str, str]] = []

    def connection(self) -> http.client.HTTPConnection:
        made = http.client.HTTPConnection("docker", timeout=20)
        made.sock = socket.socket(socket.AF_UNIX)
        made.sock.connect(str(self.path))
        return made

    def post(self, path: str, body: Any = None, *, chunked: bool = False) -> Any:
        """One call on a connection of its own; what was answered."""
        with closing(self.connection()) as connection:
            connection.request("POST", path, body, encode_chunked=chunked, headers=HEADERS[chunked])
            answer = connection.getresponse()
            assert answer.status == 200
            return json.loads(answer.read())

    def call(self, name: str, **request: Any) -> Any:
        answer = self.post(f"/GraphDriver.{name}", json.dumps(request))
        assert answer.pop("Err") == ""
        return answer

    def refused(self, name: str, **request: Any) -> str:
        error = self.post(f"/GraphDriver.{name}", json.dumps(request))["Err"]
        assert isinstance(error, str)
        return error

    def apply(self, layer_id: str, parent: str, tar: bytes, *, chunked: bool = True) -> Any:
        blocks = [tar[at : at + 1000] for at in range(0, len(tar), 1000)] if chunked else tar
        return self.post(
            f"/GraphDriver.ApplyDiff?id={layer_id}&parent={parent}", blocks, chunked=chunked
        )

    def diff(self, layer_id: str, parent: str = "") -> bytes:
        with closing(self.connection()) as connection:
            request = json.dumps({"ID": layer_id, "Parent": parent})
            connection.request("POST", "/GraphDriver.Diff", request)
            answer = connection.getresponse()
            assert answer.getheader("Content-Type") == "application/x-tar"
            return answer.read()


HEADERS: dict[bool, dict[str, str]] = {True: {"Transfer-Encoding": "chunked"}, False: {}}


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Plugin]:
    driver = open_driver(Config(tmp_path / "store", reexec=False))
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "plugin.sock"))
        listener.listen()
        plugin = Plugin(tmp_path / "plugin.sock", driver)
        server = DockerServer(
            GraphDriver(driver, lambda: [("Root", str(tmp_path))]),
            listener,
            lambda name, seconds, error: plugin.observed.append((name, error)),
        )
        plugin.server = server
        thread = threading.Thread(target=server.run)
        thread.start()
        yield plugin
        assert server.stop(20)
        thread.join()


@pytest.fixture
def filled(plugin: Plugin) -> Plugin:
    """With the layers ``base`` and ``app``, as Docker makes them."""
    for layer_id, parent, tar in (("base", "", BASE), ("app", "base", APP)):
        plugin.call("Create", ID=layer_id, Parent=parent, MountLabel="", StorageOpt=None)
        answer = plugin.apply(layer_id, parent, tar)
        assert answer == {"Size": 4 if layer_id == "base" else 3, "Err": ""}
    return plugin


def test_it_says_what_it_is(plugin: Plugin) -> None:
    assert plugin.post("/Plugin.Activate", "{}")["Implements"] == ["GraphDriver"]
    assert plugin.call("Init", Home="/var/lib/docker/plugins", Opts=[], UIDMaps=None) == {}
    capabilities = plugin.call("Capabilities")
    assert capabilities.pop("Capabilities") == capabilities == {"ReproducesExactDiffs": True}
    rows = plugin.call("Status")["Status"]
    assert rows[-1] == ["Root", str(plugin.path.parent)]
    assert plugin.call("Cleanup") == {}


@pytest.mark.parametrize("chunked", [True, False])
def test_what_was_applied_comes_back_byte_for_byte(plugin: Plugin, chunked: bool) -> None:
    plugin.call("Create", ID="base", Parent="")
    assert plugin.apply("base", "", BASE, chunked=chunked)["Err"] == ""
    assert plugin.diff("base") == BASE


def test_layers_come_and_go(filled: Plugin) -> None:
    assert filled.call("Exists", ID="app") == {"Exists": True}
    assert filled.call("Exists", ID="other") == {"Exists": False}
    assert Path(filled.call("GetMetadata", ID="app")["Metadata"]["dir"]).name == "app"
    assert filled.call("DiffSize", ID="app", Parent="base") == {"Size": 3}
    assert "remove those first" in filled.refused("Remove", ID="base")
    assert filled.call("Remove", ID="app") == {}
    assert filled.call("Remove", ID="base") == {}
    assert filled.driver.layers() == []


def test_changes_have_paths_of_the_container_and_the_kinds_of_docker(filled: Plugin) -> None:
    filled.call("CreateReadWrite", ID="work", Parent="app", StorageOpt={"size": "1GB"})
    with filled.driver.scratch("work") as scratch:
        scratch.delete(scratch.lookup("Files/d/a.txt"))
    told = filled.call("Changes", ID="work", Parent="app")["Changes"]
    assert {"Path": "/d/a.txt", "Kind": 2} in told
    assert {"Path": "/d/b.txt", "Kind": 1} in filled.call("Changes", ID="app", Parent="base")[
        "Changes"
    ]


def test_container_stands_on_what_docker_put_into_its_first_layer(filled: Plugin) -> None:
    filled.call("CreateReadWrite", ID="c-init", Parent="app")
    filled.call("CreateReadWrite", ID="c", Parent="c-init")
    filled.call("CreateReadWrite", ID="d", Parent="c-init")
    assert filled.driver.chain("c").layer_ids == ("c-init" + SEALED, "app", "base")
    assert filled.driver.chain("d") == filled.driver.chain("c")
    assert filled.call("Changes", ID="c", Parent="c-init") == {"Changes": []}
    for layer_id in ("c", "d", "c-init"):
        filled.call("Remove", ID=layer_id)
    assert filled.driver.layers() == ["app", "base"]


def test_errors_are_told_in_one_line(filled: Plugin) -> None:
    assert "base" in filled.refused("Create", ID="base", Parent="")
    assert filled.refused("Create", ID="x", Parent="missing").count("\n") == 0
    assert filled.refused("Get", ID="missing")
    assert filled.refused("Get") == "a call of a graph driver names no layer (ID)"
    assert "no text" in filled.refused("Remove", ID=["app"])
    assert "StorageOpt" in filled.refused("CreateReadWrite", ID="x", StorageOpt=[1])
    assert "there is no call" in filled.refused("Format", ID="x")
    assert "there is no call" in filled.post("/VolumeDriver.Create", "{}")["Err"]
    assert filled.observed[-1] == ("/VolumeDriver.Create", "InvalidArgument")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("[]", "no object"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        (" " * (MAX_REQUEST_SIZE + 1), f"more than {MAX_REQUEST_SIZE} bytes"),
    ],
    ids=["a list", "half", "deep", "large"],
)
def test_what_is_no_request_is_refused(plugin: Plugin, body: str, why: str) -> None:
    assert why in plugin.post("/GraphDriver.Status", body)["Err"]
    assert plugin.call("Capabilities")


def test_damaged_tar_leaves_nothing(plugin: Plugin) -> None:
    plugin.call("Create", ID="base", Parent="")
    assert plugin.apply("base", "", BASE[:700] + b"\xff" * 4000)["Err"]
    assert plugin.driver.usage("base").kind == "created"
    assert plugin.apply("base", "", BASE)["Err"] == ""


@pytest.mark.parametrize("head", [b"x\r\n", b"-5\r\n", b"0x5\r\n", b"\r\n", b"f" * 300])
def test_chunk_without_a_size_is_refused(plugin: Plugin, head: bytes) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        raw.settimeout(20)
        raw.connect(str(plugin.path))
        raw.sendall(
            b"POST /GraphDriver.ApplyDiff?id=a&parent= HTTP/1.1\r\nHost: d\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + head
        )
        raw.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert b'"Err": "' in answer
    assert plugin.driver.layers() == []


def test_connection_that_ends_in_a_tar_leaves_nothing(plugin: Plugin) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as raw:
        raw.connect(str(plugin.path))
        raw.sendall(
            b"POST /GraphDriver.ApplyDiff?id=a&parent= HTTP/1.1\r\nHost: d\r\n"
            b"Content-Length: %d\r\n\r\n" % len(BASE) + BASE[: len(BASE) // 2]
        )
    deadline = time.monotonic() + 20
    while not plugin.observed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert plugin.observed == [("ApplyDiff", "Corrupt")]
    assert plugin.driver.layers() == []


def test_several_calls_on_one_connection(filled: Plugin) -> None:
    with closing(filled.connection()) as connection:
        for layer_id in ("app", "other", "base"):
            connection.request("POST", "/GraphDriver.Exists", json.dumps({"ID": layer_id}))
            answer = json.loads(connection.getresponse().read())
            assert answer["Exists"] is (layer_id != "other")


def test_stop_lets_a_call_in_flight_end_and_closes_idle_connections(plugin: Plugin) -> None:
    plugin.call("Create", ID="base", Parent="")
    with closing(plugin.connection()) as idle, closing(plugin.connection()) as busy:
        idle.request("POST", "/GraphDriver.Capabilities", "{}")
        idle.getresponse().read()
        busy.putrequest("POST", "/GraphDriver.ApplyDiff?id=base&parent=")
        busy.putheader("Content-Length", str(len(BASE)))
        busy.endheaders(BASE[:1000])
        time.sleep(0.1)
        assert plugin.server.stop(0.05) is False
        stopped: list[bool] = []
        stopper = threading.Thread(target=lambda: stopped.append(plugin.server.stop(20)))
        stopper.start()
        busy.send(BASE[1000:])
        assert json.loads(busy.getresponse().read())["Err"] == ""
        stopper.join()
        assert stopped == [True]
        assert idle.sock.recv(1) == b""
