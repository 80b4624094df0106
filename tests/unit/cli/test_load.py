"""``winlayers load``: archives of either kind, from a file or a pipe, under the names that they have there."""

from __future__ import annotations

import collections
import gzip
import io
import json
import shutil
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from tests.support.memoryimages import MemoryImages, put_image
from tests.unit.cli.harness import BASE, Shell, Terminal
from tests.unit.cli.images import an_image, put_layout
from winlayers.base import room
from winlayers.cli import spool
from winlayers.oci.archive import OciArchiveSink
from winlayers.transfer.copying import copy_image

MANIFEST = str(an_image().manifest.digest)

_Disk = collections.namedtuple("_Disk", ["total", "used", "free"])


@pytest.fixture
def layout(bare: Shell) -> str:
    """An image of a layout: two builds of Windows and a Linux."""
    return put_layout(bare.folder / "layout")


@pytest.fixture(params=["docker-archive", "oci-archive"])
def archive(request: pytest.FixtureRequest, bare: Shell, layout: str) -> Path:
    """One image with two names, in an archive of either kind."""
    saving = Shell(bare.folder / "saving", bare.folder)
    saving.run("pull", layout, "--as", "app:1")
    saving.run("tag", "app:1", "localhost:5000/app:2")
    path = bare.folder / "all.tar"
    names = ("app:1", "localhost:5000/app:2")
    saving.run("save", "-o", str(path), "--format", request.param, *names)
    return path


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Have a pipe with this content as standard input; all that reads it is a file object without a place."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(_Pipe(content)))


class _Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("a pipe")


def left_over(shell: Shell) -> list[Path]:
    """What is in the folder for temporary files."""
    return list((shell.root / "tmp").iterdir())


def test_archives_of_both_kinds_are_loaded(bare: Shell, archive: Path) -> None:
    for arguments in (["-i", str(archive)], [str(archive)]):
        assert bare.run("load", *arguments).lines == ["app:1", "localhost:5000/app:2"]
    assert {row["digest"] for row in bare.run("images", "--json").rows} == {MANIFEST}
    assert bare.run("cat", "app:1", "/app/run.exe").out == b"MZ of the app"
    assert bare.run("load", "--json", str(archive)).rows[0] == {"name": "app:1", "digest": MANIFEST}


@pytest.mark.parametrize("arguments", [[], ["-"], ["-i", "-"]])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_archive_comes_through_a_pipe(
    bare: Shell,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    *,
    is_compressed: bool,
) -> None:
    content = archive.read_bytes()
    feed(monkeypatch, gzip.compress(content, 1) if is_compressed else content)
    assert bare.run("load", *arguments).lines == ["app:1", "localhost:5000/app:2"]
    assert {row["digest"] for row in bare.run("images", "--json").rows} == {MANIFEST}
    assert left_over(bare) == []


def test_compressed_file_is_decompressed_where_tmpdir_says(bare: Shell, archive: Path) -> None:
    packed = archive.with_suffix(".tar.gz")
    packed.write_bytes(gzip.compress(archive.read_bytes(), 1))
    chosen = bare.folder / "chosen"
    assert bare.run("load", "--tmpdir", str(chosen), str(packed)).lines[0] == "app:1"
    assert list((chosen / "winlayers-staging").iterdir()) == []


def test_what_a_killed_load_leaves_is_removed(bare: Shell, archive: Path) -> None:
    killed = bare.root / "tmp" / "winlayers-archive.0123456789abcdef"
    killed.mkdir(parents=True)
    (killed / "archive.tar").write_bytes(b"a part of it")
    assert bare.run("load", str(archive)).lines[0] == "app:1"
    assert left_over(bare) == []


def test_load_stops_before_the_disk_is_full(
    bare: Shell, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = archive.read_bytes()
    free = iter([1 << 40, 1 << 20])
    monkeypatch.setattr(spool, "_BLOCK_SIZE", 1 << 10)
    monkeypatch.setattr(room, "disk_of", lambda folder: _Disk(1 << 40, 0, next(free)))
    feed(monkeypatch, content)
    told = bare.run("load", code=18).err
    assert "only 1048576 bytes are left" in told
    assert "after 1024 bytes that were kept there" in told
    assert "--tmpdir" in told
    assert left_over(bare) == []
    assert bare.run("images").lines == []


def test_damaged_archive_leaves_nothing(bare: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, code in ((gzip.compress(b"x" * 99)[:-9], 14), (b"", 10), (b"no tar" * 200, 14)):
        feed(monkeypatch, content)
        bare.run("load", code=code)
        assert left_over(bare) == []


def test_terminal_is_no_archive(bare: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(io.BytesIO()))
    assert "does not come from a terminal" in bare.run("load", code=2).err
    monkeypatch.setattr("sys.stdin", None)
    bare.run("load", code=2)


def test_one_archive_is_loaded_at_once(bare: Shell) -> None:
    assert "at once" in bare.run("load", "a.tar", "-i", "b.tar", code=2).err


def test_whole_index_is_loaded(bare: Shell, layout: str) -> None:
    path = bare.folder / "whole.tar"
    digest = bare.run("copy", "--all-platforms", layout, f"oci-archive:{path}:app:1").lines[0]
    result = bare.run("load", "--all-platforms", str(path))
    assert result.lines == ["app:1"]
    assert {row["digest"] for row in bare.run("images", "--json").rows} == {digest}
    assert len(bare.run("images", "--json").rows) == 3


def test_name_of_containerd_counts(bare: Shell, layout: str) -> None:
    """``ctr export`` and Docker have the whole name in one annotation, and in that of OCI its tag alone."""
    rename(bare.folder / "layout", {"org.opencontainers.image.ref.name": "1"})
    assert bare.run("load", archive_of(bare, "layout")).lines == ["1"]
    rename(
        bare.folder / "layout",
        {
            "org.opencontainers.image.ref.name": "1",
            "io.containerd.image.name": "docker.io/library/app:1",
        },
    )
    assert bare.run("load", archive_of(bare, "layout")).lines == ["app:1"]


def test_image_without_a_name_is_told(bare: Shell, layout: str) -> None:
    folder = bare.folder / "layout"
    rename(folder, {})
    digest = json.loads((folder / "index.json").read_bytes())["manifests"][0]["digest"]
    path = archive_of(bare, "layout")
    told = bare.run("load", path, code=10).err
    assert f"winlayers pull oci-archive:{path}:@{digest} --as NAME" in told
    assert bare.run("pull", f"oci-archive:{path}:@{digest}", "--as", "app").lines == [MANIFEST]
    rename(folder, {"io.containerd.image.name": "app:1"}, {})
    result = bare.run("load", archive_of(bare, "layout"))
    assert result.lines == ["app:1"]
    assert "left out an image without a name" in result.err


def test_name_of_two_images_is_malformed(bare: Shell, layout: str) -> None:
    put_layout(bare.folder / "layout", "again")
    folder = bare.folder / "layout"
    index = json.loads((folder / "index.json").read_bytes())
    other = index["manifests"][0] | {"digest": "sha256:" + "0" * 64}
    index["manifests"].append(other)
    (folder / "index.json").write_text(json.dumps(index))
    assert (
        "stands for different images" in bare.run("load", archive_of(bare, "layout"), code=14).err
    )


def rename(folder: Path, *annotations: dict[str, str]) -> None:
    """Have the first image of a layout as often as there are annotations, once with each."""
    index = json.loads((folder / "index.json").read_bytes())
    entry = index["manifests"][0]
    index["manifests"] = [entry | {"annotations": one} for one in annotations]
    (folder / "index.json").write_text(json.dumps(index))


def archive_of(shell: Shell, name: str) -> str:
    """A tar of a folder."""
    return shutil.make_archive(str(shell.folder / name), "tar", shell.folder / name)


def test_odd_names_of_layers_need_to_be_lenient(bare: Shell) -> None:
    image = an_image([BASE, layer_tar(a_layer(a_file("Files/a.", b"odd")))])
    source = MemoryImages()
    put_image(source, image)
    archive = bare.folder / "odd.tar"
    with OciArchiveSink(archive, "app:1") as sink:
        copy_image(source, sink)
    for command in (["load", str(archive)], ["pull", f"oci-archive:{archive}", "--as", "app:1"]):
        refused = bare.run(*command, code=14).err
        assert "--lenient" in refused
        assert bare.run("images", "--names").lines == []
        taken = bare.run(*command, "--lenient")
        assert "name-trailing" in taken.err
        bare.run("rmi", "app:1")
