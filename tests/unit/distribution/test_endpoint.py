"""Mirrors, foreign layers and names, where a registry is a place for images.

That it is one at all is tested with the other places in ``tests/conformance/test_endpoint.py``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.memoryimages import MemoryImages, make_image
from tests.support.registry import Registry, cut, describe_blob, digest_text, hang_up, status
from winlayers.base.digest import Digest
from winlayers.distribution.credentials import Credentials
from winlayers.distribution.endpoint import RepositorySink, RepositorySource
from winlayers.distribution.registries import HostSettings, Registries
from winlayers.distribution.retry import Patience
from winlayers.errors import (
    BlobNotFound,
    Corrupt,
    DigestMismatch,
    ImageNotFound,
    InvalidArgument,
    InvalidReference,
    LoginRefused,
    Malformed,
    Unsupported,
    WinlayersError,
)
from winlayers.oci import mediatypes
from winlayers.oci.model import Descriptor
from winlayers.oci.reference import Reference
from winlayers.transfer.copying import copy_image

BLOB = bytes(range(256)) * 1024
INDEX = json.dumps(
    {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": []}
).encode()
Open = Callable[..., RepositorySource]


@pytest.fixture
def open_source(registry: Registry, registries: Registries, patience: Patience) -> Open:
    """Opens ``a/b:t`` of the registry, with mirrors."""

    def open_(*mirrors: str, tail: str = ":t") -> RepositorySource:
        known = registries.with_host(registry.host, HostSettings(plain_http=True, mirrors=mirrors))
        return RepositorySource(
            Reference.parse(f"{registry.host}/a/b{tail}"), known, patience=patience
        )

    return open_


def content(source: RepositorySource, blob: Descriptor, offset: int = 0) -> bytes:
    with source.open_blob(blob, offset) as file:
        return b"".join(iter(lambda: file.read(1 << 16), b""))


# Documents


@pytest.mark.parametrize("served_as", [mediatypes.OCI_INDEX, "application/json", "text/plain; x=y"])
def test_name_leads_to_a_document(registry: Registry, open_source: Open, served_as: str) -> None:
    digest = registry.repository("a/b").add_manifest(INDEX, served_as, "t")
    with open_source() as source:
        top = source.resolve()
        assert (top.digest, top.media_type, top.size) == (digest, mediatypes.OCI_INDEX, len(INDEX))
        assert source.document(top) == INDEX
    assert len(registry.seen("GET", "/manifests/")) == 1


def test_digest_of_a_name_counts_more_than_its_tag(registry: Registry, open_source: Open) -> None:
    digest = registry.repository("a/b").add_manifest(INDEX, mediatypes.OCI_INDEX)
    with open_source(tail=f":gone@{digest}") as source:
        assert source.resolve().digest == digest


def test_name_without_a_tag_is_the_latest(registry: Registry, open_source: Open) -> None:
    registry.repository("a/b").add_manifest(INDEX, mediatypes.OCI_INDEX, "latest")
    with open_source(tail="") as source:
        assert source.name == f"docker://{registry.host}/a/b:latest"
        assert source.resolve().size == len(INDEX)


@pytest.mark.parametrize(
    ("raw", "served_as", "kind"),
    [
        (b"{}", mediatypes.OCI_MANIFEST, Malformed),
        (b"<html>", "text/html", Malformed),
        (INDEX, mediatypes.OCI_MANIFEST, Malformed),
        (b'{"schemaVersion":1,"fsLayers":[]}', "application/json", Unsupported),
    ],
)
def test_what_is_no_image_is_refused(
    registry: Registry, open_source: Open, raw: bytes, served_as: str, kind: type[WinlayersError]
) -> None:
    registry.repository("a/b").add_manifest(raw, served_as, "t")
    with open_source() as source, pytest.raises(kind):
        source.resolve()


def test_index_that_names_itself_ends_with_a_wrong_digest(
    registry: Registry, open_source: Open
) -> None:
    named = digest_text(b"any")
    entry = {"mediaType": mediatypes.OCI_INDEX, "digest": named, "size": 1}
    raw = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    repository = registry.repository("a/b")
    repository.add_manifest(raw, mediatypes.OCI_INDEX, "t")
    repository.manifests[named] = (mediatypes.OCI_INDEX, raw)
    with open_source() as source:
        source.resolve()
        with pytest.raises(DigestMismatch):
            source.document(Descriptor(mediatypes.OCI_INDEX, Digest.parse(named), len(raw)))


def test_document_of_another_size_than_said_is_corrupt(
    registry: Registry, open_source: Open
) -> None:
    registry.repository("a/b").add_manifest(INDEX, mediatypes.OCI_INDEX, "t")
    with open_source() as source:
        top = source.resolve()
        with pytest.raises(Corrupt, match="as the index says"):
            source.document(replace(top, size=top.size + 1))


# Mirrors


def test_mirror_is_asked_first(
    registry: Registry, open_registry: Callable[[], Registry], open_source: Open
) -> None:
    mirror = open_registry()
    mirror.repository("cache/a/b").add_manifest(INDEX, mediatypes.OCI_INDEX, "t")
    blob = mirror.repository("cache/a/b").add_blob(BLOB)
    with open_source(f"{mirror.host}/cache") as source:
        assert source.document(source.resolve()) == INDEX
        assert content(source, blob) == BLOB
    assert registry.requests == []


@pytest.mark.parametrize(
    "fault",
    [status(404), status(401), status(403), status(500), status(503), hang_up(), cut(3)],
)
def test_mirror_that_fails_is_passed_over(
    registry: Registry,
    open_registry: Callable[[], Registry],
    open_source: Open,
    fault: Callable[..., bool],
) -> None:
    mirror = open_registry()
    for method, part in (("GET", "/manifests/"), ("GET", "/blobs/")):
        mirror.on(method, part, fault, times=99)
    mirror.repository("a/b").add_manifest(INDEX, mediatypes.OCI_INDEX, "t")
    registry.repository("a/b").add_manifest(INDEX, mediatypes.OCI_INDEX, "t")
    blob = registry.repository("a/b").add_blob(BLOB)
    with open_source("127.0.0.1:1", mirror.host) as source:
        assert source.document(source.resolve()) == INDEX
        assert content(source, blob) == BLOB
    assert mirror.requests


@pytest.mark.parametrize("damage", ["other bytes", "cut and other bytes"])
def test_mirror_whose_blob_is_damaged_is_passed_over(
    registry: Registry, open_registry: Callable[[], Registry], open_source: Open, damage: str
) -> None:
    mirror, second = open_registry(), open_registry()
    image = make_image([b"layer" * 1000, b"upper"])
    layer = image.manifest.layers[0]
    for one in (registry, mirror, second):
        repository = one.repository("a/b")
        repository.add_manifest(image.manifest.raw, image.manifest.media_type, "t")
        for raw in image.blobs.values():
            repository.add_blob(raw)
    for one in (mirror, second):
        one.repository("a/b").blobs[str(layer.digest)] = bytes(layer.size)
    if damage != "other bytes":
        mirror.on("GET", str(layer.digest), cut(100))
    source = open_source(mirror.host, second.host)
    sink = MemoryImages()
    copy_image(source, sink)
    assert sink.blobs == image.blobs
    assert registry.seen("GET", "/blobs/") != []
    assert [
        one for one in registry.seen("GET", "/blobs/") if str(layer.digest) not in one.path
    ] == []


def test_registry_whose_blob_is_damaged_is_told_of(registry: Registry, open_source: Open) -> None:
    image = make_image([b"layer"])
    layer = image.manifest.layers[0]
    repository = registry.repository("a/b")
    repository.add_manifest(image.manifest.raw, image.manifest.media_type, "t")
    for raw in image.blobs.values():
        repository.add_blob(raw)
    repository.blobs[str(layer.digest)] = bytes(layer.size)
    with pytest.raises(DigestMismatch):
        copy_image(open_source(), MemoryImages())
    assert len(registry.seen("GET", str(layer.digest))) == 1


def test_mirror_with_a_manifest_of_an_old_schema_is_passed_over(
    registry: Registry, open_registry: Callable[[], Registry], open_source: Open
) -> None:
    mirror = open_registry()
    old = b'{"schemaVersion":1,"name":"a/b","tag":"1","fsLayers":[],"history":[]}'
    media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    mirror.repository("a/b").add_manifest(old, media_type, "t")
    image = make_image([b"layer"])
    registry.repository("a/b").add_manifest(image.manifest.raw, image.manifest.media_type, "t")
    assert open_source(mirror.host).resolve().digest == image.manifest.digest


def test_mirror_with_another_document_is_passed_over(
    registry: Registry, open_registry: Callable[[], Registry], open_source: Open
) -> None:
    mirror = open_registry()
    digest = registry.repository("a/b").add_manifest(INDEX, mediatypes.OCI_INDEX)
    mirror.repository("a/b").manifests[str(digest)] = (mediatypes.OCI_INDEX, INDEX + b" ")
    with open_source(mirror.host, tail=f"@{digest}") as source:
        assert source.document(source.resolve()) == INDEX


def test_error_of_the_registry_counts_and_tells_of_its_mirrors(
    open_registry: Callable[[], Registry], open_source: Open
) -> None:
    mirror = open_registry()
    with open_source(mirror.host) as source, pytest.raises(ImageNotFound) as caught:
        source.resolve()
    (note,) = caught.value.__notes__
    assert note.startswith(f"from the mirror {mirror.host}: ")


@pytest.mark.parametrize("mirror", ["", "UPPER/Case", "h/../x", "http://h", "h/a:t"])
def test_mirror_that_is_none_is_refused(open_source: Open, mirror: str) -> None:
    with pytest.raises(InvalidReference):
        open_source(mirror)


def test_login_of_a_registry_does_not_go_to_its_mirror(
    registry: Registry,
    open_registry: Callable[[], Registry],
    registries: Registries,
    patience: Patience,
) -> None:
    mirror = open_registry()
    mirror.auth = "basic"
    settings = HostSettings(True, mirrors=(mirror.host,), credentials=Credentials("me", "s3cret"))
    known = registries.with_host(registry.host, settings)
    registry.repository("a/b").add_manifest(INDEX, mediatypes.OCI_INDEX, "t")
    reference = Reference.parse(f"{registry.host}/a/b:t")
    with RepositorySource(reference, known, patience=patience) as source:
        assert source.resolve().size == len(INDEX)
    assert {one.authorization for one in mirror.requests} == {""}


# Foreign layers


def foreign(raw: bytes, *urls: str) -> Descriptor:
    return describe_blob(raw, mediatypes.DOCKER_FOREIGN_LAYER, urls=urls)


def test_foreign_layer_comes_from_the_registry_if_it_has_it(
    registry: Registry, open_registry: Callable[[], Registry], open_source: Open
) -> None:
    other = open_registry()
    registry.repository("a/b").add_blob(BLOB)
    with open_source() as source:
        assert content(source, foreign(BLOB, f"{other.url}/x")) == BLOB
    assert other.requests == []


def test_foreign_layer_comes_from_the_first_url_that_has_it(
    open_registry: Callable[[], Registry], open_source: Open
) -> None:
    other = open_registry()
    other.files["/layer"] = BLOB
    urls = ("ftp://127.0.0.1/x", f"{other.url}/gone", f"{other.url}/layer", f"{other.url}/never")
    with open_source() as source:
        assert content(source, foreign(BLOB, *urls), 9) == BLOB[9:]
    assert [one.path for one in other.requests] == ["/gone", "/layer"]
    assert {one.authorization for one in other.requests} == {""}


def test_foreign_layer_that_nobody_has_is_not_found(registry: Registry, open_source: Open) -> None:
    with open_source() as source, pytest.raises(BlobNotFound) as caught:
        source.open_blob(foreign(BLOB, f"{registry.url}/gone?key=s3cret", "http://127.0.0.1:1/"))
    assert len(caught.value.__notes__) == 2
    assert "s3cret" not in "".join(caught.value.__notes__)


def test_foreign_layer_of_another_size_is_not_taken(registry: Registry, open_source: Open) -> None:
    registry.files["/layer"] = BLOB + b"x"
    with open_source() as source, pytest.raises(BlobNotFound) as caught:
        source.open_blob(foreign(BLOB, f"{registry.url}/layer"))
    assert f"not {len(BLOB)}" in caught.value.__notes__[0]


# Sinks


@pytest.fixture
def open_sink(
    registry: Registry, registries: Registries, patience: Patience
) -> Callable[..., RepositorySink]:
    """Opens ``a/b:t`` of the registry to push to."""

    def open_(*mount_from: str, tail: str = ":t") -> RepositorySink:
        reference = Reference.parse(f"{registry.host}/a/b{tail}")
        return RepositorySink(reference, registries, mount_from=mount_from, patience=patience)

    return open_


def test_blob_that_is_there_is_not_sent(
    registry: Registry, open_sink: Callable[..., RepositorySink]
) -> None:
    blob = registry.repository("a/b").add_blob(BLOB)
    with open_sink() as sink:
        assert sink.has_blob(blob)
    assert registry.seen("POST") == []


def test_blob_of_another_repository_is_taken_over(
    registry: Registry, open_sink: Callable[..., RepositorySink]
) -> None:
    blob = registry.repository("second").add_blob(BLOB)
    with open_sink("a/b", "first", "second") as sink:
        assert sink.has_blob(blob)
    assert registry.repository("a/b").blobs == {digest_text(BLOB): BLOB}
    assert registry.seen("PUT") == []


@pytest.mark.parametrize("fault", [None, status(403), status(401), status(400)])
def test_blob_that_cannot_be_taken_over_is_sent(
    registry: Registry, open_sink: Callable[..., RepositorySink], fault: Callable[..., bool] | None
) -> None:
    blob = registry.repository("other").add_blob(BLOB)
    registry.mounts = False
    if fault is not None:
        registry.on("POST", "mount=", fault)
    with open_sink("other") as sink:
        assert not sink.has_blob(blob)
        sink.put_blob(blob, io.BytesIO(BLOB))
    assert registry.repository("a/b").blobs == {digest_text(BLOB): BLOB}
    assert len(registry.seen("POST")) == (1 if fault is None else 2)


def test_document_goes_under_its_digest_before_the_tag(
    registry: Registry, open_sink: Callable[..., RepositorySink]
) -> None:
    top = Descriptor(mediatypes.OCI_INDEX, Digest.parse(digest_text(INDEX)), len(INDEX))
    with open_sink() as sink:
        sink.put_document(INDEX, mediatypes.OCI_INDEX)
        sink.put_document(b"{}", mediatypes.OCI_MANIFEST)
        assert "t" not in registry.repository("a/b").manifests
        sink.commit(top)
    assert registry.repository("a/b").manifests["t"] == (mediatypes.OCI_INDEX, INDEX)


def test_name_of_a_digest_takes_that_document_alone(
    registry: Registry, open_sink: Callable[..., RepositorySink]
) -> None:
    top = Descriptor(mediatypes.OCI_INDEX, Digest.parse(digest_text(INDEX)), len(INDEX))
    with open_sink(tail=f"@{top.digest}") as sink:
        sink.put_document(INDEX, mediatypes.OCI_INDEX)
        sink.commit(top)
        with pytest.raises(InvalidArgument, match="only be the image of that digest"):
            sink.commit(replace(top, digest=Digest.parse(digest_text(b""))))
    assert list(registry.repository("a/b").manifests) == [str(top.digest)]


def test_push_that_is_not_allowed_is_a_refused_login(
    registry: Registry, open_sink: Callable[..., RepositorySink]
) -> None:
    registry.on("POST", "/uploads/", status(403, error="DENIED"))
    with open_sink() as sink, pytest.raises(LoginRefused, match="DENIED"):
        sink.put_blob(describe_blob(BLOB), io.BytesIO(BLOB))
