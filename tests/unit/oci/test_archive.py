"""Layouts in tars: the same bytes for the same images, and nothing left beside them."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest

from tests.support.endpoints import MemoryImage, an_image, an_index, copy, fill
from winlayers.errors import (
    ImageNotFound,
    InvalidArgument,
    IsADirectory,
    Malformed,
    StoreLocked,
)
from winlayers.oci.archive import OciArchiveSink, open_oci_archive


def put(path: Path, image: MemoryImage, tag: str = "") -> bytes:
    with OciArchiveSink(path, tag) as sink:
        copy(image, sink)
    return path.read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_members_are_in_order(tmp_path: Path) -> None:
    index = an_index(an_image("a"), an_image("b"))
    put(tmp_path / "x.tar", index, "x")
    with tarfile.open(tmp_path / "x.tar") as tar:
        found = tar.getnames()
        members = tar.getmembers()
    documents = sorted(f"blobs/sha256/{digest.hex}" for digest in index.documents)
    blobs = sorted(f"blobs/sha256/{digest.hex}" for digest in index.blobs)
    assert found == ["oci-layout", "index.json", *documents, *blobs]
    assert {(m.mode, m.uid, m.gid, m.mtime, m.uname) for m in members} == {(0o644, 0, 0, 0, "")}


def test_same_image_makes_the_same_bytes(tmp_path: Path) -> None:
    image = an_image("a", "b")
    reverse = MemoryImage(image.top, image.documents, dict(reversed(image.blobs.items())))
    assert put(tmp_path / "x.tar", image, "x") == put(tmp_path / "y.tar", reverse, "x")


def test_archive_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    put(tmp_path / "x.tar", an_image("a"), "old")
    put(tmp_path / "x.tar", an_image("b"), "new")
    assert names(tmp_path) == ["x.tar"]
    with open_oci_archive(tmp_path / "x.tar") as source:
        assert source.resolve().digest == an_image("b").top.digest


def test_several_images_get_into_one_archive(tmp_path: Path) -> None:
    images = {name: an_image("base", name) for name in ("a", "b", "c")}
    with OciArchiveSink(tmp_path / "x.tar", "c") as sink:
        for name, image in images.items():
            top = fill(sink, image)
            if name != "c":
                sink.add(top, name)
        sink.commit(top)
    for name, image in images.items():
        with open_oci_archive(tmp_path / "x.tar", name) as source:
            assert source.resolve().digest == image.top.digest


def test_sink_that_is_closed_leaves_nothing(tmp_path: Path) -> None:
    with OciArchiveSink(tmp_path / "x.tar") as sink:
        fill(sink, an_image("a"))
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == []


def test_failure_in_commit_leaves_the_old_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = put(tmp_path / "x.tar", an_image("a"))
    with OciArchiveSink(tmp_path / "x.tar") as sink:
        top = fill(sink, an_image("b"))
        monkeypatch.setattr("winlayers.base.atomic.sync_file", full)
        with pytest.raises(OSError, match="No space"):
            sink.commit(top)
    assert (tmp_path / "x.tar").read_bytes() == before
    assert names(tmp_path) == ["x.tar"]


def test_one_at_a_time_may_write_an_archive(tmp_path: Path) -> None:
    with OciArchiveSink(tmp_path / "x.tar"):
        with pytest.raises(StoreLocked):
            OciArchiveSink(tmp_path / "x.tar")
        with OciArchiveSink(tmp_path / "x.tar-0") as other:
            copy(an_image("a"), other)
    assert names(tmp_path) == ["x.tar-0"]


def test_rest_of_a_killed_process_goes_and_that_of_other_archives_stays(tmp_path: Path) -> None:
    mine = f".x.tar-{'0' * 16}.winlayers.tmp"
    others = [f".x.tar-b-{'0' * 16}.winlayers.tmp", f".y.tar-{'0' * 16}.winlayers.tmp", ".x.tar-0"]
    for name in (mine, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "blob").write_bytes(b"x")
    put(tmp_path / "x.tar", an_image("a"))
    assert names(tmp_path) == sorted([*others, "x.tar"])


def test_rest_that_is_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / f".x.tar-{'0' * 16}.winlayers.tmp").symlink_to(outside)
    put(folder / "x.tar", an_image("a"))
    assert names(folder) == ["x.tar"]
    assert names(outside) == ["precious"]


def test_folder_and_device_are_no_archives(tmp_path: Path) -> None:
    with pytest.raises(IsADirectory):
        OciArchiveSink(tmp_path)
    with pytest.raises(IsADirectory):
        open_oci_archive(tmp_path)
    with pytest.raises(InvalidArgument, match="can be replaced"):
        OciArchiveSink(Path("/dev/null"))


def test_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text " * 200)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(Malformed):
        open_oci_archive(tmp_path / "text")
    with pytest.raises(ImageNotFound, match="no OCI image layout"):
        open_oci_archive(tmp_path / "empty")
    with pytest.raises(ImageNotFound, match="is not there"):
        open_oci_archive(tmp_path / "missing")


def test_archive_may_be_compressed(tmp_path: Path) -> None:
    image = an_image("a")
    (tmp_path / "x.tgz").write_bytes(gzip.compress(put(tmp_path / "x.tar", image)))
    with open_oci_archive(tmp_path / "x.tgz") as source:
        assert source.document(source.resolve()) == image.manifest.raw
