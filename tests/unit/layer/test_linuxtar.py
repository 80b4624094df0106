from __future__ import annotations

import base64
import io

import pytest

from winlayers.errors import Malformed
from winlayers.formats.sddl import format_sddl
from winlayers.formats.security import parse_descriptor
from winlayers.formats.tar import TarFormat, TarHeader, TarReader, TarWriter
from winlayers.layer.linuxtar import (
    DIRECTORY_DESCRIPTOR,
    FILE_DESCRIPTOR,
    linux_to_windows,
    windows_to_linux,
)

NOW = 1_700_000_000_005_000_000


def a_tar(*entries: tuple[TarHeader, bytes]) -> bytes:
    target = io.BytesIO()
    writer = TarWriter(target)
    for header, body in entries:
        writer.add(header)
        writer.write(body)
    writer.close()
    return target.getvalue()


def read(tar: bytes) -> list[tuple[TarHeader, bytes]]:
    reader = TarReader(io.BytesIO(tar))
    return [(header, reader.read()) for header in reader]


def to_windows(tar: bytes) -> list[tuple[TarHeader, bytes]]:
    target = io.BytesIO()
    linux_to_windows(io.BytesIO(tar), target, now_ns=NOW)
    return read(target.getvalue())


def to_linux(tar: bytes) -> list[tuple[TarHeader, bytes]]:
    target = io.BytesIO()
    windows_to_linux(io.BytesIO(tar), target)
    return read(target.getvalue())


@pytest.mark.parametrize(
    ("descriptor", "sddl"),
    [
        (
            DIRECTORY_DESCRIPTOR,
            "O:BAG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;FA;;;BA)(A;OICIIO;GA;;;CO)"
            "(A;OICI;0x1200a9;;;BU)(A;CI;LC;;;BU)(A;CI;DC;;;BU)",
        ),
        (FILE_DESCRIPTOR, "O:BAG:SYD:(A;;FA;;;BA)(A;;FA;;;SY)(A;;0x1200a9;;;BU)"),
    ],
)
def test_descriptors_say_what_they_should(descriptor: bytes, sddl: str) -> None:
    assert format_sddl(parse_descriptor(base64.b64decode(descriptor))) == sddl


def test_folders_of_the_layer_come_first() -> None:
    (hives, _), (files, _) = to_windows(a_tar())
    assert (hives.name, files.name) == (b"Hives", b"Files")
    for folder in (hives, files):
        assert (folder.typeflag, folder.mode, folder.mtime_ns) == (b"5", 0o40000, NOW)
        assert folder.pax[b"LIBARCHIVE.creationtime"] == b"1700000000.5000000"
        assert b"MSWINDOWS.rawsd" not in folder.pax


def test_entries_get_made_up_metadata() -> None:
    tar = a_tar(
        (TarHeader(b"a", b"0", size=5, mode=0o644, mtime_ns=7, format=TarFormat.PAX), b"hello"),
        (TarHeader(b"d/", b"5", mode=0o755), b""),
        (TarHeader(b"l", b"2", b"/a"), b""),
        (TarHeader(b"h", b"1", b"a"), b""),
    )
    (file, body), (folder, _), (symbolic, _), (hard, _) = to_windows(tar)[2:]
    assert (file.name, file.mode, body) == (b"Files/a", 0o100644, b"hello")
    assert file.pax[b"LIBARCHIVE.creationtime"] == b"0.7"
    assert file.pax[b"MSWINDOWS.fileattr"] == b"32"
    assert file.pax[b"MSWINDOWS.rawsd"] == FILE_DESCRIPTOR
    assert (folder.name, folder.mode) == (b"Files/d/", 0o40755)
    assert folder.pax[b"MSWINDOWS.fileattr"] == b"16"
    assert folder.pax[b"MSWINDOWS.rawsd"] == DIRECTORY_DESCRIPTOR
    assert (symbolic.linkname, hard.linkname) == (b"Files//a", b"Files/a")
    assert b"MSWINDOWS.fileattr" not in symbolic.pax
    assert b"MSWINDOWS.rawsd" not in hard.pax


def test_only_what_is_below_files_reaches_linux() -> None:
    tar = a_tar(
        (TarHeader(b"Files", b"5"), b""),
        (TarHeader(b"Files/a", b"0", size=2, pax={b"MSWINDOWS.fileattr": b"32"}), b"hi"),
        (TarHeader(b"Files/h", b"1", b"Files/a"), b""),
        (TarHeader(b"Hives/Sam_Delta", b"0", size=3), b"hiv"),
        (TarHeader(b"UtilityVM/Files/a", b"0"), b""),
    )
    (file, body), (hard, _) = to_linux(tar)
    assert (file.name, body, file.pax) == (b"a", b"hi", {b"MSWINDOWS.fileattr": b"32"})
    assert (hard.name, hard.linkname) == (b"h", b"a")


def test_way_there_and_back_keeps_names_and_content() -> None:
    tar = a_tar(
        (TarHeader(b"n" * 120 + b"/b", b"0", size=3), b"abc"),
        (TarHeader("ä".encode(), b"0", uid=1 << 40), b""),
    )
    layer = io.BytesIO()
    linux_to_windows(io.BytesIO(tar), layer, now_ns=0)
    back = to_linux(layer.getvalue())
    assert [(h.name, h.uid, body) for h, body in back] == [
        (h.name, h.uid, body) for h, body in read(tar)
    ]


@pytest.mark.parametrize("convert", [to_windows, to_linux])
def test_cut_tar_is_malformed(convert: object) -> None:
    assert callable(convert)
    tar = a_tar((TarHeader(b"Files/a", b"0", size=900), b"x" * 900))
    with pytest.raises(Malformed, match="ends in the middle"):
        convert(tar[:700])


def test_what_there_is_of_a_cut_body_is_written() -> None:
    tar = a_tar((TarHeader(b"Files/a", b"0", size=900), b"x" * 900))
    target = io.BytesIO()
    with pytest.raises(Malformed):
        windows_to_linux(io.BytesIO(tar[:700]), target)
    assert target.getvalue()[512:] == b"x" * 188
