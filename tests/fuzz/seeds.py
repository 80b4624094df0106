"""Sound inputs to begin with: those of the vectors, and what our own writers make."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.fuzz.mutation import MAX_SIZE
from tests.fuzz.repair import repair_tar
from tests.fuzz.sources import outcome
from tests.support.breaches import BREACHES
from tests.support.builders import (
    DESCRIPTOR,
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
    a_whiteout,
    an_opaque_whiteout,
    layer_tar,
    raw_tar,
)
from tests.support.hives import a_delta, a_hive, a_key, a_path, dword, no_value, text
from tests.unit.layer.test_check import CASES
from winlayers.formats.backupstream import BackupWriter, PartHeader, PartId
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.reparse import build_reparse, link_to
from winlayers.formats.tar import TarFormat, TarHeader

TESTS = Path(__file__).parents[1]
#: So many cases of a vector file are enough to begin with; of more, one in several is taken.
_ENOUGH = 200


@cache
def _cases(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((TESTS / f"vectors/data/{name}.json").read_bytes())[
        "cases"
    ]
    return cases[:: max(len(cases) // _ENOUGH, 1)]


def hex_of(name: str, field: str) -> Iterator[bytes]:
    """A field in hexadecimal of the cases of a vector file."""
    return (bytes.fromhex(case[field]) for case in _cases(name) if case.get(field))


def base64_of(name: str, field: str) -> Iterator[bytes]:
    """A field in base64 of the cases of a vector file."""
    return (base64.b64decode(case[field]) for case in _cases(name) if case.get(field))


def text_of(name: str, field: str) -> Iterator[bytes]:
    """A text field of the cases of a vector file."""
    return (case[field].encode() for case in _cases(name) if isinstance(case.get(field), str))


def tars() -> Iterator[bytes]:
    """Tars of every kind."""
    yield (TESTS / "data" / "go_headers.tar").read_bytes()
    yield from base64_of("gotar_read", "tar")
    yield from base64_of("gotar_write", "tar")


def layer_tars() -> Iterator[bytes]:
    """Tars of layers that stand on ``base_layer``."""
    yield layer_tar(a_rich_layer())
    yield layer_tar(a_layer(a_file("Files/low", b"new"), a_whiteout("Files/lowdir")))
    yield from odd_layer_tars()
    for layer in (*(layer for _, layer in BREACHES), *(case.layer for case in CASES)):
        made = outcome(partial(layer_tar, layer))  # not every fault can be written
        if isinstance(made, bytes) and len(made) <= MAX_SIZE:
            yield made
    yield from base64_of("whole_layer", "layer")
    yield from base64_of("legacy_layer", "in")
    yield from base64_of("buildkit_convert", "out")


def odd_layer_tars() -> Iterator[bytes]:
    """Tars of layers that no writer here makes, each with a record or a form of its own."""
    ea = ExtendedAttribute(b"A", b"1")
    link = base64.b64encode(build_reparse(link_to("b", junction=False)))
    for header in (
        TarHeader(b"Files/a", b"0", pax={b"MSWINDOWS.sd": b"O:BAG:SYD:(A;OICI;FA;;;BA)"}),
        TarHeader(
            b"Files/a", b"0", pax={b"MSWINDOWS.xattr.user.a": b"dg==", b"MSWINDOWS.xattr.B": b""}
        ),
        TarHeader(
            b"Files/a", b"0", pax={b"WINLAYERS.ea": base64.b64encode(build_ea_list([ea, ea]))}
        ),
        TarHeader(b"Files/a", b"2", b"c", pax={b"WINLAYERS.reparse": link}),
        TarHeader(b"Files/a", b"2", b"C:/x", pax={b"MSWINDOWS.mountpoint": b"1"}),
        TarHeader(b"Files/a", b"0", mtime_ns=-(1 << 75), atime_ns=1 << 73, format=TarFormat.PAX),
        TarHeader(b"Files\\a", b"0", uname="ü".encode(), format=TarFormat.GNU),
        TarHeader(b"Files/f", b"6"),
    ):
        yield raw_tar(TarHeader(b"Files", b"5"), header, TarHeader(b"Files/a:s", b"0"))
    for number in (0, 1):
        yield _a_sparse_tar(number)


def _a_sparse_tar(minor: int) -> bytes:
    """A layer with a sparse file, whose map stands in its records (0) or before its data (1)."""
    records = [b"GNU.sparse.major=%d" % minor, b"GNU.sparse.name=Files/s"]
    if minor:
        records += [b"GNU.sparse.minor=0", b"GNU.sparse.realsize=700"]
        body = b"2\n1\n2\n600\n1\n".ljust(512, b"\0") + b"abc"
    else:
        records += [b"GNU.sparse.minor=1", b"GNU.sparse.size=700"]
        records += [b"GNU.sparse.numblocks=2", b"GNU.sparse.map=1,2,600,1"]
        body = b"abc"
    target = io.BytesIO()
    for typeflag, content in ((b"x", b"\n".join(records)), (b"0", body)):
        block = bytearray(512)
        block[0:7] = b"Files/s"
        block[124:136] = b"%011o\0" % len(content)
        block[156:157] = typeflag
        block[257:265] = b"ustar\x0000"
        target.write(bytes(block) + content + bytes(-len(content) % 512))
    return repair_tar(target.getvalue() + bytes(1024))


def sddl_texts() -> Iterator[bytes]:
    """Descriptors in text, with every kind of condition and resource attribute."""
    yield (
        b"O:BAG:SYD:PAI(A;OICI;FA;;;BA)(OA;;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;WD)"
        b'(XA;;FX;;;WD;(@User.a == {1, "b"} && !(Member_of {SID(BA)}) || Exists c))'
    )
    for condition in (
        "a >= -0x1F",
        "@Device.%0041b Any_of {#0a0b, 07}",
        "Not_Member_of_Any {SID(BA), SID(S-1-5-7)}",
        '!(a) && (b != "x" || Not_Exists @Resource.c)',
        "a Contains @User.b",
    ):
        yield f"D:(XA;;FX;;;WD;({condition}))".encode()
    for claim in (
        'TS,0x0,"b","c"', "TI,0x1,-1,2", "TU,0x10,3", "TB,0,1,0", "TD,0,BA", "TX,0,0102,#"
    ):  # fmt: skip
        yield f'S:(RA;;;;;WD;("a%0020",{claim}))(ML;;NW;;;LW)'.encode()
    yield from text_of("sddl", "sddl")


def base_layer() -> Layer:
    """A base layer."""
    config = "Files/Windows/System32/config"
    build = [text("CurrentBuildNumber", "20348"), dword("UBR", 2113)]
    software = a_hive(a_path("Microsoft\\Windows NT\\CurrentVersion", values=build))
    return a_layer(
        a_file("Files/low", b"low", {"s": b"stream"}),
        a_file("Files/lowdir/x", b"x"),
        a_file(f"{config}/SOFTWARE", software),
    )


def a_rich_layer() -> Layer:
    """A layer with something of everything, on ``base_layer``."""
    attributes = [ExtendedAttribute(b"A", b"1"), ExtendedAttribute(b"LXUID", bytes(4), 0x80)]
    build = a_path("Microsoft\\Windows NT\\CurrentVersion", values=[dword("UBR", 2114)])
    return a_layer(
        a_file("Files/a", b"a" * 700, {"s": b"t" * 600, "ünï": b""}, attributes=0x2021),
        a_file("Files/e", b"", ea=build_ea_list(attributes)),
        a_directory("Files/d", {"s": b"of a folder"}),
        an_opaque_whiteout("Files/d"),
        a_symlink("Files/d/l", "..\\a"),
        a_symlink("Files/d/k", "C:\\low"),
        a_junction("Files/j", "C:\\lowdir"),
        a_reparse_point("Files/r"),
        a_link("Files/h", "Files/a"),
        a_link("Files/g", "Files/low"),
        a_whiteout("Files/lowdir/x"),
        a_file("Files/" + "n" * 120, b"n", creation_filetime=0, write_filetime=2**64 - 1),
        a_file("Files/\ud800", b""),
        a_file("Hives/Software_Delta", a_delta(build)),
        a_file("UtilityVM/Files/x", b"x"),
    )


def hives() -> Iterator[bytes]:
    """Registry hives."""
    values = [text("a", "b"), dword("n", 7), no_value("gone"), text("long", "x" * 9000)]
    keys = [
        a_key("one", values=values, class_name="class", lists="lf"),
        a_key("zwei", a_key("ünter"), a_key("日本"), lists="li", layer_byte=1),
        a_key("drei", a_key("a"), a_key("b"), lists="ri"),
    ]
    yield a_hive(a_key("ROOT", *keys))
    yield a_hive(a_key("ROOT", *keys), minor=3)
    yield a_delta(a_key("ROOT", *keys))
    for name in ("Software_plain_small", "minimal_BCD"):
        yield (TESTS / "data" / name).read_bytes()


def backup_streams() -> Iterator[bytes]:
    """Backup streams of files, as Windows gives them and as none would be."""
    yield a_backup_stream(
        (PartHeader(PartId.SECURITY), DESCRIPTOR),
        (PartHeader(PartId.EA), build_ea_list([ExtendedAttribute(b"A", b"1")])),
        (PartHeader(PartId.DATA), b"content"),
        (PartHeader(PartId.ALTERNATE, name=":s:$DATA"), b"stream"),
        (PartHeader(PartId.LINK), b"link"),
    )
    yield a_backup_stream(
        (PartHeader(PartId.DATA, attributes=8), b""),
        (PartHeader(PartId.SPARSE_BLOCK, offset=4), b"data"),
        (PartHeader(PartId.SPARSE_BLOCK, offset=99), b""),
    )
    yield from hex_of("backup_to_tar", "stream")
    yield from hex_of("backupstream_decode", "bytes")
    yield from hex_of("backupstream_encode", "bytes")


def a_backup_stream(*parts: tuple[PartHeader, bytes]) -> bytes:
    """A backup stream of parts, whose sizes are those of their bodies."""
    target = io.BytesIO()
    writer = BackupWriter(target)
    for header, body in parts:
        header.size = len(body)
        writer.header(header)
        writer.write(body)
    writer.close()
    return target.getvalue()
