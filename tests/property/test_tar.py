"""Laws of the tar codec: short cuts change nothing, what is written is read back, and no bytes do harm."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from winlayers.errors import Malformed
from winlayers.formats import pax
from winlayers.formats.tar import TarFormat, TarHeader, TarReader, TarSource, TarWriter
from winlayers.formats.tarblock import Block, parse_block
from winlayers.formats.tarplain import PlainBlocks

GO_TAR = (Path(__file__).parents[1] / "data" / "go_headers.tar").read_bytes()
LAW = settings(derandomize=True, max_examples=150, deadline=None)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
GIGA = 1_000_000_000

Outcome = tuple[list[tuple[Any, ...]], tuple[Any, ...] | None, int]


class Dribble:
    """A source that gives ``step`` bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._file = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> memoryview:
        return memoryview(self._file.read(min(size, self._step)))


class NoShortCut(PlainBlocks):
    def parse(self, block: bytes) -> Block | None:
        return None


class StrictReader(TarReader):
    """The reader without any short cut through blocks."""

    def __init__(self, source: TarSource) -> None:
        super().__init__(source)
        self._plain = NoShortCut()

    def _next_plain(self) -> TarHeader | None:
        return None


def outcome(reader: TarReader, *, limit: int = 1 << 16) -> Outcome:
    """All that can be seen of a tar: headers, bodies up to a limit, how it ends."""
    seen: list[tuple[Any, ...]] = []
    try:
        for header in reader:
            try:
                body = reader.read(limit)
            except Malformed as error:
                seen.append((dataclasses.astuple(header), facts(error)))
            else:
                seen.append((dataclasses.astuple(header), body))
    except Malformed as error:
        return seen, facts(error), reader.end_marker
    return seen, None, reader.end_marker


def facts(error: Malformed) -> tuple[Any, ...]:
    return error.structure, error.reason, error.offset, error.entry


def all_ways(tar: bytes) -> Outcome:
    """Assert that every way to read a tar sees the same."""
    plain = outcome(TarReader(io.BytesIO(tar)))
    assert outcome(StrictReader(io.BytesIO(tar))) == plain
    assert outcome(TarReader(Dribble(tar, 700))) == plain
    return plain


def with_right_checksums(tar: bytes) -> bytes:
    """The tar with the checksum of each of its blocks made right, bodies not spared."""
    blocks = []
    for at in range(0, len(tar), 512):
        block = tar[at : at + 512]
        blanked = block[:148] + b" " * 8 + block[156:]
        is_header = block[257:262] == b"ustar"
        blocks.append(block[:148] + b"%06o\0 " % sum(blanked) + block[156:] if is_header else block)
    return b"".join(blocks)


def a_layer_tar() -> bytes:
    target = io.BytesIO()
    writer = TarWriter(target)
    descriptor = b"AQAEgBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAA" * 6
    for number, body in enumerate((b"", b"content", b"x" * 600)):
        records = {b"MSWINDOWS.fileattr": b"32", b"MSWINDOWS.rawsd": descriptor}
        header = TarHeader(
            b"Files/name%d" % number, b"0", size=len(body), mode=0o100000, pax=records
        )
        header.mtime_ns, header.atime_ns, header.ctime_ns = 1_500_000_000_123_456_700, 7, GIGA
        writer.add(header, format=TarFormat.PAX)
        writer.write(body)
    writer.close()
    return target.getvalue()


LAYER_TAR = a_layer_tar()
changes = st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 255)), min_size=1, max_size=4)


def changed(tar: bytes, where: list[tuple[int, int]]) -> bytes:
    mutable = bytearray(tar)
    for at, value in where:
        mutable[at % len(mutable)] = value
    return bytes(mutable)


@LAW
@given(tar=st.sampled_from([GO_TAR, LAYER_TAR]), where=changes, fixed=st.booleans())
def test_all_ways_to_read_a_damaged_tar_see_the_same(
    tar: bytes, where: list[tuple[int, int]], fixed: bool
) -> None:
    damaged = changed(tar, where)
    all_ways(with_right_checksums(damaged) if fixed else damaged)


header_places = st.one_of(
    st.integers(100, 156), st.integers(257, 265), st.integers(329, 345), st.integers(0, 511)
)


@LAW
@given(
    places=st.lists(st.tuples(header_places, st.sampled_from(b"\0 0178_x-+\x80\xff")), max_size=3),
    block=st.sampled_from([0, 2, 3]),
    fixed=st.booleans(),
)
def test_a_plain_block_reads_as_any_block(
    places: list[tuple[int, int]], block: int, fixed: bool
) -> None:
    data = changed(LAYER_TAR[512 * block : 512 * (block + 1)], places)
    data = with_right_checksums(data) if fixed else data
    for parser in (PlainBlocks(), PlainBlocks()):
        plain = parser.parse(data)
        assert parser.parse(data) == plain
        assert plain is None or plain == parse_block(data)
        extension = parser.parse_extension(data)
        if extension is not None:
            whole = parse_block(data)
            assert (whole[2], whole[3], whole[-1]) == (b"x", *extension)


@LAW
@given(st.lists(st.sampled_from([b"6 k=v\n", b"5 ", b"7 ", b"12 ", b"mtime=", b"k", b"=", b"\n", b"\0", b"1", b"14 GNU.sparse.", b"+6 k=v\n"])).map(b"".join))  # fmt: skip
def test_plain_records_read_as_any_records(body: bytes) -> None:
    for _ in range(2):  # the second time heads are remembered
        plain = pax.parse_plain_records(body)
        assert plain is None or plain == pax._parse_strictly(body)


@LAW
@given(st.binary(max_size=64) | st.text("0123456789+-._ e", max_size=24).map(str.encode))
def test_a_time_is_refused_or_exact(text: bytes) -> None:
    try:
        ns = pax.parse_pax_time(text)
    except Malformed:
        return
    assert pax.parse_pax_time(pax.format_pax_time(ns)) == ns
    assert set(text) <= set(b"0123456789+-.")


@LAW
@given(st.binary(max_size=3000), st.booleans())
def test_any_bytes_give_entries_or_malformed(noise: bytes, fixed: bool) -> None:
    all_ways(noise)
    all_ways(with_right_checksums(GO_TAR[:1024] + noise) if fixed else GO_TAR[:1024] + noise)


@LAW
@given(where=changes)
def test_one_byte_at_a_time_reads_the_same(where: list[tuple[int, int]]) -> None:
    tar = with_right_checksums(changed(LAYER_TAR, where))
    assert outcome(TarReader(Dribble(tar, 1))) == outcome(TarReader(io.BytesIO(tar)))


names = st.binary(min_size=1, max_size=180).map(
    lambda name: name.replace(b"\0", b"/").rstrip(b"/") or b"n"
)
times = st.none() | st.integers(-(1 << 80), 1 << 80)
records = st.dictionaries(
    st.binary(min_size=1, max_size=9).map(
        lambda key: b"k" + key.replace(b"=", b"").replace(b"\0", b"")
    ),
    st.binary(max_size=40),
    max_size=3,
)
headers = st.builds(
    TarHeader,
    name=names,
    typeflag=st.sampled_from([b"0", b"1", b"2", b"5", b"7", b"A"]),
    linkname=names | st.just(b""),
    mode=st.integers(0, 0o7777777),
    uid=INT64,
    gid=INT64,
    uname=st.text(max_size=20).map(lambda name: name.replace("\0", "").encode("utf-8", "replace")),
    devmajor=st.integers(0, 0o7777777),
    mtime_ns=times,
    atime_ns=times,
    ctime_ns=times,
    pax=records,
    format=st.just(TarFormat.PAX),
)


@LAW
@given(st.lists(st.tuples(headers, st.binary(max_size=600)), max_size=4))
def test_what_is_written_is_read_back(entries: list[tuple[TarHeader, bytes]]) -> None:
    target = io.BytesIO()
    writer = TarWriter(target)
    for header, body in entries:
        header.size = len(body) if header.typeflag in b"07A" else 0
        writer.add(header)
        writer.write(body[: header.size])
    writer.close()
    seen, error, end_marker = all_ways(target.getvalue())
    assert (error, end_marker) == (None, 2)
    for (written, body), (read, read_body) in zip(entries, seen, strict=True):
        back = TarHeader(*read)
        assert read_body == body[: written.size]
        for name in ("name", "typeflag", "linkname", "size", "mode", "uid", "gid", "uname"):
            assert getattr(back, name) == getattr(written, name)
        assert back.mtime_ns == (written.mtime_ns or 0)
        assert (back.atime_ns, back.ctime_ns) == (written.atime_ns, written.ctime_ns)
        assert written.pax.items() <= back.pax.items()


@LAW
@given(headers, st.sampled_from([None, *TarFormat]))
def test_a_header_is_refused_or_reads_back_in_any_format(
    header: TarHeader, wanted: TarFormat | None
) -> None:
    target = io.BytesIO()
    header.format = None
    header.atime_ns = header.ctime_ns = None
    try:
        TarWriter(target).add(header, format=wanted)
    except Malformed:
        assert target.getvalue() == b""
        assume(False)
    [(read, _)], error, _ = all_ways(target.getvalue())
    back = TarHeader(*read)
    assert error is None
    assert (back.name, back.linkname) == (header.name, header.linkname)
    assert (back.uid, back.gid, back.mode) == (header.uid, header.gid, header.mode)


@pytest.mark.parametrize("step", [1, 511, 512, 513, 1 << 20])
def test_the_golden_headers_read_the_same_by_any_step(step: int) -> None:
    whole = outcome(TarReader(io.BytesIO(GO_TAR)))
    assert len(whole[0]) == 12
    assert outcome(TarReader(Dribble(GO_TAR, step))) == whole
