from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import DESCRIPTOR
from tests.support.hives import (
    LOCAL,
    TOMBSTONE,
    BuiltKey,
    BuiltValue,
    HiveBuilder,
    a_delta,
    a_hive,
    a_key,
    dword,
    no_value,
    text,
)
from winlayers.errors import Malformed, TooLarge, WinlayersError
from winlayers.formats.hive import cells
from winlayers.formats.hive.cells import NONE, Semantics, ValueKind, checksum
from winlayers.formats.hive.reader import MAX_COUNT, MAX_DATA_SIZE, Hive, Key
from winlayers.formats.security import parse_descriptor
from winlayers.layer.names import fold

DATA = Path(__file__).parents[3] / "data"
DELTA = (DATA / "Software_Delta").read_bytes()
PLAIN = (DATA / "Software_plain_small").read_bytes()
BCD = (DATA / "minimal_BCD").read_bytes()


def opened(hive: bytes) -> Hive:
    return Hive.open(hive, fold=fold)


def walk(hive: Hive) -> Iterator[tuple[str, Key]]:
    """All keys with their paths."""
    pending = [("", hive.root)]
    while pending:
        path, key = pending.pop()
        yield path, key
        pending += [(f"{path}\\{below.name}", below) for below in key.subkeys()]


def root_of(root: BuiltKey) -> Key:
    return opened(a_hive(root)).root


# -- real hives -------------------------------------------------------------------------------------------


def test_real_difference_is_read_whole() -> None:
    hive = opened(DELTA)
    keys = dict(walk(hive))
    assert len(keys) == 2946
    assert Counter((key.semantics, key.inherits_class) for key in keys.values()) == {
        (Semantics.MERGE, False): 2731,
        (Semantics.MERGE, True): 111,
        (Semantics.SUPERSEDE_LOCAL, False): 74,
        (Semantics.TOMBSTONE, False): 17,
        (Semantics.SUPERSEDE_TREE, False): 12,
        (Semantics.SUPERSEDE_TREE, True): 1,
    }
    assert (hive.is_layered, hive.is_dirty, hive.root.name) == (True, False, "ROOT")
    assert hive.base_block.minor_version == 6


def test_values_of_a_real_difference_are_all_there() -> None:
    values = [value for _, key in walk(opened(DELTA)) for value in key.values()]
    assert len(values) == 3871
    assert sum(value.is_tombstone for value in values) == 2
    assert all(len(value.data) == value.size for value in values)
    assert sorted(value.size for value in values)[-2:] == [33762, 59122]


def test_each_subkey_of_a_real_difference_is_found_by_its_name() -> None:
    for _, key in walk(opened(DELTA)):
        for below in key.subkeys():
            found = key.subkey(below.name.swapcase())
            assert found is not None
            assert found.offset == below.offset


def test_descriptors_of_a_real_difference_parse() -> None:
    descriptors = {key.security for _, key in walk(opened(DELTA))}
    assert len(descriptors) == 50
    assert all(parse_descriptor(descriptor).owner for descriptor in descriptors)


def test_cells_of_a_real_difference_fill_its_bins() -> None:
    found = list(opened(DELTA).cells())
    assert (len(found), sum(not cell.is_used for cell in found)) == (12780, 3)
    bins = (len(DELTA) - 4096) // 4096
    assert sum(cell.size for cell in found) == len(DELTA) - 4096 - 32 * (
        bins - _further_blocks(DELTA)
    )


def _further_blocks(hive: bytes) -> int:
    """How many blocks of 4096 bytes go on with the bin before them."""
    return sum(hive[at : at + 4] != b"hbin" for at in range(4096, len(hive), 4096))


def test_plain_hive_with_hints_is_read() -> None:
    hive = opened(PLAIN)
    keys = dict(walk(hive))
    assert len(keys) == 12
    assert {key.semantics for key in keys.values()} == {Semantics.MERGE}
    assert sum(len(list(key.values())) for key in keys.values()) == 12
    assert not hive.is_layered
    last = max(keys, key=lambda path: path.count("\\"))
    found = hive.root.find(last[1:].upper())
    assert found is not None
    assert found.offset == keys[last].offset


def test_boot_configuration_is_read() -> None:
    hive = opened(BCD)
    assert {key.name for key in hive.root.subkeys()} == {"Description", "Objects"}
    elements = [key for path, key in walk(hive) if path.count("\\") == 4]
    assert len(elements) > 1
    assert {value.name for key in elements for value in key.values()} == {"Element"}


def test_hive_is_read_where_it_stands_in_a_file() -> None:
    reads = 0

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal reads
            reads += len(data := super().read(size))
            return data

    hive = Hive.open(Counted(DELTA), fold=fold)
    key = hive.root.find("Microsoft\\Windows NT\\CurrentVersion")
    assert key is not None
    assert key.name == "CurrentVersion"
    assert reads < len(DELTA) // 10


def test_file_object_may_give_less_than_is_asked() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 100))

    assert Hive.open(Slow(PLAIN), fold=fold).root.name == opened(PLAIN).root.name


# -- keys -------------------------------------------------------------------------------------------------

TREE = a_key(
    "ROOT",
    a_key("Alpha", a_key("Ä", a_key("deep", class_name="Class")), lists="li"),
    a_key("beta", lists="lf"),
    a_key("größe 文"),
)


@pytest.mark.parametrize("lists", ["lh", "lf", "li", "ri"])
def test_subkeys_come_from_each_kind_of_list(lists: str) -> None:
    names = ["aaaa1", "aaaa2", "B"]
    root = root_of(a_key("ROOT", *map(a_key, names), lists=lists))
    assert [key.name for key in root.subkeys()] == names
    for name in names:
        found = root.subkey(name.upper())
        assert found is not None
        assert found.name == name
    assert root.subkey("aaaa3") is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", "ROOT"),
        ("ALPHA", "Alpha"),
        ("alpha\\ä\\DEEP", "deep"),
        ("GRÖßE 文", "größe 文"),
        ("GRÖSSE 文", None),
        ("alpha\\none\\deep", None),
        ("\\Alpha", None),
        ("Alpha\\", None),
    ],
)
def test_find_goes_down_without_case(path: str, name: str | None) -> None:
    found = root_of(TREE).find(path)
    assert (found and found.name) == name


def test_key_tells_its_class_descriptor_and_time() -> None:
    key = root_of(TREE).find("Alpha\\ä\\deep")
    assert key is not None
    assert (key.class_name, key.security, key.last_written_filetime) == ("Class", DESCRIPTOR, 7)
    assert root_of(TREE).class_name == ""
    assert key.flags == cells.KeyFlags.COMP_NAME
    assert repr(key) == f"<Key 'deep' at {key.offset}>"


def test_layer_byte_means_something_in_layered_hives_only() -> None:
    tree = a_key("ROOT", a_key("x", values=[no_value("gone")], layer_byte=0x80 | LOCAL))
    upper = opened(a_delta(tree)).root.subkey("x")
    assert upper is not None
    assert (upper.semantics, upper.inherits_class) == (Semantics.SUPERSEDE_LOCAL, True)
    assert [value.is_tombstone for value in upper.values()] == [True]
    plain = root_of(tree).subkey("x")
    assert plain is not None
    assert (plain.semantics, plain.inherits_class) == (Semantics.MERGE, False)
    assert [value.is_tombstone for value in plain.values()] == [False]


def test_deleted_key_is_told() -> None:
    root = opened(a_delta(a_key("ROOT", a_key("x", layer_byte=TOMBSTONE)))).root
    assert [key.semantics for key in root.subkeys()] == [Semantics.TOMBSTONE]


def test_dirty_hive_is_read_and_told() -> None:
    hive = opened(a_hive(TREE, sequences=(4, 3)))
    assert hive.is_dirty
    assert len(list(hive.root.subkeys())) == 3


# -- values -----------------------------------------------------------------------------------------------


def a_value(kind: int, data: bytes, *, minor: int = 5) -> Hive:
    return opened(a_hive(a_key("ROOT", values=[BuiltValue("v", kind, data)]), minor=minor))


@pytest.mark.parametrize("size", [0, 1, 4, 5, 16344, 16345, 2 * 16344, 40_000])
@pytest.mark.parametrize("minor", [3, 5])
def test_data_of_any_size_is_read(size: int, minor: int) -> None:
    data = bytes(number % 251 for number in range(size))
    value = a_value(ValueKind.BINARY, data, minor=minor).root.value("V")
    assert value is not None
    assert (value.data, value.size) == (data, size)
    assert (value.text, value.texts, value.integer) == (None, None, None)


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (ValueKind.SZ, "text\0".encode("utf-16-le"), "text"),
        (ValueKind.SZ, "text".encode("utf-16-le"), "text"),
        (ValueKind.EXPAND_SZ, "a\0rest\0".encode("utf-16-le"), "a"),
        (ValueKind.LINK, "\\Registry".encode("utf-16-le"), "\\Registry"),
        (ValueKind.SZ, "odd".encode("utf-16-le") + b"x", "odd"),
        (ValueKind.SZ, b"\0\xd8", "\ud800"),
        (ValueKind.SZ, b"", ""),
    ],
)
def test_text_ends_at_its_first_nul(kind: int, data: bytes, expected: str) -> None:
    value = a_value(kind, data).root.value("v")
    assert value is not None
    assert value.text == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\0bc\0\0", ["a", "bc"]),
        ("a\0bc", ["a", "bc"]),
        ("a\0\0c\0\0", ["a"]),
        ("\0", []),
        ("", []),
    ],
)
def test_texts_end_at_the_first_empty_one(content: str, expected: list[str]) -> None:
    value = a_value(ValueKind.MULTI_SZ, content.encode("utf-16-le")).root.value("v")
    assert value is not None
    assert value.texts == expected


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (ValueKind.DWORD, b"\x01\x02\x03\x84", 0x84030201),
        (ValueKind.DWORD_BIG_ENDIAN, b"\x01\x02\x03\x84", 0x01020384),
        (ValueKind.QWORD, b"\x01" + bytes(6) + b"\x80", 0x8000000000000001),
    ],
)
def test_integers_by_kind(kind: int, data: bytes, expected: int) -> None:
    value = a_value(kind, data).root.value("v")
    assert value is not None
    assert value.integer == expected


@pytest.mark.parametrize(
    ("kind", "data"),
    [(ValueKind.DWORD, b"abc"), (ValueKind.QWORD, b"abcd"), (ValueKind.DWORD, b"")],
)
def test_integer_of_another_size_is_malformed(kind: int, data: bytes) -> None:
    value = a_value(kind, data).root.value("v")
    assert value is not None
    with pytest.raises(Malformed):
        assert value.integer is None


def test_value_of_an_unknown_kind_is_bytes() -> None:
    value = a_value(0xFFFF0007, b"abcdef").root.value("v")
    assert value is not None
    assert (value.kind, value.data, value.text) == (0xFFFF0007, b"abcdef", None)
    assert repr(value) == "<Value 'v' of kind 4294901767, 6 bytes>"


def test_values_are_found_without_case_and_the_default_by_no_name() -> None:
    root = root_of(a_key("ROOT", values=[text("", "default"), text("Name", "x"), dword("ä", 1)]))
    assert [value.name for value in root.values()] == ["", "Name", "ä"]
    for name, kept in [("", ""), ("NAME", "Name"), ("Ä", "ä")]:
        value = root.value(name)
        assert value is not None
        assert value.name == kept
    assert root.value("none") is None


# -- hostile hives ----------------------------------------------------------------------------------------


def read_all(hive: bytes) -> int:
    """Read everything that a hive of any bytes lets read; how many keys there were."""
    count = 0
    for _, key in walk(opened(hive)):
        count += 1
        assert isinstance(key.class_name, str)
        assert isinstance(key.security, bytes)
        for value in key.values():
            assert len(value.data) == value.size
            assert [value.text, value.texts, value.integer].count(None) >= 2
    return count


def changed(change: Callable[[HiveBuilder, int], int | None]) -> bytes:
    """A hive of two keys after a change to the root, which lists ``a`` and ``b`` and has two values."""
    builder = HiveBuilder()
    values = [text("one", "1" * 10), BuiltValue("big", ValueKind.BINARY, bytes(20_000))]
    root = builder.key(
        a_key("ROOT", a_key("a", a_key("c")), a_key("b"), values=values), is_root=True
    )
    return builder.build(change(builder, root) or root)


def field(at: int, number: int, size: int = 4) -> Callable[[HiveBuilder, int], None]:
    """Another number in a field of the root."""
    return lambda builder, root: builder.change(root, at, number.to_bytes(size, "little"))


def lists(content: Callable[[HiveBuilder, int, Key], bytes], count: int = 2) -> bytes:
    """A hive whose root has another subkey list."""

    def change(builder: HiveBuilder, root: int) -> None:
        old = Hive.open(builder.build(root), fold=fold).root
        builder.change(root, 28, struct.pack("<I", builder.put(content(builder, root, old))))
        builder.change(root, 20, struct.pack("<I", count))

    return changed(change)


def below(root: Key, path: str) -> int:
    found = root.find(path)
    assert found is not None
    return found.offset


def li(*offsets: int) -> bytes:
    return b"li" + struct.pack(f"<H{len(offsets)}I", len(offsets), *offsets)


def ri(*offsets: int) -> bytes:
    return b"ri" + li(*offsets)[2:]


def own_root(builder: HiveBuilder, root: int, old: Key) -> bytes:
    """A list of the root, which says that it is below itself."""
    builder.change(root, 16, struct.pack("<I", root))
    return li(root)


def class_of(builder: HiveBuilder, root: int, size: int) -> None:
    """A class of four bytes that says to have another size."""
    builder.change(root, 48, struct.pack("<I", builder.put(b"abcd")))
    builder.change(root, 74, struct.pack("<H", size))


HOSTILE: dict[str, tuple[bytes, str]] = {
    "root that is none": (changed(lambda builder, root: NONE), "no offset of a cell"),
    "root at an odd offset": (changed(lambda builder, root: root + 4), "no offset of a cell"),
    "root in the header": (changed(lambda builder, root: 24), "no offset of a cell"),
    "root that is no key": (
        changed(lambda builder, root: builder.put(b"vk" + bytes(100))),
        "not with b'nk'",
    ),
    "root that is free": (
        changed(lambda builder, root: builder.put(b"nk" + bytes(100), is_used=False)),
        "marked as free",
    ),
    "subkeys without a list": (changed(field(28, NONE)), "no offset of a cell"),
    "more subkeys than listed": (changed(field(20, 3)), "lists 2 subkeys, not 3"),
    "fewer subkeys than listed": (changed(field(20, 1)), "lists more than its 1 subkeys"),
    "subkey twice": (
        lists(lambda _, root, old: li(below(old, "a"), below(old, "a"))),
        "name a subkey twice",
    ),
    "subkey of another key": (
        lists(lambda _, root, old: li(below(old, "a"), below(old, "a\\c"))),
        "is no subkey of 'ROOT'",
    ),
    "root below itself": (
        lists(own_root, 1),
        "is no subkey of 'ROOT'",
    ),
    "list that is no list": (lists(lambda *_: b"vk" + bytes(30)), "begins with b'vk'"),
    "list in lists twice": (
        lists(lambda builder, root, old: ri(*[builder.put(li(below(old, "a")))] * 2)),
        "names one twice",
    ),
    "subkey in two lists": (
        lists(
            lambda builder, root, old: ri(
                builder.put(li(below(old, "a"))), builder.put(li(below(old, "a")))
            )
        ),
        "name a subkey twice",
    ),
    "lists of lists of lists": (
        lists(lambda builder, root, old: ri(builder.put(ri(builder.put(li(below(old, "a"))))))),
        "stands in a list of lists",
    ),
    "list of anything": (lists(lambda *_: li(32, 33)), "33 is no offset of a cell"),
    "values without a list": (changed(field(40, NONE)), "no offset of a cell"),
    "more values than listed": (changed(field(36, 1000)), "a list of 4000 bytes"),
    "value twice": (
        changed(
            lambda builder, root: builder.change(
                root, 40, struct.pack("<I", builder.offsets([builder.value(dword("v", 1))] * 2))
            )
        ),
        "names a cell twice",
    ),
    "value that is none": (
        changed(
            lambda builder, root: builder.change(
                root, 40, struct.pack("<I", builder.offsets([root, builder.put(b"x")]))
            )
        ),
        "not with b'vk'",
    ),
    "class longer than its cell": (
        changed(lambda *given: class_of(*given, 20)),
        "a class of 20 bytes",
    ),
    "class of an odd size": (changed(lambda *given: class_of(*given, 3)), "an odd number"),
    "descriptor that is none": (changed(field(44, 1 << 30)), "no offset of a cell"),
}


def value_of(size: int, data: Callable[[HiveBuilder], int]) -> bytes:
    """A hive whose root has one value with this size and this offset of data."""

    def change(builder: HiveBuilder, root: int) -> None:
        cell = builder.put(cells.VALUE.pack(b"vk", 0, size, data(builder), 3, 0, 0))
        builder.change(root, 36, struct.pack("<II", 1, builder.offsets([cell])))

    return changed(change)


def segments(count: int, sizes: list[int]) -> Callable[[HiveBuilder], int]:
    def data(builder: HiveBuilder) -> int:
        parts = [builder.put(bytes(size)) for size in sizes]
        return builder.put(cells.BIG_DATA.pack(b"db", count, builder.offsets(parts)))

    return data


def same_segment(builder: HiveBuilder) -> int:
    listed = builder.offsets([builder.put(bytes(16348))] * 2)
    return builder.put(cells.BIG_DATA.pack(b"db", 2, listed))


HOSTILE |= {
    "value longer than its cell": (
        value_of(100, lambda builder: builder.put(bytes(20))),
        "100 bytes of a value",
    ),
    "value longer than the hive": (
        value_of(0x7FFFFFFF, lambda builder: builder.put(bytes(20))),
        "more than all bins have",
    ),
    "value without data": (value_of(20, lambda builder: NONE), "no offset of a cell"),
    "big data that is none": (
        value_of(20_000, lambda builder: builder.put(bytes(20_000))),
        "not with b'db'",
    ),
    "big data with a segment too many": (
        value_of(20_000, segments(3, [16348, 16348, 16348])),
        "in 3 segments",
    ),
    "big data with a short segment": (
        value_of(20_000, segments(2, [16000, 16348])),
        "16344 bytes of a value in a cell",
    ),
    "big data with a short end": (
        value_of(32_000, segments(2, [16348, 100])),
        "bytes of a value in",
    ),
    "big data with a short list": (value_of(20_000, segments(2, [16348])), "a list of 8 bytes"),
    "big data with one segment twice": (value_of(20_000, same_segment), "a segment twice"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_hive_is_malformed_with_an_offset(name: str) -> None:
    hive, reason = HOSTILE[name]
    with pytest.raises(Malformed, match=reason) as caught:
        read_all(hive)
    assert caught.value.offset is not None
    assert 0 <= caught.value.offset <= len(hive)


def test_hive_that_the_hostile_ones_are_made_of_is_sound() -> None:
    assert read_all(changed(lambda builder, root: None)) == 4


def test_keys_that_go_round_are_malformed() -> None:
    builder = HiveBuilder()
    root = builder.key(a_key("ROOT", a_key("a", a_key("b"))), is_root=True)
    old = opened(builder.build(root)).root
    a, b = below(old, "a"), below(old, "a\\b")
    builder.change(b, 20, struct.pack("<I", 1))
    builder.change(b, 28, struct.pack("<I", builder.put(li(a))))
    with pytest.raises(Malformed, match="the key 'a' is no subkey of 'b'"):
        read_all(builder.build(root))


def a_chain(depth: int) -> bytes:
    """A hive with a key in a key as often as this."""
    builder = HiveBuilder()
    top = builder.key(a_key("x"))
    for _ in range(depth):
        lower, top = top, builder.key(a_key("x"))
        builder.change(lower, 16, struct.pack("<I", top))
        builder.change(top, 20, struct.pack("<I", 1))
        builder.change(top, 28, struct.pack("<I", builder.put(li(lower))))
    return builder.build(top)


def test_keys_lie_no_deeper_than_windows_allows() -> None:
    assert read_all(a_chain(cells.MAX_DEPTH)) == cells.MAX_DEPTH + 1
    with pytest.raises(Malformed, match="more than 512 deep"):
        read_all(a_chain(cells.MAX_DEPTH + 1))


def test_too_many_subkeys_or_values_are_refused_before_they_are_read() -> None:
    count = MAX_COUNT + 1
    with pytest.raises(TooLarge):
        read_all(changed(field(20, count)))
    with pytest.raises(TooLarge):
        read_all(changed(field(36, count)))


def test_huge_value_is_refused_before_it_is_read() -> None:
    class Sparse(io.BytesIO):
        """A hive of 128 MiB of which only the beginning is there."""

        def seek(self, offset: int, whence: int = 0) -> int:
            return super().seek(offset, whence) if whence == 0 else 128 << 20

        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert size <= 4096
            return super().read(size)

    hive = bytearray(value_of(MAX_DATA_SIZE + 1, lambda builder: 32))
    struct.pack_into("<I", hive, 40, 100 << 20)
    struct.pack_into("<I", hive, 508, checksum(bytes(hive)))
    value = Hive.open(Sparse(hive), fold=fold).root.value("")
    assert value is not None
    with pytest.raises(TooLarge):
        assert value.data == b""


def test_hive_shorter_than_its_bins_is_malformed() -> None:
    with pytest.raises(Malformed, match="bytes of bins") as caught:
        opened(PLAIN[:-1])
    assert caught.value.offset == 40
    assert opened(PLAIN + b"padding").root.name == opened(PLAIN).root.name


@pytest.mark.parametrize("at", [4096, 4100, 4104, 4128])
def test_bins_that_do_not_fit_are_malformed(at: int) -> None:
    hive = PLAIN[:at] + b"\x11" + PLAIN[at + 1 :]
    with pytest.raises(Malformed):
        list(Hive.open(hive, fold=fold).cells())


SMALL = [PLAIN, BCD, a_hive(TREE), changed(lambda builder, root: None)]
EDGES = [0, 1, 8, 24, 32, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, NONE]


@settings(max_examples=250, deadline=None, derandomize=True)
@given(st.data())
def test_mutated_hives_raise_our_errors_alone(data: st.DataObject) -> None:
    hive = bytearray(data.draw(st.sampled_from(SMALL)))
    numbers = st.one_of(st.sampled_from(EDGES), st.integers(0, NONE))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(hive) // 4 - 1)) * 4
        if data.draw(st.booleans()):
            struct.pack_into("<I", hive, at, data.draw(numbers))
        else:
            source = data.draw(st.integers(0, len(hive) // 4 - 1)) * 4
            hive[at : at + 4] = hive[source : source + 4]
    if data.draw(st.booleans()):
        del hive[data.draw(st.integers(0, len(hive))) :]
    if len(hive) >= 512:
        struct.pack_into("<I", hive, 508, checksum(bytes(hive)))
    with suppress(WinlayersError):
        assert read_all(bytes(hive)) <= len(hive) // 8
    with suppress(WinlayersError):
        assert all(cell.size >= 8 for cell in opened(bytes(hive)).cells())
