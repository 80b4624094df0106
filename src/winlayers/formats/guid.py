"""GUIDs as Windows lays them out, and the rules that make one from a name.

16 bytes, of which the first three fields are little-endian and the rest as printed:

    0   u32  data1
    4   u16  data2
    6   u16  data3
    8        data4, 8 bytes
    printed: data1-data2-data3-data4[0:2]-data4[2:8], in hex

The value is the standard library's ``uuid.UUID``, whose ``bytes_le`` has that order. Windows makes the id of
a layer from its name in a way that is not public, version 5 with an unknown namespace; it only has to be
the same every time, so ``layer_guid`` has a namespace of its own, and a table for ids known from elsewhere.
This module does not know what a layer is.
Source: GUID in the Win32 reference; RFC 9562 5.5 (version 5).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.text16 import wtf8_encode

GUID_SIZE = 16

LAYER_NAMESPACE = uuid.UUID("d237bf0f-47a8-4429-bb1a-8d3f618ce5c3")
"""The namespace of the ids that ``layer_guid`` makes; chosen at random for this project."""

_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def parse_guid(data: bytes) -> uuid.UUID:
    """A GUID out of its 16 bytes in a structure of Windows.

    Raises:
        Malformed: not 16 bytes.
    """
    if len(data) != GUID_SIZE:
        raise Malformed("GUID", f"{len(data)} bytes, not {GUID_SIZE}")
    return uuid.UUID(bytes_le=bytes(data))


def build_guid(guid: uuid.UUID) -> bytes:
    """The 16 bytes of a GUID in a structure of Windows."""
    return guid.bytes_le


def parse_guid_text(text: str) -> uuid.UUID:
    """A printed GUID, in either case, with or without braces around it.

    Raises:
        InvalidArgument: anything else.
    """
    bare = text[1:-1] if text[:1] == "{" and text[-1:] == "}" else text
    if not _TEXT.fullmatch(bare):
        raise InvalidArgument(f"{text[:80]!r} is not a GUID")
    return uuid.UUID(bare)


def format_guid(guid: uuid.UUID) -> str:
    """The printed form, lower case, without braces."""
    return str(guid)


def named_guid(namespace: uuid.UUID, name: bytes) -> uuid.UUID:
    """The GUID of version 5 that a name has in a namespace.

    Args:
        namespace: itself a GUID; it is hashed in the printed order of its bytes.
        name: any bytes.
    Source: RFC 9562 5.5.
    """
    digest = _sha1(namespace.bytes + name)
    return uuid.UUID(bytes=digest[:GUID_SIZE], version=5)


def legacy_guid(name: str) -> uuid.UUID:
    """The GUID that old versions of the original made of a string: 16 bytes of SHA-1, in Windows order.

    It has no version and no namespace, so it differs from ``named_guid``.
    """
    digest = _sha1(wtf8_encode(name))
    return uuid.UUID(bytes_le=digest[:GUID_SIZE])


def layer_guid(name: str, known: Mapping[str, uuid.UUID] | None = None) -> uuid.UUID:
    """The id by which the calls of Windows know a layer.

    Args:
        name: name of the layer's folder; case does not count.
        known: ids to be used instead, by name in lower case: for layers whose ids Windows gave.
    Returns:
        The known id, or one of version 5 made from the name.
    """
    lowered = name.lower()
    if known is not None and lowered in known:
        return known[lowered]
    return named_guid(LAYER_NAMESPACE, wtf8_encode(lowered))


def _sha1(data: bytes) -> bytes:
    # Not at the top: it loads a library that who only reads GUIDs does not need, and that takes 6 ms.
    import hashlib

    return hashlib.sha1(data, usedforsecurity=False).digest()
