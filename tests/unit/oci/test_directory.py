"""Folders as skopeo's ``dir:`` writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.endpoints import MemoryImage, an_image, an_index, copy, fill
from winlayers.errors import (
    AlreadyExists,
    BlobNotFound,
    ImageNotFound,
    InvalidName,
    Malformed,
    StoreLocked,
    TooLarge,
)
from winlayers.oci.directory import DirectorySink, DirectorySource
from winlayers.oci.model import MAX_DOCUMENT_SIZE


def put(path: Path, image: MemoryImage) -> None:
    with DirectorySink(path) as sink:
        copy(image, sink)


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


def test_folder_has_the_files_that_skopeo_knows(tmp_path: Path) -> None:
    image = an_image("a")
    put(tmp_path, image)
    assert names(tmp_path) == sorted([*(d.hex for d in image.blobs), "manifest.json", "version"])
    assert (tmp_path / "version").read_bytes() == b"Directory Transport Version: 1.1\n"
    assert (tmp_path / "manifest.json").read_bytes() == image.documents[image.top.digest]


def test_manifests_of_an_index_are_beside_it(tmp_path: Path) -> None:
    images = [an_image("a"), an_image("b")]
    index = an_index(*images)
    put(tmp_path, index)
    found = [name for name in names(tmp_path) if name.endswith(".manifest.json")]
    assert found == sorted(f"{image.top.digest.hex}.manifest.json" for image in images)
    assert (tmp_path / "manifest.json").read_bytes() == index.documents[index.top.digest]


def test_files_of_the_old_image_go_when_the_new_one_is_there(tmp_path: Path) -> None:
    put(tmp_path, an_index(an_image("base", "old"), an_image("older")))
    (tmp_path / "signature-1").write_bytes(b"signed")
    new = an_image("base", "new")
    with DirectorySink(tmp_path) as sink:
        assert sink.has_blob(new.manifest.layers[0])
        copy(new, sink)
    assert names(tmp_path) == sorted(
        [*(d.hex for d in new.blobs), "manifest.json", "signature-1", "version"]
    )


def test_image_that_is_put_again_is_whole(tmp_path: Path) -> None:
    index = an_index(an_image("a"), an_image("b"))
    put(tmp_path, index)
    before = names(tmp_path)
    put(tmp_path, index)
    assert names(tmp_path) == before


def test_one_at_a_time_may_write(tmp_path: Path) -> None:
    with DirectorySink(tmp_path), pytest.raises(StoreLocked):
        DirectorySink(tmp_path)
    put(tmp_path, an_image("a"))
    assert [name for name in names(tmp_path) if name.startswith(".")] == []


def test_folder_with_other_things_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(AlreadyExists, match=r"thesis\.txt"):
        DirectorySink(tmp_path)
    assert names(tmp_path) == ["thesis.txt"]


def test_document_of_another_digest_is_not_given(tmp_path: Path) -> None:
    put(tmp_path, an_image("a"))
    with DirectorySource(tmp_path) as source, pytest.raises(BlobNotFound):
        source.document(an_image("b").top)
    (tmp_path / "manifest.json").unlink()
    with DirectorySource(tmp_path) as source:
        with pytest.raises(BlobNotFound):
            source.document(an_image("a").top)
        with pytest.raises(ImageNotFound, match="no manifest"):
            source.resolve()


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"{}", Malformed), (b"{}" + b" " * MAX_DOCUMENT_SIZE, TooLarge)],
)
def test_bad_manifest_is_refused(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    put(tmp_path, an_image("a"))
    (tmp_path / "manifest.json").write_bytes(content)
    with DirectorySource(tmp_path) as source, pytest.raises(error):
        source.resolve()


def test_links_lead_nowhere(tmp_path: Path) -> None:
    image = an_image("a")
    path = tmp_path / "x"
    put(path, image)
    layer = image.manifest.layers[0]
    os.rename(path / layer.digest.hex, tmp_path / "outside")
    (path / layer.digest.hex).symlink_to("../outside")
    with DirectorySource(path) as source, pytest.raises(InvalidName):
        source.open_blob(layer)
    with DirectorySink(path) as sink, pytest.raises(InvalidName):
        sink.has_blob(layer)
    assert (tmp_path / "outside").read_bytes() == image.blobs[layer.digest]


def test_failure_before_the_manifest_leaves_the_old_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = an_image("old")
    put(tmp_path, old)
    with DirectorySink(tmp_path) as sink:
        top = fill(sink, an_image("new"))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("winlayers.base.rooted.Root.rename", full)
        with pytest.raises(OSError, match="No space"):
            sink.commit(top)
    with DirectorySource(tmp_path) as source:
        assert source.resolve().digest == old.top.digest
        source.open_blob(old.manifest.layers[0]).close()


def test_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(ImageNotFound):
        DirectorySource(tmp_path / "x")
