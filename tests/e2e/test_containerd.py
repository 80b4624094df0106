"""containerd on our snapshotter and differ: images of Windows come, are shown, changed, committed and go.

With 1.7 as it is, and with 1.6 through the front socket.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.engines import (
    OURS,
    SECONDS,
    Containerd,
    mounts_below,
    plugin_of,
    running_containerd,
    running_pair,
    running_winlayers,
    short_folder,
    showing_snapshots,
)
from tests.e2e.imagesamples import APP, BASE, Image, an_image, windows, write_layout
from tests.e2e.registries import Registry, running_registry
from tests.e2e.test_images import Shell
from tests.support.builders import a_file, a_layer, layer_tar
from winlayers.oci.model import chain_ids, digest_bytes

pytestmark = pytest.mark.e2e

BUILD = windows("20348.2461")
PLATFORM = ("--platform", "windows/amd64")
SNAPSHOTTER = ("--snapshotter", OURS)


@dataclass(frozen=True)
class Pair:
    """containerd and ours.

    Attributes:
        containerd: that runs.
        shell: runs winlayers on the same store.
        folder: for all that a test makes.
    """

    containerd: Containerd
    shell: Shell
    folder: Path

    def ctr(self, *arguments: str | Path, code: int = 0) -> str:
        return self.containerd.ctr(*arguments, code=code)

    def snapshots(self, *arguments: str | Path, code: int = 0) -> str:
        """Run a command about snapshots of ours."""
        return self.ctr("snapshots", *SNAPSHOTTER, *arguments, code=code)

    def load(self, image: Image, name: str = "local/app") -> str:
        """Have containerd import and unpack an image; its name."""
        write_layout(self.folder / name, "1", image)
        archive = self.folder / "image.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(self.folder / name, ".")
        imported = ("image", "import", *PLATFORM, *SNAPSHOTTER, "--base-name", name)
        self.ctr(*imported, archive)
        return f"{name}:1"

    def publish(self, registry: Registry, image: Image, name: str) -> str:
        """Put an image into a registry; its name there."""
        write_layout(self.folder / name, "1", image)
        where = f"{registry.host}/{name}:1"
        self.shell.run("copy", f"oci:{self.folder / name}:1", f"docker://{where}")
        return where

    def pull(self, name: str) -> str:
        """Have containerd pull and unpack an image."""
        return self.ctr("image", "pull", "--plain-http", *PLATFORM, *SNAPSHOTTER, name)

    def collect(self) -> None:
        """Have containerd collect what nobody refers to, and wait for it."""
        self.containerd.collect()

    def keep(self, key: str) -> None:
        """Have a snapshot that nobody refers to stay."""
        self.snapshots("label", key, "containerd.io/gc.root=test")

    def mounted(self, key: str) -> Path:
        """Mount a snapshot as containerd says."""
        target = self.folder / f"mnt-{key}"
        target.mkdir()
        said = self.snapshots("mounts", target, key)
        subprocess.run(["sh", "-c", said], check=True, timeout=SECONDS)
        return target


def unmount(path: Path) -> None:
    subprocess.run(["umount", "--", path], check=True, timeout=SECONDS)


def chain_of(*tars: bytes) -> list[str]:
    """The chain IDs of an image of some layers."""
    return list(map(str, chain_ids([digest_bytes(tar) for tar in tars])))


def our_layers(pair: Pair) -> dict[str, Any]:
    """The layers of our store by id."""
    rows = map(json.loads, pair.shell.run("layer", "ls", "--json").splitlines())
    return {row["id"]: row for row in rows}


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(params=["1.7", "1.6"])
def pair(request: pytest.FixtureRequest, folder: Path) -> Iterator[Pair]:
    with running_pair(folder, request.param) as containerd:
        yield Pair(containerd, Shell(folder), folder)


@pytest.fixture
def registry(folder: Path) -> Iterator[Registry]:
    with running_registry(folder / "registry") as registry:
        yield registry


@pytest.fixture
def image() -> Image:
    return an_image(BASE, APP, platform=BUILD)


def test_imported_image_is_in_our_store_byte_for_byte(pair: Pair, image: Image) -> None:
    pair.load(image)
    base, app = chain_of(BASE, APP)
    assert pair.containerd.snapshots() == {base: ("", "Committed"), app: (base, "Committed")}
    layers = our_layers(pair)
    assert set(layers) == {base.removeprefix("sha256:"), app.removeprefix("sha256:")}
    for chain, tar in ((base, BASE), (app, APP)):
        exported = pair.folder / "exported.tar"
        pair.shell.run("layer", "export", chain.removeprefix("sha256:"), "-o", exported)
        assert exported.read_bytes() == tar


def test_pulled_image_has_the_digests_of_the_registry(
    pair: Pair, registry: Registry, image: Image
) -> None:
    name = pair.publish(registry, image, "win/app")
    pair.pull(name)
    (row,) = pair.ctr("image", "ls", f"name=={name}").splitlines()[1:]
    assert row.split()[2] == str(image.manifest.digest)
    content = pair.containerd.list("content")
    assert {str(digest) for digest in image.blobs} | {str(image.manifest.digest)} == set(content)
    for digest, blob in image.blobs.items():
        assert pair.containerd.blob(str(digest)) == blob
    for chain, tar in zip(chain_of(BASE, APP), (BASE, APP), strict=True):
        assert our_layers(pair)[chain.removeprefix("sha256:")]["diff_id"] == str(digest_bytes(tar))


def test_snapshots_are_told_about(pair: Pair, image: Image) -> None:
    pair.load(image)
    base, app = chain_of(BASE, APP)
    told = json.loads(pair.snapshots("info", app))
    assert (told["Kind"], told["Name"], told["Parent"]) == ("Committed", app, base)
    assert pair.snapshots("tree").split() == [base, "\\_", app]
    sizes = {
        row.split()[0]: row.split()[1:] for row in pair.snapshots("usage", "-b").splitlines()[1:]
    }
    assert set(sizes) == {base, app}
    assert int(sizes[base][0]) >= len(BASE) / 2
    assert int(sizes[base][1]) >= 8  # names in the base layer
    pair.snapshots("info", "no-such-snapshot", code=1)


def test_image_is_mounted_and_read_only(pair: Pair, image: Image) -> None:
    name = pair.load(image)
    target = pair.folder / "image"
    target.mkdir()
    if pair.containerd.version == "1.6":  # its ctr mounts images by overlayfs alone
        pair.collect()
        pair.snapshots("view", "shown", chain_of(BASE, APP)[-1])
        pair.keep("shown")
        target = pair.mounted("shown")
    else:
        pair.ctr("image", "mount", *PLATFORM, *SNAPSHOTTER, name, target)
    assert (target / "Windows/win.ini").read_bytes() == b"; for 16-bit app support\r\n"
    assert (target / "Windows/System32/kernel32.dll").read_bytes() == bytes(range(256)) * 4000
    assert (target / "app/app.exe").read_bytes() == b"MZ" + bytes(5000)
    assert not (target / "Windows/win2.ini").exists()
    assert not (target / "Files").exists()
    with pytest.raises(OSError, match="Read-only file system"):
        (target / "new").write_bytes(b"")
    if pair.containerd.version == "1.6":
        unmount(target)
        pair.snapshots("rm", "shown")
    else:
        pair.ctr("image", "unmount", *SNAPSHOTTER, "--rm", target)
    assert mounts_below(target) == []
    assert set(pair.containerd.snapshots()) == set(chain_of(BASE, APP))


def test_changed_snapshot_is_committed(pair: Pair, image: Image) -> None:
    pair.load(image)
    app = chain_of(BASE, APP)[-1]
    pair.collect()
    pair.snapshots("prepare", "work", app)
    pair.keep("work")
    root = pair.mounted("work")
    (root / "data").mkdir()
    (root / "data/new.txt").write_bytes(b"new")
    (root / "app/app.exe").write_bytes(b"MZ changed")
    (root / "Windows/win.ini").rename(root / "data/moved.ini")
    unmount(root)
    pair.snapshots("commit", "done", "work")
    pair.keep("done")
    assert pair.containerd.snapshots()["done"] == (app, "Committed")
    assert "work" not in pair.containerd.snapshots()

    pair.snapshots("view", "look", "done")
    pair.keep("look")
    seen = pair.mounted("look")
    assert (seen / "data/new.txt").read_bytes() == b"new"
    assert (seen / "app/app.exe").read_bytes() == b"MZ changed"
    assert (seen / "data/moved.ini").read_bytes() == b"; for 16-bit app support\r\n"
    assert not (seen / "Windows/win.ini").exists()
    unmount(seen)

    pair.snapshots("rm", "done", code=1)  # a view stands on it
    pair.snapshots("rm", "look")
    pair.snapshots("rm", "done")
    pair.collect()
    assert set(pair.containerd.snapshots()) == set(chain_of(BASE, APP))
    assert len(our_layers(pair)) == 2


def test_difference_is_a_layer(pair: Pair, image: Image) -> None:
    pair.load(image)
    app = chain_of(BASE, APP)[-1]
    pair.collect()
    pair.snapshots("prepare", "work", app)
    pair.keep("work")
    root = pair.mounted("work")
    (root / "data").mkdir()
    (root / "data/new.txt").write_bytes(b"new")
    (root / "app/app.exe").unlink()
    unmount(root)
    diff = pair.containerd.output("snapshots", *SNAPSHOTTER, "diff", "work")
    tar = gzip.decompress(diff)
    with tarfile.open(fileobj=io.BytesIO(tar)) as entries:
        names = entries.getnames()
        assert entries.getmember("Files/data/new.txt").pax_headers["MSWINDOWS.rawsd"]
    assert {"Files/data/new.txt", "Files/app/.wh.app.exe"} <= set(names)
    assert "Files/Windows/win.ini" not in names
    (pair.folder / "diff.tar").write_bytes(tar)
    assert "new.txt" in pair.shell.run("ls", f"tar:{pair.folder / 'diff.tar'}", "/data")
    same = pair.containerd.output("snapshots", *SNAPSHOTTER, "diff", chain_of(BASE)[0])
    assert gzip.decompress(same) == BASE


def test_images_that_share_layers_are_pulled_at_once(pair: Pair, registry: Registry) -> None:
    tops = [layer_tar(a_layer(a_file(f"Files/{n}.txt", bytes([n]) * 5000))) for n in range(6)]
    images = [an_image(BASE, APP, top, platform=BUILD) for top in tops]
    names = [pair.publish(registry, image, f"win/app{n}") for n, image in enumerate(images)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(pair.pull, names))
    chains = {chain for top in tops for chain in chain_of(BASE, APP, top)}
    assert set(pair.containerd.snapshots()) == chains
    assert set(our_layers(pair)) == {chain.removeprefix("sha256:") for chain in chains}
    for name in names[1:]:
        pair.ctr("image", "rm", "--sync", name)
    assert set(pair.containerd.snapshots()) == set(chain_of(BASE, APP, tops[0]))


def test_nothing_is_left_of_an_image_that_is_removed(
    pair: Pair, registry: Registry, image: Image
) -> None:
    name = pair.publish(registry, image, "win/app")
    pair.pull(name)
    pair.ctr("image", "rm", "--sync", name)
    assert pair.containerd.snapshots() == {}
    assert pair.containerd.list("content") == []
    assert our_layers(pair) == {}
    kept = [path for path in (pair.shell.root / "blobs").rglob("*") if path.is_file()]
    assert kept == []


def test_layers_are_shared_with_the_command_line(
    pair: Pair, registry: Registry, image: Image
) -> None:
    name = pair.publish(registry, image, "win/app")
    pair.pull(name)
    pair.shell.run("pull", name)
    assert len(our_layers(pair)) == 2
    pair.ctr("image", "rm", "--sync", name)
    assert "app.exe" in pair.shell.run("ls", name, "/app")
    pair.pull(name)
    pair.shell.run("rmi", name)
    pair.shell.run("store", "prune")
    assert set(pair.containerd.snapshots()) == set(chain_of(BASE, APP))
    assert len(our_layers(pair)) == 2
    assert hashlib.sha256(export(pair)).hexdigest() == digest_bytes(APP).hex


def test_killed_snapshotter_finds_everything_again(folder: Path, image: Image) -> None:
    theirs, ours, root = folder / "theirs", folder / "ours", folder / "store"
    ours.mkdir()
    with (
        running_containerd(theirs, plugin=plugin_of(ours)) as containerd,
        showing_snapshots(root),
    ):
        pair = Pair(containerd, Shell(folder), folder)
        with running_winlayers(ours, containerd.address, root=root) as process:
            containerd.wait_for_snapshotter()
            name = pair.load(image)
            pair.collect()
            pair.snapshots("prepare", "work", chain_of(BASE, APP)[-1])
            pair.keep("work")
            work = pair.mounted("work")
            (work / "before.txt").write_bytes(b"before")
            before = containerd.snapshots()
            process.kill()
            assert (work / "Windows/win.ini").read_bytes().startswith(b"; for")
            pair.snapshots("info", "work", code=1)
        with running_winlayers(ours, containerd.address, root=root):
            containerd.wait_for_snapshotter()
            assert containerd.snapshots() == before
            (work / "after.txt").write_bytes(b"after")
            unmount(work)
            work.rmdir()
            again = pair.mounted("work")
            assert (again / "before.txt").read_bytes() == b"before"
            assert (again / "after.txt").read_bytes() == b"after"
            unmount(again)
            pair.snapshots("rm", "work")
            pair.ctr("image", "rm", "--sync", name)
            assert containerd.snapshots() == {}
            assert our_layers(pair) == {}


def export(pair: Pair) -> bytes:
    """The upper layer."""
    exported = pair.folder / "exported.tar"
    app = chain_of(BASE, APP)[-1].removeprefix("sha256:")
    pair.shell.run("layer", "export", app, "-o", exported)
    return exported.read_bytes()
