"""The store of images as its users see it."""

from __future__ import annotations

import errno
import io
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.builders import a_file, a_layer, layer_tar
from tests.support.memoryimages import MemoryImages
from tests.support.storeimages import LINUX, RealImage, a_tar, an_image, put_blobs, put_image
from winlayers.backends.contract import ImportPolicy
from winlayers.base.digest import Digest, digest_of
from winlayers.base.progress import Cancel
from winlayers.errors import (
    BlobNotFound,
    Cancelled,
    Corrupt,
    DigestMismatch,
    ImageNotFound,
    InvalidReference,
    LayerExists,
    Malformed,
    NoSpace,
    Unsupported,
)
from winlayers.layer.chain import Chain
from winlayers.layer.findings import Finding
from winlayers.oci import mediatypes
from winlayers.oci.building import build_config, build_index, build_manifest, describe
from winlayers.oci.model import Descriptor, digest_bytes
from winlayers.store.blobs import BlobFiles
from winlayers.store.store import Store
from winlayers.transfer.copying import copy_image

BASE = a_tar("base")
UPPER = a_tar("upper", link_to="base")
IMAGE = an_image([BASE, UPPER])
SIBLING = an_image([BASE, a_tar("sibling", link_to="base")])


def blob_of(store: Store, name: str, descriptor: Descriptor, offset: int = 0) -> bytes:
    with store.open_source(name) as source, source.open_blob(descriptor, offset) as file:
        return file.read()


def check_whole(store: Store, name: str, image: RealImage) -> None:
    """All that was put is given back, byte for byte."""
    with store.open_source(name) as source:
        found = source.resolve()
        assert (found.digest, found.size) == (image.manifest.digest, len(image.manifest.raw))
        assert source.document(found) == image.manifest.raw
    for one in (image.manifest.config, *image.manifest.layers):
        assert blob_of(store, name, one) == image.blobs[one.digest]
    for number, layer_id in enumerate(image.layer_ids):
        assert store.driver.chain(layer_id) == Chain(tuple(reversed(image.layer_ids[:number])))
        with store.driver.diff(layer_id) as tar:
            assert tar.read() == image.tars[number]


def files_of(root: Path) -> set[str]:
    """The files of blobs, and whatever lies about beside them."""
    return {str(path.relative_to(root)) for path in (root / "blobs").rglob("*") if path.is_file()}


def test_image_is_given_back_byte_for_byte(store: Store, root: Path) -> None:
    put_image(store, "app:1", IMAGE)
    check_whole(store, "app:1", IMAGE)
    names = {f"blobs/sha256/{digest.hex}" for digest in (*IMAGE.blobs, IMAGE.manifest.digest)}
    assert files_of(root) == names


def test_rows_say_what_an_image_is(store: Store) -> None:
    put_image(store, "app:1", IMAGE)
    (row,) = store.images()
    assert row.name == "docker.io/library/app:1"
    assert row.digest == row.manifest == IMAGE.manifest.digest
    assert row.config == IMAGE.config.digest
    assert row.platform.build == 20348
    assert row.layer_ids == tuple(reversed(IMAGE.layer_ids))
    assert row.size == sum(map(len, IMAGE.blobs.values()))


def test_layer_without_compression_is_kept_once(store: Store, root: Path) -> None:
    image = an_image([BASE, UPPER], plain=[0, 1])
    put_image(store, "plain", image)
    check_whole(store, "plain", image)
    assert len(files_of(root)) == 2
    assert blob_of(store, "plain", image.manifest.layers[1], 700) == UPPER[700:]


def test_blob_is_given_from_an_offset_on(store: Store) -> None:
    put_image(store, "app", IMAGE)
    layer = IMAGE.manifest.layers[0]
    assert blob_of(store, "app", layer, 20) == IMAGE.blobs[layer.digest][20:]


def test_blobs_may_come_without_being_expected(store: Store) -> None:
    image = an_image([BASE, UPPER], plain=[1])
    with store.open_sink("late") as sink:
        for one in reversed((image.manifest.config, *image.manifest.layers)):
            sink.put_blob(one, io.BytesIO(image.blobs[one.digest]))
        sink.put_document(image.manifest.raw, image.manifest.media_type)
        sink.commit(image.descriptor)
    check_whole(store, "late", image)


def test_layer_that_comes_before_anybody_begins_with_its_parent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("winlayers.store.layers._PATIENCE_SECONDS", 0.0)
    with store.open_sink("app") as sink:
        sink.expect(IMAGE.manifest.raw, IMAGE.config.raw)
        for one in reversed((IMAGE.manifest.config, *IMAGE.manifest.layers)):
            sink.put_blob(one, io.BytesIO(IMAGE.blobs[one.digest]))
        assert store.driver.layers() == [IMAGE.layer_ids[0]]
        sink.put_document(IMAGE.manifest.raw, IMAGE.manifest.media_type)
        sink.commit(IMAGE.descriptor)
    check_whole(store, "app", IMAGE)


class SlowSource(io.BytesIO):
    """A source that waits in the middle until it may go on."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.begun.set()
        block = super().read(size)
        assert block or self.may_end.wait(20)
        return block


def test_layer_waits_at_its_end_for_its_parent(store: Store) -> None:
    base, upper = IMAGE.manifest.layers
    source = SlowSource(IMAGE.blobs[base.digest])
    with store.open_sink("app") as sink:
        sink.expect(IMAGE.manifest.raw, IMAGE.config.raw)
        below = threading.Thread(target=sink.put_blob, args=(base, source))
        below.start()
        assert source.begun.wait(20)
        above_source = io.BytesIO(IMAGE.blobs[upper.digest])
        above = threading.Thread(target=sink.put_blob, args=(upper, above_source))
        above.start()
        while above_source.tell() < len(IMAGE.blobs[upper.digest]):
            above.join(0.01)
        assert above.is_alive()
        source.may_end.set()
        above.join(20)
        below.join(20)
        assert store.driver.layers() == sorted(IMAGE.layer_ids)


def test_layer_that_another_store_makes_is_waited_for_and_not_read(
    store: Store, root: Path
) -> None:
    base = IMAGE.manifest.layers[0]
    slow = SlowSource(IMAGE.blobs[base.digest])
    other = Store(root, store.driver)
    with store.open_sink("a") as first, other.open_sink("b") as second:
        for sink in (first, second):
            sink.expect(IMAGE.manifest.raw, IMAGE.config.raw)
        maker = threading.Thread(target=first.put_blob, args=(base, slow))
        maker.start()
        assert slow.begun.wait(20)
        unread = io.BytesIO(IMAGE.blobs[base.digest])
        waiter = threading.Thread(target=second.put_blob, args=(base, unread))
        waiter.start()
        waiter.join(0.05)
        assert waiter.is_alive()
        slow.may_end.set()
        maker.join(20)
        waiter.join(20)
        assert unread.tell() == 0
        assert second.has_blob(base)


@pytest.mark.parametrize("number", [0, 1])
def test_waits_for_what_another_store_makes_end_when_it_is_cancelled(
    store: Store, root: Path, number: int
) -> None:
    base, waiting = IMAGE.manifest.layers[0], IMAGE.manifest.layers[number]
    slow = SlowSource(IMAGE.blobs[base.digest])
    cancel = Cancel()
    with store.open_sink("a") as first, Store(root, store.driver).open_sink("b") as second:
        for sink in (first, second):
            sink.expect(IMAGE.manifest.raw, IMAGE.config.raw)
        second.heed(cancel)
        maker = threading.Thread(target=first.put_blob, args=(base, slow))
        maker.start()
        assert slow.begun.wait(20)
        timer = threading.Timer(0.1, cancel.set)
        timer.start()
        with pytest.raises(Cancelled):
            second.put_blob(waiting, io.BytesIO(IMAGE.blobs[waiting.digest]))
        assert maker.is_alive()
        slow.may_end.set()
        maker.join(20)
        timer.join()
    assert store.driver.layers() == [IMAGE.layer_ids[0]]


def test_wait_for_a_parent_of_the_same_process_ends_when_it_is_cancelled(store: Store) -> None:
    base, upper = IMAGE.manifest.layers
    slow = SlowSource(IMAGE.blobs[base.digest])
    cancel = Cancel()
    with store.open_sink("app") as sink:
        sink.expect(IMAGE.manifest.raw, IMAGE.config.raw)
        sink.heed(cancel)
        maker = threading.Thread(target=sink.put_blob, args=(base, slow))
        maker.start()
        assert slow.begun.wait(20)
        timer = threading.Timer(0.1, cancel.set)
        timer.start()
        with pytest.raises(Cancelled):
            sink.put_blob(upper, io.BytesIO(IMAGE.blobs[upper.digest]))
        slow.may_end.set()
        maker.join(20)
        timer.join()
    assert store.driver.layers() == [IMAGE.layer_ids[0]]


def test_images_share_layers_and_a_second_pull_reads_nothing(store: Store) -> None:
    put_image(store, "a", IMAGE)
    with store.open_sink("b") as sink:
        assert sink.has_blob(SIBLING.manifest.layers[0])
        assert not sink.has_blob(SIBLING.manifest.layers[1])
    put_image(store, "b", SIBLING)
    usage = store.disk_usage()
    assert (usage.image_count, usage.layer_count) == (2, 3)
    assert usage.shared_size == store.driver.usage(IMAGE.layer_ids[0]).disk_size
    assert usage.reclaimable_size == 0
    check_whole(store, "a", IMAGE)
    check_whole(store, "b", SIBLING)


def test_blob_with_another_digest_or_size_is_refused(store: Store, root: Path) -> None:
    config, layer = IMAGE.manifest.config, IMAGE.manifest.layers[0]
    with store.open_sink("bad") as sink:
        sink.expect(IMAGE.manifest.raw, IMAGE.config.raw)
        for one in (config, layer):
            raw = IMAGE.blobs[one.digest]
            for wrong in (raw[:-1], raw + b"x"):
                with pytest.raises((Malformed, Corrupt)):
                    sink.put_blob(one, io.BytesIO(wrong))
                assert not sink.has_blob(one)
        other = Descriptor(config.media_type, config.digest, 3)
        with pytest.raises(DigestMismatch):
            sink.put_blob(other, io.BytesIO(b"{ }"))
    assert store.driver.layers() == []
    store.recover()
    assert files_of(root) == set()


def test_same_layer_compressed_otherwise_is_refused(store: Store) -> None:
    layer = IMAGE.manifest.layers[0]
    other = bytearray(IMAGE.blobs[layer.digest])
    other[9] ^= 1  # the system that a gzip was made on
    with store.open_sink("bad") as sink:
        sink.expect(IMAGE.manifest.raw, IMAGE.config.raw)
        with pytest.raises(DigestMismatch):
            sink.put_blob(layer, io.BytesIO(bytes(other)))
        assert not sink.has_blob(layer)
    assert store.driver.layers() == []


def test_image_that_finds_no_room_is_refused_before_a_byte_of_it_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(2 * layer.size for layer in IMAGE.manifest.layers)
    monkeypatch.setattr(BlobFiles, "free_size", lambda self: needed - 1)
    with store.open_sink("large") as sink, pytest.raises(NoSpace, match=f"at least {needed} bytes"):
        sink.expect(IMAGE.manifest.raw, IMAGE.config.raw)
    monkeypatch.setattr(BlobFiles, "free_size", lambda self: needed)
    put_image(store, "large", IMAGE)
    monkeypatch.setattr(BlobFiles, "free_size", lambda self: 0)
    put_image(store, "again", IMAGE)  # which is there


def test_layer_with_another_diff_id_is_refused(store: Store) -> None:
    config = build_config(IMAGE.config.platform, [digest_bytes(b"other")])
    layer = IMAGE.manifest.layers[0]
    manifest = build_manifest(describe(config.raw, mediatypes.OCI_CONFIG), [layer])
    with store.open_sink("bad") as sink:
        sink.expect(manifest.raw, config.raw)
        with pytest.raises(DigestMismatch):
            sink.put_blob(layer, io.BytesIO(IMAGE.blobs[layer.digest]))
    assert store.driver.layers() == []


def test_manifest_whose_blobs_are_missing_is_refused(store: Store) -> None:
    with store.open_sink("bad") as sink:
        with pytest.raises(BlobNotFound):
            sink.put_document(IMAGE.manifest.raw, IMAGE.manifest.media_type)
        with pytest.raises(BlobNotFound):
            sink.commit(IMAGE.descriptor)
    assert store.images() == []


def test_manifest_and_config_have_to_have_as_many_layers(store: Store) -> None:
    manifest = build_manifest(IMAGE.manifest.config, IMAGE.manifest.layers[:1])
    with store.open_sink("bad") as sink, pytest.raises(Malformed):
        sink.expect(manifest.raw, IMAGE.config.raw)


def test_diff_id_that_nobody_can_compare_is_refused(store: Store) -> None:
    config = build_config(IMAGE.config.platform, [Digest("sha512", "0" * 128)])
    manifest = build_manifest(
        describe(config.raw, mediatypes.OCI_CONFIG), IMAGE.manifest.layers[:1]
    )
    with store.open_sink("bad") as sink, pytest.raises(Unsupported):
        sink.expect(manifest.raw, config.raw)


def test_image_that_is_not_for_windows_is_kept_as_blobs(store: Store) -> None:
    image = an_image([b"no layer of Windows"], platform=LINUX, plain=[0])
    put_image(store, "linux", image)
    assert store.driver.layers() == []
    (row,) = store.images()
    assert row.layer_ids == ()
    layer = image.manifest.layers[0]
    assert blob_of(store, "linux", layer) == image.blobs[layer.digest]


def test_image_shares_a_tar_that_is_a_layer_of_another_one(store: Store) -> None:
    windows = an_image([BASE, UPPER], plain=[0, 1])
    linux = an_image([BASE], platform=LINUX, plain=[0])
    put_image(store, "windows", windows)
    put_image(store, "linux", linux)
    layer = linux.manifest.layers[0]
    assert blob_of(store, "linux", layer) == BASE
    store.untag("windows")
    store.prune()
    assert blob_of(store, "linux", layer) == BASE
    assert store.driver.exists(windows.layer_ids[0])
    store.untag("linux")
    store.prune()
    assert store.driver.layers() == []


def test_foreign_layer_keeps_its_type_and_urls(store: Store) -> None:
    image = an_image([BASE, UPPER], foreign=[0])
    put_image(store, "foreign", image)
    check_whole(store, "foreign", image)
    assert image.manifest.layers[0].is_foreign


def test_foreign_layer_may_be_missing_until_it_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("winlayers.store.layers._PATIENCE_SECONDS", 0.0)
    image = an_image([BASE, UPPER], foreign=[0])
    base, upper = image.manifest.layers
    with store.open_sink("foreign") as sink:
        sink.expect(image.manifest.raw, image.config.raw)
        for one in (image.manifest.config, upper):
            sink.put_blob(one, io.BytesIO(image.blobs[one.digest]))
        sink.put_document(image.manifest.raw, image.manifest.media_type)
        sink.commit(image.descriptor)
    assert store.images()[0].layer_ids == ()
    assert store.driver.layers() == []
    assert blob_of(store, "foreign", upper) == image.blobs[upper.digest]
    with pytest.raises(BlobNotFound):
        blob_of(store, "foreign", base)
    put_image(store, "foreign", image)
    check_whole(store, "foreign", image)
    assert store.images()[0].layer_ids == tuple(reversed(image.layer_ids))


def test_index_may_have_images_that_are_not_there(store: Store) -> None:
    missing = an_image([a_tar("missing")])
    index = build_index([IMAGE.descriptor, missing.descriptor])
    with store.open_sink("many") as sink:
        put_blobs(sink, IMAGE)
        sink.put_document(IMAGE.manifest.raw, IMAGE.manifest.media_type)
        sink.put_document(index.raw, index.media_type)
        sink.commit(describe(index.raw, index.media_type))
    assert [row.manifest for row in store.images()] == [IMAGE.manifest.digest]
    assert store.resolve("many").media_type == mediatypes.OCI_INDEX
    assert store.prune().blobs == ()


def test_index_within_indexes_shows_each_image_once(store: Store) -> None:
    top = IMAGE.descriptor
    with store.open_sink("deep") as sink:
        put_blobs(sink, IMAGE)
        sink.put_document(IMAGE.manifest.raw, IMAGE.manifest.media_type)
        for _ in range(30):
            index = build_index([top] * 100)
            top = describe(index.raw, index.media_type)
            sink.put_document(index.raw, index.media_type)
        sink.commit(top)
    assert len(store.images()) == 1


def test_policy_and_findings_are_those_of_the_imports(store: Store) -> None:
    image = an_image([layer_tar(a_layer(a_file("Files/con.txt", b"device")))])
    with pytest.raises(Malformed):
        put_image(store, "odd", image)
    findings: list[Finding] = []
    policy = ImportPolicy(lenient_names=True)
    with store.open_sink("odd", policy=policy, report=findings.append) as sink:
        put_blobs(sink, image)
        sink.put_document(image.manifest.raw, image.manifest.media_type)
        sink.commit(image.descriptor)
    assert [one.entry for one in findings] == ["Files/con.txt"]
    check_whole(store, "odd", image)


def test_full_disk_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("winlayers.store.blobs.sync_file", refuse)
    with pytest.raises(NoSpace):
        put_image(store, "app", IMAGE)


def test_layer_imported_by_its_user_is_taken_and_never_removed(store: Store) -> None:
    store.driver.import_layer(IMAGE.layer_ids[0], "", io.BytesIO(BASE))
    put_image(store, "app", IMAGE)
    check_whole(store, "app", IMAGE)
    assert store.untag("app").layer_ids == (IMAGE.layer_ids[1],)
    assert store.driver.layers() == [IMAGE.layer_ids[0]]


def test_other_layer_under_the_id_of_a_chain_is_an_error(store: Store) -> None:
    store.driver.import_layer(IMAGE.layer_ids[0], "", io.BytesIO(a_tar("else")))
    with pytest.raises(LayerExists):
        put_image(store, "app", IMAGE)


def test_layer_that_its_user_removed_is_made_again(store: Store) -> None:
    put_image(store, "app", IMAGE)
    store.driver.remove(IMAGE.layer_ids[1])
    put_image(store, "app", IMAGE)
    check_whole(store, "app", IMAGE)


def test_same_layer_twice_in_one_image(store: Store) -> None:
    upper = a_tar("twice")
    image = an_image([BASE, upper, upper])
    put_image(store, "twice", image)
    check_whole(store, "twice", image)


# -- names ------------------------------------------------------------------------------------------


def test_names_lead_to_images(store: Store) -> None:
    put_image(store, "app:1", IMAGE)
    store.tag("app:1", "localhost:5000/other")
    digest = IMAGE.manifest.digest
    for name in (
        "docker.io/library/app:1",
        "localhost:5000/other:latest",
        f"app@{digest}",
        f"app:1@{digest}",
        str(digest),
        digest.hex,
        digest.hex[:6],
        IMAGE.config.digest.hex[:6],
    ):
        assert store.resolve(name).digest == digest, name
    for name in ("app", "app:2", f"app@sha256:{'0' * 64}", f"app:2@{digest}", "0" * 64):
        with pytest.raises(ImageNotFound):
            store.resolve(name)
    for name in ("UPPER:a:b", "a b"):
        with pytest.raises(InvalidReference):
            store.resolve(name)


def test_digits_that_stand_for_several_images_are_refused(store: Store) -> None:
    seen: dict[str, int] = {}
    for number in range(600):
        image = an_image([], label=str(number))
        start = image.manifest.digest.hex[:4]
        if start in seen:
            put_image(store, "a", an_image([], label=str(seen[start])))
            put_image(store, "b", image)
            break
        seen[start] = number
    else:
        raise AssertionError("no two digests begin alike")
    with pytest.raises(InvalidReference, match="more digits"):
        store.resolve(start)


def test_tag_with_a_digest_is_refused(store: Store) -> None:
    put_image(store, "app", IMAGE)
    with pytest.raises(InvalidReference):
        store.tag("app", f"other@{IMAGE.manifest.digest}")
    with pytest.raises(ImageNotFound):
        store.tag("nothing", "other")


def test_pull_by_digest_gives_a_name_with_it(store: Store) -> None:
    name = f"app@{IMAGE.manifest.digest}"
    put_image(store, name, IMAGE)
    assert [row.name for row in store.images()] == [f"docker.io/library/{name}"]
    with pytest.raises(DigestMismatch):
        put_image(store, name, SIBLING)
    assert set(IMAGE.layer_ids) <= set(store.untag(name).layer_ids)


def test_untag_takes_one_name_and_with_the_last_the_image(store: Store, root: Path) -> None:
    put_image(store, "app:1", IMAGE)
    put_image(store, "sibling", SIBLING)
    store.tag("app:1", "app:2")
    assert store.untag("app:1").blobs == ()
    gone = store.untag("app:2")
    assert gone.layer_ids == (IMAGE.layer_ids[1],)
    assert len(gone.blobs) == 3
    assert gone.size > 0
    check_whole(store, "sibling", SIBLING)
    with pytest.raises(ImageNotFound):
        store.untag("app:2")
    store.untag("sibling")
    assert files_of(root) == set()
    assert store.driver.layers() == []


def test_untag_by_digest_takes_all_names(store: Store) -> None:
    put_image(store, "app:1", IMAGE)
    store.tag("app:1", "other:1")
    store.tag("app:1", "other:2")
    store.untag(f"app@{IMAGE.manifest.digest}")
    assert [row.name.rpartition("/")[2] for row in store.images()] == ["other:1", "other:2"]
    with pytest.raises(ImageNotFound):
        store.untag(f"app@{IMAGE.manifest.digest}")
    store.untag(IMAGE.manifest.digest.hex[:12])
    assert store.images() == []


def test_name_that_moves_leaves_the_old_image_to_a_prune(store: Store) -> None:
    put_image(store, "app", IMAGE)
    put_image(store, "app", SIBLING)
    assert store.disk_usage().reclaimable_size > 0
    assert store.prune().layer_ids == (IMAGE.layer_ids[1],)
    check_whole(store, "app", SIBLING)


# -- what stays --------------------------------------------------------------------------------------


def test_what_is_being_made_or_read_stays(store: Store) -> None:
    put_image(store, "old", SIBLING)
    with store.open_sink("new") as sink, store.open_source("old") as source:
        source.resolve()
        put_blobs(sink, IMAGE)
        assert store.untag("old").blobs == ()
        assert source.document(SIBLING.descriptor) == SIBLING.manifest.raw
        with source.open_blob(SIBLING.manifest.layers[1]) as file:
            assert digest_of(file) == SIBLING.manifest.layers[1].digest
        sink.put_document(IMAGE.manifest.raw, IMAGE.manifest.media_type)
        sink.commit(IMAGE.descriptor)
    check_whole(store, "new", IMAGE)
    assert store.prune().layer_ids == (SIBLING.layer_ids[1],)


def test_layers_in_use_stay(store: Store) -> None:
    put_image(store, "app", IMAGE)
    base, upper = IMAGE.layer_ids
    store.driver.create_read_write("scratch", upper)
    gone = store.untag("app")
    assert gone.layer_ids == ()
    assert [one.layer_id for one in gone.kept] == [upper, base]
    store.driver.remove("scratch")
    store.driver.get(base)
    gone = store.prune()
    assert gone.layer_ids == (upper,)
    assert "held" in gone.kept[0].reason
    store.driver.put(base)
    assert store.prune().layer_ids == (base,)


def test_layers_of_an_image_in_use_serve_the_next_pull(store: Store) -> None:
    put_image(store, "app", IMAGE)
    store.driver.create_read_write("scratch", IMAGE.layer_ids[1])
    store.untag("app")
    put_image(store, "app", IMAGE)
    check_whole(store, "app", IMAGE)


def test_compressed_blobs_are_given_back_on_request(store: Store) -> None:
    image = an_image([BASE, UPPER], plain=[0])
    put_image(store, "app", image)
    usage = store.disk_usage()
    assert usage.compressed_size == len(image.blobs[image.manifest.layers[1].digest])
    gone = store.prune(compressed=True)
    assert gone.blobs == (image.manifest.layers[1].digest,)
    assert gone.size == usage.compressed_size
    assert store.driver.layers() == sorted(image.layer_ids)
    with pytest.raises(BlobNotFound, match="pull its image again"):
        blob_of(store, "app", image.manifest.layers[1])
    put_image(store, "app", image)
    check_whole(store, "app", image)


def test_compressed_blobs_stay_as_long_as_somebody_reads_their_image(store: Store) -> None:
    put_image(store, "app", IMAGE)
    with store.open_source("app") as source:
        source.resolve()
        assert store.prune(compressed=True).blobs == ()
        with source.open_blob(IMAGE.manifest.layers[1]) as file:
            assert file.read() == IMAGE.blobs[IMAGE.manifest.layers[1].digest]
    assert len(store.prune(compressed=True).blobs) == 2


def test_layers_of_others_are_none_of_the_catalogs(store: Store) -> None:
    store.driver.import_layer("mine", "", io.BytesIO(BASE))
    put_image(store, "app", IMAGE)
    store.untag("app")
    assert store.driver.layers() == ["mine"]


@pytest.mark.parametrize("place", ["middle", "end", "length"])
def test_layer_that_came_damaged_is_taken_from_another_place(
    store: Store, root: Path, place: str
) -> None:
    damaged = IMAGE.manifest.layers[0]
    raw = bytearray(IMAGE.blobs[damaged.digest])
    if place == "length":
        raw.pop()
    else:
        raw[len(raw) // 2 if place == "middle" else -2] ^= 0xFF

    class Mirrored(MemoryImages):
        bad = True

        def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
            if self.bad and descriptor.digest == damaged.digest:
                return io.BytesIO(raw)
            return super().open_blob(descriptor, offset)

        def distrust(self, descriptor: Descriptor) -> bool:
            was_bad, self.bad = self.bad, False
            return was_bad

    source = Mirrored()
    source.blobs |= IMAGE.blobs
    source.add_document(IMAGE.manifest)
    with store.open_sink("app") as sink:
        copy_image(source, sink)
    check_whole(store, "app", IMAGE)
    assert not source.bad


def test_copies_by_transfer_keep_all_digests(store: Store) -> None:
    put_image(store, "app", IMAGE)
    memory = MemoryImages()
    with store.open_source("app") as source:
        copied = copy_image(source, memory)
    assert copied.descriptor.digest == IMAGE.manifest.digest
    assert memory.blobs == IMAGE.blobs
    store.untag("app")
    with store.open_sink("again") as sink:
        copy_image(memory, sink, jobs=4)
    check_whole(store, "again", IMAGE)
