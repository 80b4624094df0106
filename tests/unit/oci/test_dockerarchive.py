"""Archives of ``docker save``, old and new, and the ones that are written for ``docker load``."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.endpoints import (
    MemoryImage,
    an_image,
    an_index,
    content_of,
    copy,
    fill,
)
from winlayers.base import room
from winlayers.base.digest import Digest, DigestReader
from winlayers.errors import (
    BlobNotFound,
    Corrupt,
    DigestMismatch,
    ImageNotFound,
    InvalidReference,
    Malformed,
    NoSpace,
    TooLarge,
    Unsupported,
    WinlayersError,
)
from winlayers.oci import mediatypes
from winlayers.oci.archive import OciArchiveSink
from winlayers.oci.building import build_config, build_index, build_manifest, describe
from winlayers.oci.dockerarchive import (
    DockerArchiveSink,
    DockerArchiveSource,
    open_docker_archive,
)
from winlayers.oci.model import (
    MAX_DOCUMENT_SIZE,
    Descriptor,
    Manifest,
    digest_bytes,
    parse_config,
    parse_document,
)
from winlayers.oci.platform import Platform

SAMPLE = Path(__file__).parents[2] / "data" / "windows-mini-image.tar.gz"
CONFIG = "67f0a0c2d8efc23f33d6978e9a2f039e2cbddae683a0b7918b74ace10467935b"
LAYER = "e4e02f4caaa37d28ad4b66babf9d64098e81f08c0be24ea427614eafcbbdc3de"


def archive(path: Path, members: Sequence[tuple[str, bytes | str]]) -> Path:
    """A tar of files (bytes) and symbolic links (text), by another hand."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def a_config(*tars: bytes) -> bytes:
    platform = Platform.parse("windows/amd64:10.0.20348.1")
    return build_config(platform, [digest_bytes(tar) for tar in tars]).raw


def old_archive(path: Path, *tars: bytes, **more: Any) -> Path:
    """As Docker before 25 saves it, the last layer as a link."""
    config = a_config(*tars)
    members: list[tuple[str, bytes | str]] = []
    for number, tar in enumerate(tars):
        members += [(f"{number}/VERSION", b"1.0"), (f"{number}/json", b"{}")]
        members.append((f"{number}/layer.tar", tar))
    members.append(("top/layer.tar", f"../{len(tars) - 1}/layer.tar"))
    entry = {
        "Config": "c.json",
        "RepoTags": ["tiny:1"],
        "Layers": [*(f"{n}/layer.tar" for n in range(len(tars) - 1)), "top/layer.tar"],
        **more,
    }
    members += [("c.json", config), ("manifest.json", as_json([entry]))]
    return archive(path, [*members, ("repositories", as_json({"tiny": {"1": "top"}}))])


def manifest_of(source: DockerArchiveSource) -> Manifest:
    top = source.resolve()
    manifest = parse_document(source.document(top), top.media_type)
    assert isinstance(manifest, Manifest)
    assert manifest.digest == top.digest
    return manifest


# Reading


def test_real_archive_is_read() -> None:
    with open_docker_archive(SAMPLE) as source:
        top = source.resolve()
        manifest = manifest_of(source)
        assert str(top.platform) == "windows/amd64:10.0.19042.985"
        assert manifest.config.digest.hex == CONFIG
        config = parse_config(content_of(source, manifest.config))
        assert config.setting("User") == "ContainerUser"
        (layer,) = manifest.layers
        assert (layer.media_type, layer.size) == (mediatypes.DOCKER_LAYER, 22016)
        assert layer.digest.hex == LAYER
        assert content_of(source, layer)[257:262] == b"ustar"
        assert source.images()[0].names == ()


def test_real_archive_has_a_layer_of_another_digest() -> None:
    """Its layer was cut down by those who published it; whoever reads it sees that."""
    with open_docker_archive(SAMPLE) as source:
        (layer,) = manifest_of(source).layers
        with source.open_blob(layer) as file, pytest.raises(DigestMismatch):
            DigestReader(file, layer.digest).verify()


def test_manifest_of_the_real_archive_is_always_the_same() -> None:
    with open_docker_archive(SAMPLE) as source:
        digest = source.resolve().digest
    assert digest.hex == "fda1f3189d431fe4432ff81719c5bc4a8ebe4bb7bc4d408e4408a276586f8993"


def test_archive_of_an_old_docker_is_read(tmp_path: Path) -> None:
    with open_docker_archive(old_archive(tmp_path / "x.tar", b"base", b"delta")) as source:
        manifest = manifest_of(source)
        assert [content_of(source, layer) for layer in manifest.layers] == [b"base", b"delta"]
        assert [layer.digest for layer in manifest.layers] == [
            digest_bytes(b"base"),
            digest_bytes(b"delta"),
        ]


def test_compressed_layers_are_given_as_they_lie_there(tmp_path: Path) -> None:
    packed = gzip.compress(b"base", mtime=0)
    zstd = b"\x28\xb5\x2f\xfd" + bytes(9)
    names = ("x.tar", f"blobs/sha256/{digest_bytes(zstd).hex}")
    entry = {"Config": "c.json", "RepoTags": None, "Layers": names}
    members = [(names[0], packed), (names[1], zstd), ("c.json", a_config(b"base", b"delta"))]
    path = archive(tmp_path / "x.tar", [*members, ("manifest.json", as_json([entry]))])
    with open_docker_archive(path) as source:
        layers = manifest_of(source).layers
        assert [layer.media_type for layer in layers] == [
            f"{mediatypes.DOCKER_LAYER}.gzip",
            f"{mediatypes.DOCKER_LAYER}.zstd",
        ]
        assert [layer.digest for layer in layers] == [digest_bytes(packed), digest_bytes(zstd)]
        assert content_of(source, layers[0]) == packed


def new_archive(path: Path, image: MemoryImage, *, without: Sequence[Digest] = ()) -> Path:
    """As Docker since 25 saves it: a layout, and a ``manifest.json`` that leads into it."""
    with OciArchiveSink(path, "tiny") as sink:
        sink.commit(fill(sink, an_index(image), without=without))
    manifest = image.manifest
    entry = {
        "Config": f"blobs/sha256/{manifest.config.digest.hex}",
        "RepoTags": ["tiny:latest"],
        "Layers": [f"blobs/sha256/{layer.digest.hex}" for layer in manifest.layers],
    }
    content = as_json([entry])
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return path


def test_archive_of_a_new_docker_keeps_its_manifest(tmp_path: Path) -> None:
    image = an_image("base", "delta")
    with open_docker_archive(new_archive(tmp_path / "x.tar", image), "tiny") as source:
        assert source.document(source.resolve()) == image.manifest.raw
        for layer in image.manifest.layers:
            assert content_of(source, layer) == image.blobs[layer.digest]


def test_layout_of_another_image_in_an_archive_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with OciArchiveSink(path) as sink:
        copy(an_image("other"), sink)
    with tarfile.open(path, "a") as tar:
        entry = {"Config": "c.json", "Layers": ["l"]}
        for name, content in [
            ("c.json", a_config(b"base")),
            ("l", b"base"),
            ("manifest.json", as_json([entry])),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with open_docker_archive(path) as source:
        manifest = manifest_of(source)
        assert manifest.media_type == mediatypes.DOCKER_MANIFEST
        assert content_of(source, manifest.layers[0]) == b"base"


def test_layer_that_is_missing_in_a_new_archive_is_named(tmp_path: Path) -> None:
    image = an_image("base", "delta")
    gone = image.manifest.layers[0].digest
    path = new_archive(tmp_path / "x.tar", image, without=[gone])
    with open_docker_archive(path) as source, pytest.raises(BlobNotFound, match=gone.hex):
        source.resolve()


def test_foreign_layers_are_told(tmp_path: Path) -> None:
    diff_id = str(digest_bytes(b"base"))
    url = "https://example.com/base"
    digest = digest_bytes(b"packed")
    described = {
        "mediaType": f"{mediatypes.DOCKER_FOREIGN_LAYER}.gzip",
        "size": 6,
        "digest": str(digest),
        "urls": [url],
    }
    path = old_archive(tmp_path / "x.tar", b"base", LayerSources={diff_id: described})
    with open_docker_archive(path) as source:
        (layer,) = manifest_of(source).layers
        assert not layer.is_foreign
        assert content_of(source, layer) == b"base"
        (found,) = source.foreign_layers().values()
        assert (found.digest, found.urls, found.is_foreign) == (digest, (url,), True)


def several(path: Path) -> Path:
    entries = [
        {"Config": "a.json", "RepoTags": ["a:1", "docker.io/library/b:latest"], "Layers": []},
        {"Config": "b.json", "RepoTags": ["Not A Name"], "Layers": []},
    ]
    members = [("a.json", a_config()), ("b.json", a_config() + b" ")]
    return archive(path, [*members, ("manifest.json", as_json(entries))])


@pytest.mark.parametrize(
    ("name", "at"),
    [("a:1", 0), ("docker.io/library/a:1", 0), ("b", 0), ("Not A Name", 1), ("@1", 1), ("@0", 0)],
)
def test_image_is_found_by_its_name(tmp_path: Path, name: str, at: int) -> None:
    with open_docker_archive(several(tmp_path / "x.tar"), name) as source:
        config = content_of(source, manifest_of(source).config)
    assert config == a_config() + b" " * at


@pytest.mark.parametrize("name", ["a:2", "c", "@2", "@-1", "@", "@9999999999", "@x", ""])
def test_image_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, name: str) -> None:
    path, told = several(tmp_path / "x.tar"), "there are: a:1, Not A Name"
    with open_docker_archive(path, name) as source, pytest.raises(ImageNotFound, match=told):
        source.resolve()


def test_two_images_of_one_name_are_malformed(tmp_path: Path) -> None:
    entries = [{"Config": name, "RepoTags": ["a:1"], "Layers": []} for name in "xxy"]
    path = archive(tmp_path / "x.tar", [("manifest.json", as_json(entries))])
    with open_docker_archive(path, "a:1") as source, pytest.raises(Malformed, match="2 different"):
        source.resolve()


def test_archive_without_images_has_none(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.tar", [("manifest.json", b"[]")])
    with open_docker_archive(path) as source, pytest.raises(ImageNotFound, match="no image"):
        source.resolve()
    path = archive(tmp_path / "y.tar", [("a", b"")])
    with open_docker_archive(path) as source, pytest.raises(ImageNotFound, match=r"manifest\.json"):
        source.resolve()


def test_archive_of_a_very_old_docker_is_unsupported(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.tar", [("repositories", b"{}"), ("1/layer.tar", b"")])
    with open_docker_archive(path) as source, pytest.raises(Unsupported, match=r"before 1\.10"):
        source.resolve()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"{}", Malformed),
        (b'[], "x": 1', Malformed),
        (b'[]}, {"a": 1', Malformed),
        (b"[1]", Malformed),
        (b"[{}]", Malformed),
        (b'[{"Config":"c","Layers":"x"}]', Malformed),
        (b'[{"Config":"c","LayerSources":{"x":1}}]', Malformed),
        (b'[{"Config":"c","LayerSources":{"x":{"digest":"md5:0"}}}]', Malformed),
        (b'[{"Config":"../c","Layers":[]}]', Malformed),
        (b'[{"Config":"/etc/passwd","Layers":[]}]', Malformed),
        (b'[{"Config":"c","config":"d","Layers":[]}]', Malformed),
        (b'[{"Config":"c","Layers":[]}]', BlobNotFound),
        (b'[{"Config":"ok","Layers":["l"]}]', BlobNotFound),
        (b'[{"Config":"ok","Layers":["../l"]}]', Malformed),
        (b'[{"Config":"ok","Layers":[]}]', Malformed),
        (b'[{"Config":"ok","Layers":["l","l"]}]', Malformed),
        (b"[" * 100_000, Malformed),
        (b"[" + b" " * MAX_DOCUMENT_SIZE + b"]", TooLarge),
        (as_json([{"Config": "c", "Layers": ["l"] * 200}]), TooLarge),
        (as_json([{"Config": "c"}] * 10_001), TooLarge),
    ],
)
def test_bad_manifest_is_refused(
    tmp_path: Path, content: bytes, error: type[WinlayersError]
) -> None:
    members = [("manifest.json", content), ("ok", a_config(b"base"))]
    path = archive(tmp_path / "x.tar", members)
    with open_docker_archive(path) as source, pytest.raises(error):
        source.resolve()


def test_layout_in_an_archive_is_looked_through_in_little_memory(tmp_path: Path) -> None:
    image, size = an_image("other"), 1 << 20
    documents = [image.manifest.raw + b" " * (size + number) for number in range(16)]
    index = build_index([describe(raw, image.manifest.media_type) for raw in documents])
    entry = {"Config": "c.json", "Layers": ["l"]}
    members = [(f"blobs/sha256/{digest_bytes(raw).hex}", raw) for raw in documents]
    members += [("oci-layout", b"{}"), ("index.json", index.raw), ("c.json", a_config(b"base"))]
    members += [("l", b"base"), ("manifest.json", as_json([entry]))]
    path = archive(tmp_path / "x.tar", members)
    with open_docker_archive(path) as source:
        tracemalloc.start()
        try:
            assert manifest_of(source).media_type == mediatypes.DOCKER_MANIFEST
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * size


def test_document_of_a_layout_has_to_have_its_digest(tmp_path: Path) -> None:
    image = an_image("base")
    entry = {"Config": f"blobs/sha256/{image.manifest.config.digest.hex}", "Layers": ["l"]}
    index = {"schemaVersion": 2, "manifests": [{
        "mediaType": image.top.media_type, "digest": str(image.top.digest), "size": 2,
    }]}  # fmt: skip
    members = [
        (entry["Config"], image.blobs[image.manifest.config.digest]),
        (f"blobs/sha256/{image.top.digest.hex}", b"{}"),
        ("oci-layout", b"{}"),
        ("index.json", as_json(index)),
        ("manifest.json", as_json([entry])),
    ]
    path = archive(tmp_path / "x.tar", [(str(name), content) for name, content in members])
    with open_docker_archive(path) as source, pytest.raises(Corrupt, match="another digest"):
        source.resolve()


# Writing


def put(path: Path, image: MemoryImage, name: str = "") -> dict[str, bytes]:
    """Save an image; the members of the archive."""
    with DockerArchiveSink(path, name) as sink:
        copy(image, sink)
    return members_of(path)


def members_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in files.items() if file is not None}


def test_layers_are_written_without_compression(tmp_path: Path) -> None:
    image = an_image("base", "delta")
    members = put(tmp_path / "x.tar", image, "example.com/tiny")
    (entry,) = json.loads(members["manifest.json"])
    config = parse_config(image.blobs[image.manifest.config.digest])
    assert entry == {
        "Config": f"{config.digest.hex}.json",
        "RepoTags": ["example.com/tiny:latest"],
        "Layers": [f"{diff_id.hex}.tar" for diff_id in config.diff_ids],
    }
    assert members[entry["Config"]] == config.raw
    for name, diff_id in zip(entry["Layers"], config.diff_ids, strict=True):
        assert digest_bytes(members[name]) == diff_id


@pytest.mark.parametrize(
    ("name", "written"),
    [("tiny", ["tiny:latest"]), ("docker.io/library/tiny:2", ["tiny:2"]), ("", [])],
)
def test_name_is_written_as_docker_writes_it(tmp_path: Path, name: str, written: list[str]) -> None:
    members = put(tmp_path / "x.tar", an_image("a"), name)
    assert json.loads(members["manifest.json"])[0]["RepoTags"] == written


@pytest.mark.parametrize("name", ["Not A Name", f"tiny@{digest_bytes(b'')}"])
def test_name_that_an_archive_cannot_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidReference):
        DockerArchiveSink(tmp_path / "x.tar", name)
    assert list(tmp_path.iterdir()) == []


def test_same_image_makes_the_same_bytes(tmp_path: Path) -> None:
    image = an_image("base", "delta")
    put(tmp_path / "x.tar", image, "tiny")
    put(tmp_path / "y.tar", image, "tiny")
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "y.tar").read_bytes()


def test_several_images_share_their_layers(tmp_path: Path) -> None:
    images = [an_image("base", text) for text in "ab"]
    with DockerArchiveSink(tmp_path / "x.tar", "b:2") as sink:
        first, second = (fill(sink, image) for image in images)
        sink.add(first, "a:1")
        sink.add(first, "b:2")
        sink.add(second, "c:3")
        sink.commit(second)
    members = members_of(tmp_path / "x.tar")
    entries = json.loads(members["manifest.json"])
    assert [entry["RepoTags"] for entry in entries] == [["a:1"], ["c:3", "b:2"]]
    assert entries[0]["Layers"][0] == entries[1]["Layers"][0]
    assert len(members) == 1 + 2 + 3


def test_sources_of_foreign_layers_are_written(tmp_path: Path) -> None:
    url = "https://example.com/base"
    image = an_image("base", "delta", foreign={0: url})
    members = put(tmp_path / "x.tar", image)
    (entry,) = json.loads(members["manifest.json"])
    config = parse_config(image.blobs[image.manifest.config.digest])
    base = image.manifest.layers[0]
    assert entry["LayerSources"] == {
        str(config.diff_ids[0]): {
            "mediaType": f"{mediatypes.DOCKER_FOREIGN_LAYER}.gzip",
            "size": base.size,
            "digest": str(base.digest),
            "urls": [url],
        }
    }
    with open_docker_archive(tmp_path / "x.tar") as source:
        assert source.foreign_layers()[config.diff_ids[0]].urls == (url,)


def test_layer_that_is_not_that_of_the_config_is_refused(tmp_path: Path) -> None:
    image, other = an_image("base"), an_image("other")
    config = other.manifest.config
    manifest = build_manifest(config, image.manifest.layers)
    with DockerArchiveSink(tmp_path / "x.tar") as sink:
        fill(sink, image)
        sink.put_blob(config, io.BytesIO(other.blobs[config.digest]))
        sink.put_document(manifest.raw, manifest.media_type)
        with pytest.raises(DigestMismatch, match="tar of layer"):
            sink.commit(describe(manifest.raw, manifest.media_type))


@pytest.mark.parametrize("what", ["config", "layer", "count"])
def test_image_that_is_not_whole_is_refused(tmp_path: Path, what: str) -> None:
    image = an_image("base")
    layers = image.manifest.layers
    manifest = build_manifest(image.manifest.config, layers[:0] if what == "count" else layers)
    without = {"config": image.manifest.config.digest, "layer": layers[0].digest}.get(what)
    with DockerArchiveSink(tmp_path / "x.tar") as sink:
        fill(sink, image, without=[without] if without else [])
        sink.put_document(manifest.raw, manifest.media_type)
        with pytest.raises(Malformed if what == "count" else BlobNotFound):
            sink.commit(describe(manifest.raw, manifest.media_type))
    assert list(tmp_path.iterdir()) == []


def test_layer_that_would_fill_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([1 << 30, 0])
    monkeypatch.setattr(
        room, "disk_of", lambda folder: SimpleNamespace(total=1 << 40, free=next(left))
    )
    bomb = gzip.compress(bytes(20 << 20), 1)
    descriptor = Descriptor(mediatypes.DOCKER_LAYER, digest_bytes(bomb), len(bomb))
    with DockerArchiveSink(tmp_path / "a.tar") as sink:
        with pytest.raises(NoSpace, match="after 1048576 bytes"):
            sink.put_blob(descriptor, io.BytesIO(bomb))
        assert not sink.has_blob(descriptor)
    assert list(tmp_path.iterdir()) == []


def test_layer_that_cannot_be_decompressed_is_refused(tmp_path: Path) -> None:
    content = gzip.compress(b"base")[:-3]
    layer = Descriptor(f"{mediatypes.OCI_LAYER}+gzip", digest_bytes(content), len(content))
    with DockerArchiveSink(tmp_path / "x.tar") as sink:
        with pytest.raises(Malformed):
            sink.put_blob(layer, io.BytesIO(content))
        assert not sink.has_blob(layer)
