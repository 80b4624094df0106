from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from winlayers.errors import Malformed, TooLarge
from winlayers.formats import tarplain, tarsource
from winlayers.formats.pax import build_records
from winlayers.formats.tar import BLOCK_SIZE, TarFormat, TarHeader, TarReader, TarSource, TarWriter
from winlayers.formats.tarblock import (
    build_number,
    build_octal,
    build_text,
    fits_base256,
    has_right_checksum,
    parse_block,
    parse_number,
    parse_octal,
    sum_of,
)
from winlayers.formats.tarchoice import split_name
from winlayers.formats.tarplain import PlainBlocks

ZEROS = bytes(BLOCK_SIZE)
END = ZEROS + ZEROS
GIGA = 1_000_000_000


def a_header(name: bytes = b"Files/a", **fields: Any) -> TarHeader:
    return TarHeader(name, fields.pop("typeflag", b"0"), **fields)


def a_tar(*entries: tuple[TarHeader, bytes], close: bool = True) -> bytes:
    target = io.BytesIO()
    writer = TarWriter(target)
    for header, body in entries:
        writer.add(header)
        writer.write(body)
    if close:
        writer.close()
    else:
        writer.flush()
    return target.getvalue()


def a_block(**fields: Any) -> bytes:
    target = io.BytesIO()
    TarWriter(target).add(a_header(**fields))
    assert len(target.getvalue()) == BLOCK_SIZE
    return target.getvalue()


def with_bytes(block: bytes, at: int, new: bytes) -> bytes:
    """The block with other bytes in it and its checksum made right."""
    changed = block[:at] + new + block[at + len(new) :]
    blanked = changed[:148] + b" " * 8 + changed[156:BLOCK_SIZE]
    return blanked[:148] + b"%06o\0 " % sum(blanked) + changed[156:]


def read(tar: bytes) -> list[tuple[TarHeader, bytes]]:
    reader = TarReader(io.BytesIO(tar))
    return [(header, reader.read()) for header in reader]


def error_of(tar: bytes, action: Callable[[bytes], object] = read) -> Malformed:
    with pytest.raises(Malformed) as caught:
        action(tar)
    return caught.value


# Values


@pytest.mark.parametrize(
    ("field", "number"),
    [
        (b"0000000\0", 0),
        (b"\0\0\0\0", 0),
        (b"    ", 0),
        (b" 0017 \0", 15),
        (b"17\0 99\0", 15),
        (b"77777777", 0o77777777),
    ],
)
def test_octal_is_read(field: bytes, number: int) -> None:
    assert parse_octal(field) == number


@pytest.mark.parametrize("field", [b"8", b"1 7", b"-1", b"0o7", b"1_7", b"+7", b"x"])
def test_no_octal_is_malformed(field: bytes) -> None:
    with pytest.raises(Malformed, match="octal"):
        parse_octal(field)


@pytest.mark.parametrize("number", [0, 1, -1, 1 << 33, -(1 << 40), (1 << 63) - 1, -(1 << 63)])
def test_base_256_comes_back(number: int) -> None:
    assert parse_number(build_number(12, number)) == number


def test_base_256_of_more_than_64_bits_is_malformed() -> None:
    with pytest.raises(Malformed, match="64 bits"):
        parse_number(b"\x80\0\0\0" + b"\xff" * 8)
    with pytest.raises(Malformed, match="64 bits"):
        parse_number(b"\xbf" + b"\xff" * 11)


@pytest.mark.parametrize(
    ("size", "number", "fits"),
    [
        (8, (1 << 56) - 1, True),
        (8, 1 << 56, False),
        (8, -(1 << 56), True),
        (8, -(1 << 56) - 1, False),
        (12, (1 << 63) - 1, True),
        (12, 1 << 63, False),
    ],
)
def test_what_fits_base_256(size: int, number: int, fits: bool) -> None:
    assert fits_base256(size, number) is fits


def test_number_that_fits_nowhere_is_written_as_zero() -> None:
    assert build_octal(8, 1 << 21) == b"0000000\0"
    assert build_number(8, 1 << 60) == b"0000000\0"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"ab", b"ab\0\0"),
        (b"abcd", b"abcd"),
        (b"abcde", b"abcd"),
        (b"abc/", b"abc/"),
        (b"abc/e", b"abc\0"),
        (b"a///e", b"a\0//"),
        (b"/////", b"\0///"),
    ],
)
def test_text_is_cut_so_that_no_slash_ends_it(text: bytes, field: bytes) -> None:
    assert build_text(4, text) == field


@pytest.mark.parametrize(
    ("name", "split"),
    [
        (b"a/" + b"b" * 98, None),
        (b"a/" + b"b" * 99, (b"a", b"b" * 99)),
        (b"a/" + b"b" * 100, (b"a", b"b" * 100)),
        (b"a/" + b"b" * 101, None),
        (b"/" + b"b" * 100, None),
        (b"a" * 155 + b"/b", (b"a" * 155, b"b")),
        (b"a" * 156 + b"/b", None),
        (b"a" * 120 + b"/", None),
        (b"a" * 60 + b"/" + b"b" * 60 + b"/", (b"a" * 60, b"b" * 60 + b"/")),
        (b"a/" + b"\xc3\xa4" * 60, None),
        (b"a/" + b"b" * 98 + b"\0", None),
    ],
)
def test_long_names_split_at_a_slash(name: bytes, split: tuple[bytes, bytes] | None) -> None:
    assert split_name(name) == split


@pytest.mark.parametrize("block", [bytes(512), b"\xff" * 512, bytes(range(256)) * 2, b"\x7f" * 512])
def test_sum_is_exact(block: bytes) -> None:
    assert sum_of(block) == sum(block)


def test_checksum_may_be_of_signed_bytes() -> None:
    block = (
        a_block(name=b"x")[:148] + b" " * 8 + a_block(name=b"\xff" * 90, format=TarFormat.GNU)[156:]
    )
    block = b"\xff" * 20 + block[20:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    for total in (sum(block), signed):
        assert has_right_checksum(block[:148] + b"%06o\0 " % total + block[156:])
    assert not has_right_checksum(block[:148] + b"%06o\0 " % (signed + 1) + block[156:])


def test_sum_that_is_65521_off_is_noticed() -> None:
    # Adler-32 alone cannot tell these two sums apart.
    block = a_block(name=b"\x7f" * 100, linkname=b"\x7f" * 100, typeflag=b"2")
    wrong = block[:148] + b"%06o\0 " % (int(block[148:154], 8) + 65521) + block[156:]
    assert PlainBlocks().parse(block) == parse_block(block)
    assert PlainBlocks().parse(wrong) is None
    with pytest.raises(Malformed, match="checksum"):
        parse_block(wrong)


@pytest.mark.parametrize(
    "change",
    [
        (100, b"000644 \0"),
        (124, b"00000000017 "),
        (136, b"00000000017 "),
        (136, b"\0" * 12),
        (136, b"          17"),
        (108, b"00000009"),
        (329, b"0000009\0"),
        (124, b"0000000000x\0"),
        (136, b"0000000000_\0"),
        (136, b"000000000008"),
        (257, b"ustar  \0"),
        (257, b"ustar\0xx"),
        (257, b"XXXXX\0"),
        (345, b"prefix"),
        (508, b"tar\0"),
        (0, b"\xc3\xa4"),
        (156, b"\0"),
    ],
)
def test_plain_blocks_read_as_any_block_or_not_at_all(change: tuple[int, bytes]) -> None:
    block = with_bytes(a_block(mode=0o100644, mtime_ns=GIGA), *change)
    plain = PlainBlocks().parse(block)
    if plain is None:
        assert change != (100, b"000644 \0")
    else:
        assert plain == parse_block(block)


def test_block_of_another_tool_is_plain_too() -> None:
    numbers = b"000644 \0", b"000000 \0", b"000000 \0", b"00000000017 ", b"00000000017 "
    block = with_bytes(a_block(), 100, b"".join(numbers))
    assert PlainBlocks().parse(block) == parse_block(block)
    assert parse_block(block)[-1] == 0


def test_star_block_has_its_times_and_a_shorter_prefix() -> None:
    block = with_bytes(a_block(), 345, b"p" * 131 + b"00000000007\0" + bytes(20) + b"tar\0")
    block = with_bytes(block, 257, b"ustar\0")
    name, *_, times, formats = parse_block(block)
    assert (name, times, formats) == (b"p" * 131 + b"/Files/a", (7, 0), 0)


@pytest.mark.parametrize(
    ("field", "name"), [(b"prefix", b"prefix/Files/a"), (b"pr\xc3\xa4fix", b"Files/a")]
)
def test_gnu_block_with_a_prefix_for_times_is_of_bygone_days(field: bytes, name: bytes) -> None:
    block = with_bytes(a_block(format=TarFormat.GNU, mode=-1), 345, field)
    fields = parse_block(block)
    assert (fields[0], fields[-2], fields[-1]) == (name, (None, None), 0)


def test_gnu_block_has_the_times_that_are_there() -> None:
    block = a_block(format=TarFormat.GNU, mode=-1, ctime_ns=5 * GIGA)
    assert parse_block(block)[-2:] == ((None, 5), TarFormat.GNU)


def test_memory_of_fields_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarplain, "_MEMORY", 4)
    plain = PlainBlocks()
    for size in range(20):
        block = a_block(size=size)
        assert plain.parse(block) == parse_block(block)
    assert len(plain._numbers) <= 4


# Reading


@pytest.mark.parametrize(
    "change", [(108, b"9"), (124, b"x"), (136, b"x"), (257, b"X"), (345, b"p")]
)
def test_plain_extensions_are_sound(change: tuple[int, bytes]) -> None:
    block = with_bytes(with_bytes(a_block(), 156, b"x"), *change)
    assert PlainBlocks().parse_extension(block) is None
    assert PlainBlocks().parse_extension(block[:148] + b"0000000\0" + block[156:]) is None


def test_records_that_no_plain_entry_has_are_applied() -> None:
    records = {
        b"size": b"3",
        b"uid": b"-5",
        b"gid": b"6",
        b"uname": b"u",
        b"gname": b"",
        b"k": b"v\nw",
    }
    [(header, body)] = read(a_pax_tar(records, b"abc", gname=b"g"))
    assert (header.size, header.uid, header.gid, header.uname) == (3, -5, 6, b"u")
    assert (header.gname, body) == (b"g", b"abc")
    assert "negative" in error_of(a_pax_tar({b"size": b"-1"}, b"")).reason


def test_what_the_short_cut_leaves_is_read_all_the_same() -> None:
    first = a_tar((a_header(b"first"), b""), close=False)  # the short cut needs a filled buffer
    tar = first + a_pax_tar({b"mtime": b"7"}, b"abc")
    extended = with_bytes(tar[BLOCK_SIZE : 2 * BLOCK_SIZE], 345, b"p")
    odd = first + extended + tar[2 * BLOCK_SIZE :]
    assert [header.mtime_ns for header, _ in read(odd)] == [0, 7 * GIGA]
    assert "middle" in error_of(tar[: 3 * BLOCK_SIZE + 1]).reason
    assert "decimal" in error_of(first + a_pax_tar({b"mtime": b"soon"}, b"abc")).reason
    assert "negative" in error_of(first + a_pax_tar({b"size": b"-1"}, b"")).reason
    _, (header, body) = read(first + a_tar((a_header(typeflag=b"A", size=3), b"abc")))
    assert (header.typeflag, body) == (b"A", b"abc")


def test_old_type_is_that_of_the_name() -> None:
    [(file, _), (folder, _)] = read(
        with_bytes(a_block(), 156, b"\0")
        + with_bytes(a_block(name=b"d/", typeflag=b"5"), 156, b"\0")
    )
    assert (file.typeflag, folder.typeflag) == (b"0", b"5")


def test_map_cut_short_by_the_end_of_the_source() -> None:
    tar = an_old_sparse_tar([(at * 4, 1) for at in range(60)], 250, b"")
    assert "middle" in error_of(tar[: 2 * BLOCK_SIZE - 1]).reason


def test_empty_input_has_no_entries_and_no_end_marker() -> None:
    reader = TarReader(io.BytesIO())
    assert reader.next() is None
    assert reader.next() is None
    assert reader.end_marker == 0


@pytest.mark.parametrize(("tail", "marker"), [(b"", 0), (ZEROS, 1), (END, 2), (END + b"junk", 2)])
def test_end_marker_is_counted(tail: bytes, marker: int) -> None:
    tar = a_tar((a_header(size=5), b"hello"), close=False)
    reader = TarReader(io.BytesIO(tar + tail))
    assert [header.name for header in reader] == [b"Files/a"]
    assert reader.end_marker == marker
    assert reader.offset == len(tar) + marker * BLOCK_SIZE
    assert reader.read() == b""


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b"x", "middle"),
        (ZEROS + b"x", "middle"),
        (ZEROS + b"1" * BLOCK_SIZE, "checksum"),
        (ZEROS + a_block(), "one zero block"),
    ],
)
def test_other_tails_are_malformed(tail: bytes, reason: str) -> None:
    tar = a_tar((a_header(), b""), close=False)
    error = error_of(tar + tail)
    assert reason in error.reason
    assert error.offset is not None
    assert error.offset >= len(tar)


def test_padding_that_is_cut_is_a_clean_end_and_a_body_that_is_cut_is_not() -> None:
    tar = a_tar((a_header(size=5), b"hello"), close=False)
    for size in range(BLOCK_SIZE + 5, 2 * BLOCK_SIZE):
        assert [body for _, body in read(tar[:size])] == [b"hello"]
    for size in range(BLOCK_SIZE, BLOCK_SIZE + 5):
        reader = TarReader(io.BytesIO(tar[:size]))
        assert reader.next() is not None
        with pytest.raises(Malformed, match=r"'Files/a'.*ends in the middle"):
            reader.next()


def test_error_is_the_answer_from_then_on() -> None:
    reader = TarReader(io.BytesIO(a_block(size=5) + b"hel"))
    assert reader.next() is not None
    piece = bytearray(8)
    assert reader.readinto(piece) == 3
    for _ in range(2):
        with pytest.raises(Malformed, match="ends in the middle"):
            reader.read()
        with pytest.raises(Malformed, match="ends in the middle"):
            reader.next()


def test_short_read_of_a_cut_body_is_an_error_and_not_a_short_body() -> None:
    reader = TarReader(io.BytesIO(a_block(size=5) + b"hel"))
    reader.next()
    with pytest.raises(Malformed):
        reader.read(5)


def test_places_tile_the_tar() -> None:
    entries = [
        (a_header(b"Files", typeflag=b"5"), b""),
        (a_header(b"n" * 150, size=700), b"x" * 700),
        (a_header(b"b", size=1, mtime_ns=1, atime_ns=0, format=TarFormat.PAX), b"y"),
        (a_header(b"l" * 150, linkname=b"k" * 150, typeflag=b"1", format=TarFormat.GNU), b""),
    ]
    tar = a_tar(*entries)
    at = 0
    for header, body in read(tar):
        assert header.offset == at
        assert header.stored_size == len(body)
        assert tar[header.body_offset : header.body_offset + header.stored_size] == body
        at = header.body_offset + header.stored_size + -header.stored_size % BLOCK_SIZE
    assert at + len(END) == len(tar)


def test_body_is_read_in_pieces_and_as_a_file() -> None:
    content = bytes(range(256)) * 10
    reader = TarReader(io.BytesIO(a_tar((a_header(size=2560), content), (a_header(b"b"), b""))))
    reader.next()
    body = reader.open_body()
    assert reader.read(10) == content[:10]
    assert body.read(10) == content[10:20]
    assert body.read(0) == b""
    piece = bytearray(5)
    assert body.readinto(piece) == 5
    assert piece == content[20:25]
    assert body.read() == content[25:]
    assert body.read(1) == b""
    reader.next()
    with pytest.raises(ValueError, match="gone on"):
        body.read(1)
    with pytest.raises(ValueError, match="gone on"):
        body.readinto(bytearray(1))


class Skipping:
    """A source with ``skip``; it keeps what it did."""

    def __init__(self, data: bytes, chunk: int) -> None:
        self._file = io.BytesIO(data)
        self._chunk = chunk
        self.skipped = 0

    def read(self, size: int, /) -> memoryview:
        return memoryview(bytearray(self._file.read(min(size, self._chunk))))

    def skip(self, size: int) -> int:
        start = self._file.tell()
        size = min(size, self._file.seek(0, io.SEEK_END) - start)
        self._file.seek(start + size)
        self.skipped += size
        return size


class Unseekable:
    """A source that can only read, into a buffer that it uses again."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self._buffer = bytearray(5000)

    def read(self, size: int, /) -> memoryview:
        assert size > 0
        self._buffer[:] = b"\xee" * len(self._buffer)
        return memoryview(self._buffer)[: self._file.readinto(self._buffer)]


BIG = 3 << 20
BIG_TAR = a_tar((a_header(size=BIG), b"z" * BIG), (a_header(b"after"), b""))


@pytest.mark.parametrize(
    "source_of", [io.BytesIO, lambda data: Skipping(data, 4096), Unseekable, io.BufferedReader]
)
def test_bodies_are_passed_over_by_any_source(source_of: Callable[[Any], TarSource]) -> None:
    def source(data: bytes) -> TarSource:
        return source_of(io.BytesIO(data) if source_of is io.BufferedReader else data)

    assert [header.name for header in TarReader(source(BIG_TAR))] == [b"Files/a", b"after"]
    reader = TarReader(source(BIG_TAR[: BLOCK_SIZE + BIG - 1]))
    reader.next()
    error = error_of(b"", lambda _: reader.next())
    assert (error.offset, error.entry) == (BLOCK_SIZE + BIG - 1, "Files/a")


def test_skip_of_the_source_is_used() -> None:
    source = Skipping(BIG_TAR, 4096)
    assert len(list(TarReader(source))) == 2
    assert source.skipped > BIG - 8192


def test_body_larger_than_any_file_is_cut_without_harm() -> None:
    records = build_records({b"size": b"%d" % ((1 << 63) - 1)})
    extended = with_bytes(a_block(size=len(records)), 156, b"x")
    tar = extended + records.ljust(BLOCK_SIZE, b"\0") + a_block() + bytes(tarsource.READ_SIZE)
    reader = TarReader(io.BytesIO(tar))
    header = reader.next()
    assert header is not None
    assert header.size == (1 << 63) - 1
    with pytest.raises(Malformed, match="ends in the middle"):
        reader.next()


def test_large_extension_is_refused() -> None:
    block = with_bytes(a_block(size=(1 << 20) + 1), 156, b"x")
    assert "1 MiB" in error_of(block + bytes(2 << 20)).reason


def test_negative_size_is_malformed_but_for_types_without_body() -> None:
    negative = b"\xff" * 12
    assert "negative" in error_of(with_bytes(a_block(), 124, negative) + END).reason
    header, body = read(with_bytes(a_block(typeflag=b"2"), 124, negative) + END)[0]
    assert (header.size, header.stored_size, body) == (-1, 0, b"")


def test_bad_record_names_the_entry() -> None:
    records = build_records({b"mtime": b"soon"})
    extended = with_bytes(a_block(size=len(records)), 156, b"x")
    error = error_of(
        extended + records.ljust(BLOCK_SIZE, b"\0") + with_bytes(a_block(), 0, b"b\xff\0") + END
    )
    assert (error.structure, error.entry) == ("PAX header", "b\\xff")
    assert error.offset == 2 * BLOCK_SIZE


def test_global_header_is_an_entry_and_applies_to_none() -> None:
    tar = a_tar(
        (a_header(b"g", typeflag=b"g", pax={b"comment": b"x", b"mtime": b"no time"}), b""),
        (a_header(b"b", mtime_ns=5 * GIGA), b""),
    )
    (first, _), (second, _) = read(tar)
    assert (first.typeflag, first.name, first.format) == (b"g", b"g", TarFormat.PAX)
    assert first.pax == {b"comment": b"x", b"mtime": b"no time"}
    assert (second.pax, second.mtime_ns) == ({}, 5 * GIGA)


# Sparse


def a_pax_tar(records: dict[bytes, bytes], body: bytes, **fields: Any) -> bytes:
    """An entry with records that the writer would not take."""
    text = build_records(records)
    extended = with_bytes(a_block(name=b"x", size=len(text)), 156, b"x")
    block = a_block(size=len(body), **fields)
    return b"".join(
        [
            extended,
            text,
            bytes(-len(text) % BLOCK_SIZE),
            block,
            body,
            bytes(-len(body) % BLOCK_SIZE),
            END,
        ]
    )


MAP_0_1 = {
    b"GNU.sparse.major": b"0",
    b"GNU.sparse.minor": b"1",
    b"GNU.sparse.map": b"2,3,10,2",
    b"GNU.sparse.numblocks": b"2",
    b"GNU.sparse.size": b"14",
    b"GNU.sparse.name": b"real",
}


def test_sparse_map_in_records_is_expanded() -> None:
    [(header, body)] = read(a_pax_tar(MAP_0_1, b"abcde"))
    assert body == b"\0\0abc\0\0\0\0\0de\0\0"
    assert (header.name, header.size, header.stored_size) == (b"real", 14, 5)
    assert header.sparse == ((2, 3), (10, 2))


def test_sparse_map_in_the_body_is_expanded() -> None:
    records = {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.realsize": b"600",
    }
    tar = a_pax_tar(records, b"1\n500\n2\n".ljust(BLOCK_SIZE, b"\0") + b"ab")
    [(header, body)] = read(tar)
    assert body == bytes(500) + b"ab" + bytes(98)
    assert header.stored_size == 2
    assert tar[header.body_offset :].startswith(b"ab")


def an_old_sparse_tar(pairs: list[tuple[int, int]], size: int, body: bytes) -> bytes:
    block = a_block(size=len(body), format=TarFormat.GNU, typeflag=b"S", mode=-1)
    table = [build_octal(12, offset) + build_octal(12, length) for offset, length in pairs]
    block = with_bytes(block, 386, b"".join(table[:4]).ljust(96, b"\0"))
    block = with_bytes(block, 482, bytes([len(table) > 4]) + build_octal(12, size))
    more = []
    for at in range(4, len(table), 21):
        extended = bytes([at + 21 < len(table)])
        more.append(b"".join(table[at : at + 21]).ljust(504, b"\0") + extended + bytes(7))
    return b"".join([block, *more, body, bytes(-len(body) % BLOCK_SIZE), END])


def test_old_sparse_map_goes_on_in_more_blocks() -> None:
    pairs = [(at * 4, 1) for at in range(60)]
    [(header, body)] = read(an_old_sparse_tar(pairs, 250, b"x" * 60))
    assert body == (b"x\0\0\0" * 60).ljust(250, b"\0")
    assert header.sparse == tuple(pairs)


def test_old_sparse_type_without_a_gnu_header_is_malformed() -> None:
    assert "GNU header" in error_of(with_bytes(a_block(), 156, b"S") + END).reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({b"GNU.sparse.map": b"2,3,4,2"}, "run of 2"),
        ({b"GNU.sparse.map": b"2,3,10,5"}, "run of 5"),
        ({b"GNU.sparse.map": b"2,-3,10,2"}, "run of -3"),
        ({b"GNU.sparse.map": b"2,3,10"}, "3 numbers"),
        ({b"GNU.sparse.map": b"2,3,10,x"}, "decimal"),
        ({b"GNU.sparse.numblocks": b"-2"}, "-2 pairs"),
        ({b"GNU.sparse.numblocks": b""}, "decimal"),
        ({b"GNU.sparse.size": b"x"}, "decimal"),
        ({b"GNU.sparse.size": b"-1"}, "negative size"),
    ],
)
def test_bad_sparse_map_is_malformed(change: dict[bytes, bytes], reason: str) -> None:
    assert reason in error_of(a_pax_tar({**MAP_0_1, **change}, b"abcde")).reason


def test_sparse_entry_without_a_body_is_malformed() -> None:
    assert "without a body" in error_of(a_pax_tar(MAP_0_1, b"", typeflag=b"5")).reason


@pytest.mark.parametrize(
    ("version", "is_sparse"),
    [((b"0", b"0"), True), ((b"", b""), True), ((b"1", b"1"), False), ((b"0", b""), False)],
)
def test_only_known_versions_of_maps_count(version: tuple[bytes, bytes], is_sparse: bool) -> None:
    major, minor = version
    records = {**MAP_0_1, b"GNU.sparse.major": major, b"GNU.sparse.minor": minor}
    [(header, _)] = read(a_pax_tar(records, b"abcde"))
    assert (header.sparse is not None) is is_sparse


def test_sparse_body_with_too_little_or_too_much_data_is_malformed() -> None:
    assert "non-existent" in error_of(a_pax_tar(MAP_0_1, b"abcd")).reason
    assert "unreferenced" in error_of(a_pax_tar(MAP_0_1, b"abcdef")).reason


def test_map_in_the_body_must_end_and_be_numbers() -> None:
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0"}
    for body, reason in [
        (b"", "middle"),
        (b"2\n1\n".ljust(BLOCK_SIZE, b"x"), "middle"),
        (b"x\n".ljust(BLOCK_SIZE, b"\0"), "decimal"),
        (b"-1\n".ljust(BLOCK_SIZE, b"\0"), "runs"),
        (b"4611686018427387904\n".ljust(BLOCK_SIZE, b"\0"), "runs"),
        (b"9" * 10 + b"\n" + bytes(2 << 20), "1 MiB"),
    ]:
        assert reason in error_of(a_pax_tar(records, body)).reason


def test_old_map_longer_than_a_mebibyte_is_malformed() -> None:
    pairs = [(at, 1) for at in range(45000)]
    assert "1 MiB" in error_of(an_old_sparse_tar(pairs, 45000, b"")).reason


def test_huge_hole_is_not_made_in_memory() -> None:
    records = {**MAP_0_1, b"GNU.sparse.size": b"%d" % (1 << 62)}
    reader = TarReader(io.BytesIO(a_pax_tar(records, b"abcde")))
    reader.next()
    with pytest.raises(TooLarge):
        reader.read()
    assert reader.read(16) == b"\0\0abc\0\0\0\0\0de\0\0\0\0"
    assert reader.next() is None


# Writing


def test_written_times_are_read_back_exactly() -> None:
    times = {"mtime_ns": -1, "atime_ns": 10**20 + 7, "ctime_ns": 0}
    [(header, _)] = read(a_tar((a_header(format=TarFormat.PAX, **times), b"")))
    assert (header.mtime_ns, header.atime_ns, header.ctime_ns) == (-1, 10**20 + 7, 0)


def test_wanted_format_is_that_of_the_header_unless_given() -> None:
    target = io.BytesIO()
    writer = TarWriter(target)
    writer.add(a_header(format=TarFormat.GNU))
    writer.add(a_header(format=TarFormat.GNU), format=TarFormat.USTAR)
    writer.add(a_header())
    formats = [header.format for header, _ in read(target.getvalue())]
    assert formats == [TarFormat.GNU, TarFormat.USTAR, TarFormat.USTAR]


def test_old_type_is_written_as_that_of_the_name() -> None:
    tar = a_tar((a_header(typeflag=b"\0"), b""), (a_header(b"d/", typeflag=b"\0"), b""))
    assert (tar[156:157], tar[BLOCK_SIZE + 156 : BLOCK_SIZE + 157]) == (b"0", b"5")


def test_records_of_fields_are_kept_only_if_they_say_the_same() -> None:
    fields: dict[str, Any] = {"uid": 5, "mtime_ns": 7 * GIGA, "format": TarFormat.PAX}
    same = {b"path": b"Files/a", b"uid": b"5", b"mtime": b"7"}
    [(header, _)] = read(a_tar((a_header(pax=same, **fields), b"")))
    assert header.pax == same
    others = {b"path": b"b", b"uid": b"05", b"mtime": b"7.0", b"GNU.sparse.map": b"", b"k": b"v"}
    [(header, _)] = read(a_tar((a_header(pax=others, **fields), b"")))
    assert header.pax == {b"k": b"v"}


@pytest.mark.parametrize(
    "header",
    [
        a_header(typeflag=b"x"),
        a_header(typeflag=b"00"),
        a_header(typeflag=b""),
        a_header(b"dir/"),
        a_header(size=-1),
        a_header(typeflag=b"g", mode=1),
        a_header(typeflag=b"g", mtime_ns=5),
        a_header(b"a\0b"),
        a_header(uid=1 << 63),
        a_header(mode=1 << 63),
        a_header(size=1 << 63),
        a_header(mtime_ns=GIGA << 63),
        a_header(b"\xff", format=TarFormat.USTAR),
        a_header(uname=b"u" * 33, format=TarFormat.GNU),
        a_header(mode=-1, format=TarFormat.PAX),
        a_header(pax={b"k": b"v"}, format=TarFormat.GNU),
        a_header(pax={b"a=b": b"v"}),
        a_header(pax={b"k": b"v" * (1 << 20)}),
    ],
)
def test_header_that_cannot_be_written_is_malformed_and_leaves_no_bytes(header: TarHeader) -> None:
    target = io.BytesIO()
    writer = TarWriter(target)
    with pytest.raises(Malformed, match="tar header"):
        writer.add(header)
    assert target.getvalue() == b""
    writer.add(a_header())
    writer.close()
    assert len(target.getvalue()) == 3 * BLOCK_SIZE


def test_refusal_says_what_is_in_the_way() -> None:
    with pytest.raises(Malformed, match=r"USTAR.*path, uid"):
        TarWriter(io.BytesIO()).add(a_header(b"\xff", uid=-1), format=TarFormat.USTAR)


def test_message_holds_no_more_of_a_name_than_a_reader_can_use() -> None:
    header = a_header(b"n" * (1 << 20), format=TarFormat.USTAR)
    with pytest.raises(Malformed) as caught:
        TarWriter(io.BytesIO()).add(header)
    assert len(str(caught.value)) < 1200


def test_body_must_have_the_size_of_the_header() -> None:
    target = io.BytesIO()
    writer = TarWriter(target)
    writer.add(a_header(size=3))
    with pytest.raises(Malformed, match="2 bytes shorter"):
        writer.write(b"a") and writer.close()
    with pytest.raises(Malformed, match="longer"):
        writer.write(b"bcd")
    writer.close()
    writer.close()
    assert read(target.getvalue())[0][1] == b"abc"
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"")


def test_writer_takes_any_bytes() -> None:
    target = io.BytesIO()
    writer = TarWriter(target)
    writer.add(a_header(size=8))
    assert writer.write(bytearray(b"abcd")) == 4
    assert writer.write(memoryview(b"efgh").cast("I")) == 4
    writer.flush()
    assert target.getvalue()[BLOCK_SIZE:] == b"abcdefgh".ljust(BLOCK_SIZE, b"\0")


@pytest.mark.parametrize(
    ("name", "extended"),
    [
        (b"Files/a", b"Files/PaxHeaders.0/a"),
        (b"a", b"PaxHeaders.0/a"),
        (b"a/b/", b"a/b/PaxHeaders.0"),
        (b"./a//b/../c", b"a/PaxHeaders.0/c"),
        (b"../a", b"../PaxHeaders.0/a"),
        (b"/../a", b"/PaxHeaders.0/a"),
        (b"//a", b"/PaxHeaders.0/a"),
        (b"", b"PaxHeaders.0"),
        ("Files/ä".encode(), b"Files/PaxHeaders.0"),
    ],
)
def test_name_of_the_extended_header(name: bytes, extended: bytes) -> None:
    typeflag = b"5" if name.endswith(b"/") else b"0"
    tar = a_tar((a_header(name, typeflag=typeflag, pax={b"k": b"v"}), b""))
    assert tar[:100].rstrip(b"\0") == extended
