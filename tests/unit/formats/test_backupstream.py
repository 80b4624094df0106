from __future__ import annotations

import io
from typing import BinaryIO, cast

import pytest

from winlayers.errors import InvalidArgument, InvalidName, Malformed
from winlayers.formats.backupstream import (
    MAX_NAME_SIZE,
    BackupReader,
    BackupWriter,
    PartAttributes,
    PartHeader,
    PartId,
)

DATA = bytes.fromhex("01000000 00000000 0300000000000000 00000000") + b"abc"
ALTERNATE = (
    bytes.fromhex("04000000 00000000 0100000000000000 10000000")
    + ":s:$DATA".encode("utf-16-le")
    + b"x"
)
SPARSE_BLOCK = (
    bytes.fromhex("09000000 00000000 0b00000000000000 00000000 0010000000000000") + b"abc"
)
STREAM = DATA + ALTERNATE + SPARSE_BLOCK


class Pipe(io.BytesIO):
    """A source that cannot seek and gives few bytes at a time."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("seek")

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 3))


class Watched(io.BytesIO):
    """A source that remembers the largest read."""

    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.largest = max(self.largest, size or 0)
        return super().read(size)


@pytest.fixture(params=[io.BytesIO, Pipe], ids=["seekable", "pipe"])
def source_of(request: pytest.FixtureRequest) -> type[io.BytesIO]:
    kind: type[io.BytesIO] = request.param
    return kind


def header(part_id: int, size: int, name_size: int = 0) -> bytes:
    fields = ((part_id, 4), (0, 4), (size, 8), (name_size, 4))
    return b"".join(value.to_bytes(width, "little") for value, width in fields)


def test_headers_and_bodies_are_read_in_order(source_of: type[io.BytesIO]) -> None:
    reader = BackupReader(source_of(STREAM))
    assert reader.next() == PartHeader(PartId.DATA, size=3)
    assert [reader.read(2), reader.read(2), reader.read(2)] == [b"ab", b"c", b""]
    assert reader.next() == PartHeader(PartId.ALTERNATE, size=1, name=":s:$DATA")
    assert reader.read() == b"x"
    assert reader.next() == PartHeader(PartId.SPARSE_BLOCK, size=3, offset=0x1000)
    assert reader.read() == b"abc"
    assert reader.next() is None
    assert reader.next() is None


def test_bodies_not_read_are_skipped(source_of: type[io.BytesIO]) -> None:
    source = source_of(b"before" + STREAM)
    source.read(3)
    source.read(3)
    assert [part.id for part in BackupReader(source)] == [1, 4, 9]


def test_limit_ends_the_stream_before_the_source_does(source_of: type[io.BytesIO]) -> None:
    source = source_of(STREAM + b"behind")
    assert [part.id for part in BackupReader(source, limit=len(STREAM))] == [1, 4, 9]


@pytest.mark.parametrize("limit", [len(DATA) - 1, len(DATA) - 3])
def test_header_that_claims_more_than_the_limit_is_malformed(
    limit: int, source_of: type[io.BytesIO]
) -> None:
    with pytest.raises(Malformed, match="unexpected EOF in body of 3 bytes") as caught:
        BackupReader(source_of(STREAM), limit=limit).next()
    assert caught.value.offset == 20


def test_limit_holds_for_the_original_way_too(source_of: type[io.BytesIO]) -> None:
    reader = BackupReader(source_of(STREAM), exact=False, limit=len(DATA) - 1)
    assert reader.next() is not None
    assert reader.read(2) == b"ab"
    with pytest.raises(Malformed, match="1 bytes missing"):
        reader.read(1)


def test_body_is_a_file_object_until_the_next_header(source_of: type[io.BytesIO]) -> None:
    reader = BackupReader(source_of(STREAM))
    reader.next()
    body = reader.open_body()
    assert body.readable()
    assert body.read(1) == b"a"
    buffered = io.BufferedReader(cast(io.RawIOBase, body))
    assert [buffered.read(1), buffered.read(), buffered.read()] == [b"b", b"c", b""]
    reader.next()
    assert body.closed
    with pytest.raises(ValueError, match="closed"):
        body.read(1)


def test_body_reads_all_of_its_rest(source_of: type[io.BytesIO]) -> None:
    for read in (
        lambda body: body.read(),
        lambda body: body.read(None),
        lambda body: body.readall(),
    ):
        reader = BackupReader(source_of(STREAM))
        reader.next()
        assert read(reader.open_body()) == b"abc"


@pytest.mark.parametrize("exact", [True, False])
def test_clean_end_is_only_at_the_border_of_a_part(
    exact: bool, source_of: type[io.BytesIO]
) -> None:
    borders = {0, len(DATA), len(DATA + ALTERNATE), len(STREAM)}
    for end in range(len(STREAM) + 1):
        reader = BackupReader(source_of(STREAM[:end]), exact=exact)
        if end in borders:
            assert [len(reader.read()) for _ in reader] == [3, 1, 3][: len(borders_before(end))]
        else:
            with pytest.raises(Malformed, match="unexpected EOF"):
                [reader.read() for _ in reader]


def borders_before(end: int) -> list[int]:
    """The ends of the parts that are whole in a stream cut at ``end``."""
    return [at for at in (len(DATA), len(DATA + ALTERNATE), len(STREAM)) if at <= end]


def test_missing_bytes_of_a_skipped_body_are_noticed_or_not() -> None:
    cut = ALTERNATE[:-1]
    assert [part.id for part in BackupReader(io.BytesIO(cut), exact=False)] == [4]
    for source, exact in ((Pipe(cut), False), (Pipe(cut), True), (io.BytesIO(cut), True)):
        with pytest.raises(Malformed, match="unexpected EOF"):
            list(BackupReader(source, exact=exact))


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("name_size", "reason"), [(1, "odd"), (3, "odd"), (MAX_NAME_SIZE + 1, "name of 65535 bytes")]
)
def test_odd_or_absurd_name_is_malformed(name_size: int, reason: str, exact: bool) -> None:
    stream = header(4, 0, name_size) + bytes(70_000)
    with pytest.raises(Malformed, match=reason) as caught:
        BackupReader(io.BytesIO(stream), exact=exact).next()
    assert caught.value.offset == 20


def test_name_ends_at_its_first_nul_and_keeps_lone_surrogates() -> None:
    name = b":\0\x00\xd8\0\0x\0"
    for exact in (True, False):
        part = BackupReader(io.BytesIO(header(4, 0, len(name)) + name), exact=exact).next()
        assert part is not None
        assert part.name == ":\ud800"


@pytest.mark.parametrize("size", [0, 7])
def test_sparse_block_without_room_for_its_offset_is_malformed(size: int) -> None:
    stream = DATA + header(9, size) + bytes(20)
    with pytest.raises(Malformed, match=f"sparse block of {size} bytes") as caught:
        list(BackupReader(io.BytesIO(stream)))
    assert caught.value.offset == len(DATA)


def test_offset_of_a_sparse_block_is_signed() -> None:
    part = BackupReader(io.BytesIO(header(9, 8) + b"\xff" * 8)).next()
    assert part == PartHeader(9, offset=-1)


def test_body_above_int64_is_malformed_when_read_or_skipped(source_of: type[io.BytesIO]) -> None:
    stream = header(1, 2**64 - 1) + bytes(10)
    for action in (lambda reader: reader.read(1), lambda reader: reader.next()):
        reader = BackupReader(source_of(stream), exact=False)
        assert reader.next() == PartHeader(1, size=2**64 - 1)
        with pytest.raises(Malformed, match="body of 18446744073709551615 bytes"):
            action(reader)


def test_size_in_a_header_is_not_allocated(source_of: type[io.BytesIO]) -> None:
    source = Watched(header(1, 2**62) + b"zz")
    reader = BackupReader(source, exact=False)
    reader.next()
    with pytest.raises(Malformed, match="unexpected EOF"):
        reader.read()
    assert source.largest <= 1 << 20
    assert [part.id for part in BackupReader(io.BytesIO(source.getvalue()), exact=False)] == [1]


def test_large_body_is_read_in_one_piece() -> None:
    body = bytes(range(256)) * 10_000
    reader = BackupReader(io.BytesIO(header(1, len(body)) + body))
    reader.next()
    assert reader.read() == body


def test_writer_gives_the_bytes_of_the_original() -> None:
    target = io.BytesIO()
    writer = BackupWriter(target)
    writer.header(PartHeader(PartId.DATA, size=3))
    writer.write(b"a")
    writer.write(b"bc")
    writer.header(PartHeader(PartId.ALTERNATE, size=1, name=":s:$DATA"))
    writer.write(b"x")
    writer.header(PartHeader(PartId.SPARSE_BLOCK, size=3, offset=0x1000))
    writer.write(b"abc")
    writer.close()
    assert target.getvalue() == STREAM
    assert not target.closed


def test_offset_is_written_for_sparse_blocks_only() -> None:
    target = io.BytesIO()
    BackupWriter(target).header(PartHeader(PartId.DATA, PartAttributes.SPARSE, offset=7))
    assert target.getvalue() == bytes.fromhex("01000000 08000000 0000000000000000 00000000")


def test_incomplete_body_is_told_by_header_and_close() -> None:
    writer = BackupWriter(io.BytesIO())
    writer.header(PartHeader(PartId.DATA, size=5))
    writer.write(b"abc")
    for action in (lambda: writer.header(PartHeader(3)), writer.close):
        with pytest.raises(Malformed, match="missing 2 bytes"):
            action()


def test_body_that_is_too_long_is_refused_whole() -> None:
    target = io.BytesIO()
    writer = BackupWriter(target)
    writer.header(PartHeader(PartId.DATA, size=2))
    with pytest.raises(Malformed, match="too many bytes by 1") as caught:
        writer.write(b"abc")
    assert caught.value.offset == 20
    assert len(target.getvalue()) == 20
    writer.write(b"ab")
    writer.close()


def test_names_are_exact_or_as_go_makes_them() -> None:
    assert name_written(":\ud800", exact=True) == b":\0\x00\xd8"
    assert name_written(":\ud800", exact=False) == b":\0" + b"\xfd\xff" * 3
    assert name_written(":a\0b", exact=False) == b":\0a\0\0\0b\0"
    with pytest.raises(InvalidName, match="NUL"):
        name_written(":a\0b", exact=True)
    with pytest.raises(InvalidName, match="too long"):
        name_written("a" * 32768, exact=False)


def name_written(name: str, *, exact: bool) -> bytes:
    target = io.BytesIO()
    BackupWriter(target, exact=exact).header(PartHeader(PartId.ALTERNATE, name=name))
    return target.getvalue()[20:]


@pytest.mark.parametrize(
    "part",
    [
        PartHeader(-1),
        PartHeader(1, 1 << 32),
        PartHeader(1, size=-1),
        PartHeader(1, size=1 << 63),
        PartHeader(9, size=(1 << 63) - 8),
        PartHeader(9, offset=1 << 63),
    ],
    ids=["id", "attributes", "negative", "size", "sparse-size", "offset"],
)
def test_header_that_does_not_fit_is_refused(part: PartHeader) -> None:
    target = io.BytesIO()
    with pytest.raises(InvalidArgument):
        BackupWriter(target).header(part)
    assert target.getvalue() == b""


def test_unknown_ids_pass() -> None:
    stream: BinaryIO = io.BytesIO(header(0, 0) + header(11, 0) + header(0xFFFFFFFF, 0))
    assert [part.id for part in BackupReader(stream)] == [0, 11, 0xFFFFFFFF]
