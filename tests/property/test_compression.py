"""Laws of compression: every library reads the same, and only our errors come out."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.base import _compression_libraries as libraries
from winlayers.base._decompress import Feed, Reader, ZstdReader, gzip_readers
from winlayers.base.compression import Compression, open_compressor, open_decompressed
from winlayers.errors import Malformed

LAWS = settings(derandomize=True, max_examples=120, deadline=None, database=None)

CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda unit, count: unit * count, st.binary(max_size=9), st.integers(0, 3000)),
)
GAPS = st.integers(0, 3).map(bytes) | st.integers(500, 1100).map(bytes)
GARBAGE = st.binary(min_size=1, max_size=30).map(lambda tail: b"\x01" + tail)


def zstd_compress(content: bytes) -> bytes:
    compressed: bytes = libraries.import_zstd().compress(content)
    return compressed


@st.composite
def members(draw: st.DrawFn, compress: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    """Members and zeros between them, and the content of all."""
    contents = draw(st.lists(CONTENTS, min_size=1, max_size=4))
    packed = b"".join(compress(content) + draw(GAPS) for content in contents)
    return packed, b"".join(contents)


def outcome(make: Callable[[Feed], Reader], data: bytes, size: int) -> bytes | str:
    """The content, or the reason why there is none; read in two ways, which must agree."""
    answers: list[bytes | str] = []
    for by_read in (True, False):
        reader = make(Feed(io.BytesIO(data), None))
        content = bytearray()
        buffer = bytearray(size)
        try:
            while True:
                block = (
                    reader.read(size) if by_read else buffer[: reader.readinto(memoryview(buffer))]
                )
                if not block:
                    break
                content += block
            answers.append(bytes(content))
        except Malformed as fault:
            answers.append(f"{fault.reason} at {fault.offset}")
    assert answers[0] == answers[1]
    return answers[0]


def outcomes(data: bytes, size: int) -> set[bytes | str]:
    return {outcome(make, data, size) for make in gzip_readers().values()}


@LAWS
@given(members(gzip.compress), st.integers(1, 700))
def test_gzip_members_and_padding_read_the_same(packed: tuple[bytes, bytes], size: int) -> None:
    data, content = packed
    assert outcomes(data, size) == {content}


@LAWS
@given(members(gzip.compress), GARBAGE, st.integers(1, 700))
def test_bytes_after_gzip_are_refused_by_all(
    packed: tuple[bytes, bytes], garbage: bytes, size: int
) -> None:
    (reason,) = outcomes(packed[0] + garbage, size)
    short = len(garbage) < 10
    expected = "ends before its last member does" if short else "no member starts where one should"
    assert reason == f"{expected} at {len(packed[0] + garbage)}"


@LAWS
@given(members(gzip.compress), st.integers(0, 10_000), st.integers(1, 700))
def test_cut_gzip_reads_the_same(packed: tuple[bytes, bytes], cut: int, size: int) -> None:
    data = packed[0][: cut % (len(packed[0]) + 1)]
    (answer,) = outcomes(data, size)
    assert isinstance(answer, str) or packed[1].startswith(answer)


@LAWS
@given(
    members(gzip.compress),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3),
)
def test_damaged_gzip_is_read_by_all_or_by_none(
    packed: tuple[bytes, bytes], flips: list[tuple[int, int]]
) -> None:
    data = bytearray(packed[0])
    for place, change in flips:
        data[place % len(data)] ^= change
    found = outcomes(bytes(data), 500)
    contents = {answer for answer in found if isinstance(answer, bytes)}
    # Libraries may see the same damage at different places: in the data, or by the checksum.
    assert len(contents) == 0 or len(found) == 1


@LAWS
@given(members(zstd_compress), st.integers(1, 700))
def test_zstd_frames_and_padding_come_back(packed: tuple[bytes, bytes], size: int) -> None:
    data, content = packed
    assert outcome(ZstdReader, data, size) == content


@LAWS
@given(
    st.sampled_from(
        [b"\x1f\x8b", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b""]
    ),
    st.binary(max_size=200),
    st.integers(1, 300),
)
def test_only_our_errors_come_out_of_any_bytes(head: bytes, tail: bytes, size: int) -> None:
    shown: list[bytes] = []
    with contextlib.suppress(Malformed):
        reader = open_decompressed(io.BytesIO(head + tail), on_raw=shown.append)
        while reader.read(size):
            pass
    assert (head + tail).startswith(b"".join(shown))


@settings(LAWS, max_examples=60)
@given(
    st.sampled_from(list(Compression)),
    st.lists(CONTENTS, max_size=4),
    st.integers(0, 3),
    st.sampled_from([1, None, 9]),
)
def test_what_is_compressed_comes_back(
    kind: Compression, contents: list[bytes], threads: int, level: int | None
) -> None:
    target = io.BytesIO()
    with open_compressor(target, kind, level=level, threads=threads) as writer:
        for content in contents:
            writer.write(content)
    target.seek(0)
    assert open_decompressed(target, compression=kind).read() == b"".join(contents)
