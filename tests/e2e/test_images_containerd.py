"""Images between winlayers and containerd: through a registry and by archives, digests equal both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.engines import CONTAINERD, Containerd, running_containerd, short_folder
from tests.e2e.imagesamples import APP, BASE, Image, an_image, windows, write_layout
from tests.e2e.registries import Registry, running_registry
from tests.e2e.test_images import Shell
from winlayers.base.digest import Digest

pytestmark = pytest.mark.e2e

BUILD = windows("20348.2461")
PLATFORM = "windows/amd64"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with running_registry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture(params=sorted(CONTAINERD))
def containerd(request: pytest.FixtureRequest) -> Iterator[Containerd]:
    with short_folder() as folder, running_containerd(folder, request.param) as engine:
        yield engine


@pytest.fixture
def image() -> Image:
    return an_image(BASE, APP, platform=BUILD)


@pytest.fixture
def digest(shell: Shell, image: Image) -> Digest:
    """That of the image, which is in the store as ``app:1``."""
    digest = write_layout(shell.folder / "images", "app", image)
    shell.run("pull", f"oci:{shell.folder}/images:app", "--as", "app:1")
    return digest


def listed(containerd: Containerd, name: str) -> str:
    """The digest that containerd has for an image."""
    rows = [line.split() for line in containerd.ctr("images", "ls").splitlines()[1:]]
    return next(row[2] for row in rows if row[0] == name)


def check_contents(containerd: Containerd, shell: Shell, inspected: dict[str, Any]) -> None:
    """All blobs of an image of the store are in containerd, byte for byte."""
    manifest = containerd.blob(inspected["manifest_digest"])
    assert manifest.decode() == shell.run("inspect", "--raw", "app:1")
    named = json.loads(manifest)
    assert containerd.blob(named["config"]["digest"])
    for layer in named["layers"]:
        assert len(containerd.blob(layer["digest"])) == layer["size"]


def test_what_is_pushed_containerd_pulls(
    shell: Shell, registry: Registry, containerd: Containerd, digest: Digest
) -> None:
    name = f"{registry.host}/win/app:1"
    shell.run("push", "app:1", f"docker://{name}")
    containerd.ctr("content", "fetch", "--plain-http", "--platform", PLATFORM, name)
    assert listed(containerd, name) == str(digest)
    check_contents(containerd, shell, shell.json("inspect", "app:1"))


def test_what_containerd_pushed_is_pulled(
    shell: Shell, registry: Registry, containerd: Containerd, digest: Digest
) -> None:
    shell.run("save", "app:1", "-o", shell.folder / "saved.tar")
    # Nothing of it is run here; unpacking it would ask for this machine's platform.
    imported = ["images", "import", "--no-unpack", "--all-platforms", "--base-name", "local/app"]
    containerd.ctr(*imported, shell.folder / "saved.tar")
    rows = containerd.ctr("images", "ls", "-q").split()
    source = next(row for row in rows if "app" in row)
    assert listed(containerd, source) == str(digest)
    name = f"{registry.host}/ctr/app:1"
    containerd.ctr("images", "push", "--plain-http", "--platform", PLATFORM, name, source)
    shell.run("pull", name)
    pulled, mine = shell.json("inspect", name), shell.json("inspect", "app:1")
    assert pulled["digest"] == mine["digest"] == str(digest)
    assert pulled["layers"] == mine["layers"]


def test_what_containerd_exports_is_loaded(
    shell: Shell, registry: Registry, containerd: Containerd, digest: Digest
) -> None:
    name = f"{registry.host}/win/app:1"
    shell.run("push", "app:1", f"docker://{name}")
    containerd.ctr("content", "fetch", "--plain-http", "--platform", PLATFORM, name)
    exported = shell.folder / "exported.tar"
    containerd.ctr("images", "export", "--platform", PLATFORM, exported, name)
    other = Shell(shell.folder / "other")
    other.folder.mkdir()
    other.run("load", "-i", exported)
    rows = [json.loads(line) for line in other.run("images", "--json").splitlines()]
    found = other.json("inspect", rows[0]["name"])
    assert found["manifest_digest"] == str(digest)
    assert found["layers"] == shell.json("inspect", "app:1")["layers"]
    assert "app.exe" in other.run("ls", rows[0]["name"], "/app")
