from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.support.builders import DESCRIPTOR
from tests.support.hives import (
    LOCAL,
    BuiltKey,
    BuiltValue,
    a_delta,
    a_hive,
    a_key,
    dword,
    no_value,
    text,
)
from tests.support.hivetrees import deltas, told
from winlayers.base.progress import Cancel
from winlayers.errors import Cancelled, InvalidArgument, Malformed, TooLarge
from winlayers.formats.hive import cells
from winlayers.formats.hive.cells import MAX_DEPTH, SEGMENT_SIZE, KeyFlags, Semantics
from winlayers.formats.hive.keys import SourceKey, SourceValue
from winlayers.formats.hive.reader import Hive, Key
from winlayers.formats.hive.writer import write_hive
from winlayers.layer.names import fold

DATA = Path(__file__).parents[3] / "data"
REAL = ["Software_Delta", "Software_plain_small", "minimal_BCD"]


def opened(hive: bytes) -> Hive:
    return Hive.open(hive, fold=fold)


def written(hive: Hive, *, is_layered: bool | None = None, limit: int = 1 << 30) -> bytes:
    """The hive, written anew; what it says of its size is true."""
    target = io.BytesIO()
    layered = hive.is_layered if is_layered is None else is_layered
    size = write_hive(target, hive.root, fold=fold, is_layered=layered, limit=limit)
    assert size == len(target.getvalue())
    return target.getvalue()


def rewritten(root: BuiltKey) -> Key:
    return opened(written(opened(a_delta(root)))).root


def descriptors(hive: Hive) -> dict[int, cells.SecurityCell]:
    """The cells of descriptors by offset, as they lie in the bins."""
    found = {}
    for cell in hive.cells():
        content = hive._bins.read(cell.offset + 4, cell.size - 4)
        if cell.is_used and content[:2] == b"sk":
            found[cell.offset] = cells.parse_security(content, cell.offset)
    return found


@pytest.mark.parametrize("name", REAL)
def test_real_hive_is_the_same_when_it_is_written_and_read(name: str) -> None:
    hive = opened((DATA / name).read_bytes())
    assert told(opened(written(hive)).root) == told(hive.root)


def test_real_difference_takes_the_space_that_windows_needed() -> None:
    real = (DATA / "Software_Delta").read_bytes()
    assert len(written(opened(real))) == len(real)


def test_bins_are_filled_and_a_second_writing_gives_the_same_bytes() -> None:
    once = written(opened((DATA / "Software_Delta").read_bytes()))
    hive = opened(once)
    assert sum(cell.size for cell in hive.cells()) < hive.base_block.bins_size
    assert written(hive) == once


def test_each_descriptor_stands_once_in_a_ring_with_its_uses() -> None:
    hive = opened(written(opened((DATA / "Software_Delta").read_bytes())))
    found = descriptors(hive)
    assert len(found) == 50
    assert sum(cell.use_count for cell in found.values()) == 2946
    assert {cell.next for cell in found.values()} == set(found)
    assert all(found[cell.next].previous == offset for offset, cell in found.items())


@settings(derandomize=True, max_examples=60, deadline=None)
@given(deltas())
def test_any_difference_is_the_same_when_it_is_written_and_read(root: BuiltKey) -> None:
    hive = opened(a_delta(root))
    assert told(opened(written(hive)).root) == told(hive.root)


def test_head_says_what_it_was_told() -> None:
    target = io.BytesIO()
    write_hive(
        target,
        opened(a_hive(a_key("r"))).root,
        fold=fold,
        file_name="C:\\" + 40 * "x",
        last_written_filetime=9,
        sequence=2**32 + 3,
    )
    head = opened(target.getvalue()).base_block
    assert (head.primary_sequence, head.secondary_sequence) == (3, 3)
    assert (head.file_name, head.last_written_filetime, head.minor_version) == (31 * "x", 9, 5)
    assert head.root == 32


def test_root_is_marked_as_one_and_names_say_how_they_are_kept() -> None:
    root = rewritten(a_key("ROOT", a_key("größe"), a_key("文")))
    latin, wide = root.subkeys()
    assert root.flags == KeyFlags.HIVE_ENTRY | KeyFlags.NO_DELETE | KeyFlags.COMP_NAME
    assert (latin.name, latin.flags) == ("größe", KeyFlags.COMP_NAME)
    assert (wide.name, wide.flags) == ("文", 0)


def test_wide_key_has_a_list_of_lists_in_the_order_of_folded_names() -> None:
    names = [f"{number * 7919 % 1200:04}" for number in range(1200)] + ["b", "A", "\uffff", "😀"]
    root = rewritten(a_key("ROOT", *map(a_key, names)))
    # By UTF-16 units the two halves of the last are before the unit of the one before it.
    assert [key.name for key in root.subkeys()] == [*sorted(names[:1200]), "A", "b", "😀", "\uffff"]
    found = root.subkey("0999")
    assert found is not None
    assert found.name == "0999"


@pytest.mark.parametrize("size", [0, 1, 4, 5, 4060, 4061, SEGMENT_SIZE, SEGMENT_SIZE + 1, 70_000])
def test_data_of_any_size_is_kept(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    root = rewritten(a_key("ROOT", values=[BuiltValue("v", 99, data)]))
    (value,) = root.values()
    assert (value.data, value.kind, value.is_tombstone) == (data, 99, False)


def test_tombstones_and_the_default_value_are_kept() -> None:
    root = rewritten(a_key("ROOT", values=[no_value("gone"), text("", "default")]))
    gone, default = root.values()
    assert (gone.name, gone.is_tombstone, gone.kind, gone.data) == ("gone", True, 0, b"")
    assert (default.name, default.text) == ("", "default")


def test_hive_of_many_bins_is_written_through_the_buffer() -> None:
    data = bytes(16_000)
    keys = [a_key(f"{n:03}", a_key("x"), values=[BuiltValue("v", 3, data)]) for n in range(150)]
    hive = opened(a_hive(a_key("ROOT", *keys)))
    again = written(hive)
    assert len(again) > 2 << 20
    assert told(opened(again).root) == told(hive.root)


@pytest.mark.parametrize(
    "root",
    [a_key("ROOT", a_key("a", layer_byte=LOCAL)), a_key("ROOT", values=[no_value("v")])],
)
def test_mark_of_a_layered_hive_is_refused_in_another(root: BuiltKey) -> None:
    with pytest.raises(InvalidArgument, match="is one of a layered hive"):
        written(opened(a_delta(root)), is_layered=False)


@pytest.mark.parametrize(
    "root",
    [
        a_key("ROOT", a_key("a"), a_key("A")),
        a_key("ROOT", a_key(256 * "x")),
        a_key("ROOT", values=[BuiltValue(16384 * "x", 1, b"")]),
    ],
)
def test_hive_that_windows_could_not_hold_is_refused(root: BuiltKey) -> None:
    with pytest.raises(Malformed):
        written(opened(a_hive(root)))


@dataclass(frozen=True)
class Chain:
    """A key with one key below it, and so on."""

    depth: int
    name: str = "x"
    last_written_filetime: int = 0
    flags: KeyFlags = KeyFlags(0)
    control_flags: int = 0
    semantics: Semantics = Semantics.MERGE
    inherits_class: bool = False
    class_name: str = ""
    security: bytes = b""
    below: Chain | None = None

    def subkeys(self) -> Iterator[SourceKey]:
        return iter([self.below or Chain(self.depth - 1)] if self.depth else [])

    def values(self) -> Iterator[SourceValue]:
        return iter(())


def test_keys_go_as_deep_as_windows_allows() -> None:
    target = io.BytesIO()
    write_hive(target, Chain(MAX_DEPTH), fold=fold)
    assert len(told(opened(target.getvalue()).root)) == MAX_DEPTH + 1
    with pytest.raises(Malformed, match="512 deep"):
        write_hive(io.BytesIO(), Chain(MAX_DEPTH + 1), fold=fold)


def test_flags_without_a_name_are_kept() -> None:
    target = io.BytesIO()
    given = KeyFlags(0x0280) | KeyFlags.SYM_LINK | KeyFlags.VOLATILE | KeyFlags.HIVE_ENTRY
    write_hive(target, Chain(1, flags=given), fold=fold)
    hive = opened(target.getvalue())
    assert hive.root.flags == KeyFlags(0x0280) | KeyFlags.SYM_LINK | KeyFlags(0x2C)
    target = io.BytesIO()
    write_hive(target, Chain(1, below=Chain(0, flags=given, control_flags=0xA0)), fold=fold)
    (key,) = opened(target.getvalue()).root.subkeys()
    assert (key.flags, key.control_flags) == (KeyFlags(0x02B0), 0xA0)


def test_limit_is_kept() -> None:
    hive = opened(a_hive(a_key("ROOT", values=[BuiltValue("v", 3, bytes(8000))])))
    assert len(written(hive, limit=12288)) == 4096 + 12288
    with pytest.raises(TooLarge, match="more than 8,192 bytes"):
        written(hive, limit=8192)


def test_writing_can_be_stopped() -> None:
    cancel = Cancel()
    cancel.set()
    root = opened(a_hive(a_key("ROOT", a_key("a", values=[dword("v", 1)])))).root
    with pytest.raises(Cancelled):
        write_hive(io.BytesIO(), root, fold=fold, cancel=cancel)


def test_key_without_a_descriptor_has_none_and_others_share_one() -> None:
    hive = opened(written(opened(a_hive(a_key("ROOT", a_key("a"), a_key("b"))))))
    ((_, cell),) = descriptors(hive).items()
    assert (cell.use_count, cell.descriptor) == (3, DESCRIPTOR)


def test_same_keys_have_the_same_bytes() -> None:
    hive = (DATA / "minimal_BCD").read_bytes()
    digests = {hashlib.sha256(written(opened(hive))).digest() for _ in range(2)}
    assert len(digests) == 1
