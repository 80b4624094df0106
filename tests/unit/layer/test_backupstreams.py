"""Backup streams to layer tars and back, where the golden vectors say nothing: losses, and FULL."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

import pytest

from tests.support.builders import DESCRIPTOR, NEW_YEAR_FILETIME
from tests.unit.layer.test_backupcontents import SPARSE, Given, a_block, a_part, a_stream
from winlayers.errors import InvalidName, Malformed, Unsupported
from winlayers.formats.backupstream import PartId
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.filetime import BasicInfo
from winlayers.formats.tar import TarHeader, TarReader, TarWriter
from winlayers.layer.backupstreams import read_backup_from_tar, write_tar_from_backup
from winlayers.layer.backuptar import BackupTarReader
from winlayers.layer.findings import Finding
from winlayers.layer.tarheaders import Dialect

GO, FULL = Dialect.GO, Dialect.FULL
EA = build_ea_list([ExtendedAttribute(b"A", b"1")])
FILE, DIRECTORY = 0x20, 0x10


class Conversion:
    """One backup stream made into a tar."""

    def __init__(
        self,
        parts: list[Given],
        size: int = 3,
        *,
        dialect: Dialect = FULL,
        attributes: int = FILE,
        seekable: bool = True,
    ) -> None:
        self.losses: list[Finding] = []
        self.spools: list[BinaryIO] = []
        target = io.BytesIO()
        writer = TarWriter(target)
        info = BasicInfo(*[NEW_YEAR_FILETIME] * 4, attributes)
        write_tar_from_backup(
            writer,
            "Files/a",
            size,
            info,
            a_stream(*parts),
            seekable=seekable,
            dialect=dialect,
            report=self.losses.append,
            spool=self.spool,
        )
        writer.close()
        self.tar = target.getvalue()

    def spool(self) -> BinaryIO:
        self.spools.append(io.BytesIO())
        return self.spools[-1]

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.losses]

    @property
    def parts(self) -> dict[str, bytes]:
        reader = BackupTarReader(io.BytesIO(self.tar))
        return {p.name: reader.open_part(p).read() for _ in reader for p in reader.parts()}

    @property
    def header(self) -> TarHeader:
        header = TarReader(io.BytesIO(self.tar)).next()
        assert header is not None
        return header


DATA = a_part(PartId.DATA, b"abc")
STREAM = a_part(PartId.ALTERNATE, b"x", ":s:$DATA")


@pytest.mark.parametrize("seekable", [True, False])
def test_full_keeps_what_stands_on_the_wrong_side_of_the_data(seekable: bool) -> None:
    parts = [STREAM, DATA, a_part(PartId.EA, EA), a_part(PartId.SECURITY, DESCRIPTOR)]
    made = Conversion(parts, seekable=seekable)
    assert made.parts == {"": b"abc", "s": b"x"}
    assert {b"MSWINDOWS.rawsd", b"MSWINDOWS.xattr.A"} <= set(made.header.pax)
    assert made.losses == []
    assert len(made.spools) == (not seekable)


def test_full_keeps_streams_of_what_has_no_data() -> None:
    assert Conversion([STREAM], 0).parts == {"": b"", "s": b"x"}
    assert Conversion([STREAM], 7, attributes=DIRECTORY).parts == {"s": b"x"}


@pytest.mark.parametrize("seekable", [True, False])
def test_full_expands_sparse_data(seekable: bool) -> None:
    parts = [a_part(PartId.DATA, attributes=SPARSE), a_block(1, b"x"), a_block(3)]
    assert Conversion(parts, seekable=seekable).parts == {"": b"\0x\0"}


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("dialect", Dialect)
def test_size_that_is_not_that_of_the_data_is_malformed(dialect: Dialect, size: int) -> None:
    with pytest.raises(Malformed):
        Conversion([DATA], size, dialect=dialect)


@pytest.mark.parametrize(
    ("parts", "seekable", "codes"),
    [
        ([STREAM, DATA], True, ["stream-lost"]),
        ([STREAM, DATA], False, ["stream-lost"]),
        ([DATA, STREAM], True, []),
        ([DATA, a_part(PartId.EA, EA)], True, []),
        ([DATA, a_part(PartId.EA, EA)], False, ["ea-lost"]),
        ([a_part(PartId.LINK, b"x"), DATA, a_part(PartId.TXFS)], True, ["part-dropped"] * 2),
        ([a_part(PartId.LINK, b"x"), DATA, a_part(PartId.TXFS)], False, ["part-dropped"] * 2),
    ],
)
def test_go_reports_what_it_loses(parts: list[Given], seekable: bool, codes: list[str]) -> None:
    assert Conversion(parts, dialect=GO, seekable=seekable).codes == codes


def test_go_fails_where_the_original_does() -> None:
    sparse = [a_part(PartId.DATA, attributes=SPARSE), a_block(1, b"x"), a_block(3)]
    with pytest.raises(Malformed, match="unknown stream ID 9"):
        Conversion(sparse, dialect=GO)
    assert Conversion(sparse, dialect=GO, seekable=False).parts == {"": b"\0x\0"}
    with pytest.raises(Unsupported, match="sparse alternate"):
        Conversion([DATA, a_part(PartId.ALTERNATE, b"x", ":s:$DATA", SPARSE)], dialect=GO)
    with pytest.raises(Malformed, match="after data"):
        Conversion([DATA, a_part(PartId.SECURITY, DESCRIPTOR)], dialect=GO)


def test_stream_may_begin_in_the_middle_of_its_file() -> None:
    stream = io.BytesIO(b"1234" + a_stream(DATA).getvalue())
    for dialect in Dialect:
        stream.seek(4, os.SEEK_SET)
        target = io.BytesIO()
        info = BasicInfo(*[NEW_YEAR_FILETIME] * 4, FILE)
        write_tar_from_backup(
            TarWriter(target), "Files/a", 3, info, stream, seekable=True, dialect=dialect
        )
        assert target.getvalue().endswith(b"abc")


def back(tar: bytes, dialect: Dialect = FULL) -> bytes:
    """The backup stream of the first entry of a tar."""
    reader = TarReader(io.BytesIO(tar))
    header = reader.next()
    assert header is not None
    target = io.BytesIO()
    assert read_backup_from_tar(reader, header, target, dialect=dialect) is None
    return target.getvalue()


@pytest.mark.parametrize("dialect", Dialect)
def test_backup_stream_comes_back(dialect: Dialect) -> None:
    parts = [a_part(PartId.SECURITY, DESCRIPTOR), a_part(PartId.EA, EA), DATA, STREAM]
    assert back(Conversion(parts, dialect=dialect).tar, dialect) == a_stream(*parts).getvalue()


def test_full_keeps_surrogates_of_stream_names_and_types() -> None:
    tar = Conversion([DATA, a_part(PartId.ALTERNATE, b"x", ":\ud800:$DATA")]).tar
    assert back(tar) == a_stream(DATA, a_part(PartId.ALTERNATE, b"x", ":\ud800:$DATA")).getvalue()
    replaced = a_part(PartId.ALTERNATE, b"x", f":{3 * chr(0xFFFD)}:$DATA")
    assert back(tar, GO) == a_stream(DATA, replaced).getvalue()


def test_type_of_a_stream_is_not_doubled() -> None:
    target = io.BytesIO()
    writer = TarWriter(target)
    for name in (b"Files/a", b"Files/a:s:$DATA"):
        writer.add(TarHeader(name, b"0"))
    empty = a_part(PartId.DATA), a_part(PartId.ALTERNATE, name=":s:$DATA")
    assert back(target.getvalue()) == a_stream(*empty).getvalue()


def test_stream_name_that_is_not_utf8_is_refused() -> None:
    target = io.BytesIO()
    writer = TarWriter(target)
    for name in (b"Files/a", b"Files/a:\xff"):
        writer.add(TarHeader(name, b"0"))
    with pytest.raises(InvalidName):
        back(target.getvalue())
    assert back(target.getvalue(), GO)
