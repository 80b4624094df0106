"""What is made right again in a changed input, so that more than its checksums is looked at.

A header of a tar whose checksum is wrong ends the reading; so do extended headers whose records have other
sizes than they say. In a hive it is the checksum of its head.
"""

from __future__ import annotations

import struct

from winlayers.formats.hive.cells import BASE_BLOCK_SIZE, checksum

_BLOCK = 512
_EXTENDED = b"xg"
_MAX_RECORD_DIGITS = 6


def repair_tar(data: bytes) -> bytes:
    """A tar with right checksums, and records of the sizes that they say."""
    repaired = bytearray()
    at = 0
    while len(block := bytearray(data[at : at + _BLOCK])) == _BLOCK:
        at += _BLOCK
        if block[257:262] == b"ustar":
            body = b""
            if block[156] in _EXTENDED:
                size = _size_of(block)
                body = repair_records(data[at : at + size])
                at += size + -size % _BLOCK
                block[124:136] = b"%011o\0" % len(body)
            sign(block)
            repaired += block + body + bytes(-len(body) % _BLOCK)
        else:
            repaired += block
    return bytes(repaired + block)


def repair_records(body: bytes) -> bytes:
    """PAX records, each with its size before it."""
    return b"".join(_record(line) for line in body.split(b"\n") if b"=" in line)


def repair_hive(data: bytes) -> bytes:
    """A hive whose head has the right checksum."""
    head = data[:BASE_BLOCK_SIZE]
    if len(head) < BASE_BLOCK_SIZE:
        return data
    return data[:508] + struct.pack("<I", checksum(head)) + data[512:]


def _size_of(block: bytearray) -> int:
    digits = bytes(block[124:136]).rstrip(b" \0")
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else 0


def sign(block: bytearray) -> None:
    """Put the right checksum into the header of a tar."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)


def _record(line: bytes) -> bytes:
    """A record of a line that may have a size already."""
    first, blank, rest = line.partition(b" ")
    if not blank or not first.isdigit() or len(first) > _MAX_RECORD_DIGITS:
        rest = line
    size = len(rest) + 2
    size += len(b"%d" % size)
    size = len(b"%d %b\n" % (size, rest))
    return b"%d %b\n" % (size, rest)
