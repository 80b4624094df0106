from __future__ import annotations

import pytest

from tests.support.builders import (
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_view,
    a_whiteout,
    an_import,
    content_at,
    layer_tar,
    node_at,
    raw_tar,
)
from winlayers.backends.contract import ImportPolicy
from winlayers.backends.memory import HeldEntry, HeldPart, MemoryBackend, MemoryReader, MemoryTable
from winlayers.errors import InvalidArgument, Malformed, TooLarge
from winlayers.formats.tar import TarHeader
from winlayers.layer.chain import Chain
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Part
from winlayers.layer.view import NODE_IMPLIED, NODE_OPAQUE, NODE_STREAMS

FILES = a_directory("Files")
LAYER = a_layer(a_file("Files/a", b"data", {"s": b"stream"}), a_link("Files/b", "Files/a"))


def test_time_of_a_layer_is_that_of_the_given_clock() -> None:
    backend = MemoryBackend(clock=lambda: 77)
    backend.import_tar(an_import("sealed", layer_tar(LAYER)))
    backend.create("created", Chain(), {"layerID": b"four"})
    assert backend.usage("sealed").created_ns == backend.usage("created").created_ns == 77


def test_disk_size_counts_contents_and_files() -> None:
    backend = MemoryBackend()
    backend.create("layer", Chain(), {"layerID": b"four"})
    backend.import_tar(an_import("layer", layer_tar(LAYER), files={"layerchain.json": b"null"}))
    assert backend.usage("layer").disk_size == 4 + 4 + len(b"data") + len(b"stream")


def test_listed_nodes_are_the_callers_own() -> None:
    table = MemoryTable("id", LAYER)
    first, second = table.children(1)[0], table.children(1)[0]
    assert first is not second
    first.path = "changed by a view"
    assert second.path == ""
    assert table.child(1, "A") is not None
    assert table.child(1, "C") is None
    assert table.child(99, "A") is None


def test_flags_tell_what_a_row_has() -> None:
    table = MemoryTable(
        "id",
        [
            HeldEntry(a_directory("Files").entry, flags=NODE_IMPLIED),
            a_whiteout("Files/.wh..opq"),
            a_file("Files/a", b"", {"s": b""}),
        ],
    )
    assert table.node(1).flags == NODE_IMPLIED | NODE_OPAQUE
    assert table.node(3).flags == NODE_STREAMS


def test_entry_is_called_as_its_node() -> None:
    view = a_view(a_layer(a_file("Files/D/new")), a_layer(a_file("Files/d/old")))
    assert view.entry(node_at(view, "Files/D/old")).path == "Files/D/old"


def test_part_of_somebody_else_is_not_opened() -> None:
    with pytest.raises(AssertionError, match="did not give out"):
        MemoryReader(LAYER).open_part(Part("", 4))


def test_data_comes_first_and_is_never_missing() -> None:
    backend = MemoryBackend()
    held = a_file("Files/a", b"data", {"s": b"stream"})
    turned = HeldEntry(held.entry, held.parts[::-1])
    bare = HeldEntry(a_file("Files/bare").entry)
    layer = [a_directory("Files"), turned, bare]
    copy_entries(MemoryReader(layer), backend.writer("id", Chain(), {}))
    view = backend.view("id", Chain())
    assert [part.name for part in view.parts(node_at(view, "Files/a"))] == ["", "s"]
    assert content_at(view, "Files/bare") == b""


def test_part_that_is_not_as_long_as_it_says_is_malformed() -> None:
    backend = MemoryBackend()
    lying = HeldEntry(a_file("Files/a").entry, (HeldPart("", 9, content=b"four"),))
    with pytest.raises(Malformed, match="4 bytes, not 9"):
        copy_entries(MemoryReader([FILES, lying]), backend.writer("id", Chain(), {}))
    short = HeldEntry(a_file("Files/a", b"four").entry, (HeldPart("", 2, content=b"fo"),))
    with pytest.raises(InvalidArgument, match="4 bytes, its data 2"):
        copy_entries(MemoryReader([FILES, short]), backend.writer("id", Chain(), {}))


def test_name_that_cannot_be_makes_the_tar_malformed() -> None:
    tar = raw_tar(TarHeader(b"Files", b"5"), TarHeader(b"Files/../x", b"0"))
    with pytest.raises(Malformed, match=r"layer tar: .*'\.\.'") as caught:
        MemoryBackend().import_tar(an_import("id", tar))
    assert caught.value.finding == "name-traversal"


def test_size_limit_counts_what_follows_the_end_marker() -> None:
    tar = layer_tar(LAYER)
    policy = ImportPolicy(max_size=len(tar))
    with pytest.raises(TooLarge, match=str(len(tar))):
        MemoryBackend().import_tar(an_import("id", tar + b"x", policy=policy))


def test_exported_tar_is_made_as_it_is_read() -> None:
    backend = MemoryBackend()
    layer = a_layer(a_file("Files/big", bytes(9_000_000)))
    copy_entries(MemoryReader(layer), backend.writer("id", Chain(), {}))
    expected = layer_tar(layer)
    with backend.export_tar("id", Chain()) as tar:
        assert tar.read(512) == expected[:512]
        assert tar.read() == expected[512:]
