"""Targets of ``winlayers.formats``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, TypeVar, cast

from tests.fuzz import seeds
from tests.fuzz.registry import target
from tests.fuzz.repair import repair_hive, repair_records, repair_tar
from tests.fuzz.sources import Trickle, outcome, read_some
from tests.support.builders import DESCRIPTOR
from winlayers.formats.acl import build_acl, read_acl
from winlayers.formats.backupstream import BackupReader, BackupWriter
from winlayers.formats.cursor import Cursor
from winlayers.formats.ea import build_ea_list, parse_ea_list
from winlayers.formats.filetime import (
    build_basic_info,
    format_filetime,
    ns_to_filetime,
    parse_basic_info,
)
from winlayers.formats.guid import build_guid, format_guid, parse_guid, parse_guid_text
from winlayers.formats.hive.reader import Hive, Key
from winlayers.formats.pax import (
    build_records,
    format_pax_time,
    parse_decimal,
    parse_pax_time,
    parse_plain_records,
    parse_records,
)
from winlayers.formats.reparse import (
    build_reparse,
    check_reparse,
    parse_reparse,
    print_name_of,
    tag_of,
)
from winlayers.formats.sddl import format_sddl, parse_sddl
from winlayers.formats.security import (
    SecurityDescriptor,
    build_descriptor,
    check_descriptor,
    inherit,
    parse_descriptor,
)
from winlayers.formats.sids import Sid, name_of
from winlayers.formats.tar import TarReader
from winlayers.formats.tarsplit import assemble_tar, split_tar
from winlayers.formats.text16 import (
    utf8_decode_go,
    utf16_decode,
    utf16_encode,
    utf16_unit_count,
    wtf8_decode,
    wtf8_encode,
)
from winlayers.layer.names import fold

DOMAIN = Sid.from_text("S-1-5-21-1-2-3")
_MAX_KEYS = 200
T = TypeVar("T")


# Tar


@target(seeds.tars, repair=repair_tar)
def tar(data: bytes) -> None:
    """Entries and bodies of a tar, the same however the source gives them."""
    whole, trickled = _entries(io.BytesIO(data)), _entries(Trickle(data, 500))
    assert whole == trickled


def _entries(source: Any) -> list[Any]:
    found: list[Any] = []

    def read() -> str:
        reader = TarReader(source)
        for header in reader:
            found.append((repr(header), read_some(reader.open_body(), 1 << 14)))
        return f"end with {reader.end_marker} blocks at {reader.offset}"

    found.append(outcome(read))
    return found


@target(seeds.tars, repair=repair_tar)
def tar_split(data: bytes) -> None:
    """A tar that was framed comes back."""
    framed = b"".join(split_tar(io.BytesIO(data)))
    reader = TarReader(io.BytesIO(data))
    bodies = {header.name: reader.read() for header in reader}
    back = assemble_tar(io.BytesIO(framed), lambda name: io.BytesIO(bodies[name]))
    assert b"".join(back) == data


def _framed() -> Iterator[bytes]:
    yield from seeds.text_of("tarsplit", "json")


@target(_framed)
def tar_assemble(data: bytes) -> None:
    """Lines of tar-split."""
    for piece in assemble_tar(io.BytesIO(data), lambda name: io.BytesIO(name)):
        assert len(piece) <= len(data)


def _records() -> Iterator[bytes]:
    yield build_records({b"path": b"Files/a", b"mtime": b"1.5", b"MSWINDOWS.fileattr": b"32"})
    yield build_records({b"k" * 90: b"v" * 200, b"LIBARCHIVE.creationtime": b"-1.000000001"})
    yield b"22 GNU.sparse.offset=1\n24 GNU.sparse.numbytes=2\n"


@target(_records, repair=repair_records)
def pax(data: bytes) -> None:
    """PAX records; the quick way reads no others than the strict one."""
    records = parse_records(data)
    plain = parse_plain_records(data)
    assert plain in (None, records)
    assert parse_records(build_records(records)) == records


@target(lambda: seeds.text_of("times", "pax"))
def pax_time(data: bytes) -> None:
    """Times and numbers of PAX records."""
    ns = parse_pax_time(data)
    assert parse_pax_time(format_pax_time(ns)) == ns
    assert 0 <= ns_to_filetime(ns) < 1 << 64
    parse_decimal(data)


# Structures of Windows


@target(seeds.backup_streams)
def backup_stream(data: bytes) -> None:
    """Parts of a backup stream, the same however the source gives them; what is written reads back."""
    whole = _parts(io.BytesIO(data), exact=True)
    trickled = _parts(cast(BinaryIO, Trickle(data)), exact=True)
    assert (
        whole[: len(trickled) - 1] == trickled[: len(whole) - 1]
    )  # a source may know where it ends
    _parts(io.BytesIO(data), exact=False)
    again = io.BytesIO()
    writer = BackupWriter(again)
    reader = BackupReader(io.BytesIO(data))
    for header in reader:
        writer.header(header)
        writer.write(reader.read())
    writer.close()
    assert _parts(io.BytesIO(again.getvalue()), exact=True) == whole


def _parts(source: BinaryIO, *, exact: bool) -> list[Any]:
    found: list[Any] = []

    def read() -> str:
        reader = BackupReader(source, exact=exact)
        for header in reader:
            found.append((header, read_some(reader.open_body())))
        return "end"

    found.append(outcome(read))
    return found


def _descriptors() -> Iterator[bytes]:
    yield DESCRIPTOR
    for text in seeds.sddl_texts():
        made = outcome(partial(parse_sddl, text.decode(), domain=DOMAIN))
        if isinstance(made, SecurityDescriptor):
            yield build_descriptor(made)
    yield from seeds.hex_of("sddl", "raw")
    yield from seeds.hex_of("inheritance", "parent")


@target(_descriptors)
def descriptor(data: bytes) -> None:
    """A descriptor in bytes; what is built of it reads back, and a child can inherit of it."""
    found = parse_descriptor(data)
    check_descriptor(data)
    built = build_descriptor(found)
    assert parse_descriptor(built) == found
    assert build_descriptor(parse_descriptor(built)) == built
    heir = inherit(found, is_directory=True, owner=DOMAIN, group=DOMAIN)
    assert parse_descriptor(build_descriptor(heir)) == heir


@target(_descriptors)
def descriptor_to_sddl(data: bytes) -> None:
    """A descriptor in bytes, to text; the text says the same when it is read."""
    text = format_sddl(parse_descriptor(data))
    assert format_sddl(parse_sddl(text)) == text


@target(seeds.sddl_texts)
def sddl(data: bytes) -> None:
    """A descriptor in text; what is written of it reads back."""
    found = parse_sddl(data.decode("utf-8", "surrogateescape"), domain=DOMAIN)
    built = build_descriptor(found)
    assert build_descriptor(parse_descriptor(built)) == built
    text = format_sddl(found)
    assert format_sddl(parse_sddl(text, domain=DOMAIN)) == text


def _acls() -> Iterator[bytes]:
    for raw in _descriptors():
        found = outcome(partial(parse_descriptor, raw))
        if isinstance(found, SecurityDescriptor):
            yield from (build_acl(acl) for acl in (found.dacl, found.sacl) if acl is not None)


@target(_acls)
def acl(data: bytes) -> None:
    """An ACL; what is built of it reads back."""
    found = read_acl(Cursor(data, "ACL"))
    assert read_acl(Cursor(build_acl(found), "ACL")) == found


@target(
    lambda: (
        Sid.from_text(text).build() for text in ("S-1-1-0", "S-1-5-32-544", "S-1-5-21-1-2-3-500")
    )
)
def sid(data: bytes) -> None:
    """A SID."""
    found = Sid.parse(data)
    assert found.build() == data
    assert Sid.from_text(str(found)) == found
    assert name_of(found) != ""


@target(lambda: (b"S-1-5-21-1-2-3-500", b"S-1-0xffffffffffff-1", b"BA", b"S-1-1-0"))
def sid_text(data: bytes) -> None:
    """A SID in text."""
    found = Sid.from_text(data.decode("utf-8", "surrogateescape"))
    assert Sid.parse(found.build()) == found


@target(lambda: seeds.hex_of("reparse", "bytes"))
def reparse(data: bytes) -> None:
    """A reparse buffer; what is built of it reads back."""
    outcome(lambda: print_name_of(data, exact=False))
    outcome(lambda: print_name_of(data))
    assert tag_of(data) < 1 << 32
    found = parse_reparse(data)
    check_reparse(data)
    assert parse_reparse(build_reparse(found)) == found


@target(lambda: seeds.hex_of("ea", "bytes"))
def ea(data: bytes) -> None:
    """A list of extended attributes; what is built of it reads back."""
    found = parse_ea_list(data)
    assert parse_ea_list(build_ea_list(found)) == found


@target(lambda: seeds.hex_of("times", "bytes"))
def basic_info(data: bytes) -> None:
    """The record of times and attributes."""
    found = parse_basic_info(data)
    assert build_basic_info(found) == data[:36] + bytes(4)
    assert format_filetime(found.creation_filetime).endswith("Z")


@target(
    lambda: (
        bytes(range(16)),
        b"{D237BF0F-47A8-4429-BB1A-8D3F618CE5C3}",
        b"d237bf0f-47a8-4429-bb1a-8d3f618ce5c3",
    )
)
def guid(data: bytes) -> None:
    """A GUID in bytes or in text."""
    if len(data) == 16:
        assert build_guid(parse_guid(data)) == data
    found = parse_guid_text(data.decode("utf-8", "surrogateescape"))
    assert parse_guid_text(format_guid(found)) == found


@target(
    lambda: (
        "ünï😀".encode(),
        "\ud800a".encode("utf-8", "surrogatepass"),
        "a😀".encode("utf-16-le"),
    )
)
def text16(data: bytes) -> None:
    """Names in both encodings."""
    assert len(utf8_decode_go(data)) <= len(data)
    text = utf16_decode(data[: len(data) & ~1])
    assert utf16_encode(text) == data[: len(data) & ~1]
    assert utf16_unit_count(text) == len(data) // 2
    assert wtf8_encode(wtf8_decode(data)) == data


@target(seeds.hives, repair=repair_hive)
def hive(data: bytes) -> None:
    """Cells, keys and values of a hive."""
    found = Hive.open(data, fold=fold)
    outcome(lambda: sum(cell.size for cell in found.cells()))
    keys = [found.root]
    for _ in range(_MAX_KEYS):
        if keys:
            key = keys.pop()
            keys += _first(key.subkeys())
            _look_at(key)


def _look_at(key: Key) -> None:
    """Ask for all that a key tells; each of it may be damaged by itself."""
    assert fold(key.name) == fold(fold(key.name))
    for member in ("class_name", "security", "semantics"):
        outcome(partial(getattr, key, member))
    outcome(lambda: key.subkey("zwei"))
    for value in _first(key.values()):
        for member in ("name", "data", "text", "texts", "integer"):
            outcome(partial(getattr, value, member))


def _first(members: Iterator[T]) -> list[T]:
    """The members up to the first that is damaged, or enough of them."""
    found: list[T] = []
    outcome(lambda: found.extend(islice(members, _MAX_KEYS)))
    return found
