"""Compression: every library that is installed answers alike."""

from __future__ import annotations

import gzip
import importlib
import io
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest

from winlayers.base import _compression_libraries as libraries
from winlayers.base import _decompress, compression
from winlayers.base.compression import Compression, detect, open_compressor, open_decompressed
from winlayers.errors import InvalidArgument, Malformed, MissingExtra

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TEXT = b"The quick brown fox jumps over the lazy dog. " * 20_000  # 0.9 MB
NOISE = random.Random(7).randbytes(1_500_000)
GZIP_WAYS = list(_decompress.gzip_readers())


@pytest.fixture(params=GZIP_WAYS)
def gzip_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read gzip in one of the ways there are."""
    name: str = request.param
    way = {name: _decompress.gzip_readers()[name]}
    monkeypatch.setattr(compression, "gzip_readers", lambda: way)
    return name


def zstd_compress(content: bytes) -> bytes:
    compressed: bytes = libraries.import_zstd().compress(content)
    return compressed


def inflate(data: bytes, kind: Compression = Compression.GZIP) -> bytes:
    return open_decompressed(io.BytesIO(data), compression=kind).read()


def fault_of(data: bytes, kind: Compression = Compression.GZIP) -> Malformed:
    with pytest.raises(Malformed) as caught:
        inflate(data, kind)
    return caught.value


class OnlyRead:
    """A source like a socket's: ``read`` alone, a few bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._most))


class ShortFile(io.RawIOBase):
    """A source like a pipe: ``readinto``, a few bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._file.readinto(memoryview(buffer)[: self._most])


def header(flags: int, *parts: bytes) -> bytes:
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + b"".join(parts)


def member(content: bytes, head: bytes = header(0)) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    body = deflater.compress(content) + deflater.flush()
    return head + body + struct.pack("<II", zlib.crc32(content), len(content))


class TestDetect:
    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            (b"", Compression.NONE),
            (b"\x1f", Compression.NONE),
            (b"\x1f\x8b", Compression.GZIP),
            (b"\x1f\x8b\x08\x00", Compression.GZIP),
            (b"\x28\xb5\x2f\xfd", Compression.ZSTD),
            (b"\x28\xb5\x2f", Compression.NONE),
            (b"\x50\x2a\x4d\x18", Compression.ZSTD),
            (b"\x5f\x2a\x4d\x18", Compression.ZSTD),
            (b"\x60\x2a\x4d\x18", Compression.NONE),
            (b"\x2a\x4d\x18", Compression.NONE),
            (b"Files/\0\0", Compression.NONE),
        ],
    )
    def test_magic_bytes_tell_the_compression(self, head: bytes, kind: Compression) -> None:
        assert detect(head) is kind

    def test_compression_is_found_in_a_pipe(self, gzip_way: str) -> None:
        for data, kind in (
            (gzip.compress(TEXT), Compression.GZIP),
            (zstd_compress(TEXT), Compression.ZSTD),
            (TEXT, Compression.NONE),
        ):
            reader = open_decompressed(cast(BinaryIO, OnlyRead(data, 3000)))
            assert reader.compression is kind
            assert reader.read() == TEXT

    @pytest.mark.parametrize("data", [b"", b"a", b"ab\0"])
    def test_content_shorter_than_any_magic_is_not_compressed(self, data: bytes) -> None:
        reader = open_decompressed(io.BytesIO(data))
        assert (reader.compression, reader.read()) == (Compression.NONE, data)


@pytest.mark.usefixtures("gzip_way")
class TestGzip:
    @pytest.mark.parametrize(
        "content", [b"", b"x", TEXT, NOISE], ids=["empty", "x", "text", "noise"]
    )
    def test_member_is_inflated(self, content: bytes) -> None:
        assert inflate(gzip.compress(content, 6)) == content

    def test_members_follow_each_other(self) -> None:
        data = b"".join(gzip.compress(part) for part in (b"one", b"", TEXT, b"two"))
        assert inflate(data) == b"one" + TEXT + b"two"

    def test_many_tiny_members_are_quick(self) -> None:
        tiny = gzip.compress(b"a")
        assert inflate(tiny * 60_000) == b"a" * 60_000

    @pytest.mark.parametrize("size", [1, 511, 512, 513, 1 << 19, 3_000_000])
    def test_zeros_after_the_last_member_are_padding(self, size: int) -> None:
        assert inflate(gzip.compress(b"abc") + bytes(size)) == b"abc"

    def test_zeros_between_members_are_padding(self) -> None:
        assert inflate(gzip.compress(b"abc") + bytes(700) + gzip.compress(b"def")) == b"abcdef"

    @pytest.mark.parametrize("padding", [0, 1, 600])
    def test_other_bytes_after_the_last_member_are_malformed(self, padding: int) -> None:
        data = gzip.compress(b"abc") + bytes(padding) + b"no member at all"
        fault = fault_of(data)
        assert fault.reason == "no member starts where one should"
        assert (fault.structure, fault.offset) == ("gzip stream", len(data))

    @pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 30, -9, -8, -1])
    def test_end_within_a_member_is_malformed(self, size: int) -> None:
        data = gzip.compress(NOISE[:1000])[: size or 0]
        fault = fault_of(data)
        assert fault.reason == "ends before its last member does"
        assert fault.offset == len(data)

    def test_end_within_a_second_member_is_malformed(self) -> None:
        assert fault_of(member(b"abc") + member(b"def")[:-1]).offset is not None

    def test_wrong_checksum_is_malformed(self) -> None:
        data = bytearray(gzip.compress(TEXT))
        data[-8] ^= 1
        assert fault_of(bytes(data)).reason == "the content of a member has a wrong checksum"

    def test_wrong_size_is_malformed(self) -> None:
        data = bytearray(gzip.compress(TEXT))
        data[-1] ^= 1
        assert fault_of(bytes(data)).reason == "the content of a member has a wrong size"

    def test_damaged_data_is_malformed(self) -> None:
        data = header(0) + b"\xff" * 40
        assert fault_of(data).reason == "the data of a member are damaged"

    def test_wrong_method_is_malformed(self) -> None:
        assert fault_of(b"\x1f\x8b\x07" + bytes(40)).reason == "a member is not deflated"

    def test_reading_again_after_a_fault_raises_it_again(self) -> None:
        reader = open_decompressed(io.BytesIO(gzip.compress(TEXT)[:-1]))
        with pytest.raises(Malformed) as first:
            reader.read()
        with pytest.raises(Malformed) as second:
            reader.readinto(bytearray(10))
        assert second.value is first.value

    def test_optional_fields_of_the_header_are_skipped(self) -> None:
        head = header(0x1E, b"\x05\0extra", b"name\0", b"comment\0")
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
        assert inflate(member(TEXT, head) + member(b"more", head)) == TEXT + b"more"

    def test_wrong_checksum_of_the_header_is_malformed(self) -> None:
        head = header(0x02, b"\0\0")
        assert fault_of(member(b"x", head)).reason == "the header of a member has a wrong checksum"

    def test_large_header_is_read(self) -> None:
        head = header(0x0C, b"\xff\xff" + bytes(65_535), b"n" * 70_000 + b"\0")
        assert inflate(member(b"x", head) * 12) == b"x" * 12

    def test_header_without_end_is_malformed_before_it_fills_the_memory(self) -> None:
        source = io.BytesIO(header(0x08, b"n" * 8_000_000) + b"\0")
        with pytest.raises(Malformed, match="larger than 524288 bytes"):
            open_decompressed(source).read()
        assert source.tell() < 3_000_000

    def test_end_within_a_header_is_malformed(self) -> None:
        for head in (header(0x04, b"\x05"), header(0x04, b"\x05\0abc"), header(0x08, b"name")):
            assert fault_of(head).reason == "ends before its last member does"

    @pytest.mark.parametrize("size", [1, 7, 512, 4096, 65_537, 1 << 20, 5_000_000])
    def test_reads_are_filled_up_to_the_end(self, size: int) -> None:
        content = TEXT[:3000] if size < 512 else TEXT + NOISE
        data = gzip.compress(content[:1000], 1) + gzip.compress(content[1000:], 1)
        by_read = open_decompressed(io.BytesIO(data))
        by_buffer = open_decompressed(io.BytesIO(data))
        buffer = bytearray(size)
        for start in range(0, len(content), size):
            expected = content[start : start + size]
            assert by_read.read(size) == expected
            assert by_buffer.readinto(buffer) == len(expected)
            assert buffer[: len(expected)] == expected
        assert by_read.read(size) == b""
        assert by_buffer.readinto(buffer) == 0

    def test_empty_reads_give_nothing_and_ask_for_nothing(self) -> None:
        reader = open_decompressed(io.BytesIO(gzip.compress(b"abc")), compression=Compression.GZIP)
        assert reader.read(0) == b""
        assert reader.readinto(bytearray()) == 0
        assert reader.raw_size == 0
        assert reader.read() == b"abc"


def _sources(data: bytes) -> Iterator[BinaryIO]:
    yield io.BytesIO(data)
    yield cast(BinaryIO, OnlyRead(data, 50_001))
    yield cast(BinaryIO, ShortFile(data, 77_777))


@pytest.mark.usefixtures("gzip_way")
class TestOnRaw:
    @pytest.mark.parametrize(
        "compress", [gzip.compress, zstd_compress, bytes], ids=["gzip", "zstd", "none"]
    )
    def test_every_byte_of_the_source_is_shown_once(
        self, compress: Callable[[bytes], bytes]
    ) -> None:
        packed = compress(NOISE) + compress(TEXT)
        data = packed if compress is bytes else packed + bytes(1_300_000)
        for source in _sources(data):
            shown: list[bytes] = []
            reader = open_decompressed(source, on_raw=shown.append)
            buffer = bytearray(1 << 20)
            content = bytearray()
            while count := reader.readinto(buffer):
                content += buffer[:count]
            assert content == NOISE + TEXT
            assert b"".join(shown) == data
            assert reader.raw_size == len(data)
            assert all(type(block) is bytes for block in shown)
            assert all(1 << 19 <= len(block) <= 1 << 20 for block in shown[:-1])

    def test_error_of_the_one_who_looks_comes_out(self) -> None:
        def look(_: bytes) -> None:
            raise RuntimeError("seen enough")

        with pytest.raises(RuntimeError, match="seen enough"):
            open_decompressed(io.BytesIO(gzip.compress(TEXT)), on_raw=look).read()


class TestZstd:
    def test_frames_and_skippable_frames_follow_each_other(self) -> None:
        skippable = struct.pack("<II", 0x184D2A57, 5) + b"12345"
        data = (
            skippable + zstd_compress(TEXT) + skippable + zstd_compress(b"") + zstd_compress(NOISE)
        )
        reader = open_decompressed(io.BytesIO(data + skippable))
        assert reader.compression is Compression.ZSTD
        assert reader.read() == TEXT + NOISE

    def test_many_tiny_frames_are_quick(self) -> None:
        assert inflate(zstd_compress(b"a") * 60_000, Compression.ZSTD) == b"a" * 60_000

    def test_zeros_after_a_frame_are_padding(self) -> None:
        data = zstd_compress(b"abc") + bytes(9) + zstd_compress(b"def") + bytes(2_000_000)
        assert inflate(data, Compression.ZSTD) == b"abcdef"

    def test_other_bytes_after_the_last_frame_are_malformed(self) -> None:
        data = zstd_compress(b"abc") + b"what is this?"
        fault = fault_of(data, Compression.ZSTD)
        assert (fault.structure, fault.offset) == ("zstd stream", len(data))

    @pytest.mark.parametrize("size", [0, 3, 4, 20, -1])
    def test_end_within_a_frame_is_malformed(self, size: int) -> None:
        fault = fault_of(zstd_compress(NOISE[:1000])[:size], Compression.ZSTD)
        assert fault.reason == "ends before its last member does"

    def test_wrong_checksum_is_malformed(self) -> None:
        target = io.BytesIO()
        with open_compressor(target, Compression.ZSTD) as writer:
            writer.write(TEXT)
        data = bytearray(target.getvalue())
        data[-1] ^= 1
        assert fault_of(bytes(data), Compression.ZSTD).reason == "the data of a member are damaged"

    def test_window_that_needs_more_than_128_mib_is_malformed(self) -> None:
        # A frame header that asks for a window of 2 GiB, and an empty last block.
        data = b"\x28\xb5\x2f\xfd" + bytes([0x00, (31 - 10) << 3]) + b"\x01\0\0"
        assert fault_of(data, Compression.ZSTD).reason == "the data of a member are damaged"

    def test_missing_library_names_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("backports", "backports.zstd", "compression"):
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtra, match=r"backports\.zstd"):
            open_decompressed(io.BytesIO(b"\x28\xb5\x2f\xfd"))


class TestSource:
    def test_source_that_does_not_block_is_not_taken_for_ended(self) -> None:
        class Nothing:
            def read(self, size: int) -> None:
                return None

        with pytest.raises(BlockingIOError):
            open_decompressed(cast(BinaryIO, Nothing()), compression=Compression.NONE).read(10)

    def test_closing_leaves_the_source_open(self) -> None:
        source = io.BytesIO(gzip.compress(b"abc"))
        with open_decompressed(source) as reader:
            assert reader.readable()
        assert not source.closed
        with pytest.raises(ValueError, match="closed"):
            reader.read(1)


class TestLibraries:
    def test_isal_is_the_first_choice_and_its_own_reader_is_there(self) -> None:
        assert GZIP_WAYS[0] == "isal.isal_zlib native"

    def test_standard_library_serves_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def only_zlib(name: str) -> object:
            raise ImportError(name)

        monkeypatch.setattr(importlib, "import_module", only_zlib)
        assert libraries.inflating_libraries.__wrapped__() == (zlib,)
        assert libraries.deflating_library.__wrapped__(1) is zlib

    def test_libraries_in_use_are_named_as_they_are_chosen(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        in_use = compression.libraries()
        assert (in_use.inflate.name, in_use.deflate.name) == ("isal", "zlib-ng")
        assert str(in_use.inflate) == f"isal {metadata.version('isal')}"
        assert in_use.zstd is not None
        zlib_alone = {"zlib": _decompress.gzip_readers()["zlib"]}
        monkeypatch.setattr(compression, "gzip_readers", lambda: zlib_alone)
        monkeypatch.setattr(compression, "deflating_library", lambda level: zlib)
        monkeypatch.setattr(compression, "import_zstd", self._no_zstd)
        in_use = compression.libraries()
        assert str(in_use.inflate) == f"zlib {zlib.ZLIB_RUNTIME_VERSION} (standard library)"
        assert in_use.deflate == in_use.inflate
        assert in_use.zstd is None

    def test_library_without_a_version_is_named_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def absent(package: str) -> str:
            raise metadata.PackageNotFoundError(package)

        monkeypatch.setattr(metadata, "version", absent)
        assert str(libraries.library_of("zlib_ng.zlib_ng")) == "zlib-ng"

    @staticmethod
    def _no_zstd() -> Any:
        raise MissingExtra("zstd needs a library")


KINDS = [Compression.NONE, Compression.GZIP, Compression.ZSTD]


class TestCompressor:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("threads", [0, 1, 2, 3])
    @pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 2_400_000])
    def test_content_comes_back(self, kind: Compression, threads: int, size: int) -> None:
        content = (TEXT + NOISE)[:size]
        target = io.BytesIO()
        with open_compressor(target, kind, threads=threads) as writer:
            assert writer.write(content) == size
        assert not target.closed
        assert inflate(target.getvalue(), kind) == content
        if kind is Compression.GZIP:
            assert gzip.decompress(target.getvalue()) == content

    @pytest.mark.parametrize("level", range(1, 10))
    def test_every_gzip_level_comes_back(self, level: int) -> None:
        target = io.BytesIO()
        with open_compressor(target, Compression.GZIP, level=level) as writer:
            writer.write(TEXT)
        assert gzip.decompress(target.getvalue()) == TEXT
        assert len(target.getvalue()) < len(TEXT) // 10

    @pytest.mark.parametrize("kind", [Compression.GZIP, Compression.ZSTD])
    @pytest.mark.parametrize("level", [1, None])
    def test_bytes_do_not_depend_on_threads_and_sizes_of_writes(
        self, kind: Compression, level: int | None
    ) -> None:
        content = TEXT + NOISE + TEXT
        outputs = set()
        for threads, size in ((2, 1 << 20), (3, len(content)), (2, 700_001), (4, 65_536)):
            target = io.BytesIO()
            with open_compressor(target, kind, level=level, threads=threads) as writer:
                for start in range(0, len(content), size):
                    writer.write(memoryview(content)[start : start + size])
            outputs.add(target.getvalue())
        assert len(outputs) == 1

    def test_gzip_header_has_neither_time_nor_name(self) -> None:
        target = io.BytesIO()
        open_compressor(target, Compression.GZIP).close()
        assert target.getvalue() == (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\x03\0" + bytes(8))

    def test_block_knows_the_one_before_it(self) -> None:
        noise = NOISE[:20_000]
        target = io.BytesIO()
        with open_compressor(target, Compression.GZIP) as writer:
            writer.write(bytes((1 << 20) - len(noise)) + noise)
            writer.write(noise)
        assert len(target.getvalue()) < 25_000

    @pytest.mark.parametrize("kind", [Compression.GZIP, Compression.ZSTD])
    def test_error_in_the_with_block_leaves_the_stream_open_ended(self, kind: Compression) -> None:
        target = io.BytesIO()
        writer = open_compressor(target, kind)

        def fail() -> None:
            with writer:
                writer.write(TEXT + NOISE)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert writer.closed
        assert fault_of(target.getvalue(), kind).reason == "ends before its last member does"

    def test_forgotten_compressor_does_not_end_the_stream(self) -> None:
        target = io.BytesIO()
        writer = open_compressor(target, Compression.GZIP)
        writer.write(TEXT)
        del writer
        assert fault_of(target.getvalue()).reason == "ends before its last member does"

    @pytest.mark.parametrize("kind", KINDS)
    def test_error_of_the_target_comes_out(self, kind: Compression) -> None:
        class Full(io.RawIOBase):
            taken = 0

            def write(self, data: bytes) -> int:  # type: ignore[override]  # all we pass
                self.taken += len(data)
                if self.taken > 1_000_000:
                    raise OSError(28, "No space left on device")
                return len(data)

        def fill() -> None:
            with open_compressor(cast(BinaryIO, Full()), kind) as writer:
                for _ in range(8):
                    writer.write(NOISE)

        with pytest.raises(OSError, match="No space left"):
            fill()

    def test_target_may_take_a_part_at_a_time(self) -> None:
        class Small(io.RawIOBase):
            taken = b""

            def write(self, data: memoryview) -> int:  # type: ignore[override]  # all we pass
                self.taken += data[:9999].tobytes()
                return min(len(data), 9999)

        target = Small()
        with open_compressor(cast(BinaryIO, target), Compression.GZIP) as writer:
            writer.write(NOISE)
        assert gzip.decompress(target.taken) == NOISE

    def test_write_after_close_is_refused_and_close_may_be_repeated(self) -> None:
        writer = open_compressor(io.BytesIO(), Compression.GZIP)
        writer.close()
        writer.close()
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"x")

    @pytest.mark.parametrize(
        ("kind", "level"),
        [(Compression.GZIP, 0), (Compression.GZIP, 10), (Compression.ZSTD, 23)],
    )
    def test_unknown_level_is_an_invalid_argument(self, kind: Compression, level: int) -> None:
        with pytest.raises(InvalidArgument, match="levels 1 to"):
            open_compressor(io.BytesIO(), kind, level=level)
