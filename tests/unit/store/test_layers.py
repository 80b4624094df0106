"""Sources of layers, and the order in which layers go."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from tests.support.storeimages import LINUX, a_tar, an_image
from winlayers.errors import BlobNotFound, Corrupt, TooLarge
from winlayers.oci.model import digest_bytes
from winlayers.store.blobs import BlobFiles, SizedReader
from winlayers.store.catalog import LayerRow
from winlayers.store.layers import WithheldEnd, order_to_remove, plan_layers

DIGEST = digest_bytes(b"content")


def test_plan_tells_parents_nearest_first() -> None:
    image = an_image([a_tar("a"), a_tar("b"), a_tar("c")], plain=[1])
    planned = plan_layers(image.manifest, image.config)
    first, second, third = image.layer_ids
    assert [one.layer_id for one in planned] == [first, second, third]
    assert [one.parents for one in planned] == [(), (first,), (second, first)]
    assert [one.parent for one in planned] == ["", first, second]
    assert [one.is_plain for one in planned] == [False, True, False]


def test_image_of_another_system_has_no_plan() -> None:
    image = an_image([a_tar("a")], platform=LINUX)
    assert plan_layers(image.manifest, image.config) == ()


def test_upper_layers_go_first() -> None:
    rows = [LayerRow(str(n), DIGEST, str(n - 1) if n else "", DIGEST) for n in range(20)]
    rows.append(LayerRow("stray", DIGEST, "not here", DIGEST))
    random.Random(1).shuffle(rows)
    order = [row.layer_id for row in order_to_remove(rows)]
    assert [one for one in order if one != "stray"] == [str(n) for n in reversed(range(20))]


def test_parents_in_a_ring_have_some_order() -> None:
    rows = [LayerRow("a", DIGEST, "b", DIGEST), LayerRow("b", DIGEST, "a", DIGEST)]
    assert len(order_to_remove(rows)) == 2


def test_end_is_withheld_once_and_only_at_the_end() -> None:
    told: list[int] = []
    source = io.BytesIO(b"abc")
    reader = WithheldEnd(source, lambda: told.append(source.tell()))
    assert reader.read(2) == b"ab"
    assert reader.read(0) == b""
    assert reader.read(5) == b"c"
    assert told == []
    buffer = bytearray(4)
    assert reader.readinto(buffer) == 0
    assert reader.read() == b""
    assert told == [3]


def test_what_is_raised_at_the_end_comes_out() -> None:
    def refuse() -> None:
        raise BlobNotFound("the parent")

    with pytest.raises(BlobNotFound):
        WithheldEnd(io.BytesIO(b"abc"), refuse).read()


@pytest.mark.parametrize(("size", "word"), [(6, "more"), (8, "fewer")])
def test_source_of_another_size_is_refused(size: int, word: str) -> None:
    with pytest.raises(Corrupt, match=word):
        SizedReader(io.BytesIO(b"content"), size, what="blob").read()


def test_blob_is_written_down_as_it_is_read(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    with files.stage(7) as staged:
        reader = SizedReader(io.BytesIO(b"content"), 7, what="blob", staged=staged)
        buffer = bytearray(3)
        assert reader.readinto(buffer) == 3
        assert reader.read() == b"tent"
        files.publish(staged, DIGEST)
    assert files.read(DIGEST, limit=7) == b"content"
    with pytest.raises(TooLarge):
        files.read(DIGEST, limit=6)
    with pytest.raises(BlobNotFound):
        files.open(digest_bytes(b"other"))


def test_blob_that_is_not_published_is_gone(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    with files.stage(7) as staged:
        staged.write(b"con")
        assert staged.path.exists()
    assert not staged.path.exists()


def test_sweep_leaves_what_is_known_or_coming(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    for content in (b"known", b"unknown"):
        with files.stage(1) as staged:
            staged.write(content)
            staged.finish()
            files.publish(staged, digest_bytes(content))
    with files.stage(1) as lasting:
        (lasting.path.parent / "2.0123456789abcdef").write_bytes(b"left")
        lasting.write(b"x")
        assert files.sweep([digest_bytes(b"known")], [1]) == len(b"unknown") + len(b"left")
        assert lasting.path.exists()
    assert files.path(digest_bytes(b"known")).exists()
    assert not files.path(digest_bytes(b"unknown")).exists()
