"""Entries of a tar as an input that can be changed field by field, without its blocks and sizes.

Each chunk (``sources.unpack``) is an entry: its number tells the type, and it holds the name, the target of a link and
the PAX records, each up to a NUL, and then the body. Whatever is changed in it, it makes a tar that can be read
to its end, so that what is wrong in it is an entry, not the tar.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from tests.fuzz.repair import repair_records, sign
from tests.fuzz.sources import MAX_CHUNK, pack, unpack
from winlayers.formats.tar import TarReader

_TYPES = b"0512g6"
_BLOCK = 512


def tar_of(data: bytes) -> bytes:
    """The tar of the entries that an input holds."""
    return b"".join(_entries(data)) + bytes(2 * _BLOCK)


def entries_of(tar: bytes) -> bytes:
    """An input for a tar."""
    reader = TarReader(io.BytesIO(tar))
    chunks = []
    for header in reader:
        records = b"\n".join(key + b"=" + value for key, value in header.pax.items())
        number = max(_TYPES.find(header.typeflag), 0)
        fields = (header.name, header.linkname, records, reader.read(1 << 12))
        chunks.append((number, b"\0".join(fields)[:MAX_CHUNK]))
    return pack(chunks)


def _entries(data: bytes) -> Iterator[bytes]:
    for number, chunk in unpack(data):
        name, link, records, body = (*chunk.split(b"\0", 3), b"", b"", b"")[:4]
        typeflag = _TYPES[number % len(_TYPES) :][:1]
        long = b"\npath=" + name + (b"\nlinkpath=" + link if link else b"")
        extended = repair_records(records + long.replace(b"=\n", b"= "))
        yield _block(b"x", extended) + extended + bytes(-len(extended) % _BLOCK)
        yield _block(typeflag, body) + body + bytes(-len(body) % _BLOCK)


def _block(typeflag: bytes, body: bytes) -> bytes:
    block = bytearray(_BLOCK)
    block[0:5] = b"Files"
    block[100:107] = b"0000644"
    block[124:136] = b"%011o\0" % len(body)
    block[136:148] = b"%011o\0" % 0
    block[156:157] = typeflag
    block[257:265] = b"ustar\x0000"
    sign(block)
    return bytes(block)
