"""Docker 26.1 with the containerd image store on our snapshotter and differ: images of Windows on Linux."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.engines import (
    OURS,
    Containerd,
    Docker,
    running_docker,
    running_pair,
    short_folder,
)
from tests.e2e.imagesamples import APP, BASE, an_image, windows, write_layout
from tests.e2e.registries import Registry, running_registry
from tests.e2e.test_images import Shell
from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.base.digest import Digest
from winlayers.oci.model import chain_ids, digest_bytes

pytestmark = pytest.mark.e2e

BUILD = windows("20348.2461")
PLATFORM = ("--platform", "windows/amd64")
NAMESPACE = "moby"


@dataclass(frozen=True)
class Host:
    """Docker, containerd and ours.

    Attributes:
        docker: that runs.
        containerd: that it uses.
        registry: on loopback.
        shell: runs winlayers on the same store.
        folder: for all that a test makes.
        digest: of the image in the registry.
    """

    docker: Docker
    containerd: Containerd
    registry: Registry
    shell: Shell
    folder: Path
    digest: Digest

    @property
    def name(self) -> str:
        """The image in the registry."""
        return f"{self.registry.host}/win/app:1"

    def pull(self) -> str:
        """Have Docker pull it; its name."""
        self.docker.run("pull", "--quiet", *PLATFORM, self.name)
        return self.name

    def create(self) -> str:
        """A container of it, as ``w1``; its id."""
        created = ("create", *PLATFORM, "--name", "w1", self.name, "cmd")
        return self.docker.run(*created).strip()

    def collect(self) -> None:
        """Have containerd collect what nobody refers to, and wait for it."""
        self.containerd.collect(namespace=NAMESPACE)

    def snapshots(self) -> dict[str, Any]:
        return self.containerd.snapshots(namespace=NAMESPACE)

    def layers(self) -> dict[str, Any]:
        """The layers of our store by id."""
        rows = map(json.loads, self.shell.run("layer", "ls", "--json").splitlines())
        return {row["id"]: row for row in rows}


@pytest.fixture
def host() -> Iterator[Host]:
    with (
        short_folder() as folder,
        running_registry(folder / "registry") as registry,
        running_pair(folder, "1.7") as containerd,
        running_docker(folder / "docker", containerd, storage_driver=OURS) as docker,
    ):
        image = an_image(BASE, APP, platform=BUILD)
        digest = write_layout(folder / "images", "app", image)
        host = Host(docker, containerd, registry, Shell(folder), folder, digest)
        host.shell.run("copy", f"oci:{folder / 'images'}:app", f"docker://{host.name}")
        yield host


CHAINS = [str(chain) for chain in chain_ids([digest_bytes(BASE), digest_bytes(APP)])]
DIFF_IDS = [str(digest_bytes(tar)) for tar in (BASE, APP)]


def test_docker_uses_our_snapshotter(host: Host) -> None:
    info = host.docker.json("info", "--format", "{{json .}}")
    assert info["Driver"] == OURS
    assert ["driver-type", "io.containerd.snapshotter.v1"] in info["DriverStatus"]


def test_pulled_image_is_whole_in_our_store(host: Host) -> None:
    host.pull()
    (told,) = host.docker.json("image", "inspect", host.name)
    assert (told["Os"], told["Architecture"], told["OsVersion"]) == (
        "windows",
        "amd64",
        BUILD.os_version,
    )
    assert told["RootFS"]["Layers"] == DIFF_IDS
    assert told["Id"] == str(host.digest)
    assert host.snapshots() == {CHAINS[0]: ("", "Committed"), CHAINS[1]: (CHAINS[0], "Committed")}
    assert {row["diff_id"] for row in host.layers().values()} == set(DIFF_IDS)
    for chain, tar in zip(CHAINS, (BASE, APP), strict=True):
        exported = host.folder / "exported.tar"
        host.shell.run("layer", "export", chain.removeprefix("sha256:"), "-o", exported)
        assert exported.read_bytes() == tar


def test_saved_image_is_loaded_and_pushed_with_the_same_digests(host: Host) -> None:
    host.pull()
    saved = host.folder / "saved.tar"
    host.docker.run("save", "-o", saved, host.name)
    assert host.shell.json("inspect", f"oci-archive:{saved}")["digest"] == str(host.digest)
    host.docker.run("rmi", host.name)
    assert host.docker.run("images", "-q") == ""
    host.docker.run("load", "-i", saved)
    again = f"{host.registry.host}/win/again:2"
    host.docker.run("tag", host.name, again)
    host.docker.run("push", "--quiet", again)
    assert host.shell.json("inspect", f"docker://{again}")["digest"] == str(host.digest)


def test_archive_of_docker_is_loaded(host: Host) -> None:
    archive = host.folder / "image.tar"
    source = f"docker://{host.name}"
    copied = ("copy", "--src-tls-verify=false", source, f"docker-archive:{archive}:local/app:1")
    host.shell.skopeo(*copied)
    host.docker.run("load", "-i", archive)
    (told,) = host.docker.json("image", "inspect", "local/app:1")
    assert told["RootFS"]["Layers"] == DIFF_IDS
    assert set(host.snapshots()) == set(CHAINS)


def test_files_are_copied_out_of_a_container_and_into_it(host: Host) -> None:
    host.pull()
    host.create()
    target = host.folder / "out"
    host.docker.run("cp", "w1:/app/app.exe", target)
    assert target.read_bytes() == b"MZ" + bytes(5000)
    source = host.folder / "new.txt"
    source.write_bytes(b"new")
    host.docker.run("cp", source, "w1:/app/")
    host.docker.run("cp", "w1:/app/new.txt", target)
    assert target.read_bytes() == b"new"
    host.docker.run("rm", "w1")
    assert set(host.snapshots()) == set(CHAINS)


def test_container_is_exported(host: Host) -> None:
    host.pull()
    host.create()
    exported = host.docker.output("export", "w1")
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        names = set(tar.getnames())
        file = tar.extractfile("app/app.exe")
        assert file is not None
        assert file.read() == b"MZ" + bytes(5000)
    assert "Windows/System32/kernel32.dll" in names
    assert "Windows/win2.ini" not in names


def test_changes_of_a_container_are_listed(host: Host) -> None:
    host.pull()
    host.create()
    source = host.folder / "new.txt"
    source.write_bytes(b"new")
    host.docker.run("cp", source, "w1:/app/")
    assert host.docker.run("diff", "w1").splitlines() == ["C /app", "A /app/new.txt"]


def test_committed_container_is_an_image(host: Host) -> None:
    host.pull()
    host.create()
    source = host.folder / "new.txt"
    source.write_bytes(b"new")
    host.docker.run("cp", source, "w1:/app/")
    host.docker.run("commit", "w1", "local/made:1")
    (told,) = host.docker.json("image", "inspect", "local/made:1")
    assert told["RootFS"]["Layers"][:2] == DIFF_IDS
    pushed = f"{host.registry.host}/win/made:1"
    host.docker.run("tag", "local/made:1", pushed)
    host.docker.run("push", "--quiet", pushed)
    assert "new.txt" in host.shell.run("ls", f"docker://{pushed}", "/app")
    assert host.shell.run("cat", f"docker://{pushed}", "/app/new.txt") == "new"
    # Docker has it on what it wrote for the container; pulled, it stands on the image.
    host.shell.run("pull", pushed)
    diff_ids = list(map(Digest.parse, told["RootFS"]["Layers"]))
    exported = host.folder / "layer.tar"
    host.shell.run("layer", "export", chain_ids(diff_ids)[-1].hex, "-o", exported)
    assert digest_bytes(exported.read_bytes()) == diff_ids[-1]
    with tarfile.open(exported) as tar:
        assert "Files/app/new.txt" in tar.getnames()


def test_layer_outlives_a_collection_while_it_is_committed(host: Host) -> None:
    """Nothing refers to the blob of a difference yet when our differ has written it."""
    host.pull()
    host.create()
    with ThreadPoolExecutor(1) as pool:
        for count in range(5):
            source = host.folder / "new.txt"
            source.write_bytes(f"new {count}".encode())
            host.docker.run("cp", source, "w1:/app/")
            name = f"{host.registry.host}/win/made:{count}"
            committed = pool.submit(host.docker.run, "commit", "w1", name)
            while not committed.done():
                host.collect()
            committed.result()
            host.docker.run("push", "--quiet", name)
            assert host.shell.run("cat", f"docker://{name}", "/app/new.txt") == f"new {count}"


def built(host: Host, base: str) -> str:
    """Have Docker build an image on another; its name."""
    context = host.folder / "context"
    context.mkdir()
    (context / "x.txt").write_bytes(b"built")
    (context / "Dockerfile").write_text(f"FROM {base}\nCOPY x.txt /app/x.txt\n")
    options = ("--provenance=false", "--quiet", "--tag", "local/built:1")
    host.docker.run("build", *PLATFORM, *options, context)
    return "local/built:1"


def check_built(host: Host, name: str, *tars: bytes) -> None:
    """It stands on an image, whose layers are in our store with all that Windows keeps."""
    (told,) = host.docker.json("image", "inspect", name)
    diff_ids = [digest_bytes(tar) for tar in tars]
    assert told["RootFS"]["Layers"][:-1] == list(map(str, diff_ids))
    saved = host.folder / "saved.tar"
    host.docker.run("save", "-o", saved, name)
    assert host.shell.run("cat", f"oci-archive:{saved}", "/app/x.txt") == "built"
    assert host.shell.run("cat", f"oci-archive:{saved}", "/Windows/win.ini").startswith("; for")
    for chain_id, tar in zip(chain_ids(diff_ids), tars, strict=True):
        exported = host.folder / "exported.tar"
        host.shell.run("layer", "export", chain_id.hex, "-o", exported)
        assert exported.read_bytes() == tar


def test_image_is_built_on_a_pulled_one(host: Host) -> None:
    host.pull()
    check_built(host, built(host, host.name), BASE, APP)


def test_image_is_built_on_one_that_the_builder_fetches(host: Host) -> None:
    """BuildKit unpacks layers by itself, through mounts, without what Windows keeps of files.

    It takes an alternate stream for a file with a colon in its name, which there cannot be: so this image has none.
    """
    base = layer_tar(a_layer(a_file("Files/Windows/win.ini", b"; for 16-bit app support\r\n")))
    write_layout(host.folder / "plain", "1", an_image(base, APP, platform=BUILD))
    name = f"{host.registry.host}/win/plain:1"
    host.shell.run("copy", f"oci:{host.folder / 'plain'}:1", f"docker://{name}")
    check_built(host, built(host, name), base, APP)


def test_nothing_is_left_of_an_image_that_is_removed(host: Host) -> None:
    host.pull()
    host.create()
    host.docker.run("rm", "w1")
    host.docker.run("rmi", host.name)
    assert host.docker.run("images", "-q") == ""
    host.collect()
    assert host.snapshots() == {}
    assert host.layers() == {}
