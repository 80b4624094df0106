"""Docker 20.10 with winlayers as its storage driver: Windows layers go in and come out unchanged.

Docker on Linux refuses images that say that they are for Windows, so these say Linux and have layers of Windows.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.engines import (
    Docker,
    driver_socket,
    running_containerd,
    running_docker,
    running_driver,
    short_folder,
    unmount_below,
)
from tests.e2e.imagesamples import APP, BASE

pytestmark = pytest.mark.e2e


@dataclass
class Setup:
    """A Docker on winlayers.

    Attributes:
        docker: of this test.
        root: the store.
        driver: what Docker calls us.
        plugin: the process that serves.
        later: a test may put another in its place, which is to outlive Docker.
    """

    docker: Docker
    root: Path
    driver: str
    plugin: subprocess.Popen[bytes]
    later: ExitStack


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture
def setup(folder: Path) -> Iterator[Setup]:
    root = folder / "store"
    (folder / "plugin").mkdir()
    with (
        driver_socket() as address,
        ExitStack() as later,
        running_containerd(folder / "containerd", "1.6") as containerd,
        running_driver(folder / "plugin", address, root=root) as plugin,
        running_docker(
            folder / "docker",
            containerd,
            "20.10",
            storage_driver=address.stem,
            arguments=("--experimental",),
        ) as docker,
    ):
        yield Setup(docker, root, address.stem, plugin, later)
    unmount_below(folder / "docker")  # dockerd leaves its folder mounted on itself


def saved(*tars: bytes) -> bytes:
    """An archive as ``docker save`` writes it, of an image that is called ``app:1``."""
    diff_ids = ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/app/app.exe"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": f"layer {number}"} for number in range(len(tars))],
    }
    names = [f"{number}/layer.tar" for number in range(len(tars))]
    manifest = [{"Config": "config.json", "RepoTags": ["app:1"], "Layers": names}]
    files = [
        ("config.json", json.dumps(config).encode()),
        *zip(names, tars, strict=True),
        ("manifest.json", json.dumps(manifest).encode()),
    ]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def loaded(setup: Setup) -> Setup:
    """With the image ``app:1``."""
    archive = setup.docker.folder / "app.tar"
    archive.write_bytes(saved(BASE, APP))
    assert "app:1" in setup.docker.run("load", "-i", archive)
    return setup


def layers_of(archive: Path) -> list[str]:
    """The digests of the layers in what ``docker save`` wrote, the base layer first."""
    with tarfile.open(archive) as saved:
        listing = saved.extractfile("manifest.json")
        assert listing is not None
        digests = []
        for name in json.load(listing)[0]["Layers"]:
            layer = saved.extractfile(name)
            assert layer is not None
            digests.append("sha256:" + hashlib.sha256(layer.read()).hexdigest())
    return digests


def test_docker_says_what_it_stores_layers_by(setup: Setup) -> None:
    told = json.loads(setup.docker.run("info", "--format", "{{json .}}"))
    assert told["Driver"] == setup.driver
    assert ["Root", str(setup.root)] in told["DriverStatus"]


def test_layers_come_out_with_the_digests_that_they_had(loaded: Setup) -> None:
    diff_ids = json.loads(
        loaded.docker.run("inspect", "--format", "{{json .RootFS.Layers}}", "app:1")
    )
    archive = loaded.docker.folder / "out.tar"
    loaded.docker.run("save", "-o", archive, "app:1")
    assert layers_of(archive) == diff_ids
    assert diff_ids == ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in (BASE, APP)]
    folder = loaded.docker.run("inspect", "--format", "{{.GraphDriver.Data.dir}}", "app:1").strip()
    assert Path(folder).parent == loaded.root / "windowsfilter"


def test_container_takes_files_and_becomes_an_image(loaded: Setup) -> None:
    docker = loaded.docker
    docker.run("create", "--name", "one", "app:1")
    docker.run("cp", "one:/app/app.exe", docker.folder / "app.exe")
    assert (docker.folder / "app.exe").read_bytes().startswith(b"MZ")
    (docker.folder / "new.txt").write_text("hello")
    docker.run("cp", docker.folder / "new.txt", "one:/Windows/new.txt")
    changes = docker.run("diff", "one").splitlines()
    assert "A /Windows/new.txt" in changes
    docker.run("export", "-o", docker.folder / "export.tar", "one")
    with tarfile.open(docker.folder / "export.tar") as exported:
        assert {"Windows/new.txt", "app/app.exe"} <= set(exported.getnames())
    docker.run("commit", "one", "app:2")
    before, after = (
        json.loads(docker.run("inspect", "--format", "{{json .RootFS.Layers}}", name))
        for name in ("app:1", "app:2")
    )
    assert after[:2] == before
    assert len(after) == 3
    docker.run("save", "-o", docker.folder / "app2.tar", "app:2")
    assert layers_of(docker.folder / "app2.tar") == after
    docker.run("rm", "one")
    docker.run("rmi", "app:2", "app:1")
    assert docker.run("images", "-q") == ""
    assert not [*(loaded.root / "windowsfilter").iterdir()]


def test_plugin_is_restarted_while_docker_lives(loaded: Setup, folder: Path) -> None:
    docker = loaded.docker
    docker.run("create", "--name", "one", "app:1")
    loaded.plugin.kill()
    loaded.plugin.wait(20)
    address = Path("/run/docker/plugins") / f"{loaded.driver}.sock"
    address.unlink()
    loaded.later.enter_context(running_driver(folder / "plugin", address, root=loaded.root))
    docker.run("cp", "one:/app/app.exe", docker.folder / "app.exe")
    assert (docker.folder / "app.exe").read_bytes().startswith(b"MZ")
    docker.run("rm", "one")
    docker.run("rmi", "app:1")
