"""Whether a file can be a registry hive, by the first 4096 bytes: the base block.

    0    4    "regf"
    4    u32  first sequence number
    8    u32  second sequence number; differs from the first in a hive that was not closed
    20   u32  major version, 1
    24   u32  minor version, 3 to 6
    36   u32  offset of the root cell
    508  u32  XOR of the 127 numbers before it; 0 is written as 1, 0xFFFFFFFF as 0xFFFFFFFE

This module refuses to know keys and values.
Source: msuhanov/regf "Windows registry file format specification".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import BinaryIO

from winlayers.layer.checks.subject import Subject
from winlayers.layer.findings import Finding
from winlayers.layer.view import Node

BASE_BLOCK_SIZE = 4096

_MAJOR_VERSION = 1
_MINOR_VERSIONS = range(2, 7)


def check_hive(subject: Subject, node: Node, *, invalid: str = "hive-invalid") -> Iterator[Finding]:
    """Look at a file that has to be a hive.

    Args:
        subject: the layer.
        node: the file.
        invalid: the code under which a file that is no hive is reported; another code than the default
            stands for a file that may not be empty either.
    """
    opened = subject.open_data(node)
    if opened is None:
        yield subject.finding(invalid, node.path, "is no file with content")
        return
    size, file = opened
    if not size and invalid == "hive-invalid":
        yield subject.finding("hive-empty", node.path, "has no bytes")
        return
    with file:
        block = _head(file)
    fault = fault_of_base_block(block)
    if fault:
        yield subject.finding(invalid, node.path, fault)
    elif not is_clean(block):
        yield subject.finding("hive-dirty", node.path, "its two sequence numbers differ")


def _head(file: BinaryIO) -> bytes:
    """The base block, or all there is."""
    head = b""
    while (left := BASE_BLOCK_SIZE - len(head)) and (data := file.read(left)):
        head += data
    return head


def fault_of_base_block(block: bytes) -> str | None:
    """What is wrong with the base block of a hive, or None.

    Args:
        block: the first 4096 bytes of the file, or all if there are fewer.
    """
    if block[:4] != b"regf":
        return f"begins with {block[:4]!r}, not with b'regf'"
    if len(block) < BASE_BLOCK_SIZE:
        return f"has {len(block)} bytes, less than the base block of a hive"
    major, minor = struct.unpack_from("<II", block, 20)
    if major != _MAJOR_VERSION or minor not in _MINOR_VERSIONS:
        return f"is a hive of version {major}.{minor}, which Windows does not load"
    *numbers, kept = struct.unpack_from("<128I", block)
    if checksum(numbers) != kept:
        return f"has the checksum {kept:08x} in its base block, not {checksum(numbers):08x}"
    return None


def checksum(numbers: list[int]) -> int:
    """The checksum of the first 127 numbers of a base block."""
    return {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(total := reduce(xor, numbers, 0), total)


def is_clean(block: bytes) -> bool:
    """Whether a hive was closed, so that no transaction log is needed."""
    return block[4:8] == block[8:12]
