"""Layouts: which entry a name means, and what a sink leaves of the ones that are there."""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.endpoints import MemoryImage, an_image, an_index, content_of, copy, fill
from winlayers.base.digest import digest_of
from winlayers.base.locking import FileLock
from winlayers.errors import (
    AlreadyExists,
    BlobNotFound,
    ImageNotFound,
    InvalidName,
    Malformed,
    TooLarge,
    Unsupported,
)
from winlayers.oci import mediatypes
from winlayers.oci.layout import (
    IMAGE_NAME,
    REF_NAME,
    LayoutSink,
    add_entry,
    find_entry,
    open_layout,
)
from winlayers.oci.model import MAX_DOCUMENT_SIZE, Descriptor, Index, parse_document


def put(path: Path, image: MemoryImage, tag: str = "") -> None:
    with LayoutSink(path, tag) as sink:
        copy(image, sink)


def index_of(path: Path) -> Any:
    return json.loads((path / "index.json").read_bytes())


def an_entry(image: MemoryImage, **annotations: str) -> Descriptor:
    return Descriptor(image.top.media_type, image.top.digest, image.top.size, (), annotations)


def entries(*given: Descriptor) -> Index:
    index: Index | None = None
    for one in given:
        index = add_entry(index, one, "")
        index = with_annotations(index, one)
    assert index is not None
    return index


def with_annotations(index: Index, entry: Descriptor) -> Index:
    """The index with the annotations of an entry as they are, which ``add_entry`` takes away."""
    document = json.loads(index.raw)
    for one in document["manifests"]:
        if one["digest"] == str(entry.digest):
            one["annotations"] = dict(entry.annotations)
    parsed = parse_document(json.dumps(document).encode(), mediatypes.OCI_INDEX)
    assert isinstance(parsed, Index)
    return parsed


def test_layout_has_the_files_of_the_specification(tmp_path: Path) -> None:
    image = an_image("a")
    put(tmp_path / "x", image, "tiny")
    files = sorted(str(p.relative_to(tmp_path / "x")) for p in tmp_path.rglob("*") if p.is_file())
    blobs = {*image.blobs, *image.documents}
    assert files == sorted([*(f"blobs/sha256/{d.hex}" for d in blobs), "index.json", "oci-layout"])
    assert (tmp_path / "x" / "oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'
    (entry,) = index_of(tmp_path / "x")["manifests"]
    assert entry["annotations"] == {REF_NAME: "tiny"}
    assert entry["platform"]["os.version"] == "10.0.20348.1"


def test_whole_name_has_both_annotations(tmp_path: Path) -> None:
    put(tmp_path, an_image("a"), "windows/tiny")
    (entry,) = index_of(tmp_path)["manifests"]
    assert entry["annotations"] == {
        IMAGE_NAME: "docker.io/windows/tiny:latest",
        REF_NAME: "windows/tiny",
    }


@pytest.mark.parametrize("tag", ["windows/tiny", "docker.io/windows/tiny:latest"])
def test_image_is_found_by_the_name_that_containerd_gives(tag: str) -> None:
    image, other = an_image("a"), an_image("b")
    index = entries(
        an_entry(image, **{IMAGE_NAME: "docker.io/windows/tiny:latest", REF_NAME: "latest"}),
        an_entry(other, **{IMAGE_NAME: "docker.io/windows/other:2", REF_NAME: "2"}),
    )
    assert find_entry(index, tag, "it").digest == image.top.digest
    assert find_entry(index, "2", "it").digest == other.top.digest
    assert find_entry(index, f"@{other.top.digest}", "it").digest == other.top.digest


def test_image_without_a_tag_has_to_be_the_only_one() -> None:
    a, b = an_image("a"), an_image("b")
    assert find_entry(entries(an_entry(a)), "", "it").digest == a.top.digest
    index = entries(an_entry(a, **{REF_NAME: "one"}), an_entry(b))
    with pytest.raises(ImageNotFound, match=f"there are: @{b.top.digest}, one"):
        find_entry(index, "", "it")
    with pytest.raises(ImageNotFound, match="no such image; there are"):
        find_entry(index, "two", "it")


def test_two_images_of_one_name_are_malformed() -> None:
    index = entries(
        an_entry(an_image("a"), **{REF_NAME: "x"}), an_entry(an_image("b"), **{REF_NAME: "x"})
    )
    with pytest.raises(Malformed, match="2 different images"):
        find_entry(index, "x", "it")


def test_tag_that_is_given_anew_leaves_its_old_entry_out(tmp_path: Path) -> None:
    for text, tag in [("a", "x"), ("b", "y"), ("c", "x")]:
        put(tmp_path, an_image(text), tag)
    assert [one["annotations"][REF_NAME] for one in index_of(tmp_path)["manifests"]] == ["y", "x"]


def test_image_without_a_name_is_there_once(tmp_path: Path) -> None:
    for text in ("a", "a", "b"):
        put(tmp_path, an_image(text))
    assert len(index_of(tmp_path)["manifests"]) == 2


def test_unknown_fields_of_the_index_stay(tmp_path: Path) -> None:
    put(tmp_path, an_image("a"), "x")
    document = {"custom": [1, 2], **index_of(tmp_path)}
    document["manifests"][0]["artifactType"] = "custom"
    (tmp_path / "index.json").write_text(json.dumps(document))
    put(tmp_path, an_image("b"), "y")
    assert index_of(tmp_path)["custom"] == [1, 2]
    assert index_of(tmp_path)["manifests"][0]["artifactType"] == "custom"


def test_blob_of_an_old_image_is_not_put_again(tmp_path: Path) -> None:
    put(tmp_path, an_image("base", "a"), "x")
    with LayoutSink(tmp_path, "y") as sink:
        base, delta = an_image("base", "b").manifest.layers
        assert sink.has_blob(base)
        assert not sink.has_blob(delta)


def test_blob_of_another_size_counts_as_missing(tmp_path: Path) -> None:
    image = an_image("a")
    put(tmp_path, image, "x")
    layer = image.manifest.layers[0]
    (tmp_path / "blobs" / "sha256" / layer.digest.hex).write_bytes(b"cut")
    with LayoutSink(tmp_path, "x") as sink:
        assert not sink.has_blob(layer)
        copy(image, sink)
    with open_layout(tmp_path, "x") as source:
        assert source.has_blob(layer)
        assert content_of(source, layer) == image.blobs[layer.digest]


def test_many_tags_may_be_written_at_once(tmp_path: Path) -> None:
    image = an_image("a")
    tags = [f"t{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda tag: put(tmp_path, image, tag), tags))
    names = sorted(one["annotations"][REF_NAME] for one in index_of(tmp_path)["manifests"])
    assert names == sorted(tags)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_rest_of_others_stays_while_they_may_be_at_work(tmp_path: Path) -> None:
    with LayoutSink(tmp_path, "x"):
        (tmp_path / ".winlayers-00.tmp").write_bytes(b"being written")
        with LayoutSink(tmp_path, "y"):
            assert (tmp_path / ".winlayers-00.tmp").exists()
    with LayoutSink(tmp_path, "z"):
        assert not (tmp_path / ".winlayers-00.tmp").exists()


def test_index_is_changed_under_a_lock(tmp_path: Path) -> None:
    image = an_image("a")
    with LayoutSink(tmp_path, "x") as sink, ThreadPoolExecutor(1) as pool:
        top = fill(sink, image)
        with FileLock(tmp_path / ".winlayers-index.lock"):
            committing = pool.submit(sink.commit, top)
            with pytest.raises(TimeoutError):
                committing.result(timeout=0.1)
            assert not (tmp_path / "index.json").exists()
        assert committing.result(timeout=10) is None
    assert (tmp_path / "index.json").exists()


@pytest.mark.parametrize(
    "step",
    [
        "winlayers.base.atomic.sync_directory",
        "winlayers.base.atomic.sync_file",
        "winlayers.base.rooted.Root.create_file",
        "winlayers.base.rooted.Root.rename",
    ],
)
def test_failure_in_commit_leaves_the_old_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    old = an_image("old")
    put(tmp_path, old, "x")
    with LayoutSink(tmp_path, "x") as sink:
        top = fill(sink, an_image("new"))
        with monkeypatch.context() as patch:
            patch.setattr(step, full)
            with pytest.raises(OSError, match="No space"):
                sink.commit(top)
    with open_layout(tmp_path, "x") as source:
        assert source.resolve().digest == old.top.digest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_folders_of_all_blobs_are_on_the_disk_before_the_index_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def note(path: Path) -> None:
        events.append(str(path.relative_to(tmp_path)))

    image = an_image("a")
    raw = b"of another algorithm"
    with LayoutSink(tmp_path) as sink:
        top = fill(sink, image)
        digest = digest_of(io.BytesIO(raw), "sha512")
        sink.put_blob(Descriptor(mediatypes.OCI_LAYER, digest, len(raw)), io.BytesIO(raw))
        monkeypatch.setattr("winlayers.base.atomic.sync_directory", note)
        sink.commit(top)
    assert events == ["blobs/sha256", "blobs/sha512", "blobs", "."]


def test_folder_of_a_blob_that_was_there_is_brought_to_the_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = an_image("a")
    with LayoutSink(tmp_path, sync=False) as sink:
        fill(sink, image)
    synced: list[Path] = []
    monkeypatch.setattr("winlayers.base.atomic.sync_directory", synced.append)
    with LayoutSink(tmp_path) as sink:
        assert sink.has_blob(image.top)
        sink.commit(image.top)
    assert tmp_path / "blobs" / "sha256" in synced


def test_folder_with_other_things_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(AlreadyExists, match=r"thesis\.txt"):
        LayoutSink(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_file_is_no_layout(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(ImageNotFound, match="no folder"):
        open_layout(tmp_path / "x")
    with pytest.raises(ImageNotFound, match="no OCI image layout"):
        open_layout(tmp_path)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"imageLayoutVersion":"2.0.0"}', Unsupported),
        ('{"imageLayoutVersion":""}', Malformed),
        ("[]", Malformed),
        ("{}" + " " * 5000, TooLarge),
    ],
)
def test_layout_of_another_version_is_refused(
    tmp_path: Path, content: str, error: type[Exception]
) -> None:
    (tmp_path / "oci-layout").write_text(content)
    with pytest.raises(error):
        open_layout(tmp_path)
    with pytest.raises(error):
        LayoutSink(tmp_path)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"{}", ImageNotFound),
        (b"\xff", Malformed),
        (b'{"schemaVersion":2,"config":{},"layers":[]}', Malformed),
        (b'{"schemaVersion":2,"manifests":[{}]}', Malformed),
        (b'{"schemaVersion":2,"manifests":[]}' + b" " * MAX_DOCUMENT_SIZE, TooLarge),
        (b'{"schemaVersion":2,"manifests":[]}', ImageNotFound),
    ],
)
def test_bad_index_is_refused(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    put(tmp_path, an_image("a"), "x")
    (tmp_path / "index.json").write_bytes(content)
    with open_layout(tmp_path, "x") as source, pytest.raises(error):
        source.resolve()


def test_links_lead_nowhere(tmp_path: Path) -> None:
    image = an_image("a")
    path = tmp_path / "x"
    put(path, image, "x")
    blob = path / "blobs" / "sha256" / image.manifest.layers[0].digest.hex
    blob.rename(tmp_path / "outside")
    blob.symlink_to(tmp_path / "outside")
    with open_layout(path, "x") as source, pytest.raises(InvalidName, match="not a regular file"):
        source.open_blob(image.manifest.layers[0])
    elsewhere = tmp_path / "elsewhere"
    os.rename(path / "blobs", elsewhere)
    (path / "blobs").symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    with LayoutSink(path, "x") as sink, pytest.raises(InvalidName):
        copy(an_image("b"), sink)
    assert sorted(elsewhere.rglob("*")) == before


def test_document_larger_than_documents_are_is_refused(tmp_path: Path) -> None:
    image = an_image("a")
    put(tmp_path, image, "x")
    blob = tmp_path / "blobs" / "sha256" / image.top.digest.hex
    with open(blob, "r+b") as file:
        file.truncate(MAX_DOCUMENT_SIZE + 1)
    with open_layout(tmp_path, "x") as source, pytest.raises(TooLarge):
        source.document(source.resolve())


def test_nested_index_is_an_entry(tmp_path: Path) -> None:
    index = an_index(an_index(an_image("a")), an_image("b"))
    put(tmp_path, index, "x")
    with open_layout(tmp_path, "x") as source:
        assert source.resolve().media_type == mediatypes.OCI_INDEX
        assert len(source.index().manifests) == 1


def test_missing_blob_is_named(tmp_path: Path) -> None:
    put(tmp_path, an_image("a"), "x")
    other = an_image("b").top
    with open_layout(tmp_path, "x") as source, pytest.raises(BlobNotFound, match=str(other.digest)):
        source.document(other)
