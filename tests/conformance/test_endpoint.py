"""What every place for images has to do. A new transport adds its pair to ``FACTORIES``, and nothing else."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Barrier

import pytest

from tests.support.endpoints import (
    MemoryImage,
    an_image,
    an_index,
    checked,
    content_of,
    copy,
    fill,
)
from tests.support.registry import Registry, serve_registry
from winlayers.assembly import open_store
from winlayers.config import Config
from winlayers.distribution.endpoint import RepositorySink, RepositorySource
from winlayers.distribution.registries import Registries
from winlayers.errors import (
    BlobNotFound,
    Corrupt,
    DigestMismatch,
    ImageNotFound,
    Unsupported,
)
from winlayers.oci import mediatypes
from winlayers.oci.archive import OciArchiveSink, open_oci_archive
from winlayers.oci.directory import DirectorySink, DirectorySource
from winlayers.oci.dockerarchive import DockerArchiveSink, open_docker_archive
from winlayers.oci.endpoint import ImageSink, ImageSource
from winlayers.oci.layout import LayoutSink, open_layout
from winlayers.oci.model import Descriptor, Index, Manifest, parse_config, parse_document
from winlayers.oci.reference import Reference
from winlayers.oci.savedarchive import SavedArchiveSink
from winlayers.store.store import Store

ROOT = Path(__file__).parents[2]
NAME = "example.com/windows/tiny:1"
OPEN = ExitStack()


@dataclass(frozen=True)
class Pair:
    """A transport: how a place in a folder is opened to be written and to be read.

    Attributes:
        sink: of a folder that is the test's own, and a name.
        source: likewise.
        keeps_documents: whether manifests come out byte for byte; else configs and diff IDs do.
        takes_indexes: whether an index may go in.
        has_names: whether images of several names may be in one place.
        takes_absent: whether a foreign layer may stay where its URL leads.
        takes_foreign: whether it takes the bytes of a foreign layer; a registry leaves them where they are.
        is_on_disk: whether what a killed process leaves lies in the folder.
    """

    sink: Callable[[Path, str], ImageSink]
    source: Callable[[Path, str], ImageSource]
    keeps_documents: bool = True
    takes_indexes: bool = True
    has_names: bool = True
    takes_absent: bool = True
    takes_foreign: bool = True
    is_on_disk: bool = True


@cache
def a_registry() -> Registry:
    """A registry on loopback, for all tests here."""
    return OPEN.enter_context(serve_registry())


@pytest.fixture(scope="module", autouse=True)
def _registry_is_ended() -> Iterator[None]:
    """End it: a process that forgets a registry that runs waits for its thread forever."""
    yield
    OPEN.close()
    a_registry.cache_clear()


def in_registry(folder: Path, name: str) -> Reference:
    """A name in the part of the registry that stands for the folder of a test."""
    place = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    parsed = Reference.parse(name)
    return replace(parsed, host=a_registry().host, repository=f"{place}/{parsed.repository}")


def a_store(folder: Path) -> Store:
    """The store in the folder of a test."""
    return open_store(Config(folder / "store", reexec=False))


FACTORIES: dict[str, Pair] = {
    "oci": Pair(
        lambda folder, name: LayoutSink(folder / "image", name),
        lambda folder, name: open_layout(folder / "image", name),
    ),
    "oci-archive": Pair(
        lambda folder, name: OciArchiveSink(folder / "image.tar", name),
        lambda folder, name: open_oci_archive(folder / "image.tar", name),
        has_names=False,
    ),
    "docker-archive": Pair(
        lambda folder, name: DockerArchiveSink(folder / "image.tar", name),
        lambda folder, name: open_docker_archive(folder / "image.tar", name),
        keeps_documents=False,
        takes_indexes=False,
        has_names=False,
        takes_absent=False,
    ),
    "docker-archive, saved": Pair(
        lambda folder, name: SavedArchiveSink(folder / "image.tar", name),
        lambda folder, name: open_docker_archive(folder / "image.tar", name),
        takes_indexes=False,
        takes_absent=False,
        has_names=False,
    ),
    "dir": Pair(
        lambda folder, name: DirectorySink(folder / "image"),
        lambda folder, name: DirectorySource(folder / "image"),
        has_names=False,
    ),
    "store": Pair(
        lambda folder, name: a_store(folder).open_sink(name),
        lambda folder, name: a_store(folder).open_source(name),
        # What a killed process leaves there is told in tests/faults/test_image_store.py.
        is_on_disk=False,
    ),
    "docker": Pair(
        lambda folder, name: RepositorySink(in_registry(folder, name), Registries()),
        lambda folder, name: RepositorySource(in_registry(folder, name), Registries()),
        takes_foreign=False,
        is_on_disk=False,
    ),
}


def factories(wanted: Callable[[Pair], bool] = lambda pair: True) -> pytest.MarkDecorator:
    """All transports, or those of a kind."""
    names = [name for name, pair in FACTORIES.items() if wanted(pair)]
    return pytest.mark.parametrize("pair", [FACTORIES[name] for name in names], ids=names)


def check_holds(source: ImageSource, image: MemoryImage, *, keeps_documents: bool) -> None:
    """Assert that a source has an image, whole."""
    top = source.resolve()
    document = parse_document(source.document(top), top.media_type)
    assert document.digest == top.digest
    if keeps_documents:
        assert (top.digest, top.size) == (image.top.digest, image.top.size)
        assert top.media_type == image.top.media_type
        check_documents(source, image, top)
        return
    assert isinstance(document, Manifest)
    config = parse_config(content_of(source, document.config))
    assert config.raw == image.blobs[image.manifest.config.digest]
    diff_ids = [checked_digest(source, layer) for layer in document.layers]
    assert diff_ids == [str(one) for one in config.diff_ids]


def check_documents(source: ImageSource, image: MemoryImage, descriptor: Descriptor) -> None:
    """Assert that a document and all below it are those of an image."""
    raw = source.document(descriptor)
    assert raw == image.documents[descriptor.digest]
    document = parse_document(raw, descriptor.media_type)
    if isinstance(document, Index):
        for one in document.manifests:
            check_documents(source, image, one)
    else:
        for blob in (document.config, *document.layers):
            assert content_of(source, blob) == image.blobs[blob.digest]


def checked_digest(source: ImageSource, layer: Descriptor) -> str:
    """The digest of a layer that is not compressed, which it has."""
    content = content_of(source, layer)
    assert checked(content, layer).read() == content
    assert mediatypes.compression_of(layer.media_type) == ""
    return str(layer.digest)


@factories()
@pytest.mark.parametrize("media_type", sorted(mediatypes.MANIFESTS))
@pytest.mark.parametrize("compression", ["gzip", ""])
def test_image_comes_out_as_it_went_in(
    pair: Pair, tmp_path: Path, media_type: str, compression: str
) -> None:
    image = an_image("base", "delta", media_type=media_type, compression=compression)
    with pair.sink(tmp_path, NAME) as sink:
        assert copy(image, sink).digest == image.top.digest
    with pair.source(tmp_path, NAME) as source:
        check_holds(source, image, keeps_documents=pair.keeps_documents)


@factories(lambda pair: pair.takes_indexes)
@pytest.mark.parametrize("media_type", sorted(mediatypes.INDEXES))
def test_index_comes_out_as_it_went_in(pair: Pair, tmp_path: Path, media_type: str) -> None:
    images = [
        an_image(text, platform=platform)
        for text, platform in [
            ("2019", "windows/amd64:10.0.17763.1"),
            ("2022", "windows/amd64:10.0.20348.1"),
            ("tux", "linux/amd64"),
        ]
    ]
    index = an_index(an_index(images[0], media_type=media_type), *images[1:], media_type=media_type)
    with pair.sink(tmp_path, NAME) as sink:
        copy(index, sink)
    with pair.source(tmp_path, NAME) as source:
        check_holds(source, index, keeps_documents=True)


@factories(lambda pair: not pair.takes_indexes)
def test_index_is_refused(pair: Pair, tmp_path: Path) -> None:
    with pair.sink(tmp_path, NAME) as sink, pytest.raises(Unsupported, match="--platform"):
        copy(an_index(an_image("a")), sink)


@factories()
def test_image_that_is_not_there_is_not_found(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound), pair.source(tmp_path, NAME) as source:
        source.resolve()


@factories()
def test_name_of_an_endpoint_says_its_transport(pair: Pair, tmp_path: Path) -> None:
    with pair.sink(tmp_path, NAME) as sink:
        copy(an_image("a"), sink)
        name = sink.name
    with pair.source(tmp_path, NAME) as source:
        assert source.name == name
    (transport,) = (key for key, one in FACTORIES.items() if one is pair)
    assert name.startswith(f"{transport.partition(',')[0]}:")


@factories()
def test_blob_is_read_from_an_offset(pair: Pair, tmp_path: Path) -> None:
    with pair.sink(tmp_path, NAME) as sink:
        copy(an_image("a"), sink)
    with pair.source(tmp_path, NAME) as source:
        top = source.resolve()
        manifest = parse_document(source.document(top), top.media_type)
        assert isinstance(manifest, Manifest)
        for blob in (manifest.config, *manifest.layers):
            whole = content_of(source, blob)
            assert content_of(source, blob, 100) == whole[100:]
            assert content_of(source, blob, blob.size) == b""


@factories()
def test_blob_that_is_not_there_is_not_found(pair: Pair, tmp_path: Path) -> None:
    with pair.sink(tmp_path, NAME) as sink:
        copy(an_image("a"), sink)
    other = an_image("b")
    with pair.source(tmp_path, NAME) as source:
        with pytest.raises(BlobNotFound):
            source.open_blob(other.manifest.layers[0])
        with pytest.raises(BlobNotFound):
            source.document(other.top)


@factories()
def test_sink_has_what_was_put(pair: Pair, tmp_path: Path) -> None:
    image = an_image("a")
    with pair.sink(tmp_path, NAME) as sink:
        blobs = (image.manifest.config, *image.manifest.layers)
        assert [sink.has_blob(blob) for blob in blobs] == [False, False]
        fill(sink, image)
        assert [sink.has_blob(blob) for blob in blobs] == [True, True]


@factories()
@pytest.mark.parametrize("at", [0, 1], ids=["config", "layer"])
def test_blob_of_another_digest_is_not_taken(pair: Pair, tmp_path: Path, at: int) -> None:
    image = an_image("a")
    blob = (image.manifest.config, *image.manifest.layers)[at]
    content = bytearray(image.blobs[blob.digest])
    content[-20] ^= 1
    with pair.sink(tmp_path, NAME) as sink:
        with pytest.raises((DigestMismatch, Corrupt)):
            sink.put_blob(blob, checked(bytes(content), blob))
        assert not sink.has_blob(blob)
        fill(sink, image)
        assert sink.has_blob(blob)


@factories()
@pytest.mark.parametrize("change", [-1, 1])
def test_blob_of_another_size_is_not_taken(pair: Pair, tmp_path: Path, change: int) -> None:
    image = an_image("a")
    for blob in (image.manifest.config, *image.manifest.layers):
        content = image.blobs[blob.digest]
        wrong = Descriptor(blob.media_type, blob.digest, blob.size + change)
        with pair.sink(tmp_path, NAME) as sink:
            with pytest.raises(Corrupt):
                sink.put_blob(wrong, io.BytesIO(content))
            assert not sink.has_blob(blob)


@factories()
def test_blobs_may_be_put_by_several_threads(pair: Pair, tmp_path: Path) -> None:
    image = an_image(*"abcdefgh")
    manifest = image.manifest
    blobs = [manifest.config, *manifest.layers, *manifest.layers]
    start = Barrier(len(blobs))
    with pair.sink(tmp_path, NAME) as sink:

        def put(blob: Descriptor) -> None:
            start.wait()
            sink.put_blob(blob, checked(image.blobs[blob.digest], blob))

        with ThreadPoolExecutor(len(blobs)) as pool:
            assert list(pool.map(put, blobs)) == [None] * len(blobs)
        copy(image, sink)
    with pair.source(tmp_path, NAME) as source:
        check_holds(source, image, keeps_documents=pair.keeps_documents)


@factories()
def test_blobs_may_be_read_by_several_threads(pair: Pair, tmp_path: Path) -> None:
    image = an_image(*"abcdefgh")
    with pair.sink(tmp_path, NAME) as sink:
        copy(image, sink)
    with pair.source(tmp_path, NAME) as source:
        top = source.resolve()
        manifest = parse_document(source.document(top), top.media_type)
        assert isinstance(manifest, Manifest)
        with ThreadPoolExecutor(8) as pool:
            contents = list(pool.map(lambda layer: content_of(source, layer), manifest.layers))
    assert [
        checked(content, layer).read()
        for content, layer in zip(contents, manifest.layers, strict=True)
    ] == contents


@factories()
def test_image_without_commit_is_not_seen(pair: Pair, tmp_path: Path) -> None:
    old, new = an_image("old"), an_image("new")
    with pair.sink(tmp_path, NAME) as sink:
        copy(old, sink)
    with pair.sink(tmp_path, NAME) as sink:
        fill(sink, new)
        with pair.source(tmp_path, NAME) as source:
            check_holds(source, old, keeps_documents=pair.keeps_documents)
    with pair.source(tmp_path, NAME) as source:
        check_holds(source, old, keeps_documents=pair.keeps_documents)


@factories()
def test_name_leads_to_the_image_that_had_it_last(pair: Pair, tmp_path: Path) -> None:
    new = an_image("new")
    for image in (an_image("old"), new):
        with pair.sink(tmp_path, NAME) as sink:
            copy(image, sink)
    with pair.source(tmp_path, NAME) as source:
        check_holds(source, new, keeps_documents=pair.keeps_documents)


@factories()
def test_document_that_was_not_put_is_not_committed(pair: Pair, tmp_path: Path) -> None:
    with pair.sink(tmp_path, NAME) as sink, pytest.raises(BlobNotFound):
        sink.commit(an_image("a").top)


@factories(lambda pair: pair.has_names)
def test_images_of_several_names_are_in_one_place(pair: Pair, tmp_path: Path) -> None:
    images = {f"example.com/a:{text}": an_image("base", text) for text in "xyz"}
    for name, image in images.items():
        with pair.sink(tmp_path, name) as sink:
            copy(image, sink)
    for name, image in images.items():
        with pair.source(tmp_path, name) as source:
            check_holds(source, image, keeps_documents=pair.keeps_documents)


@factories(lambda pair: not pair.takes_foreign)
def test_foreign_layer_is_not_passed_on(pair: Pair, tmp_path: Path) -> None:
    image = an_image("base", "delta", foreign={0: "https://example.invalid/base"})
    base, delta = image.manifest.layers
    with pair.sink(tmp_path, NAME) as sink:
        assert sink.has_blob(base)  # so nobody puts it
        assert not sink.has_blob(delta)


@factories(lambda pair: pair.takes_foreign)
def test_foreign_layer_is_kept_where_its_bytes_are_put(pair: Pair, tmp_path: Path) -> None:
    image = an_image("base", "delta", foreign={0: "https://example.com/base"})
    with pair.sink(tmp_path, NAME) as sink:
        copy(image, sink)
    with pair.source(tmp_path, NAME) as source:
        check_holds(source, image, keeps_documents=pair.keeps_documents)


@factories(lambda pair: pair.takes_absent)
def test_foreign_layer_may_stay_where_it_is(pair: Pair, tmp_path: Path) -> None:
    image = an_image("base", "delta", foreign={0: "https://example.invalid/base"})
    base, delta = image.manifest.layers
    with pair.sink(tmp_path, NAME) as sink:
        sink.commit(fill(sink, image, without=[base.digest]))
    with pair.source(tmp_path, NAME) as source:
        top = source.resolve()
        assert source.document(top) == image.manifest.raw
        assert content_of(source, delta) == image.blobs[delta.digest]
        with pytest.raises(BlobNotFound):
            source.open_blob(base)


@factories(lambda pair: not pair.takes_absent)
def test_foreign_layer_without_its_bytes_is_refused(pair: Pair, tmp_path: Path) -> None:
    image = an_image("base", foreign={0: "https://example.invalid/base"})
    with pair.sink(tmp_path, NAME) as sink:
        top = fill(sink, image, without=[image.manifest.layers[0].digest])
        with pytest.raises(Unsupported, match="foreign layer"):
            sink.commit(top)


@factories(lambda pair: pair.is_on_disk)
def test_killed_process_leaves_the_old_image_and_its_rest_is_removed(
    pair: Pair, tmp_path: Path
) -> None:
    old, new = an_image("old"), an_image("new")
    with pair.sink(tmp_path, NAME) as sink:
        copy(old, sink)
    (transport,) = (key for key, one in FACTORIES.items() if one is pair)
    script = f"from {__name__} import die; die({transport!r}, {str(tmp_path)!r})"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=60)
    assert ended.returncode == 9
    assert any(".tmp" in path.name for path in tmp_path.rglob("*"))
    with pair.source(tmp_path, NAME) as source:
        check_holds(source, old, keeps_documents=pair.keeps_documents)
    with pair.sink(tmp_path, NAME) as sink:
        copy(new, sink)
    with pair.source(tmp_path, NAME) as source:
        check_holds(source, new, keeps_documents=pair.keeps_documents)
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


def die(transport: str, folder: str) -> None:
    """End, as if killed, while a layer is being put; run in a process of its own."""
    image = an_image("new")
    layer = image.manifest.layers[0]

    class Source(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(64) or os._exit(9)

    sink = FACTORIES[transport].sink(Path(folder), NAME)
    sink.put_blob(image.manifest.config, io.BytesIO(image.blobs[image.manifest.config.digest]))
    sink.put_blob(layer, Source(image.blobs[layer.digest][:128]))
