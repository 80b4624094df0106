"""Hostile layers: each is refused with an error that names the entry and the cause, and leaves nothing.

Every tar here goes through the driver into a real store. What is compared is the whole home, every file of
it, before and after. Tars that are only odd are imported, and come out again bit for bit.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import a_directory, a_file, a_layer, a_symlink, layer_tar
from winlayers.assembly import open_driver
from winlayers.backends.contract import ImportPolicy
from winlayers.backends.portable.loose import open_loose
from winlayers.base.digest import Digest
from winlayers.config import Config
from winlayers.driver.driver import Driver
from winlayers.errors import (
    DigestMismatch,
    InvalidName,
    LayerExists,
    Malformed,
    ParentMissing,
    TooLarge,
    WinlayersError,
)
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.tar import TarFormat, TarHeader, TarWriter
from winlayers.layer.check import check_layer
from winlayers.layer.findings import Finding

BLOCK = 512
END = bytes(2 * BLOCK)
QUICK = ImportPolicy(sync=False)
BASE_LAYER = a_layer(a_file("Files/low", b"low"), a_file("Files/lowdir/x", b"x"))


# -- tars of any bytes ------------------------------------------------------------------------------------


def block(
    name: bytes,
    typeflag: bytes = b"0",
    *,
    size: bytes = b"00000000000\0",
    linkname: bytes = b"",
    mtime: bytes = b"00000000000\0",
    mode: bytes = b"0000644\0",
) -> bytes:
    """A header block with these very fields, and a right checksum."""
    data = bytearray(BLOCK)
    fields = (
        (0, name), (100, mode), (108, b"0000000\0"), (116, b"0000000\0"), (124, size),
        (136, mtime), (148, b" " * 8), (156, typeflag), (157, linkname), (257, b"ustar\x0000"),
    )  # fmt: skip
    for at, field in fields:
        data[at : at + len(field)] = field
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def octal(size: int) -> bytes:
    return b"%011o\0" % size


def padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % BLOCK)


def record(key: bytes, value: bytes) -> bytes:
    """One PAX record."""
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest)
    while size != len(rest) + len(b"%d" % size):
        size = len(rest) + len(b"%d" % size)
    return b"%d" % size + rest


def pax(*records: bytes) -> bytes:
    """An extended header with a body of these bytes."""
    body = b"".join(records)
    return block(b"PaxHeaders.0", b"x", size=octal(len(body))) + padded(body)


def entry(
    name: bytes,
    typeflag: bytes = b"0",
    body: bytes = b"",
    *,
    linkname: bytes = b"",
    records: dict[bytes, bytes] | None = None,
) -> bytes:
    """An entry as a sound builder writes it, whatever its name and records say."""
    target = io.BytesIO()
    writer = TarWriter(target)
    header = TarHeader(name, typeflag, linkname, len(body), 0o644, mtime_ns=0, format=TarFormat.PAX)
    header.pax = dict(records or {})
    writer.add(header)
    writer.write(body)
    writer.flush()
    return target.getvalue()


def folder(name: bytes, **records: bytes) -> bytes:
    return entry(name, b"5")


def with_record(key: bytes, value: bytes) -> bytes:
    return entry(b"Files/bad", records={key: value})


def sparse(runs: bytes, data: bytes = b"", *, size: int = 9, stored: int | None = None) -> bytes:
    """A sparse file with a map of version 1.0 before its data."""
    body = padded(runs) + data
    claimed = len(body) if stored is None else stored
    records = (
        record(b"GNU.sparse.major", b"1"),
        record(b"GNU.sparse.minor", b"0"),
        record(b"GNU.sparse.name", b"Files/sparse"),
        record(b"GNU.sparse.realsize", b"%d" % size),
    )
    return pax(*records) + block(b"Files/sparse", size=octal(claimed)) + padded(body)


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


FILES = folder(b"Files")


# -- the store ------------------------------------------------------------------------------------------------


@dataclass
class Store:
    """A store with one base layer in it.

    Attributes:
        root: its home.
        driver: over it.
    """

    root: Path
    driver: Driver

    def state(self) -> dict[str, str]:
        """Every name in the home, with the digest of its bytes."""
        return {
            str(path.relative_to(self.root)): (
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            )
            for path in self.root.rglob("*")
        }

    def refuse(
        self,
        source: bytes,
        *,
        parent: str = "base",
        policy: ImportPolicy = QUICK,
        **given: Digest,
    ) -> WinlayersError:
        """The error of an import that has to fail and leave nothing."""
        before = self.state()
        try:
            with pytest.raises(WinlayersError) as caught:
                self.driver.import_layer("bad", parent, io.BytesIO(source), policy=policy, **given)
        finally:
            after = self.state()
            self.driver.remove("bad")  # so that one failing test is not many
        assert after == before
        assert not list((self.root / "tmp").iterdir())
        return caught.value

    def keep(self, source: bytes, *, policy: ImportPolicy = QUICK, **given: Digest) -> bytes:
        """The export of an import that has to succeed."""
        self.driver.import_layer("odd", "base", io.BytesIO(source), policy=policy, **given)
        try:
            with self.driver.diff("odd") as export:
                return export.read()
        finally:
            self.driver.remove("odd")


def open_store(root: Path, *, reexec: bool = False) -> Store:
    driver = open_driver(Config(root=root, reexec=reexec))
    driver.import_layer("base", "", io.BytesIO(layer_tar(BASE_LAYER)), policy=QUICK)
    return Store(root, driver)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tmp_path_factory.mktemp("home"))


# -- what breaks a law of layers, or says something that does not parse ---------------------------------------


@dataclass(frozen=True)
class Hostile:
    """A tar with one bad entry.

    Attributes:
        label: name of the test.
        finding: code of the finding in the error.
        bad: the bad entry, and what follows it.
        entry: how the error names it; None where it has no name.
        before: what stands before it.
        parent: of the layer.
    """

    label: str
    finding: str
    bad: bytes
    entry: str | None
    before: bytes = FILES
    parent: str = "base"


LONG_PATH = b"Files/" + b"/".join([b"d" * 200] * 170)

NAMES = [
    Hostile("parent", "name-traversal", entry(b"../x"), "../x"),
    Hostile("parent inside", "name-traversal", entry(b"Files/../../x"), "Files/../../x"),
    Hostile("parent by backslash", "name-traversal", entry(b"Files\\..\\x"), "Files\\..\\x"),
    Hostile("parent at the end", "name-traversal", entry(b"Files/a/.."), "Files/a/.."),
    Hostile("absolute", "name-traversal", entry(b"/Files/x"), "/Files/x"),
    Hostile("absolute by backslash", "name-traversal", entry(b"\\Files\\x"), "\\Files\\x"),
    Hostile("drive", "name-traversal", entry(b"C:/x"), "C:/x"),
    Hostile("drive, relative", "root-unknown", entry(b"C:x"), "C:x"),
    Hostile("drive by backslash", "name-traversal", entry(b"c:\\x"), "c:\\x"),
    Hostile("share", "name-traversal", entry(b"\\\\srv\\share\\x"), "\\\\srv\\share\\x"),
    Hostile("share by slash", "name-traversal", entry(b"//srv/share/x"), "//srv/share/x"),
    Hostile("device path", "name-traversal", entry(b"\\\\?\\C:\\x"), "\\\\?\\C:\\x"),
    Hostile("root of the layer", "name-traversal", entry(b"./", b"5"), "./"),
    Hostile("another top", "root-unknown", entry(b"etc/passwd"), "etc/passwd"),
    Hostile("a top in another case", "root-unknown", entry(b"FILES", b"5"), "FILES"),
    Hostile("device", "name-reserved", entry(b"Files/CON"), "Files/CON"),
    Hostile("device with extension", "name-reserved", entry(b"Files/nul.txt"), "Files/nul.txt"),
    Hostile("device folder", "name-reserved", entry(b"Files/Lpt1", b"5"), "Files/Lpt1"),
    Hostile(
        "device with superscript",
        "name-reserved",
        entry("Files/com²".encode()),
        "Files/com²",
    ),
    Hostile("trailing dot", "name-trailing", entry(b"Files/a."), "Files/a."),
    Hostile("trailing blank", "name-trailing", entry(b"Files/a "), "Files/a "),
    Hostile("control character", "name-character", entry(b"Files/a\x01"), "Files/a\x01"),
    Hostile("wildcard", "name-character", entry(b"Files/a*"), "Files/a*"),
    Hostile("not UTF-8", "name-encoding", entry(b"Files/\xff"), "Files/\\xff"),
    Hostile("overlong UTF-8", "name-encoding", entry(b"Files/\xc0\xae"), "Files/\\xc0\\xae"),
    Hostile(
        "component too long", "name-too-long", entry(b"Files/" + b"a" * 256), "Files/" + "a" * 256
    ),
    Hostile(
        "astral component too long",
        "name-too-long",
        entry(b"Files/" + "😀".encode() * 128),
        "Files/" + "😀" * 128,
    ),
    Hostile("path too long", "name-too-long", entry(LONG_PATH), LONG_PATH.decode()),
    Hostile(
        "NUL in a record of the path",
        "tar-damaged",
        pax(record(b"path", b"Files/a\0b")) + block(b"Files/a"),
        None,
    ),
    Hostile("case", "name-duplicate", entry(b"Files/A"), "Files/A", FILES + entry(b"Files/a")),
    Hostile(
        "case, not ASCII",
        "name-duplicate",
        entry("Files/Ä".encode()),
        "Files/Ä",
        FILES + entry("Files/ä".encode()),
    ),
    Hostile("same name", "name-duplicate", FILES, "Files"),
    Hostile(
        "folder over file",
        "name-duplicate",
        folder(b"Files/a"),
        "Files/a",
        FILES + entry(b"Files/a"),
    ),
    Hostile("no folder", "parent-missing", entry(b"Files/a/b"), "Files/a/b"),
    Hostile(
        "below a file",
        "parent-not-directory",
        entry(b"Files/a/b"),
        "Files/a/b",
        FILES + entry(b"Files/a"),
    ),
    Hostile(
        "below a link",
        "parent-not-directory",
        entry(b"Files/a/b"),
        "Files/a/b",
        FILES
        + entry(
            b"Files/a", b"2", linkname=b"C:\\Windows", records={b"MSWINDOWS.fileattr": b"1040"}
        ),
    ),
    Hostile(
        "below a link that a hard link leads through",
        "parent-not-directory",
        entry(b"Files/lowdir/y"),
        "Files/lowdir/y",
        FILES
        + entry(
            b"Files/lowdir",
            b"2",
            linkname=b"C:\\Windows",
            records={b"MSWINDOWS.fileattr": b"1040", b"MSWINDOWS.mountpoint": b"1"},
        )
        + entry(b"Files/l", b"1", linkname=b"Files/lowdir/x"),
    ),
    Hostile(
        "below a hard link",
        "parent-not-directory",
        entry(b"Files/a/b"),
        "Files/a/b",
        FILES + entry(b"Files/a", b"1", linkname=b"Files/low"),
    ),
    Hostile("stream of nothing", "stream-orphan", entry(b"Files/a:s"), "Files/a:s"),
    Hostile(
        "stream of another",
        "stream-orphan",
        entry(b"Files/a:s"),
        "Files/a:s",
        FILES + entry(b"Files/a") + entry(b"Files/b"),
    ),
    Hostile(
        "stream twice",
        "stream-duplicate",
        entry(b"Files/a:S"),
        "Files/a:S",
        FILES + entry(b"Files/a") + entry(b"Files/a:s"),
    ),
    Hostile(
        "stream with a separator",
        "name-character",
        entry(b"Files/a:s:t"),
        "Files/a:s:t",
        FILES + entry(b"Files/a"),
    ),
]

WHITEOUTS = [
    Hostile("of nothing", "whiteout-invalid", entry(b"Files/.wh."), "Files/.wh."),
    Hostile("of itself", "whiteout-invalid", entry(b"Files/.wh.."), "Files/.wh.."),
    Hostile("of the folder above", "whiteout-invalid", entry(b"Files/.wh..."), "Files/.wh..."),
    Hostile("of a top", "whiteout-outside", entry(b".wh.Files"), ".wh.Files", b""),
    Hostile(
        "of a hive",
        "whiteout-outside",
        entry(b"Hives/.wh.System_Delta"),
        "Hives/.wh.System_Delta",
        folder(b"Hives"),
    ),
    Hostile(
        "of an entry",
        "whiteout-and-entry",
        entry(b"Files/.wh.A"),
        "Files/A",
        FILES + entry(b"Files/a"),
    ),
    Hostile(
        "of the folder of an entry",
        "whiteout-and-entry",
        entry(b"Files/.wh.d"),
        "Files/d",
        FILES + folder(b"Files/d") + entry(b"Files/d/x"),
    ),
    Hostile(
        "before an entry",
        "whiteout-and-entry",
        entry(b"Files/a"),
        "Files/a",
        FILES + entry(b"Files/.wh.a"),
    ),
    Hostile(
        "above an entry",
        "parent-not-directory",
        entry(b"Files/lowdir/x"),
        "Files/lowdir/x",
        FILES + entry(b"Files/.wh.lowdir"),
    ),
    Hostile("in a base", "whiteout-in-base", entry(b"Files/.wh.a"), "Files/a", parent=""),
    Hostile(
        "opaque in a base",
        "whiteout-in-base",
        entry(b"Files/.wh..wh..opq"),
        "Files/.wh..opq",
        parent="",
    ),
    Hostile(
        "twice", "name-duplicate", entry(b"Files/.wh.A"), "Files/A", FILES + entry(b"Files/.wh.a")
    ),
]


def a_link_to(target: bytes) -> bytes:
    return entry(b"Files/l", b"1", linkname=target)


LINKS = [
    Hostile("to nothing", "link-target-missing", a_link_to(b"Files/gone"), "Files/l"),
    Hostile("to nothing in a base", "link-target-missing", a_link_to(b"Files/x"), "Files/l", parent=""),
    Hostile("to itself", "link-to-self", a_link_to(b"Files/L"), "Files/l"),
    Hostile("outside", "link-outside", a_link_to(b"../x"), "Files/l"),
    Hostile("outside by backslash", "link-outside", a_link_to(b"Files\\..\\..\\x"), "Files/l"),
    Hostile("absolute", "link-outside", a_link_to(b"/etc/passwd"), "Files/l"),
    Hostile("to a drive", "link-outside", a_link_to(b"C:\\x"), "Files/l"),
    Hostile("to a share", "link-outside", a_link_to(b"\\\\srv\\x"), "Files/l"),
    Hostile("to a hive", "link-outside", a_link_to(b"Hives/System_Delta"), "Files/l"),
    Hostile("to a top", "link-outside", a_link_to(b"Files"), "Files/l"),
    Hostile("to no name", "link-outside", a_link_to(b""), "Files/l"),
    Hostile("not UTF-8", "link-outside", a_link_to(b"Files/\xff"), "Files/l"),
    Hostile("from a hive", "link-outside", entry(b"Hives/l", b"1", linkname=b"Files/low"), "Hives/l", folder(b"Hives")),
    Hostile("to a folder", "link-to-directory", a_link_to(b"Files/d"), "Files/l", FILES + folder(b"Files/d")),
    Hostile("to a folder of the parents", "link-to-directory", a_link_to(b"Files/lowdir"), "Files/l"),
    Hostile(
        "before its target",
        "link-before-target",
        a_link_to(b"Files/z") + entry(b"Files/z"),
        "Files/l",
    ),
    Hostile(
        "in a ring",
        "link-before-target",
        a_link_to(b"Files/m") + entry(b"Files/m", b"1", linkname=b"Files/l"),
        "Files/l",
    ),
]  # fmt: skip


OVERLAPPING_EA = struct.pack("<IBBH", 8, 0, 0, 60000) * 10_000
METADATA = [
    ("attributes, negative", "attributes-invalid", b"MSWINDOWS.fileattr", b"-1"),
    ("attributes, hexadecimal", "attributes-invalid", b"MSWINDOWS.fileattr", b"0x20"),
    ("attributes, 33 bits", "attributes-invalid", b"MSWINDOWS.fileattr", b"4294967296"),
    ("attributes, bomb", "attributes-invalid", b"MSWINDOWS.fileattr", b"9" * 100_000),
    ("attributes, not ASCII", "attributes-invalid", b"MSWINDOWS.fileattr", "٣٢".encode()),
    ("attributes, none", "attributes-invalid", b"MSWINDOWS.fileattr", b""),
    ("time, text", "time-invalid", b"LIBARCHIVE.creationtime", b"now"),
    ("time, bomb", "time-invalid", b"LIBARCHIVE.creationtime", b"9" * 100_000),
    ("time, 65 bits", "time-invalid", b"LIBARCHIVE.creationtime", b"%d" % 2**64),
    ("descriptor, no base64", "security-invalid", b"MSWINDOWS.rawsd", b"!!!!"),
    ("descriptor, no padding", "security-invalid", b"MSWINDOWS.rawsd", b"AQ"),
    ("descriptor, short", "security-invalid", b"MSWINDOWS.rawsd", b64(b"\1\0\4\x80")),
    (
        "descriptor, owner behind the end",
        "security-invalid",
        b"MSWINDOWS.rawsd",
        b64(struct.pack("<BBHIIII", 1, 0, 0x8000, 2**31, 0, 0, 0)),
    ),
    (
        "descriptor, rights without end",
        "security-invalid",
        b"MSWINDOWS.rawsd",
        b64(struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 20) + struct.pack("<BBHHH", 2, 0, 8, 65535, 0)),
    ),
    ("descriptor, not SDDL", "security-invalid", b"MSWINDOWS.sd", b"O:"),
    (
        "descriptor, nested condition",
        "security-invalid",
        b"MSWINDOWS.sd",
        b"D:(XA;;FA;;;WD;" + b"(" * 20_000 + b"1" + b")" * 20_000 + b")",
    ),
    ("attribute, no base64", "ea-invalid", b"MSWINDOWS.xattr.A", b"!"),
    ("attribute, name too long", "ea-invalid", b"MSWINDOWS.xattr." + b"A" * 256, b"AA=="),
    ("attribute, value too long", "ea-invalid", b"MSWINDOWS.xattr.A", b64(bytes(65536))),
    ("attributes, short list", "ea-invalid", b"WINLAYERS.ea", b64(b"\0\0\0\0\0\1")),
    ("attributes, overlapping", "ea-invalid", b"WINLAYERS.ea", b64(OVERLAPPING_EA)),
    ("reparse, no base64", "reparse-invalid", b"WINLAYERS.reparse", b"*"),
    ("reparse, none", "reparse-invalid", b"WINLAYERS.reparse", b""),
    ("reparse, size lies", "reparse-invalid", b"WINLAYERS.reparse", b64(b"\x0c\0\0\xa0\xff\xff\0\0" + bytes(12))),
    ("reparse, too large", "reparse-invalid", b"WINLAYERS.reparse", b64(struct.pack("<IHH", 0x80000017, 20000, 0) + bytes(20000))),
]  # fmt: skip
RECORDS = [
    Hostile(label, finding, with_record(key, value), "Files/bad")
    for label, finding, key, value in METADATA
] + [
    Hostile(
        "link target too long",
        "reparse-invalid",
        entry(b"Files/bad", b"2", linkname=b"a" * 40_000),
        "Files/bad",
    ),
    Hostile(
        "link target with a NUL",
        "tar-damaged",
        pax(record(b"linkpath", b"a\0b")) + block(b"Files/bad", b"2"),
        None,
    ),
    Hostile(
        "link target not UTF-8",
        "reparse-invalid",
        entry(b"Files/bad", b"2", linkname=b"\xff"),
        "Files/bad",
    ),
]


@pytest.mark.parametrize(
    "hostile", [*NAMES, *WHITEOUTS, *LINKS, *RECORDS], ids=lambda hostile: hostile.label
)
def test_hostile_entry_is_named_and_nothing_is_left(store: Store, hostile: Hostile) -> None:
    error = store.refuse(hostile.before + hostile.bad + END, parent=hostile.parent)
    assert isinstance(error, Malformed)
    assert error.finding == hostile.finding
    if hostile.entry is not None:
        assert error.entry == hostile.entry
    assert error.offset is not None
    assert len(hostile.before) <= error.offset < len(hostile.before + hostile.bad)
    if hostile.finding != "tar-damaged":
        assert error.offset == len(hostile.before)
    assert f"[{hostile.finding}]" in str(error)


def test_reparse_buffer_with_a_name_behind_its_end_is_refused(store: Store) -> None:
    buffer = struct.pack("<IHHHHHHI", 0xA000000C, 12, 0, 0, 2, 0, 60000, 0)
    error = store.refuse(FILES + with_record(b"WINLAYERS.reparse", b64(buffer)) + END)
    assert error.finding == "reparse-invalid"


@pytest.mark.parametrize(
    "hostile", [*NAMES, *WHITEOUTS, *LINKS, *RECORDS], ids=lambda hostile: hostile.label
)
def test_check_finds_what_an_import_refuses(hostile: Hostile, tmp_path: Path) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(hostile.before + hostile.bad + END)
    if hostile.finding == "tar-damaged":
        with pytest.raises(Malformed, match=r"\[tar-damaged\]"):
            open_loose(path, tmpdir=tmp_path)
    else:
        is_base = not hostile.parent
        with open_loose(path, tmpdir=tmp_path, is_base=is_base) as loose:
            known = loose.table.findings()
            found = {
                (one.code, one.entry)
                for one in check_layer(loose.table, is_base=is_base, known=known)
            }
        # A bare tar has no parents to look for the target of a link in.
        if hostile.finding != "link-target-missing" and "parents" not in hostile.label:
            assert (hostile.finding, hostile.entry) in found
    assert list(tmp_path.iterdir()) == [path]


# -- damage to the tar itself ------------------------------------------------------------------------------------


def base256(number: int) -> bytes:
    """A number of twelve bytes in the binary form of GNU."""
    return (number % 2**96 | 1 << 95).to_bytes(12, "big")


LONG_NAME_ENTRY = block(b"././@LongLink", b"L", size=octal(6)) + padded(b"Files\0")
DAMAGE = {
    "checksum": block(b"Files/a")[:148] + b"000000\0 " + block(b"Files/a")[156:],
    "size, not octal": block(b"Files/a", size=b"9" * 11 + b"\0"),
    "size, negative octal": block(b"Files/a", size=b"-0000000001\0"),
    "size, negative": block(b"Files/a", size=base256(-1)),
    "size, 70 bits": block(b"Files/a", size=base256(1 << 70)),
    "size, 63 bits": block(b"Files/a", size=base256((1 << 63) - 1)),
    "size behind the end": block(b"Files/a", size=octal(1 << 30)),
    "size record, negative": pax(record(b"size", b"-1")) + block(b"Files/a"),
    "size record, 20 digits": pax(record(b"size", b"9" * 20)) + block(b"Files/a"),
    "size record, bomb": pax(record(b"size", b"9" * 200_000)) + block(b"Files/a"),
    "size record, behind the end": pax(record(b"size", b"%d" % 2**62)) + block(b"Files/a"),
    "time, not octal": block(b"Files/a", mtime=b"zzzzzzzzzzz\0"),
    "time record, text": pax(record(b"mtime", b"later")) + block(b"Files/a"),
    "time record, bomb": pax(record(b"mtime", b"9" * 200_000)) + block(b"Files/a"),
    "mode, not octal": block(b"Files/a", mode=b"rw-r--r-"),
    "record without length": pax(b"path=Files/a\n") + block(b"Files/a"),
    "record, length of nothing": pax(b"0 a=b\n") + block(b"Files/a"),
    "record, length lies": pax(b"99 a=b\n") + block(b"Files/a"),
    "record, length bomb": pax(b"9" * 100_000 + b" a=b\n") + block(b"Files/a"),
    "record without =": pax(b"5 ab\n") + block(b"Files/a"),
    "record without newline": pax(b"6 a=bX") + block(b"Files/a"),
    "records, too many": pax(record(b"k", b"v") * 200_000) + block(b"Files/a"),
    "records, size behind the end": block(b"x", b"x", size=octal(1 << 20)),
    "records, size bomb": block(b"x", b"x", size=base256(1 << 60)),
    "long name, bomb": block(b"././@LongLink", b"L", size=base256(1 << 60)),
    "long name, too long": block(b"././@LongLink", b"L", size=octal(2 << 20)) + bytes(2 << 20),
    "sparse map, behind the end": sparse(b"1\n8\n9\n", b"x"),
    "sparse map, more than the body": sparse(b"1\n0\n9\n", b"x", stored=0),
    "sparse map, number bomb": sparse(b"9" * 400 + b"\n"),
    "sparse map, count bomb": sparse(b"9999999\n" + b"1\n" * 600_000),
    "sparse map, count behind the end": sparse(b"9999999\n"),
    "sparse map, negative": sparse(b"1\n-1\n1\n", b"x"),
    "sparse map, backwards": sparse(b"2\n5\n1\n2\n1\n", b"xy"),
    "sparse map, size negative": sparse(b"0\n", size=-1),
    "sparse map, size of 64 bits": sparse(b"0\n", size=1 << 63),
    "zero block and more": bytes(BLOCK) + block(b"Files/a"),
    "no tar": b"\xff" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("label", DAMAGE)
def test_damaged_tar_is_refused_with_its_place(store: Store, label: str) -> None:
    damaged = FILES + DAMAGE[label]
    tail = b"" if "behind the end" in label else END
    error = store.refuse(damaged + tail)
    assert isinstance(error, Malformed)
    assert error.offset is not None
    assert len(FILES) <= error.offset <= len(damaged + tail)
    assert error.structure


def test_damage_is_not_made_whole_by_a_digest(store: Store) -> None:
    damaged = FILES + DAMAGE["checksum"] + END
    error = store.refuse(damaged, diff_id=digest_of(damaged))
    assert isinstance(error, Malformed)


# -- cut short ---------------------------------------------------------------------------------------------------


WHOLE = layer_tar(
    a_layer(
        a_directory("Files/d", {"s": b"of a folder"}),
        a_file("Files/a", b"a" * 700, {"t": b"t" * 600}, ea=build_ea_list([ExtendedAttribute(b"A", b"1")])),
        a_symlink("Files/l", "a"),
        a_file("Files/" + "n" * 120, b"n"),
        a_file("Hives/System_Delta", b"regf"),
    )
)  # fmt: skip


@pytest.mark.parametrize("size", range(0, len(WHOLE) - BLOCK, BLOCK))
def test_layer_cut_at_a_block_is_refused(store: Store, size: int) -> None:
    error = store.refuse(WHOLE[:size])
    assert isinstance(error, Malformed)
    assert error.finding in ("tar-damaged", "tar-unterminated")
    assert error.offset is not None
    assert error.offset <= size


@pytest.mark.parametrize("size", range(3, len(WHOLE) - len(END), 379))
def test_layer_cut_anywhere_is_refused(store: Store, size: int) -> None:
    assert isinstance(store.refuse(WHOLE[:size]), Malformed)


@pytest.mark.parametrize("size", [1, 10, 18, 200, -9, -8, -1])
def test_gzip_cut_anywhere_is_refused(store: Store, size: int) -> None:
    packed = gzip.compress(WHOLE, mtime=0)
    error = store.refuse(packed[:size])
    assert isinstance(error, Malformed)
    # One byte of a gzip file is no gzip file.
    assert error.finding == ("tar-damaged" if size == 1 else "compression-damaged")


def test_missing_end_marker_needs_a_digest(store: Store) -> None:
    open_end = WHOLE.removesuffix(END)
    error = store.refuse(open_end)
    assert isinstance(error, Malformed)
    assert (error.finding, error.offset) == ("tar-unterminated", len(open_end))
    assert store.keep(open_end, diff_id=digest_of(open_end)) == open_end
    packed = gzip.compress(open_end, mtime=0)
    assert store.keep(packed, digest=digest_of(packed)) == open_end
    allowed = ImportPolicy(allow_unterminated=True, sync=False)
    assert store.keep(open_end, policy=allowed) == open_end


# -- bombs, lies about digests, and things that are there or not ---------------------------------------------------


def digest_of(data: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(data).hexdigest())


def a_bomb(size: int) -> bytes:
    """A layer with one file of zeros."""
    return FILES + block(b"Files/zeros", size=octal(size)) + bytes(size) + END


@pytest.mark.parametrize("pack", [bytes, lambda data: gzip.compress(data, 9, mtime=0)])
def test_bomb_stops_at_the_limit(store: Store, pack: type[bytes]) -> None:
    packed = pack(a_bomb(8 << 20))
    limited = ImportPolicy(max_size=1 << 20, sync=False)
    error = store.refuse(packed, policy=limited)
    assert isinstance(error, TooLarge)
    assert str(1 << 20) in str(error)


def test_bomb_of_many_members_stops_at_the_limit(store: Store) -> None:
    packed = gzip.compress(bytes(1 << 16), 9, mtime=0) * 200
    limited = ImportPolicy(max_size=1 << 20, sync=False)
    error = store.refuse(
        gzip.compress(FILES + block(b"Files/z", size=octal(1 << 24))) + packed, policy=limited
    )
    assert isinstance(error, TooLarge)


def test_limit_is_no_limit_for_what_fits(store: Store) -> None:
    tar = a_bomb(1 << 16)
    assert store.keep(tar, policy=ImportPolicy(max_size=len(tar), sync=False)) == tar


@pytest.mark.parametrize("name", ["digest", "diff_id"])
def test_wrong_digest_is_refused(store: Store, name: str) -> None:
    packed = gzip.compress(WHOLE, mtime=0)
    error = store.refuse(packed, **{name: digest_of(b"another")})
    assert isinstance(error, DigestMismatch)
    right = digest_of(packed if name == "digest" else WHOLE)
    assert error.actual == str(right)
    assert store.keep(packed, **{name: right}) == WHOLE


def test_digest_of_one_form_is_not_that_of_the_other(store: Store) -> None:
    packed = gzip.compress(WHOLE, mtime=0)
    assert isinstance(store.refuse(packed, digest=digest_of(WHOLE)), DigestMismatch)
    assert isinstance(store.refuse(packed, diff_id=digest_of(packed)), DigestMismatch)


def test_wrong_checksum_of_gzip_is_refused(store: Store) -> None:
    packed = bytearray(gzip.compress(WHOLE, mtime=0))
    packed[-8:-4] = struct.pack("<I", zlib.crc32(WHOLE) ^ 1)
    assert isinstance(store.refuse(bytes(packed)), Malformed)


def test_garbage_after_gzip_is_refused(store: Store) -> None:
    assert isinstance(store.refuse(gzip.compress(WHOLE, mtime=0) + b"garbage"), Malformed)


def test_missing_parent_is_refused(store: Store) -> None:
    assert isinstance(store.refuse(WHOLE, parent="nobody"), ParentMissing)


def test_layer_is_not_imported_over_another(store: Store) -> None:
    before = store.state()
    with pytest.raises(LayerExists):
        store.driver.import_layer("base", "", io.BytesIO(WHOLE), policy=QUICK)
    assert store.state() == before


# -- what is only odd ------------------------------------------------------------------------------------------------


ODD = {
    "garbage behind the end": WHOLE + b"garbage",
    "another tar behind the end": WHOLE + FILES + END,
    "many zeros behind the end": WHOLE + bytes(20 * BLOCK),
    "padding that is not zero": FILES + block(b"Files/a", size=octal(1)) + b"a" + b"\xa5" * 511 + END,
    "padding of records that is not zero": FILES
    + block(b"x", b"x", size=octal(12)) + b"12 a=bcdefg\n" + b"\xa5" * 500 + block(b"Files/a") + END,
    "fields with blanks": FILES + block(b"Files/a", size=b"         0 \0", mode=b" 644   \0") + END,
    "record that nobody knows": FILES + entry(b"Files/a", records={b"SOMEBODY.else": b"\x00\xff"}) + END,
    "names with ./ and //": entry(b"./Files", b"5") + entry(b"./Files//a") + END,
    "global records": block(b"g", b"g", size=octal(6)) + padded(b"6 a=b\n") + FILES + END,
    "records one after the other": FILES + pax(record(b"a", b"b")) * 3 + block(b"Files/a") + END,
    "half of an end marker": WHOLE[:-BLOCK],
    "no entries": END,
    "records of nothing": FILES + pax(record(b"a", b"b")) + END,
    "records, nested, of nothing": FILES + pax(record(b"a", b"b")) * 1000 + END,
    "records of a long name of nothing": FILES
    + (pax(record(b"a", b"b")) + LONG_NAME_ENTRY) * 1000 + END,
    "hard link to what is removed here": FILES + entry(b"Files/.wh.low") + a_link_to(b"Files/low") + END,
    "sparse file of 4 EiB": FILES + sparse(b"1\n0\n1\n", b"x", size=1 << 62) + END,
}  # fmt: skip


@pytest.mark.parametrize("label", ODD)
def test_odd_tar_comes_out_bit_for_bit(store: Store, label: str) -> None:
    assert store.keep(ODD[label]) == ODD[label]
    assert store.keep(gzip.compress(ODD[label], mtime=0)) == ODD[label]


@pytest.mark.parametrize(
    "tar",
    [
        pytest.param(FILES + entry(b"Files:s", body=b"stream") + END),
        pytest.param(FILES + entry(b"Files/a") + entry(b"Files/a:s*?.", body=b"stream") + END),
        pytest.param(FILES + entry(b"Files/a") + entry(b"Files/a:con", body=b"stream") + END),
        FILES + entry(b"Files/a") + entry(b"Files/a:s:$DATA", body=b"stream") + END,
    ],
    ids=["of a top", "with characters that no file may have", "called con", "with its type"],
)
def test_alternate_stream_that_ntfs_can_hold_is_kept(store: Store, tar: bytes) -> None:
    assert store.keep(tar) == tar


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500])
def test_double_name_is_found_however_far_apart(store: Store, count: int) -> None:
    between = b"".join(block(b"Files/n%d" % number) for number in range(count))
    before = FILES + block(b"Files/a") + between
    error = store.refuse(before + block(b"Files/A") + END)
    assert isinstance(error, Malformed)
    assert (error.finding, error.entry, error.offset) == ("name-duplicate", "Files/A", len(before))


@pytest.mark.parametrize("layer_id", ["", ".", "..", "../evil", "a/b", "a\\b", "/evil", "a\0b"])
def test_layer_id_that_is_a_path_is_refused(store: Store, layer_id: str) -> None:
    around = sorted(store.root.parent.iterdir())
    before = store.state()
    with pytest.raises(InvalidName):
        store.driver.import_layer(layer_id, "base", io.BytesIO(WHOLE), policy=QUICK)
    assert store.state() == before
    assert sorted(store.root.parent.iterdir()) == around


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"Files/con", "name-reserved"),
        (b"Files/a.", "name-trailing"),
        (b"Files/a?", "name-character"),
    ],
)
def test_lenient_import_keeps_names_that_windows_can_hold(
    store: Store, name: bytes, code: str
) -> None:
    found: list[Finding] = []
    lenient = ImportPolicy(lenient_names=True, sync=False)
    source = io.BytesIO(FILES + entry(name) + END)
    store.driver.import_layer("odd", "base", source, policy=lenient, report=found.append)
    store.driver.remove("odd")
    assert [(one.code, one.entry) for one in found] == [(code, name.decode())]


@pytest.mark.parametrize(
    "hostile",
    [one for one in [*NAMES, *WHITEOUTS, *LINKS] if one.finding not in ("name-character", "name-trailing", "name-reserved")],
    ids=lambda hostile: hostile.label,
)  # fmt: skip
def test_lenient_import_lets_nothing_else_pass(store: Store, hostile: Hostile) -> None:
    lenient = ImportPolicy(lenient_names=True, allow_unterminated=True, sync=False)
    error = store.refuse(hostile.before + hostile.bad + END, parent=hostile.parent, policy=lenient)
    assert error.finding == hostile.finding


# -- any damage ------------------------------------------------------------------------------------------------------


@settings(max_examples=80, derandomize=True, deadline=None)
@given(
    at=st.integers(0, len(WHOLE) - 1),
    put=st.binary(min_size=1, max_size=12),
    cut=st.integers(0, 2048),
)
def test_any_damage_is_refused_or_kept(store: Store, at: int, put: bytes, cut: int) -> None:
    damaged = WHOLE[:at] + put + WHOLE[at + len(put) : len(WHOLE) - cut]
    before = store.state()
    with suppress(WinlayersError):
        assert store.keep(damaged) == damaged
    assert store.state() == before


# -- the same through the write-layer process ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def child_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tmp_path_factory.mktemp("home"), reexec=True)


@pytest.mark.parametrize("hostile", [NAMES[0], WHITEOUTS[5], LINKS[0], RECORDS[9]])
def test_error_crosses_from_the_write_layer_process(
    child_store: Store, store: Store, hostile: Hostile
) -> None:
    tar = hostile.before + hostile.bad + END
    there, here = child_store.refuse(tar), store.refuse(tar)
    assert isinstance(there, Malformed)
    assert isinstance(here, Malformed)
    assert (str(there), there.finding, there.entry, there.offset) == (
        str(here),
        here.finding,
        here.entry,
        here.offset,
    )


def test_write_layer_process_leaves_nothing_of_what_is_refused_by_its_parent(
    child_store: Store,
) -> None:
    assert isinstance(child_store.refuse(WHOLE, diff_id=digest_of(b"another")), DigestMismatch)
    limited = ImportPolicy(max_size=1 << 20, sync=False)
    assert isinstance(child_store.refuse(a_bomb(4 << 20), policy=limited), TooLarge)
    assert isinstance(child_store.refuse(gzip.compress(WHOLE)[:-9]), Malformed)
    assert isinstance(child_store.refuse(WHOLE.removesuffix(END)), Malformed)
